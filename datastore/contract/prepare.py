"""Prepares every statement on the migrated schema; an error is found in the text and gets a "did you mean".

Python 3.11's sqlite3 does not tell the offset that SQLite knows, so the word that the message names is looked up.
A syntax error's word may be in the text many times: the right one is the first whose prefix of the text fails
with the same message, instead of being merely incomplete.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable

from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source
from datastore.contract.text import KEYWORDS, Token, did_you_mean, find_name, tokens
from datastore.engines.sqlite import explain as sqlite_explain


def check_prepares(source: Source, sql: str, schema: Schema) -> Problem | None:
    """What SQLite says against a statement, at its place; ``None`` if it prepares."""
    try:
        sqlite_explain.prepare(schema.connection, sql)
    except sqlite3.Error as error:
        token, hint = locate(str(error), source.body, schema)
        token = token or tokens(source.body)[0]
        place = source.at(token.start, token.end - token.start)
        return Problem("prepare", place, str(error), hint, statement=source.name)
    return None


def locate(message: str, sql: str, schema: Schema) -> tuple[Token | None, str | None]:
    """Where SQLite's message points in *sql*, and what could have been meant."""
    for pattern, find in _FINDERS:
        if found := re.search(pattern, message):
            return find(found, sql, schema)
    return None, None


Located = tuple[Token | None, str | None]


def _syntax(found: re.Match[str], sql: str, schema: Schema) -> Located:
    word = found[1]
    every = tokens(sql)
    for number, token in enumerate(every):
        if token.text != word or _fails(schema.connection, sql[: token.end]) != found.string:
            continue
        # `SELECT a FORM t`: SQLite takes FORM for a name and stumbles over t.
        for suspect in (token, every[number - 1] if number else token):
            if suspect.kind == "word" and suspect.upper not in KEYWORDS and (hint := _keyword(suspect, schema)):
                return suspect, hint
        return token, None
    return find_name(sql, word), None


def _keyword(token: Token, schema: Schema) -> str | None:
    known = {name.lower() for names in schema.columns.values() for name in names}
    known |= {name.lower() for name in schema.columns}
    return None if token.name in known else did_you_mean(token.text, KEYWORDS)


def _fails(connection: sqlite3.Connection, prefix: str) -> str:
    try:
        sqlite_explain.prepare(connection, prefix)
    except sqlite3.Error as error:
        return str(error)
    return ""


def _column(found: re.Match[str], sql: str, schema: Schema) -> Located:
    name = found["column"]
    if found.groupdict().get("table"):
        return find_name(sql, name), did_you_mean(name, schema.columns.get(found["table"], ()))
    used = {token.name for token in tokens(sql)}
    table, _, column = name.rpartition(".")
    near = [names for known, names in schema.columns.items() if known.lower() in used]
    if table in schema.columns:
        near = [schema.columns[table]]
    # Of the tables that the statement reads, or else of any.
    for tables in (near, list(schema.columns.values())):
        if hint := did_you_mean(column, [one for names in tables for one in names]):
            return find_name(sql, name), hint
    return find_name(sql, name), None


def _table(found: re.Match[str], sql: str, schema: Schema) -> Located:
    name = found[1].rpartition(".")[2]
    known = [one for one, kind in schema.kinds.items() if kind in ("table", "view")]
    return find_name(sql, name), did_you_mean(name, known)


def _function(found: re.Match[str], sql: str, schema: Schema) -> Located:
    return find_name(sql, found[1]), did_you_mean(found[1], schema.functions)


def _index(found: re.Match[str], sql: str, schema: Schema) -> Located:
    return find_name(sql, found[1]), did_you_mean(found[1], schema.indexes)


def _named(found: re.Match[str], sql: str, schema: Schema) -> Located:
    return find_name(sql, found[1]), None


def _end(found: re.Match[str], sql: str, schema: Schema) -> Located:
    every = tokens(sql)
    return (every[-1] if every else None), "the statement ends here too early"


_FINDERS: list[tuple[str, Callable[[re.Match[str], str, Schema], Located]]] = [
    (r'^near "(.+)": syntax error', _syntax),
    (r"^no such column: (?P<column>\S+)", _column),
    (r"^table (?P<table>\S+) has no column named (?P<column>\S+)", _column),
    (r"^no such table: (\S+)", _table),
    (r"^no such function: (\S+)", _function),
    (r"^no such index: (\S+)", _index),
    (r"^incomplete input", _end),
    (r"^ambiguous column name: (\S+)", _named),
    (r"(?:arguments to|misuse of(?: \w+)*) function:? (\w+)", _named),
    (r"^misuse of aggregate: (\w+)", _named),
    (r"^table (\S+) (?:has|may not)", _named),
    (r'^unrecognized token: "(.)', _named),
]
