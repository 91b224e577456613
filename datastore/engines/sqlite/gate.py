"""The write gate: a lock on a side file that every writer of ours holds around its transaction.

SQLite's own write lock is a race: its busy handler sleeps and tries again, so that with several
writer processes one does thousands of commits while another does none. Here writers that have to wait
draw tickets and go in by their numbers. The gate also keeps checkpoints away from commits, without which
SQLite 3.7.0 to 3.51.2 can corrupt a WAL (the WAL-reset bug). perf/gate.py measures it,
docs/decisions/0003-write-gate.md tells more.

What excludes is ``flock`` alone, which ends with the process that holds it. The tickets only say whose turn it is:
two numbers in the side file, mapped into every process's memory, read without a system call. Whatever they hold
(a process died, or was stopped, with a ticket), nobody is let in beside another; at worst the order is lost once.

It helps processes on one machine that use this library; anybody else meets SQLite's ordinary lock, as
ever. Where there is no ``flock`` (Windows) the gate orders the threads of one process only.
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

#: The two numbers of the side file: the last ticket drawn, the last ticket that went in.
_DRAWN, _SERVED = 0, 1
_BYTES = 16
_MASK = 2**48 - 1

#: Whoever goes in by ticket may go in again without one for so long: a change of processes costs as much as a commit.
_SLICE = 0.002

#: Seconds between two looks: of whoever is next, of those behind (for each one ahead), and of anybody at most.
_NEXT = 0.00005
_BEHIND = 0.0002
_LONGEST = 0.001

#: A wait that lasts is looked at less often: this part of it may be lost at its end.
_LOST = 0.05

#: When nobody has gone in for so long, a waiter behind looks whether the gate stands open: whoever is next may be dead.
_STALLED = 0.01

#: Seconds between two looks at the thread that has the gate: it may have been taken away from it.
_LOOK = 0.05


class Gate:
    """A lock between threads and, through a side file, between processes. Not reentrant.

    Ctrl-C, or any signal handler that raises, may interrupt the gate's own code after a lock was taken and before it was
    noted. The lock between threads therefore knows its owner: `reset` gives back whatever the calling thread still has.
    """

    def __init__(self, path: str, *, across_processes: bool = True) -> None:
        """*path* is the side file. It is created when it is first needed, and stays."""
        self._path = path
        self._across = across_processes and fcntl is not None
        self._threads = threading.RLock()
        self._file: int | None = None
        self._turns = memoryview(bytearray(_BYTES)).cast("Q")
        self._slice_end = 0.0
        #: Counts the turns, so that an old one is told from the present one.
        self.number = 0

    @property
    def mine(self) -> bool:
        """Whether the calling thread has the gate, or was interrupted while it took it or gave it back."""
        # threading.Condition asks the same of its lock; there is no public way.
        return bool(self._threads._is_owned())  # type: ignore[attr-defined]

    def acquire(self, timeout: float, refuse: Callable[[float], None] = lambda waited: None) -> None:
        """Wait for the gate, at most *timeout* seconds.

        Args:
            timeout: In seconds.
            refuse: Called again and again with the seconds waited, by whoever has to wait: raises where waiting is useless.

        Raises:
            BusyError: Another thread or process had the gate for all that time.
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
        """Let the next one in."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def reset(self) -> None:
        """Give back whatever the calling thread has of the gate; nothing, if it has nothing."""
        while self.mine:
            # No other thread is in the gate, so that the file's lock, if it is taken, is this thread's.
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._threads.release()

    def take_away(self) -> None:
        """Open the gate that another thread has and will not give back."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads = threading.RLock()  # those who wait for the old lock look at this one soon

    def close(self) -> None:
        """Close the side file; a later `acquire` opens it again. Nothing happens while another thread is in the gate."""
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
        """In a forked child: the parent's lock is not ours to have or to give back."""
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
            # Room on the disk, not only a length: a write into a mapped hole would kill the process on a full disk.
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
        # Two that draw at the same instant may draw the same number: then both are next at the same time, no harm.
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
                # Once may be chance: whoever is next gets the time to look.
                fcntl.flock(self._file, fcntl.LOCK_UN)  # type: ignore[arg-type]
                stood_open, moved = True, now
            if now - begun >= seconds:
                # Those ahead may be gone: an open gate is not refused.
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
