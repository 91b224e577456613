"""The worker: what it stores however a handler ends, its heartbeats, and how it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, NewJob
from datastore.errors import InvalidValueError, LeaseLostError
from datastore.worker import PermanentError, Snooze, Task, Worker
from tests.conftest import until

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def store(path: Path) -> Iterator[Datastore]:
    """With the real clock: a worker's heartbeats go by it."""
    with Datastore.open(path, durability="relaxed") as store:
        yield store


def outcomes(store: Datastore, id: int) -> list[Any]:
    return [(a.attempt, a.outcome) for a in store.jobs.attempts(id)]


def test_what_a_handler_returns_is_the_result(store: Datastore) -> None:
    jobs = [*store.jobs.enqueue_many(NewJob(type="double", payload=n) for n in range(7)), store.jobs.enqueue("none")]
    other = store.jobs.enqueue("of nobody")
    handlers = {"double": lambda task: {"is": task.payload * 2}, "none": lambda task: None}
    worker = Worker(store, handlers, worker="me", batch=3)
    assert worker.run(until_idle=True) == 8
    assert [store.jobs.get(job.id).result for job in jobs] == [{"is": n * 2} for n in range(7)] + [None]
    assert {store.jobs.get(job.id).worker for job in jobs} == {"me"}
    assert store.jobs.get(other.id).status == "queued"
    assert worker.run(until_idle=True) == 0
    with pytest.raises(InvalidValueError):
        Worker(store, {})


def test_an_exception_is_a_failed_attempt_with_its_traceback(store: Datastore) -> None:
    def broken(task: Task) -> None:
        raise ValueError("no such é \ud800 \x00")

    id = store.jobs.enqueue("t", max_attempts=2, backoff_seconds=0.0).id
    assert Worker(store, {"t": broken}).run(until_idle=True) == 2
    job = store.jobs.get(id)
    assert job.status == "quarantined"
    assert outcomes(store, id) == [(1, "failed"), (2, "failed")]
    assert job.last_error is not None
    assert job.last_error.startswith("Traceback (most recent call last):")
    assert "in broken" in job.last_error
    assert "ValueError: no such é \ufffd \ufffd" in job.last_error


def test_of_a_long_traceback_the_end_is_kept(store: Datastore) -> None:
    def broken(task: Task) -> None:
        raise ValueError("x" * 20_000 + " the end")

    id = store.jobs.enqueue("t", max_attempts=1).id
    Worker(store, {"t": broken}).run(until_idle=True)
    error = store.jobs.get(id).last_error
    assert error is not None
    assert error.rstrip().endswith("the end")
    assert len(error) == 10_000


def test_a_permanent_error_quarantines_at_once(store: Datastore) -> None:
    def broken(task: Task) -> None:
        raise PermanentError("the payload names nothing")

    id = store.jobs.enqueue("t", max_attempts=9).id
    Worker(store, {"t": broken}).run(until_idle=True)
    job = store.jobs.get(id)
    assert (job.status, job.attempts) == ("quarantined", 1)
    assert "PermanentError: the payload names nothing" in str(job.last_error)


def test_a_snooze_spends_no_attempt(store: Datastore) -> None:
    def early(task: Task) -> None:
        raise Snooze(3600)

    id = store.jobs.enqueue("t", max_attempts=1).id
    assert Worker(store, {"t": early}).run(until_idle=True) == 1
    job = store.jobs.get(id)
    assert (job.status, job.attempts, job.last_outcome) == ("queued", 0, "snoozed")
    assert 3500 < (job.run_at - job.updated_at).total_seconds() <= 3600


@pytest.mark.parametrize("bad", [object(), {1, 2}, float("nan"), "\ud800", "x" * (1 << 21)])
def test_a_result_that_cannot_be_stored_is_a_failed_attempt(store: Datastore, bad: Any) -> None:
    first = store.jobs.enqueue("t", "bad", priority=9, max_attempts=1).id
    second = store.jobs.enqueue("t", "good").id
    worker = Worker(store, {"t": lambda task: bad if task.payload == "bad" else 1}, batch=2)
    assert worker.run(until_idle=True) == 2
    assert store.jobs.get(first).status == "quarantined"
    assert "Error" in str(store.jobs.get(first).last_error)
    assert store.jobs.get(second).status == "succeeded"


