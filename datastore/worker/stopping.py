"""How a worker ends: on request, by SIGTERM with a grace period, by Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from datastore.worker.tasks import Stopped

#: Seconds after a Ctrl-C in which others change nothing: a terminal and a supervisor may both send it.
_ONE_PRESS = 1.0


class Stop:
    """Whether and when a worker has to end. Signal handlers set it, so it has no locks.

    Args:
        grace: Seconds that handlers may continue after SIGTERM.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        #: No further job is claimed.
        self.asked = False
        #: When (monotonic) running handlers are interrupted; None: they may finish.
        self.deadline: float | None = None
        #: Running handlers are interrupted now.
        self.at_once = False
        #: Called after each change.
        self.wake: Callable[[], None] = _nothing
        #: The exception that a signal has raised in the handler on the main thread, and whether one may do so now.
        self.interrupt: type[BaseException] | None = None
        self.interruptible = False
        #: The exception of a Ctrl-C that came outside a handler, and when (monotonic).
        self._noted: BaseException | None = None
        self._noted_at = 0.0

    def ask(self) -> None:
        """Claim no further job; running handlers finish."""
        self.asked = True
        self.wake()

    @property
    def is_over(self) -> bool:
        """Whether running handlers have to end now."""
        return self.at_once or (self.deadline is not None and time.monotonic() >= self.deadline)

    def seconds_left(self) -> float | None:
        """Seconds until running handlers have to end; None: they may finish."""
        if self.at_once:
            return 0.0
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Sleep, but not after the worker was asked to end."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle SIGTERM and Ctrl-C until the block ends, on the main thread; other threads use `ask`.

        The exception of a Ctrl-C that came outside a handler is raised when the block has ended.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._on_sigterm)}
        if callable(on_interrupt := signal.getsignal(signal.SIGINT)):
            before[signal.SIGINT] = signal.signal(signal.SIGINT, partial(self._on_sigint, on_interrupt))
        try:
            yield
        finally:
            for number, handle in before.items():
                signal.signal(number, handle)
            noted, self._noted = self._noted, None
            if noted is not None:
                raise noted

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Signals may raise in the block: a handler runs in it, on the main thread."""
        self.interrupt = None
        self.interruptible = True
        try:
            if self.at_once:  # the signal came just before
                self.interrupt = Stopped
                raise Stopped
            yield
        finally:
            self.interruptible = False

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if self.deadline is None and self._grace > 0:
            self.deadline = time.monotonic() + self._grace
        else:
            self.at_once = True
        self.ask()
        if self.at_once and self.interruptible:
            self.interruptible = False
            self.interrupt = Stopped
            raise Stopped

    def _on_sigint(self, before: Callable[..., Any], number: int, frame: FrameType | None) -> None:
        # A KeyboardInterrupt that a handler itself raises only fails its attempt: this identifies a real one.
        try:
            before(number, frame)
        except BaseException as error:
            if self.interruptible:
                self.interrupt = type(error)
                raise
            # Raised in the worker's own code, it could leave a transaction open, which the release would wait for, or lose a claim.
            if self._noted is None:
                self._noted, self._noted_at = error.with_traceback(None), time.monotonic()
                self.at_once = True
                self.ask()
            elif time.monotonic() > self._noted_at + _ONE_PRESS:
                raise  # the worker waits for a lock or the server


def end_frames(error: BaseException) -> None:
    """End the transactions that an interrupt left open: the frames of its traceback refer to them (docs/decisions/0008)."""
    seen = set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        traceback.clear_frames(one.__traceback__)
        seen.add(id(one))
        one = one.__context__


def _nothing() -> None:
    """Wake nobody."""
