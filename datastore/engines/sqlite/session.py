"""A thread's SQLite connection: it runs statements, BEGIN, COMMIT and savepoints."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from datastore.engines.cancellation import refuse_cancelled
from datastore.engines.fork import keep
from datastore.engines.ownership import NOBODY, Owner, current, in_event_loop
from datastore.engines.sessions import CLOSED, ENDED_ELSEWHERE, LOST, SNAPSHOT, Block, Host, Parameters, Session
from datastore.engines.sqlite.errors import code_of, is_busy
from datastore.engines.sqlite.gate import Gate
from datastore.errors import ClosedError, TransactionError, TransactionLostError

Result = TypeVar("Result")

#: An event loop's thread waits at most this long, in seconds, for a block that no code is inside.
_LOOP_WAITS = 0.1

_LOOP = (
    "the event loop waits for a transaction that was entered in a call of a thread pool, which may in turn wait for the loop;"
    " enter and leave a transaction in one function, or in an `async def` dependency"
)

#: Replaces a turn's number while the session waits for the gate.
_TAKING = -1


class SQLiteHost(Host, Protocol):
    """The part of a SQLite engine that a session needs."""

    path: Path
    gate: Gate
    #: The owner of the transaction that has the gate, or None.
    writer: Owner | None

    def patiently(self, run: Callable[[], Result], action: str) -> Result:
        """Call *run*, and repeat it while another connection has the lock, until the timeout."""

    def translated(self, error: Exception, where: str, *, committing: bool = False) -> Exception:
        """Translate the driver's error to this library's."""

    def wrote(self, connection: sqlite3.Connection, rows: int) -> None:
        """Run a checkpoint if one is due, after a commit, inside the gate."""


class SQLiteSession(Session):
    """One thread's connection to a database file."""

    engine: SQLiteHost

    def __init__(self, engine: SQLiteHost, connection: sqlite3.Connection) -> None:
        super().__init__(engine)
        self.connection = connection
        self._execute = connection.execute
        self._process = os.getpid()
        # The number of the open transaction's turn at the gate, and the connection's changes when it began.
        self._turn: int | None = None
        self._changes = 0

    # Statements.

    def read(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a statement returns."""
        block = self.block
        if block is not None:
            if current().owner is not block.admitted:
                block.admit()
            return self._execute(sql, parameters).fetchall()
        if current() is not NOBODY:
            self.refuse_copies()
        if self.at_work:
            self.refuse_reentry()
        self.at_work = True
        try:
            if self.closing:
                raise ClosedError(CLOSED)
            return self._execute(sql, parameters).fetchall()
        finally:
            self.at_work = False

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that RETURNING returns; the write lock is held until the end."""
        block = self.block
        if block is None:
            return self._write_alone(lambda: self._execute(sql, parameters).fetchall())
        if current().owner is not block.admitted:
            block.admit()
        if block.in_snapshot or self.at_work:
            self._refuse_write()
        self.at_work = True
        try:
            return self._execute(sql, parameters).fetchall()
        finally:
            self.at_work = False

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """The number of rows changed."""
        block = self.block
        if block is None:
            return self._write_alone(lambda: self._execute(sql, parameters).rowcount)
        if current().owner is not block.admitted:
            block.admit()
        if block.in_snapshot or self.at_work:
            self._refuse_write()
        self.at_work = True
        try:
            return self._execute(sql, parameters).rowcount
        finally:
            self.at_work = False

    def _refuse_write(self) -> NoReturn:
        self.refuse_reentry()
        raise TransactionError(SNAPSHOT)

    def _write_alone(self, run: Callable[[], Result]) -> Result:
        # Runs one writing statement as its own transaction.
        engine = self.engine
        if current() is not NOBODY:
            self.refuse_copies()
        self.refuse_reentry()
        self.refuse_read_only()
        self.at_work = True
        try:
            if self.closing:
                raise ClosedError(CLOSED)
            if self.connection.in_transaction:
                self.give_back()  # an interrupt came between the end of a block and its cleanup
            self._enter_gate()
            try:
                result = run()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                result = engine.patiently(run, "write")
            engine.wrote(self.connection, 2)  # the row itself, and usually a counter that a trigger maintains
            engine.gate.release()
        except BaseException:
            engine.gate.reset()
            raise
        finally:
            self.at_work = False
        return result

    def _enter_gate(self) -> None:
        engine = self.engine
        if not engine.events.listeners:
            engine.gate.acquire(engine.timeout, self.refuse_to_wait)
            return
        began = time.perf_counter()
        try:
            engine.gate.acquire(engine.timeout, self.refuse_to_wait)
        finally:
            self.waited += time.perf_counter() - began

    def failed(self, error: Exception, where: str) -> NoReturn:
        """Raise this library's error for the driver's; record the loss of a transaction that SQLite ended itself."""
        block = self.block
        if block is not None and self.is_lost():
            block.lose(LOST)
        translated = self.engine.translated(error, where, committing=block is None)
        if translated is error:
            raise error
        raise translated from error

    # Blocks.

    def begin(self, block: Block) -> None:
        engine, connection = self.engine, self.connection
        if connection.in_transaction:
            self.give_back()
        if block.in_snapshot:
            self._do("BEGIN DEFERRED")
            # The first read fixes the snapshot; until then another commit could still become visible.
            engine.patiently(lambda: connection.execute("PRAGMA user_version").fetchall(), "snapshot")
            return
        self.refuse_read_only()
        self._turn = _TAKING
        self._enter_gate()
        self._turn = engine.gate.number
        engine.writer = block.owner
        engine.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), "BEGIN")
        self._changes = connection.total_changes

    def commit(self) -> None:
        connection = self.connection
        if self._turn is None:
            return  # a snapshot has nothing to commit: `give_back` rolls it back
        self._do("COMMIT", committing=True)
        self.engine.wrote(connection, connection.total_changes - self._changes)

    def give_back(self) -> None:
        gate = self.engine.gate
        try:
            self._roll_back()
        finally:
            if self._turn is not None:
                if gate.mine:
                    self.engine.writer = None  # before the gate opens: the next writer records itself
                    gate.reset()
                elif self._turn == gate.number:
                    self.engine.writer = None
                    gate.take_away()
                self._turn = None

    def _roll_back(self) -> None:
        while self.connection.in_transaction:
            try:
                self.connection.rollback()
            except sqlite3.Error as error:
                if code_of(error) != "SQLITE_INTERRUPT":  # a ROLLBACK that `close` interrupted has done nothing
                    raise self.engine.translated(error, "ROLLBACK") from error

    def savepoint(self, number: int) -> None:
        self._do(f"SAVEPOINT s{number}")

    def release(self, number: int, *, back: bool) -> None:
        if not self.connection.in_transaction:
            assert self.block is not None
            self.block.lose(LOST)
            if not back:
                raise TransactionLostError(LOST)
            return
        if back:
            self._do(f"ROLLBACK TO s{number}")
        self._do(f"RELEASE s{number}")

    def _do(self, sql: str, *, committing: bool = False) -> None:
        # `close` may interrupt these as well, even in a block: an interrupt may arrive just after the call that it was meant for.
        try:
            self.connection.execute(sql)
        except sqlite3.Error as error:
            raise self.engine.translated(error, sql, committing=committing) from error

    def is_lost(self) -> bool:
        # A snapshot has nothing to lose.
        return self._turn is not None and not self.connection.in_transaction

    def refuse_to_wait(self, waited: float) -> None:
        """Called while waiting for the gate: refuse if waiting is useless, or the store is closed."""
        self.refuse_orphans()
        refuse_cancelled()
        writer = self.engine.writer
        if waited > _LOOP_WAITS and writer is not None and in_event_loop() and not writer.may_go_on():
            # A thread pool keeps the context of its calls until the loop continues, which this thread blocks.
            raise TransactionError(_LOOP)

    # The connection.

    def close(self) -> None:
        self.connection.close()
        if self.engine.closed:
            self.engine.gate.close()  # the store left the gate open if this thread was in it

    def __del__(self) -> None:
        # The thread has ended, or the store was dropped without being closed.
        if os.getpid() != self._process:
            keep(self.connection, self.engine.path)
        elif self.block is not None:
            self.end_for_another(self.block.outermost, ENDED_ELSEWHERE)
            self.close()
        else:
            self.close()
