"""A worker's claims, which continue when the database is available again."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from datastore.errors import (
    BusyError,
    CommitOutcomeUnknownError,
    ConflictError,
    ConnectionLostError,
    TransactionLostError,
)

if TYPE_CHECKING:
    from datastore.records import Job
    from datastore.repositories import JobQueueRepository

log = logging.getLogger("datastore.worker")

#: Transient errors: another process held the lock for too long, or the server is unavailable. A worker tries again.
PASSING = (BusyError, ConnectionLostError, CommitOutcomeUnknownError, TransactionLostError, ConflictError)

#: Seconds between two attempts: initially, and at most.
RETRY, RETRY_LONGEST = 0.1, 5.0

#: Seconds of failed attempts after which a worker with *until_idle* gives up.
_PATIENCE = 60.0

#: Seconds of waiting until a claim is tried in any case.
_WAIT = 0.25

#: Seconds to the next claim, if one found nothing although a job seemed to be due: another worker is claiming it.
_AFTER_NOTHING = 0.02


class Claims:
    """Claims jobs, and waits for them.

    Args:
        jobs: The queue.
        types: The wanted types.
        worker: The worker's name.
        lease_seconds: The length of a lease.
        impatient: Whether to give up after a minute of errors.
    """

    def __init__(
        self, jobs: JobQueueRepository, types: Sequence[str], *, worker: str, lease_seconds: float, impatient: bool
    ) -> None:
        self._jobs = jobs
        self._types = types
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._impatient = impatient
        self._delay = RETRY
        self._failing = 0.0

    def claim(self, max_rows: int) -> Sequence[Job] | float:
        """The claimed jobs; or, after a transient error, the seconds until the next attempt.

        Raises:
            DatastoreError: Another error, or a transient one that has lasted too long.
        """
        try:
            if self._failing:  # uses a separate connection, which shows at once whether the server is available
                self._jobs.wait(self._types, timeout=0)
            claimed = self._jobs.claim_many(
                self._types, worker=self._worker, lease_seconds=self._lease_seconds, max_rows=max_rows
            )
        except PASSING as error:
            return self._again(error)
        if self._failing:
            log.info("jobs can be claimed again")
        self._delay, self._failing = RETRY, 0.0
        return claimed

    def pauses(self) -> Generator[float, None, None]:
        """Pauses, in seconds, until a job may be due; called after a claim that found nothing.

        Raises:
            DatastoreError: Another error than a transient one.
        """
        began = time.monotonic()
        try:
            yield from self._jobs.waiting(self._types, timeout=_WAIT)
        except PASSING as error:
            yield self._again(error)
        if time.monotonic() < began + _AFTER_NOTHING:
            yield _AFTER_NOTHING

    def _again(self, error: Exception) -> float:
        if not self._failing:
            log.warning("no job can be claimed, trying again: %s", error)
            self._failing = time.monotonic()
        elif self._impatient and time.monotonic() > self._failing + _PATIENCE:
            raise error
        delay, self._delay = self._delay, min(2 * self._delay, RETRY_LONGEST)
        return delay
