"""Logical column types, from the CHECK constraints that hold them.

SQLite stores five classes of value; the CHECKs of a table say more: ``json_valid(metadata)`` is json, a GLOB of
the shape ``????-??-??T??:??:??.??????Z`` is a timestamp, ``IN (0, 1)`` on an INTEGER column is a boolean, and
``typeof(size) = 'integer'`` says for a table that is not STRICT what STRICT would. A term counts where it is one of
the terms of an AND, alone or after ``column IS NULL OR``: then every value that is not NULL meets it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from sqlglot import exp

from datastore.contract.inference.parse import Node, Unsure, bare, conjuncts, name_of, parse, text_of
from datastore.contract.text import arguments, tokens

#: Storage classes of a value that is not NULL.
STORAGE = frozenset({"integer", "real", "text", "blob"})
INTEGER = frozenset({"integer"})
REAL = frozenset({"real"})
NUMBER = frozenset({"integer", "real"})
TEXT = frozenset({"text"})
BLOB = frozenset({"blob"})

# As encode_timestamp writes it, to the microsecond: what has another shape is a text, for it can be compared with none.
_INSTANT = "2026-01-02T03:04:05.000006Z"
#: What a GLOB says that no instant has the shape of, as the loader writes it.
OTHER_SHAPE = "other shape"
_digit = r"(?:\?|\[0-\d\])"
_timestamp = re.compile(rf"{_digit}{{4}}(?:-{_digit}{{2}}){{2}}T{_digit}{{2}}(?::{_digit}{{2}}){{2}}\.{_digit}{{6}}Z")

#: Defaults that have their column's class, or that its affinity turns into it.
_DEFAULTS = {
    "integer": re.compile(r"[+-]?\d{1,18}|true|false", re.IGNORECASE),
    "real": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE),
    "text": re.compile(r"'(?:[^']|'')*'|[+-]?\d+(?:\.\d+)?|CURRENT_(?:TIME|DATE|TIMESTAMP)", re.IGNORECASE | re.DOTALL),
    "blob": re.compile(r"x'[0-9a-f]*'", re.IGNORECASE),
}


class Promise(NamedTuple):
    """What a CHECK says of one column's values that are not NULL: json, timestamp, boolean, or a storage class."""

    column: str
    type: str


def affinity(declared: str, strict: bool = False) -> str:
    """The affinity of a declared type, by SQLite's five rules: integer, text, blob, real or numeric."""
    upper = declared.upper()
    if strict and upper == "ANY":
        return "blob"  # a STRICT table keeps ANY as it is given
    if "INT" in upper:
        return "integer"
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in upper or not upper.strip():
        return "blob"
    return "real" if any(word in upper for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def column_storage(declared: str, strict: bool, default: str | None = None) -> frozenset[str]:
    """The storage classes that a column's values may have.

    Rows that were there before ALTER TABLE added a column have its default, and not even STRICT compares the
    *default*'s class with the column's (SQLite 3.40).
    """
    if strict and not _is_default_of(affinity(declared), default):
        return STORAGE
    if strict:
        return STORAGE if declared.upper() == "ANY" else frozenset({affinity(declared)})
    # TEXT turns numbers into text and lets a blob through; REAL turns integers into reals, and lets text through.
    kept = {"text": {"text", "blob"}, "real": {"real", "text", "blob"}}
    return frozenset(kept.get(affinity(declared), STORAGE))


def _is_default_of(kind: str, default: str | None) -> bool:
    if default is None or default.upper() == "NULL":
        return True
    return kind in _DEFAULTS and _DEFAULTS[kind].fullmatch(default) is not None


def promises(create: str) -> Iterator[Promise]:
    """What the CHECK constraints of a CREATE TABLE statement say, term by term; one not understood says nothing."""
    for text in _checks(create):
        try:
            tree = parse(text)
        except Unsure:
            continue
        for term in conjuncts(tree):
            if promise := _promise(term):
                yield promise


def column_type(promised: frozenset[str], storage: frozenset[str], kind: str) -> str | None:
    """A logical type of the *promised* ones, where the values' *storage* and affinity (*kind*) let it be true; else None."""
    if storage == {"text"} and promised & {"json", "timestamp"}:
        return "timestamp" if "timestamp" in promised else "json"
    # Affinity turns 1.0 and '1' into 1, so IN (0, 1) leaves the integers alone.
    return "boolean" if "boolean" in promised and kind in {"integer", "numeric"} else None


def _checks(create: str) -> Iterator[str]:
    """The conditions of the CHECK constraints, as they are written."""
    every = tokens(create)
    for number, (before, opening) in enumerate(itertools.pairwise(every), 1):
        if before.upper == "CHECK" and opening.text == "(":
            yield create[opening.end : arguments(every, number)[1].start]


def _promise(term: Node) -> Promise | None:
    term = bare(term)
    if isinstance(term, exp.Or):
        left, right = bare(term.this), bare(term.expression)
        return _unless_null(left, right) or _unless_null(right, left)
    if isinstance(term, exp.Anonymous) and term.name.lower() == "json_valid" and len(term.expressions) == 1:
        return _of_column(term.expressions[0], "json")
    if isinstance(term, exp.Glob) and isinstance(term.expression, exp.Literal):
        pattern = term.expression.this
        if _timestamp.fullmatch(pattern):
            return _of_column(term.this, "timestamp")
        return None if fnmatchcase(_INSTANT, pattern.replace("[^", "[!")) else _of_column(term.this, OTHER_SHAPE)
    if isinstance(term, exp.In) and {text_of(value) for value in term.expressions} == {"0", "1"}:
        return _of_column(term.this, "boolean")
    if isinstance(term, exp.EQ) and isinstance(term.this, exp.Typeof) and isinstance(term.expression, exp.Literal):
        kind = term.expression.this
        return _of_column(term.this.this, kind) if kind in STORAGE else None
    return None


def _unless_null(null: Node, term: Node) -> Promise | None:
    """*term* of ``column IS NULL OR term``."""
    promise = _promise(term)
    is_null = isinstance(null, exp.Is) and isinstance(null.expression, exp.Null) and isinstance(null.this, exp.Column)
    return promise if promise and is_null and name_of(null.this) == promise.column else None


def _of_column(node: Node, kind: str) -> Promise | None:
    node = bare(node)
    return Promise(name_of(node), kind) if isinstance(node, exp.Column) else None
