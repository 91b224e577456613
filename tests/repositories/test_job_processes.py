"""The job queue between processes: each job exactly once, whoever dies and wherever; nobody in another's way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from datastore import Datastore, NewJob
from datastore.errors import LeaseLostError
from tests.acid.invariants import COUNTS, KEPT
from tests.conftest import until

Start = Callable[..., "subprocess.Popen[str]"]

#: How every script below begins: open, say so, wait for the word.
HEAD = """
import os, signal, sys, time
from datastore import Datastore
from datastore.errors import LeaseLostError
store = Datastore.open(sys.argv[1], durability="relaxed")
me, batch = sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
"""

#: Works until nothing is due, and says which jobs it did, in its order.
DRAIN = """
from datetime import datetime
types = [["a"], ["b", "c"], None][int(me) % 3] if sys.argv[4] == "types" else None
while jobs := store.jobs.claim_many(types, worker=me, max_rows=batch):
    assert jobs == sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))
    for job in jobs:
        assert job.payload == {"n": job.priority}
        print(job.id, flush=False)
    if batch == 1 and jobs[0].id % 2:
        store.jobs.succeed(jobs[0], me)
    else:
        assert store.jobs.succeed_many(jobs, [me] * len(jobs)) == []
sys.stdout.flush()
"""

#: Enqueues and works at the same time.
CYCLE = """
for n in range(batch):
    store.jobs.enqueue("t", n, priority=n % 10)
    while (job := store.jobs.claim(worker=me)) is None:
        time.sleep(0.001)
    store.jobs.succeed(job)
    print(job.id)
"""

#: Everybody enqueues the same keys.
RACE = """
for n in range(batch):
    print(store.jobs.enqueue("t", me, dedupe_key=f"key {n}").id)
"""

#: Dies at the place that is named.
DIE = """
def die():
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[4]
if place == "in the claim's transaction":
    with store.transaction():
        store.jobs.claim_many(worker=me, lease_seconds=0.5, max_rows=batch)
        die()
if place == "holding the gate":
    store.engine.gate.acquire(30)
    die()
jobs = store.jobs.claim_many(worker=me, lease_seconds=0.5, max_rows=batch)
if place == "mid-job":
    for job in jobs:
        store.jobs.heartbeat(job, lease_seconds=0.5, progress="half")
if place == "before the ack":
    with store.transaction():
        store.jobs.succeed_many(jobs, ["never stored"] * len(jobs))
        die()
die()
"""


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a script on the database; it waits for a line of input."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object, head: str = HEAD) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", head + script, str(path), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def run_together(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Waits until all are ready, lets them go at once, and gives the lines that each said."""
    for process in processes:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=300) for process in processes]
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, said, strict=True)] == [
        (0, "") for _ in processes
    ]
    return [lines.split() for lines, _ in said]


