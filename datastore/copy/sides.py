"""Whole tables from one database to another, SQLite or PostgreSQL: read in the order of their keys, written as they are.

No statement of sql/ can say "every column of every table", so those few are put together here. Triggers are off while a batch is
written, in the same transaction: what they would compute (counts, tags, numbers) is copied, and a killed copy leaves none off.

A server works for each connection in one process. So the large tables are written over two connections at once, each a batch, and
committed in their order: what is there is always the beginning of the table. `datastore.copy` has the full-text indexes filled
after the last row, because what makes the words is Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import re
import sqlite3
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from datastore.engines.schema import Column, Schema, quoted, read_schema, schema_sql
from datastore.engines.sqlite.errors import translate as sqlite_error
from datastore.errors import BusyError

Row = tuple[Any, ...]

#: The first page of a table, whose rows may be of a mebibyte each, and the characters that make a page large.
_FIRST_ROWS, _PAGE_LENGTH = 64, 8 * 1024 * 1024


#: Whose triggers on an insertion heed ``datastore.copying`` (migrations/postgresql/0001), so that several connections may write.
_SIDE_BY_SIDE = ("messages", "learnings")
#: So many write at once: one more made nothing faster on two cores, of which this process needs a quarter (docs/scaling.md).
LANES = 2


@attrs.frozen
class Part:
    """A table as it is on one side."""

    name: str
    #: In the same order on both sides.
    columns: tuple[Column, ...]
    #: Where the columns of the key are among them.
    key: tuple[int, ...]

    @property
    def keys(self) -> list[Column]:
        """The columns of the key."""
        return [self.columns[place] for place in self.key]


class Side:
    """A database that is copied from or to: how it is read is the same on both engines, but for the marks of parameters."""

    engine_name = "sqlite"
    mark = "?"
    schema: Schema
    _connection: Any

    def kind(self, type: str) -> str:
        """Which values a column of this type has: integer, real, text, blob, ... or what only this engine has."""
        raise NotImplementedError

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        """All of the rows, or none; perhaps only when `settle` is called.

        Args:
            part: The table.
            rows: The next rows.
            whole: They are all that the table is to have: one may refer to a later one.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until everything is done that was begun; raises what failed."""

    def numbers(self) -> dict[str, int]:
        """The last number that each table gave out, by the table's name in lower case."""
        raise NotImplementedError

    def finish(self, numbers: Mapping[str, int]) -> None:
        """Begin what the database needs after its last row, while the rows are read again; `settle` waits for it.

        Args:
            numbers: Each table goes on after this number, or after its highest.
        """
        raise NotImplementedError

    def count(self, name: str) -> int:
        """How many rows a table has."""
        return int(self._connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0])

    def has_odd_times(self, table: str, column: Column) -> bool:
        """Whether a column has times that the library's text cannot say: infinite, before the year 1 or after 9999."""
        return False

    def last(self, part: Part) -> Row | None:
        """The greatest key."""
        order = ", ".join(f"{self._ordered(key)} DESC" for key in part.keys)
        sql = f"SELECT {', '.join(map(self._selected, part.keys))} FROM {quoted(part.name)} ORDER BY {order} LIMIT 1"
        found: Row | None = self._connection.execute(sql).fetchone()
        return found

    def pages(self, part: Part, after: Row | None, rows: int) -> Generator[list[Row], None, None]:
        """The rows after a key in its order, *rows* at most at a time and about 8 MiB."""
        columns, order = map(self._selected, part.columns), ", ".join(map(self._ordered, part.keys))
        later = "" if after is None else f"WHERE ({order}) > ({', '.join([self.mark] * len(part.key))})"
        sql = f"SELECT {', '.join(columns)} FROM {quoted(part.name)} {later} ORDER BY {order}"
        size = min(rows, _FIRST_ROWS)
        with self._cursor() as cursor:
            cursor.execute(sql, after or ())
            while page := cursor.fetchmany(size):
                yield page
                length = sum(len(value) for row in page for value in row if isinstance(value, str | bytes))
                if length > _PAGE_LENGTH:
                    size = max(1, size // 2)
                elif length < _PAGE_LENGTH // 4:
                    size = min(rows, size * 2)

    def _cursor(self) -> Any:
        """A cursor that fetches as it is asked, and is closed at the end."""
        raise NotImplementedError

    def _selected(self, column: Column) -> str:
        """A column's value as it is compared and written on the other side."""
        raise NotImplementedError

    def _ordered(self, column: Column) -> str:
        """The same, in an order that is that of both engines."""
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()


class Digest:
    """SHA-256 of every value of a table, in the order of its key.

    Args:
        documents: The places of columns that one side keeps as values of JSON and the other as their text.
    """

    def __init__(self, documents: Sequence[int] = ()) -> None:
        self._found = hashlib.sha256()
        self._documents = documents

    def update(self, rows: Sequence[Row]) -> None:
        """Take in the next rows."""
        lines = [encoded(row, self._documents) for row in rows]
        self._found.update("\n".join([*lines, ""]).encode())

    @classmethod
    def of(cls, side: Side, part: Part, documents: Sequence[int] = ()) -> str:
        """That of a whole table."""
        found = cls(documents)
        with contextlib.closing(side.pages(part, None, 5000)) as pages:
            for page in pages:
                found.update(page)
        return found.hex

    @property
    def hex(self) -> str:
        """What was taken in so far."""
        return self._found.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Decimal):
        # 1.0 and 1e0 are one value of JSONB, and so is what PostgreSQL writes for them.
        return {"number": str(value.normalize())}
    raise TypeError(f"{type(value).__name__} is no value of a row")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
