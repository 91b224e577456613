"""A session is one thread's use of a database: its connection and the blocks open on it.

Each engine has a subclass that runs statements, BEGIN, COMMIT and savepoints. Both engines share the blocks, their nesting
and the rules for who may use them. `datastore.engines.transactions` defines the context managers that callers enter.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import Any, NoReturn, Protocol

from datastore.engines import ownership
from datastore.engines.ownership import Owner
from datastore.errors import ClosedError, ReadOnlyDatabaseError, TransactionError, TransactionLostError
from datastore.events import Events, TransactionEnded, TransactionStarted

CLOSED = "the store is closed; open it again"

LOST = "the database ended this transaction after an error (a full disk, say); all of it is undone, begin it again"

_INTERRUPTED = "a block inside this transaction was interrupted and did not end; begin it again"

ENDED_ELSEWHERE = (
    "this transaction or snapshot was ended because the thread, task or context that entered it is gone; it was rolled back."
    " Enter and leave it in one function, or in an `async def` dependency"
)

FOREIGN = (
    "a transaction or snapshot is open here that another task, thread or context entered, and only that one may use it;"
    " do not await or yield inside a transaction, or do the whole unit of work in one function"
    " (store.run, asyncio.to_thread)"
)

_ORPHANED = (
    "a transaction is open whose code cannot continue: it was entered in a call that has returned (a dependency that yields"
    " inside store.transaction() and runs in a thread pool). Nothing can be written until it is left;"
    " enter and leave it in one function, or in an `async def` dependency"
)

REENTRANT = (
    "the store was called while this thread was inside another call to it (by a callback, a signal handler or a finalizer);"
    " set a flag there, and act on it outside the store"
)

READ_ONLY = "this store was opened read-only; open it without read_only=True to change something"

SNAPSHOT = "a snapshot is read-only; write outside it, in a transaction"

#: Held by a thread while it ends a block that another thread entered.
_elsewhere = threading.RLock()

#: Numbers of transactions and snapshots, for events.
_numbers = itertools.count(1)

#: Equals no owner: a block whose `admitted` is this value calls `Block.admit` for every statement.
_NOT_AT_ONCE = object()


class Block:
    """A transaction, savepoint or snapshot on a session."""

    __slots__ = (
        "_outermost",
        "admitted",
        "began",
        "committed",
        "depth",
        "guarded",
        "in_snapshot",
        "instant",
        "lost",
        "number",
        "open",
        "outer",
        "owner",
        "serializable",
    )

    def __init__(
        self, outer: Block | None, owner: Owner, *, in_snapshot: bool, guarded: bool, serializable: bool
    ) -> None:
        self.outer = outer
        self._outermost: Block | None = None if outer is None else outer.outermost
        self.owner = owner
        #: 1 for the outermost block.
        self.depth: int = 1 if outer is None else outer.depth + 1
        #: The owner if it may pass without a full check; see `admit`.
        self.admitted: object = owner if owner.task is None else _NOT_AT_ONCE
        self.in_snapshot = in_snapshot
        #: PostgreSQL: whether a failed statement leaves the transaction unchanged.
        self.guarded = guarded
        self.serializable = serializable
        #: The time within the outermost block, set when it is first read.
        self.instant: datetime | None = None
        #: The reason why this block can no longer be used, or None.
        self.lost: str | None = None
        #: True from just before the block begins until it has ended.
        self.open = False
        #: For events: the number and the start of an outermost block while somebody listens, and whether it is committed.
        self.number: int | None = None
        self.began = 0.0
        self.committed = False

    @property
    def outermost(self) -> Block:
        """The outermost enclosing block; the block itself if nothing encloses it."""
        return self._outermost or self

    @property
    def kind(self) -> str:
        """What it is, in events."""
        return "snapshot" if self.in_snapshot else "transaction"

    def admit(self) -> None:
        """Refuse every caller but the owner, and every caller once the block is lost.

        Raises:
            TransactionError: Another task, thread or context entered the block.
            TransactionLostError: The database or an interrupt ended it.
            ClosedError: The store was closed in the meantime.
        """
        if not self.owner.is_here():
            raise TransactionError(FOREIGN)
        if self.lost is not None:
            raise ClosedError(CLOSED) if self.lost is CLOSED else TransactionLostError(self.lost)

    def lose(self, why: str) -> None:
        """Mark this block and the enclosing ones as lost; the outermost one will roll back."""
        block: Block | None = self
        while block is not None:
            block.lost = block.lost or why
            block.admitted = _NOT_AT_ONCE
            block = block.outer


class Host(Protocol):
    """The part of an engine that a session needs."""

    timeout: float
    read_only: bool
    closed: bool
    #: Owners of transactions whose context is gone.
    orphans: list[Owner]
    events: Events

    def new_session(self) -> Session:
        """Create a session for the calling thread."""


class Session(ABC):
    """One thread's use of a database, and the blocks open on it.

    Other threads touch it only to close it, or to end a block that no other code can end.
    """

    def __init__(self, engine: Host) -> None:
        self.engine = engine
        #: The number of the session's thread.
        self.thread = threading.get_ident()
        #: The innermost block, or None.
        self.block: Block | None = None
        #: Whether the thread is running a call outside a block, or is beginning or ending a block.
        self.at_work = False
        #: The closing thread sets `closing`, then reads `at_work`. The session's thread sets `at_work`, then reads `closing`.
        #: One of them always sees the other's flag, so no connection is closed while in use, and no statement needs a lock.
        self.closing = False
        #: For events: the seconds that the thread has waited since the last event.
        self.waited = 0.0
        self.reference = weakref.ref(self)

    # Implemented by each engine. A method that raises leaves nothing open.

    @abstractmethod
    def begin(self, block: Block) -> None:
        """Begin the transaction or snapshot of an outermost block."""

    @abstractmethod
    def commit(self) -> None:
        """COMMIT, and the bookkeeping around it."""

    @abstractmethod
    def give_back(self) -> None:
        """Roll back what is open, and release whatever `begin` acquired; callable from any thread."""

    @abstractmethod
    def savepoint(self, number: int) -> None:
        """Begin a savepoint."""

    @abstractmethod
    def release(self, number: int, *, back: bool) -> None:
        """End a savepoint; roll *back* to it first if its block failed.

        Raises:
            TransactionLostError: The database has ended the transaction.
        """

    @abstractmethod
    def is_lost(self) -> bool:
        """Whether the database has ended the transaction of the open block."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if any; callable from any thread while no block is open."""

    # Blocks.

    def new_block(self, frame: FrameType, *, in_snapshot: bool, guarded: bool, serializable: bool) -> Block:
        """Create a block that the caller may open now; nothing is acquired yet."""
        self.refuse_reentry()
        outer = self.block
        if outer is None:
            self.refuse_copies()
            owner = Owner(self, frame)
            return Block(None, owner, in_snapshot=in_snapshot, guarded=guarded, serializable=serializable)
        outer.admit()
        if outer.owner.task is not ownership.running_task():
            raise TransactionError(FOREIGN)
        if outer.in_snapshot and not in_snapshot:
            raise TransactionError("a transaction cannot begin inside a snapshot")
        if serializable and not outer.serializable:
            raise TransactionError(
                "the enclosing transaction is not serializable; begin that one with serializable=True"
            )
        return Block(
            outer, outer.owner, in_snapshot=outer.in_snapshot, guarded=guarded, serializable=outer.serializable
        )

    def open(self, block: Block, *, savepoint: bool) -> None:
        """Begin *block*."""
        if block.outer is None:
            self.at_work = True
            try:
                if self.closing:
                    raise ClosedError(CLOSED)
                block.open = True
                self.begin(block)
                self.block = block
                block.owner.claim(self.engine.orphans)
            finally:
                self.at_work = False
            if self.engine.events.listeners:
                self._started(block)
            if self.closing:
                raise ClosedError(CLOSED)
            return
        if self.is_lost():
            block.outer.lose(LOST)
            raise TransactionLostError(LOST)
        block.open = True
        if savepoint:
            self.savepoint(block.depth - 1)
        self.block = block

    def _started(self, block: Block) -> None:
        block.number, block.began = next(_numbers), time.perf_counter()
        waited, self.waited = self.waited, 0.0
        self.engine.events.emit(TransactionStarted(block.number, block.kind, waited))

    def leave(self, block: Block, error: BaseException | None, *, savepoint: bool) -> None:
        """Commit *block*, or roll it back if there was an *error*."""
        if block.lost is not None or self.block is not block:
            block.lose(_INTERRUPTED)
            if error is None:
                raise ClosedError(CLOSED) if block.lost is CLOSED else TransactionLostError(block.lost or LOST)
        elif block.outer is not None:
            if savepoint:
                self.release(block.depth - 1, back=error is not None)
            block.open = False
            self.block = block.outer
        elif error is None:
            self._commit()
            block.committed = not block.in_snapshot

    def _commit(self) -> None:
        self.refuse_reentry()
        self.at_work = True  # until `end`: in between, the transaction is over but its block is not
        if self.closing:
            raise ClosedError(CLOSED)
        if self.is_lost():
            raise TransactionLostError(LOST)
        self.commit()

    def end(self, block: Block) -> None:
        """End *block* and those inside it; roll back what is not committed. Calling it twice is harmless."""
        if block.outer is not None:
            if block.open:
                block.outer.lose(_INTERRUPTED)
            return
        self.at_work = True
        try:
            self._end(block)
        finally:
            self.at_work = False

    def _end(self, block: Block) -> None:
        if block.open:
            self.give_back()
        inner = self.block
        while inner is not None:
            inner.open = False
            inner = inner.outer
        self.block = None
        block.open = False
        if block.owner in self.engine.orphans:
            self.engine.orphans.remove(block.owner)
        block.owner.end()
        if self.closing:
            self.close()
        if block.number is not None:
            number, block.number = block.number, None
            seconds = time.perf_counter() - block.began
            self.engine.events.emit(TransactionEnded(number, block.kind, block.committed, seconds))

    def end_for_another(self, block: Block, why: str) -> None:
        """End *block* from a thread that did not enter it, because no other code can; the blocks around it are lost."""
        with _elsewhere:
            block.lose(why)
            if block.outer is None:
                self._end(block)

    def stop(self) -> None:
        """The store is closing: close the connection, or make the open block end with ClosedError."""
        block = self.block
        if block is None:
            self.close()
        elif block.owner.may_go_on():
            block.lose(CLOSED)  # its owner rolls back, and closes the connection
        else:
            self.end_for_another(block.outermost, CLOSED)

    # Callers that are refused.

    def refuse_read_only(self) -> None:
        """Refuse to write if the store was opened read-only."""
        if self.engine.read_only:
            raise ReadOnlyDatabaseError(READ_ONLY)

    def refuse_reentry(self) -> None:
        if self.at_work:
            raise TransactionError(REENTRANT)

    def refuse_copies(self) -> None:
        """Refuse a copied context whose original is inside a transaction in another thread: it would wait for itself."""
        if ownership.current() is not ownership.NOBODY and ownership.claims(self.engine):
            raise TransactionError(FOREIGN)

    def refuse_orphans(self) -> None:
        """Refuse to write while a transaction is open whose code cannot continue; one older than the timeout is rolled back."""
        if self.engine.closed:
            raise ClosedError(CLOSED)
        for owner in list(self.engine.orphans):
            session: Session | None = owner.session()
            if owner.orphaned_at is None or session is None or session.block is None:
                continue
            if time.monotonic() - owner.orphaned_at <= self.engine.timeout:
                raise TransactionError(_ORPHANED)
            session.end_for_another(session.block.outermost, ENDED_ELSEWHERE)


