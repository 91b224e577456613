"""A thread's turn at the gate, which an interrupt between any two instructions cannot leave taken for ever.

Ctrl-C (or any signal handler that raises) may come out of the gate's own code: behind the lock that was just taken,
before anybody has noted it. Here the lock knows its owner by itself, so that whoever comes next in the same thread, or
tidies up, sees that the turn is still this thread's and starts the gate afresh.
"""

from __future__ import annotations

import threading
import time

from datastore.engines.gate import Gate
from datastore.errors import BusyError


class Turn:
    """A gate between processes, and the order of the threads before it. Not reentrant."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._threads = threading.RLock()
        #: Counts the turns, so that an old one is told from the present one.
        self.number = 0

    @property
    def mine(self) -> bool:
        """Whether the calling thread has it, or was interrupted while it took it or gave it back."""
        # Condition asks the same of its lock; there is no public way.
        return bool(self._threads._is_owned())  # type: ignore[attr-defined]

    def acquire(self, timeout: float) -> None:
        """Wait for it, at most *timeout* seconds.

        Raises:
            BusyError: Another thread or process held it for all that time.
        """
        self.reset()
        waited = 0.0
        if not self._threads.acquire(blocking=False):
            begun = time.monotonic()
            if not self._threads.acquire(timeout=timeout):
                raise BusyError(f"another thread held the write gate for {timeout:g} s; try again")
            waited = time.monotonic() - begun
        try:
            self.number += 1
            self._gate.acquire(max(0.0, timeout - waited))
        except Exception:
            self._threads.release()
            raise
        except BaseException:
            self.reset()
            raise

    def release(self) -> None:
        """Let the next one in."""
        self._gate.release()
        self._threads.release()

    def reset(self) -> None:
        """Give back what an interrupt left taken, if it did."""
        if self.mine:
            # Nobody else is in the gate: whatever it holds was this thread's.
            self._gate.forget()
            while self.mine:
                self._threads.release()

    def close(self) -> None:
        """Close the gate's file."""
        self._gate.close()

    def forget(self) -> None:
        """In a forked child: the parent's turn is not ours to have or to give back."""
        self._threads = threading.RLock()
        self._gate.forget()
