"""A thread's use of a PostgreSQL server: it runs statements, BEGIN, COMMIT and savepoints."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from datastore.engines.ownership import NOBODY, Owner, current, in_event_loop
from datastore.engines.postgresql.errors import translate
from datastore.engines.postgresql.settings import Connection, session_sql
from datastore.engines.sessions import ENDED_ELSEWHERE, LOST, SNAPSHOT, Block, Host, Parameters, Session
from datastore.errors import TransactionError, TransactionLostError

Cursor = psycopg.Cursor[tuple[Any, ...]]

#: An event loop's thread waits at most this long, in seconds, for a call of a thread pool to end.
_POOL_ENDS = 0.01

#: A request to cancel a statement takes at most this long, in seconds.
_CANCELS = 5.0


class PostgreSQLHost(Host, Protocol):
    """The part of a PostgreSQL engine that a session needs."""

    #: Owners of open transactions.
    writers: set[Owner]

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that opened the store."""

    def borrow(self, *, for_reading: bool = False) -> Connection:
        """Borrow a connection from the pool, exclusive to this thread until `give_back`."""

    def give_back(self, connection: Connection) -> None:
        """Return a borrowed connection to its pool."""

    def borrowed(self) -> AbstractContextManager[Connection]:
        """A connection until the block ends."""


