"""Stores the outcome of a handler: what it returned, what it raised, or that it did its work itself."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from datastore.errors import CheckError, InvalidValueError, LeaseLostError
from datastore.repositories.backoff import MAX_ERROR_LENGTH
from datastore.worker.claims import PASSING, RETRY, RETRY_LONGEST
from datastore.worker.handlers import rolled_back, unfinished
from datastore.worker.tasks import BaseTask, PermanentError, Snooze

if TYPE_CHECKING:
    from datastore.repositories import JobQueueRepository
    from datastore.worker.stopping import Stop

Result = TypeVar("Result")

log = logging.getLogger("datastore.worker")


@attrs.frozen
class Ended:
    """A handler has ended: it returned *result*, or raised *error*."""

    task: BaseTask
    result: Any = None
    error: BaseException | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it only returned a result, which is still to be stored."""
        return self.error is None and not self.task.called_succeed


class Endings:
    """Stores outcomes, for up to a lease while the database is not available.

    Args:
        jobs: The queue.
        lease_seconds: The length of a lease.
        stop: When it was asked to end, a worker does not try again.
    """

    def __init__(self, jobs: JobQueueRepository, lease_seconds: float, stop: Stop) -> None:
        self._jobs = jobs
        self._lease_seconds = lease_seconds
        self._stop = stop

    def store(self, ended: Ended) -> None:
        """Store one outcome; a lost lease is only logged."""
        task = ended.task
        task.ending = True
        try:
            end = self._call_for(ended)
            try:
                self._insist(task, end)
            except (InvalidValueError, CheckError) as error:  # the handler's own result or delay
                self._insist(task, self._failure(task, error))
        except LeaseLostError:
            _log_lost(task)
        except PASSING as error:  # the lease will expire, and a worker will run the job again
            log.warning("job %d (%s): its outcome could not be stored: %s", task.job.id, task.job.type, error)

    def store_many(self, endings: Sequence[Ended]) -> None:
        """Store several outcomes: results in one transaction, everything else one by one."""
        plain = [ended for ended in endings if ended.is_plain and not unfinished(ended.result)]
        if len(plain) > 1:
            for ended in plain:
                ended.task.ending = True
            try:
                lost = self._jobs.succeed_many([e.task.job for e in plain], [e.result for e in plain])
            except (InvalidValueError, CheckError, *PASSING):
                plain = []  # one by one, each with its own error
            else:
                ids = {job.id for job in lost}
                for ended in plain:
                    if ended.task.job.id in ids:
                        _log_lost(ended.task)
        else:
            plain = []
        stored = {id(ended) for ended in plain}
        for ended in endings:
            if id(ended) not in stored:
                self.store(ended)

    def release(self, tasks: Sequence[BaseTask]) -> None:
        """Return unfinished jobs to their place in the queue."""
        for task in tasks:
            try:
                self._jobs.release(task.job)
            except LeaseLostError:  # it has ended, or another worker has it
                pass
            except PASSING as error:
                log.warning("job %d (%s): not released: %s", task.job.id, task.job.type, error)

    def _call_for(self, ended: Ended) -> Callable[[], object]:
        """The call that stores an outcome."""
        task, error = ended.task, ended.error
        if error is not None:
            if task.called_succeed and self._insist(task, task.find_ended):
                log.warning(
                    "job %d (%s) had ended well when its handler raised", task.job.id, task.job.type, exc_info=error
                )
                return _nothing
            if isinstance(error, Snooze):
                return partial(self._jobs.snooze, task.job, error.delay)
            return self._failure(task, error)
        if task.called_succeed:
            return _nothing if self._insist(task, task.find_ended) else self._failure(task, rolled_back())
        if wrong := unfinished(ended.result):
            return self._failure(task, wrong)
        return partial(self._jobs.succeed, task.job, ended.result)

    def _failure(self, task: BaseTask, error: BaseException) -> Callable[[], object]:
        log.warning("job %d (%s) failed: %s", task.job.id, task.job.type, type(error).__name__)
        text = "".join(traceback.format_exception(error))[-MAX_ERROR_LENGTH:]
        return partial(self._jobs.fail, task.job, text, permanent=isinstance(error, PermanentError))

    def _insist(self, task: BaseTask, call: Callable[[], Result]) -> Result | None:
        """Retry *call* for up to a lease; None if an earlier attempt had succeeded without an answer."""
        end, delay, again = time.monotonic() + self._lease_seconds, RETRY, False
        while True:
            try:
                return call()
            except LeaseLostError:
                if again and self._is_over(task):
                    return None
                raise
            except PASSING as error:
                if self._stop.at_once or time.monotonic() + delay > end:
                    raise
                if not again:
                    log.warning("job %d (%s): trying again: %s", task.job.id, task.job.type, error)
                again = True
                time.sleep(delay)
                delay = min(2 * delay, RETRY_LONGEST)

    def _is_over(self, task: BaseTask) -> bool:
        stored = self._jobs.find(task.job.id)
        if stored is None or stored.lease_token != task.job.lease_token or stored.status == "running":
            return False
        return stored.last_outcome in ("succeeded", "failed", "snoozed")


def _log_lost(task: BaseTask) -> None:
    log.warning("job %d (%s): its lease was lost, nothing was stored", task.job.id, task.job.type)


def _nothing() -> None:
    """Store nothing: the handler has already ended its job."""