_encode_document = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain, sort_keys=True).encode
_decode_document = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal).decode


def encoded(row: Row, documents: Sequence[int] = ()) -> str:
    """A row as the digest takes it; equal rows are equal texts."""
    if documents:
        values = list(row)
        for place in documents:
            if values[place] is not None:
                values[place] = _document(values[place])
        row = tuple(values)
    return _encode(row)


def _document(text: str) -> str:
    try:
        return _encode_document(_decode_document(text))
    except (ValueError, TypeError, RecursionError):
        return f"no JSON: {text}"


class SQLiteSide(Side):
    """A file.

    Raises:
        BusyError: Somebody writes to it.
    """

    def __init__(self, path: Path, *, target: bool) -> None:
        # A batch may be read where the other side writes it, in a thread of its own, while this one waits.
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
        try:
            if target:
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("ROLLBACK")
            else:
                self._connection.execute("BEGIN")  # one instant, whoever writes meanwhile
                self.count("sqlite_master")
            self.schema = read_schema(lambda name: self._connection.execute(schema_sql("sqlite", name)).fetchall())
        except sqlite3.Error as error:
            self._connection.close()
            raise sqlite_error(error, "copying") from error

    def kind(self, type: str) -> str:
        # By the words that SQLite itself looks for, and by those that tables which are not STRICT use for a type of their own.
        for kind, words in _KINDS.items():
            if re.search(words, type, re.IGNORECASE):
                return kind
        return f"{type or 'no type'}"

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        execute = self._connection.execute
        names, marks = ", ".join(quoted(column.name) for column in part.columns), ", ".join("?" * len(part.columns))
        try:
            execute("BEGIN IMMEDIATE")
            if whole:
                execute("PRAGMA defer_foreign_keys = ON")
            triggers = execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
                (part.name,),
            ).fetchall()
            for name, _ in triggers:
                execute(f"DROP TRIGGER {quoted(name)}")
            self._connection.executemany(f"INSERT INTO {quoted(part.name)} ({names}) VALUES ({marks})", rows)
            for _, text in triggers:
                execute(text)
            execute("COMMIT")
        except BaseException as error:
            self._connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise sqlite_error(error, f"copying {part.name}") from error
            raise

    def numbers(self) -> dict[str, int]:
        return {name.lower(): last for name, last in self._connection.execute("SELECT name, seq FROM sqlite_sequence")}

    def finish(self, numbers: Mapping[str, int]) -> None:
        execute, given = self._connection.execute, self.numbers()
        for name, text in execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            last = numbers.get(name.lower(), 0)
            if re.search(r"\bAUTOINCREMENT\b", text or "", re.IGNORECASE) and last > given.get(name.lower(), 0):
                changed = execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, name)).rowcount
                if not changed:
                    execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))

    def _cursor(self) -> Any:
        return contextlib.closing(self._connection.cursor())

    def _selected(self, column: Column) -> str:
        return quoted(column.name)

    def _ordered(self, column: Column) -> str:
        return f"{quoted(column.name)} COLLATE BINARY" if self.kind(column.type) == "text" else quoted(column.name)