class PostgreSQLSession(Session):
    """One thread's use of a server: it has a connection of the pool only while a block is open or a statement runs."""

    engine: PostgreSQLHost

    def __init__(self, engine: PostgreSQLHost) -> None:
        super().__init__(engine)
        #: The open block's connection, otherwise None.
        self.connection: Connection | None = None
        #: The connection of the reading statement that runs outside a block, otherwise None; guarded by the lock.
        self._reading: Connection | None = None
        self._reading_lock = threading.Lock()
        #: Whether a failed statement can be undone alone.
        self._protected = False
        #: Whether a statement outside a block may have been committed when the connection was lost.
        self._committing = False

    # Statements.

    def read(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a statement returns."""
        self.refuse_reentry()
        block = self.block
        if block is None:
            return self._read_alone(sql, parameters)
        if current().owner is not block.admitted:
            block.admit()
        self._protected = False
        return self._run(sql, parameters).fetchall()

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that RETURNING returns."""
        return self._change(sql, parameters).fetchall()

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """The number of rows changed."""
        return self._change(sql, parameters).rowcount

    def control(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement that the engine itself needs inside the transaction."""
        self.refuse_reentry()
        if self.block is None:
            raise TransactionError("a lock lasts until the transaction ends; begin a transaction first")
        self.block.admit()
        try:
            self._run(sql, parameters)
        except psycopg.Error as error:
            raise translate(error, "waiting for a lock") from error

    def failed(self, error: Exception, where: str) -> NoReturn:
        """Raise this library's error for the driver's; a transaction continues if the statement alone can be undone."""
        connection, protected, committing = self.connection, self._protected, self._committing
        self._protected = self._committing = False
        if protected and connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK TO statement; RELEASE statement")
        translated = translate(error, where, committing=committing)
        if translated is error:
            raise error
        raise translated from error

    def _change(self, sql: str, parameters: Parameters) -> Cursor:
        self.refuse_reentry()
        block = self.block
        if block is None:
            self._refuse_to_write()
            self._committing = True
            cursor = self._run_alone(sql, parameters)
            self._committing = False
            return cursor
        if current().owner is not block.admitted:
            block.admit()
        if block.in_snapshot:
            raise TransactionError(SNAPSHOT)
        if not block.guarded:
            return self._run(sql, parameters)
        self._run("SAVEPOINT statement")
        self._protected = True
        cursor = self._run(sql, parameters)
        self._run("RELEASE statement")
        self._protected = False
        return cursor

    def _run(self, sql: str, parameters: Parameters | dict[str, Any] | None = None) -> Cursor:
        assert self.connection is not None
        self.at_work = True
        try:
            return self.connection.execute(sql, parameters)
        finally:
            self.at_work = False

    def _run_alone(self, sql: str, parameters: Parameters) -> Cursor:
        if current() is not NOBODY:
            self.refuse_copies()
        self.at_work = True
        try:
            with self.engine.borrowed() as connection:
                return connection.execute(sql, parameters)
        finally:
            self.at_work = False

    def _read_alone(self, sql: str, parameters: Parameters) -> list[Any]:
        if current() is not NOBODY:
            self.refuse_copies()
        self.at_work = True
        try:
            with self.engine.borrowed() as connection:
                self._reading = connection
                try:
                    return connection.execute(sql, parameters).fetchall()
                finally:
                    with self._reading_lock:  # a request to cancel must not reach another statement
                        self._reading = None
        finally:
            self.at_work = False

    def interrupt(self) -> None:
        """Ask the server to cancel the reading statement that runs outside a block; callable from any thread."""
        with self._reading_lock:
            if self._reading is not None:
                with suppress(psycopg.Error):
                    self._reading.cancel_safe(timeout=_CANCELS)

    # Blocks.

    def begin(self, block: Block) -> None:
        engine = self.engine
        try:
            if not block.in_snapshot:
                self._refuse_to_write()
                self.connection = engine.borrow()
                engine.writers.add(block.owner)
                self.connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE" if block.serializable else "BEGIN")
                return
            self.connection = engine.borrow(for_reading=True)
            # The first statement fixes the snapshot, not BEGIN.
            self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.connection.execute(session_sql("get_clock"))
        except Exception as error:
            raise translate(error, "snapshot" if block.in_snapshot else "BEGIN") from error

    def commit(self) -> None:
        connection, block = self.connection, self.block
        assert connection is not None
        if block is not None and block.in_snapshot:
            return  # a snapshot has nothing to commit: `give_back` rolls it back
        try:
            if connection.info.transaction_status is TransactionStatus.INERROR:
                raise TransactionLostError(LOST)
            connection.execute("COMMIT")
        except psycopg.Error as error:
            raise translate(error, "COMMIT", committing=True) from error

    def give_back(self) -> None:
        connection, self.connection = self.connection, None
        if self.block is not None:
            self.engine.writers.discard(self.block.owner)
        self._protected = self._committing = False
        if connection is None:
            return
        try:
            if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()  # the server ends its transaction with the connection
        finally:
            self.engine.give_back(connection)

    def _refuse_to_write(self) -> None:
        self.refuse_read_only()
        # An event loop continues while a call of a thread pool is still ending. A moment later, the call's context is gone, and
        # the transaction that it left open is known to be orphaned.
        writers = self.engine.writers
        if writers and in_event_loop():
            end = time.monotonic() + _POOL_ENDS
            writers.difference_update([one for one in writers if one.ended])  # an interrupt may have left one
            while any(one.is_suspended() for one in list(writers)) and time.monotonic() < end:
                time.sleep(0.0005)
        self.refuse_orphans()

    def savepoint(self, number: int) -> None:
        try:
            self._run(f"SAVEPOINT s{number}")
        except psycopg.Error as error:
            raise translate(error, "BEGIN") from error

    def release(self, number: int, *, back: bool) -> None:
        try:
            if back:
                self._run(f"ROLLBACK TO s{number}")
            self._run(f"RELEASE s{number}")
        except psycopg.Error as error:
            assert self.block is not None
            self.block.lose(LOST)
            if not back:
                raise TransactionLostError(LOST) from error

    def is_lost(self) -> bool:
        return self.connection is None or self.connection.closed

    # The connection.

    def close(self) -> None:
        """Do nothing: connections belong to the pool."""

    def __del__(self) -> None:
        # The thread has ended, or the store was dropped without being closed.
        if self.connection is None or self.engine.forked:
            return
        if self.block is None or sys.is_finalizing():
            self.connection.close()
        else:
            self.end_for_another(self.block.outermost, ENDED_ELSEWHERE)
