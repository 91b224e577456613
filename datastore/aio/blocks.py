"""The asynchronous context managers that callers enter: transactions and snapshots."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from datastore.aio.pins import OTHER_TASK, Pin, enter
from datastore.engines.sessions import ENDED_ELSEWHERE
from datastore.engines.transactions import LEFT_ELSEWHERE
from datastore.errors import CommitOutcomeUnknownError, TransactionError

if TYPE_CHECKING:
    from datastore.aio.lanes import Lane
    from datastore.aio.threads import Threads


class AsyncBlock:
    """The common base of asynchronous transactions and snapshots; use it in an ``async with`` block.

    Args:
        threads: The store's threads.
        lane: The lane that gives a thread to an outermost block.
        make: Creates the synchronous block.
    """

    def __init__(self, threads: Threads, lane: Lane, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._threads = threads
        self._lane = lane
        self._make = make
        self._block: AbstractContextManager[None] | None = None
        self._pin: Pin | None = None
        self._outermost = False
        self._frame = 0

    async def _enter(self, frame: FrameType) -> None:
        if self._block is not None:
            raise TransactionError("this block was already entered; make another one")
        self._frame = id(frame)
        pin = self._threads.pin()
        self._block = block = self._make()
        if pin is not None:
            await pin.enter(block)
            self._pin = pin
            return
        self._outermost = True
        pin = self._threads.new_pin(self._lane, block)
        await pin.begin()
        self._pin = pin
        enter(pin)

    async def _leave(self, error: BaseException | None, frame: FrameType) -> None:
        pin, block = self._pin, self._block
        assert pin is not None
        assert block is not None
        if isinstance(error, GeneratorExit):  # the coroutine is closed, and may not wait
            pin.abandon(ENDED_ELSEWHERE)
            return
        if pin.left:
            if error is None:
                raise pin.lost()
            return
        if not pin.is_mine:
            if id(frame) != self._frame and not pin.is_abandoned:
                raise TransactionError(OTHER_TASK)
            pin.abandon(LEFT_ELSEWHERE)
            if error is None:
                raise TransactionError(LEFT_ELSEWHERE)
            return
        if self._outermost:
            await pin.leave(error)
        else:
            await pin.leave_inner(block, error)

    def __del__(self) -> None:
        # The task was dropped inside the block, with its event loop say: no other code will end the transaction.
        if self._pin is not None and self._outermost:
            self._pin.abandon(ENDED_ELSEWHERE)


class AsyncTransaction(AsyncBlock):
    """``async with store.transaction() as transaction``: BEGIN outside a transaction, a savepoint inside one.

    Attributes:
        committed: Whether it was committed; a savepoint, whether it was released. None while it is open, and if the outcome of
            COMMIT is unknown. If the task is cancelled at the end of the block, this says what became of it.
    """

    committed: bool | None = None

    def __aenter__(self) -> Awaitable[AsyncTransaction]:
        return self._begin(sys._getframe(1))

    async def _begin(self, frame: FrameType) -> AsyncTransaction:
        await self._enter(frame)
        return self

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        return self._end(error, sys._getframe(1))

    async def _end(self, error: BaseException | None, frame: FrameType) -> None:
        try:
            await self._leave(error, frame)
        except asyncio.CancelledError as cancelled:
            # The outcome is known: a COMMIT that failed is the cause.
            self.committed = self._outcome(error, cancelled.__cause__)
            raise
        except BaseException as failed:
            self.committed = self._outcome(error, failed)
            raise
        self.committed = error is None

    @staticmethod
    def _outcome(error: BaseException | None, failed: BaseException | None) -> bool | None:
        if isinstance(failed, CommitOutcomeUnknownError):
            return None
        return error is None and failed is None


class AsyncSnapshot(AsyncBlock):
    """``async with store.snapshot()``: all reads inside see the same state."""

    def __aenter__(self) -> Awaitable[None]:
        return self._enter(sys._getframe(1))

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        return self._leave(error, sys._getframe(1))
