"""What a worker does with jobs: claims them under a fenced lease, and ends or extends the lease."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from datastore.engines.base import Engine
from datastore.errors import InvalidValueError, LeaseLostError
from datastore.records.job_queue import Job
from datastore.repositories.backoff import error_text, retry_delay
from datastore.repositories.base import AuditWriter, check_max_rows
from datastore.repositories.job_waiting import YEAR, JobWaiting, wanted_types
from datastore.values import TIME_MIN, check_number, check_text, encode_json

if TYPE_CHECKING:
    from datastore.statements.typed.job_queue import JobQueueStatements

#: A job waits no longer: what ends after the year 9999 is no instant.
_longest_delay = timedelta(days=365 * 1000)

#: A claim recovers at most so many expired leases.
_RECOVERED_PER_CLAIM = 100


class JobLeases(JobWaiting):
    """The worker's half of `JobQueueRepository`.

    A claimed job carries its lease: hand the record itself to `heartbeat`, `succeed`, `fail`,
    `snooze` and `release`. Each raises LeaseLostError, and changes nothing, once the lease is over or the job is
    another worker's. A lease that has expired is lost even if nobody took the job yet.
    """

    _statements: JobQueueStatements

    def __init__(
        self,
        statements: JobQueueStatements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._rng = random.Random() if rng is None else rng

    def claim(self, types: Iterable[str] | None = None, *, worker: str, lease_seconds: float = 60.0) -> Job | None:
        """Lease the first job that is due; None if there is none. See `claim_many`."""
        jobs = self.claim_many(types, worker=worker, lease_seconds=lease_seconds, max_rows=1)
        return jobs[0] if jobs else None

    def claim_many(
        self, types: Iterable[str] | None = None, *, worker: str, lease_seconds: float = 60.0, max_rows: int
    ) -> Sequence[Job]:
        """Lease the first jobs that are due, after putting back those whose lease expired.

        Args:
            types: Only of these; None is every type (the first 1000 that have queued jobs). Paused types are left out.
            worker: Who claims; kept in the job's history.
            lease_seconds: How long until the jobs are somebody else's, without a `heartbeat`.
            max_rows: 1 to 1000.

        Returns:
            The jobs, by highest priority, then earliest *run_at*, then lowest id.
        """
        wanted = wanted_types(types)
        check_text(worker, "worker")
        check_max_rows(max_rows)
        lease = _lease(lease_seconds)
        with self._engine.transaction():
            now = self._now()  # with the lock held, so that waiting for it does not shorten the lease
            self._recover(now, _RECOVERED_PER_CLAIM)
            if wanted is None:
                wanted = self._queued_types()
            if not wanted:
                return []
            jobs = self._statements.claim_jobs(
                types=wanted, worker=worker, now=now, lease_expires_at=now + lease, max_rows=max_rows
            )
        return jobs if len(jobs) < 2 else sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))

    def heartbeat(self, job: Job, *, lease_seconds: float = 60.0, progress: Any = None) -> Job:
        """Extend the lease from now on, and store *progress* (any JSON value; None keeps what is stored).

        Returns:
            The job as it is now: look at *cancel_requested*.

        Raises:
            LeaseLostError: Stop working on it.
        """
        lease = _lease(lease_seconds)
        with self._engine.transaction():
            now = self._now()
            held = self._statements.heartbeat_job(
                id=job.id, lease_token=job.lease_token, lease_expires_at=now + lease, progress=progress, now=now
            )
            return _held(held, "heartbeat")

    def succeed(self, job: Job, result: Any = None) -> None:
        """End a claimed job well; *result* is any JSON value.

        In a transaction it is done together with what else is written there, or not at all.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        if not self._statements.succeed_job(id=job.id, lease_token=job.lease_token, result=result, now=self._now()):
            raise LeaseLostError("succeed")

    def succeed_many(self, jobs: Sequence[Job], results: Sequence[Any] | None = None) -> Sequence[Job]:
        """End claimed jobs well, in one transaction; *results* are in the order of *jobs*.

        Returns:
            The jobs whose lease was lost, in their order: of them nothing was changed.
        """
        values = [None] * len(jobs) if results is None else results
        if len(values) != len(jobs):
            raise InvalidValueError("results: one for each job is needed")
        # In the order of `enqueue_many`, which may wait for a job that has just got its key.
        pairs = sorted(zip(jobs, values, strict=True), key=lambda pair: pair[0].dedupe_key or "")
        rows = [[job.id, job.lease_token, None if value is None else encode_json(value)] for job, value in pairs]
        done = {row.id for row in self._statements.succeed_jobs(rows=rows, now=self._now())}
        return [job for job in jobs if job.id not in done]

    def succeed_and_claim(
        self,
        job: Job,
        result: Any = None,
        *,
        types: Iterable[str] | None = None,
        worker: str,
        lease_seconds: float = 60.0,
    ) -> Job | None:
        """`succeed` and `claim` in one transaction: half the commits.

        Returns:
            The next job; None if there is none that is due.

        Raises:
            LeaseLostError: Nothing was changed, and nothing claimed.
        """
        with self._engine.transaction():
            self.succeed(job, result)
            return self.claim(types, worker=worker, lease_seconds=lease_seconds)

    def fail(self, job: Job, error: str | BaseException, *, permanent: bool = False) -> Job:
        """End a claimed job's attempt badly: it is tried again after its backoff.

        After *max_attempts*, or at once where *permanent*, it is quarantined until somebody requeues
        it; if it was asked to stop, it is cancelled. *error* is kept, cut to 10,000 characters.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        text = error_text(error)
        with self._engine.transaction():
            now = self._now()
            return _held(self._end_attempt(self._current(job, "fail"), now, now, "failed", text, permanent), "fail")

    def release(self, job: Job) -> Job:
        """Give a claimed job back to the queue, at its place, without spending the attempt.

        If it was asked to stop, it is cancelled instead.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        with self._engine.transaction():
            now = self._now()
            if self._current(job, "release").cancel_requested:
                return _held(self._finish(job, now, now, "cancelled", "cancelled", None), "release")
            released = self._statements.release_job(id=job.id, lease_token=job.lease_token, lease_after=now, now=now)
            return _held(released, "release")

    def snooze(self, job: Job, delay: timedelta | float) -> Job:
        """Give a claimed job back to the queue for later, without spending the attempt.

        If it was asked to stop, it is cancelled instead. *delay* is a timedelta or seconds, from now.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        wait = duration(delay)
        with self._engine.transaction():
            now = self._now()
            if self._current(job, "snooze").cancel_requested:
                return _held(self._finish(job, now, now, "cancelled", "cancelled", None), "snooze")
            snoozed = self._statements.snooze_job(
                id=job.id, lease_token=job.lease_token, lease_after=now, run_at=now + wait, now=now
            )
            return _held(snoozed, "snooze")

    def recover_expired(self, *, max_rows: int = 100) -> int:
        """Put back, or quarantine, jobs whose lease expired; every claim does the same for 100.

        Returns:
            How many; call again while it is *max_rows*.
        """
        check_max_rows(max_rows)
        with self._engine.transaction():
            return self._recover(self._now(), max_rows)

    def _current(self, job: Job, action: str) -> Job:
        # What is stored, not what the worker saw: somebody may have asked it to stop since; and nobody does until this has ended.
        current: Job | None = self._statements.lock_job(id=job.id)
        if current is None or current.lease_token != job.lease_token:
            raise LeaseLostError(action)
        return current

    def _recover(self, now: datetime, max_rows: int) -> int:
        jobs: list[Job] = self._statements.list_expired_jobs(now=now, max_rows=max_rows)
        for job in jobs:
            self._end_attempt(job, now, TIME_MIN, "expired", "lease expired")
        return len(jobs)

    def _end_attempt(
        self, job: Job, now: datetime, lease_after: datetime, outcome: str, error: str, permanent: bool = False
    ) -> Job | None:
        if job.cancel_requested:
            return self._finish(job, now, lease_after, "cancelled", outcome, error)
        if permanent or job.attempts >= job.max_attempts:
            return self._finish(job, now, lease_after, "quarantined", outcome, error)
        return self._statements.retry_job(
            id=job.id,
            lease_token=job.lease_token,
            lease_after=lease_after,
            run_at=now + retry_delay(job.attempts, job.backoff_seconds, job.backoff_cap_seconds, self._rng),
            last_outcome=outcome,
            last_error=error,
            now=now,
        )

    def _finish(
        self,
        job: Job,
        now: datetime,
        lease_after: datetime,
        status: str,
        outcome: str,
        error: str | None,
        result: Any = None,
    ) -> Job | None:
        return self._statements.finish_job(
            id=job.id,
            lease_token=job.lease_token,
            lease_after=lease_after,
            status=status,
            result=result,
            last_outcome=outcome,
            last_error=error,
            now=now,
        )


def _held(job: Job | None, action: str) -> Job:
    if job is None:
        raise LeaseLostError(action)
    return job


def duration(delay: timedelta | float | None) -> timedelta:
    """*delay*, a timedelta or seconds; None is none.

    Raises:
        InvalidValueError: It is no finite number, or more than a thousand years.
    """
    if delay is None:
        return timedelta()
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else check_number(delay, "delay")
    if abs(seconds) > _longest_delay.total_seconds():
        raise InvalidValueError("delay: at most a thousand years")
    return delay if isinstance(delay, timedelta) else timedelta(seconds=seconds)


def _lease(seconds: float) -> timedelta:
    if not 0 < check_number(seconds, "lease_seconds") <= YEAR:
        raise InvalidValueError("lease_seconds is more than 0 and at most a year")
    return timedelta(seconds=seconds)
