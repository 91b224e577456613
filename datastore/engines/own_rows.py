"""Statements that look up rows of any table by foreign-key columns: sql/ cannot name the tables of an application."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from datastore.engines.schema import Column, Table, quoted
from datastore.statements.loader import read_statements

#: PostgreSQL types whose values JSON can represent; values of other types are compared and shown as text.
_PLAIN = frozenset(
    {"smallint", "integer", "bigint", "real", "double precision", "text", "json", "timestamp with time zone"}
)


@attrs.frozen
class Lookup:
    """A query for the rows of a table whose columns match one of several values."""

    name: str
    table: Table
    columns: tuple[str, ...]
    #: The columns that are read of each row, after the ones that identify it.
    shown: tuple[str, ...]


def bind_lookups(engine: Any, lookups: Sequence[Lookup]) -> Any:
    """Return the lookups as methods that take ``keys``, a list of lists of values, and run in *engine*'s transactions."""
    text = "\n\n".join(_statement(engine.name, lookup) for lookup in lookups)
    with tempfile.TemporaryDirectory(prefix="datastore-lookups-") as folder:
        (Path(folder) / "lookups.sql").write_text(text, encoding="utf-8")
        return engine.bind(read_statements(Path(folder), engine.name))


def _statement(engine: str, lookup: Lookup) -> str:
    table, server = lookup.table, engine == "postgresql"
    identity = [_shown(_column(table, name), server) for name in table.key]
    place = "CAST(ctid AS TEXT)" if server else "rowid"
    shown = [_shown(_column(table, name), server) for name in lookup.shown]
    wanted = [_column(table, name) for name in lookup.columns]
    left = ", ".join(_compared(column, server) for column in wanted)
    right = ", ".join(_given(column, place, server) for place, column in enumerate(wanted))
    keys = "json_array_elements(CAST(:keys AS JSON)) AS given (value)" if server else "json_each(:keys) AS given"
    return (
        f"-- name: {lookup.name}(keys)\n"
        "-- The rows of a table that refer to given rows of another table.\n"
        "--   keys  json  a list of lists: the referenced values\n"
        "-- Index: the foreign key's, if any\n"
        "-- Rows: one per row that refers to them\n"
        f"SELECT {', '.join([*(identity or [place]), *shown])}\n"
        f"FROM {quoted(table.name)}\n"
        f"WHERE ({left}) IN (SELECT {right} FROM {keys});\n"
    )


def _column(table: Table, name: str) -> Column:
    return table.column(name) or Column(name, "")


def _shown(column: Column, server: bool) -> str:
    if not server or column.type in _PLAIN:
        return quoted(column.name)
    if column.type == "boolean":
        return f"CAST({quoted(column.name)} AS INTEGER)"
    return f"encode({quoted(column.name)}, 'hex')" if column.type == "bytea" else f"CAST({quoted(column.name)} AS TEXT)"


def _compared(column: Column, server: bool) -> str:
    return quoted(column.name) if server or "BLOB" not in column.type.upper() else f"lower(hex({quoted(column.name)}))"


def _given(column: Column, place: int, server: bool) -> str:
    if not server:
        return f"json_extract(given.value, '$[{place}]')"
    value = f"given.value ->> {place}"
    return f"decode({value}, 'hex')" if column.type == "bytea" else f"CAST({value} AS {column.type})"
