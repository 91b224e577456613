"""What a thread's statements run on, and the transactions and snapshots that change it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from datastore.engines.sqlite_errors import translate
from datastore.errors import ForkedError, TransactionError, TransactionLostError

if TYPE_CHECKING:
    from datastore.engines.sqlite import SQLiteEngine

#: By name or by position: see `datastore.statements.binding`.
Parameters = dict[str, Any] | tuple[Any, ...]

Runner = Callable[[str, Parameters], Any]


class ThreadState(threading.local):
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
        # What `read`, `write` and `change` are outside a transaction and inside one.
        self._outside: dict[str, Runner] = {}
        self._inside: dict[str, Runner] = {}
        #: How many snapshots this thread began.
        self.snapshots = 0

    def connected(self) -> sqlite3.Connection:
        """This thread's connection, opened if it is not."""
        if self._connection is None or self._engine.closed:
            connection = self._engine.connect()
            # Made once: they change places at the beginning and end of every transaction.
            read, write, change = _runners(connection)
            alone = partial(self._engine.write_alone, connection)
            self._inside = {"read": read, "write": write, "change": change}
            self._outside = {"read": read, "write": partial(alone, write), "change": partial(alone, change)}
            self.use_autocommit()
            self._connection = connection  # last: an interrupt before it has the next statement connect again
        return self._connection

    def forget(self) -> None:
        """Back to the beginning: the next statement connects again."""
        for name in ("read", "write", "change"):
            self.__dict__.pop(name, None)
        self._connection = None
        self._outside = {}
        self._inside = {}
        self.depth = 0
        self.instant = None
        self.in_snapshot = False

    def read(self, sql: str, parameters: Parameters, /) -> sqlite3.Cursor:
        self.connected()
        return self.read(sql, parameters)

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        self.connected()
        return self.write(sql, parameters)

    def change(self, sql: str, parameters: Parameters, /) -> int:
        self.connected()
        return self.change(sql, parameters)

    def use_autocommit(self) -> None:
        """Outside a transaction: every write is one of its own."""
        self.__dict__.update(self._outside)
        self.depth = 0
        self.instant = None
        self.in_snapshot = False

    def use_transaction(self) -> None:
        """Inside one: the lock is held."""
        self.__dict__.update(self._inside)

    def use_snapshot(self) -> None:
        """Inside a snapshot: nothing is written."""
        connection = self._connection
        assert connection is not None

        def refuse(sql: str, parameters: Parameters) -> NoReturn:
            raise TransactionError("a snapshot is for reading; write outside it, in a transaction")

        self._use(connection.execute, refuse, refuse)
        self.in_snapshot = True

    def _use_lost(self) -> None:
        def refuse(sql: str, parameters: Parameters) -> NoReturn:
            raise _lost()

        self._use(refuse, refuse, refuse)

    def _use(self, read: Runner, write: Runner, change: Runner) -> None:
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

    def __init__(self, engine: SQLiteEngine, thread: ThreadState) -> None:
        self._engine = engine
        self._thread = thread
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._ident = threading.get_ident()
        self._turn = 0
        #: 0 before it begins and when it has ended; what an interrupt leaves otherwise, __del__ ends.
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
            try:
                self._turn = self._engine.begin_write(connection)
                self._depth = 1
                thread.use_transaction()
            except BaseException:
                self._depth = 0
                self._engine.abandon_write(connection, None)
                raise
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

    def __del__(self) -> None:
        # An interrupt between two instructions of __exit__ goes on up, and nobody calls __exit__ again. When its
        # traceback is let go, so is this object, and what is left of the transaction with it.
        if self._depth == 1 and (self._process, self._ident) == (os.getpid(), threading.get_ident()):
            self._depth = 0
            if self._connection is not None and not self._thread.in_snapshot:
                self._engine.abandon_write(self._connection, self._turn)

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
            self._depth = 0

    def _commit(self, connection: sqlite3.Connection) -> None:
        if self._thread.depth > 1:
            connection.rollback()
            raise TransactionLostError(
                "a block inside this transaction was interrupted and did not end; begin it again"
            )
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

    def __init__(self, engine: SQLiteEngine, thread: ThreadState) -> None:
        self._engine = engine
        self._thread = thread
        self._process = os.getpid()
        self._ident = threading.get_ident()
        self._outermost = False

    def __enter__(self) -> None:
        thread = self._thread
        connection = thread.connected()
        if thread.depth:
            thread.depth += 1
            return
        if connection.in_transaction:
            connection.rollback()
        thread.snapshots += 1
        self._number = thread.snapshots
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
        self._leave()

    def __del__(self) -> None:
        # As Transaction's.
        mine = (self._process, self._ident) == (os.getpid(), threading.get_ident())
        if self._outermost and mine and self._thread.in_snapshot and self._thread.snapshots == self._number:
            self._leave()

    def _leave(self) -> None:
        thread = self._thread
        connection = thread.connected()
        try:
            if connection.in_transaction:
                connection.rollback()
        finally:
            thread.use_autocommit()
            self._outermost = False


def _runners(connection: sqlite3.Connection) -> tuple[Runner, Runner, Runner]:
    """What runs a statement on a connection: its cursor, all its rows, the number of rows changed."""
    execute = connection.execute
    return (
        execute,
        lambda sql, parameters: execute(sql, parameters).fetchall(),
        lambda sql, parameters: execute(sql, parameters).rowcount,
    )


def _lost() -> TransactionLostError:
    return TransactionLostError(
        "the database ended this transaction after an error (a full disk, say); all of it is undone, begin it again"
    )
