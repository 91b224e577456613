"""The limits of job types: which of the jobs that are due may start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from datastore.records.job_queue import JobLimit

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.job_queue import JobQueueStatements

    class Candidate(Protocol):
        """A job that is due."""

        @property
        def id(self) -> int: ...
        @property
        def type(self) -> str: ...
        @property
        def limit_key(self) -> str | None: ...
        @property
        def priority(self) -> int: ...
        @property
        def run_at(self) -> datetime: ...


#: Number of jobs that are read in addition to the free places: at first, and at most. It grows while they have no free place.
_WINDOWS = (4, 100, 1000, 1000, 1000)


def choose(
    statements: JobQueueStatements, limits: Sequence[JobLimit], types: Sequence[str], now: datetime, max_rows: int
) -> list[Candidate]:
    """The first *max_rows* jobs that are due and have a free place, in the order of a claim.

    Jobs that are due but whose key is full are marked, so that no later claim reads them before their key has a free place.

    Args:
        statements: The statements.
        limits: The limits of those of *types* that have one, locked by this transaction.
        types: The wanted types.
        now: The instant of the transaction.
        max_rows: 1 to 1000.
    """
    free = [type for type in types if type not in {limit.type for limit in limits}]
    chosen: list[Candidate] = []
    if free:
        chosen += statements.list_claimable_jobs(types=free, now=now, max_rows=max_rows)
    running: dict[str, Counter[str | None]] = {limit.type: Counter() for limit in limits}
    for row in statements.count_running_jobs(types=list(running)):
        running[row.type][row.limit_key] = row.job_count
    for limit in limits:
        places = min(max_rows, free_places(limit, running[limit.type].total(), now))
        if places > 0:
            chosen += _of_type(statements, limit, running[limit.type], now, places)
    return sorted(chosen, key=_order)[:max_rows]


def free_places(limit: JobLimit, running: int, now: datetime) -> int:
    """The number of jobs of the type that may start now, regardless of keys."""
    places = [10**9 if limit.max_running is None else limit.max_running - running]
    if limit.burst is not None:
        places.append(limit.burst + (now - max(limit.bucket_full_at, now)) // _token(limit))
    return min(places)


def spend(statements: JobQueueStatements, limit: JobLimit, starts: int, now: datetime) -> None:
    """Take *starts* tokens from the bucket of a limit that counts starts."""
    if limit.burst is None or not starts:
        return
    token = _token(limit)
    full_at = max(limit.bucket_full_at, now) + starts * token
    next_at = full_at - (limit.burst - 1) * token
    statements.update_job_limit_bucket(type=limit.type, bucket_full_at=full_at, next_start_at=max(next_at, now))


def _token(limit: JobLimit) -> timedelta:
    """The time in which the bucket gets one token.

    A full bucket and the tokens of one interval are *max_starts* together. Rounded up, so that they are never more.
    """
    assert limit.burst is not None
    assert limit.max_starts is not None
    assert limit.interval_seconds is not None
    microseconds = limit.interval_seconds * 1e6 / (limit.max_starts - limit.burst + 1)
    return timedelta(microseconds=int(microseconds) + 1)


def _of_type(
    statements: JobQueueStatements, limit: JobLimit, running: Counter[str | None], now: datetime, places: int
) -> Sequence[Candidate]:
    """The first jobs of a limited type that may start: at most *places*."""
    per_key = limit.max_running_per_key
    if per_key is None:
        return statements.list_claimable_jobs(types=[limit.type], now=now, max_rows=places)
    full = [key for key, count in running.items() if key is not None and count >= per_key]
    limited: Sequence[Candidate] = statements.list_limited_jobs(type=limit.type, full_keys=full, max_rows=places)
    for more in _WINDOWS:
        window = places + more
        due: Sequence[Candidate] = statements.list_claimable_jobs(types=[limit.type], now=now, max_rows=window)
        chosen, skipped = _with_place([*limited, *due], running, per_key, places)
        if skip := skipped.intersection(job.id for job in due):
            statements.limit_jobs(ids=sorted(skip))
        if len(chosen) == places or len(due) < window:
            break
    return chosen


def _with_place(
    jobs: Sequence[Candidate], running: Counter[str | None], per_key: int, places: int
) -> tuple[list[Candidate], set[int]]:
    """The first *places* of *jobs* whose keys have a free place, and the ids of those before them whose keys have none."""
    counts = running.copy()
    chosen: list[Candidate] = []
    skipped: set[int] = set()
    for job in sorted(jobs, key=_order):
        if len(chosen) == places:
            break
        if job.limit_key is not None and counts[job.limit_key] >= per_key:
            skipped.add(job.id)
        else:
            counts[job.limit_key] += 1
            chosen.append(job)
    return chosen, skipped


def _order(job: Candidate) -> tuple[int, datetime, int]:
    return -job.priority, job.run_at, job.id
