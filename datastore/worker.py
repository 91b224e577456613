"""A worker: claims jobs in batches, runs the handler for each job's type, extends the leases, and stores the outcome.

One worker runs one job at a time in one process; run as many processes as you like. Each job runs at least once: if this
process dies, or sends no heartbeat within a lease, another worker runs the job again. docs/job-queue.md explains more.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from datastore.errors import (
    BusyError,
    CheckError,
    CommitOutcomeUnknownError,
    ConnectionLostError,
    DatastoreError,
    InvalidValueError,
    LeaseLostError,
    TransactionLostError,
)
from datastore.job_handlers import check_handler, rolled_back, unfinished
from datastore.repositories.backoff import MAX_ERROR_LENGTH
from datastore.repositories.job_waiting import wanted_types
from datastore.values import check_number, check_text

if TYPE_CHECKING:
    from datetime import timedelta

    from datastore.records import Job
    from datastore.store import Datastore

Result = TypeVar("Result")

log = logging.getLogger("datastore.worker")

#: Transient errors: another process held the lock for too long, or the server is unavailable. A worker tries again.
PASSING = (BusyError, ConnectionLostError, CommitOutcomeUnknownError, TransactionLostError)

#: Seconds between two attempts: initially, and at most.
_RETRY, _RETRY_LONGEST = 0.1, 5.0

#: Seconds of failed attempts after which a worker with *until_idle* gives up.
_PATIENCE = 60.0


class PermanentError(Exception):
    """Raised by a handler if trying again is useless: the job is quarantined at once."""


class Snooze(Exception):
    """Raised by a handler if it is too early: the job becomes due again after *delay*, and no attempt is counted."""

    def __init__(self, delay: timedelta | float) -> None:
        super().__init__(f"not before {delay}")
        self.delay = delay


class Stopped(BaseException):
    """SIGTERM arrived while a handler ran; the job is released. Like KeyboardInterrupt, handlers should not catch it."""


class Task:
    """The argument of a handler: the job, the store, and methods to use while it works."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        #: The worker's store. In a transaction of this store, a handler's writes and `succeed` are committed together.
        self.store = worker.store
        #: The job as it was claimed.
        self.job = job
        self.payload = job.payload
        #: Whether cancellation was requested: return or raise soon. Updated at each heartbeat.
        self.cancel_requested = False
        #: Whether the lease is lost: another worker may be running this job, and further work may be done twice.
        self.lost = False
        #: Whether `succeed` was called; its transaction may have been rolled back since.
        self.called_succeed = False

    @property
    def ended(self) -> bool:
        """Whether `succeed` has ended the job according to the database: False if its transaction was rolled back."""
        if not self.called_succeed:
            return False
        stored = self.store.jobs.find(self.job.id)
        return stored is not None and (stored.status, stored.lease_token) == ("succeeded", self.job.lease_token)

    def report(self, progress: Any) -> None:
        """Store *progress* (any JSON value) now, and extend the lease.

        Raises:
            LeaseLostError: The lease is lost; stop working on the job.
        """
        self._worker.beat(self, progress)

    def succeed(self, result: Any = None) -> None:
        """End the job now. Inside ``task.store.transaction()``, it commits together with the handler's writes or not at all.

        If that transaction is rolled back and the handler returns, the attempt has failed: neither is stored.

        Raises:
            LeaseLostError: The lease is lost; let the error roll the transaction back.
        """
        self.store.jobs.succeed(self.job, result)
        self.called_succeed = True


#: A plain function of one argument.
Handler = Callable[[Task], Any]


