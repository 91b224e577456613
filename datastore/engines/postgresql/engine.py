"""PostgreSQL: a pool of connections, transactions and savepoints, the server's clock, notifications.

psycopg is imported only in this package, and only when a ``postgresql://`` URL is opened. As in `engines.sqlite`, this
package issues the SQL that cannot be a statement of sql/: BEGIN, COMMIT, savepoints, LISTEN and VACUUM.

Differs because:

- Writers do not queue for one lock: the statements that need row locks take them (READ COMMITTED), and `lock` protects
  the one thing without a row to lock, the end of the audit chain (docs/decisions/0012-postgresql.md).
- A failed statement would end the whole transaction. So in a caller's transaction each writing statement follows a
  savepoint, and a caller who catches `UniqueError` can continue, as on SQLite.
- Values look like SQLite's to the layers above: an instant is text of 27 characters, JSON is its text.
"""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import psycopg
from psycopg_pool import ConnectionPool

from datastore.engines.base import Durability
from datastore.engines.fork import keep, unwatch, watch
from datastore.engines.ownership import Owner
from datastore.engines.postgresql.errors import translate
from datastore.engines.postgresql.session import PostgreSQLSession
from datastore.engines.postgresql.settings import Blob, Connection, session_sql, set_up
from datastore.engines.sessions import CLOSED, ThreadState
from datastore.engines.transactions import Snapshot, Transaction
from datastore.errors import BusyError, ClosedError, ForkedError, InvalidValueError, TransactionError
from datastore.events import Events
from datastore.search.matching import for_postgresql
from datastore.statements.binding import Dialect
from datastore.statements.optional import by_name
from datastore.values import utc_now

if TYPE_CHECKING:
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement
    from datastore.statements.observed import ObservedStatements

#: The channel that migrations/postgresql/0001.initial.sql notifies when a job is queued; it changes `data_version`.
CHANNEL = "datastore_jobs"

#: The class of this library's advisory locks: the first of PostgreSQL's two lock keys ('DatS').
LOCK_CLASS = 1147237459

MIGRATIONS_LOCK = 1

_locks = {"audit_log": 2}

_synchronous = {"full": "on", "relaxed": "off"}

#: How every connection is made. The server's views show the name, unless the URL or PGAPPNAME gives another.
_OPTIONS: dict[str, Any] = {"autocommit": True, "fallback_application_name": "datastore"}

#: Seconds after which the server's clock is read again, and how often it is read then: on a busy machine one reading may be a
#: tenth of a second off, and the quickest of several is not.
_CLOCK_SECONDS, _CLOCK_READINGS = 60.0, 5


