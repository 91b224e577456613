"""SQLite: a connection per thread, transactions and savepoints, the write gate, checkpoints.

The module with the package's own SQL: PRAGMAs, BEGIN, COMMIT, ROLLBACK and savepoints (the migrations'
backend has a few of them too). Everything else stands in sql/.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from datastore.engines.gate import Gate
from datastore.engines.sqlite_errors import is_busy, translate
from datastore.errors import (
    BusyError,
    ClosedError,
    DatabaseError,
    ForkedError,
    TransactionError,
    TransactionLostError,
)
from datastore.values import utc_now

if TYPE_CHECKING:
    from datastore.statements.loader import Statements

Durability = Literal["full", "relaxed"]

#: 'DatS': set by migration 0001, so that a foreign file is told apart.
APPLICATION_ID = 1147237459

#: The WAL is written back after about so many changed rows, or when it has grown by so many bytes.
CHECKPOINT_ROWS = 1000
CHECKPOINT_BYTES = 16 * 1024 * 1024

#: A WAL of this size is cut to nothing when it is written back. A smaller one is used again from its
#: start, which saves the file system from growing the file at every commit.
TRUNCATE_BYTES = 64 * 1024 * 1024

#: SQLite waits this long inside one call; longer waits are made of such slices, so that a signal
#: (Ctrl-C) is served in between. Seconds.
_SLICE = 0.05

_synchronous = {"full": 2, "relaxed": 1}


class SQLiteEngine:
    """One database file. Safe to share between threads; every thread has a connection of its own."""

    name = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "full",
        timeout: float = 30.0,
        gate: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.path = path
        self.durability: Durability = durability
        self.timeout = timeout
        self.clock = clock
        self._gate = Gate(f"{path}.gate", across_processes=gate)
        self._wal = f"{path}-wal"
        # Held by the gate: rows changed since the last checkpoint, the WAL's size that calls for one, ...
        self._changed = 0
        self._checkpoint_at = CHECKPOINT_BYTES
        # ... and the connection's count of changes when the transaction began.
        self._changes_before = 0
        self.closed = False
        self._connections: dict[int, sqlite3.Connection] = {}
        self._connections_lock = threading.Lock()
        self._thread = _Thread(self)
        _engines.add(self)

    def bind(self, statements: dict[str, Any]) -> Statements:
        """The statements as methods that run on the calling thread's connection."""
        from datastore.statements.loader import bind  # aiosql, only once a store is opened

        return bind(statements, self._thread)

    def now(self) -> datetime:
        """The present instant; within a transaction always the same one."""
        thread = self._thread
        if not thread.depth:
            return self.clock()
        if thread.instant is None:
            thread.instant = self.clock()
        return thread.instant

    def transaction(self) -> Transaction:
        """A context manager: see `datastore.store.Datastore.transaction`."""
        return Transaction(self, self._thread)

    def snapshot(self) -> Snapshot:
        """A context manager: see `datastore.store.Datastore.snapshot`."""
        return Snapshot(self, self._thread)

    def pragma(self, name: str) -> Any:
        """The first column of every row that ``PRAGMA name`` gives (of the first one, if it is alone)."""
        try:
            rows = [row[0] for row in self._thread.connected().execute(f"PRAGMA {name}")]
        except sqlite3.Error as error:
            raise translate(error, f"PRAGMA {name.partition('(')[0]}") from error
        return rows[0] if len(rows) == 1 else rows

    def rows(self, pragma: str) -> list[tuple[Any, ...]]:
        """Every row that a PRAGMA gives."""
        try:
            return self._thread.connected().execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            raise translate(error, f"PRAGMA {pragma.partition('(')[0]}") from error

    def checkpoint(self) -> bool:
        """Write the whole WAL back to the database and truncate it.

        Returns:
            False where a reader still needs a part of it.
        """
        connection = self._thread.connected()
        if self._thread.depth:
            raise TransactionError("a checkpoint cannot run inside a transaction")
        self._gate.acquire(self.timeout)
        try:
            return self._checkpoint(connection, "TRUNCATE")
        finally:
            self._gate.release()

    def close(self) -> None:
        """Close every thread's connection. The store cannot be used afterwards.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
        if self._thread.depth:
            raise TransactionError("the store cannot be closed inside a transaction")
        self.closed = True
        self._thread.forget()
        with self._connections_lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
        self._gate.close()
        _engines.discard(self)

    # What the thread state and the transactions call.

    def connect(self) -> sqlite3.Connection:
        """A new connection for the calling thread, set up and read back."""
        if self.closed:
            raise ClosedError("the store is closed; open it again")
        refuse_after_fork(self.path)
        try:
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode=rw",
                uri=True,
                timeout=_SLICE,
                isolation_level=None,
                check_same_thread=False,  # close() closes every thread's
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise translate(error, f"opening {self.path}") from error
        try:
            self._set_up(connection)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, f"opening {self.path}") from error
        except BaseException:
            connection.close()
            raise
        self._register(connection)
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        execute = connection.execute
        if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            return  # not ours (yet): looked at by the store, refused there, and left as it is
        deadline = time.monotonic() + self.timeout
        # Changing to WAL takes an exclusive lock and does not wait for it.
        while execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                execute("PRAGMA journal_mode = WAL").fetchall()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                _pause()
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
                raise DatabaseError(f"this SQLite does not keep PRAGMA {pragma} = {wanted}; use another build of it")

    def _register(self, connection: sqlite3.Connection) -> None:
        # Threads that have ended left theirs behind; so did one whose number this thread was given again.
        alive = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        with self._connections_lock:
            for ident in [ident for ident in self._connections if ident not in alive]:
                self._connections.pop(ident).close()
            self._connections[threading.get_ident()] = connection

    def begin_write(self, connection: sqlite3.Connection) -> None:
        """Take the gate and SQLite's write lock, or neither."""
        if self._gate.owner == threading.get_ident():
            # An interrupt came between the end of a transaction and its tidying up.
            self._gate.release()
        if connection.in_transaction:
            connection.rollback()
        self._gate.acquire(self.timeout)
        try:
            self.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), "BEGIN")
            self._changes_before = connection.total_changes
        except BaseException:
            self._gate.release()
            raise

    def end_write(self, connection: sqlite3.Connection) -> None:
        """Let the gate go, after a checkpoint if one is due."""
        try:
            self._changed += connection.total_changes - self._changes_before
            self._checkpoint_if_due(connection)
        finally:
            self._gate.release()

    def write_alone(self, connection: sqlite3.Connection, run: Callable[[], Any]) -> Any:
        """One writing statement as a transaction of its own."""
        self._gate.acquire(self.timeout)
        try:
            try:
                result = run()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                result = self.patiently(run, "write")
            self._changed += 2  # itself, and as a rule a counter that a trigger keeps
            if not self._changed & 62:
                self._checkpoint_if_due(connection)
            return result
        finally:
            self._gate.release()

    def patiently(self, run: Callable[[], Any], action: str) -> Any:
        """*run*, again and again while another connection holds the lock, until the timeout."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return run()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise translate(error, action) from error
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"{action}: another connection held the write lock for {self.timeout:g} s; try again"
                    ) from error
            _pause()

    def _checkpoint_if_due(self, connection: sqlite3.Connection) -> None:
        try:
            size = os.stat(self._wal).st_size
        except OSError:
            return
        if self._changed >= CHECKPOINT_ROWS or size >= self._checkpoint_at:
            done = self._checkpoint(connection, "TRUNCATE" if size >= TRUNCATE_BYTES else "FULL")
            self._changed = 0
            # What is there is used again; and a reader that stays would make every commit try again.
            self._checkpoint_at = (0 if done and size >= TRUNCATE_BYTES else size) + CHECKPOINT_BYTES

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> bool:
        # FULL and TRUNCATE hold the write lock, PASSIVE does not: that is what the WAL-reset bug needs.
        connection.execute("PRAGMA busy_timeout = 0").fetchall()
        try:
            busy, frames, written = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            return bool(busy == 0 and frames == written)
        except sqlite3.OperationalError:
            return False  # the commit before it stands; the next one tries again
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(_SLICE * 1000)}").fetchall()

    def before_fork(self) -> None:
        """Close the forking thread's connection, so that the child inherits none; see `_after_fork`."""
        thread = self._thread
        if thread.depth:
            return
        with self._connections_lock:
            if connection := self._connections.pop(threading.get_ident(), None):
                thread.forget()
                connection.close()

    def after_fork(self) -> None:
        """In the child: start afresh, or, where the parent's connections came along, refuse."""
        if self._connections:
            _inherited_connections.extend(self._connections.values())  # never closed: that would drop locks
            _inherited_paths.add(self.path)
        self._connections = {}
        self._connections_lock = threading.Lock()
        self._gate.forget()
        self._thread.forget()


