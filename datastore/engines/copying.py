"""Whole tables from one database to another, SQLite or PostgreSQL: read in the order of their keys, written as they are.

No statement of sql/ can say "every column of every table", so four of them are put together here. Triggers are off while a batch is
written, in the same transaction: what they would compute (counts, tags, numbers) is copied, and a killed copy leaves none off.

A server spends most of the time on the words of the texts, one process a connection. So the tables that have words are written over
two connections at once, each a batch, and committed in their order: what is there is always the beginning of the table.
"""

from __future__ import annotations

import hashlib
import json
import queue
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from datastore.engines.sqlite_errors import translate as sqlite_error

Row = tuple[Any, ...]

#: Each table and its key, those that others refer to first. The counts of jobs are computed again at the end.
TABLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("conversations", ("seq",)),
    ("messages", ("seq",)),
    ("learnings", ("seq",)),
    ("learning_tags", ("tag", "created_at", "learning_id")),
    ("learning_messages", ("learning_id", "message_id")),
    ("job_queue", ("id",)),
    ("job_attempts", ("job_id", "lease_token")),
    ("job_pauses", ("type",)),
    ("uploads", ("seq",)),
    ("audit_log", ("id",)),
    ("redactions", ("seq",)),
    ("backups", ("id",)),
    ("maintenance_tasks", ("name",)),
    ("legal_holds", ("id",)),
    ("retention_policies", ("name",)),
    ("erasures", ("id",)),
    ("erasure_keys", ("id",)),
    ("tombstones", ("kind", "subject_hash")),
    ("search_settings", ("name",)),
)

#: The first page of a table, whose rows may be of a mebibyte each, and the characters that make a page large.
_FIRST_ROWS, _PAGE_LENGTH = 64, 8 * 1024 * 1024


#: Whose triggers on an insertion heed ``datastore.copying`` (migrations/postgresql/0001), so that several connections may write.
_SIDE_BY_SIDE = ("messages", "learnings")
#: So many write at once: one more made nothing faster on two cores, of which this process needs a quarter (docs/scaling.md).
LANES = 2


