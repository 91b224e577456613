"""The job queue: enqueue in the caller's transaction, claim under a fenced lease, retry, quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from datastore.errors import InvalidValueError, TransitionError
from datastore.records.job_queue import Job, JobAttempt, JobCount, JobPause, JobStatus, NewJob
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, MAX_ROWS, Cursor, check_max_rows, found
from datastore.repositories.job_flow import JobFlow
from datastore.repositories.job_leases import duration
from datastore.values import check_integer, check_number, check_text, encode_json, encode_timestamp

Result = TypeVar("Result")

#: Number of jobs per statement, if none of them has a key.
_BATCH = 500


class JobQueueRepository(JobFlow):
    """The table *job_queue*; a worker's methods are in `JobLeases`, limits and batches in `JobFlow`."""

    def enqueue(
        self,
        type: str,
        payload: Any = None,
        *,
        run_at: datetime | None = None,
        delay: timedelta | float | None = None,
        priority: int = 0,
        max_attempts: int = 5,
        dedupe_key: str | None = None,
        limit_key: str | None = None,
        sequence_key: str | None = None,
        batch_id: str | None = None,
        after_batch: str | None = None,
        backoff_seconds: float = 10.0,
        backoff_cap_seconds: float = 3600.0,
    ) -> Job:
        """Store a job, in the caller's transaction if there is one.

        Args:
            type: Selects the handler; 1 to 200 characters.
            payload: Any JSON value, at most 1 MiB; None becomes ``{}``.
            run_at: Not claimed before this time; aware; None: now.
            delay: An alternative to *run_at*: the delay from now, a timedelta or seconds.
            priority: 0 to 9; 9 is claimed first.
            max_attempts: Number of failures after which the job is quarantined; 1 to 1000.
            dedupe_key: At most one live (queued or running) job has a given key; 1 to 200 characters.
            limit_key: Jobs of the type with the same key share the places that `limit` gives to a key.
            sequence_key: Jobs with the same key run one at a time, in the order in which they were stored. One that is
                retried or snoozed keeps its place; the next one starts when it has ended, well or badly.
            batch_id: The batch that the job belongs to; see `batch`.
            after_batch: The job starts when no job of this batch is queued or running; not with *sequence_key*. Enqueue the
                batch first, or in the same transaction: a batch without such jobs has ended.
            backoff_seconds: The wait after the first failure; it doubles with each further failure.
            backoff_cap_seconds: The longest wait.

        Returns:
            The stored job, or the live job that already has the key, unchanged.

        Raises:
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored, or both *run_at* and *delay* are given.
        """
        new = NewJob(
            type=type,
            payload=payload,
            run_at=run_at,
            delay=delay,
            priority=priority,
            max_attempts=max_attempts,
            dedupe_key=dedupe_key,
            limit_key=limit_key,
            sequence_key=sequence_key,
            batch_id=batch_id,
            after_batch=after_batch,
            backoff_seconds=backoff_seconds,
            backoff_cap_seconds=backoff_cap_seconds,
        )
        if sequence_key is None and after_batch is None:
            return self._statements.add_job(**_values(self._now(), new))
        with self._engine.transaction():
            return self._turn(self._statements.add_job(**_values(self._now(), new)))

    def enqueue_many(self, jobs: Iterable[NewJob]) -> Sequence[Job]:
        """Store several jobs in order, or none of them if one is refused; see `enqueue`.

        If two have the same key, the first one is stored. One statement stores 500 jobs, or all of them if any has a key.
        """
        stored: list[Job] = []
        keys: dict[str | None, list[Any]] = {}
        rows: list[list[Any]] = []
        order: list[str | None] = []
        with self._engine.transaction():
            now = self._now()
            for job in jobs:
                new = _values(now, job)
                key = new["dedupe_key"]
                order.append(key)
                if key is None or key not in keys:
                    rows.append(_row(new))
                    keys[key] = rows[-1]
            # One statement locks the keys in the same order for every caller; two statements would not.
            size = _BATCH if keys.keys() <= {None} else len(rows)
            for first in range(0, len(rows), size):
                stored += self._statements.add_jobs(rows=rows[first : first + size], now=now)
            stored = [self._turn(job) for job in stored]
        live = {job.dedupe_key: job for job in stored}
        others = iter(sorted((job for job in stored if job.dedupe_key is None), key=lambda job: job.id))
        return [next(others) if key is None else live[key] for key in order]

    def get(self, id: int) -> Job:
        """Return one job.

        Raises:
            NotFoundError: The job does not exist.
        """
        return found(self._statements.get_job(id=id), "job")

    def find(self, id: int | None = None, *, dedupe_key: str | None = None) -> Job | None:
        """Return the job with this id, or the live job with this key; None if there is none."""
        if id is not None:
            return self._statements.get_job(id=id)
        return None if dedupe_key is None else self._statements.find_live_job(dedupe_key=dedupe_key)

    def attempts(self, id: int) -> Sequence[JobAttempt]:
        """The claims of a job, oldest first (only the latest 1000).

        Raises:
            NotFoundError: The job does not exist.
        """
        rows = self._statements.list_job_attempts(job_id=id, max_rows=MAX_ROWS)
        if not rows:
            self.get(id)
        return rows[::-1]

    def counts(self) -> Sequence[JobCount]:
        """The number of jobs per type and status. Live jobs are counted by the call, ended jobs when they end."""
        return self._statements.count_jobs()

    def retry(self, id: int) -> Job:
        """Make a waiting job due now; `requeue` a job that ended without success.

        Raises:
            NotFoundError: The job does not exist.
            TransitionError: It is running, or it succeeded.
            UniqueError: It had ended, and another live job now has its key.
        """
        with self._engine.transaction():
            present, now = self._locked(id), self._now()
            if present.status == "queued":
                return _done(self._statements.update_job_run_at(id=id, run_at=now, now=now), present, "retried")
            return _done(self._statements.requeue_job(id=id, now=now), present, "retried")

    def requeue(self, id: int) -> Job:
        """Queue a quarantined, failed or cancelled job again with all its attempts restored; its history stays.

        Raises:
            NotFoundError: The job does not exist.
            TransitionError: It is queued or running, or it succeeded.
            UniqueError: Another live job now has its key.
        """
        with self._engine.transaction():
            present = self._locked(id)
            return _done(self._statements.requeue_job(id=id, now=self._now()), present, "requeued")

    def cancel(self, id: int) -> Job:
        """Cancel a queued job, or ask the worker of a running job to stop (see `heartbeat`).

        Raises:
            NotFoundError: The job does not exist.
            TransitionError: It has ended.
        """
        with self._engine.transaction():
            present = self._locked(id)
            return _done(self._statements.cancel_job(id=id, now=self._now()), present, "cancelled")

    def delete(self, id: int, *, reason: str | None = None) -> None:
        """Delete a job and its history.

        Raises:
            NotFoundError: The job does not exist.
            TransitionError: It is running; cancel it first.
        """
        with self._engine.transaction():
            present = self._locked(id)
            _done(self._statements.delete_job(id=id) or None, present, "deleted")
            self._audit("delete", "job", str(id), reason)

    def prune(self, *, finished_before: datetime, reason: str | None = None, max_rows: int = 100) -> int:
        """Delete jobs that ended before a time, oldest first, in one batch.

        Returns:
            The number of deleted jobs; call again while it equals *max_rows*.
        """
        check_max_rows(max_rows)
        with self._engine.transaction():
            rows = self._statements.prune_jobs(finished_before=finished_before, max_rows=max_rows)
            for row in sorted(rows):
                self._audit("prune", "job", str(row.id), reason)
            return len(rows)

    def pause(self, type: str, *, reason: str | None = None) -> bool:
        """Stop jobs of a type from being claimed until `resume`, even after a restart. Running jobs continue.

        Returns:
            False if it was already paused (its reason stays).

        Raises:
            CheckError: *type* does not have 1 to 200 characters, or *reason* has more than 1000.
        """
        if reason is not None:
            check_text(reason, "reason")
        return bool(self._statements.add_job_pause(type=check_text(type, "type"), reason=reason, now=self._now()))

    def resume(self, type: str) -> bool:
        """Allow jobs of a paused type to be claimed again.

        Returns:
            False if it was not paused.
        """
        return bool(self._statements.delete_job_pause(type=check_text(type, "type")))

    def pauses(self) -> Sequence[JobPause]:
        """The paused types, sorted (the first 1000)."""
        return self._statements.list_job_pauses(max_rows=MAX_ROWS)

    def list(
        self,
        *,
        status: JobStatus | None = None,
        type: str | None = None,
        after: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Job]:
        """One page, newest first (by id).

        Args:
            status: Only jobs with this status.
            type: Only jobs of this type.
            after: The *next* of the previous page.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or belongs to a list with other filters.
        """
        pager = Cursor("jobs", [status, type], (int,), after=after, max_rows=max_rows)
        page = {"before_id": 2**63 - 1 if pager.start is None else pager.start[0], "max_rows": pager.max_rows}
        if status == "running":
            rows = self._statements.list_running_jobs(**page, type=type)
        elif status in ("failed", "quarantined", "cancelled"):
            rows = self._statements.list_unsuccessful_jobs(**page, status=status, type=type)
        else:
            rows = self._statements.list_jobs(**page, status=status, type=type)
        return pager.page(rows, lambda job: (job.id,))

    def iterate(self, *, status: JobStatus | None = None, type: str | None = None) -> Iterator[Job]:
        """Iterate over all of them, newest first, page by page; takes the filters of `list`."""
        return every(self.list, status=status, type=type)

    def _turn(self, job: Job) -> Job:
        # A trigger decides whether the job waits, after the statement that stored it has returned its row.
        if job.sequence_key is None and job.after_batch is None:
            return job
        return found(self._statements.get_job(id=job.id), "job")

    def _locked(self, id: int) -> Job:
        # Lock the row so that a refusal names the current status, not an earlier one.
        return found(self._statements.lock_job(id=id), "job")