class _Thread(threading.local):
    """What a thread's statements run on; the functions change with the thread's transaction.

    The methods below serve a thread's first statement. They put the fast ones in their place:
    ``read``, ``write`` and ``change`` of the instance.
    """

    def __init__(self, engine: SQLiteEngine) -> None:
        self._engine = engine
        self._connection: sqlite3.Connection | None = None
        #: 0 outside, 1 in a transaction or snapshot, more in nested ones.
        self.depth = 0
        #: The transaction's instant, once asked for.
        self.instant: datetime | None = None
        self.in_snapshot = False

    def connected(self) -> sqlite3.Connection:
        """This thread's connection, opened if it is not."""
        if self._connection is None or self._engine.closed:
            self._connection = self._engine.connect()
            self.use_autocommit()
        return self._connection

    def forget(self) -> None:
        """Back to the beginning: the next statement connects again."""
        for name in ("read", "write", "change"):
            self.__dict__.pop(name, None)
        self._connection = None
        self.depth = 0
        self.instant = None
        self.in_snapshot = False

    def read(self, sql: str, parameters: dict[str, Any], /) -> sqlite3.Cursor:
        self.connected()
        return self.read(sql, parameters)

    def write(self, sql: str, parameters: dict[str, Any], /) -> list[Any]:
        self.connected()
        return self.write(sql, parameters)

    def change(self, sql: str, parameters: dict[str, Any], /) -> int:
        self.connected()
        return self.change(sql, parameters)

    def use_autocommit(self) -> None:
        """Outside a transaction: every write is one of its own."""
        connection = self._connection
        assert connection is not None
        execute, write_alone = connection.execute, self._engine.write_alone
        self._use(
            execute,
            lambda sql, parameters: write_alone(connection, lambda: execute(sql, parameters).fetchall()),
            lambda sql, parameters: write_alone(connection, lambda: execute(sql, parameters).rowcount),
        )
        self.depth = 0
        self.instant = None
        self.in_snapshot = False

    def use_transaction(self) -> None:
        """Inside one: the lock is held."""
        connection = self._connection
        assert connection is not None
        execute = connection.execute
        self._use(
            execute,
            lambda sql, parameters: execute(sql, parameters).fetchall(),
            lambda sql, parameters: execute(sql, parameters).rowcount,
        )

    def use_snapshot(self) -> None:
        """Inside a snapshot: nothing is written."""
        connection = self._connection
        assert connection is not None

        def refuse(sql: str, parameters: dict[str, Any]) -> NoReturn:
            raise TransactionError("a snapshot is for reading; write outside it, in a transaction")

        self._use(connection.execute, refuse, refuse)
        self.in_snapshot = True

    def _use_lost(self) -> None:
        def refuse(sql: str, parameters: dict[str, Any]) -> NoReturn:
            raise _lost()

        self._use(refuse, refuse, refuse)

    def _use(self, read: Any, write: Any, change: Any) -> None:
        self.__dict__.update(read=read, write=write, change=change)

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise this library's error for the driver's; note a transaction that SQLite ended by itself."""
        connection = self._connection
        if self.depth and connection is not None and not connection.in_transaction:
            self._use_lost()
        translated = translate(error, f"statement {name} ({file})", committing=not self.depth)
        if translated is error:
            raise error
        raise translated from error


class Transaction:
    """``with`` it: BEGIN IMMEDIATE outside, a savepoint inside; rolls back on any exception."""

    def __init__(self, engine: SQLiteEngine, thread: _Thread) -> None:
        self._engine = engine
        self._thread = thread
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._depth = 0

    def __enter__(self) -> None:
        thread = self._thread
        connection = self._connection = thread.connected()
        if thread.depth:
            if thread.in_snapshot:
                raise TransactionError("a transaction cannot begin inside a snapshot")
            if not connection.in_transaction:
                raise _lost()
            connection.execute(f"SAVEPOINT s{thread.depth}")
        else:
            self._engine.begin_write(connection)
            thread.use_transaction()
        thread.depth += 1
        self._depth = thread.depth

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            raise ForkedError("this transaction belongs to the parent process; the child has left it") from error
        if self._depth > 1:
            self._leave_savepoint(error)
        else:
            self._leave(error)

    def _leave_savepoint(self, error: BaseException | None) -> None:
        connection, thread = self._connection, self._thread
        assert connection is not None
        thread.depth = self._depth - 1
        savepoint = f"s{thread.depth}"
        if not connection.in_transaction:
            if error is None:
                raise _lost()
            return
        if error is not None:
            connection.execute(f"ROLLBACK TO {savepoint}")
        connection.execute(f"RELEASE {savepoint}")

    def _leave(self, error: BaseException | None) -> None:
        connection, thread = self._connection, self._thread
        assert connection is not None
        try:
            if error is None:
                self._commit(connection)
            elif connection.in_transaction:
                connection.rollback()
        finally:
            thread.use_autocommit()
            self._engine.end_write(connection)

    def _commit(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            raise _lost()
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.rollback()
            raise translate(error, "COMMIT", committing=True) from error
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise


class Snapshot:
    """``with`` it: what is read inside is of one instant; inside a transaction it changes nothing."""

    def __init__(self, engine: SQLiteEngine, thread: _Thread) -> None:
        self._engine = engine
        self._thread = thread
        self._process = os.getpid()
        self._outermost = False

    def __enter__(self) -> None:
        thread = self._thread
        connection = thread.connected()
        if thread.depth:
            thread.depth += 1
            return
        if connection.in_transaction:
            connection.rollback()
        connection.execute("BEGIN DEFERRED")
        # The first read fixes what is seen; until then another commit could still come in.
        self._engine.patiently(lambda: connection.execute("PRAGMA user_version").fetchall(), "snapshot")
        self._outermost = True
        thread.depth = 1
        thread.use_snapshot()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = self._thread
        if os.getpid() != self._process:
            raise ForkedError("this snapshot belongs to the parent process; the child has left it") from error
        if not self._outermost:
            thread.depth -= 1
            return
        connection = thread.connected()
        try:
            if connection.in_transaction:
                connection.rollback()
        finally:
            thread.use_autocommit()


def _lost() -> TransactionLostError:
    return TransactionLostError(
        "the database ended this transaction after an error (a full disk, say); all of it is undone, begin it again"
    )


def _pause() -> None:
    # Constant, with jitter: waiting longer and longer starves whoever came first (docs/decisions/0003).
    time.sleep(random.uniform(0.0005, 0.002))


# Fork. SQLite keeps a process's locks in memory that a fork copies, while the locks themselves stay with the
# parent: a child that opens the same file believes to hold what it does not, and the last connection of the parent
# deletes the WAL under it. So the forking thread's connection is closed before the fork, and where other
# connections come along, the child may not open that file.

_engines: weakref.WeakSet[SQLiteEngine] = weakref.WeakSet()
_inherited_connections: list[sqlite3.Connection] = []
_inherited_paths: set[Path] = set()


def refuse_after_fork(path: Path) -> None:
    """Raise ForkedError where the parent had *path* open at the fork."""
    if path in _inherited_paths:
        raise ForkedError(
            "this process was forked while its parent had the database open in a transaction or in another"
            " thread; SQLite's locks do not pass to the child. Fork before opening, or start processes by spawn"
        )


def _before_fork() -> None:
    for engine in list(_engines):
        engine.before_fork()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