class Side:
    """A database that is copied from or to: how it is read is the same on both engines, but for the marks of parameters."""

    mark = "?"
    _connection: Any

    def columns(self, table: str) -> list[str]:
        """The columns that are stored, not computed."""
        raise NotImplementedError

    def write(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """All of the rows, or none; perhaps only when `settle` is called."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until everything is done that was begun; raises what failed."""

    def finish(self) -> None:
        """Begin what the database needs behind its last row, while the rows are read again; `settle` waits for it."""

    def count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def last(self, table: str, keys: Sequence[str]) -> Row | None:
        """The greatest key."""
        order = ", ".join(f"{key} DESC" for key in keys)
        sql = f"SELECT {', '.join(keys)} FROM {table} ORDER BY {order} LIMIT 1"
        found: Row | None = self._connection.execute(sql).fetchone()
        return found

    def page(self, table: str, columns: Sequence[str], keys: Sequence[str], after: Row | None, rows: int) -> list[Row]:
        """The first rows behind a key, in the order of the keys."""
        names, marks = ", ".join(keys), ", ".join([self.mark] * len(keys))
        behind = "" if after is None else f"WHERE ({names}) > ({marks})"
        sql = f"SELECT {', '.join(columns)} FROM {table} {behind} ORDER BY {names} LIMIT {rows}"
        found: list[Row] = self._connection.execute(sql, after or ()).fetchall()
        return found

    def close(self) -> None:
        self._connection.close()


def pages(
    side: Side, table: str, columns: Sequence[str], keys: Sequence[str], after: Row | None, rows: int
) -> Iterator[list[Row]]:
    """A table in pages of *rows* rows at most, and of about 8 MiB, in the order of its key."""
    places = [list(columns).index(key) for key in keys]
    size = min(rows, _FIRST_ROWS)
    while page := side.page(table, columns, keys, after, size):
        yield page
        after = tuple(page[-1][place] for place in places)
        length = sum(len(value) for row in page for value in row if isinstance(value, str))
        size = (
            max(1, size // 2) if length > _PAGE_LENGTH else min(rows, size * 2) if length < _PAGE_LENGTH // 4 else size
        )


class Digest:
    """SHA-256 of every value of a table, in the order of its key."""

    def __init__(self) -> None:
        self._found = hashlib.sha256()

    def update(self, rows: Sequence[Row]) -> None:
        """Take in the next rows."""
        lines = [_encode(row) for row in rows]
        self._found.update("\n".join([*lines, ""]).encode())

    @classmethod
    def of(cls, side: Side, table: str, columns: Sequence[str], keys: Sequence[str]) -> str:
        """That of a whole table."""
        found = cls()
        for page in pages(side, table, columns, keys, None, 5000):
            found.update(page)
        return found.hex

    @property
    def hex(self) -> str:
        """What was taken in so far."""
        return self._found.hexdigest()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class SQLiteSide(Side):
    """A file.

    Raises:
        BusyError: Somebody writes to it.
    """

    def __init__(self, path: Path, *, target: bool) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            if target:
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("ROLLBACK")
            else:
                self._connection.execute("BEGIN")  # one instant, whoever writes meanwhile
                self.count("conversations")
        except sqlite3.Error as error:
            self._connection.close()
            raise sqlite_error(error, "copying") from error

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]

    def write(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        execute = self._connection.execute
        marks = ", ".join("?" * len(columns))
        try:
            execute("BEGIN IMMEDIATE")
            triggers = execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
            ).fetchall()
            for name, _ in triggers:
                execute(f"DROP TRIGGER {name}")
            self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
            for _, text in triggers:
                execute(text)
            execute("COMMIT")
        except BaseException as error:
            self._connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise sqlite_error(error, f"copying {table}") from error
            raise


class PostgreSQLSide(Side):
    """A database on a server.

    Args:
        engine: A `datastore.engines.postgresql.PostgreSQLEngine`.
        target: Whether it is written to, which nobody else may do meanwhile.

    Raises:
        BusyError: Somebody else is connected to the target.
    """

    mark = "%s"

    def __init__(self, engine: Any, *, target: bool) -> None:
        self._engine = engine
        self._connection = engine.connect_alone() if target else engine.connect()
        self._lanes: list[Any] = []
        self._pending: deque[Future[None]] = deque()
        if not target:
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        self._lanes = [self._connection, *(engine.connect() for _ in range(LANES - 1))]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for connection in self._lanes:
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(LANES, "copy")

    def columns(self, table: str) -> list[str]:
        return [
            row[0] for row in self._connection.execute(self._engine.sql("list_stored_columns"), {"table_name": table})
        ]

    def write(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if table not in _SIDE_BY_SIDE:
            self.settle()
        before = self._pending[-1] if self._pending else None
        self._pending.append(self._threads.submit(self._copy, table, columns, rows, before))
        while len(self._pending) > LANES:
            self._pending.popleft().result()

    def settle(self) -> None:
        while self._pending:
            self._pending.popleft().result()

    def finish(self) -> None:
        # Not on the connection that reads the rows again.
        self._pending.append(self._threads.submit(self._finish, self._lanes[-1]))

    def _finish(self, connection: Any) -> None:
        with self._engine.translated("copying"):
            connection.execute(self._engine.sql("restart_numbers"))
            connection.execute("ANALYZE")

    def close(self) -> None:
        if self._lanes:
            self._threads.shutdown(cancel_futures=True)
        for connection in self._lanes or [self._connection]:
            connection.close()

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row], before: Future[None] | None) -> None:
        connection = self._free.get()
        try:
            with self._engine.translated(f"copying {table}"), connection.transaction(), connection.cursor() as cursor:
                if table in _SIDE_BY_SIDE:
                    cursor.execute("SET LOCAL datastore.copying = 'on'")
                else:
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                if table not in _SIDE_BY_SIDE:
                    cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
                if before is not None:
                    before.result()
        finally:
            self._free.put(connection)