@pytest.mark.parametrize("delay", [float("inf"), 1e300, timedelta.max])
def test_a_snooze_without_end_is_a_failed_attempt(store: Datastore, delay: Any) -> None:
    def broken(task: Task) -> None:
        raise Snooze(delay)

    id = store.jobs.enqueue("t", max_attempts=1).id
    assert Worker(store, {"t": broken}).run(until_idle=True) == 1
    assert store.jobs.get(id).status == "quarantined"
    assert "InvalidValueError" in str(store.jobs.get(id).last_error)


def test_heartbeats_in_the_background_keep_the_whole_batch(store: Datastore, path: Path) -> None:
    jobs = store.jobs.enqueue_many(NewJob(type="t") for _ in range(2))
    with Datastore.open(path) as other:

        def slow(task: Task) -> str:
            claimed, first = task.job.lease_expires_at, other.jobs.get(jobs[0].id)
            assert claimed is not None
            # Each of the batch outlives its first lease, also the one whose turn has not come.
            until(lambda: all((j := other.jobs.get(job.id)).finished_at
                              or (j.lease_expires_at and j.lease_expires_at > claimed) for job in jobs))  # fmt: skip
            return str(first.worker)

        assert Worker(store, {"t": slow}, lease_seconds=6, batch=2).run(until_idle=True) == 2
    for job in jobs:
        assert outcomes(store, job.id) == [(1, "succeeded")]


def test_progress_is_stored_and_a_cancel_is_seen(store: Datastore, path: Path) -> None:
    id = store.jobs.enqueue("t").id
    with Datastore.open(path) as other:

        def stoppable(task: Task) -> None:
            task.report({"done": 3, "of": 10})
            assert other.jobs.get(id).progress == {"done": 3, "of": 10}
            assert not task.cancel_requested
            other.jobs.cancel(id)
            until(lambda: task.cancel_requested)
            raise RuntimeError("stopped as asked")

        Worker(store, {"t": stoppable}, lease_seconds=0.9).run(until_idle=True)
    job = store.jobs.get(id)
    assert (job.status, job.progress) == ("cancelled", {"done": 3, "of": 10})
    assert "stopped as asked" in str(job.last_error)


def test_a_lost_lease_is_seen_and_nothing_is_stored(store: Datastore, path: Path) -> None:
    id = store.jobs.enqueue("t", backoff_seconds=0.0).id
    seen: list[bool] = []
    with Datastore.open(path) as other:

        def robbed(task: Task) -> str:
            # Somebody gives the job back in this worker's name, and takes it: what a lease that ran out looks like.
            other.jobs.release(task.job)
            taken.append(other.jobs.claim(["t"], worker="other", lease_seconds=600))
            until(lambda: task.lost)
            with pytest.raises(LeaseLostError):
                task.report(1)
            seen.append(task.lost)
            return "too late"

        taken: list[Any] = []
        Worker(store, {"t": robbed}, lease_seconds=0.9).run(until_idle=True)
        assert seen == [True]
        assert store.jobs.get(id) == taken[0]
        other.jobs.succeed(taken[0], "in time")
    assert (store.jobs.get(id).result, outcomes(store, id)) == ("in time", [(1, "released"), (1, "succeeded")])


def test_of_a_batch_what_was_lost_meanwhile_is_not_run(store: Datastore, path: Path) -> None:
    first, second = (store.jobs.enqueue("t", n).id for n in (1, 2))
    ran: list[int] = []
    with Datastore.open(path) as other:

        def handle(task: Task) -> None:
            ran.append(task.job.id)
            if task.job.id == first:
                held = other.jobs.get(second)
                other.jobs.release(held)
                other.jobs.claim(["t"], worker="other", lease_seconds=600)
                until(lambda: worker._held[second].lost)

        worker = Worker(store, {"t": handle}, lease_seconds=0.9, batch=2)
        assert worker.run(until_idle=True) == 1
    assert ran == [first]
    assert store.jobs.get(second).worker == "other"


