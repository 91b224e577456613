"""The jobs, the limits and the workers of test_flow.py: ``python -m tests.acid.flow DATABASE SEED`` is a worker."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from datastore import AsyncTask, Datastore, NewJob, Task, Worker

#: At most so many jobs of these types run at once, in all and per key.
RUNNING, PER_KEY = 4, 1

#: At most so many jobs start in any interval of this many seconds.
STARTS, SECONDS = 30, 1.0


def limit(store: Datastore) -> None:
    """Set the limits."""
    for type in ("keyed", "keyed_async"):
        store.jobs.limit(type, running=RUNNING, running_per_key=PER_KEY)
    store.jobs.limit("rated", starts=STARTS, seconds=SECONDS, burst=5)


def new_jobs(rng: random.Random, count: int) -> Iterator[NewJob]:
    """*count* jobs of each kind, mixed; the last ones start after a batch."""
    options: dict[str, Any] = {"max_attempts": 1000, "backoff_seconds": 0.0}
    wave = rng.getrandbits(32)  # a batch that has ended and begins again is another one
    jobs = []
    for n in range(count):
        key = f"key {n % 6}"
        jobs.append(NewJob(type="keyed", limit_key=key, **options))
        jobs.append(NewJob(type="keyed_async", limit_key=key, **options))
        jobs.append(NewJob(type="rated", **options))
        jobs.append(NewJob(type="ordered", sequence_key=key, priority=n % 10, **options))
        jobs.append(NewJob(type="part", batch_id=f"batch {wave} {n % 3}", **options))
    rng.shuffle(jobs)
    yield from jobs
    for n in range(min(3, count)):
        yield NewJob(type="after", after_batch=f"batch {wave} {n}", **options)


def exceeded(store: Datastore) -> Iterator[str]:
    """What more runs at this instant than the limits allow."""
    types, keys, ordered = defaultdict(int), defaultdict(int), defaultdict(int)
    for job in store.jobs.list(status="running", max_rows=1000):
        types[job.type] += 1
        keys[job.type, job.limit_key] += 1
        ordered[job.sequence_key] += 1
    for type in ("keyed", "keyed_async"):
        if types[type] > RUNNING:
            yield f"{types[type]} {type} run"
        for key in {key for of, key in keys if of == type}:
            if keys[type, key] > PER_KEY:
                yield f"{keys[type, key]} {type} of one key run"
    if any(count > 1 for key, count in ordered.items() if key is not None):
        yield "two jobs of a sequence run"


def out_of_turn(store: Datastore, slack: float) -> Iterator[str]:
    """What started more than *slack* seconds before its turn, according to the history.

    On a server each process knows the server's clock only as well as it could measure it.
    """
    early = timedelta(seconds=slack)
    jobs = sorted(store.jobs.iterate(), key=lambda job: job.id)
    starts = {job.id: sorted(attempt.started_at for attempt in store.jobs.attempts(job.id)) for job in jobs}
    sequences, batches = defaultdict(list), defaultdict(list)
    for job in jobs:
        sequences[job.sequence_key].append(job)
        batches[job.batch_id].append(job)
    for key, members in sequences.items():
        for first, second in pairwise(members if key is not None else []):
            if first.finished_at is None or starts[second.id][0] < first.finished_at - early:
                yield "a job of a sequence started before its predecessor had ended"
    for job in jobs:
        ends = [one.finished_at for one in batches[job.after_batch]] if job.after_batch is not None else []
        if any(end is None or starts[job.id][0] < end - early for end in ends):
            yield "a job started before its batch had ended"
    rated = sorted(start for job in jobs if job.type == "rated" for start in starts[job.id])
    for first, later in zip(rated, rated[STARTS:], strict=False):
        if (later - first).total_seconds() < SECONDS - slack:
            yield f"more than {STARTS} starts within {(later - first).total_seconds():.3f} s"


def work(database: str, seed: int) -> None:
    """A worker, until it is killed."""
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)

    def plain(task: Task) -> None:
        time.sleep(rng.uniform(0.001, 0.03))
        if rng.random() < 0.1:
            raise ValueError

    async def asynchronous(task: AsyncTask) -> None:
        await asyncio.sleep(rng.uniform(0.001, 0.03))
        if rng.random() < 0.2:
            async with task.store.transaction():
                await task.succeed()

    handlers = dict.fromkeys(("keyed", "ordered", "part", "after"), plain)
    with Datastore.open(database, durability="relaxed", pool_size=4) as store:
        print("ready", flush=True)
        every: dict[str, Any] = {**handlers, "keyed_async": asynchronous, "rated": asynchronous}
        Worker(store, every, concurrency=4, lease_seconds=1.0).run()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
