"""Cancelled calls of an asynchronous store: a call that still waits for the write lock need not wait any longer."""

from __future__ import annotations

from contextvars import ContextVar

from datastore.errors import TransactionError


class Cancellation:
    """Whether somebody still waits for the result of a call."""

    __slots__ = ("requested",)

    def __init__(self) -> None:
        self.requested = False


#: The cancellation of the call that runs in this context; None outside an asynchronous store.
cancellation: ContextVar[Cancellation | None] = ContextVar("datastore.cancellation", default=None)


def refuse_cancelled() -> None:
    """Called while waiting for a lock, before anything is written.

    Raises:
        TransactionError: The task that made the call was cancelled.
    """
    call = cancellation.get()
    if call is not None and call.requested:
        raise TransactionError("this call was cancelled while it waited for the write lock; nothing was written")
