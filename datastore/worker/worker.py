"""The worker: its settings, and the choice of how its handlers run."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from datastore.errors import InvalidValueError
from datastore.repositories.job_waiting import wanted_types
from datastore.values import check_number, check_text
from datastore.worker.claims import Claims
from datastore.worker.endings import Endings
from datastore.worker.handlers import check_handler
from datastore.worker.heartbeat import Heartbeat
from datastore.worker.inline import InlineRunner
from datastore.worker.stopping import Stop
from datastore.worker.tasks import BaseTask, Handler, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from datastore.store import Datastore
    from datastore.worker.concurrent import ConcurrentRunner

#: Default seconds that handlers may continue after SIGTERM: less than the 30 after which Kubernetes and others send SIGKILL.
GRACE = 25.0


class Worker:
    """Runs jobs until it is told to stop.

    Args:
        store: The store with the jobs; it may be shared with other threads.
        handlers: Handlers by job type: plain functions of a `Task`, or ``async def`` functions of an `AsyncTask`. A returned value
            (any JSON value) is the job's result; an exception fails the attempt.
        worker: The worker's name, stored in each job's history; None: ``host:process``.
        lease_seconds: Seconds without a heartbeat after which another worker may take the job. Heartbeats are sent every third
            of this time.
        batch: Number of jobs claimed at once, which run one after the other; 1 to 1000. More is faster, but the jobs of a batch
            wait for its slowest one.
        concurrency: Number of handlers that run at once; 1 to 1000. Plain functions run on threads, ``async def`` functions on
            one event loop. With 1 and only plain functions, they run on the calling thread.
        grace: Seconds that running handlers may continue after SIGTERM; then their jobs are released.

    Raises:
        InvalidValueError: A value is out of range, or a handler cannot be called with only a task, or is a generator function:
            calling it would do none of its work.
    """

    def __init__(
        self,
        store: Datastore,
        handlers: Mapping[str, Handler],
        *,
        worker: str | None = None,
        lease_seconds: float = 60.0,
        batch: int = 1,
        concurrency: int = 1,
        grace: float = GRACE,
    ) -> None:
        if not handlers:
            raise InvalidValueError("handlers: at least one type is needed")
        self._types = wanted_types(handlers) or []
        self._coroutines = frozenset(type for type, handler in handlers.items() if check_handler(type, handler))
        if check_number(lease_seconds, "lease_seconds") <= 0:
            raise InvalidValueError("lease_seconds must be more than 0")
        if check_number(grace, "grace") < 0:
            raise InvalidValueError("grace must be 0 or more")
        self.batch = _check_count(batch, "batch")
        self.concurrency = _check_count(concurrency, "concurrency")
        if batch > 1 and (concurrency > 1 or self._coroutines):
            raise InvalidValueError("batch: jobs that run at once are claimed as places become free; leave batch out")
        self.store = store
        self.handlers = dict(handlers)
        self.worker = f"{socket.gethostname()}:{os.getpid()}" if worker is None else check_text(worker, "worker")
        self.lease_seconds = lease_seconds
        self.grace = grace
        self._stop = Stop(grace)
        self._held: dict[int, BaseTask] = {}

    def stop(self) -> None:
        """Make `run` return after the running handlers. Callable from any thread or signal handler."""
        self._stop.ask()

    def run(self, *, until_idle: bool = False) -> int:
        """Run jobs until `stop`, SIGTERM or Ctrl-C; or, with *until_idle*, until no job can be claimed and none runs.

        Any exception from a handler, even SystemExit, fails only its attempt: the worker continues. If the server is
        unavailable, the worker waits for it; with *until_idle*, for at most a minute.

        After SIGTERM no job is claimed, and running handlers have *grace* seconds to finish; then, or at a second SIGTERM,
        `Stopped` is raised in them (CancelledError in ``async def`` functions), and what is unfinished goes back to the queue.

        Returns:
            The number of jobs that ran to an end, good or bad.

        Raises:
            TransactionError: Called inside a transaction.
        """
        self.store.engine.reading("a worker")
        runner = self._runner(until_idle)
        heartbeat = Heartbeat(self.store, self.lease_seconds, self._held, self._stop)
        with self._stop.signals(), heartbeat.running():
            runner.run(until_idle)
        return runner.ran

    def _runner(self, until_idle: bool) -> InlineRunner | ConcurrentRunner:
        jobs, stop = self.store.jobs, self._stop
        endings = Endings(jobs, self.lease_seconds, stop)
        claims = Claims(jobs, self._types, worker=self.worker, lease_seconds=self.lease_seconds, impatient=until_idle)
        if self.concurrency == 1 and not self._coroutines:
            handlers = cast("dict[str, Callable[[Task], Any]]", self.handlers)
            return InlineRunner(
                handlers,
                lambda job: Task(job, self.store, self.lease_seconds),
                self._held,
                claims=claims,
                endings=endings,
                stop=stop,
                batch=self.batch,
            )
        from datastore.worker.concurrent import ConcurrentRunner  # asyncio is only loaded if it is needed

        return ConcurrentRunner(
            self.store,
            self.handlers,
            self._coroutines,
            self.lease_seconds,
            self._held,
            claims=claims,
            endings=endings,
            stop=stop,
            concurrency=self.concurrency,
        )


def _check_count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise InvalidValueError(f"{name} must be 1 to 1000")
    return value
