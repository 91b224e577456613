"""The operations of a worker: claim jobs under a fenced lease, extend the lease, end it."""

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
from datastore.repositories.job_limits import choose, spend
from datastore.repositories.job_schedules import enqueue_due
from datastore.repositories.job_waiting import YEAR, JobWaiting, wanted_types
from datastore.values import TIME_MIN, check_number, check_text, encode_json

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.records.job_queue import JobLimit
    from datastore.statements.typed.job_queue import JobQueueStatements
    from datastore.statements.typed.schedules import SchedulesStatements

    class _Statements(JobQueueStatements, SchedulesStatements, Protocol):
        """The statements that a worker calls."""


#: Maximum wait of a job: no datetime is later than the year 9999.
_longest_delay = timedelta(days=365 * 1000)

#: A shorter snooze is extended to this.
_SHORTEST_SNOOZE = timedelta(seconds=1)

#: Maximum number of expired leases that a claim recovers.
_RECOVERED_PER_CLAIM = 100


class JobLeases(JobWaiting):
    """The worker's half of `JobQueueRepository`.

    A claimed job includes its lease: pass the record itself to `heartbeat`, `succeed`, `fail`,
    `snooze` and `release`. Each raises LeaseLostError and changes nothing once the lease has ended or another worker
    has the job. An expired lease is lost even if no other worker has claimed the job yet.
    """

    _statements: _Statements

    def __init__(
        self,
        statements: _Statements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._rng = random.Random() if rng is None else rng

    def claim(self, types: Iterable[str] | None = None, *, worker: str, lease_seconds: float = 60.0) -> Job | None:
        """Lease the first job that is due; None if no job is due. See `claim_many`."""
        jobs = self.claim_many(types, worker=worker, lease_seconds=lease_seconds, max_rows=1)
        return jobs[0] if jobs else None

    def claim_many(
        self, types: Iterable[str] | None = None, *, worker: str, lease_seconds: float = 60.0, max_rows: int
    ) -> Sequence[Job]:
        """Lease the first jobs that are due and that no limit stops.

        Before that, it returns jobs with expired leases to the queue, and enqueues the slots of schedules that have come.

        Args:
            types: Only these types; None: every type (the first 1000 that have queued jobs). Paused types are skipped.
            worker: The worker's name; kept in the job's history.
            lease_seconds: Time until other workers can claim the jobs, unless `heartbeat` extends it.
            max_rows: 1 to 1000.

        Returns:
            The jobs, by highest priority, then earliest *run_at*, then lowest id.
        """
        wanted = wanted_types(types)
        check_text(worker, "worker")
        check_max_rows(max_rows)
        lease = _lease(lease_seconds)
        with self._engine.transaction():
            now = self._now()  # read while holding the lock, so that waiting for the lock does not shorten the lease
            work = self._statements.find_claim_work(now=now)
            if work.has_expired:
                self._recover(now, _RECOVERED_PER_CLAIM)
            if work.has_due_schedules:
                enqueue_due(self._statements, self._statements, now)
            if wanted is None:
                wanted = self._queued_types()
            if not wanted:
                return []
            if work.has_limits and (limits := self._statements.lock_job_limits(types=wanted)):
                now = max(now, self._engine.clock())  # the limits may have been locked for a while
                jobs = self._claim_limited(limits, wanted, worker, now, lease, max_rows)
            else:
                jobs = self._statements.claim_jobs(
                    types=wanted, worker=worker, now=now, lease_expires_at=now + lease, max_rows=max_rows
                )
        return jobs if len(jobs) < 2 else sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))

    def _claim_limited(
        self,
        limits: Sequence[JobLimit],
        types: Sequence[str],
        worker: str,
        now: datetime,
        lease: timedelta,
        max_rows: int,
    ) -> Sequence[Job]:
        ids = [job.id for job in choose(self._statements, limits, types, now, max_rows)]
        if not ids:
            return []
        jobs: Sequence[Job] = self._statements.claim_jobs_by_id(
            ids=ids, worker=worker, now=now, lease_expires_at=now + lease
        )
        for limit in limits:
            spend(self._statements, limit, sum(job.type == limit.type for job in jobs), now)
        return jobs

    def heartbeat(self, job: Job, *, lease_seconds: float = 60.0, progress: Any = None) -> Job:
        """Extend the lease, counted from now, and store *progress* (any JSON value; None keeps the stored one).

        Returns:
            The current job: check its *cancel_requested*.

        Raises:
            LeaseLostError: Stop working on the job.
        """
        lease = _lease(lease_seconds)
        with self._engine.transaction():
            now = self._now()
            held = self._statements.heartbeat_job(
                id=job.id, lease_token=job.lease_token, lease_expires_at=now + lease, progress=progress, now=now
            )
            return _held(held, "heartbeat")

    def heartbeat_many(self, jobs: Sequence[Job], *, lease_seconds: float = 60.0) -> dict[int, bool]:
        """Extend the leases of many jobs in one transaction.

        Returns:
            For the id of each job whose lease was extended, whether it was asked to stop. The others have lost their lease.
        """
        lease = _lease(lease_seconds)
        with self._engine.transaction():
            now = self._now()
            rows = [[job.id, job.lease_token] for job in sorted(jobs, key=lambda job: job.id)]
            held = self._statements.heartbeat_jobs(rows=rows, lease_expires_at=now + lease, now=now)
        return {row.id: bool(row.cancel_requested) for row in held}

    def succeed(self, job: Job, result: Any = None) -> None:
        """Mark a claimed job as succeeded; *result* is any JSON value.

        In a transaction, the job succeeds together with the transaction's other writes, or not at all.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        if not self._statements.succeed_job(id=job.id, lease_token=job.lease_token, result=result, now=self._now()):
            raise LeaseLostError("succeed")

    def succeed_many(self, jobs: Sequence[Job], results: Sequence[Any] | None = None) -> Sequence[Job]:
        """Mark claimed jobs as succeeded in one transaction; *results* are in the order of *jobs*.

        Returns:
            The jobs whose lease was lost, in order; these were not changed.
        """
        values = [None] * len(jobs) if results is None else results
        if len(values) != len(jobs):
            raise InvalidValueError("results: give one for each job")
        # In the same order as `enqueue_many`, which may wait for a job that has just taken its key.
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
            The next job; None if no job is due.

        Raises:
            LeaseLostError: Nothing was changed or claimed.
        """
        with self._engine.transaction():
            self.succeed(job, result)
            return self.claim(types, worker=worker, lease_seconds=lease_seconds)

    def fail(self, job: Job, error: str | BaseException, *, permanent: bool = False) -> Job:
        """Mark a claimed job's attempt as failed: the job is retried after its backoff.

        After *max_attempts*, or immediately if *permanent*, it is quarantined until it is requeued;
        if cancellation was requested, it is cancelled. *error* is stored, truncated to 10,000 characters.

        Raises:
            LeaseLostError: Nothing was changed.
        """
        text = error_text(error)
        with self._engine.transaction():
            now = self._now()
            return _held(self._end_attempt(self._current(job, "fail"), now, now, "failed", text, permanent), "fail")

    def release(self, job: Job) -> Job:
        """Return a claimed job to its place in the queue without counting the attempt.

        If cancellation was requested, it is cancelled instead.

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
        """Return a claimed job to the queue for later without counting the attempt.

        If cancellation was requested, it is cancelled instead. *delay* is a timedelta or seconds, from now; less than a second
        counts as one, so that a job cannot be claimed and snoozed in a tight loop.

        Raises:
            InvalidValueError: *delay* is 0 or less.
            LeaseLostError: Nothing was changed.
        """
        wait = max(snooze_delay(delay), _SHORTEST_SNOOZE)
        with self._engine.transaction():
            now = self._now()
            if self._current(job, "snooze").cancel_requested:
                return _held(self._finish(job, now, now, "cancelled", "cancelled", None), "snooze")
            snoozed = self._statements.snooze_job(
                id=job.id, lease_token=job.lease_token, lease_after=now, run_at=now + wait, now=now
            )
            return _held(snoozed, "snooze")

    def recover_expired(self, *, max_rows: int = 100) -> int:
        """Requeue or quarantine jobs whose lease has expired; every claim does the same for up to 100.

        Returns:
            The number of jobs; call again while it equals *max_rows*.
        """
        check_max_rows(max_rows)
        with self._engine.transaction():
            return self._recover(self._now(), max_rows)

    def _current(self, job: Job, action: str) -> Job:
        # Read the stored job: a cancellation may have been requested since the claim. The lock prevents one from here on.
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


def snooze_delay(delay: timedelta | float) -> timedelta:
    """Convert the delay of a snooze.

    Raises:
        InvalidValueError: It is not a finite number, or 0 or less, or more than a thousand years.
    """
    wait = duration(delay)
    if wait <= timedelta():
        raise InvalidValueError("delay: a snooze must be longer than 0 seconds")
    return wait


def _held(job: Job | None, action: str) -> Job:
    if job is None:
        raise LeaseLostError(action)
    return job


def duration(delay: timedelta | float | None) -> timedelta:
    """Convert *delay*, a timedelta or seconds; None means no delay.

    Raises:
        InvalidValueError: It is not a finite number, or more than a thousand years.
    """
    if delay is None:
        return timedelta()
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else check_number(delay, "delay")
    if abs(seconds) > _longest_delay.total_seconds():
        raise InvalidValueError("delay: must be at most a thousand years")
    return delay if isinstance(delay, timedelta) else timedelta(seconds=seconds)


def _lease(seconds: float) -> timedelta:
    if not 0 < check_number(seconds, "lease_seconds") <= YEAR:
        raise InvalidValueError("lease_seconds: must be more than 0 and at most a year")
    return timedelta(seconds=seconds)
