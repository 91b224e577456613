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


def plan(connection: psycopg.Connection[Any], sql: str) -> dict[str, Any]:
    """The plan of a statement for any values of its parameters: its root, with the nodes below it in "Plans"."""
    text, _ = by_number(sql)
    (found,) = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone() or ([],)
    root: dict[str, Any] = found[0]["Plan"]
    return root


def plan_lines(node: dict[str, Any]) -> Iterator[str]:
    """How a plan reads and changes tables, and what it sorts and locks: a line each, without costs."""
    kind, table, index = node["Node Type"], node.get("Relation Name", ""), node.get("Index Name")
    if kind == "ModifyTable":
        yield f"{node['Operation']} {table}".strip()
    elif index:
        condition = f" {node['Index Cond']}" if "Index Cond" in node else ""
        yield f"{kind}{f' {table}' if table else ''} USING {index}{condition}"
    elif table or kind in ("Sort", "Incremental Sort", "LockRows", "Function Scan"):
        yield " ".join(filter(None, (kind, table, ", ".join(node.get("Sort Key", ())))))
    for child in node.get("Plans", ()):
        yield from plan_lines(child)


def unlocked(node: dict[str, Any]) -> set[str]:
    """The tables of which a plan reads some rows, up to a LIMIT, and changes them, without having locked them."""
    return _changed(node) & set(_limited(node, limited=False, locked=False))


def _changed(node: dict[str, Any]) -> set[str]:
    changes = node["Node Type"] == "ModifyTable" and node["Operation"] == "Update"  # nobody deletes a row twice
    return set({node["Relation Name"]} if changes else ()).union(*map(_changed, node.get("Plans", ())))


def _limited(node: dict[str, Any], *, limited: bool, locked: bool) -> Iterator[str]:
    kind = node["Node Type"]
    if limited and not locked and kind != "ModifyTable" and "Relation Name" in node:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        below = kind == "Limit" or limited
        yield from _limited(child, limited=below, locked=locked or kind == "LockRows")


def whole_tables(root: dict[str, Any], some_rows: Set[str]) -> list[str]:
    """The tables and indexes that a plan reads completely: a table without an index, or a full index.

    Partial indexes (*some_rows* names them) do not count, because they are as selective as their condition: on empty tables,
    which of two indexes a plan uses is chance.
    """
    return list(dict.fromkeys(whole(root, some_rows, limited=False)))


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
