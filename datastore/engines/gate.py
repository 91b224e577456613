"""The write gate: a lock on a side file that every writer of ours holds around its transaction.

SQLite's own write lock is a race: its busy handler sleeps and tries again, so that with several
writer processes one does thousands of commits while another does none. Waiters of ``flock`` are woken
in turn. The gate also keeps checkpoints away from commits, without which SQLite 3.7.0 to 3.51.2 can
corrupt a WAL (the WAL-reset bug). perf/gate measures it, docs/decisions/0003-write-gate.md tells more.

It helps processes on one machine that use this library; anybody else meets SQLite's ordinary lock, as
ever. Where there is no ``flock`` (Windows) the gate orders the threads of one process only.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from datastore.errors import BusyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Gate:
    """A lock between threads and, by a side file, between processes. Not reentrant."""

    def __init__(self, path: str, *, across_processes: bool = True) -> None:
        """*path* is the side file; it is created when first needed, stays empty and is left behind."""
        self._path = path
        self._across = across_processes and fcntl is not None
        self._threads = threading.Lock()
        self._file: int | None = None
        #: The thread that holds the gate, or None.
        self.owner: int | None = None

    def acquire(self, timeout: float) -> None:
        """Wait for the gate, at most *timeout* seconds.

        Raises:
            BusyError: Another thread or process held it for all that time.
        """
        waited = 0.0
        if not self._threads.acquire(blocking=False):
            begun = time.monotonic()
            if not self._threads.acquire(timeout=timeout):
                raise _busy(timeout)
            waited = time.monotonic() - begun
        self.owner = threading.get_ident()
        if not self._across:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait(max(0.0, timeout - waited), timeout)
        except BaseException:
            self.owner = None
            self._threads.release()
            raise

    def release(self) -> None:
        """Let the next one in."""
        self.owner = None
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Close the side file; a later acquire opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def forget(self) -> None:
        """In a forked child: the parent's lock is not ours to hold or to release."""
        self._threads = threading.Lock()
        self.owner = None
        with suppress(OSError):
            self.close()
        self._file = None

    def _wait(self, seconds: float, timeout: float) -> None:
        # flock has no timeout, and polling it would lose the place in the queue. So a thread waits in the
        # queue, and this one waits for that thread; whoever comes last, of giving up and getting it, tidies up.
        waiter = _Waiter(self._path)
        try:
            got = waiter.wait(seconds)
        except BaseException:
            waiter.abandon()
            raise
        if got is None:
            raise _busy(timeout)
        self.close()
        self._file = got


class _Waiter:
    """One blocking flock in a thread of its own, on a file of its own."""

    def __init__(self, path: str) -> None:
        self._state = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._error: OSError | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        threading.Thread(target=self._lock, name="datastore-gate", daemon=True).start()

    def wait(self, seconds: float) -> int | None:
        """The locked file, or None when *seconds* have passed."""
        self._done.wait(seconds)
        with self._state:
            if not self._done.is_set():
                self._abandoned = True
                return None
        if self._error is not None:
            os.close(self._descriptor)
            raise self._error
        return self._descriptor

    def abandon(self) -> None:
        """Give up: if the lock comes (or came), it is let go at once."""
        with self._state:
            self._abandoned = True
            if self._done.is_set():
                os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._state:
            self._done.set()
            if self._abandoned:
                os.close(self._descriptor)


def _busy(timeout: float) -> BusyError:
    return BusyError(
        f"another writer held the write gate for {timeout:g} s; try again, or keep transactions shorter"
        " (a process that holds one open while it waits for a person or a network is the usual cause)"
    )
