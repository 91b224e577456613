"""What a handler gets, and what it may raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from datastore.repositories.job_leases import snooze_delay

if TYPE_CHECKING:
    from datastore.aio.store import AsyncDatastore
    from datastore.records import Job
    from datastore.store import Datastore


class PermanentError(Exception):
    """Raised by a handler if trying again is useless: the job is quarantined at once."""


class Snooze(Exception):
    """Raised by a handler if it is too early: the job becomes due again after *delay*, and no attempt is counted.

    Args:
        delay: A timedelta or seconds, from now; less than a second counts as one.

    Raises:
        InvalidValueError: *delay* is 0 or less, or not a finite number.
    """

    def __init__(self, delay: timedelta | float) -> None:
        super().__init__(f"not before {delay}")
        self.delay = snooze_delay(delay)


class Stopped(BaseException):
    """The worker has to end while a handler runs; the job is released. Like KeyboardInterrupt, handlers should not catch it."""


class BaseTask:
    """What both kinds of tasks have in common."""

    def __init__(self, job: Job, store: Datastore, lease_seconds: float) -> None:
        self._sync = store
        self._lease_seconds = lease_seconds
        #: The job as it was claimed.
        self.job = job
        self.payload = job.payload
        #: Whether cancellation was requested: return or raise soon. Updated at each heartbeat.
        self.cancel_requested = False
        #: Whether the lease is lost: another worker may be running this job, and further work may be done twice.
        self.lost = False
        #: Whether `succeed` was called; its transaction may have been rolled back since.
        self.called_succeed = False
        #: Whether the handler has ended and the worker is storing the outcome.
        self.ending = False

    def find_ended(self) -> bool:
        """Whether `succeed` has ended the job according to the database: False if its transaction was rolled back."""
        if not self.called_succeed:
            return False
        stored = self._sync.jobs.find(self.job.id)
        return stored is not None and (stored.status, stored.lease_token) == ("succeeded", self.job.lease_token)


class Task(BaseTask):
    """The argument of a handler that is a plain function: the job, the store, and methods to use while it works."""

    @property
    def store(self) -> Datastore:
        """The worker's store. In a transaction of this store, a handler's writes and `succeed` are committed together."""
        return self._sync

    @property
    def ended(self) -> bool:
        """Whether `succeed` has ended the job according to the database: False if its transaction was rolled back."""
        return self.find_ended()

    def report(self, progress: Any) -> None:
        """Store *progress* (any JSON value) now, and extend the lease.

        Raises:
            LeaseLostError: The lease is lost; stop working on the job.
        """
        job = self._sync.jobs.heartbeat(self.job, lease_seconds=self._lease_seconds, progress=progress)
        self.cancel_requested = job.cancel_requested

    def succeed(self, result: Any = None) -> None:
        """End the job now. Inside ``task.store.transaction()``, it commits together with the handler's writes or not at all.

        If that transaction is rolled back and the handler returns, the attempt has failed: neither is stored.

        Raises:
            LeaseLostError: The lease is lost; let the error roll the transaction back.
        """
        self._sync.jobs.succeed(self.job, result)
        self.called_succeed = True


class AsyncTask(BaseTask):
    """The argument of an ``async def`` handler: the job, the asynchronous store, and methods to await while it works."""

    def __init__(self, job: Job, store: Datastore, lease_seconds: float, asynchronous: AsyncDatastore) -> None:
        super().__init__(job, store, lease_seconds)
        #: The worker's store, for its event loop. In a transaction of this store, a handler's writes and `succeed` are
        #: committed together.
        self.store = asynchronous

    async def report(self, progress: Any) -> None:
        """Store *progress* (any JSON value) now, and extend the lease; see `Task.report`."""
        job = await self.store.jobs.heartbeat(self.job, lease_seconds=self._lease_seconds, progress=progress)
        self.cancel_requested = job.cancel_requested

    async def succeed(self, result: Any = None) -> None:
        """End the job now; see `Task.succeed`. Inside ``async with task.store.transaction()``, both are committed or neither."""
        await self.store.jobs.succeed(self.job, result)
        self.called_succeed = True


#: A function of one argument: a plain one gets a `Task`, an ``async def`` one an `AsyncTask`.
Handler = Callable[[Task], Any] | Callable[[AsyncTask], Awaitable[Any]]
