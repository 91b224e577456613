"""SQLite: a connection per thread, transactions and savepoints, the write gate, checkpoints.

This module issues the SQL that cannot be a statement of sql/: PRAGMAs, BEGIN, COMMIT, ROLLBACK and savepoints
(the migrations' backend issues a few of them too).
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from datastore.engines.base import Durability
from datastore.engines.cancellation import refuse_cancelled
from datastore.engines.fork import keep, refuse_after_fork, unwatch, watch
from datastore.engines.ownership import Owner
from datastore.engines.sessions import CLOSED, ThreadState
from datastore.engines.sqlite.errors import code_of, is_busy, translate
from datastore.engines.sqlite.gate import Gate
from datastore.engines.sqlite.session import SQLiteSession
from datastore.engines.transactions import Snapshot, Transaction
from datastore.errors import BusyError, ClosedError, DatabaseError, InvalidValueError, TransactionError
from datastore.events import Events
from datastore.values import utc_now

if TYPE_CHECKING:
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement
    from datastore.statements.observed import ObservedStatements

Result = TypeVar("Result")

#: 'DatS': set by migration 0001 to identify the database as one of this library.
APPLICATION_ID = 1147237459

#: The WAL is written back after about this many changed rows, or when it has grown by this many bytes.
CHECKPOINT_ROWS = 400
CHECKPOINT_BYTES = 16 * 1024 * 1024

#: A WAL of this size is truncated when it is written back. A smaller one is reused from its
#: start, so the file system need not grow the file at every commit.
TRUNCATE_BYTES = 64 * 1024 * 1024

#: After commits of at most this many rows, the WAL's size is checked only once per 64 rows.
_FEW_CHANGES = 8

#: The longest wait inside one SQLite call, in seconds. Longer waits consist of such slices, so that signals
#: (Ctrl-C) are handled in between.
_SLICE = 0.05

#: `close` waits at most this long for calls of other threads, in seconds.
_CLOSING = 5.0

_synchronous = {"full": 2, "relaxed": 1}


class SQLiteEngine:
    """One database file. Safe to share between threads; every thread has its own connection."""

    name = "sqlite"
    connections: int | None = None

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "full",
        timeout: float = 30.0,
        gate: bool = True,
        read_only: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if durability not in _synchronous:
            raise InvalidValueError(f"durability is {' or '.join(_synchronous)}")
        self.path = path
        self.durability: Durability = durability
        self.timeout = timeout
        self.read_only = read_only
        self.clock = clock
        self.gate = Gate(f"{path}.gate", across_processes=gate)
        self._wal = f"{path}-wal"
        # Changed only inside the gate: rows changed since the last checkpoint, and the WAL size that triggers one.
        self._changed = 0
        self._checkpoint_at = CHECKPOINT_BYTES
        self.closed = False
        #: Owners of transactions whose context is gone: see `datastore.engines.ownership`.
        self.orphans: list[Owner] = []
        #: The owner of the transaction that has the gate, or None.
        self.writer: Owner | None = None
        self._sessions: weakref.WeakSet[SQLiteSession] = weakref.WeakSet()
        self._sessions_lock = threading.Lock()
        self._thread = ThreadState(self)
        self.events = Events()
        self._observed: ObservedStatements | None = None
        watch(self)

    @property
    def database(self) -> str:
        """The path, as messages show it."""
        return str(self.path)

    def bind(
        self, statements: Mapping[str, Statement], records: Mapping[str, type[object]] | None = None
    ) -> Statements:
        """Return the statements as methods that run on the calling thread's connection and return *records*."""
        from datastore.statements.binding import bind  # imports aiosql, so only once a store is opened
        from datastore.statements.observed import ObservedStatements

        if self._observed is None:
            self._observed = ObservedStatements(self.events, self._thread)
        return self._observed.add(bind(statements, self._thread, records), statements)

    def now(self) -> datetime:
        """The current time; constant within a transaction."""
        session: SQLiteSession | None = self._thread.session
        block = None if session is None else session.block
        if block is None:
            return self.clock()
        outermost = block.outermost
        if outermost.instant is None:
            outermost.instant = self.clock()
        return outermost.instant

    def transaction(self) -> Transaction:
        """A context manager: see `datastore.store.Datastore.transaction`."""
        return Transaction(self._thread)

    def callers_transaction(self, *, serializable: bool = False) -> Transaction:
        """The same as `transaction`: a failed statement leaves it unchanged in any case, and it is always serializable."""
        return self.transaction()

    def lock(self, name: Literal["audit_log"]) -> None:
        """Do nothing: a writer already has the database's only lock."""

    def keep_writers_out(self) -> None:
        """Do nothing, for the same reason."""

    def snapshot(self) -> Snapshot:
        """A context manager: see `datastore.store.Datastore.snapshot`."""
        return Snapshot(self._thread)

    def pragma(self, name: str) -> Any:
        """The first column of every row that ``PRAGMA name`` returns; of a single row, the value itself."""
        values = [row[0] for row in self.rows(name)]
        return values[0] if len(values) == 1 else values

    def rows(self, pragma: str) -> list[tuple[Any, ...]]:
        """Every row that a PRAGMA returns."""
        session: SQLiteSession = self._thread.connected()
        try:
            return session.read(f"PRAGMA {pragma}", ())
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.translated(error, f"PRAGMA {pragma.partition('(')[0]}") from error

    def integrity(self) -> list[tuple[Any, ...]]:
        """The result of PRAGMA integrity_check, at most a hundred lines; a single "ok" if nothing is wrong.

        It runs on a new connection. Since SQLite 3.44 it also checks full-text indexes, using the state that the connection
        cached when it last searched; another connection may have merged them since (seen on 3.53.2: it reported a sound index
        as corrupt).
        """
        self._thread.connected()  # refuses a closed store, and one from before a fork
        try:
            with closing(sqlite3.connect(self._uri(read_only=True), uri=True, timeout=self.timeout)) as connection:
                return connection.execute("PRAGMA integrity_check(100)").fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translate(error, "PRAGMA integrity_check") from error

    def data_version(self) -> int:
        """A number that another connection's commit changes; reading it is quick and delays no writer.

        Raises:
            TransactionError: Inside a transaction or snapshot, where it never changes.
        """
        if self._thread.block is not None:
            raise TransactionError("the commits of others are not seen inside a transaction or snapshot")
        with self.using("waiting for jobs") as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def interrupt(self, thread: int) -> None:
        """Interrupt the reading statement that a thread runs, given its number; do nothing if it runs none."""
        with self._sessions_lock:
            sessions = [session for session in self._sessions if session.thread == thread]
        for session in sessions:
            with suppress(sqlite3.ProgrammingError):  # the connection is closed
                session.connection.interrupt()

    def checkpoint(self) -> bool:
        """Write the whole WAL back to the database and truncate it.

        Returns:
            False if a reader still needs part of it.

        Raises:
            BusyError: A writer held the gate for longer than the timeout.
            DatabaseError: Reading or writing failed; every commit is kept, and the next checkpoint tries again.
        """
        with self.alone("a checkpoint") as connection:
            return write_back(connection, "TRUNCATE", _SLICE)

    @contextmanager
    def using(self, action: str) -> Iterator[sqlite3.Connection]:
        """The calling thread's connection, outside a transaction, while others read and write.

        Raises:
            TransactionError: The thread is inside a transaction (the message names *action*), or inside another call to the store.
        """
        session: SQLiteSession = self._thread.connected()
        self._thread.refuse_block(action)
        session.refuse_reentry()
        session.at_work = True
        try:
            if session.closing:
                raise ClosedError(CLOSED)
            yield session.connection
        except sqlite3.Error as error:
            raise self.translated(error, action) from error
        finally:
            session.at_work = False

    @contextmanager
    def alone(self, action: str) -> Iterator[sqlite3.Connection]:
        """As `using`, while no other writer of this library writes.

        Raises:
            TransactionError: As in `using`.
            BusyError: Another writer had the gate for longer than the timeout.
        """
        self._thread.connected().refuse_read_only()
        with self.using(action) as connection:
            try:
                self.gate.acquire(self.timeout, self._thread.session.refuse_to_wait)
                yield connection
                self.gate.release()
            except BaseException:
                self.gate.reset()
                raise

    def reading(self, action: str) -> None:
        """Refuse *action* inside a transaction.

        Raises:
            TransactionError: The thread is inside one; the message names *action*.
        """
        self._thread.connected()
        self._thread.refuse_block(action)

    def reserve(self) -> AbstractContextManager[None]:
        """Do nothing: every thread has its own connection."""
        return nullcontext()

    def close(self) -> None:
        """Close the store and every thread's connection.

        A call running in another thread is interrupted. That thread's next call and its COMMIT raise ClosedError, and it closes
        its own connection.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
        block = self._thread.block
        if block is not None and block.owner.is_here():
            raise TransactionError("the store cannot be closed inside a transaction")
        if self._thread.session is not None:
            self._thread.session.refuse_reentry()
        self.closed = True
        self._thread.forget()
        with self._sessions_lock:
            sessions = list(self._sessions)
        deadline = time.monotonic() + _CLOSING
        for session in sessions:
            _stop(session, deadline)
        self.gate.close()
        unwatch(self)

    # Called by sessions.

    def new_session(self) -> SQLiteSession:
        """Open a connection for the calling thread, configure it, and verify its settings."""
        refuse_after_fork(self.path)
        try:
            connection = sqlite3.connect(
                self._uri(read_only=self.read_only),
                uri=True,
                timeout=_SLICE,
                isolation_level=None,
                check_same_thread=False,  # close() closes every thread's connection
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise translate(error, f"opening {self.path}") from error
        try:
            self._set_up(connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            # Closing a store's last connection locks the file for a moment.
            raise (ClosedError(CLOSED) if self.closed else translate(error, f"opening {self.path}")) from error
        except BaseException:
            connection.close()
            raise
        session = SQLiteSession(self, connection)
        with self._sessions_lock:
            self._sessions.add(session)
        if self.closed:
            session.closing = True
            session.close()
            raise ClosedError(CLOSED)
        return session

    def _uri(self, *, read_only: bool) -> str:
        """The file as SQLite opens it.

        In a folder that cannot be written to, SQLite cannot create the shared memory of a WAL. Where there is no WAL, nobody is
        writing, and the file is opened as one that does not change.
        """
        if not read_only:
            return f"{self.path.as_uri()}?mode=rw"
        unchanging = not (os.access(self.path.parent, os.W_OK) or _size(self._wal) or Path(f"{self.path}-shm").exists())
        return f"{self.path.as_uri()}?mode=ro{'&immutable=1' if unchanging else ''}"

    def _set_up(self, connection: sqlite3.Connection) -> None:
        execute = connection.execute
        if self.read_only:
            execute("PRAGMA query_only = ON")
            execute("PRAGMA temp_store = MEMORY")
            return
        if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            return  # not a database of this library (yet): the store checks and refuses it; it is left unchanged
        _refuse_read_only(connection)
        change_to_wal(connection, self.timeout)
        execute("PRAGMA foreign_keys = ON")
        execute(f"PRAGMA synchronous = {_synchronous[self.durability]}")
        execute("PRAGMA wal_autocheckpoint = 0")
        execute("PRAGMA secure_delete = ON").fetchall()
        execute("PRAGMA temp_store = MEMORY")
        for pragma, wanted in (
            ("foreign_keys", 1),
            ("synchronous", _synchronous[self.durability]),
            ("secure_delete", 1),
        ):
            if execute(f"PRAGMA {pragma}").fetchone()[0] != wanted:
                raise DatabaseError(f"this SQLite build ignores PRAGMA {pragma} = {wanted}; use another build")

    def changed(self, connection: sqlite3.Connection, pages: int) -> None:
        """Run a checkpoint if one is due, after a change that SQLite counts no rows of. The caller has the gate.

        Otherwise the changes would stay in the WAL until the next writer, who would pay for all of them.
        """
        self._changed += pages
        self._checkpoint_if_due(connection)

    def translated(self, error: Exception, where: str, *, committing: bool = False) -> Exception:
        """Translate the driver's error to this library's; a call that `close` interrupted ends with ClosedError."""
        if self.closed and code_of(error) == "SQLITE_INTERRUPT":
            return ClosedError(CLOSED)
        return translate(error, where, committing=committing)

    def patiently(self, run: Callable[[], Result], action: str) -> Result:
        """Call *run*, and repeat it while another connection holds the lock, until the timeout."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return run()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise self.translated(error, action) from error
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"{action}: another connection held the write lock for {self.timeout:g} s; try again"
                    ) from error
            if self.closed:
                raise ClosedError(CLOSED)
            refuse_cancelled()
            _pause()

    def wrote(self, connection: sqlite3.Connection, rows: int) -> None:
        """Run a checkpoint if one is due, after a commit, inside the gate."""
        before = self._changed
        self._changed += rows
        if rows > _FEW_CHANGES or before // 64 != self._changed // 64:
            self._checkpoint_if_due(connection)

    def _checkpoint_if_due(self, connection: sqlite3.Connection) -> None:
        size = _size(self._wal)
        if not size:
            return
        if self._changed >= CHECKPOINT_ROWS or size >= self._checkpoint_at:
            with self.events.operation("checkpoint") as counts:
                counts["bytes"] = size
                done = try_write_back(connection, "TRUNCATE" if size >= TRUNCATE_BYTES else "FULL", _SLICE)
                counts["complete"] = int(done)
            self._changed = 0
            # The WAL's present bytes are reused; and with a long-lived reader, every commit would try again.
            self._checkpoint_at = (0 if done and size >= TRUNCATE_BYTES else size) + CHECKPOINT_BYTES

    def before_fork(self) -> None:
        """Close the forking thread's connection, so that the child does not inherit it; see `after_fork`."""
        session: SQLiteSession | None = self._thread.session
        if session is not None and session.block is None and not session.at_work:
            self._thread.forget()
            session.close()
            self._sessions.discard(session)

    def after_fork(self) -> None:
        """In the child: start with no connection, or refuse the file if connections of the parent were inherited."""
        for session in list(self._sessions):
            keep(session.connection, self.path)
        self._sessions = weakref.WeakSet()
        self._sessions_lock = threading.Lock()
        self.orphans = []
        self.gate.forget()
        self._thread.forget()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _stop(session: SQLiteSession, deadline: float) -> None:
    session.closing = True
    while session.at_work:
        if time.monotonic() > deadline:
            return  # the call cannot be interrupted
        with suppress(sqlite3.ProgrammingError):  # the thread has closed its own connection
            session.connection.interrupt()
        _pause()
    session.stop()


