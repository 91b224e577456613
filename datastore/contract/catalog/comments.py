"""What the text of the migrations says: comments above a CREATE, above or after a column; PostgreSQL's tables.

No server is asked for PostgreSQL's, so the pages need none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from datastore.contract.text import normal, pieces

CREATE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+|TEMP\w*\s+|VIRTUAL\s+|(?P<unique>UNIQUE\s+))*(?P<kind>TABLE|VIEW|INDEX|TRIGGER)\s+"
    r"(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?[\"`\[]?(?P<name>\w+)[\"`\]]?\s*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
ADD_COLUMN = re.compile(
    r"ALTER\s+TABLE\s+\W?(?P<table>\w+)\W?\s+ADD\s+(?:COLUMN\s+)?(?P<item>\W?(?P<column>\w+).*)",
    re.IGNORECASE | re.DOTALL,
)
_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@attrs.frozen
class Item:
    """A column or a constraint of a CREATE TABLE."""

    #: "" for a constraint without a name.
    name: str
    constraint: bool
    #: On one line: without its comments, its name and the word CONSTRAINT.
    text: str
    comment: str


def object_comments(steps: Iterable[Path]) -> dict[str, str]:
    """Table, index, trigger, view, and "TABLE.COLUMN" of an ALTER TABLE, to the comment right above it."""
    found: dict[str, str] = {}
    for path in steps:
        for comment, text in statements(path):
            if match := CREATE.match(text):
                found[match["name"]] = comment
            elif match := ADD_COLUMN.match(text):
                found[f"{match['table']}.{match['column']}"] = comment
    return found


def statements(step: Path) -> Iterator[tuple[str, str]]:
    """The comment right above each statement of a step, and the statement without its semicolon.

    The statements in a trigger's BEGIN ... END count as statements of their own.
    """
    comment: list[str] = []
    words: list[str] = []
    for kind, piece in pieces(step.read_text(encoding="utf-8")):
        if piece == ";" and kind == "mark":
            yield " ".join(comment), "".join(words).strip()
            comment, words = [], []
        elif words or kind not in ("comment", "space"):
            words.append(piece)
        elif kind == "comment":
            comment.append(_said(piece))
        elif piece.count("\n") > 1:
            comment = []


def table_items(create: str) -> list[Item]:
    """The columns and constraints of a CREATE TABLE, in their order."""
    found: list[Item] = []
    for words, above, after in _parts(create):
        if after and found:
            found[-1] = attrs.evolve(found[-1], comment=" ".join([found[-1].comment, *after]).strip())
        if text := " ".join("".join(words).split()):
            found.append(_item(text, " ".join(above)))
    return found


def _item(text: str, comment: str) -> Item:
    name, _, rest = text.partition(" ")
    constraint = name.upper().partition("(")[0] in _CONSTRAINTS
    if name.upper() == "CONSTRAINT":
        name, _, rest = rest.partition(" ")
    elif constraint:
        name, rest = "", text
    return Item(name.strip('"`[]'), constraint, rest, comment)


def _parts(create: str) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Between the commas inside the brackets: the text, the comments in it, those that end the line of the last one."""
    depth, same_line = 0, False
    words, comments, after = list[str](), list[str](), list[str]()
    for kind, text in pieces(create):
        if kind == "comment":
            (after if same_line else comments).append(_said(text))
            continue
        before, depth = depth, depth + ({"(": 1, ")": -1}.get(text, 0) if kind == "mark" else 0)
        same_line = same_line and not (kind == "space" and "\n" in text)
        if kind == "mark" and (text, depth) in ((")", 0), (",", 1)):
            yield words, comments, after
            words, comments, after, same_line = [], [], [], True
            if depth == 0:
                return
        elif before:
            words.append(text)


def _said(comment: str) -> str:
    return comment.removeprefix("--").strip("/* \n")


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
