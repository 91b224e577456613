"""Lanes: threads that run calls in the order in which these arrive."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol

from datastore.aio.calls import Call
from datastore.errors import BusyError


class Work(Protocol):
    """What a thread of a lane runs."""

    def run(self) -> None: ...


Queue = SimpleQueue[Work | None]


class Lane:
    """Some threads with one queue. All methods are called in the event loop.

    Args:
        name: Part of the threads' names.
        threads: The maximum number of threads; each is started when it is first needed.
        loop: The event loop whose tasks make the calls.
        max_calls: The maximum number of calls that are handed to the threads at once; the others wait in the loop.
        patience: Seconds that a call may wait while no other call of this lane ends.
    """

    def __init__(
        self, name: str, threads: int, loop: asyncio.AbstractEventLoop, *, max_calls: int, patience: float
    ) -> None:
        self._name = name
        self._size = threads
        self._loop = loop
        self._max_calls = max_calls
        self._patience = patience
        self._queue: Queue = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: Calls that have not ended, in the order of their arrival.
        self._calls: dict[Call[Any], None] = {}
        #: Those of them that have not been handed to the threads.
        self._outside: deque[tuple[Call[Any], Work]] = deque()
        #: The number of calls that the threads have, also withdrawn ones that they have not seen yet.
        self.handed = 0
        self._moved = loop.time()
        self._watch: asyncio.TimerHandle | None = None

    def submit(self, call: Call[Any], work: Work | None = None) -> None:
        """Let a thread run *work*, by default the *call* itself; other work has to call `left` when it ends."""
        self._calls[call] = None
        if work is None:
            work, call.on_end = call, self.left
        if self.handed < self._max_calls and not self._outside:
            self._hand(work)
        else:
            self._outside.append((call, work))
        if self._watch is None:
            self._look_after(self._patience)

    def _look_after(self, seconds: float) -> None:
        # The loop must not keep a lane that nobody uses any more.
        self._watch = self._loop.call_later(seconds, _look, weakref.ref(self))

    def _hand(self, work: Work) -> None:
        self.handed += 1
        self._queue.put(work)
        if len(self._threads) < min(self._size, self.handed):
            number = len(self._threads) + 1
            thread = threading.Thread(
                target=_serve, args=(self._queue,), name=f"datastore-{self._name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def left(self, call: Call[Any]) -> None:
        """A thread has left a call: the next may be handed over."""
        self._calls.pop(call, None)
        self.handed -= 1
        self._moved = self._loop.time()
        while self._outside and self.handed < self._max_calls:
            waiting, work = self._outside.popleft()
            if waiting.waits:
                self._hand(work)

    def forget(self, call: Call[Any]) -> None:
        """Nobody waits for this call; its place with the threads is free once they have left it."""
        self._calls.pop(call, None)

    def look(self) -> None:
        """Refuse the calls that have waited for too long."""
        self._watch = None
        now = self._loop.time()
        for call in list(self._calls):
            if not call.waits:
                continue
            left = max(call.since, self._moved) + self._patience - now
            if left > 0:  # later ones have at least as long
                self._look_after(left)
                return
            if call.withdraw(self._busy()):
                self.forget(call)

    def _busy(self) -> BusyError:
        return BusyError(
            f"no thread was free for {self._patience:g} s; try again, or keep transactions shorter"
            " (a task that keeps one open while it waits for a model or a network is the usual cause)"
        )

    def refuse_all(self, error: Callable[[], BaseException]) -> None:
        """Let every call that waits for its turn end with an error."""
        for call in list(self._calls):
            if call.withdraw(error()):
                self.forget(call)
        self._outside.clear()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def stop(self) -> None:
        """Let the threads end after their present calls."""
        for _ in self._threads:
            self._queue.put(None)

    def join(self, until: float) -> None:
        """Wait for the threads, until a time of time.monotonic. Called on another thread."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def __del__(self) -> None:
        self.stop()  # the store was dropped without being closed


def _look(lane: Callable[[], Lane | None]) -> None:
    there = lane()
    if there is not None:
        there.look()


def _serve(queue: Queue) -> None:
    # It refers to the queue only, so that a lane that nobody uses any more can end its threads.
    while (work := queue.get()) is not None:
        work.run()
        del work