def check_sound(path: Path) -> None:
    """What holds of every queue: the file is sound, the counts are the rows', every ended job has its history."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert sorted(connection.execute(COUNTS)) == sorted(connection.execute(KEPT))
        open_ended = connection.execute(
            "SELECT count(*) FROM job_history WHERE (outcome IS NULL)"
            " <> (job_id IN (SELECT id FROM job_queue WHERE status = 'running')"
            " AND lease_token = (SELECT lease_token FROM job_queue WHERE id = job_id))"
        ).fetchall()
        assert open_ended == [(0,)]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    ("workers", "jobs"), [(3, 150), pytest.param(8, 2000, marks=pytest.mark.long)], ids=["small", "large"]
)
def test_each_job_is_done_exactly_once(path: Path, start: Start, workers: int, jobs: int, batch: int) -> None:
    """Mixed types and priorities, workers for some types and for all."""
    with Datastore.open(path) as store:
        many = store.jobs.enqueue_many(
            NewJob(type="abc"[n % 3], priority=n * 7 % 10, payload={"n": n * 7 % 10}) for n in range(jobs)
        )
        said = run_together([start(DRAIN, n, batch, "types") for n in range(workers)])
        done = Counter(int(id) for lines in said for id in lines)
        assert done == Counter(job.id for job in many)
        for worker, lines in enumerate(said):
            for id in map(int, lines[:50]):
                job = store.jobs.get(id)
                assert (job.status, job.result, job.worker, job.attempts) == (
                    "succeeded", str(worker), str(worker), 1,
                )  # fmt: skip
                assert [(a.attempt, a.worker, a.outcome) for a in store.jobs.attempts(id)] == [
                    (1, str(worker), "succeeded")
                ]
    check_sound(path)


@pytest.mark.parametrize(
    ("workers", "cycles"), [(3, 40), pytest.param(4, 1000, marks=pytest.mark.long)], ids=["small", "large"]
)
def test_enqueueing_and_working_at_once_beside_a_long_reader(
    path: Path, start: Start, workers: int, cycles: int
) -> None:
    with Datastore.open(path) as store:
        store.jobs.enqueue("seen before", delay=3600)
        with store.snapshot():
            before = store.jobs.counts()
            said = run_together([start(CYCLE, n, cycles) for n in range(workers)])
            assert store.jobs.counts() == before  # the reader still sees what it saw
        done = [int(id) for lines in said for id in lines]
        assert [len(lines) for lines in said] == [cycles] * workers
        assert len(set(done)) == len(done) == workers * cycles
        counts = {(count.type, count.status): count.count for count in store.jobs.counts()}
        assert counts == {("seen before", "queued"): 1, ("t", "succeeded"): workers * cycles}
    check_sound(path)


@pytest.mark.parametrize("keys", [40, pytest.param(800, marks=pytest.mark.long)])
def test_of_a_race_for_a_key_one_job_comes_back_to_all(path: Path, start: Start, keys: int) -> None:
    said = run_together([start(RACE, n, keys) for n in range(3)])
    assert said[0] == said[1] == said[2]
    assert len(set(said[0])) == keys
    with Datastore.open(path) as store:
        assert [count.count for count in store.jobs.counts()] == [keys]
    check_sound(path)


PLACES = ["after the claim", "mid-job", "before the ack", "in the claim's transaction", "holding the gate"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.long)])
def test_whoever_is_killed_loses_nothing_and_leaves_nobody_stuck(
    path: Path, start: Start, place: str, rounds: int
) -> None:
    with Datastore.open(path, timeout=20) as store:
        jobs = store.jobs.enqueue_many(NewJob(type="t", backoff_seconds=0.0, max_attempts=rounds + 1) for _ in range(5))
        for _ in range(rounds):
            process = start(DIE, "dead", 3, place)
            process.communicate("go\n", timeout=60)
            assert process.returncode == -signal.SIGKILL
            store.jobs.recover_expired()  # works at once, whatever the dead one held
            committed = place not in ("in the claim's transaction", "holding the gate")
            if committed:
                held = [job for job in map(store.jobs.get, (job.id for job in jobs)) if job.status == "running"]
                until_recovered(store, [job.id for job in jobs])
                for job in held:
                    with pytest.raises(LeaseLostError):
                        store.jobs.succeed(job)  # what the dead one might still say
        spent = rounds if committed else 0
        run_together([start(DRAIN.replace('job.payload == {"n": job.priority}', "True"), 2, 2, "all")])
        for n, job in enumerate(map(store.jobs.get, (job.id for job in jobs))):
            assert (job.status, job.result) == ("succeeded", "2")
            history = [(a.worker, a.outcome) for a in store.jobs.attempts(job.id)]
            deaths = history.count(("dead", "expired"))
            assert history == [("dead", "expired")] * deaths + [("2", "succeeded")]
            assert job.attempts == deaths + 1
            if rounds == 1:
                assert deaths == (spent if n < 3 else 0)
            assert job.progress == ("half" if place == "mid-job" and deaths else None)
    check_sound(path)


def until_recovered(store: Datastore, ids: list[int]) -> None:
    """The leases of the dead end after half a second; what comes back has spent an attempt."""

    def recovered() -> bool:
        store.jobs.recover_expired()
        return all(store.jobs.get(id).status != "running" for id in ids)

    until(recovered)


OPEN = """
import sys
print("ready", flush=True)
sys.stdin.readline()
from datastore import Datastore
with Datastore.open(sys.argv[1], migrate=True) as store:
    store.jobs.enqueue("t", sys.argv[2])
    job = store.jobs.claim(worker=sys.argv[2])
    store.jobs.succeed(job)
    print(job.id)
"""


@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.long)])
def test_eight_processes_open_a_new_file_at_once(path: Path, start: Start, rounds: int) -> None:
    for _ in range(rounds):
        for file in path.parent.glob("app.db*"):
            file.unlink()
        said = run_together([start(OPEN, n, head="") for n in range(8)])
        assert sorted(int(id) for lines in said for id in lines) == list(range(1, 9))
        check_sound(path)


def test_a_stopped_process_keeps_the_others_out_only_while_it_is_inside(path: Path, start: Start) -> None:
    """SIGSTOP between two transactions: the lease runs out, the others go on, and what it says later is refused."""
    script = """
job = store.jobs.claim(worker=me, lease_seconds=0.5)
print("claimed", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
try:
    store.jobs.succeed(job)
except LeaseLostError:
    print("lost")
"""
    with Datastore.open(path, timeout=20) as store:
        id = store.jobs.enqueue("t", backoff_seconds=0.0).id
        process = start(script, "stopped", 1)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "claimed\n"]
        until_recovered(store, [id])
        job = store.jobs.claim(worker="other")
        assert job is not None
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "lost\n"
        store.jobs.succeed(job)
        assert [a.outcome for a in store.jobs.attempts(id)] == ["expired", "succeeded"]
