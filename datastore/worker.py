"""A worker: claims jobs in batches, runs the handler of each job's type, keeps the leases, reports how it ended.

One process, one job at a time; run as many processes as you like. A job is run at least once: if this process dies, or
does not report for as long as a lease lasts, somebody else runs it again. docs/job-queue.md tells more.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from datastore.errors import BusyError, CheckError, DatastoreError, InvalidValueError, LeaseLostError
from datastore.repositories.backoff import MAX_ERROR_LENGTH

if TYPE_CHECKING:
    from datastore.records import Job
    from datastore.store import Datastore

log = logging.getLogger("datastore.worker")


class PermanentError(Exception):
    """A handler raises it where trying again is useless: the job is quarantined at once."""


class Snooze(Exception):
    """A handler raises it where it is too early: the job comes back after *delay*, and no attempt is spent."""

    def __init__(self, delay: timedelta | float) -> None:
        super().__init__(f"not before {delay}")
        self.delay = delay


class Stopped(BaseException):
    """SIGTERM while a handler ran; the job is released. Like KeyboardInterrupt, nothing for a handler to catch."""


class Task:
    """What a handler is called with: the job, and what it may ask or say while it works."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        #: The job as it was claimed.
        self.job = job
        self.payload = job.payload
        #: Somebody asked this job to stop: return or raise soon. Seen at the next heartbeat.
        self.cancel_requested = False
        #: The lease is lost: somebody else may run this job now; what you do from here on may be done twice.
        self.lost = False
        #: Whether the handler has ended the job itself.
        self.ended = False

    def report(self, progress: Any) -> None:
        """Store *progress* (any JSON value) now, and extend the lease.

        Raises:
            LeaseLostError: Stop working on it.
        """
        self._worker.beat(self, progress)

    def succeed(self, result: Any = None) -> None:
        """End the job now. Inside ``store.transaction()``: together with what the handler writes there, or not at all.

        Raises:
            LeaseLostError: Let it roll the transaction back.
        """
        self._worker.store.jobs.succeed(self.job, result)
        self.ended = True


Handler = Callable[[Task], Any]


class Worker:
    """Runs jobs until it is told to stop.

    Args:
        store: Its own for this worker, or shared with other threads.
        handlers: By type; what one returns (any JSON value) is the job's result, what it raises is a failed attempt.
        name: Kept in each job's history; None is ``host:process``.
        lease_seconds: A job is somebody else's when nothing was heard of it for so long. Heartbeats go at a third.
        batch: So many jobs are claimed at once; 1 to 1000. More is faster, but a batch waits for its slowest.
    """

    def __init__(
        self,
        store: Datastore,
        handlers: Mapping[str, Handler],
        *,
        name: str | None = None,
        lease_seconds: float = 60.0,
        batch: int = 1,
    ) -> None:
        if not handlers:
            raise InvalidValueError("handlers: at least one type is needed")
        self.store = store
        self.handlers = dict(handlers)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.lease_seconds = lease_seconds
        self.batch = batch
        self._stop = threading.Event()
        self._interruptible = False
        self._ran = 0
        self._held: dict[int, Task] = {}

    def stop(self) -> None:
        """Let `run` return after the job that it is at. From any thread or signal handler."""
        self._stop.set()

    def run(self, *, until_idle: bool = False) -> int:
        """Work until `stop`, SIGTERM or Ctrl-C; or, *until_idle*, until nothing is due.

        Returns:
            How many jobs it ran to an end, good or bad.
        """
        self._ran = 0
        done = threading.Event()
        beats = threading.Thread(target=self._beat_on, args=(done,), name="datastore-heartbeat", daemon=True)
        with self._on_sigterm():
            beats.start()
            try:
                while not self._stop.is_set():
                    if jobs := self._claim():
                        self._held = {job.id: Task(self, job) for job in jobs}
                        self._work()
                    elif until_idle:
                        break
                    else:
                        self.store.jobs.wait(self.handlers, timeout=0.25)
            except Stopped:
                pass
            finally:
                done.set()
                beats.join()
                self._release()
        return self._ran

    def beat(self, task: Task, progress: Any = None) -> None:
        """Extend one lease, and note what was asked of the job meanwhile."""
        try:
            job = self.store.jobs.heartbeat(task.job, lease_seconds=self.lease_seconds, progress=progress)
        except LeaseLostError:
            task.lost = True
            raise
        task.cancel_requested = job.cancel_requested

    def _claim(self) -> list[Job]:
        try:
            return self.store.jobs.claim_many(
                self.handlers, worker=self.name, lease_seconds=self.lease_seconds, max_rows=self.batch
            )
        except BusyError as error:
            log.warning("claim: %s", error)
            return []

    def _work(self) -> None:
        for task in list(self._held.values()):
            if self._stop.is_set():
                break
            if not task.lost:
                self._run_one(task)
                self._ran += 1
            del self._held[task.job.id]

    def _run_one(self, task: Task) -> None:
        jobs, job = self.store.jobs, task.job
        try:
            try:
                with self._interrupts():
                    result = self.handlers[job.type](task)
            except Snooze as snooze:
                self._store(task, partial(jobs.snooze, job, snooze.delay))
            except Exception as error:
                self._fail(task, error)
            else:
                if not task.ended:
                    self._store(task, partial(jobs.succeed, job, result))
        except LeaseLostError:
            if not task.ended:
                log.warning("job %d (%s): its lease was lost, nothing was stored", job.id, job.type)
        except BusyError as error:  # the lease will expire, and somebody will run it again
            log.warning("job %d (%s): how it ended could not be stored: %s", job.id, job.type, error)

    def _store(self, task: Task, end: Callable[[], object]) -> None:
        try:
            end()
        except (InvalidValueError, CheckError) as error:  # the handler's own result or delay: its attempt has failed
            self._fail(task, error)

    def _fail(self, task: Task, error: Exception) -> None:
        log.warning("job %d (%s) failed: %s", task.job.id, task.job.type, type(error).__name__)
        text = "".join(traceback.format_exception(error))[-MAX_ERROR_LENGTH:]
        self.store.jobs.fail(task.job, text, permanent=isinstance(error, PermanentError))

    def _beat_on(self, done: threading.Event) -> None:
        while not done.wait(self.lease_seconds / 3):
            for task in list(self._held.values()):
                try:
                    if not task.ended and not task.lost:
                        self.beat(task)
                except LeaseLostError:
                    log.warning("job %d (%s): its lease was lost", task.job.id, task.job.type)
                except DatastoreError as error:  # tried again at the next beat; a lease lasts three of them
                    log.warning("heartbeat: %s", error)

    def _release(self) -> None:
        for task in self._held.values():
            with suppress(LeaseLostError):
                if not task.ended and not task.lost:
                    self.store.jobs.release(task.job)
        self._held = {}

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def _on_sigterm(self) -> Iterator[None]:
        def handle(number: int, frame: object) -> None:
            self.stop()
            if self._interruptible:
                self._interruptible = False
                raise Stopped

        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's; `stop` is there for the others
            return
        before = signal.signal(signal.SIGTERM, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
