"""What a thread's statements run on, and the transactions and snapshots that change it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from psycopg.pq import TransactionStatus

from datastore.engines.postgresql_errors import translate
from datastore.engines.postgresql_session import Connection, session_sql
from datastore.errors import ForkedError, TransactionError, TransactionLostError

if TYPE_CHECKING:
    from datastore.engines.postgresql import PostgreSQLEngine
    from datastore.statements.binding import Parameters


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
        #: Whether the transaction is serializable.
        self.serializable = False
        #: Whether a failed statement can be taken back alone.
        self._protected = False
        #: Whether a statement that is a transaction of its own may have been committed when the connection was lost.
        self._committing = False

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
        self._committing = True
        try:
            cursor = connection.execute(sql, parameters)
        finally:
            engine.give_back(connection)
        self._committing = False
        return cursor

    def control(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run what the engine needs itself inside the transaction."""
        if self.connection is None:
            raise TransactionError("a lock is held until the transaction ends; begin one")
        try:
            self.connection.execute(sql, parameters)
        except psycopg.Error as error:
            raise translate(error, "waiting for a lock") from error

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise this library's error for the driver's; a transaction goes on where the statement alone can be undone."""
        connection, protected, committing = self.connection, self._protected, self._committing
        self._protected = self._committing = False
        if protected and connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK TO statement; RELEASE statement")
        translated = translate(error, f"statement {name} ({file})", committing=committing)
        if translated is error:
            raise error
        raise translated from error

    def leave(self) -> None:
        """Outside of every transaction again."""
        connection, self.connection = self.connection, None
        for_reading, self.in_snapshot = self.in_snapshot, False
        self.depth = 0
        self.instant = None
        self.guarded = False
        self.serializable = False
        self._protected = False
        if connection is not None:
            self._engine.give_back(connection, for_reading=for_reading)


class Transaction:
    """``with`` it: BEGIN outside, a savepoint inside; rolls back on any exception."""

    def __init__(
        self, engine: PostgreSQLEngine, thread: ThreadState, *, guarded: bool, serializable: bool = False
    ) -> None:
        self._engine = engine
        self._thread = thread
        self._guarded = guarded
        self._serializable = serializable
        self._guarded_outside = False
        self._depth = 0
        self._process = os.getpid()

    def __enter__(self) -> None:
        thread = self._thread
        if thread.in_snapshot:
            raise TransactionError("a transaction cannot begin inside a snapshot")
        if self._serializable and thread.depth and not thread.serializable:
            raise TransactionError("the transaction around this one is not serializable; begin that one so")
        try:
            if thread.connection is None:
                connection = self._engine.borrow()
                thread.connection = connection
                thread.serializable = self._serializable
                connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE" if self._serializable else "BEGIN")
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
        thread.in_snapshot = True
        try:
            thread.connection = self._engine.borrow(for_reading=True)
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
