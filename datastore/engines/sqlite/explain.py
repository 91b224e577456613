"""Analyze a statement on SQLite without running it: its plan, and the indexes that its program reads.

Used by `datastore check`, on a scratch database only.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: EXPLAIN needs every parameter bound, but ignores the values.
_UNBOUND: dict[str, None] = defaultdict(lambda: None)

#: The opcodes that open a b-tree for lookups (an index that is only maintained is opened for writing).
_OPENS = frozenset({"OpenRead", "ReopenIdx"})

_TOUCHES = {
    sqlite3.SQLITE_READ: "read",
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
}


def open_scratch(path: Path) -> sqlite3.Connection:
    """Open a connection with foreign keys off: a plan then shows the statement's own reads, not foreign-key lookups."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


@contextmanager
def foreign_keys(connection: sqlite3.Connection) -> Iterator[None]:
    """Turn foreign keys on, as in a store, until the block ends: `pages_read` then includes their lookups."""
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA foreign_keys = OFF")


def prepare(connection: sqlite3.Connection, sql: str) -> None:
    """Prepare one statement without running it.

    Raises:
        sqlite3.Error: It cannot be prepared, or is more than one statement.
    """
    connection.execute(f"EXPLAIN {sql}", _UNBOUND).close()


def query_plan(connection: sqlite3.Connection, sql: str) -> list[str]:
    """The lines of EXPLAIN QUERY PLAN, in their order."""
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", _UNBOUND)]


def first_failure(connection: sqlite3.Connection, script: str) -> int | None:
    """Where the first statement of a script begins that fails if they are run in turn; nothing of them stays."""
    connection.execute("SAVEPOINT first_failure")
    start = end = 0
    try:
        for part in script.split(";"):
            end += len(part) + 1
            if sqlite3.complete_statement(script[start:end]) or end > len(script):
                connection.execute(script[start:end]).close()
                start = end
    except sqlite3.Error:
        return start + len(script[start:]) - len(script[start:].lstrip())
    finally:
        connection.execute("ROLLBACK TO first_failure")
        connection.execute("RELEASE first_failure")
    return None


@contextmanager
def without_automatic_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """Plan with the indexes that there are, until the block ends."""
    connection.execute("PRAGMA automatic_index = OFF")
    try:
        yield
    finally:
        connection.execute("PRAGMA automatic_index = ON")


def pages_read(connection: sqlite3.Connection, sql: str) -> set[int]:
    """The root pages of the b-trees that a statement's program reads, including its triggers and cascades."""
    rows = connection.execute(f"EXPLAIN {sql}", _UNBOUND)
    return {int(row[3]) for row in rows if row[1] in _OPENS}


def touched(connection: sqlite3.Connection, sql: str) -> list[tuple[str, str, str, str]]:
    """The accesses of a statement's program, as SQLite reports them to an authorizer while preparing it; nothing runs.

    Returns:
        Distinct (action, table, column, by) in SQLite's order: *action* is "read", "insert", "update" or "delete";
        *column* is "" for a whole row; *by* is the trigger or view that contains the access, "" for the statement itself
        and for foreign-key actions. ("enter", "", "", by) marks each trigger and view that the program enters.
    """
    found: dict[tuple[str, str, str, str], None] = {}

    def note(action: int, table: str | None, column: str | None, database: str | None, by: str | None) -> int:
        if by:
            found["enter", "", "", by] = None
        if action in _TOUCHES and table:
            found[_TOUCHES[action], table, column or "", by or ""] = None
        return sqlite3.SQLITE_OK

    prepare(connection, sql)  # the first use of a virtual table declares it, which the authorizer would see too
    connection.set_authorizer(note)
    try:
        prepare(connection, sql)
    finally:
        connection.set_authorizer(None)
    return list(found)


def schema_marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """``application_id`` and ``user_version``, which migrations may set."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    return int(application_id), int(connection.execute("PRAGMA user_version").fetchone()[0])


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction that `back` rolls back."""
    connection.execute("BEGIN")


def back(connection: sqlite3.Connection) -> None:
    """Roll back everything since `begin`."""
    connection.execute("ROLLBACK")


def reload_statistics(connection: sqlite3.Connection) -> None:
    """Make the planner read sqlite_stat1 again."""
    connection.execute("ANALYZE sqlite_schema")


def create_statistics(connection: sqlite3.Connection) -> None:
    """Create an empty sqlite_stat1."""
    connection.execute("ANALYZE")
