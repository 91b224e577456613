"""The records of *job_queue*, *job_history*, *job_pauses* and *job_limits*, and new jobs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import attrs

JobStatus = Literal["queued", "running", "succeeded", "failed", "quarantined", "cancelled"]
WaitsFor = Literal["sequence", "batch", "limit"]
Outcome = Literal["succeeded", "failed", "expired", "released", "snoozed", "cancelled"]


@attrs.frozen(kw_only=True)
class Job:
    """One row of *job_queue*. A claimed job includes its lease: *lease_token*, *lease_expires_at*."""

    #: Ascending, never reused.
    id: int
    type: str
    status: JobStatus
    #: 0 to 9; 9 is claimed first.
    priority: int
    #: Not claimed before this time. Aware, UTC, like all times.
    run_at: datetime
    #: Any JSON value, at most 1 MiB.
    payload: Any
    #: At most one live (queued or running) job has a given key.
    dedupe_key: str | None
    #: Jobs of a type with the same key share the places that `JobQueueRepository.limit` gives to a key; 1 to 200 characters.
    limit_key: str | None
    #: Jobs with the same key run one at a time, in the order in which they were stored; 1 to 200 characters.
    sequence_key: str | None
    #: The batch that the job belongs to; 1 to 200 characters.
    batch_id: str | None
    #: The job starts when no job of this batch is queued or running.
    after_batch: str | None
    #: Why a queued job is not claimed yet: its predecessor or its batch has not ended, or its key has no free place.
    waits_for: WaitsFor | None
    #: Number of claims that counted as attempts.
    attempts: int
    #: 1 to 1000; after this many failures the job is quarantined.
    max_attempts: int
    #: The wait after attempt n is backoff_seconds * 2^(n-1), at most backoff_cap_seconds, with jitter.
    backoff_seconds: float
    backoff_cap_seconds: float
    #: Incremented by every claim; a worker with an older token has lost the job.
    lease_token: int
    lease_expires_at: datetime | None
    worker: str | None
    #: Any JSON value: the progress that the worker last stored.
    progress: Any
    #: Whether the worker has been asked to stop.
    cancel_requested: bool
    #: Any JSON value: the result of a job that succeeded.
    result: Any
    #: How the last attempt ended, and why.
    last_outcome: Outcome | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@attrs.frozen(kw_only=True)
class NewJob:
    """A job to store, for `JobQueueRepository.enqueue_many`."""

    #: Selects the handler; 1 to 200 characters.
    type: str
    #: Any JSON value, at most 1 MiB; None becomes ``{}``.
    payload: Any = None
    #: Not claimed before this time; aware; None: the time of the transaction.
    run_at: datetime | None = None
    #: An alternative to *run_at*: the delay from now, a timedelta or seconds.
    delay: timedelta | float | None = None
    #: 0 to 9; 9 is claimed first.
    priority: int = 0
    #: 1 to 1000; after this many failures the job is quarantined.
    max_attempts: int = 5
    #: At most one live (queued or running) job has a given key; 1 to 200 characters.
    dedupe_key: str | None = None
    #: Jobs of a type with the same key share the places that `JobQueueRepository.limit` gives to a key; 1 to 200 characters.
    limit_key: str | None = None
    #: Jobs with the same key run one at a time, in the order in which they were stored; 1 to 200 characters.
    sequence_key: str | None = None
    #: The batch that the job belongs to; 1 to 200 characters.
    batch_id: str | None = None
    #: The job starts when no job of this batch is queued or running; not with *sequence_key*.
    after_batch: str | None = None
    #: The wait after the first failure; it doubles with each further failure.
    backoff_seconds: float = 10.0
    #: The longest wait.
    backoff_cap_seconds: float = 3600.0


@attrs.frozen(kw_only=True)
class JobAttempt:
    """One row of *job_history*: one claim of a job."""

    job_id: int
    lease_token: int
    #: The number of the attempt.
    attempt: int
    worker: str | None
    started_at: datetime
    #: None while the attempt runs.
    finished_at: datetime | None
    outcome: Outcome | None
    error: str | None


@attrs.frozen(kw_only=True)
class JobCount:
    """The number of jobs of one type in one status."""

    type: str
    status: JobStatus
    count: int
    #: The earliest run_at among them; None for jobs that have ended.
    oldest_run_at: datetime | None


@attrs.frozen(kw_only=True)
class JobPause:
    """One row of *job_pauses*: a job type that is not claimed until it is resumed."""

    type: str
    #: At most 1000 characters.
    reason: str | None
    created_at: datetime


@attrs.frozen(kw_only=True)
class JobLimit:
    """One row of *job_limits*: how many jobs of a type run at once and start per interval."""

    type: str
    #: Running jobs of the type; None: not limited.
    max_running: int | None
    #: Running jobs of the type with the same *limit_key*; None: not limited.
    max_running_per_key: int | None
    #: Starts in any interval of this many seconds; None: not limited.
    max_starts: int | None
    interval_seconds: float | None
    #: Starts without a pause between them: the size of the token bucket.
    burst: int | None
    #: When the bucket is full again, and when it has a token again.
    bucket_full_at: datetime
    next_start_at: datetime
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class BatchCounts:
    """The number of stored jobs of a batch, per status."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    quarantined: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> bool:
        """Whether no job of the batch is queued or running."""
        return not self.queued and not self.running
