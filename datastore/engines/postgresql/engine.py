"""PostgreSQL: a pool of connections, transactions and savepoints, the server's clock, notifications.

psycopg is imported here and in the modules beside this one (``postgresql_*``), and only when a ``postgresql://`` URL is
opened. As in `engines.sqlite`, what is no statement of sql/ stands in them: BEGIN, COMMIT, savepoints, LISTEN and VACUUM.

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
from datastore.engines.postgresql.settings import Connection, session_sql, set_up
from datastore.engines.sessions import CLOSED, ThreadState
from datastore.engines.transactions import Snapshot, Transaction
from datastore.errors import BusyError, ClosedError, ForkedError, InvalidValueError, TransactionError
from datastore.search.matching import for_postgresql
from datastore.statements.binding import Dialect
from datastore.statements.optional import by_name
from datastore.values import utc_now

if TYPE_CHECKING:
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement

#: Wakes `data_version` when a job is put into the queue: migrations/postgresql/0001.initial.sql notifies it.
CHANNEL = "datastore_jobs"

#: The advisory locks of this library: the first of the two numbers that PostgreSQL takes ('DatS').
LOCK_CLASS = 1147237459

MIGRATIONS_LOCK = 1

_locks = {"audit_log": 2}

_synchronous = {"full": "on", "relaxed": "off"}

#: The server's clock is asked again after so many seconds.
_CLOCK_SECONDS = 60.0


class PostgreSQLEngine:
    """One database on a server. Safe to share between threads; a thread has a connection while it uses one.

    Args:
        url: ``postgresql://...`` or anything that libpq understands; it is never shown.
        durability: "full": a commit survives a power cut of the server. "relaxed": synchronous_commit is off, and a power
            cut may undo the newest commits, never break consistency.
        timeout: How long a statement waits for a lock, or a thread for a connection, in seconds.
        pool_size: Connections at most, and as many again to the replica.
        replica: The URL of a standby, where snapshots are read.
        clock: Where the time comes from; None: the server's clock.
    """

    name = "postgresql"
    #: Full text is in tables of its own, which rank by what they are given.
    fts5 = False
    #: No file, so that nothing can stand beside it.
    path = None

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "full",
        timeout: float = 30.0,
        pool_size: int = 10,
        replica: str | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.timeout = timeout
        self.clock = clock or self._server_now
        self.closed = False
        #: Owners of transactions whose context is gone: see `datastore.engines.ownership`.
        self.orphans: list[Owner] = []
        #: Owners of open transactions.
        self.writers: set[Owner] = set()
        self._process = os.getpid()
        self._sessions: weakref.WeakSet[PostgreSQLSession] = weakref.WeakSet()
        self._sessions_lock = threading.Lock()
        # Connections that an interrupt kept from being given back.
        self._dropped: deque[_PooledConnection] = deque()
        self._durability = durability
        self._offset: tuple[float, timedelta] | None = None
        self._listener: Connection | None = None
        self._listening = threading.Lock()
        self._heard = 0
        try:
            self.database = shown(url)
            self._conninfo = url
            self._pool = self._make_pool(url, pool_size)
            self._replica = None if replica is None else self._make_pool(replica, pool_size)
            # The first connection by itself: what is wrong with it is told at once and in the server's terms.
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
            kwargs={"autocommit": True},
            configure=self._configure,
            open=False,
        )

    def bind(
        self, statements: Mapping[str, Statement], records: Mapping[str, type[object]] | None = None
    ) -> Statements:
        """The statements as methods that run on the calling thread's connection, and give *records*."""
        from datastore.statements.binding import bind

        return bind(statements, self._thread, records, DIALECT)

    def now(self) -> datetime:
        """The present instant, by the server's clock; within a transaction always the same one."""
        block = self._thread.block
        if block is None:
            return self.clock()
        outermost = block.outermost
        if outermost.instant is None:
            outermost.instant = self.clock()
        return outermost.instant

    def transaction(self) -> Transaction:
        """A context manager for this library's own use: a statement that fails inside ends it."""
        return Transaction(self._thread)

    def callers_transaction(self, *, serializable: bool = False) -> Transaction:
        """A context manager: see `datastore.store.Datastore.transaction`. A caller may catch an error inside, and go on."""
        return Transaction(self._thread, guarded=True, serializable=serializable)

    def snapshot(self) -> Snapshot:
        """A context manager: see `datastore.store.Datastore.snapshot`."""
        return Snapshot(self._thread)

    def lock(self, name: Literal["audit_log"]) -> None:
        """Keep other transactions from what *name* stands for until this one ends."""
        self._thread.connected().control(session_sql("take_lock"), {"library": LOCK_CLASS, "lock": _locks[name]})

    def keep_writers_out(self) -> None:
        """Keep others from writing conversations, messages, learnings and jobs until this transaction ends."""
        self._thread.connected().control(session_sql("lock_writers_out"))

    def reading(self, action: str) -> None:
        """Refuse to go on inside a transaction.

        Raises:
            TransactionError: The thread is inside one; *action* is what it says.
        """
        self._thread.connected()
        self._thread.refuse_block(action)

    def data_version(self) -> int:
        """A number that changes when a job is queued; waiting for it costs the server nothing.

        Raises:
            TransactionError: Inside a transaction or snapshot.
        """
        self._thread.connected()  # a closed store, and one from before a fork, are refused here too
        if self._thread.block is not None:
            raise TransactionError("the commits of others are not seen inside a transaction or snapshot")
        with self._listening, self.translated("waiting for jobs"):
            if self._listener is not None:
                try:
                    self._heard += sum(1 for _ in self._listener.notifies(timeout=0))
                except psycopg.OperationalError:
                    self._listener = None  # the server was away meanwhile
            if self._listener is None:
                listener = self.connect()
                listener.execute(f"LISTEN {CHANNEL}")
                self._listener = listener
                self._heard += 1  # whatever came before it listened
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

    # What sessions call.

    def new_session(self) -> PostgreSQLSession:
        """A session for the calling thread."""
        self._refuse_fork()
        session = PostgreSQLSession(self)
        with self._sessions_lock:
            self._sessions.add(session)
        return session

    def before_fork(self) -> None:
        """Nothing: a child is refused, and the parent goes on."""

    def after_fork(self) -> None:
        """In the child: keep what is the parent's as it is; see `new_session`."""
        keep((self._pool, self._replica, self._listener, [session.connection for session in self._sessions]))
        self._thread.forget()

    def _refuse_fork(self) -> None:
        if self.forked:
            raise ForkedError(
                "this store was opened before the fork, and its connections are the parent's; open another"
            )

    def borrow(self, *, for_reading: bool = False) -> Connection:
        """A connection, for this thread alone until `give_back`; to the replica, where there is one to read from."""
        if self.closed:
            raise ClosedError(CLOSED)
        self._refuse_fork()
        while self._dropped:
            dropped = self._dropped.popleft()
            dropped.dropped = None
            dropped.close()
            if self._pool_of(dropped) is not None:
                self._pool_of(dropped).putconn(dropped)
        pool = (self._replica if for_reading else None) or self._pool
        while True:
            connection = pool.getconn()
            if _is_there(connection):
                return connection
            # The server was restarted, or ended it while nobody used it: nothing was asked yet, so nobody need know.
            connection.close()
            pool.putconn(connection)

    def give_back(self, connection: Connection) -> None:
        """Give a borrowed connection back; one that is broken or inside a transaction is closed by its pool."""
        if connection.closed:
            cast(_PooledConnection, connection).dropped = None  # its pool makes another one, and forgets it
        self._pool_of(connection).putconn(connection)

    @contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """A connection for as long as the block lasts."""
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
        """A statement of sql/postgresql/session.sql, with psycopg's marks."""
        return session_sql(name)

    def connect(self) -> Connection:
        """A connection beside the pool's, for the caller to close."""
        return self._connect(self._conninfo)

    def _connect(self, url: str) -> Connection:
        connection = psycopg.connect(url, autocommit=True)
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
        if isinstance(connection, _PooledConnection):
            connection.dropped = self._dropped
        set_up(connection, synchronous_commit=_synchronous[self._durability], lock_timeout=self.timeout)

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
    def translated(self, where: str) -> Iterator[None]:
        """This library's errors for the driver's, naming *where*."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, where) from error

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The thread's connection inside a transaction, else one from the pool for as long as the block lasts."""
        session: PostgreSQLSession = self._thread.connected()
        if session.connection is not None:
            yield session.connection
            return
        with self.translated("reading the server's state"), self.borrowed() as connection:
            yield connection


class _PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is given back to its pool even where an interrupt lost it."""

    #: Where it goes if it is dropped while it is borrowed.
    dropped: deque[_PooledConnection] | None = None

    def __del__(self, *arguments: Any) -> None:
        # Its pool's name for the pool that it was borrowed from; None while the pool has it.
        if self.dropped is not None and getattr(self, "_pool", None) is not None:
            self.dropped.append(self)
        else:
            super().__del__(*arguments)


def _is_there(connection: Connection) -> bool:
    """Whether the server said nothing unasked to an idle connection: what it says so is, as good as always, that it ends."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return not said.poll(0)


def shown(url: str) -> str:
    """Where a URL leads, without user, password and options: what messages may say."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise InvalidValueError("this is no URL of a PostgreSQL database: postgresql://user@host:5432/name") from None
    host = parts.get("host") or parts.get("hostaddr") or ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{'' if str(host).startswith('/') else host}{port}/{parts.get('dbname') or ''}"


#: How statements are written for psycopg.
DIALECT = Dialect(text=by_name, named=True, encoders={"match": for_postgresql, "words": for_postgresql})