class Worker:
    """Runs jobs until it is told to stop.

    Args:
        store: The store with the jobs; it may be shared with other threads.
        handlers: Handlers by job type. A returned value (any JSON value) is the job's result; an exception fails the attempt.
        worker: The worker's name, stored in each job's history; None: ``host:process``.
        lease_seconds: Seconds without a heartbeat after which another worker may take the job. Heartbeats are sent every third
            of this time.
        batch: Number of jobs claimed at once; 1 to 1000. More is faster, but the jobs of a batch wait for its slowest one.

    Raises:
        InvalidValueError: A value is out of range, or a handler cannot be called with only a task, or is ``async def`` or a
            generator function: calling it would do none of its work.
    """

    def __init__(
        self,
        store: Datastore,
        handlers: Mapping[str, Handler],
        *,
        worker: str | None = None,
        lease_seconds: float = 60.0,
        batch: int = 1,
    ) -> None:
        if not handlers:
            raise InvalidValueError("handlers: at least one type is needed")
        wanted_types(handlers)
        for of, handler in handlers.items():
            check_handler(of, handler)
        if check_number(lease_seconds, "lease_seconds") <= 0:
            raise InvalidValueError("lease_seconds must be more than 0")
        given: object = batch
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 1000:
            raise InvalidValueError("batch must be 1 to 1000")
        self.store = store
        self.handlers = dict(handlers)
        self.worker = f"{socket.gethostname()}:{os.getpid()}" if worker is None else check_text(worker, "worker")
        self.lease_seconds = lease_seconds
        self.batch = batch
        self._stop = threading.Event()
        self._interruptible = False
        #: The exception type that a signal raised in the running handler.
        self._interrupt: type[BaseException] | None = None
        self._ran = 0
        self._held: dict[int, Task] = {}

    def stop(self) -> None:
        """Make `run` return after the current job. Callable from any thread or signal handler."""
        self._stop.set()

    def run(self, *, until_idle: bool = False) -> int:
        """Run jobs until `stop`, SIGTERM or Ctrl-C; or, with *until_idle*, until no job is due.

        Any exception from a handler, even SystemExit, fails only its attempt: the worker continues. If the server is
        unavailable, the worker waits for it; with *until_idle*, for at most a minute.

        Returns:
            The number of jobs that ran to an end, good or bad.

        Raises:
            TransactionError: Called inside a transaction.
        """
        self.store.engine.reading("a worker")
        self._ran = 0
        done = threading.Event()
        beats = threading.Thread(target=self._beat_on, args=(done,), name="datastore-heartbeat", daemon=True)
        with self._signals():
            beats.start()
            try:
                while jobs := self._next(until_idle):
                    self._held = {job.id: Task(self, job) for job in jobs}
                    self._work()
            except Stopped:
                pass
            finally:
                done.set()
                beats.join()
                self._release()
        return self._ran

    def beat(self, task: Task, progress: Any = None) -> None:
        """Extend one lease, and update the task's cancellation request."""
        try:
            job = self.store.jobs.heartbeat(task.job, lease_seconds=self.lease_seconds, progress=progress)
        except LeaseLostError:
            task.lost = task.job.id in self._held and not task.ended
            raise
        task.cancel_requested = job.cancel_requested

    def _next(self, until_idle: bool) -> Sequence[Job]:
        """The jobs to run; empty if the worker was told to stop, or no job is due."""
        jobs, delay, failing = self.store.jobs, _RETRY, 0.0
        while not self._stop.is_set():
            try:
                if failing:  # uses a separate connection, which shows at once whether the server is available
                    jobs.wait(self.handlers, timeout=0)
                claimed = jobs.claim_many(
                    self.handlers, worker=self.worker, lease_seconds=self.lease_seconds, max_rows=self.batch
                )
                if failing:
                    log.info("jobs can be claimed again")
                if claimed or until_idle:
                    return claimed
                delay, failing = _RETRY, 0.0
                jobs.wait(self.handlers, timeout=0.25)
            except PASSING as error:
                if not failing:
                    log.warning("no job can be claimed, trying again: %s", error)
                    failing = time.monotonic()
                elif until_idle and time.monotonic() > failing + _PATIENCE:
                    raise
                self._pause(delay)
                delay = min(2 * delay, _RETRY_LONGEST)
        return []

    def _pause(self, seconds: float) -> None:
        # Do not wait for the event: a signal handler that sets it could deadlock on its lock.
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _work(self) -> None:
        for task in list(self._held.values()):
            if self._stop.is_set():
                break
            if not task.lost:
                self._run_one(task)
                self._ran += 1
            del self._held[task.job.id]

    def _run_one(self, task: Task) -> None:
        job = task.job
        try:
            end = self._call(task)
            try:
                self._insist(task, end)
            except (InvalidValueError, CheckError) as error:  # the handler's own result or delay
                self._insist(task, self._failure(task, error))
        except LeaseLostError:
            log.warning("job %d (%s): its lease was lost, nothing was stored", job.id, job.type)
        except PASSING as error:  # the lease will expire, and a worker will run the job again
            log.warning("job %d (%s): its outcome could not be stored: %s", job.id, job.type, error)

    def _call(self, task: Task) -> Callable[[], object]:
        """Call the handler; return the call that stores the outcome."""
        jobs, job = self.store.jobs, task.job
        self._interrupt = None
        try:
            with self._interrupts():
                result = self.handlers[job.type](task)
        except BaseException as error:
            if (interrupt := self._interrupt) is not None:  # even if the handler replaced the exception
                raise error if isinstance(error, interrupt) else interrupt() from error
            if task.called_succeed and self._insist(task, lambda: task.ended):
                log.warning("job %d (%s) had ended well when its handler raised", job.id, job.type, exc_info=error)
                return _nothing
            if isinstance(error, Snooze):
                return partial(jobs.snooze, job, error.delay)
            return self._failure(task, error)
        if task.called_succeed:
            if self._insist(task, lambda: task.ended):
                return _nothing
            return self._failure(task, rolled_back())
        if wrong := unfinished(result):
            return self._failure(task, wrong)
        return partial(jobs.succeed, job, result)

    def _failure(self, task: Task, error: BaseException) -> Callable[[], object]:
        log.warning("job %d (%s) failed: %s", task.job.id, task.job.type, type(error).__name__)
        text = "".join(traceback.format_exception(error))[-MAX_ERROR_LENGTH:]
        return partial(self.store.jobs.fail, task.job, text, permanent=isinstance(error, PermanentError))

    def _insist(self, task: Task, call: Callable[[], Result]) -> Result | None:
        """Retry *call* for up to a lease; None if an earlier attempt had succeeded without an answer."""
        end, delay, again = time.monotonic() + self.lease_seconds, _RETRY, False
        while True:
            try:
                return call()
            except LeaseLostError:
                if again and self._is_over(task):
                    return None
                raise
            except PASSING as error:
                if self._stop.is_set() or time.monotonic() + delay > end:
                    raise
                if not again:
                    log.warning("job %d (%s): trying again: %s", task.job.id, task.job.type, error)
                again = True
                self._pause(delay)
                delay = min(2 * delay, _RETRY_LONGEST)

    def _is_over(self, task: Task) -> bool:
        stored = self.store.jobs.find(task.job.id)
        if stored is None or stored.lease_token != task.job.lease_token or stored.status == "running":
            return False
        return stored.last_outcome in ("succeeded", "failed", "snoozed")

    def _beat_on(self, done: threading.Event) -> None:
        pause = self.lease_seconds / 3
        while not done.wait(pause):
            failed = self._beat_all()
            if failed and pause == self.lease_seconds / 3:
                log.warning("a heartbeat failed, trying again: %s", failed)
            pause = self.lease_seconds / (30 if failed else 3)

    def _beat_all(self) -> DatastoreError | None:
        failed = None
        for task in list(self._held.values()):
            try:
                if not task.lost:
                    self.beat(task)
            except LeaseLostError:
                if task.lost:
                    log.warning("job %d (%s): its lease was lost", task.job.id, task.job.type)
            except DatastoreError as error:
                failed = error
        return failed

    def _release(self) -> None:
        for task in self._held.values():
            try:
                self.store.jobs.release(task.job)
            except LeaseLostError:  # it has ended, or another worker has it
                pass
            except PASSING as error:
                log.warning("job %d (%s): not released: %s", task.job.id, task.job.type, error)
        self._held = {}

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread handles signals; other threads use `stop`
            return
        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._on_sigterm)}
        if callable(on_interrupt := signal.getsignal(signal.SIGINT)):
            before[signal.SIGINT] = signal.signal(signal.SIGINT, partial(self._on_sigint, on_interrupt))
        try:
            yield
        finally:
            for number, handle in before.items():
                signal.signal(number, handle)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.stop()
        if self._interruptible:
            self._interruptible = False
            self._interrupt = Stopped
            raise Stopped

    def _on_sigint(self, before: Callable[..., Any], number: int, frame: FrameType | None) -> None:
        # A KeyboardInterrupt that a handler itself raises only fails its attempt: this identifies a real one.
        try:
            before(number, frame)
        except BaseException as error:
            if self._interruptible:
                self._interrupt = type(error)
            raise


def _nothing() -> None:
    """Store nothing: the handler has already ended its job."""
