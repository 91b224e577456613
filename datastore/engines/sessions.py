"""A session is one thread's use of a database: its connection, and the blocks that are open on it.

Each engine has a subclass that runs the statements, BEGIN, COMMIT and savepoints. The blocks, how they nest, and who may use
them are the same on both. `datastore.engines.transactions` has what callers enter.
"""

from __future__ import annotations

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
from datastore.errors import ClosedError, TransactionError, TransactionLostError

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
    "a transaction is open whose code cannot go on: it was entered in a call that has returned (a dependency that yields inside"
    " store.transaction() and runs in a thread pool). Nothing can be written until it is left;"
    " enter and leave it in one function, or in an `async def` dependency"
)

REENTRANT = (
    "the store was called while this thread was inside a call of it (by a callback, a signal handler or a finalizer);"
    " let it set a flag, and act on that outside the store"
)

SNAPSHOT = "a snapshot is for reading; write outside it, in a transaction"

#: Taken by threads that end a block which another thread entered.
_elsewhere = threading.RLock()

#: Equal to no owner: a block that admits it has `Block.admit` asked at every statement.
_NOT_AT_ONCE = object()


class Block:
    """A transaction, savepoint or snapshot that is open on a session."""

    __slots__ = (
        "_outermost",
        "admitted",
        "depth",
        "guarded",
        "in_snapshot",
        "instant",
        "lost",
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
        #: The owner, which is let in without another look; see `admit`.
        self.admitted: object = owner if owner.task is None else _NOT_AT_ONCE
        self.in_snapshot = in_snapshot
        #: PostgreSQL: whether a statement that fails leaves the transaction as it was.
        self.guarded = guarded
        self.serializable = serializable
        #: The outermost block's instant, once it was asked for.
        self.instant: datetime | None = None
        #: Why nothing more can be done in this block, or None.
        self.lost: str | None = None
        #: From before it begins until it has ended.
        self.open = False

    @property
    def outermost(self) -> Block:
        """The block around all others; itself, if there is none."""
        return self._outermost or self

    def admit(self) -> None:
        """Refuse whoever is not the owner, and anybody where nothing more can be done.

        Raises:
            TransactionError: Another task, thread or context entered the block.
            TransactionLostError: The database or an interrupt ended it.
            ClosedError: The store was closed meanwhile.
        """
        if not self.owner.is_here():
            raise TransactionError(FOREIGN)
        if self.lost is not None:
            raise ClosedError(CLOSED) if self.lost is CLOSED else TransactionLostError(self.lost)

    def lose(self, why: str) -> None:
        """Nothing more is done in this block and those around it; the outermost one will roll back."""
        block: Block | None = self
        while block is not None:
            block.lost = block.lost or why
            block.admitted = _NOT_AT_ONCE
            block = block.outer


class Host(Protocol):
    """What a session needs of its engine."""

    timeout: float
    closed: bool
    #: Owners of transactions whose context is gone.
    orphans: list[Owner]

    def new_session(self) -> Session:
        """A session for the calling thread."""


class Session(ABC):
    """One thread's use of a database, and the blocks that are open on it.

    Other threads touch it only to end a block that nobody else can end, and to close it.
    """

    def __init__(self, engine: Host) -> None:
        self.engine = engine
        #: The innermost block, or None.
        self.block: Block | None = None
        #: Whether the thread is inside a call outside of a block, or at the beginning or end of one.
        self.at_work = False
        #: Set by whoever closes the store, before it looks at `at_work`. The thread sets that, and looks at this one: one of
        #: the two sees the other, so that no connection is closed that is in use, without a lock for each statement.
        self.closing = False
        self.reference = weakref.ref(self)

    # What an engine does. What raises has left nothing open.

    @abstractmethod
    def begin(self, block: Block) -> None:
        """Begin the transaction or snapshot of an outermost block."""

    @abstractmethod
    def commit(self) -> None:
        """COMMIT, and what belongs to it."""

    @abstractmethod
    def give_back(self) -> None:
        """Roll back what is open, and give back what `begin` took, if anything; from any thread."""

    @abstractmethod
    def savepoint(self, number: int) -> None:
        """Begin a savepoint."""

    @abstractmethod
    def release(self, number: int, *, back: bool) -> None:
        """End a savepoint; go *back* to it first where its block failed.

        Raises:
            TransactionLostError: The database has ended the transaction.
        """

    @abstractmethod
    def is_lost(self) -> bool:
        """Whether the database has ended the transaction of the open block."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if there is one; from any thread, while no block is open."""

    # Blocks.

    def new_block(self, frame: FrameType, *, in_snapshot: bool, guarded: bool, serializable: bool) -> Block:
        """A block that the caller may open now; nothing is taken yet."""
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
            raise TransactionError("the transaction around this one is not serializable; begin that one so")
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

    def leave(self, block: Block, error: BaseException | None, *, savepoint: bool) -> None:
        """Commit *block*, or roll it back where there is an *error*."""
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

    def _commit(self) -> None:
        self.refuse_reentry()
        self.at_work = True  # until `end`: in between, the transaction is over and its block is not
        if self.closing:
            raise ClosedError(CLOSED)
        if self.is_lost():
            raise TransactionLostError(LOST)
        self.commit()

    def end(self, block: Block) -> None:
        """Take *block* and those inside it off; roll back what is not committed. Once more does no harm."""
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

    def end_for_another(self, block: Block, why: str) -> None:
        """End *block* from a thread that did not enter it, because nobody else can; those around an inner one are lost."""
        with _elsewhere:
            block.lose(why)
            if block.outer is None:
                self._end(block)

    def stop(self) -> None:
        """The store is being closed: close the connection, or have the open block end with ClosedError."""
        block = self.block
        if block is None:
            self.close()
        elif block.owner.may_go_on():
            block.lose(CLOSED)  # its owner rolls back, and closes the connection
        else:
            self.end_for_another(block.outermost, CLOSED)

    # Who may not go on.

    def refuse_reentry(self) -> None:
        if self.at_work:
            raise TransactionError(REENTRANT)

    def refuse_copies(self) -> None:
        """Refuse a copy of a context that is inside a transaction in another thread: it would wait for itself."""
        if ownership.current() is not ownership.NOBODY and ownership.claims(self.engine):
            raise TransactionError(FOREIGN)

    def refuse_orphans(self) -> None:
        """Refuse to write while there is a transaction whose code cannot go on; one that is too old is rolled back."""
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
    """What the calling thread's statements run on.

    The methods serve a thread's first statement. Then those of its session are in their place.
    """

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        #: The calling thread's session, or None before its first call.
        self.session: Any = None

    def connected(self) -> Any:
        """The calling thread's session, made if there is none.

        Raises:
            ClosedError: The store is closed.
        """
        if self.session is None:
            if self._engine.closed:
                raise ClosedError(CLOSED)
            session: Any = self._engine.new_session()
            self.__dict__.update(read=session.read, write=session.write, change=session.change)
            self.session = session  # last: an interrupt before it has the next statement connect again
        return self.session

    def read(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a statement gives."""
        rows: list[Any] = self.connected().read(sql, parameters)
        return rows

    def write(self, sql: str, parameters: Parameters, /) -> list[Any]:
        """Every row that a statement gives which writes."""
        rows: list[Any] = self.connected().write(sql, parameters)
        return rows

    def change(self, sql: str, parameters: Parameters, /) -> int:
        """How many rows a statement changed."""
        count: int = self.connected().change(sql, parameters)
        return count

    def failed(self, error: Exception, name: str, file: str) -> NoReturn:
        """Raise this library's error for the driver's."""
        if self.session is None:
            raise error
        failed: Callable[[Exception, str], NoReturn] = self.session.failed
        failed(error, f"statement {name} ({file})")

    @property
    def block(self) -> Block | None:
        """The calling thread's innermost block, or None."""
        session = self.session
        return None if session is None else session.block

    def refuse_block(self, action: str) -> None:
        """Refuse to go on inside a transaction or snapshot.

        Raises:
            TransactionError: The thread is inside one; *action* is what it says.
        """
        if self.block is not None:
            raise TransactionError(f"{action} cannot run inside a transaction")

    def forget(self) -> None:
        """Back to the beginning: the next statement connects again."""
        for name in ("read", "write", "change"):
            self.__dict__.pop(name, None)
        self.session = None
