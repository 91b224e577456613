"""Two schemas, one on each engine, made by steps of the same names: what one has and the other lacks.

A difference is found by what a table promises (columns, NULL, defaults, keys, CHECKs), not by its text, because each engine has types
and functions of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import psycopg

from datastore.contract.schema import Schema
from datastore.contract.text import tokens

#: PostgreSQL's types for a column of SQLite, by what the column is declared or, from its CHECKs, known to be.
_TYPES = {
    "INTEGER": {"int2", "int4", "int8", "bool"},
    "INT": {"int2", "int4", "int8", "bool"},
    "REAL": {"float4", "float8", "numeric"},
    "TEXT": {
        "text",
        "varchar",
        "bpchar",
        "json",
        "jsonb",
        "timestamptz",
        "timestamp",
        "date",
        "time",
        "uuid",
        "tsvector",
    },
    "BLOB": {"bytea", "uuid"},
    "json": {"json", "jsonb", "text"},
    "timestamp": {"timestamptz", "text"},
    "boolean": {"bool", "int2", "int4", "int8"},
}

#: Types whose values need no CHECK for their form, unlike TEXT and INTEGER.
_STRICTER = {"json", "jsonb", "timestamptz", "date", "uuid", "bool", "tsvector", "float8", "int2"}

_CLOCK = {"current_timestamp", "now()", "transaction_timestamp()", "clock_timestamp()"}
_cast = re.compile(r"::[a-z_ ]+(?:\(\d+\))?(?:\[\])?")
_word = re.compile(r"'([a-z_]+)'")
_number = re.compile(r"(?<![\w'.:-])\d{1,9}(?:\.\d+)?(?![\w'.:-])")
_check = re.compile(r"CONSTRAINT\s+\"?(\w+)\"?\s+CHECK\b", re.IGNORECASE)

#: Words in CHECKs that say which type JSON has, which PostgreSQL's CHECK may say with another function.
_JSON_TYPES = {"object", "array", "text"}


@attrs.frozen
class Column:
    """One column of a table."""

    #: A type of PostgreSQL, or one of SQLite's or logical types.
    type: str
    not_null: bool
    default: str | None


@attrs.define
class Table:
    """What a table promises."""

    columns: dict[str, Column] = attrs.field(factory=dict)
    primary_key: tuple[str, ...] = ()
    #: Columns (None for an expression) and "" or "partial".
    unique: set[tuple[tuple[str | None, ...], str]] = attrs.field(factory=set)
    #: Columns, parent, its columns, ON DELETE.
    foreign_keys: set[tuple[tuple[str, ...], str, tuple[str, ...], str]] = attrs.field(factory=set)
    #: Name to the words and numbers in the CHECK, and the columns that it names.
    checks: dict[str, tuple[frozenset[str], frozenset[str]]] = attrs.field(factory=dict)


def sqlite_tables(schema: Schema) -> dict[str, Table]:
    """The tables of the schema that SQLite's steps made, by name. Virtual tables and their shadows are SQLite's own."""
    found = {}
    for table in schema.tables.values():
        if table.kind != "table":
            continue
        made = found[table.name] = Table(primary_key=schema.primary_keys.get(table.name, ()))
        for column in table.columns.values():
            is_key = bool(column.key_place) and not table.has_rowid
            default = None if column.default is None else _plain(column.default)
            kind = column.logical or column.declared.upper()
            made.columns[column.name] = Column(kind, column.not_null or is_key, default)
        for name, text in _checks(table.sql):
            made.checks[name] = _promised(text, made.columns)
    for index in schema.indexes.values():
        if index.unique and index.origin != "pk" and index.table in found:
            found[index.table].unique.add((index.columns, "partial" if index.partial else ""))
    for key in schema.foreign_keys:
        if key.table in found:
            found[key.table].foreign_keys.add((key.columns, key.parent, key.parent_columns, key.on_delete))
    return found


def _checks(sql: str) -> Iterator[tuple[str, str]]:
    """The named CHECKs of a CREATE TABLE, each with its text."""
    for match in _check.finditer(sql):
        depth = 0
        for token in tokens(sql[match.end() :]):
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if not depth:
                yield match[1], sql[match.end() : match.end() + token.end]
                break


def server_tables(connection: psycopg.Connection[Any], statements: Mapping[str, str]) -> dict[str, Table]:
    """The same of the schema on a server."""
    found: dict[str, Table] = {}

    def rows(name: str) -> list[tuple[Any, ...]]:
        return connection.execute(statements[name].encode()).fetchall()

    for table, name, kind, not_null, default in rows("list_columns"):
        is_drawn = default is not None and default.startswith("nextval(")
        column = Column(kind, not_null, None if default is None or is_drawn else _plain(default))
        found.setdefault(table, Table()).columns[name] = column
    for table, _, is_primary, is_unique, is_partial, columns in rows("list_indexes"):
        if is_primary:
            found[table].primary_key = tuple(columns)
        elif is_unique:
            found[table].unique.add((tuple(columns), "partial" if is_partial else ""))
    for table, columns, parent, parent_columns, on_delete in rows("list_foreign_keys"):
        found[table].foreign_keys.add((tuple(columns), parent, tuple(parent_columns), on_delete))
    for table, name, text in rows("list_checks"):
        found[table].checks[name] = _promised(text, found[table].columns)
    return found


def _plain(default: str) -> str:
    """A default without what each engine adds: casts, parentheses, its own word for the clock and for a truth value."""
    text = _cast.sub("", default).strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    text = text if text.startswith("'") else text.lower()
    return {"true": "1", "false": "0"}.get(text, "the clock" if text in _CLOCK else text)


def _promised(text: str, columns: Mapping[str, Column]) -> tuple[frozenset[str], frozenset[str]]:
    text = _cast.sub("", text)
    named = {token.name for token in tokens(text)} & {*columns}
    words = {word for word in _word.findall(text) if word not in _JSON_TYPES}
    numbers = {f"{float(number):g}" for number in _number.findall(re.sub(r"'[^']*'", "''", text))} - {"0", "1"}
    return frozenset(words | numbers), frozenset(named)


def compare(ours: Mapping[str, Table], server: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    """What is on one engine only: the table, column or constraint that it is about, and a sentence."""
    for name in sorted({*ours} ^ {*server}):
        yield name, f'the table "{name}" is only on {_where(name in ours)}'
    for name in sorted({*ours} & {*server}):
        yield from _compare(name, ours[name], server[name])


def _where(on_sqlite: bool) -> str:
    return "SQLite" if on_sqlite else "PostgreSQL"


def _compare(table: str, ours: Table, server: Table) -> Iterator[tuple[str, str]]:
    for name in sorted({*ours.columns} ^ {*server.columns}):
        yield f"{table}.{name}", f"the column {table}.{name} is only on {_where(name in ours.columns)}"
    for name in sorted({*ours.columns} & {*server.columns}):
        yield from _compare_column(f"{table}.{name}", ours.columns[name], server.columns[name])
    if ours.primary_key != server.primary_key:
        keys = f"({_listed(ours.primary_key)}) on SQLite, ({_listed(server.primary_key)}) on PostgreSQL"
        yield table, f"the primary key of {table} is {keys}"
    for columns, kind in _sorted(ours.unique ^ server.unique):
        place = _where((columns, kind) in ours.unique)
        index = f"the {f'{kind} '.lstrip()}unique index of {table} ({_listed(columns)})"
        yield f"{table}.{_joined(columns)}", f"{index} is only on {place}"
    for key in _sorted(ours.foreign_keys ^ server.foreign_keys):
        columns, parent, parents, on_delete = key
        place = _where(key in ours.foreign_keys)
        refers = f"{table} ({_listed(columns)}) REFERENCES {parent} ({_listed(parents)}) ON DELETE {on_delete}"
        yield f"{table}.{_joined(columns)}", f"the foreign key {refers} is only on {place}"
    yield from _compare_checks(table, ours, server)


def _compare_column(name: str, ours: Column, server: Column) -> Iterator[tuple[str, str]]:
    if server.type not in _TYPES.get(ours.type, {server.type}):
        yield name, f"{name} is {ours.type} on SQLite and {server.type} on PostgreSQL"
    if ours.not_null != server.not_null:
        only, other = _where(ours.not_null), _where(server.not_null)
        yield name, f"{name} is NOT NULL on {only}, and may be NULL on {other}"
    if ours.default != server.default:
        defaults = f"{ours.default or 'none'} on SQLite and {server.default or 'none'} on PostgreSQL"
        yield name, f"the default of {name} is {defaults}"


def _compare_checks(table: str, ours: Table, server: Table) -> Iterator[tuple[str, str]]:
    for name in sorted({*ours.checks} | {*server.checks}):
        here, there = ours.checks.get(name), server.checks.get(name)
        if here is None or there is None:
            columns = (here or there or ((), ()))[1]
            # A type of PostgreSQL may say what SQLite needs a CHECK for.
            if (
                there is None
                and columns
                and all(server.columns[one].type in _STRICTER for one in columns if one in server.columns)
            ):
                continue
            yield f"{table}.{name}", f"the CHECK {name} of {table} is only on {_where(here is not None)}"
        elif here[0] != there[0]:
            differs = ", ".join(sorted(here[0] ^ there[0]))
            yield f"{table}.{name}", f"the CHECK {name} of {table} differs between the engines: {differs}"


_T = TypeVar("_T")


def _sorted(found: set[_T]) -> list[_T]:
    return sorted(found, key=str)


def _listed(columns: Sequence[str | None]) -> str:
    return ", ".join(name or "an expression" for name in columns)


def _joined(columns: Sequence[str | None]) -> str:
    return ",".join(name or "" for name in columns)
