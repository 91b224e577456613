"""The heartbeat: one thread extends the leases of all jobs that a worker has."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datastore.errors import DatastoreError

if TYPE_CHECKING:
    from datastore.store import Datastore
    from datastore.worker.stopping import Stop
    from datastore.worker.tasks import BaseTask

log = logging.getLogger("datastore.worker")

#: Seconds between two looks at the clock.
_LOOK = 0.25


class Heartbeat:
    """Extends the leases of *held* after each third of a lease, all in one transaction, on a connection of its own.

    Args:
        store: The worker's store.
        lease_seconds: The length of a lease.
        held: The worker's tasks by job id; it changes while the heartbeat runs.
        stop: At its deadline, the handler on the main thread is interrupted.
    """

    def __init__(self, store: Datastore, lease_seconds: float, held: dict[int, BaseTask], stop: Stop) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._held = held
        self._stop = stop
        self._done = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send heartbeats until the block ends."""
        thread = threading.Thread(target=self._run, name="datastore-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _run(self) -> None:
        usual = self._lease_seconds / 3
        pause, last, failing = usual, time.monotonic(), False
        with self._store.engine.reserve():
            while not self._done.wait(min(_LOOK, pause)):
                if self._stop.interruptible and self._stop.deadline is not None and self._stop.is_over:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # a second one, in effect
                if time.monotonic() < last + pause:
                    continue
                last = time.monotonic()
                failed = self._beat()
                if failed and not failing:
                    log.warning("a heartbeat failed, trying again: %s", failed)
                failing = failed is not None
                pause = usual / 10 if failing else usual

    def _beat(self) -> DatastoreError | None:
        tasks = [task for task in list(self._held.values()) if not task.lost]
        if not tasks:
            return None
        try:
            stops = self._store.jobs.heartbeat_many([t.job for t in tasks], lease_seconds=self._lease_seconds)
            for task in tasks:
                if task.job.id in stops:
                    task.cancel_requested = stops[task.job.id]
                elif task.job.id in self._held and not task.ending and not task.find_ended():
                    task.lost = True
                    log.warning("job %d (%s): its lease was lost", task.job.id, task.job.type)
        except DatastoreError as error:
            return error
        return None