#: By name or by position: see `datastore.statements.binding`.
Parameters = dict[str, Any] | tuple[Any, ...]


class ThreadState(threading.local):
    """Runs the calling thread's statements on its session.

    These methods run a thread's first statement only. After that, the session's own methods replace them.
    """

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        #: The calling thread's session, or None before its first call.
        self.session: Any = None

    def connected(self) -> Any:
        """The calling thread's session, created on first use.

        Raises:
            ClosedError: The store is closed.
        """
        if self.session is None:
            if self._engine.closed:
                raise ClosedError(CLOSED)
            session: Any = self._engine.new_session()
            self.__dict__.update(read=session.read, write=session.write, change=session.change)
            self.session = session  # last: after an interrupt before this line, the next statement connects again
        return self.session

    def read(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a statement returns."""
        rows: list[Any] = self.connected().read(sql, parameters)
        return rows

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a writing statement returns."""
        rows: list[Any] = self.connected().write(sql, parameters)
        return rows

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """The number of rows that a statement changed."""
        count: int = self.connected().change(sql, parameters)
        return count

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise the library's error that corresponds to the driver's."""
        if self.session is None:
            raise error
        failed: Callable[[Exception, str], NoReturn] = self.session.failed
        failed(error, f"statement {name} ({file})")

    @property
    def block(self) -> Block | None:
        """The calling thread's innermost block, or None."""
        session = self.session
        return None if session is None else session.block

    def observed(self) -> tuple[float, int | None]:
        """For events: the seconds that the calling thread has waited since this was last called, and its transaction's number."""
        session = self.session
        if session is None:
            return 0.0, None
        waited, block = session.waited, session.block
        if waited:
            session.waited = 0.0
        return waited, None if block is None else block.outermost.number

    def refuse_block(self, action: str) -> None:
        """Refuse *action* inside a transaction or snapshot.

        Raises:
            TransactionError: The thread is inside one; the message names *action*.
        """
        if self.block is not None:
            raise TransactionError(f"{action} cannot run inside a transaction")

    def forget(self) -> None:
        """Reset to the initial state: the next statement connects again."""
        for name in ("read", "write", "change"):
            self.__dict__.pop(name, None)
        self.session = None
