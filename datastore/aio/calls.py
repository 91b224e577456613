"""One call of the synchronous store on a thread, and the task that waits for it.

A call that is cancelled while it waits for its turn never runs. One that runs is finished first, and only then does its task
get CancelledError: no connection is left inside a transaction, and the outcome of a COMMIT is known. Reads are interrupted, and
a wait for the write lock ends at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, Literal, TypeVar

from datastore.engines.cancellation import Cancellation, cancellation

Result = TypeVar("Result")

#: Seconds between two attempts to interrupt a cancelled read: the first may come before its statement has begun.
_AGAIN = 0.05

State = Literal["waiting", "running", "ended", "withdrawn"]


class Call(Generic[Result]):
    """A function to be called on a thread, in a context. Only `start`, `end` and `run` are called by that thread.

    Args:
        loop: The event loop of the task that waits.
        context: The context in which the function runs.
        function: What to call.
        interrupt: Interrupts what a thread does, given its number; None: the call must be finished. It may block.
        firm: Whether it runs even if its task is cancelled before its turn: COMMIT, ROLLBACK and the ends of savepoints.
        done: What a CancelledError says if the call was completed before.
    """

    __slots__ = (
        "_cancellation",
        "_context",
        "_done",
        "_firm",
        "_function",
        "_interrupt",
        "_lock",
        "_loop",
        "_over",
        "_state",
        "_thread",
        "_waiter",
        "error",
        "on_end",
        "result",
        "since",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        function: Callable[[], Result],
        *,
        interrupt: Callable[[int], None] | None = None,
        firm: bool = False,
        done: str | None = None,
    ) -> None:
        self._loop = loop
        self._firm = firm
        self._done = done
        self._context = context
        self._function: Callable[[], Result] | None = function
        self._interrupt = interrupt
        self._cancellation = Cancellation()
        #: Held while the state changes, and while the call is interrupted: the thread goes on to its next call only afterwards.
        self._lock = threading.Lock()
        self._state: State = "waiting"
        self._thread = 0
        self._waiter: asyncio.Future[None] | None = None
        #: Whether the loop knows that the call has ended.
        self._over = False
        self.since = loop.time()
        self.result: Result | None = None
        self.error: BaseException | None = None
        #: Called in the loop once the thread has left the call, also if it was withdrawn.
        self.on_end: Callable[[Call[Any]], None] | None = None

    @property
    def waits(self) -> bool:
        """Whether it still waits for its turn."""
        return self._state == "waiting"

    def _take(self, state: State) -> bool:
        """Change to *state* if the call waits for its turn; the thread and the task may both try."""
        with self._lock:
            waited = self._state == "waiting"
            if waited:
                self._state = state
        return waited

    # On the thread.

    def start(self) -> bool:
        """Whether the call may run now: False if it was withdrawn."""
        self._thread = threading.get_ident()
        started = self._take("running")
        if started:
            self._context.run(cancellation.set, self._cancellation)
        else:
            self._tell()
        return started

    def end(self, result: Result | None, error: BaseException | None) -> None:
        """Record the outcome, and wake the task."""
        self.result, self.error = result, error
        self._function = None
        with self._lock:
            self._state = "ended"
        self._tell()

    def run(self) -> None:
        """Run the call from start to end."""
        if not self.start():
            return
        assert self._function is not None
        try:
            result = self._context.run(self._function)
        except BaseException as error:  # the task gets it, whatever it is
            self.end(None, error)
        else:
            self.end(result, None)

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended)

    # In the loop.

    def _ended(self) -> None:
        self._over = True
        if self.on_end is not None:
            self.on_end(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def withdraw(self, error: BaseException | None = None) -> bool:
        """Take the call back before its turn; the task gets the *error*. False if it runs or has ended."""
        if not self.waits or not self._take("withdrawn"):
            return False
        self._function, self.error = None, error
        self._over = True
        self._wake()
        return True

    async def wait(self) -> Result:
        """Wait for the outcome.

        Raises:
            asyncio.CancelledError: The task was cancelled. If the call had begun, it has ended.
        """
        cancelled: asyncio.CancelledError | None = None
        while not self._over:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                if not self._firm and self.withdraw():
                    raise
                cancelled = error
                self._cancel()
            except BaseException:  # the coroutine is closed: nobody wants the call any more
                if not self._firm:
                    self.withdraw()
                raise
        self._waiter = None
        if cancelled is not None:
            if self._done is not None and self.error is None:
                cancelled.add_note(self._done)
            try:
                raise cancelled from self.error
            finally:
                cancelled = None
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this frame
        return self.result  # type: ignore[return-value]  # a call without an error has a result

    def _cancel(self) -> None:
        if not self._cancellation.requested and self._interrupt is not None:
            threading.Thread(target=self._interrupt_until_it_ends, name="datastore-interrupt", daemon=True).start()
        self._cancellation.requested = True

    def _interrupt_until_it_ends(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                if self._state != "running":
                    return
                assert self._interrupt is not None
                self._interrupt(self._thread)
            pause.wait(_AGAIN)
