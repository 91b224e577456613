"""The threads of an asynchronous store, and which of them runs a call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Generic, ParamSpec, TypeVar

from datastore.aio.calls import Call
from datastore.aio.lanes import Lane
from datastore.aio.pins import Pin, entered
from datastore.engines.base import Engine
from datastore.engines.sessions import CLOSED
from datastore.errors import ClosedError, InvalidValueError, TransactionError, UnsupportedError
from datastore.records.pages import EVERY_ROWS

P = ParamSpec("P")
Result = TypeVar("Result")
Record = TypeVar("Record")

#: Threads for operations that take long: erasures, backups, maintenance, verification.
_BACKGROUND = 2

#: `close` waits at most this long for the threads, in seconds.
_CLOSING = 5.0

#: What a CancelledError says of a call that was completed before.
_STORED = "This call of the store was completed before its task was cancelled: what it wrote is stored."


class Threads:
    """The threads that run a store's calls for the tasks of one event loop.

    With one writer at a time (SQLite), all writes go through one thread in the order in which they arrive, and reads through
    others. Otherwise (PostgreSQL) there are as many threads as connections, for both.

    Args:
        engine: The synchronous store's engine.
        readers: With one writer at a time: the number of threads that read.
        max_calls: The maximum number of calls that each kind of thread has or is about to run.
    """

    def __init__(self, engine: Engine, *, readers: int, max_calls: int) -> None:
        for name, value in (("readers", readers), ("max_calls", max_calls)):
            given: object = value
            if isinstance(given, bool) or not isinstance(given, int) or given < 1:
                raise InvalidValueError(f"{name}: must be 1 or more")
        self._engine = engine
        self._loop = running_loop()
        self.closed = False
        #: Done once `close` has ended; None before it was called.
        self._closing: asyncio.Future[None] | None = None
        self._pins: set[Pin] = set()

        def lane(name: str, threads: int) -> Lane:
            return Lane(name, threads, self._loop, max_calls=max_calls, patience=engine.timeout)

        if engine.connections is None:
            self.writing, self.reading = lane("write", 1), lane("read", readers)
        else:
            self.writing = self.reading = lane("call", engine.connections)
        self.background = lane("background", _BACKGROUND)
        #: One thread, because the counter of commits can only be compared on one connection.
        self.polling = lane("poll", 1)
        self._lanes = {self.writing, self.reading, self.background, self.polling}

    # Calls.

    async def read(self, function: Callable[P, Result], /, *arguments: P.args, **keywords: P.kwargs) -> Result:
        """Call a function that only reads; it is interrupted if the task is cancelled."""
        return await self._call(
            self.reading, functools.partial(function, *arguments, **keywords), self._engine.interrupt
        )

    async def write(self, function: Callable[P, Result], /, *arguments: P.args, **keywords: P.kwargs) -> Result:
        """Call a function that may write."""
        return await self._call(self.writing, functools.partial(function, *arguments, **keywords), done=_STORED)

    async def slow(self, function: Callable[P, Result], /, *arguments: P.args, **keywords: P.kwargs) -> Result:
        """Call a function that takes long, next to the others."""
        return await self._call(self.background, functools.partial(function, *arguments, **keywords), done=_STORED)

    def iterate(
        self, function: Callable[P, Iterator[Record]], /, *arguments: P.args, **keywords: P.kwargs
    ) -> AsyncIterator[Record]:
        """Iterate over what a reading function returns, page by page."""
        return _Iteration(self.read, functools.partial(function, *arguments, **keywords))

    def iterate_slowly(
        self, function: Callable[P, Iterator[Record]], /, *arguments: P.args, **keywords: P.kwargs
    ) -> AsyncIterator[Record]:
        """As `iterate`, with a function that may write."""
        return _Iteration(self.slow, functools.partial(function, *arguments, **keywords))

    async def poll(
        self, function: Callable[P, Generator[float, None, Result]], /, *arguments: P.args, **keywords: P.kwargs
    ) -> Result:
        """Run a generator of pauses, in seconds, on one thread; the pauses themselves block no thread."""
        steps = function(*arguments, **keywords)

        def step() -> tuple[float, Result | None]:
            try:
                return next(steps), None
            except StopIteration as end:
                return -1.0, end.value

        while True:
            pause, result = await self._call(self.polling, step, self._engine.interrupt)
            if pause < 0:
                return result  # type: ignore[return-value]  # what the generator returned
            await asyncio.sleep(pause)

    async def _call(
        self,
        lane: Lane,
        function: Callable[[], Result],
        interrupt: Callable[[int], None] | None = None,
        done: str | None = None,
    ) -> Result:
        pin = self.pin()
        if pin is not None:
            return await pin.call(function, interrupt=interrupt)
        call = Call(self._loop, contextvars.copy_context(), function, interrupt=interrupt, done=done)
        lane.submit(call)
        try:
            return await call.wait()
        finally:
            lane.forget(call)

    # Transactions and snapshots.

    def pin(self) -> Pin | None:
        """The transaction or snapshot that the calling task is inside, or None.

        Raises:
            ClosedError: The store is closed.
            UnsupportedError: It belongs to another event loop.
            TransactionError: Another task entered the transaction of this context.
        """
        if self.closed:
            raise ClosedError(CLOSED)
        if running_loop() is not self._loop:
            raise UnsupportedError(
                "this AsyncDatastore belongs to the event loop in which it was opened; open another one in this loop"
            )
        return entered(self)

    def new_pin(self, lane: Lane, block: AbstractContextManager[None]) -> Pin:
        """A thread of *lane* for *block*, outside any other."""
        pin = Pin(lane, self._loop, block, self)
        self._pins.add(pin)
        return pin

    def forget(self, pin: Pin) -> None:
        """Called in the loop when a pin has ended."""
        self._pins.discard(pin)

    # The end.

    async def close(self, close_store: Callable[[], None]) -> None:
        """Refuse new calls, end those that wait and every transaction, then close the store and end the threads.

        Raises:
            TransactionError: The calling task is inside a transaction.
        """
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return
        if self.pin() is not None:
            raise TransactionError("the store cannot be closed inside a transaction")
        self.closed = True
        self._closing = self._loop.create_future()
        for lane in self._lanes:
            lane.refuse_all(lambda: ClosedError(CLOSED))
        for pin in self._pins:
            pin.abandon(CLOSED)
        for lane in self._lanes:
            lane.stop()
        try:
            await once(lambda: self._finish(close_store)).wait()
        finally:
            self._closing.set_result(None)

    def _finish(self, close_store: Callable[[], None]) -> None:
        close_store()
        until = time.monotonic() + _CLOSING
        for lane in self._lanes:
            lane.join(until)


class _Iteration(AsyncIterator[Record], Generic[Record]):
    """Fetches the records of an iterator on the threads, a page at a time."""

    def __init__(
        self,
        call: Callable[[Callable[[], list[Record]]], Awaitable[list[Record]]],
        begin: Callable[[], Iterator[Record]],
    ) -> None:
        self._call = call
        self._begin = begin
        self._source: Iterator[Record] | None = None
        self._records: deque[Record] = deque()
        self._ended = False
        self._broken = False

    def __aiter__(self) -> _Iteration[Record]:
        return self

    async def __anext__(self) -> Record:
        if not self._records and not self._ended:
            if self._broken:
                raise TransactionError("this iteration was broken off by an error or a cancellation; begin another one")
            self._broken = True  # a page that is read while its task is cancelled is lost
            page = await self._call(self._page)
            self._broken = False
            self._ended = len(page) < EVERY_ROWS
            self._records.extend(page)
        if not self._records:
            raise StopAsyncIteration
        return self._records.popleft()

    def _page(self) -> list[Record]:
        if self._source is None:
            self._source = self._begin()
        return list(islice(self._source, EVERY_ROWS))


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs in this thread.

    Raises:
        UnsupportedError: There is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise UnsupportedError(
            "AsyncDatastore needs a running event loop of asyncio; use Datastore elsewhere"
        ) from error


def once(function: Callable[[], Result]) -> Call[Result]:
    """Call *function* on a thread of its own; wait for the call that this returns."""
    call = Call(running_loop(), contextvars.copy_context(), function)
    threading.Thread(target=call.run, name="datastore-once", daemon=True).start()
    return call
