"""What the comments of the migrations say: above a CREATE, above or after a column or constraint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from datastore.contract.text import pieces

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
