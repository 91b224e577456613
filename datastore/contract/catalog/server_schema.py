"""PostgreSQL's tables, as the text of its migrations has them: no server is asked, so the pages need none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from datastore.contract.catalog.comments import Item, sentence, table_items
from datastore.contract.catalog.model import ServerTable, ServerTrigger
from datastore.contract.text import pieces

_create = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?P<unique>UNIQUE\s+)?(?P<kind>TABLE|VIEW|INDEX|TRIGGER)\s+(?:CONCURRENTLY\s+)?"
    r"(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>\w+)\s*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_on = re.compile(r"(?P<when>.*?)\bON\s+(?P<table>\w+)\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_add = re.compile(r"ALTER\s+TABLE\s+(?P<table>\w+)\s+ADD\s+COLUMN\s+(?P<column>\w+\b.*)", re.IGNORECASE | re.DOTALL)
_drop = re.compile(r"DROP\s+(?:TABLE|VIEW|INDEX|TRIGGER)\s+(?:IF\s+EXISTS\s+)?(?P<name>\w+)", re.IGNORECASE)


def read_server_tables(steps: list[Path]) -> Mapping[str, ServerTable]:
    """The tables and views after some steps, by name."""
    tables: dict[str, ServerTable] = {}
    for path in steps:
        for comment, text in _statements(path.read_text(encoding="utf-8")):
            if found := _create.match(text):
                _created(tables, found, text, comment)
            elif found := _add.match(text):
                tables[found["table"]].items.extend(_added(found["column"], comment))
            elif found := _drop.match(text):
                _dropped(tables, found["name"])
    return tables


def _created(tables: dict[str, ServerTable], found: re.Match[str], text: str, comment: str) -> None:
    kind, name = found["kind"].upper(), found["name"]
    if kind in ("TABLE", "VIEW"):
        items = table_items(text) if kind == "TABLE" else []
        tables[name] = ServerTable(text, comment, items)
    elif (on := _on.match(found["rest"])) and on["table"] in tables:
        if kind == "INDEX":
            definition = " ".join(f"{found['unique'] or ''} {on['rest']}".split())
            tables[on["table"]].indexes[name] = definition
        else:
            tables[on["table"]].triggers.append(ServerTrigger(name, " ".join(on["when"].split()), comment))


def _added(column: str, comment: str) -> Iterator[Item]:
    for item in table_items(f"({column})"):
        yield attrs.evolve(item, comment=item.comment or comment)


def _dropped(tables: dict[str, ServerTable], name: str) -> None:
    tables.pop(name, None)
    for table in tables.values():
        table.indexes.pop(name, None)
        table.triggers[:] = [trigger for trigger in table.triggers if trigger.name != name]


def _statements(text: str) -> Iterator[tuple[str, str]]:
    """The comment right above each statement of a step, and the statement without its semicolon."""
    comment: list[str] = []
    words: list[str] = []
    for kind, piece in pieces(text):
        if piece == ";" and kind == "mark":
            yield sentence(comment), "".join(words).strip()
            comment, words = [], []
        elif words or kind not in ("comment", "space"):
            words.append(piece)
        elif kind == "comment":
            comment.append(piece.removeprefix("--").strip("/* \n"))
        elif piece.count("\n") > 1:
            comment = []
