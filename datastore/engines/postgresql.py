"""PostgreSQL: a pool of connections, transactions and savepoints, the server's clock, notifications.

The one module that imports psycopg (with `postgresql_errors`, and the migrations' backend), and that only when a
``postgresql://`` URL is opened. As in `engines.sqlite`, what is no statement of sql/ stands here: BEGIN, COMMIT, savepoints,
LISTEN and VACUUM.

Differs because:

- Writers do not queue for one lock: rows are locked by the statements that need it (READ COMMITTED), and `lock` keeps
  others from the one thing that has no row of its own, the end of the audit chain (docs/decisions/0012-postgresql.md).
- A statement that fails would end the whole transaction: right inside a caller's, each that writes stands behind a
  savepoint, so that a caller who catches `UniqueError` goes on, as on SQLite.
- Values look like SQLite's to the layers above: an instant is text of 27 characters, JSON is its own text.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from datastore.engines.postgresql_errors import translate
from datastore.engines.tsquery import tsquery
from datastore.errors import BusyError, ClosedError, ForkedError, TransactionError, TransactionLostError
from datastore.resources import sql_folder
from datastore.statements.binding import Dialect
from datastore.statements.loader import read_file
from datastore.statements.optional import by_name
from datastore.values import utc_now

if TYPE_CHECKING:
    from datastore.statements.binding import Parameters, Statements

Connection = psycopg.Connection[tuple[Any, ...]]

#: Wakes `data_version` when a job is put into the queue: migrations/postgresql/0004.job_queue.sql notifies it.
CHANNEL = "datastore_jobs"

#: The advisory locks of this library: the first of the two numbers that PostgreSQL takes ('DatS').
LOCK_CLASS = 1147237459

MIGRATIONS_LOCK = 1

_locks = {"audit_log": 2, "erasure_keys": 3}

_synchronous = {"full": "on", "relaxed": "off"}

#: The server's clock is asked again after so many seconds.
_CLOCK_SECONDS = 60.0


class _InstantLoader(Loader):
    """timestamptz as the text that SQLite keeps: 2026-11-23T09:14:05.000000Z. The session's time zone is UTC."""

    def load(self, data: Any) -> str:
        text = bytes(data).decode()
        day, _, rest = text.partition(" ")
        clock, _, fraction = rest.removesuffix("+00").partition(".")
        return f"{day}T{clock}.{fraction:0<6}Z"


