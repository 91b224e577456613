"""A PostgreSQL database as the source or target of a copy.

A server runs each connection in one process. So the large tables are written over two connections at once, one batch each, and
the batches are committed in order: the rows in the target are always the beginning of the table.
"""

from __future__ import annotations

import contextlib
import queue
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg.types.string import BytesDumper

from datastore.copy.sides import Part, Row, Side
from datastore.engines.postgresql.engine import PostgreSQLEngine
from datastore.engines.postgresql.settings import Connection
from datastore.engines.schema import Column, quoted, read_schema, schema_sql
from datastore.errors import BusyError

ServerCursor = psycopg.ServerCursor[tuple[Any, ...]]

#: Tables whose insert triggers obey ``datastore.copying`` (migrations/postgresql/0001), so several connections may write them.
_SIDE_BY_SIDE = ("messages", "learnings")
#: Number of connections that write at once. A third was no faster on two cores, of which this process needs a quarter
#: (docs/scaling.md).
LANES = 2

#: Kinds of values by PostgreSQL column type; any other type is its own kind, and is read and written as text.
_SERVER_KINDS = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "boolean": "boolean",
    "double precision": "real",
    "text": "text",
    "character varying": "text",
    "timestamp with time zone": "instant",
    "json": "json",
    "bytea": "blob",
}

#: Kinds that need no conversion to be compared and written; see `datastore.engines.postgresql.settings.set_up`.
_AS_THEY_ARE = frozenset({"integer", "real", "text", "instant", "json", "blob"})


class PostgreSQLSide(Side):
    """A database on a server.

    Args:
        engine: The engine of the database.
        target: Whether it is written to; then nobody else may be connected.

    Raises:
        BusyError: Another client is connected to the target.
    """

    is_server = True
    mark = "%s"

    def __init__(self, engine: PostgreSQLEngine, *, target: bool) -> None:
        self._engine = engine
        self._connection = _alone(engine) if target else engine.connect()
        self._lanes: list[Connection] = []
        self._pending: deque[Future[None]] = deque()
        # One transaction while rows are read: a server-side cursor needs it.
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.schema = read_schema(lambda name: self._connection.execute(schema_sql("postgresql", name)).fetchall())
        self._own_triggers = {row[0] for row in self._connection.execute(engine.sql("list_own_triggers"))}
        if not target:
            return
        self._connection.execute("COMMIT")
        self._lanes = [self._connection, *(engine.connect() for _ in range(LANES - 1))]
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for connection in self._lanes:
            _let_bytes_through(connection)
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(LANES, "copy")

    def kind(self, type: str) -> str:
        return _SERVER_KINDS.get(re.sub(r"\(.*?\)", "", type), type)

    def has_odd_times(self, table: str, column: Column) -> bool:
        if self.kind(column.type) != "instant":
            return False
        name = quoted(column.name)
        odd = f"{name} < '0001-01-01 00:00:00+00' OR {name} >= '10000-01-01 00:00:00+00'"
        return bool(self._connection.execute(f"SELECT 1 FROM {quoted(table)} WHERE {odd} LIMIT 1").fetchall())

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        if not self._is_side_by_side(part):
            self.settle()
        before = self._pending[-1] if self._pending else None
        self._pending.append(self._threads.submit(self._copy, part, rows, before))
        while len(self._pending) > LANES:
            self._pending.popleft().result()

    def _is_side_by_side(self, part: Part) -> bool:
        return part.name in _SIDE_BY_SIDE and part.name not in self._own_triggers

    def settle(self) -> None:
        while self._pending:
            self._pending.popleft().result()

    def numbers(self) -> dict[str, int]:
        rows = self._connection.execute(self._engine.sql("list_numbers"))
        return {table.lower(): last for table, _, _, last in rows if last is not None}

    def finish(self, numbers: Mapping[str, int]) -> None:
        # Use another connection than the one that reads the rows for the digests.
        self._pending.append(self._threads.submit(self._finish, self._lanes[-1], numbers))

    def _finish(self, connection: Connection, numbers: Mapping[str, int]) -> None:
        with self._engine.translated("copying"):
            for table, column, sequence, given in connection.execute(self._engine.sql("list_numbers")).fetchall():
                (highest,) = connection.execute(f"SELECT max({quoted(column)}) FROM {quoted(table)}").fetchall()
                last = max(highest[0] or 0, numbers.get(table.lower(), 0))
                if last > (given or 0):
                    values = {"sequence": sequence, "last_value": last}
                    connection.execute(self._engine.sql("raise_number"), values)
            connection.execute("ANALYZE")

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[ServerCursor]:
        with (
            self._engine.translated("copying"),
            self._connection.transaction(),
            self._connection.cursor("copying") as cursor,
        ):
            yield cursor

    def _selected(self, column: Column) -> str:
        kind = self.kind(column.type)
        if kind == "boolean":
            return f"CAST({quoted(column.name)} AS INTEGER)"
        return quoted(column.name) if kind in _AS_THEY_ARE else f"CAST({quoted(column.name)} AS TEXT)"

    def _ordered(self, column: Column) -> str:
        in_text = self.kind(column.type) not in _AS_THEY_ARE - {"text"} | {"boolean"}
        return self._selected(column) + (' COLLATE "C"' if in_text else "")

    def close(self) -> None:
        if self._lanes:
            self._threads.shutdown(cancel_futures=True)
        for connection in self._lanes or [self._connection]:
            connection.close()

    def _copy(self, part: Part, rows: Iterable[Row], before: Future[None] | None) -> None:
        connection = self._free.get()
        name, columns = quoted(part.name), ", ".join(quoted(column.name) for column in part.columns)
        try:
            with (
                self._engine.translated(f"copying {part.name}"),
                connection.transaction(),
                connection.cursor() as cursor,
            ):
                if self._is_side_by_side(part):
                    cursor.execute("SET LOCAL datastore.copying = 'on'")
                else:
                    cursor.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
                with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                if not self._is_side_by_side(part):
                    cursor.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
                if before is not None:
                    before.result()
        finally:
            self._free.put(connection)


def _alone(engine: PostgreSQLEngine) -> Connection:
    """Connect while nobody else is connected; the server needs a moment to notice that this process closed other connections."""
    end = time.monotonic() + 1.0
    while True:
        try:
            return engine.connect_alone()
        except BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _let_bytes_through(connection: Connection) -> None:
    """Allow bytes, which sessions refuse because no table of this library has them; an application's table may."""
    connection.adapters.register_dumper(bytes, BytesDumper)
