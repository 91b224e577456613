"""Reads tables, columns, indexes and triggers: what they are, who made them, what uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from datastore.contract.catalog.comments import Item, object_comments, table_items
from datastore.contract.catalog.model import (
    ColumnPage,
    Constraint,
    IndexPage,
    StatementPage,
    TablePage,
    TriggerPage,
    users,
)
from datastore.contract.database import OWN_PREFIXES, Migrated
from datastore.contract.facts import ProjectFacts
from datastore.contract.inference.facts import Fact
from datastore.contract.inference.queries import Queries
from datastore.contract.schema import ForeignKey, Table
from datastore.contract.touches import Touch, Touches
from datastore.engines.sqlite import explain as sqlite_explain

_definition = re.compile(r"(?is)^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+ON\s+[^\s(]+\s*")
_when = re.compile(
    r"(?is)^CREATE\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+"
    r"(?P<when>(?:BEFORE\s+|AFTER\s+|INSTEAD\s+OF\s+)?(?:INSERT|DELETE|UPDATE(?:\s+OF\s+.+?)?))\s+ON\s"
)


def read_tables(facts: ProjectFacts, touches: Touches, statements: Sequence[StatementPage]) -> tuple[TablePage, ...]:
    """The tables and views that the migrations made, in the order of their making."""
    reader = _Reader(facts, touches, statements)
    tables = [
        table
        for table in facts.schema.tables.values()
        if table.kind != "shadow" and not table.name.startswith(OWN_PREFIXES)
    ]
    made = {table.name: reader.steps(_kind(table), table.name)[:1] for table in tables}
    order = list(facts.schema.sql)  # by kind and name; the rowid order is not kept, so: by step, then by text
    return tuple(
        reader.table(table)
        for table in sorted(tables, key=lambda one: (made[one.name], reader.place(one.name), order.index(one.name)))
    )


def _declared(fact: Fact) -> str:
    return next(iter(fact.storage)).upper() if len(fact.storage) == 1 else ""


def _logical(fact: Fact) -> str:
    return fact.type if fact.type and fact.type not in fact.storage else ""


def _kind(table: Table) -> str:
    return "view" if table.kind == "view" else "table"


@attrs.define
class _Reader:
    facts: ProjectFacts
    touches: Touches
    statements: Sequence[StatementPage]
    comments: Mapping[str, str] = attrs.field(init=False)
    every: list[tuple[str, str, Sequence[Touch]]] = attrs.field(init=False)
    opened: Mapping[str, list[str]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.comments = object_comments({step.id: step.path for step in self.facts.migrated.steps})
        self.every = [
            *(("statement", one.name, one.touches) for one in self.statements),
            *(("trigger", name, found) for name, found in self.touches.triggers.items()),
        ]
        self.opened = dict(_opened(self.facts))

    def steps(self, kind: str, name: str) -> tuple[str, ...]:
        return tuple(_steps(self.facts.migrated, kind, name))

    def place(self, name: str) -> int:
        """Where the comments of the migrations have it: in the order of the files."""
        names = list(self.comments)
        return names.index(name) if name in names else len(names)

    def table(self, table: Table) -> TablePage:
        items = table_items(table.sql) if table.kind == "table" else []
        return TablePage(
            name=table.name,
            kind=table.kind,
            sql=table.sql,
            comment=self.comments.get(table.name, ""),
            note=self.facts.project.notes.get(table.name, ""),
            options=tuple(_options(table)),
            columns=tuple(self.columns(table, {item.name: item for item in items if not item.constraint})),
            constraints=tuple(_constraints(items)),
            indexes=tuple(self.indexes(table)),
            triggers=tuple(self.trigger(table, name) for name in sorted(self.triggers(table.name), key=self.place)),
            refers=tuple(key for key in self.keys if key.table == table.name),
            referred=tuple(key for key in self.keys if key.parent == table.name),
            steps=self.steps(_kind(table), table.name),
            statements=tuple(self.touching(table.name)),
        )

    @property
    def keys(self) -> tuple[ForeignKey, ...]:
        return self.facts.schema.foreign_keys

    def triggers(self, table: str) -> list[str]:
        return [name for name, on in self.facts.schema.triggers.items() if on == table]

    def touching(self, table: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        for one in self.statements:
            actions = {touch.action for touch in one.touches if touch.table == table}
            if actions:
                yield one.name, tuple(sorted(actions))

    def columns(self, table: Table, items: Mapping[str, Item]) -> Iterator[ColumnPage]:
        # What a view's expressions are declared as is another word from one SQLite to the next: they are worked out.
        view = dict(Queries(self.facts.schema).view(table) or ()) if table.kind == "view" else {}
        for column in table.columns.values():
            worked_out = view.get(column.name)
            firm = column.not_null or (column.key_place and (table.strict or not table.has_rowid))
            item = items.get(column.name)
            yield ColumnPage(
                table=table.name,
                name=column.name,
                type=_declared(worked_out) if worked_out else column.declared,
                logical=(_logical(worked_out) if worked_out else column.logical) or "",
                nullable=worked_out.nullable if worked_out else not firm,
                default=column.default or "",
                primary=bool(column.key_place),
                hidden=column.hidden,
                meaning=(item.comment if item else "") or self.comments.get(f"{table.name}.{column.name}", ""),
                refers=tuple(key for key in self.keys if key.table == table.name and column.name in key.columns),
                users=users(self.every, table.name, column.name),
            )

    def indexes(self, table: Table) -> Iterator[IndexPage]:
        schema = self.facts.schema
        own = [index for index in schema.indexes.values() if index.table == table.name]
        for index in sorted(own, key=lambda one: (self.place(one.name), one.name)):
            direct = [one.name for one in self.statements if _reads(one, index.name)]
            shown = [column or "(expression)" for column in index.columns]
            sql = schema.sql.get(index.name, "")
            yield IndexPage(
                name=index.name,
                table=table.name,
                unique=index.unique,
                definition=" ".join(_definition.sub("", sql).split()) or f"({', '.join(shown)})",
                comment=self.comments.get(index.name, ""),
                statements=tuple(direct),
                indirect=tuple(name for name in self.opened.get(index.name, []) if name not in direct),
                foreign_keys=tuple(
                    key.name
                    for key in self.keys
                    if key.table == table.name
                    and not index.partial
                    and {*key.columns} == {*index.columns[: len(key.columns)]}
                ),
                step=next(iter(self.steps("index", index.name)), ""),
            )

    def trigger(self, table: Table, name: str) -> TriggerPage:
        sql = self.facts.schema.sql[name]
        found = _when.match(sql)
        return TriggerPage(
            name=name,
            table=table.name,
            when=" ".join(found["when"].split()) if found else "",
            sql=sql,
            comment=self.comments.get(name, ""),
            touches=self.touches.triggers.get(name, ()),
            statements=tuple(one.name for one in self.statements if name in one.fires),
            step=next(iter(self.steps("trigger", name)), ""),
        )


def _options(table: Table) -> Iterator[str]:
    if table.kind != "table":
        yield {"virtual": "virtual table", "view": "view"}[table.kind]
    if table.strict:
        yield "STRICT"
    if table.kind == "table" and not table.has_rowid:
        yield "WITHOUT ROWID"


def _constraints(items: Sequence[Item]) -> Iterator[Constraint]:
    for item in items:
        if item.constraint and not item.text.upper().startswith("FOREIGN"):
            yield Constraint(item.name, item.text, item.comment)


def _steps(migrated: Migrated, kind: str, name: str) -> Iterator[str]:
    """The step that made an object, and those that changed it."""
    for number, step in enumerate(migrated.steps[: len(migrated.up) - 1]):
        before, after = (migrated.up[number + after].objects.get((kind, name)) for after in (0, 1))
        if after is not None and before != after:
            yield step.id


def _reads(one: StatementPage, index: str) -> bool:
    """Whether a plan reads an index, or the header says that it decides something (a conflict, a refusal)."""
    if any(access.index == index for plan in one.facts.plans for access in plan.accesses):
        return True
    return any(re.search(rf"(?<!\w){re.escape(index)}(?!\w)", choice.index) for choice in one.choices)


def _opened(facts: ProjectFacts) -> Iterator[tuple[str, list[str]]]:
    """Index to the statements whose whole program looks something up in it, triggers and cascades included."""
    roots = facts.schema.roots
    found: dict[str, list[str]] = {}
    connection = facts.schema.connection
    with sqlite_explain.foreign_keys(connection):
        for name, one in facts.statements.items():
            pages = {page for variant in one.variants for page in sqlite_explain.pages_read(connection, variant.sql)}
            for page in sorted(pages & {*roots}):
                found.setdefault(roots[page], []).append(name)
    yield from found.items()
