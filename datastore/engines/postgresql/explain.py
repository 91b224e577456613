"""Analyze a statement on PostgreSQL without running it: its parameters, columns and plan; on a scratch database.

Only `datastore check --server` and the tests import it. EXPLAIN is written here, because no application runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

import attrs
import psycopg

from datastore.statements.optional import by_number

#: The first version whose EXPLAIN plans a statement for any values of its parameters.
GENERIC_PLAN = 160000

#: Nodes that read all of their input: a LIMIT above them does not end the reading below them.
_GATHERS = {"Sort", "Aggregate", "Hash", "Hash Join", "WindowAgg", "SetOp", "Unique", "Bitmap Heap Scan", "ModifyTable"}


@attrs.frozen
class Described:
    """The types that the server infers."""

    #: Parameter name to type name.
    parameters: dict[str, str]
    #: (name, type name) of each column.
    columns: list[tuple[str, str]]


class Refused(Exception):
    """The server cannot prepare the statement; *position* is the offset in its text, from 0, or None."""

    def __init__(self, message: str, position: int | None, hint: str | None) -> None:
        super().__init__(message)
        self.position = position
        self.hint = hint


@contextmanager
def explaining(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection on which a plan reads a whole table only if there is no other way."""
    with psycopg.connect(url, autocommit=True) as connection:
        # On empty tables all plans cost the same. With these off, a remaining sequential scan has no usable index.
        for way in ("seqscan", "hashjoin", "mergejoin", "memoize"):
            connection.execute(f"SET enable_{way} = off".encode())
        connection.execute("SET join_collapse_limit = 1")  # join tables in the order written, as on SQLite
        yield connection


def describe(connection: psycopg.Connection[Any], sql: str) -> Described:
    """The types that the server infers for a statement with ``:name`` parameters.

    Raises:
        Refused: It cannot be prepared.
    """
    text, names = by_number(sql)
    prepared = connection.pgconn.prepare(b"", text.encode())
    if prepared.error_message:
        raise _refused(prepared, text, sql)
    result = connection.pgconn.describe_prepared(b"")
    types = psycopg.postgres.types
    return Described(
        {name: _type(types, result.param_type(place)) for place, name in enumerate(names)},
        [((result.fname(place) or b"").decode(), _type(types, result.ftype(place))) for place in range(result.nfields)],
    )


def _type(types: Any, oid: int) -> str:
    found = types.get(oid)
    return str(found.name) if found else f"type {oid}"


def _refused(prepared: Any, text: str, sql: str) -> Refused:
    fields = psycopg.pq.DiagnosticField
    message = (prepared.error_field(fields.MESSAGE_PRIMARY) or b"it does not prepare").decode()
    hint = prepared.error_field(fields.MESSAGE_HINT)
    at = prepared.error_field(fields.STATEMENT_POSITION)
    position = None
    if at is not None:
        # Convert it to a position in *sql*, whose parameters have other lengths.
        before = text[: int(at) - 1]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        lines = sql.split("\n")
        position = sum(len(one) + 1 for one in lines[:line]) + min(column, len(lines[line]))
    return Refused(message, position, hint.decode() if hint else None)


def whole_tables(connection: psycopg.Connection[Any], sql: str, some_rows: Set[str]) -> list[str]:
    """The tables and indexes that a statement's plan reads completely: a table without an index, or a full index.

    Partial indexes (*some_rows* names them) do not count, because they are as selective as their condition: on empty tables,
    which of two indexes a plan uses is chance.
    """
    text, _ = by_number(sql)
    (found,) = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone() or ([],)
    return list(dict.fromkeys(whole(found[0]["Plan"], some_rows, limited=False)))


def whole(node: dict[str, Any], some_rows: Set[str], *, limited: bool) -> Iterator[str]:
    """The same for one node of a plan and the nodes below it; *limited*: a LIMIT above it ends its reading."""
    kind = node["Node Type"]
    from_end_to_end = "Index Cond" not in node and node.get("Index Name") not in some_rows
    if kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and from_end_to_end and not limited):
        yield node["Relation Name"]
    if kind == "Bitmap Index Scan" and from_end_to_end:
        yield node["Index Name"]
    limited = kind == "Limit" or (limited and kind not in _GATHERS)
    for child in node.get("Plans", ()):
        yield from whole(child, some_rows, limited=limited)
