"""Ownership of a transaction: the thread, the context and the task that entered it.

Every thread has its own session, so a statement always runs in the transaction of its own thread. But one thread may run
several tasks of an event loop, or successive calls of a thread pool, each in its own context (`contextvars`). The context in
which a transaction is entered gets a `Claim` to it. Copies of that context inherit the claim: child tasks,
`asyncio.to_thread`, thread pools of web frameworks. A statement may run if its context has the claim and it runs in the
thread and task that entered the transaction.

When the context is gone, no code can continue the transaction: it is orphaned. This happens to a FastAPI dependency
``def tx(): with store.transaction(): yield``, which is entered in one call of a thread pool and left in another.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any

from datastore.errors import UnsupportedError

if TYPE_CHECKING:
    import asyncio


class Claim:
    """A context's right to use a transaction that was entered in it; a linked list, innermost first."""

    __slots__ = ("__weakref__", "outer", "owner")

    def __init__(self, owner: Owner | None, outer: Claim | None) -> None:
        self.owner = owner
        #: The enclosing claim: to a transaction of another store.
        self.outer = outer


#: The claim of a context in which no transaction was entered.
NOBODY = Claim(None, None)

_claim: ContextVar[Claim] = ContextVar("datastore.transaction", default=NOBODY)

#: The calling context's innermost claim.
current = _claim.get


class Owner:
    """The thread, context and task that entered a transaction or snapshot.

    Args:
        session: The session on which it was entered; referenced weakly.
        frame: The code that entered it.
    """

    __slots__ = ("_claimed", "_frame", "ended", "orphaned_at", "session", "task", "thread")

    def __init__(self, session: Any, frame: FrameType) -> None:
        self.session: Callable[[], Any] = weakref.ref(session)
        self._frame = id(frame)
        self._claimed: Callable[[], Claim | None] = _gone
        self.thread = threading.get_ident()
        self.task = running_task()
        self.ended = False
        #: The time.monotonic value when the context disappeared, or None.
        self.orphaned_at: float | None = None

    def claim(self, orphans: list[Owner]) -> None:
        """Give the calling context the claim. The owner adds itself to *orphans* when that context is gone."""

        def orphaned(reference: object) -> None:
            if not self.ended:
                self.orphaned_at = time.monotonic()
                orphans.append(self)

        claim = Claim(self, _live(_claim.get()))
        self._claimed = weakref.ref(claim, orphaned)
        _claim.set(claim)

    def end(self) -> None:
        """Record that the transaction has ended, which voids the claim to it."""
        self.ended = True
        self._claimed = _gone  # the reference's callback refers to this object
        claim = _claim.get()
        if claim.owner is self:
            _claim.set(_live(claim))

    def is_here(self) -> bool:
        """Whether the calling code runs where the transaction was entered."""
        claim: Claim | None = _claim.get()
        while claim is not None and claim.owner is not self:
            claim = claim.outer
        return (
            claim is not None
            and self.thread == threading.get_ident()
            and (self.task is None or self.task is running_task())
        )

    def is_suspended(self) -> bool:
        """Whether the transaction is open but no code is inside its block, possibly because its context is about to end."""
        return not self.ended and self.orphaned_at is None and not self.may_go_on()

    def entered_in(self, frame: FrameType) -> bool:
        """Whether *frame* is the code that entered: its ``with`` block ends there, whichever thread runs it now."""
        return id(frame) == self._frame

    def may_go_on(self) -> bool:
        """Whether the code that entered can still reach the end of its block."""
        if self._claimed() is None:
            return False
        if self.task is not None:
            return not self.task.done()
        frame = sys._current_frames().get(self.thread)
        while frame is not None and not self.entered_in(frame):
            frame = frame.f_back
        return frame is not None


def running_task() -> asyncio.Task[Any] | None:
    """The asyncio task running in this thread, if any."""
    if not in_event_loop():
        return None
    task: asyncio.Task[Any] | None = sys.modules["asyncio"].current_task()
    return task


def in_event_loop() -> bool:
    """Whether an asyncio event loop is running in this thread."""
    library = sys.modules.get("asyncio")  # if it is not imported, no loop is running
    return library is not None and getattr(library, "_get_running_loop", _gone)() is not None


def refuse_green_threads() -> None:
    """Refuse a process whose threads are greenlets: a driver call would block all of them.

    Raises:
        UnsupportedError: gevent or eventlet has patched threads, sockets or select.
    """
    for name in ("gevent.monkey", "eventlet.patcher"):
        patcher = sys.modules.get(name)
        patched: Any = getattr(patcher, "is_module_patched", None) or getattr(patcher, "is_monkey_patched", _no)
        if any(patched(module) for module in ("threading", "thread", "socket", "select")):
            raise UnsupportedError(
                f"{name.partition('.')[0]} has patched this process's threads or sockets, and a database driver would block"
                " all of its greenlets; use threads, processes or asyncio, or open the store in a process that is not patched"
            )


def claims(engine: object) -> bool:
    """Whether the calling context is inside a transaction of *engine*, possibly in another thread."""
    claim = _live(_claim.get())
    _claim.set(claim)
    inner: Claim | None = claim
    while inner is not None and inner.owner is not None:
        session = inner.owner.session()
        if session is not None and session.engine is engine and not inner.owner.ended:
            return True
        inner = inner.outer
    return False


def share_claim(context: Context) -> Claim:
    """Let the calling context be inside the transaction that was entered in *context*, which belongs to another thread.

    Its synchronous calls are then refused, instead of waiting for a lock that this transaction has. `drop_claim` ends that.
    """
    claim = context[_claim]
    _claim.set(claim)
    return claim


def drop_claim(claim: Claim) -> None:
    """The calling context is no longer inside the transaction of *claim*, whose end it need not wait for."""
    if _claim.get() is claim:
        _claim.set(_live(claim.outer or NOBODY))


def _live(claim: Claim) -> Claim:
    while claim.owner is not None and claim.owner.ended:
        claim = claim.outer or NOBODY
    return claim


def _no(module: str) -> bool:
    return False


def _gone() -> None:
    """Return None, as a weak reference does once its object is gone."""
