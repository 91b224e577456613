"""PostgreSQL's tables, as the text of its migrations has them: no server is asked, so the pages need none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from datastore.contract.catalog.comments import ADD_COLUMN, CREATE, Item, statements, table_items
from datastore.contract.text import normal

_on = re.compile(r"(?P<when>.*?)\bON\s+(?P<table>\w+)\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_drop = re.compile(r"DROP\s+(?:TABLE|VIEW|INDEX|TRIGGER)\s+(?:IF\s+EXISTS\s+)?(?P<name>\w+)", re.IGNORECASE)
_type = re.compile(r"\s(?:COLLATE|NOT NULL|NULL|DEFAULT|PRIMARY KEY|UNIQUE|CHECK|REFERENCES|CONSTRAINT)\b.*")


@attrs.frozen
class ServerTrigger:
    name: str
    when: str
    comment: str


@attrs.frozen
class ServerTable:
    """One table or view on PostgreSQL."""

    sql: str
    comment: str
    #: Columns and constraints, in their order.
    items: list[Item]
    #: By name: columns and predicate as they are written.
    indexes: dict[str, str] = attrs.field(factory=dict)
    triggers: dict[str, ServerTrigger] = attrs.field(factory=dict)

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Type and comment of each column."""
        every = (item for item in self.items if not item.constraint)
        return {item.name: (_type.sub("", f" {item.text}").strip(), item.comment) for item in every}

    def constraints_unlike(self, others: Iterable[Item]) -> dict[str, str]:
        """The constraints that are written otherwise than SQLite's of their name."""
        same = {(item.name, normal(item.text)) for item in others}
        own = (item for item in self.items if item.constraint)
        return {item.name: item.text for item in own if (item.name, normal(item.text)) not in same}

    def indexes_unlike(self, others: Mapping[str, str]) -> dict[str, str]:
        """The indexes that SQLite does not have, or not so."""
        return {name: text for name, text in self.indexes.items() if normal(text) != normal(others.get(name, ""))}


def read_server_tables(steps: Iterable[Path]) -> Mapping[str, ServerTable]:
    """The tables and views after some steps, by name."""
    tables: dict[str, ServerTable] = {}
    for comment, text in (statement for path in steps for statement in statements(path)):
        if found := CREATE.match(text):
            _created(tables, found, comment)
        elif found := ADD_COLUMN.match(text):
            added = table_items(f"({found['item']})")
            tables[found["table"]].items.extend(attrs.evolve(item, comment=item.comment or comment) for item in added)
        elif found := _drop.match(text):
            tables.pop(found["name"], None)
            for table in tables.values():
                table.indexes.pop(found["name"], None)
                table.triggers.pop(found["name"], None)
    return tables


def _created(tables: dict[str, ServerTable], found: re.Match[str], comment: str) -> None:
    kind, name = found["kind"].upper(), found["name"]
    on = _on.match(found["rest"])
    if kind in ("TABLE", "VIEW"):
        tables[name] = ServerTable(found[0], comment, table_items(found[0]) if kind == "TABLE" else [])
    elif on and on["table"] in tables and kind == "INDEX":
        tables[on["table"]].indexes[name] = " ".join(f"{found['unique'] or ''} {on['rest']}".split())
    elif on and on["table"] in tables:
        tables[on["table"]].triggers[name] = ServerTrigger(name, " ".join(on["when"].split()), comment)
