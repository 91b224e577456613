"""Prepares every statement on the migrated schema; an error is found in the text and gets a "did you mean".

Python 3.11's sqlite3 does not tell the offset that SQLite knows, so the word that the message names is looked up.
A syntax error's word may be in the text many times: the right one is the first whose prefix of the text fails
with the same message, instead of being merely incomplete.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeAlias

from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, odd_parameter
from datastore.contract.text import KEYWORDS, Token, did_you_mean, find_name, tokens
from datastore.engines.sqlite import explain as sqlite_explain

_Located: TypeAlias = tuple[Token | None, str | None]


def check_prepares(source: Source, sql: str, schema: Schema) -> Problem | None:
    """What SQLite says against a statement, at its place; ``None`` if it prepares, or has no SQL."""
    every = tokens(source.body)
    if not every:
        return None
    if odd := next((token for token in every if token.kind == "other"), None):
        return odd_parameter(source, odd)
    message = _error(schema.connection, sql)
    if not message:
        return None
    token, hint = _locate(message, source.body, schema)
    place = source.at_token(token or every[0])
    return Problem("prepare", place, message, hint)


def _error(connection: sqlite3.Connection, sql: str) -> str:
    try:
        sqlite_explain.prepare(connection, sql)
    except sqlite3.Error as error:
        return str(error)
    return ""


def _locate(message: str, sql: str, schema: Schema) -> _Located:
    """Where SQLite's message points in *sql*, and what could have been meant."""
    if found := re.search(r'^near "(.+)": syntax error', message):
        return _syntax(found, sql, schema)
    if found := re.search(r"^no such column: (\S+)|^table (\S+) has no column named (\S+)", message):
        return _column(found[1] or found[3], found[2], sql, schema)
    if message.startswith("incomplete input"):
        every = tokens(sql)
        return (every[-1] if every else None), "the statement ends here too early"
    for pattern, known in _NAMED.items():
        if found := re.search(pattern, message):
            name = found[1].rpartition(".")[2] if known is _tables else found[1]
            return find_name(sql, name), did_you_mean(name, known(schema))
    return None, None


def _syntax(found: re.Match[str], sql: str, schema: Schema) -> _Located:
    every = tokens(sql)
    for number, token in enumerate(every):
        if token.text != found[1] or _error(schema.connection, sql[: token.end]) != found.string:
            continue
        # `SELECT a FORM t`: SQLite takes FORM for a name and stumbles over t.
        names = {name.lower() for one in (*schema.columns.values(), schema.columns) for name in one}
        for suspect in (token, every[number - 1] if number else token):
            is_name = suspect.kind != "word" or suspect.upper in KEYWORDS or suspect.name in names
            if not is_name and (hint := did_you_mean(suspect.text, KEYWORDS)):
                return suspect, hint
        return token, None
    return find_name(sql, found[1]), None


def _column(name: str, table: str | None, sql: str, schema: Schema) -> _Located:
    if table:
        return find_name(sql, name), did_you_mean(name, schema.columns.get(table, ()))
    used = {token.name for token in tokens(sql)}
    table, _, column = name.rpartition(".")
    near = [names for known, names in schema.columns.items() if known.lower() in used]
    if table in schema.columns:
        near = [schema.columns[table]]
    # Of the tables that the statement reads, or else of any.
    every = [[name for names in tables for name in names] for tables in (near, schema.columns.values())]
    return find_name(sql, name), next(filter(None, (did_you_mean(column, names) for names in every)), None)


def _tables(schema: Schema) -> Iterable[str]:
    return [name for name, kind in schema.kinds.items() if kind in ("table", "view")]


def _nothing(schema: Schema) -> Iterable[str]:
    return ()


#: What a message names, and the names that could have been meant.
_NAMED: dict[str, Callable[[Schema], Iterable[str]]] = {
    r"^no such table: (\S+)": _tables,
    r"^no such function: (\S+)": lambda schema: schema.functions,
    r"^no such index: (\S+)": lambda schema: schema.indexes,
    r"^ambiguous column name: (\S+)": _nothing,
    r"(?:arguments to|misuse of(?: \w+)*) function:? (\w+)": _nothing,
    r"^misuse of aggregate: (\w+)": _nothing,
    r"^table (\S+) (?:has|may not)": _nothing,
    r'^unrecognized token: "(.)': _nothing,
}
