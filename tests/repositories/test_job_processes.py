"""Several processes on one queue: exactly-once claims, kill -9 at every moment, a reader beside, a new file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, Job
from datastore.errors import LeaseLostError

#: Claims in batches until a while after nothing is due, says what it got.
DRAIN = """
import json, sys
from datastore import Datastore
path, name, size, durability = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
got, order = [], []
with Datastore.open(path, durability=durability) as store:
    sys.stdin.readline()
    while True:
        jobs = store.jobs.claim_many(worker=name, max_rows=size)
        if not jobs:
            break
        order.append([[-job.priority, job.run_at.isoformat(), job.id] for job in jobs])
        got += [job.id for job in jobs]
        if size > 1:
            assert store.jobs.succeed_many(jobs, [name] * len(jobs)) == []
        else:
            store.jobs.succeed(jobs[0], name)
print(json.dumps({"got": got, "sorted": all(batch == sorted(batch) for batch in order)}))
"""

#: Comes to a moment of a job's life, says so, and stays there until it is killed.
STAY = """
import sys, time
from datastore import Datastore
moment = sys.argv[2]
def stay():
    print("there", flush=True)
    time.sleep(60)
store = Datastore.open(sys.argv[1])
jobs = store.jobs
if moment == "holding the gate":
    store.engine._gate.acquire(5)
    stay()
if moment == "inside the claim":
    with store.transaction():
        assert jobs.claim(worker="killed", lease_seconds=0.5)
        stay()
job = jobs.claim(worker="killed", lease_seconds=0.5)
assert job
if moment == "mid-job":
    jobs.heartbeat(job, lease_seconds=0.5, progress=50)
if moment == "before the ack":
    with store.transaction():
        jobs.succeed(job, "never seen")
        stay()
stay()
"""

#: Opens (and makes) a database, does one cycle.
OPEN = """
import sys
from datastore import Datastore
with Datastore.open(sys.argv[1], migrate=True) as store:
    store.jobs.enqueue("t", sys.argv[2])
    job = store.jobs.claim(worker=sys.argv[2])
    store.jobs.succeed(job)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def staying(path: Path, moment: str) -> Iterator[subprocess.Popen[str]]:
    process = start(STAY, path, moment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def drain(path: Path, processes: int, size: int) -> list[list[int]]:
    team = [start(DRAIN, path, f"w{number}", size, "relaxed") for number in range(processes)]
    for process in team:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=300) for process in team]
    assert [process.returncode for process in team] == [0] * processes, answers
    found = [json.loads(out) for out, _ in answers]
    assert all(one["sorted"] for one in found)
    return [one["got"] for one in found]


@pytest.mark.parametrize(
    ("processes", "jobs", "size"),
    [(3, 300, 1), (3, 600, 7), *(pytest.param(8, 8000, size, marks=pytest.mark.long) for size in (1, 50))],
)
def test_every_job_is_claimed_exactly_once(path: Path, processes: int, jobs: int, size: int) -> None:
    with Datastore.open(path, durability="relaxed") as store:
        ids = [j.id for j in store.jobs.enqueue_many({"type": f"t{n % 5}", "priority": n % 10} for n in range(jobs))]
        got = drain(path, processes, size)
        assert Counter(id for one in got for id in one) == Counter(ids)
        assert sum(count.count for count in store.jobs.counts() if count.status == "succeeded") == jobs
        for number, one in enumerate(got):
            for id in one[:20]:
                (attempt,) = store.jobs.attempts(id)
                assert (attempt.worker, attempt.outcome) == (f"w{number}", "succeeded")


@pytest.mark.parametrize(
    ("moment", "claimed"),
    [
        ("after the claim", True),
        ("mid-job", True),
        ("before the ack", True),
        ("inside the claim", False),
        ("holding the gate", False),
    ],
)
def test_killed_at_any_moment_nothing_is_lost_or_stuck(path: Path, moment: str, claimed: bool) -> None:
    with Datastore.open(path) as store:
        id = store.jobs.enqueue("t", backoff_seconds=0.0).id
        with staying(path, moment) as process:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        while (job := store.jobs.claim(worker="next")) is None:
            assert store.jobs.wait(timeout=10)
        assert (job.id, job.attempts, job.lease_token) == (id, 1 + claimed, 1 + claimed)
        assert job.progress == (50 if moment == "mid-job" else None)
        store.jobs.succeed(job)
        killed = [(1, "killed", "expired", "lease expired")] if claimed else []
        assert [(a.attempt, a.worker, a.outcome, a.error) for a in store.jobs.attempts(id)] == [
            *killed,
            (1 + claimed, "next", "succeeded", None),
        ]


def test_a_long_reader_beside_keeps_nobody_from_working(path: Path) -> None:
    with Datastore.open(path, durability="relaxed") as store:
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)
        for number in range(600):  # several checkpoints
            store.jobs.enqueue("t", number)
            store.jobs.succeed(_claim(store))
        assert reader.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)
        reader.close()
        assert store.engine.checkpoint()
        assert {count.status: count.count for count in store.jobs.counts()} == {"succeeded": 600}


def test_eight_fresh_processes_open_one_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    team = [start(OPEN, path, number) for number in range(8)]
    answers = [process.communicate(timeout=120) for process in team]
    assert [process.returncode for process in team] == [0] * 8, answers
    with Datastore.open(path) as store:
        assert {(c.status, c.count) for c in store.jobs.counts()} == {("succeeded", 8)}


def test_a_race_for_a_dedupe_key_has_one_winner(path: Path) -> None:
    program = (
        "import sys; from datastore import Datastore; store = Datastore.open(sys.argv[1], durability='relaxed');"
        " sys.stdin.readline(); print([store.jobs.enqueue('t', n, dedupe_key=f'k{n}').id for n in range(50)])"
    )
    team = [start(program, path) for _ in range(4)]
    outs = [process.communicate("\n", timeout=60)[0] for process in team]
    assert len(set(outs)) == 1, outs
    with Datastore.open(path) as store:
        assert sum(count.count for count in store.jobs.counts()) == 50


def _claim(store: Any) -> Job:
    job: Job | None = store.jobs.claim(worker="w")
    assert job is not None
    return job


class Skewed:
    """A worker's clock that goes wrong by some hours."""

    def __init__(self, hours: float) -> None:
        self.skew = timedelta(hours=hours)

    def __call__(self) -> datetime:
        return datetime.now(timezone.utc) + self.skew


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_may_run_a_job_again_but_never_ends_it_twice(path: Path, hours: float) -> None:
    with Datastore.open(path) as right, Datastore.open(path, clock=Skewed(hours)) as wrong:
        id = right.jobs.enqueue("t", backoff_seconds=0.0, run_at=datetime(2020, 1, 1, tzinfo=timezone.utc)).id
        held = right.jobs.claim(worker="right", lease_seconds=60)
        assert held is not None
        stolen = wrong.jobs.claim(worker="wrong", lease_seconds=60)
        assert (stolen is None) == (hours < 0)  # an hour ahead, every lease has expired
        if stolen is None:
            right.jobs.succeed(held, "right")
        else:
            with pytest.raises(LeaseLostError):
                right.jobs.succeed(held, "right")
            wrong.jobs.succeed(stolen, "wrong")
        job = right.jobs.get(id)
        assert (job.status, job.result) == ("succeeded", "right" if stolen is None else "wrong")
        assert (
            [a.outcome for a in right.jobs.attempts(id)] == ["succeeded"]
            if stolen is None
            else [
                "expired",
                "succeeded",
            ]
        )
