"""The jobs of a sample database, their attempts, limits, schedules and pauses.

A fifth of the jobs, in blocks of a hundred, are deliveries. Each block is a batch of its own, with one limit key of which
both places are taken, a sequence of four jobs, and a job that starts after the batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sample_values import Row, share, stamp, uid

JOB_TYPES = ("extract", "upload", "summarize", "purge", "export")
#: The type of the jobs in batches: at most two of them run at once per limit key.
DELIVERY = "deliver"
#: (status, share): a queue with its history.
JOBS = (("succeeded", 88), ("queued", 6), ("running", 2), ("failed", 2), ("quarantined", 1), ("cancelled", 1))
#: Every so many hundreds of jobs, one hundred is a batch.
BLOCKS = 5
#: The queued jobs of a block, by their place in it (JOBS decides): the four of its sequence, the one that waits for a place,
#: and the one that waits for the end of the batch.
SEQUENCE, LIMITED, LAST = (16, 43, 70, 97), 24, 89
#: Rows of the small tables.
FEW = 20
#: A schedule is not due while a measurement runs: its next slot is years after the first instant.
NEXT_SLOT = 900 * 86_400

_OUTCOMES = {"succeeded": "succeeded", "failed": "failed", "quarantined": "failed", "cancelled": "cancelled"}


def job_rows(count: int) -> Iterator[Row]:
    for number in range(count):
        status = share(JOBS, number)
        live, ran = status in ("queued", "running"), status not in ("queued", "cancelled")
        again = ran and number % 10 == 0
        at = number * 30
        yield {
            "type": JOB_TYPES[number % 5],
            "status": status,
            "priority": number % 10,
            "run_at": stamp(at),
            "payload": json.dumps({"learning": uid(3, number)}),
            "dedupe_key": f"job-{number}" if number % 4 == 0 else None,
            "attempts": ran + again,
            "max_attempts": 5,
            "backoff_seconds": 10.0,
            "backoff_cap_seconds": 3600.0,
            "lease_token": ran + again,
            "lease_expires_at": stamp(at + 60) if status == "running" else None,
            "worker": "worker-1" if ran else None,
            "last_outcome": _OUTCOMES.get(status),
            "created_at": stamp(at),
            "updated_at": stamp(at + 5),
            "started_at": stamp(at + 1) if ran else None,
            "finished_at": None if live else stamp(at + 5),
            "limit_key": None,
            "sequence_key": None,
            "batch_id": None,
            "after_batch": None,
            "waits_for": None,
            **_delivery(number),
        }


def _delivery(number: int) -> Row:
    """What a job of a batch has of its own; nothing for the others."""
    block, place = divmod(number, 100)
    if block % BLOCKS:
        return {}
    own = {"type": DELIVERY, "limit_key": f"tenant-{block}", "batch_id": f"batch-{block}"}
    if place in SEQUENCE:
        waits_for = None if place == SEQUENCE[0] else "sequence"
        return {**own, "sequence_key": f"order-{block}", "waits_for": waits_for}
    if place == LIMITED:
        return {**own, "waits_for": "limit"}
    if place == LAST:
        return {**own, "batch_id": None, "after_batch": f"batch-{block}", "waits_for": "batch"}
    return own


def attempt_rows(jobs: Sequence[Row]) -> Iterator[Row]:
    """Of those that ran twice the first: the last stands on the job."""
    for number, job in enumerate(jobs):
        if job["attempts"] > 1:
            yield {
                "job_id": number + 1,
                "lease_token": 1,
                "attempt": 1,
                "worker": job["worker"],
                "started_at": job["started_at"],
                "finished_at": job["started_at"],
                "outcome": "failed",
                "error": "TimeoutError: no answer",
            }


def limit_rows() -> Iterator[Row]:
    """The places of deliveries, and the starts of types that have no jobs."""
    for number in range(FEW):
        starts = number > 0
        yield {
            "type": f"limited-{number}" if starts else DELIVERY,
            "max_running_per_key": None if starts else 2,
            "max_starts": 100 if starts else None,
            "interval_seconds": 60.0 if starts else None,
            "burst": 10 if starts else None,
            "bucket_full_at": stamp(number),
            "next_start_at": stamp(number),
            "created_at": stamp(0),
            "updated_at": stamp(0),
        }


def schedule_rows() -> Iterator[Row]:
    for number in range(FEW):
        yield {
            "name": f"schedule-{number}",
            "cron": f"{number} 9 * * *",
            "timezone": "Etc/UTC",
            "type": f"scheduled-{number}",
            "next_at": stamp(NEXT_SLOT + 9 * 3600 + number * 60),
            "created_at": stamp(0),
            "updated_at": stamp(0),
        }


def pause_rows() -> Iterator[Row]:
    for number in range(FEW):
        yield {"type": f"paused-{number}", "created_at": stamp(number)}
