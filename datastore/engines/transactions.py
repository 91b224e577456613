"""The context managers that callers enter: transactions and snapshots of both engines.

Entering pushes a `Block` onto the thread's session. The session refers only to the block, so a `Transaction` that an interrupt
left open is released together with the interrupt's traceback, and ends its block at that moment.

Interrupts (Ctrl-C, a signal handler that raises) may come between any two instructions. Code that acquires something therefore
releases it in two layers: where it ends, and again in the caller's ``except BaseException``, which finds nothing to do if
the first layer was not interrupted.
"""

from __future__ import annotations

import os
import sys
from types import FrameType, TracebackType
from typing import Any

from datastore.engines.sessions import ENDED_ELSEWHERE, FOREIGN, Block, Session, ThreadState
from datastore.errors import ForkedError, TransactionError, TransactionLostError

LEFT_ELSEWHERE = (
    "this transaction or snapshot was left in a different thread, task or context than it was entered in; it was rolled back."
    " Enter and leave it in one function, or in an `async def` dependency"
)


class _Entered:
    """The common base of transactions and snapshots."""

    _in_snapshot = False
    # None until it is entered.
    _block: Block | None = None

    def __init__(self, thread: ThreadState, *, guarded: bool = False, serializable: bool = False) -> None:
        self._thread = thread
        self._guarded = guarded
        self._serializable = serializable
        self._process = os.getpid()
        # A weak reference: a session ends with its thread.
        self._session: Any = None

    def __enter__(self) -> None:
        if self._block is not None and self._block.open:
            raise TransactionError("this block is already entered; leave it before entering it again")
        session: Session = self._thread.connected()
        self._session = session.reference
        block = self._block = session.new_block(
            sys._getframe(1), in_snapshot=self._in_snapshot, guarded=self._guarded, serializable=self._serializable
        )
        try:
            session.open(block, savepoint=not self._in_snapshot)
        except BaseException:
            session.end(block)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            raise ForkedError(
                "this transaction or snapshot belongs to the parent process; the child has left it"
            ) from error
        block, session = self._block, self._session()
        assert block is not None
        if session is None or not block.open:
            if error is None:
                raise TransactionLostError(block.lost or ENDED_ELSEWHERE)
        elif not block.owner.is_here():
            self._leave_elsewhere(session, block, error, sys._getframe(1))
        else:
            try:
                session.leave(block, error, savepoint=not self._in_snapshot)
                if block.outer is None:
                    session.end(block)
            except BaseException:
                session.end(block)
                raise

    def _leave_elsewhere(self, session: Session, block: Block, error: BaseException | None, frame: FrameType) -> None:
        if not block.owner.entered_in(frame) and block.owner.may_go_on():
            raise TransactionError(FOREIGN)
        # The block is over, and no other code will end it.
        session.end_for_another(block, LEFT_ELSEWHERE)
        if error is None:
            raise TransactionError(LEFT_ELSEWHERE)

    def __del__(self) -> None:
        # An interrupt at the first instruction of __exit__ propagates, and __exit__ is not called again. When its
        # traceback is released, so is this object.
        block = self._block
        if block is not None and block.open and os.getpid() == self._process:
            session = self._session()
            if session is not None:
                session.end_for_another(block, ENDED_ELSEWHERE)


class Transaction(_Entered):
    """Use in a ``with`` block: BEGIN outside a transaction, a savepoint inside one; any exception rolls back."""


class Snapshot(_Entered):
    """Use in a ``with`` block: all reads inside see the same state. Inside a transaction it has no effect."""

    _in_snapshot = True
