"""A pin keeps a thread for one transaction or snapshot of a task, from BEGIN to COMMIT."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from datastore.aio.calls import Call
from datastore.aio.lanes import Lane
from datastore.engines.ownership import Claim, drop_claim, share_claim
from datastore.engines.sessions import CLOSED, ENDED_ELSEWHERE
from datastore.errors import ClosedError, TransactionError, TransactionLostError

Result = TypeVar("Result")

OTHER_TASK = (
    "another task entered this transaction or snapshot, and only that one may use it; inside it, await one call after the other"
    " instead of starting tasks (asyncio.gather, create_task, and wait_for before Python 3.12: use asyncio.timeout)"
)


class Host(Protocol):
    """What pins belong to."""

    def forget(self, pin: Pin) -> None:
        """Called in the loop when a pin has ended."""


class Pin:
    """A thread of a lane that one task has for itself, with the connection that is inside its transaction.

    The thread and the waiting task refer to it, and it refers only weakly to the task: if the task is dropped, so is its block,
    which ends the transaction (`datastore.aio.blocks`).

    Args:
        lane: The lane that gives the thread.
        loop: The task's event loop.
        block: The synchronous transaction or snapshot.
        host: The threads that the pin belongs to; a task may have a pin of each store.
    """

    def __init__(
        self, lane: Lane, loop: asyncio.AbstractEventLoop, block: AbstractContextManager[None], host: Host
    ) -> None:
        task = asyncio.current_task()
        if task is None:
            raise TransactionError("a transaction belongs to a task; begin it in a coroutine that a task runs")
        self.host = host
        self._task = weakref.ref(task)
        self._lane = lane
        self._loop = loop
        self._block = block
        self._context = contextvars.copy_context()
        self._calls: SimpleQueue[Call[Any]] = SimpleQueue()
        self._begin: Call[None] = Call(loop, self._context, lambda: None)
        #: Held while a call is added and while the thread leaves: a call that is added is run or refused.
        self._lock = threading.Lock()
        self._claim: Claim | None = None
        #: Whether somebody has left the outermost block, or given it up: what the task does now is outside.
        self.left = False
        #: Whether it has ended on its thread.
        self._ended = False
        #: Why calls are refused after that.
        self._why = ENDED_ELSEWHERE

    @property
    def is_mine(self) -> bool:
        """Whether the running task owns it."""
        return self._task() is asyncio.current_task()

    @property
    def is_abandoned(self) -> bool:
        """Whether the task that owns it has ended."""
        task = self._task()
        return task is None or task.done()

    async def begin(self) -> None:
        """Wait for a thread, and for BEGIN."""
        self._lane.submit(self._begin, self)
        try:
            await self._begin.wait()
        except BaseException:
            self.abandon(ENDED_ELSEWHERE)  # does nothing if BEGIN failed or never ran
            raise
        finally:
            self._lane.forget(self._begin)
        self._claim = share_claim(self._context)
        task = self._task()
        assert task is not None
        task.add_done_callback(self._task_ended)

    async def call(self, function: Callable[[], Result], *, interrupt: Callable[[int], None] | None = None) -> Result:
        """Call *function* on the thread, inside the transaction, with the calling task's context variables."""
        return await self._post(Call(self._loop, contextvars.copy_context(), function, interrupt=interrupt)).wait()

    async def enter(self, block: AbstractContextManager[None]) -> None:
        """Enter another *block* inside the transaction."""
        entered = False

        def enter() -> None:
            nonlocal entered
            block.__enter__()
            entered = True

        try:
            await self.call(enter)
        except asyncio.CancelledError as error:
            if entered:  # nobody will leave it
                await self.leave_inner(block, error)
            raise
        except GeneratorExit:
            self.abandon(ENDED_ELSEWHERE)
            raise

    async def leave_inner(self, block: AbstractContextManager[None], error: BaseException | None) -> None:
        """Leave a *block* that was entered by `enter`."""

        def leave() -> None:
            block.__exit__(None if error is None else type(error), error, None)

        await self._post(Call(self._loop, contextvars.copy_context(), leave, firm=True)).wait()

    async def leave(self, error: BaseException | None) -> None:
        """End the transaction: COMMIT, or ROLLBACK if there was an *error*."""
        call = self._exit(error)
        self.left = True
        task = self._task()
        if task is not None:
            task.remove_done_callback(self._task_ended)
        try:
            await self._post(call).wait()
        finally:
            self.forget_claim()

    def forget_claim(self) -> None:
        """The calling context is outside again, also for synchronous calls."""
        if self._claim is not None:
            drop_claim(self._claim)

    def abandon(self, why: str) -> None:
        """Roll back, without waiting for it; callable from any thread. Does nothing if the transaction has ended."""
        self.left = True
        with suppress(TransactionError):
            self._post(self._exit(TransactionLostError(why)))
            self._why = why

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self.abandon(ENDED_ELSEWHERE)

    def _exit(self, error: BaseException | None) -> Call[None]:
        def leave() -> None:
            try:
                self._block.__exit__(None if error is None else type(error), error, None)
            finally:
                self._ended = True

        committed = "The transaction was committed before its task was cancelled." if error is None else None
        return Call(self._loop, self._context, leave, firm=True, done=committed)

    def _post(self, call: Call[Result]) -> Call[Result]:
        with self._lock:
            if self._ended:
                raise self.lost()
            self._calls.put(call)
        return call

    def lost(self) -> TransactionError:
        """The error of a call that comes too late."""
        return ClosedError(CLOSED) if self._why is CLOSED else TransactionLostError(self._why)

    def run(self) -> None:
        """What the thread does until the transaction has ended."""
        if self._begin.start():
            try:
                # Called directly from here: the block remembers this frame as the code that entered it.
                self._context.run(self._block.__enter__)
            except BaseException as error:
                self._begin.end(None, error)
            else:
                self._begin.end(None, None)
                while not self._ended:
                    self._calls.get().run()
        with self._lock:
            self._ended = True
        while not self._calls.empty():
            late = self._calls.get()
            if late.start():
                late.end(None, self.lost())
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self._lane.left(self._begin)
        self.host.forget(self)


class _Entered:
    """A pin that the calling context is inside; a linked list, innermost first."""

    __slots__ = ("outer", "pin")

    def __init__(self, pin: Pin, outer: _Entered | None) -> None:
        self.pin = pin
        self.outer = outer


_entered: contextvars.ContextVar[_Entered | None] = contextvars.ContextVar("datastore.pin", default=None)


def enter(pin: Pin) -> None:
    """Record that the calling context is inside *pin*."""
    _entered.set(_Entered(pin, _live()))


def entered(host: Host) -> Pin | None:
    """The pin of *host* that the calling task is inside, or None.

    Raises:
        TransactionError: Another task owns it; the calling context is a copy of that task's.
    """
    inside = _entered.get()
    if inside is None:
        return None
    if inside.pin.left:
        inside = _live()
        _entered.set(inside)
    while inside is not None:
        if inside.pin.host is host and not inside.pin.left:
            if not inside.pin.is_mine:
                raise TransactionError(OTHER_TASK)
            return inside.pin
        inside = inside.outer
    return None


def _live() -> _Entered | None:
    inside = _entered.get()
    while inside is not None and inside.pin.left:
        inside.pin.forget_claim()
        inside = inside.outer
    return inside
