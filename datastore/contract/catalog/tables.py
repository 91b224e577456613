"""Reads tables, columns, indexes and triggers: what they are, which step made them, what uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from datastore.contract.catalog.comments import Item, object_comments, table_items
from datastore.contract.catalog.model import ColumnPage, IndexPage, StatementPage, TablePage, TriggerPage, User
from datastore.contract.database import OWN_PREFIXES, Migrated
from datastore.contract.facts import ProjectFacts
from datastore.contract.inference.queries import Queries
from datastore.contract.schema import Table
from datastore.contract.touches import Touches
from datastore.engines import sqlite_explain

_definition = re.compile(r"(?is)^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+ON\s+[^\s(]+\s*")
_when = re.compile(
    r"(?is)^CREATE\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+"
    r"(?P<when>(?:BEFORE\s+|AFTER\s+|INSTEAD\s+OF\s+)?(?:INSERT|DELETE|UPDATE(?:\s+OF\s+.+?)?))\s+ON\s"
)


def read_tables(facts: ProjectFacts, touches: Touches, statements: Sequence[StatementPage]) -> tuple[TablePage, ...]:
    """The tables and views that the migrations made, in the order of their making."""
    reader = _Reader(facts, touches, statements)
    every = facts.schema.tables.values()
    tables = [one for one in every if one.kind != "shadow" and not one.name.startswith(OWN_PREFIXES)]
    order = list(facts.schema.sql)  # by kind and name; the rowid order is not kept, so: by step, then by text
    tables.sort(key=lambda one: (reader.steps(_kind(one), one.name)[:1], reader.place(one.name), order.index(one.name)))
    return tuple(map(reader.table, tables))


class _Reader:
    def __init__(self, facts: ProjectFacts, touches: Touches, statements: Sequence[StatementPage]) -> None:
        self.facts = facts
        self.schema = facts.schema
        self.touches = touches
        self.statements = statements
        self.comments = object_comments(step.path for step in facts.migrated.steps)
        self.order = {name: place for place, name in enumerate(self.comments)}
        self.made = _made(facts.migrated)
        self.opened = _opened(facts)

    def steps(self, kind: str, name: str) -> tuple[str, ...]:
        """The step that made an object, and those that changed it."""
        return tuple(self.made.get((kind, name), ()))

    def place(self, name: str) -> int:
        """Its place in the files of the migrations."""
        return self.order.get(name, len(self.order))

    def table(self, table: Table) -> TablePage:
        items = table_items(table.sql) if table.kind == "table" else []
        keys = self.schema.foreign_keys
        triggers = [name for name, on in self.schema.triggers.items() if on == table.name]
        touching = (one for one in self.statements if any(touch.table == table.name for touch in one.touches))
        return TablePage(
            name=table.name,
            kind=table.kind,
            sql=table.sql,
            comment=self.comments.get(table.name, ""),
            note=self.facts.project.notes.get(table.name, ""),
            options=tuple(_options(table)),
            columns=tuple(self.columns(table, {item.name: item for item in items if not item.constraint})),
            constraints=tuple(one for one in items if one.constraint and not one.text.upper().startswith("FOREIGN")),
            indexes=tuple(self.indexes(table)),
            triggers=tuple(self.trigger(table, name) for name in sorted(triggers, key=self.place)),
            refers=tuple(key for key in keys if key.table == table.name),
            referred=tuple(key for key in keys if key.parent == table.name),
            steps=self.steps(_kind(table), table.name),
            statements=tuple(one.name for one in touching),
        )

    def columns(self, table: Table, items: Mapping[str, Item]) -> Iterator[ColumnPage]:
        # What a view's expressions are declared as is another word from one SQLite to the next: they are worked out.
        view = dict(Queries(self.schema).view(table) or ()) if table.kind == "view" else {}
        for column in table.columns.values():
            fact, item = view.get(column.name), items.get(column.name)
            kinds = (next(iter(fact.storage)).upper() if len(fact.storage) == 1 else "") if fact else column.declared
            logical = (fact.type if fact.type not in fact.storage else "") if fact else column.logical
            firm = column.not_null or (column.key_place and (table.strict or not table.has_rowid))
            keys = self.schema.foreign_keys
            yield ColumnPage(
                table=table.name,
                name=column.name,
                type=kinds,
                logical=logical or "",
                nullable=fact.nullable if fact else not firm,
                default=column.default or "",
                primary=bool(column.key_place),
                meaning=(item.comment if item else "") or self.comments.get(f"{table.name}.{column.name}", ""),
                refers=tuple(key for key in keys if key.table == table.name and column.name in key.columns),
                users=self.users(table.name, column.name),
            )

    def users(self, table: str, column: str) -> tuple[User, ...]:
        """Who touches a column; a row that is deleted takes it along."""
        found: dict[tuple[str, str, str], dict[str, None]] = {}
        for kind, every in (("statement", self.touches.statements), ("trigger", self.touches.triggers)):
            for name, touches in every.items():
                for touch in touches:
                    if touch.table == table and (touch.column == column or touch.action == "delete"):
                        found.setdefault((kind, name, touch.action), {})[touch.by] = None
        return tuple(User(*key, tuple(by)) for key, by in found.items())

    def indexes(self, table: Table) -> Iterator[IndexPage]:
        own = [index for index in self.schema.indexes.values() if index.table == table.name]
        for index in sorted(own, key=lambda one: (self.place(one.name), one.name)):
            direct = [one.name for one in self.statements if _reads(one, index.name)]
            shown = ", ".join(column or "(expression)" for column in index.columns)
            sql = self.schema.sql.get(index.name, "")
            yield IndexPage(
                name=index.name,
                table=table.name,
                unique=index.unique,
                definition=" ".join(_definition.sub("", sql).split()) or f"({shown})",
                comment=self.comments.get(index.name, ""),
                statements=tuple(direct),
                indirect=tuple(name for name in self.opened.get(index.name, ()) if name not in direct),
                foreign_keys=tuple(key.name for key in self.schema.foreign_keys if index.serves(key)),
                step=next(iter(self.steps("index", index.name)), ""),
            )

    def trigger(self, table: Table, name: str) -> TriggerPage:
        sql = self.schema.sql[name]
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


def _kind(table: Table) -> str:
    return "view" if table.kind == "view" else "table"


def _made(migrated: Migrated) -> dict[tuple[str, str], list[str]]:
    """(kind, name) of each object to the steps that made or changed it."""
    found: dict[tuple[str, str], list[str]] = {}
    for step, (before, after) in zip(migrated.steps, pairwise(migrated.up), strict=False):
        for key, text in after.objects.items():
            if before.objects.get(key) != text:
                found.setdefault(key, []).append(step.id)
    return found


def _reads(one: StatementPage, index: str) -> bool:
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
