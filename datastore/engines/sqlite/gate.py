"""The write gate: a lock on a side file that every writer of this library holds during its transaction.

SQLite's own write lock is unfair: its busy handler sleeps and tries again, so with several writer
processes one does thousands of commits while another does none. Here writers that have to wait draw
tickets and enter in ticket order. The gate also keeps checkpoints and commits apart; otherwise
SQLite 3.7.0 to 3.51.2 can corrupt a WAL (the WAL-reset bug). perf/gate.py measures the gate, and
docs/decisions/0003-write-gate.md explains it.

Only ``flock`` provides mutual exclusion, and it ends with the process that holds it. The tickets determine only whose turn
it is: two numbers in the side file, mapped into every process's memory and read without a system call. Whatever their values
(a process died, or was stopped, with a ticket), two writers never enter at once; at worst the order is lost once.

The gate works between processes on one machine that use this library; other programs still compete for SQLite's ordinary
lock. Without ``flock`` (Windows) it orders only the threads of one process.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from datastore.errors import BusyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: The two numbers in the side file: the last ticket drawn, and the last ticket that entered.
_DRAWN, _SERVED = 0, 1
_BYTES = 16
_MASK = 2**48 - 1

#: Seconds during which a writer that entered by ticket may enter again without one: switching processes costs as much as a
#: commit.
_SLICE = 0.002

#: Poll intervals in seconds: for the next in line, for the others (per waiter in front), and the maximum.
_NEXT = 0.00005
_BEHIND = 0.0002
_LONGEST = 0.001

#: The poll interval grows to this fraction of the time waited.
_LOST = 0.05

#: If nobody has entered for this many seconds, the later waiters check whether the gate is open: the next in line may be dead.
_STALLED = 0.01

#: Seconds between two checks while waiting for another thread: the gate may have been taken away from that thread.
_LOOK = 0.05


class Gate:
    """A lock between threads and, through a side file, between processes. Not reentrant.

    Ctrl-C, or any signal handler that raises, may interrupt the gate's own code after a lock was taken and before that was
    recorded. The lock between threads therefore knows its owner: `reset` releases whatever the calling thread still has.
    """

    def __init__(self, path: str, *, across_processes: bool = True) -> None:
        """*path* is the side file. It is created when first needed, and is never removed."""
        self._path = path
        self._across = across_processes and fcntl is not None
        self._threads = threading.RLock()
        self._file: int | None = None
        self._turns = memoryview(bytearray(_BYTES)).cast("Q")
        self._slice_end = 0.0
        #: The number of the current turn, which distinguishes it from earlier ones.
        self.number = 0

    @property
    def mine(self) -> bool:
        """Whether the calling thread has the gate, or was interrupted while it acquired or released it."""
        # threading.Condition calls the same method of its lock; there is no public one.
        return bool(self._threads._is_owned())  # type: ignore[attr-defined]

    def acquire(self, timeout: float, refuse: Callable[[float], None] = lambda waited: None) -> None:
        """Wait for the gate, at most *timeout* seconds.

        Args:
            timeout: In seconds.
            refuse: Called repeatedly with the seconds waited, while waiting; raises if waiting is useless.

        Raises:
            BusyError: The gate was not free within that time.
        """
        self.reset()
        try:
            waited = 0.0
            if not self._threads.acquire(blocking=False):
                waited = self._wait_for_thread(timeout, refuse)
            self.number += 1
            if not self._across:
                return
            if self._file is None:
                self._open()
            turns = self._turns
            waiting = turns[_DRAWN] != turns[_SERVED]
            if (waiting and time.monotonic() >= self._slice_end) or not self._try():
                self._wait(max(0.0, timeout - waited), timeout, refuse)
        except BaseException:
            self.reset()
            raise

    def release(self) -> None:
        """Let the next writer enter."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def reset(self) -> None:
        """Release whatever the calling thread has of the gate; do nothing if it has nothing."""
        while self.mine:
            # No other thread is in the gate, so the file's lock, if taken, belongs to this thread.
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._threads.release()

    def take_away(self) -> None:
        """Open the gate that another thread has and will never release."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads = threading.RLock()  # threads that wait for the old lock soon switch to this one

    def close(self) -> None:
        """Close the side file; a later `acquire` reopens it. Does nothing while another thread is in the gate."""
        threads = self._threads
        if not threads.acquire(blocking=False):
            return
        try:
            if self._file is not None:
                self._turns = memoryview(bytearray(_BYTES)).cast("Q")  # unmaps the file
                file, self._file = self._file, None
                os.close(file)
        finally:
            threads.release()

    __del__ = close

    def forget(self) -> None:
        """In a forked child: drop the parent's lock, which the child neither owns nor may release."""
        self._threads = threading.RLock()
        with suppress(OSError):
            self.close()
        self._file = None

    def _wait_for_thread(self, timeout: float, refuse: Callable[[float], None]) -> float:
        begun = time.monotonic()
        while True:
            threads, waited = self._threads, time.monotonic() - begun
            refuse(waited)
            if threads.acquire(timeout=max(0.0, min(timeout - waited, _LOOK))):
                return time.monotonic() - begun
            if waited >= timeout:
                raise _busy(timeout)

    def _open(self) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # Allocate disk space, not only a length: a write into a mapped hole would kill the process on a full disk.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, _BYTES)
            elif os.fstat(file).st_size < _BYTES:
                os.truncate(file, _BYTES)
            self._turns = memoryview(mmap.mmap(file, _BYTES)).cast("Q")
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _try(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, seconds: float, timeout: float, refuse: Callable[[float], None]) -> None:
        # Two waiters that draw at the same instant may draw the same number. Both are then next at once, which is harmless.
        turns = self._turns
        ticket = (turns[_DRAWN] + 1) & _MASK
        turns[_DRAWN] = ticket
        begun = moved = time.monotonic()
        served, stood_open = turns[_SERVED], False
        while True:
            now = time.monotonic()
            refuse(now - begun)
            if turns[_SERVED] != served:
                served, moved, stood_open = turns[_SERVED], now, False
            ahead = ticket - served - 1
            if ahead <= 0:
                if self._try():
                    break
            elif now - moved > _STALLED and self._try():
                if stood_open:
                    break
                # Once may be chance: give the next in line time to check.
                fcntl.flock(self._file, fcntl.LOCK_UN)  # type: ignore[arg-type]
                stood_open, moved = True, now
            if now - begun >= seconds:
                # The waiters in front may be gone: enter if the gate is open.
                if self._try():
                    break
                raise _busy(timeout)
            usual = _NEXT if ahead <= 0 else _BEHIND * ahead
            time.sleep(min(max(usual, (now - moved) * _LOST), _LONGEST, seconds))
        if turns[_SERVED] < ticket:
            turns[_SERVED] = ticket
        self._slice_end = time.monotonic() + _SLICE


def _busy(timeout: float) -> BusyError:
    return BusyError(
        f"another writer held the write gate for {timeout:g} s; try again, or keep transactions shorter"
        " (a process that holds one open while it waits for a person or a network is the usual cause)"
    )