def _refuse_read_only(connection: sqlite3.Connection) -> None:
    # If opening for writing fails (too many open files, say), SQLite silently opens the file read-only, and the
    # connection would refuse every write until its thread ends. BEGIN IMMEDIATE succeeds on such a connection, but
    # the first change fails; the change made here is rolled back.
    execute = connection.execute
    execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        execute("BEGIN IMMEDIATE")
        execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    finally:
        connection.rollback()
        execute(f"PRAGMA busy_timeout = {int(_SLICE * 1000)}").fetchall()


def change_to_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Set WAL mode, on which the locks and the durability of this library depend.

    SQLite takes an exclusive lock for the change and does not always wait for it; this waits at most *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            _pause()


def write_back(connection: sqlite3.Connection, mode: Literal["FULL", "TRUNCATE"], timeout: float) -> bool:
    """Write the WAL back as far as readers allow, without waiting for them; the caller has the gate.

    FULL and TRUNCATE hold the write lock; PASSIVE does not, and the WAL-reset bug can occur only without it.

    Args:
        connection: Outside a transaction.
        mode: TRUNCATE also truncates the file to zero bytes.
        timeout: The connection's own busy timeout, restored at the end; in seconds.

    Returns:
        Whether all of it was written back.

    Raises:
        sqlite3.Error: Reading or writing failed; every commit is kept.
    """
    connection.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        busy, frames, written = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return bool(busy == 0 and frames == written)
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}").fetchall()


def try_write_back(connection: sqlite3.Connection, mode: Literal["FULL", "TRUNCATE"], timeout: float) -> bool:
    """As `write_back`, after a commit. Errors are swallowed: the commit has succeeded, and the next checkpoint tries again."""
    try:
        return write_back(connection, mode, timeout)
    except sqlite3.Error:
        return False


def _pause() -> None:
    # Constant, with jitter: exponential backoff would starve the first waiter (docs/decisions/0003).
    time.sleep(random.uniform(0.0005, 0.002))
