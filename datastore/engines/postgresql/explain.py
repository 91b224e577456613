"""What PostgreSQL says of a statement without running it: its parameters, its columns, its plan; on a scratch database.

Only `datastore check --server` and the tests load it. EXPLAIN is written here: it is no statement of an application.
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

#: What ends a list's reading in order: behind it a LIMIT above stops nothing.
_GATHERS = {"Sort", "Aggregate", "Hash", "Hash Join", "WindowAgg", "SetOp", "Unique", "Bitmap Heap Scan", "ModifyTable"}


@attrs.frozen
class Described:
    """What the server infers."""

    #: Parameter to the name of its type.
    parameters: dict[str, str]
    #: (name, name of its type) of each column.
    columns: list[tuple[str, str]]


class Refused(Exception):
    """The server does not prepare it; *position* is where in the text, from 0, or None."""

    def __init__(self, message: str, position: int | None, hint: str | None) -> None:
        super().__init__(message)
        self.position = position
        self.hint = hint


@contextmanager
def explaining(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection on which a plan reads a whole table only where it has no other way."""
    with psycopg.connect(url, autocommit=True) as connection:
        # On empty tables every way is as good as another: what remains when these are off has no index to go by.
        for way in ("seqscan", "hashjoin", "mergejoin", "memoize"):
            connection.execute(f"SET enable_{way} = off".encode())
        connection.execute("SET join_collapse_limit = 1")  # tables in the order in which they are written, as on SQLite
        yield connection


def describe(connection: psycopg.Connection[Any], sql: str) -> Described:
    """What the server makes of a statement with ``:name`` parameters.

    Raises:
        Refused: It does not prepare.
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
        # The text before it, counted without what the numbers changed.
        before = text[: int(at) - 1]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        lines = sql.split("\n")
        position = sum(len(one) + 1 for one in lines[:line]) + min(column, len(lines[line]))
    return Refused(message, position, hint.decode() if hint else None)


def whole_tables(connection: psycopg.Connection[Any], sql: str, some_rows: Set[str]) -> list[str]:
    """What the plan of a statement reads as a whole: a table without an index, or an index of all its rows from end to end.

    An index of some rows alone (*some_rows* names those) does not count, which is as good as its condition: which of two a
    plan takes, on empty tables, is chance.
    """
    text, _ = by_number(sql)
    (found,) = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone() or ([],)
    return list(dict.fromkeys(whole(found[0]["Plan"], some_rows, limited=False)))


def whole(node: dict[str, Any], some_rows: Set[str], *, limited: bool) -> Iterator[str]:
    """The same of one node of a plan and what is below it; *limited*: a LIMIT above it ends its reading."""
    kind = node["Node Type"]
    from_end_to_end = "Index Cond" not in node and node.get("Index Name") not in some_rows
    if kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and from_end_to_end and not limited):
        yield node["Relation Name"]
    if kind == "Bitmap Index Scan" and from_end_to_end:
        yield node["Index Name"]
    limited = kind == "Limit" or (limited and kind not in _GATHERS)
    for child in node.get("Plans", ()):
        yield from whole(child, some_rows, limited=limited)