class _FlagDumper(Dumper):
    """True and False as 1 and 0: flags are integers, so that statements read the same on both engines."""

    oid = psycopg.postgres.types["int2"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _RefusingDumper(Dumper):
    """What SQLite's tables would not take either: psycopg would make text of it in its own way."""

    def dump(self, obj: Any) -> NoReturn:
        raise psycopg.DataError(f"{type(obj).__name__} is no type of a column")


_REFUSED = (bytes, bytearray, memoryview, Decimal, UUID, list, tuple, date, datetime, clock_time, timedelta)


class PostgreSQLEngine:
    """One database on a server. Safe to share between threads; a thread has a connection while it uses one.

    Args:
        url: ``postgresql://...`` or anything that libpq understands; it is never shown.
        durability: "full": a commit survives a power cut of the server. "relaxed": synchronous_commit is off, and a power
            cut may undo the newest commits, never break consistency.
        timeout: How long a statement waits for a lock, or a thread for a connection, in seconds.
        pool_size: Connections at most.
        clock: Where the time comes from; None: the server's clock.
    """

    name = "postgresql"
    #: Full text is a generated column of each row.
    fts5 = False

    def __init__(
        self,
        url: str,
        *,
        durability: Literal["full", "relaxed"] = "full",
        timeout: float = 30.0,
        pool_size: int = 10,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.timeout = timeout
        self.clock = clock or self._server_now
        self.closed = False
        self._process = os.getpid()
        self._durability = durability
        self._offset: tuple[float, timedelta] | None = None
        self._listener: Connection | None = None
        self._listening = threading.Lock()
        self._heard = 0
        try:
            self.database = shown(url)
            self._conninfo = url
            self._pool: ConnectionPool[Connection] = ConnectionPool(
                url,
                min_size=0,
                max_size=pool_size,
                timeout=timeout,
                kwargs={"autocommit": True},
                configure=self._configure,
                open=False,
            )
            # The first connection by itself: what is wrong with it is told at once and in the server's terms.
            self.connect().close()
        except Exception as error:
            raise translate(error, "opening the database") from error
        self._pool.open()
        self._thread = ThreadState(self)

    def bind(self, statements: dict[str, Any], records: Mapping[str, type[Any]] | None = None) -> Statements:
        """The statements as methods that run on the calling thread's connection, and give *records*."""
        from datastore.statements.binding import bind

        return bind(statements, self._thread, records, DIALECT)

    def now(self) -> datetime:
        """The present instant, by the server's clock; within a transaction always the same one."""
        thread = self._thread
        if not thread.depth:
            return self.clock()
        if thread.instant is None:
            thread.instant = self.clock()
        return thread.instant

    def transaction(self) -> Transaction:
        """A context manager for this library's own use: a statement that fails inside ends it."""
        return Transaction(self, self._thread, guarded=False)

    def callers_transaction(self) -> Transaction:
        """A context manager: see `datastore.store.Datastore.transaction`. A caller may catch an error inside, and go on."""
        return Transaction(self, self._thread, guarded=True)

    def snapshot(self) -> Snapshot:
        """A context manager: see `datastore.store.Datastore.snapshot`."""
        return Snapshot(self, self._thread)

    def lock(self, name: str) -> None:
        """Keep other transactions from what *name* stands for until this one ends."""
        self._thread.control(session_sql("take_lock"), {"library": LOCK_CLASS, "lock": _locks[name]})

    def reading(self, action: str) -> None:
        """Refuse to go on inside a transaction.

        Raises:
            TransactionError: The thread is inside one; *action* is what it says.
        """
        if self._thread.depth:
            raise TransactionError(f"{action} cannot run inside a transaction")

    def data_version(self) -> int:
        """A number that changes when a job is queued; waiting for it costs the server nothing.

        Raises:
            TransactionError: Inside a transaction or snapshot.
        """
        if self._thread.depth:
            raise TransactionError("the commits of others are not seen inside a transaction or snapshot")
        with self._listening:
            try:
                if self._listener is None or self._listener.closed:
                    self._listener = self.connect()
                    self._listener.execute(f"LISTEN {CHANNEL}")
                    self._heard += 1  # whatever came before it listened
                self._heard += sum(1 for _ in self._listener.notifies(timeout=0))
            except psycopg.Error as error:
                raise translate(error, "waiting for jobs") from error
        return self._heard

    def state(self) -> dict[str, Any]:
        """The server's version, the database's bytes, its connections, the age in seconds of its oldest transaction."""
        with self.connection() as connection:
            cursor = connection.execute(session_sql("get_server_state"))
            names = [column.name for column in cursor.description or []]
            return dict(zip(names, cursor.fetchone() or (), strict=True))

    def vacuum(self, tables: Sequence[str]) -> bool:
        """Take the dead rows of some tables away, with others reading and writing.

        Returns:
            False where the server left some of them out: only their owner may (or who was granted MAINTAIN).

        Raises:
            TransactionError: Inside a transaction.
        """
        self.reading("VACUUM")
        warnings: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            warnings.extend(filter(None, [diagnostic.severity_nonlocalized]))

        with self.connection() as connection:
            connection.add_notice_handler(note)
            try:
                connection.execute(f"VACUUM {', '.join(tables)}")
            finally:
                connection.remove_notice_handler(note)
        return "WARNING" not in warnings

    def checkpoint(self) -> bool:
        """Nothing: the server writes its own WAL back. True, because nobody has to wait for it."""
        return True

    def close(self) -> None:
        """Close every connection. The store cannot be used afterwards.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
        if self._thread.depth:
            raise TransactionError("the store cannot be closed inside a transaction")
        self.closed = True
        if os.getpid() != self._process:
            return  # the parent's connections are not the child's to end
        if self._listener is not None:
            self._listener.close()
        self._pool.close()

    # What the thread state and the transactions call.

    def borrow(self) -> Connection:
        """A connection, for this thread alone until `give_back`."""
        if self.closed:
            raise ClosedError("the store is closed; open it again")
        if os.getpid() != self._process:
            raise ForkedError(
                "this store was opened before the fork, and its connections are the parent's; open another"
            )
        while True:
            connection = self._pool.getconn()
            if _is_there(connection):
                return connection
            # The server was restarted, or ended it while nobody used it: nothing was asked yet, so nobody need know.
            connection.close()
            self._pool.putconn(connection)

    def give_back(self, connection: Connection) -> None:
        """Give a borrowed connection back; one that is broken or inside a transaction is closed by the pool."""
        self._pool.putconn(connection)

    @staticmethod
    def sql(name: str) -> str:
        """A statement of sql/postgresql/session.sql, with psycopg's marks."""
        return session_sql(name)

    def settle(self) -> None:
        """Behind a copy: numbers go on behind the highest, and the planner knows the tables."""
        with self.connection() as connection:
            connection.execute(session_sql("restart_numbers"))
            connection.execute("ANALYZE")

    def connect(self) -> Connection:
        """A connection beside the pool's, for the caller to close."""
        connection = psycopg.connect(self._conninfo, autocommit=True)
        self._configure(connection)
        return connection

    def connect_alone(self) -> Connection:
        """The same, where nobody else is connected to the database.

        Raises:
            BusyError: Somebody is.
        """
        connection = self.connect()
        others = int((connection.execute(session_sql("count_other_clients")).fetchone() or (0,))[0])
        if others:
            connection.close()
            raise BusyError(f"{others} others are connected to {self.database}; end them first")
        return connection

    def _configure(self, connection: Connection) -> None:
        connection.adapters.register_loader("timestamptz", _InstantLoader)
        connection.adapters.register_loader("json", TextLoader)
        connection.adapters.register_dumper(bool, _FlagDumper)
        for kind in _REFUSED:
            connection.adapters.register_dumper(kind, _RefusingDumper)
        wait = f"{int(self.timeout * 1000)}ms"
        settings = {"synchronous_commit": _synchronous[self._durability], "lock_timeout": wait}
        connection.execute(session_sql("set_session"), settings)

    def _server_now(self) -> datetime:
        # The difference to this machine's clock, measured now and then: no round trip for every statement.
        local = utc_now()
        if self._offset is None or abs(local.timestamp() - self._offset[0]) > _CLOCK_SECONDS:
            with self.connection() as connection:
                (text,) = connection.execute(session_sql("get_clock")).fetchone() or ("",)
            behind = utc_now()
            middle = local + (behind - local) / 2
            self._offset = (behind.timestamp(), datetime.fromisoformat(text) - middle)
            local = behind
        return local + self._offset[1]

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The thread's connection inside a transaction, else one from the pool for as long as the block lasts."""
        if self._thread.connection is not None:
            yield self._thread.connection
            return
        connection = self.borrow()
        try:
            yield connection
        except psycopg.Error as error:
            raise translate(error, "a look at the server") from error
        finally:
            self.give_back(connection)


def _is_there(connection: Connection) -> bool:
    """Whether the server said nothing unasked to an idle connection: what it says so is, as good as always, that it ends."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return not said.poll(0)


@cache
def _session() -> dict[str, str]:
    path = sql_folder() / "postgresql" / "session.sql"
    return {statement.name: by_name(statement.sql) for statement in read_file(path, "postgresql/session.sql")}


def session_sql(name: str) -> str:
    """A statement that the engine runs for itself, with psycopg's marks."""
    return _session()[name]


def shown(url: str) -> str:
    """Where a URL leads, without user, password and options: what messages may say."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        from datastore.errors import InvalidValueError

        raise InvalidValueError("this is no URL of a PostgreSQL database: postgresql://user@host:5432/name") from None
    host = parts.get("host") or parts.get("hostaddr") or ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{'' if str(host).startswith('/') else host}{port}/{parts.get('dbname') or ''}"


class _Rows(list[tuple[Any, ...]]):
    """Rows that were read: what the statements ask for is a cursor's fetchall."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self


class ThreadState(threading.local):
    """What a thread's statements run on."""

    def __init__(self, engine: PostgreSQLEngine) -> None:
        self._engine = engine
        #: Inside a transaction or snapshot; else None.
        self.connection: Connection | None = None
        #: 0 outside, 1 in a transaction or snapshot, more in nested ones.
        self.depth = 0
        self.instant: datetime | None = None
        self.in_snapshot = False
        #: Whether the innermost transaction is a caller's, who may catch an error and go on.
        self.guarded = False
        #: Whether a failed statement can be taken back alone.
        self._protected = False

    def read(self, sql: str, parameters: Parameters, /) -> _Rows:
        connection = self.connection
        if connection is not None:
            self._protected = False
            return _Rows(connection.execute(sql, parameters).fetchall())
        engine = self._engine
        connection = engine.borrow()
        try:
            return _Rows(connection.execute(sql, parameters).fetchall())
        finally:
            engine.give_back(connection)

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        return self._change(sql, parameters).fetchall()

    def change(self, sql: str, parameters: Parameters, /) -> int:
        return self._change(sql, parameters).rowcount

    def _change(self, sql: str, parameters: Parameters) -> psycopg.Cursor[tuple[Any, ...]]:
        if self.in_snapshot:
            raise TransactionError("a snapshot is for reading; write outside it, in a transaction")
        connection = self.connection
        if connection is not None:
            if not self.guarded:
                return connection.execute(sql, parameters)
            connection.execute("SAVEPOINT statement")
            self._protected = True
            cursor = connection.execute(sql, parameters)
            connection.execute("RELEASE statement")
            self._protected = False
            return cursor
        engine = self._engine
        connection = engine.borrow()
        try:
            return connection.execute(sql, parameters)
        finally:
            engine.give_back(connection)

    def control(self, sql: str, parameters: dict[str, Any]) -> None:
        """Run what the engine needs itself inside the transaction."""
        if self.connection is None:
            raise TransactionError("a lock is held until the transaction ends; begin one")
        try:
            self.connection.execute(sql, parameters)
        except psycopg.Error as error:
            raise translate(error, "waiting for a lock") from error

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise this library's error for the driver's; a transaction goes on where the statement alone can be undone."""
        connection, protected = self.connection, self._protected
        self._protected = False
        if protected and connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK TO statement; RELEASE statement")
        translated = translate(error, f"statement {name} ({file})", committing=not self.depth and _sent(error))
        if translated is error:
            raise error
        raise translated from error

    def leave(self) -> None:
        """Outside of every transaction again."""
        connection, self.connection = self.connection, None
        self.depth = 0
        self.instant = None
        self.in_snapshot = False
        self.guarded = False
        self._protected = False
        if connection is not None:
            self._engine.give_back(connection)


def _sent(error: Exception) -> bool:
    """Whether a statement was on its way when the connection was lost: then it may have been committed."""
    return isinstance(error, psycopg.OperationalError) and not isinstance(error, psycopg.errors.ConnectionTimeout)


class Transaction:
    """``with`` it: BEGIN outside, a savepoint inside; rolls back on any exception."""

    def __init__(self, engine: PostgreSQLEngine, thread: ThreadState, *, guarded: bool) -> None:
        self._engine = engine
        self._thread = thread
        self._guarded = guarded
        self._guarded_outside = False
        self._depth = 0
        self._process = os.getpid()

    def __enter__(self) -> None:
        thread = self._thread
        if thread.in_snapshot:
            raise TransactionError("a transaction cannot begin inside a snapshot")
        try:
            if thread.connection is None:
                connection = self._engine.borrow()
                thread.connection = connection
                connection.execute("BEGIN")
            else:
                thread.connection.execute(f"SAVEPOINT s{thread.depth}")
        except BaseException as error:
            if not thread.depth:
                thread.leave()
            if isinstance(error, Exception):
                raise translate(error, "BEGIN") from error
            raise
        thread.depth += 1
        self._depth = thread.depth
        self._guarded_outside, thread.guarded = thread.guarded, self._guarded

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            raise ForkedError("this transaction belongs to the parent process; the child has left it") from error
        self._thread.guarded = self._guarded_outside
        if self._depth > 1:
            self._leave_savepoint(error)
        else:
            self._leave(error)

    def _leave_savepoint(self, error: BaseException | None) -> None:
        thread = self._thread
        connection = thread.connection
        thread.depth = self._depth - 1
        if connection is None or connection.closed:
            if error is None:
                raise _lost()
            return
        savepoint = f"s{thread.depth}"
        try:
            if error is not None:
                connection.execute(f"ROLLBACK TO {savepoint}")
            connection.execute(f"RELEASE {savepoint}")
        except psycopg.Error as failure:
            if error is None:
                raise _lost() from failure

    def _leave(self, error: BaseException | None) -> None:
        thread = self._thread
        connection = thread.connection
        try:
            if connection is None or connection.closed:
                if error is None:
                    raise _lost()
            elif error is not None or thread.depth > 1:
                connection.execute("ROLLBACK")
                if error is None:
                    raise TransactionLostError(
                        "a block inside this transaction was interrupted and did not end; begin it again"
                    )
            elif connection.info.transaction_status is TransactionStatus.INERROR:
                connection.execute("ROLLBACK")
                raise _lost()
            else:
                connection.execute("COMMIT")
        except psycopg.Error as failure:
            if error is None:
                raise translate(failure, "COMMIT", committing=True) from failure
        finally:
            thread.leave()


class Snapshot:
    """``with`` it: what is read inside is of one instant; inside a transaction it changes nothing."""

    def __init__(self, engine: PostgreSQLEngine, thread: ThreadState) -> None:
        self._engine = engine
        self._thread = thread
        self._outermost = False

    def __enter__(self) -> None:
        thread = self._thread
        if thread.depth:
            thread.depth += 1
            return
        try:
            thread.connection = self._engine.borrow()
            # The first statement fixes what is seen, not BEGIN.
            thread.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            thread.connection.execute(session_sql("get_clock"))
        except BaseException as error:
            thread.leave()
            if isinstance(error, Exception):
                raise translate(error, "snapshot") from error
            raise
        self._outermost = True
        thread.depth = 1
        thread.in_snapshot = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = self._thread
        if not self._outermost:
            thread.depth -= 1
            return
        connection = thread.connection
        try:
            if connection is not None and not connection.closed:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
        finally:
            thread.leave()


def _lost() -> TransactionLostError:
    return TransactionLostError(
        "the database ended this transaction after an error; all of it is undone, begin it again"
    )


#: How statements are written for psycopg.
DIALECT = Dialect(text=by_name, named=True, encoders={"match": tsquery})
