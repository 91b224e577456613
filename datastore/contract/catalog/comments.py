"""What the comments of the migrations say: above a CREATE, above or after a column or constraint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from datastore.contract.text import pieces

_object = re.compile(
    r"^\s*CREATE\s+(?:TEMP\w*\s+|UNIQUE\s+|VIRTUAL\s+)*(?:TABLE|INDEX|TRIGGER|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"[\"`\[]?(?P<name>\w+)",
    re.IGNORECASE,
)
_added = re.compile(r"^\s*ALTER\s+TABLE\s+\W?(?P<table>\w+)\W?\s+ADD\s+(?:COLUMN\s+)?\W?(?P<column>\w+)", re.IGNORECASE)
_key_words = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@attrs.frozen
class Item:
    """A column or a constraint of a CREATE TABLE."""

    #: The column's or the constraint's name; "" for a constraint without one.
    name: str
    constraint: bool
    #: Its text on one line: without its comments, and without "CONSTRAINT name".
    text: str
    comment: str


def object_comments(steps: Mapping[str, Path]) -> dict[str, str]:
    """Table, index, trigger, view, and "TABLE.COLUMN" of an ALTER TABLE, to the comment right above it."""
    found: dict[str, str] = {}
    for path in steps.values():
        above: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("--"):
                above.append(line.strip()[2:].strip())
                continue
            if match := _object.match(line):
                found[match["name"]] = sentence(above)
            elif match := _added.match(line):
                found[f"{match['table']}.{match['column']}"] = sentence(above)
            above = []
    return found


def sentence(lines: list[str]) -> str:
    return " ".join(lines).strip()


def table_items(create: str) -> list[Item]:
    """The columns and constraints of a CREATE TABLE, in their order."""
    found: list[Item] = []
    for words, comments, behind in _parts(create):
        text = "".join(words).strip()
        if behind and found:
            before = found.pop()
            found.append(attrs.evolve(before, comment=" ".join([before.comment, *behind]).strip()))
        if text:
            found.append(_item(text, sentence(comments)))
    return found


def _item(text: str, comment: str) -> Item:
    flat = " ".join(text.split())
    word, _, rest = flat.partition(" ")
    if word.upper() == "CONSTRAINT":
        name, _, rule = rest.partition(" ")
        return Item(name.strip('"`[]'), True, rule, comment)
    if word.upper().partition("(")[0] in _key_words:
        return Item("", True, flat, comment)
    return Item(word.strip('"`[]'), False, rest, comment)


def _parts(create: str) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Between the commas inside the brackets: the text, the comments in it, those that end the line of the last one."""
    depth, fresh = 0, False
    words: list[str] = []
    comments: list[str] = []
    behind: list[str] = []
    for kind, text in pieces(create):
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "mark" else 0
        if kind == "comment":
            (behind if fresh else comments).append(text.removeprefix("--").strip("/* \n"))
            continue
        fresh = fresh and not (kind == "space" and "\n" in text)
        ends = (text == ")" and depth == 0) or (text == "," and depth == 1)
        if kind == "mark" and ends:
            yield words, comments, behind
            words, comments, behind, fresh = [], [], [], True
            if depth == 0:
                return
        elif depth > 1 or (depth == 1 and not (text == "(" and kind == "mark" and not words and depth == 1)):
            words.append(text)