#: Kinds of values, by the words in the type of a column of SQLite, the first that fits.
_KINDS = {
    "integer": "INT|BOOL",
    "text": "CHAR|CLOB|TEXT|DATE|TIME|JSON|UUID",
    "blob": "BLOB",
    "real": "REAL|FLOA|DOUB",
}


class PostgreSQLSide(Side):
    """A database on a server.

    Args:
        engine: A `datastore.engines.postgresql.engine.PostgreSQLEngine`.
        target: Whether it is written to, which nobody else may do meanwhile.

    Raises:
        BusyError: Somebody else is connected to the target.
    """

    engine_name = "postgresql"
    mark = "%s"

    def __init__(self, engine: Any, *, target: bool) -> None:
        self._engine = engine
        self._connection = _alone(engine) if target else engine.connect()
        self._lanes: list[Any] = []
        self._pending: deque[Future[None]] = deque()
        # A transaction for as long as rows are read: a cursor that fetches as it is asked needs one.
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.schema = read_schema(lambda name: self._connection.execute(schema_sql("postgresql", name)).fetchall())
        self._own_triggers = {row[0] for row in self._connection.execute(engine.sql("list_own_triggers"))}
        if not target:
            return
        self._connection.execute("COMMIT")
        self._lanes = [self._connection, *(engine.connect() for _ in range(LANES - 1))]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
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
        # Not on the connection that reads the rows again.
        self._pending.append(self._threads.submit(self._finish, self._lanes[-1], numbers))

    def _finish(self, connection: Any, numbers: Mapping[str, int]) -> None:
        with self._engine.translated("copying"):
            for table, column, sequence, given in connection.execute(self._engine.sql("list_numbers")).fetchall():
                highest = connection.execute(f"SELECT max({quoted(column)}) FROM {quoted(table)}").fetchone()[0]
                last = max(highest or 0, numbers.get(table.lower(), 0))
                if last > (given or 0):
                    values = {"sequence": sequence, "last_value": last}
                    connection.execute(self._engine.sql("raise_number"), values)
            connection.execute("ANALYZE")

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
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


#: Kinds of values, by the type of a column of PostgreSQL; another type is its own kind, and comes and goes as text.
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

#: What the session gives as it is compared and written; see `datastore.engines.postgresql.settings.set_up`.
_AS_THEY_ARE = frozenset({"integer", "real", "text", "instant", "json", "blob"})


def _alone(engine: Any) -> Any:
    """A connection where nobody else is connected; the server needs a moment to see that this process's others were closed."""
    end = time.monotonic() + 1.0
    while True:
        try:
            return engine.connect_alone()
        except BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _let_bytes_through(connection: Any) -> None:
    """The session refuses bytes, which no table of this library has; an application's may."""
    from psycopg.types.string import BytesDumper

    connection.adapters.register_dumper(bytes, BytesDumper)


def chained(pages: Iterable[Sequence[Row]], seen: Digest) -> Iterator[Row]:
    """The rows of the pages, which the digest takes in as they go."""
    for page in pages:
        seen.update(page)
        yield from page