def _done(result: Result | None, present: Job, action: str) -> Result:
    if result is None:
        raise TransitionError(f"a {present.status} job cannot be {action}", "job_queue_status")
    return result


def _values(now: datetime, job: NewJob) -> dict[str, Any]:
    """The arguments of `add_job`."""
    if job.run_at is not None and job.delay is not None:
        raise InvalidValueError("give run_at or delay, not both")
    for name in ("dedupe_key", "limit_key", "sequence_key", "batch_id", "after_batch"):
        if (value := getattr(job, name)) is not None:
            check_text(value, name)
    if job.after_batch is not None and job.after_batch == job.batch_id:
        raise InvalidValueError("after_batch: a job cannot wait for its own batch")
    if job.after_batch is not None and job.sequence_key is not None:
        raise InvalidValueError("give sequence_key or after_batch, not both: a job waits for one thing at a time")
    return {
        "type": check_text(job.type, "type"),
        "priority": check_integer(job.priority, "priority"),
        "run_at": job.run_at if job.run_at is not None else now + duration(job.delay),
        "payload": {} if job.payload is None else job.payload,
        "dedupe_key": job.dedupe_key,
        "limit_key": job.limit_key,
        "sequence_key": job.sequence_key,
        "batch_id": job.batch_id,
        "after_batch": job.after_batch,
        "max_attempts": check_integer(job.max_attempts, "max_attempts"),
        "backoff_seconds": check_number(job.backoff_seconds, "backoff_seconds"),
        "backoff_cap_seconds": check_number(job.backoff_cap_seconds, "backoff_cap_seconds"),
        "now": now,
    }


def _row(new: dict[str, Any]) -> list[Any]:
    """The same values as a row of `add_jobs`."""
    return [
        new["type"],
        new["priority"],
        encode_timestamp(new["run_at"]),
        encode_json(new["payload"]),
        new["max_attempts"],
        new["backoff_seconds"],
        new["backoff_cap_seconds"],
        new["dedupe_key"],
        new["limit_key"],
        new["sequence_key"],
        new["batch_id"],
        new["after_batch"],
    ]