def test_a_handler_ends_its_job_beside_its_rows_or_not_at_all(store: Datastore) -> None:
    def handle(task: Task) -> None:
        with store.transaction():
            store.conversations.add(sanitization_version="1", session_id=task.payload, source="test")
            task.succeed("inside")
            if task.payload == "bad" and task.job.attempts == 1:
                raise RuntimeError("rolls both back")

    bad, good = (store.jobs.enqueue("t", payload, backoff_seconds=0.0).id for payload in ("bad", "good"))
    assert Worker(store, {"t": handle}).run(until_idle=True) == 3
    assert outcomes(store, bad) == [(1, "failed"), (2, "succeeded")]
    assert outcomes(store, good) == [(1, "succeeded")]
    assert (store.jobs.get(bad).result, store.jobs.get(good).result) == ("inside", "inside")


def test_a_worker_in_a_thread_wakes_and_is_stopped_from_another(store: Datastore) -> None:
    ran = threading.Event()
    counts: list[int] = []
    worker = Worker(store, {"t": lambda task: ran.set()})
    thread = threading.Thread(target=lambda: counts.append(worker.run()))
    thread.start()
    store.jobs.enqueue("t")
    assert ran.wait(30)
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert counts == [1]
    assert not [thread for thread in threading.enumerate() if thread.name == "datastore-heartbeat"]


WORK = """
import sys, time
from datastore import Datastore
from datastore.worker import Worker

def handle(task):
    if task.payload == "quick":
        return "done"
    print("at it", flush=True)
    time.sleep(60)

with Datastore.open(sys.argv[1]) as store:
    try:
        print("ran", Worker(store, {"t": handle}, batch=4, grace=0).run(), flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGTERM, "ran 1\n"), (signal.SIGINT, "interrupted\n")], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_signal_releases_what_is_unfinished(store: Datastore, path: Path, number: int, says: str) -> None:
    payloads = ["quick", "slow", "slow", "slow"]
    jobs = store.jobs.enqueue_many(NewJob(type="t", payload=payload) for payload in payloads)
    with subprocess.Popen([sys.executable, "-c", WORK, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at it\n"
        os.kill(process.pid, number)
        assert process.stdout.read() == says
        assert process.wait(30) == 0
    stored = [store.jobs.get(job.id) for job in jobs]
    assert [(job.status, job.attempts) for job in stored] == [("succeeded", 1)] + [("queued", 0)] * 3
    assert [job.last_outcome for job in stored] == ["succeeded"] + ["released"] * 3
    again = store.jobs.claim_many(["t"], worker="next", max_rows=9)
    assert [job.id for job in again] == [job.id for job in jobs[1:]]


def test_sigterm_ends_a_worker_that_waits(store: Datastore, path: Path) -> None:
    job = store.jobs.enqueue("t", "quick")
    with subprocess.Popen([sys.executable, "-c", WORK, str(path)], stdout=subprocess.PIPE, text=True) as process:
        until(lambda: store.jobs.get(job.id).status == "succeeded")
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.read() == "ran 1\n"
        assert process.wait(30) == 0


def test_the_example_of_the_page_runs(store: Datastore, tmp_path: Path) -> None:
    """docs/job-queue.md: the module and the command that it shows, as they stand."""
    page = (ROOT / "docs/job-queue.md").read_text(encoding="utf-8")
    module, *_ = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (command,) = re.findall(r"^datastore worker (.*)$", page, re.MULTILINE)
    (tmp_path / "tasks.py").write_text(module, encoding="utf-8")
    well, empty, later = (store.jobs.enqueue("summarize", {"messages": count}) for count in (7, 0, 200))
    subprocess.run(
        [sys.executable, "-c", "from datastore.cli import main; main()", "worker", *command.split(), "--until-idle"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        check=True,
        timeout=60,
    )
    assert (store.jobs.get(well.id).result, store.jobs.get(well.id).progress) == ({"sentences": 3}, {"read": 7})
    assert store.jobs.get(empty.id).status == "quarantined"
    assert (store.jobs.get(later.id).status, store.jobs.get(later.id).attempts) == ("queued", 0)
