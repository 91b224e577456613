"""Reads the model of the pages from a project's facts: what each thing is, which step made it, what uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from datastore.contract import lock
from datastore.contract.callers import find_callers
from datastore.contract.catalog import model
from datastore.contract.catalog.comments import Item, object_comments, read_server_tables, table_items
from datastore.contract.catalog.model import Measured, read_times
from datastore.contract.facts import OWN_PREFIXES, Migrated, ProjectFacts, StatementFacts
from datastore.contract.inference.queries import Queries
from datastore.contract.project import FILE, Project
from datastore.contract.schema import Table
from datastore.contract.touches import Touches, read_touches
from datastore.engines.sqlite import explain as sqlite_explain
from datastore.statements.loader import Statement, read_statements

_definition = re.compile(r"(?is)^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+ON\s+[^\s(]+\s*")
_when = re.compile(
    r"(?is)^CREATE\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+"
    r"(?P<when>(?:BEFORE\s+|AFTER\s+|INSTEAD\s+OF\s+)?(?:INSERT|DELETE|UPDATE(?:\s+OF\s+.+?)?))\s+ON\s"
)


def read_catalog(facts: ProjectFacts) -> model.Catalog:
    """Everything that the pages of a project show.

    Raises:
        ProjectError: The lock file or the file of times is not one.
    """
    project = facts.project
    touches, measured = read_touches(facts), read_times(project)
    locked = lock.read(project.root / project.lock)
    callers = find_callers({*facts.statements}, project, [])
    folder = project.statements_folder
    server = read_statements(folder, "postgresql") if (folder / "postgresql").is_dir() else None
    statements = tuple(
        model.StatementPage(
            facts=one,
            # Of the version that the lock file was written with: the pages do not change with the machine.
            choices=tuple(_choices(one, locked["statements"].get(name, {}).get("plan", {}), measured)),
            touches=touches.statements[name],
            fires=touches.fires[name],
            callers=tuple(callers[name]),
            server=_on_server(server, name, one),
        )
        for name, one in facts.statements.items()
    )
    server_steps = [path for folder in project.server_migration_folders for path in sorted(folder.glob("*.sql"))]
    return model.Catalog(
        project=project,
        title=_title(project),
        engine=str(locked.get("engine") or lock.engine_name(project)),
        statements=statements,
        tables=_Reader(facts, touches, statements).tables(),
        steps={step.id: project.show(step.path) for step in facts.migrated.steps},
        measured=measured,
        server=read_server_tables(path for path in server_steps if not path.name.endswith(".rollback.sql")),
    )


def _on_server(server: Mapping[str, Statement] | None, name: str, one: StatementFacts) -> model.OnServer:
    if server is None:
        return None
    if name not in server:
        return "none"
    return "shared" if server[name].file == one.statement.file else server[name]


def _title(project: Project) -> str:
    """The project's name, as pyproject.toml has it; else its folder's."""
    text = (project.root / FILE).read_text(encoding="utf-8")
    found = re.search(r"^\[project\]\s*$.*?^name\s*=\s*[\"']([^\"'\n]+)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else project.root.name


def _choices(one: StatementFacts, locked: Mapping[str, list[str]], measured: Measured | None) -> Iterator[model.Choice]:
    times = measured.times.get(one.source.name, {}) if measured else {}
    for variant, plan in zip(one.variants, one.plans, strict=True):
        which = variant.which or "always"
        lines = tuple(locked.get(which, plan.lines))
        yield model.Choice(variant.which, one.statement.header.index_for(variant.given), lines, times.get(which, {}))


class _Reader:
    """Reads the tables and views that the migrations made, and what belongs to them."""

    def __init__(self, facts: ProjectFacts, touches: Touches, statements: Sequence[model.StatementPage]) -> None:
        self.facts = facts
        self.schema = facts.schema
        self.touches = touches
        self.statements = statements
        self.comments = object_comments(step.path for step in facts.migrated.steps)
        self.order = {name: place for place, name in enumerate(self.comments)}
        self.made = _made(facts.migrated)
        self.opened = _opened(facts)

    def tables(self) -> tuple[model.TablePage, ...]:
        """In the order of their making: by step, then as the files have them."""
        every = self.schema.tables.values()
        tables = [one for one in every if one.kind != "shadow" and not one.name.startswith(OWN_PREFIXES)]
        names = list(self.schema.sql)
        tables.sort(key=lambda one: (self.steps(one.kind, one.name)[:1], self.place(one.name), names.index(one.name)))
        return tuple(map(self.table, tables))

    def steps(self, kind: str, name: str) -> tuple[str, ...]:
        """The step that made an object, and those that changed it."""
        return tuple(self.made.get(("table" if kind == "virtual" else kind, name), ()))

    def place(self, name: str) -> int:
        return self.order.get(name, len(self.order))

    def table(self, table: Table) -> model.TablePage:
        items = table_items(table.sql) if table.kind == "table" else []
        keys = self.schema.foreign_keys
        triggers = [name for name, on in self.schema.triggers.items() if on == table.name]
        touching = (one for one in self.statements if any(touch.table == table.name for touch in one.touches))
        is_rowless = table.kind == "table" and not table.has_rowid
        options = {"virtual table": table.kind == "virtual", "view": table.kind == "view", "STRICT": table.strict}
        return model.TablePage(
            name=table.name,
            kind=table.kind,
            sql=table.sql,
            comment=self.comments.get(table.name, ""),
            note=self.facts.project.notes.get(table.name, ""),
            options=tuple(name for name, true in {**options, "WITHOUT ROWID": is_rowless}.items() if true),
            columns=tuple(self.columns(table, {item.name: item for item in items if not item.constraint})),
            constraints=tuple(one for one in items if one.constraint and not one.text.upper().startswith("FOREIGN")),
            indexes=tuple(self.indexes(table)),
            triggers=tuple(self.trigger(table, name) for name in sorted(triggers, key=self.place)),
            refers=tuple(key for key in keys if key.table == table.name),
            referred=tuple(key for key in keys if key.parent == table.name),
            steps=self.steps(table.kind, table.name),
            statements=tuple(one.name for one in touching),
        )

    def columns(self, table: Table, items: Mapping[str, Item]) -> Iterator[model.ColumnPage]:
        # What a view's expressions are declared as is another word from one SQLite to the next: they are worked out.
        view = dict(Queries(self.schema).view(table) or ()) if table.kind == "view" else {}
        for column in table.columns.values():
            name, kind, logical = f"{table.name}.{column.name}", column.declared, column.logical
            nullable = not (column.not_null or (column.key_place and (table.strict or not table.has_rowid)))
            if fact := view.get(column.name):
                kind = next(iter(fact.storage)).upper() if len(fact.storage) == 1 else ""
                logical, nullable = fact.type if fact.type not in fact.storage else "", fact.nullable
            said = items[column.name].comment if column.name in items else ""
            meaning, default = said or self.comments.get(name, ""), column.default or ""
            primary, users = bool(column.key_place), self.users(table.name, column.name)
            keys = (key for key in self.schema.foreign_keys if key.table == table.name)
            refers = tuple(key for key in keys if column.name in key.columns)
            about = (kind, logical or "", nullable, default, primary, meaning)
            yield model.ColumnPage(name, column.name, *about, refers, users)

    def users(self, table: str, column: str) -> tuple[model.User, ...]:
        """Who touches a column; a row that is deleted takes it along."""
        found: dict[tuple[str, str, str], dict[str, None]] = {}
        for kind, every in (("statement", self.touches.statements), ("trigger", self.touches.triggers)):
            for name, touches in every.items():
                for touch in touches:
                    if touch.table == table and (touch.column == column or touch.action == "delete"):
                        found.setdefault((kind, name, touch.action), {})[touch.by] = None
        return tuple(model.User(*key, tuple(by)) for key, by in found.items())

    def indexes(self, table: Table) -> Iterator[model.IndexPage]:
        own = [index for index in self.schema.indexes.values() if index.table == table.name]
        for index in sorted(own, key=lambda one: (self.place(one.name), one.name)):
            name, sql = index.name, self.schema.sql.get(index.name, "")
            direct = tuple(one.name for one in self.statements if _reads(one, name))
            indirect = tuple(one for one in self.opened.get(name, ()) if one not in direct)
            keys = tuple(key.name for key in self.schema.foreign_keys if index.serves(key))
            columns = ", ".join(column or "(expression)" for column in index.columns)
            text = " ".join(_definition.sub("", sql).split()) or f"({columns})"
            comment, step = self.comments.get(name, ""), next(iter(self.steps("index", name)), "")
            yield model.IndexPage(name, table.name, index.unique, text, comment, direct, indirect, keys, step)

    def trigger(self, table: Table, name: str) -> model.TriggerPage:
        sql, touches = self.schema.sql[name], self.touches.triggers.get(name, ())
        found = _when.match(sql)
        when = " ".join(found["when"].split()) if found else ""
        fired_by = tuple(one.name for one in self.statements if name in one.fires)
        comment, step = self.comments.get(name, ""), next(iter(self.steps("trigger", name)), "")
        return model.TriggerPage(name, table.name, when, sql, comment, touches, fired_by, step)


def _made(migrated: Migrated) -> dict[tuple[str, str], list[str]]:
    """(kind, name) of each object to the steps that made or changed it."""
    found: dict[tuple[str, str], list[str]] = {}
    for step, (before, after) in zip(migrated.steps, pairwise(migrated.up), strict=False):
        for key, text in after.objects.items():
            if before.objects.get(key) != text:
                found.setdefault(key, []).append(step.id)
    return found


def _reads(one: model.StatementPage, index: str) -> bool:
    """Whether a plan reads an index, or the header says that it decides something (a conflict, a refusal)."""
    if any(access.index == index for plan in one.facts.plans for access in plan.accesses):
        return True
    return any(re.search(rf"(?<!\w){re.escape(index)}(?!\w)", choice.index) for choice in one.choices)


def _opened(facts: ProjectFacts) -> dict[str, list[str]]:
    """Index to the statements whose whole program looks something up in it, triggers and cascades included."""
    found: dict[str, list[str]] = {}
    connection, roots = facts.schema.connection, facts.schema.roots
    with sqlite_explain.foreign_keys(connection):
        for name, one in facts.statements.items():
            pages = {page for variant in one.variants for page in sqlite_explain.pages_read(connection, variant.sql)}
            for page in sorted(pages & {*roots}):
                found.setdefault(roots[page], []).append(name)
    return found
