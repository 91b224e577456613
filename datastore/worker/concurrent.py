"""Runs several handlers at once: plain functions on threads, ``async def`` functions on one event loop.

One thread, the caller's, claims jobs and stores outcomes. Handlers that end at about the same time share a transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from datastore.worker.endings import Ended, Endings
from datastore.worker.loops import EventLoop
from datastore.worker.tasks import BaseTask
from datastore.worker.threads import HandlerThreads

if TYPE_CHECKING:
    from datastore.records import Job
    from datastore.store import Datastore
    from datastore.worker.claims import Claims
    from datastore.worker.stopping import Stop
    from datastore.worker.tasks import Handler

log = logging.getLogger("datastore.worker")

#: Seconds that interrupted handlers have to unwind, and that the release of what they leave may take.
_UNWIND, _RELEASE = 1.0, 5.0

#: Seconds after which a waiting runner looks at the clock.
_LOOK = 0.25


class ConcurrentRunner:
    """Runs up to *concurrency* handlers at once.

    Args:
        store: The worker's store.
        handlers: Handlers by job type.
        coroutines: The types whose handlers are ``async def``.
        lease_seconds: The length of a lease.
        held: The claimed jobs; those that are left at the end are released.
        concurrency: Number of handlers at once.
    """

    def __init__(
        self,
        store: Datastore,
        handlers: Mapping[str, Handler],
        coroutines: frozenset[str],
        lease_seconds: float,
        held: dict[int, BaseTask],
        *,
        claims: Claims,
        endings: Endings,
        stop: Stop,
        concurrency: int,
    ) -> None:
        self._store = store
        self._coroutines = coroutines
        self._held = held
        self._claims = claims
        self._endings = endings
        self._stop = stop
        self._concurrency = concurrency
        #: Handlers that have ended; None only wakes the runner. A signal handler may put into a SimpleQueue.
        self._ended: SimpleQueue[Ended | None] = SimpleQueue()
        stop.wake = lambda: self._ended.put(None)
        self._threads = HandlerThreads(store, handlers, lease_seconds, self._ended.put)
        self._loop = EventLoop(store, handlers, lease_seconds, self._ended.put) if coroutines else None
        self.ran = 0

    def run(self, until_idle: bool) -> None:
        """Run jobs until the worker is asked to end; or, with *until_idle*, until none is due and none runs."""
        try:
            with self._store.engine.reserve():
                while not self._stop.asked and self._fill(until_idle):
                    pass
                while self._held and not self._stop.is_over:
                    self._store_ended(wait=self._stop.seconds_left() if self._stop.deadline else _LOOK)
        finally:
            self._end()

    def _fill(self, until_idle: bool) -> bool:
        """Store outcomes, and claim as many jobs as there are free places; False: nothing is left to do."""
        self._store_ended(wait=0)
        free = self._concurrency - len(self._held)
        if not free:
            self._store_ended(wait=_LOOK)
            return True
        claimed = self._claims.claim(free)
        if isinstance(claimed, float):
            self._store_ended(wait=claimed)
        elif claimed:
            for job in claimed:
                self._start(job)
        elif self._held or not until_idle:
            for pause in self._claims.pauses():
                if self._store_ended(wait=pause) or self._stop.asked:
                    break
        else:
            return False
        return True

    def _start(self, job: Job) -> None:
        starter = self._loop if job.type in self._coroutines and self._loop is not None else self._threads
        task = starter.make_task(job)
        self._held[job.id] = task
        starter.start(task)

    def _store_ended(self, wait: float | None) -> bool:
        """Store the outcomes of the handlers that have ended; wait for the first one for at most *wait* seconds."""
        ended: list[Ended | None] = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=wait) if wait else self._ended.get_nowait())
            while True:
                ended.append(self._ended.get_nowait())
        found = [one for one in ended if one is not None and one.task.job.id in self._held]
        if found:
            self._endings.store_many([one for one in found if not one.task.lost])
            for one in found:
                del self._held[one.task.job.id]
            self.ran += len(found)
        return bool(ended)

    def _end(self) -> None:
        """Interrupt the handlers that still run, store what ends soon, release the rest, and end the loop."""
        unwound: set[int] = set()
        if self._held:
            self._threads.interrupt()
            if self._loop is not None:
                self._loop.interrupt()
            unwound = self._unwind()
        # Jobs of handlers that go on come last: such a handler may be in a transaction that has locked its job.
        left = sorted(self._held.values(), key=lambda task: task.job.id not in unwound)
        self._held.clear()
        release = threading.Thread(target=self._release, args=(left,), name="datastore-release", daemon=True)
        release.start()
        release.join(_RELEASE)
        if release.is_alive():
            log.warning("%d jobs are not released yet: their leases will expire", len(left))
        self._threads.close()
        if self._loop is not None:
            self._loop.close()

    def _release(self, tasks: Sequence[BaseTask]) -> None:
        with self._store.engine.reserve():
            self._endings.release(tasks)

    def _unwind(self) -> set[int]:
        """Store what ends soon; return the ids of the jobs whose handlers have ended and that are to be released."""
        until, cut = time.monotonic() + _UNWIND, set[int]()
        while len(cut) < len(self._held) and (left := until - time.monotonic()) > 0:
            try:
                one = self._ended.get(timeout=left)
            except Empty:
                break
            if one is None or one.task.job.id not in self._held:
                continue
            if one.error is not None:
                cut.add(one.task.job.id)  # interrupted, in all likelihood; a release leaves an ended job as it is
            else:
                self._endings.store(one)
                del self._held[one.task.job.id]
                self.ran += 1
        return cut