class PostgreSQLEngine:
    """One database on a server. Safe to share between threads; a thread has a connection only while it uses one.

    Args:
        url: ``postgresql://...`` or anything that libpq understands; it is never shown.
        durability: "full": a commit survives a power cut of the server. "relaxed": synchronous_commit is off, and a power
            cut may undo the newest commits, but never break consistency.
        timeout: How long a statement waits for a lock, or a thread for a connection, in seconds.
        pool_size: The maximum number of connections, and of further ones to the replica.
        replica: The URL of a standby that snapshots read from.
        read_only: Whether every change is refused, by the server too.
        clock: The source of the current time; None: the server's clock.
    """

    name = "postgresql"
    #: The database is not a file.
    path = None

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "full",
        timeout: float = 30.0,
        pool_size: int = 10,
        replica: str | None = None,
        read_only: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.timeout = timeout
        self.connections: int | None = pool_size
        self.read_only = read_only
        self.clock = clock or self._server_now
        self.closed = False
        #: Owners of transactions whose context is gone: see `datastore.engines.ownership`.
        self.orphans: list[Owner] = []
        #: Owners of open transactions.
        self.writers: set[Owner] = set()
        self._process = os.getpid()
        self._sessions: weakref.WeakSet[PostgreSQLSession] = weakref.WeakSet()
        self._sessions_lock = threading.Lock()
        # Connections that an interrupt prevented from being returned to the pool.
        self._dropped: deque[_PooledConnection] = deque()
        self._durability = durability
        # Per thread: whether it has a connection of its own, and that connection.
        self._reserved = threading.local()
        self._offset: tuple[float, timedelta] | None = None
        self._listener: Connection | None = None
        self._listening = threading.Lock()
        self._heard = 0
        try:
            self.database = shown(url)
            self._conninfo = url
            self._pool = self._make_pool(url, pool_size)
            self._replica = None if replica is None else self._make_pool(replica, pool_size)
            # The first connection is made outside the pool: its errors are reported at once and in the server's terms.
            self.connect().close()
        except Exception as error:
            raise translate(error, "opening the database") from error
        try:
            if replica is not None:
                shown(replica)
                self._connect(replica).close()
        except Exception as error:
            raise translate(error, "opening the replica") from error
        for pool in filter(None, (self._pool, self._replica)):
            pool.open()
        self._thread = ThreadState(self)
        self.events = Events()
        self._observed: ObservedStatements | None = None
        watch(self)

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that opened the store."""
        return os.getpid() != self._process

    def _make_pool(self, url: str, size: int) -> ConnectionPool[Connection]:
        return ConnectionPool(
            url,
            connection_class=_PooledConnection,
            min_size=0,
            max_size=size,
            timeout=self.timeout,
            kwargs=_OPTIONS,
            configure=self._configure,
            open=False,
        )

    def bind(
        self, statements: Mapping[str, Statement], records: Mapping[str, type[object]] | None = None
    ) -> Statements:
        """Return the statements as methods that run on the calling thread's connection and return *records*."""
        from datastore.statements.binding import bind
        from datastore.statements.observed import ObservedStatements

        if self._observed is None:
            self._observed = ObservedStatements(self.events, self._thread)
        return self._observed.add(bind(statements, self._thread, records, DIALECT), statements)

    def now(self) -> datetime:
        """The current time by the server's clock; constant within a transaction."""
        block = self._thread.block
        if block is None:
            return self.clock()
        outermost = block.outermost
        if outermost.instant is None:
            outermost.instant = self.clock()
        return outermost.instant

    def transaction(self) -> Transaction:
        """A context manager for internal use: a failed statement inside ends the transaction."""
        return Transaction(self._thread)

    def callers_transaction(self, *, serializable: bool = False) -> Transaction:
        """A context manager: see `datastore.store.Datastore.transaction`. Callers may catch an error inside and continue."""
        return Transaction(self._thread, guarded=True, serializable=serializable)

    def snapshot(self) -> Snapshot:
        """A context manager: see `datastore.store.Datastore.snapshot`."""
        return Snapshot(self._thread)

    def lock(self, name: Literal["audit_log"]) -> None:
        """Lock what *name* stands for against other transactions until this one ends."""
        self._thread.connected().control(session_sql("take_lock"), {"library": LOCK_CLASS, "lock": _locks[name]})

    def keep_writers_out(self) -> None:
        """Prevent others from writing conversations, messages, learnings and jobs until this transaction ends."""
        self._thread.connected().control(session_sql("lock_writers_out"))

    def reading(self, action: str) -> None:
        """Refuse *action* inside a transaction.

        Raises:
            TransactionError: The thread is inside one; the message names *action*.
        """
        self._thread.connected()
        self._thread.refuse_block(action)

    def data_version(self) -> int:
        """A number that changes when a job is queued; polling it puts no load on the server.

        Raises:
            TransactionError: Inside a transaction or snapshot.
        """
        self._thread.connected()  # refuses a closed store, and one from before a fork
        if self._thread.block is not None:
            raise TransactionError("the commits of others are not seen inside a transaction or snapshot")
        with self._listening, self.translated("waiting for jobs"):
            if self._listener is not None:
                try:
                    self._heard += sum(1 for _ in self._listener.notifies(timeout=0))
                except psycopg.OperationalError:
                    self._listener = None  # the server was unavailable in the meantime
            if self._listener is None:
                listener = self.connect()
                listener.execute(f"LISTEN {CHANNEL}")
                self._listener = listener
                self._heard += 1  # for notifications before it listened
        return self._heard

    def state(self) -> dict[str, Any]:
        """The server's version, the database's size in bytes, its connections, its oldest transaction's age in seconds."""
        with self.connection() as connection:
            cursor = connection.execute(session_sql("get_server_state"))
            names = [column.name for column in cursor.description or []]
            return dict(zip(names, cursor.fetchone() or (), strict=True))

    def vacuum(self, tables: Sequence[str]) -> bool:
        """Remove the dead rows of some tables while others read and write.

        Returns:
            False if the server skipped a table: only its owner may vacuum it (or a role with MAINTAIN).

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

    def interrupt(self, thread: int) -> None:
        """Ask the server to cancel the reading statement that a thread runs outside a block; do nothing if it runs none."""
        with self._sessions_lock:
            sessions = [session for session in self._sessions if session.thread == thread]
        for session in sessions:
            session.interrupt()

    def checkpoint(self) -> bool:
        """Do nothing: the server checkpoints its own WAL. True, because no reader delays it."""
        return True

    def close(self) -> None:
        """Close every connection. The store cannot be used afterwards.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
        block = self._thread.block
        if block is not None and block.owner.is_here():
            raise TransactionError("the store cannot be closed inside a transaction")
        if self._thread.session is not None:
            self._thread.session.refuse_reentry()
        self.closed = True
        if self.forked:
            return  # the parent's connections are not the child's to end
        self._thread.forget()
        unwatch(self)
        with self._sessions_lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.closing = True
            session.stop()
        if self._listener is not None:
            self._listener.close()
        for pool in filter(None, (self._pool, self._replica)):
            pool.close()

    # Called by sessions.

    def new_session(self) -> PostgreSQLSession:
        """Create a session for the calling thread."""
        self._refuse_fork()
        session = PostgreSQLSession(self)
        with self._sessions_lock:
            self._sessions.add(session)
        return session

    def before_fork(self) -> None:
        """Do nothing: a child is refused, and the parent continues."""

    def after_fork(self) -> None:
        """In the child: leave the parent's connections untouched; see `new_session`."""
        keep((self._pool, self._replica, self._listener, [session.connection for session in self._sessions]))
        self._thread.forget()

    def _refuse_fork(self) -> None:
        if self.forked:
            raise ForkedError(
                "this store was opened before the fork, and its connections belong to the parent; open another store"
            )

    def borrow(self, *, for_reading: bool = False) -> Connection:
        """Borrow a connection, exclusive to this thread until `give_back`; for reading, from the replica if there is one."""
        if self.closed:
            raise ClosedError(CLOSED)
        self._refuse_fork()
        if not for_reading and getattr(self._reserved, "wanted", False):
            return self._own()
        while self._dropped:
            dropped = self._dropped.popleft()
            dropped.dropped = None
            dropped.close()
            if self._pool_of(dropped) is not None:
                self._pool_of(dropped).putconn(dropped)
        pool = (self._replica if for_reading else None) or self._pool
        while True:
            connection = self._from(pool)
            if _is_there(connection):
                return connection
            # The server restarted, or ended the idle connection. No statement was sent yet, so no caller need know.
            connection.close()
            pool.putconn(connection)

    def _from(self, pool: ConnectionPool[Connection]) -> Connection:
        session = self._thread.session
        if session is None or not self.events.listeners:
            return pool.getconn()
        began = time.perf_counter()
        try:
            return pool.getconn()
        finally:
            session.waited += time.perf_counter() - began

    def give_back(self, connection: Connection) -> None:
        """Return a borrowed connection; the pool closes one that is broken or inside a transaction."""
        if connection is getattr(self._reserved, "connection", None):
            return
        if connection.closed:
            cast(_PooledConnection, connection).dropped = None  # the pool replaces it and forgets it
        self._pool_of(connection).putconn(connection)

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Give the calling thread a connection of its own until the block ends, even if all others are in use."""
        self._reserved.wanted = True
        try:
            yield
        finally:
            connection: Connection | None = getattr(self._reserved, "connection", None)
            self._reserved.wanted, self._reserved.connection = False, None
            if connection is not None:
                connection.close()

    def _own(self) -> Connection:
        # Opened late, and again after the server has closed it.
        connection: Connection | None = getattr(self._reserved, "connection", None)
        if connection is None or connection.closed or not _is_there(connection):
            if connection is not None:
                connection.close()
            connection = self._reserved.connection = self.connect()
        return connection

    @contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """A connection until the block ends."""
        connection = self.borrow()
        try:
            yield connection
        finally:
            self.give_back(connection)

    @staticmethod
    def _pool_of(connection: Connection) -> ConnectionPool[Connection]:
        pool: ConnectionPool[Connection] = cast(Any, connection)._pool
        return pool

    @staticmethod
    def sql(name: str) -> str:
        """A statement of sql/postgresql/session.sql, with psycopg's placeholders."""
        return session_sql(name)

    def connect(self) -> Connection:
        """Open a connection outside the pool, which the caller closes."""
        return self._connect(self._conninfo)

    def _connect(self, url: str) -> Connection:
        connection = psycopg.connect(url, **_OPTIONS)
        self._configure(connection)
        return connection

    def connect_alone(self) -> Connection:
        """As `connect`, if nobody else is connected to the database.

        Raises:
            BusyError: Another client is connected.
        """
        connection = self.connect()
        others = int((connection.execute(session_sql("count_other_clients")).fetchone() or (0,))[0])
        if others:
            connection.close()
            raise BusyError(f"{others} other clients are connected to {self.database}; disconnect them first")
        return connection

    def _configure(self, connection: Connection) -> None:
        if isinstance(connection, _PooledConnection):
            connection.dropped = self._dropped
        set_up(
            connection,
            synchronous_commit=_synchronous[self._durability],
            lock_timeout=self.timeout,
            read_only=self.read_only,
        )

    def _server_now(self) -> datetime:
        # The offset from this machine's clock is measured periodically, which avoids a round trip for every statement.
        local = utc_now()
        if self._offset is None or abs(local.timestamp() - self._offset[0]) > _CLOCK_SECONDS:
            with self.connection() as connection:
                offset = min(self._measure(connection) for _ in range(_CLOCK_READINGS))[1]
            local = utc_now()
            self._offset = (local.timestamp(), offset)
        return local + self._offset[1]

    @staticmethod
    def _measure(connection: Connection) -> tuple[timedelta, timedelta]:
        """The time that a reading of the server's clock took, which bounds its error, and the offset that it gave."""
        before = utc_now()
        (text,) = connection.execute(session_sql("get_clock")).fetchone() or ("",)
        took = utc_now() - before
        return took, datetime.fromisoformat(text) - (before + took / 2)

    @contextmanager
    def translated(self, where: str) -> Iterator[None]:
        """Translate the driver's errors to this library's, naming *where*."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, where) from error

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The thread's connection inside a transaction, otherwise one from the pool until the block ends."""
        session: PostgreSQLSession = self._thread.connected()
        if session.connection is not None:
            yield session.connection
            return
        with self.translated("reading the server's state"), self.borrowed() as connection:
            yield connection


class _PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that returns to its pool even if an interrupt lost it."""

    #: The queue that it joins if it is dropped while borrowed.
    dropped: deque[_PooledConnection] | None = None

    def __del__(self, *arguments: Any) -> None:
        # psycopg_pool sets `_pool` to the pool that it was borrowed from; None while it is in the pool.
        if self.dropped is not None and getattr(self, "_pool", None) is not None:
            self.dropped.append(self)
        else:
            super().__del__(*arguments)


def _is_there(connection: Connection) -> bool:
    """Whether an idle connection has no unread data: unsolicited data from the server almost always means that it ends."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return not said.poll(0)


def shown(url: str) -> str:
    """A URL without user, password and options, as messages may show it."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise InvalidValueError(
            "this is not the URL of a PostgreSQL database; give postgresql://user@host:5432/name"
        ) from None
    host = parts.get("host") or parts.get("hostaddr") or ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{'' if str(host).startswith('/') else host}{port}/{parts.get('dbname') or ''}"


#: How statements are rewritten for psycopg.
DIALECT = Dialect(
    text=by_name,
    named=True,
    labelled=True,
    encoders={"match": for_postgresql, "words": for_postgresql, "blob": Blob.of},
)
