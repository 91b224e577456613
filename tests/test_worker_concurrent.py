"""Several handlers at once: plain functions on threads, async def functions on one loop, and how they all end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, NewJob
from datastore.errors import InvalidValueError
from datastore.worker import AsyncTask, PermanentError, Snooze, Task, Worker
from tests.conftest import until

BOTH_ENGINES = True

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def store(datastore_database: Path | str) -> Iterator[Datastore]:
    """With the real clock: a worker's heartbeats go by it."""
    with Datastore.open(datastore_database, durability="relaxed") as store:
        yield store


class Together:
    """Counts what runs at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.now -= 1


def statuses(store: Datastore) -> dict[str, int]:
    return {count.status: count.count for count in store.jobs.counts()}


def test_async_handlers_run_together_on_one_loop(store: Datastore) -> None:
    together, loops = Together(), set[int]()

    async def handle(task: AsyncTask) -> dict[str, Any]:
        loops.add(id(asyncio.get_running_loop()))
        with together:
            await asyncio.sleep(0.05)
        return {"is": task.payload * 2}

    jobs = store.jobs.enqueue_many(NewJob(type="t", payload=n) for n in range(60))
    assert Worker(store, {"t": handle}, concurrency=20).run(until_idle=True) == 60
    assert [store.jobs.get(job.id).result for job in jobs] == [{"is": n * 2} for n in range(60)]
    assert 10 <= together.most <= 20
    assert len(loops) == 1
    until(lambda: not [one for one in threading.enumerate() if one.name in ("datastore-loop", "datastore-handler")])


def test_plain_functions_run_in_threads_at_the_same_time_as_async_ones(store: Datastore) -> None:
    barrier = threading.Barrier(3)

    def plain(task: Task) -> str:
        barrier.wait(30)
        return "plain"

    async def asynchronous(task: AsyncTask) -> str:
        await asyncio.to_thread(barrier.wait, 30)
        return "async"

    store.jobs.enqueue_many(NewJob(type=type) for type in ("plain", "plain", "async"))
    handlers: dict[str, Any] = {"plain": plain, "async": asynchronous}
    assert Worker(store, handlers, concurrency=3).run(until_idle=True) == 3
    assert statuses(store) == {"succeeded": 2} | {"succeeded": 1} or statuses(store)["succeeded"] in (1, 2)
    assert {job.result for job in store.jobs.iterate()} == {"plain", "async"}


def _bad(error: BaseException) -> Any:
    async def handle(task: AsyncTask) -> None:
        raise error

    def plain(task: Task) -> None:
        raise error

    return handle, plain


@pytest.mark.parametrize(
    "error", [ValueError(), SystemExit(), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()], ids=repr
)
@pytest.mark.parametrize("kind", [0, 1], ids=["async", "plain"])
def test_whatever_a_handler_raises_the_worker_goes_on(store: Datastore, error: BaseException, kind: int) -> None:
    bad = store.jobs.enqueue("bad", max_attempts=2, backoff_seconds=0.0, priority=9)
    good = store.jobs.enqueue("good")
    handlers = {"bad": _bad(error)[kind], "good": lambda task: 1}
    assert Worker(store, handlers, concurrency=2).run(until_idle=True) == 3
    assert (store.jobs.get(bad.id).status, store.jobs.get(bad.id).attempts) == ("quarantined", 2)
    assert store.jobs.get(good.id).status == "succeeded"


def test_outcomes_of_async_handlers(store: Datastore) -> None:
    async def handle(task: AsyncTask) -> Any:
        match task.payload:
            case "permanent":
                raise PermanentError("no")
            case "snooze":
                raise Snooze(3600)
            case "unfinished":
                return asyncio.sleep(0)
            case "bad result":
                return {1, 2}
            case "progress":
                await task.report({"half": True})
        return task.payload

    ids = {
        name: store.jobs.enqueue("t", name, max_attempts=1).id
        for name in ("permanent", "snooze", "unfinished", "bad result", "progress", "fine")
    }
    assert Worker(store, {"t": handle}, concurrency=6).run(until_idle=True) == 6
    jobs = {name: store.jobs.get(id) for name, id in ids.items()}
    assert {name: job.status for name, job in jobs.items()} == {
        "permanent": "quarantined",
        "snooze": "queued",
        "unfinished": "quarantined",
        "bad result": "quarantined",
        "progress": "succeeded",
        "fine": "succeeded",
    }
    assert jobs["progress"].progress == {"half": True}
    assert "nobody awaits" in str(jobs["unfinished"].last_error)


def test_a_snooze_of_nothing_is_a_failed_attempt_that_says_so(store: Datastore) -> None:
    def handle(task: Task) -> None:
        raise Snooze(0)

    id = store.jobs.enqueue("t", max_attempts=1).id
    Worker(store, {"t": handle}).run(until_idle=True)
    assert "longer than 0 seconds" in str(store.jobs.get(id).last_error)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_handler_ends_its_job_with_its_rows_or_not_at_all(store: Datastore, kind: str) -> None:
    def plain(task: Task) -> None:
        with task.store.transaction():
            task.store.conversations.add(sanitization_version="1", session_id=task.payload)
            task.succeed("inside")
            if task.job.attempts == 1:
                raise RuntimeError("rolls both back")

    async def asynchronous(task: AsyncTask) -> None:
        async with task.store.transaction():
            await task.store.conversations.add(sanitization_version="1", session_id=task.payload)
            await task.succeed("inside")
            if task.job.attempts == 1:
                raise RuntimeError("rolls both back")

    handlers: dict[str, Any] = {"plain": plain, "async": asynchronous}
    jobs = store.jobs.enqueue_many(NewJob(type=kind, payload=f"{n}", backoff_seconds=0.0) for n in range(8))
    assert Worker(store, handlers, concurrency=4).run(until_idle=True) == 16
    assert {store.jobs.get(job.id).result for job in jobs} == {"inside"}
    assert store.conversations.count() == 8


def test_a_batch_is_for_handlers_that_run_one_by_one(store: Datastore) -> None:
    async def handle(task: AsyncTask) -> None:
        pass

    for options in ({"batch": 2, "concurrency": 2}, {"batch": 2}):
        with pytest.raises(InvalidValueError, match="leave batch out"):
            Worker(store, {"t": handle}, **options)


def test_one_heartbeat_keeps_the_leases_of_all(store: Datastore) -> None:
    async def slow(task: AsyncTask) -> None:
        await asyncio.sleep(2)

    def plain(task: Task) -> None:
        time.sleep(2)

    store.jobs.enqueue_many(NewJob(type=type) for type in ("slow", "plain") for _ in range(4))
    assert Worker(store, {"slow": slow, "plain": plain}, concurrency=8, lease_seconds=0.9).run(until_idle=True) == 8
    assert {job.attempts for job in store.jobs.iterate()} == {1}


def test_heartbeats_do_not_starve_on_a_small_pool(store: Datastore, datastore_database: Path | str) -> None:
    """PostgreSQL: every connection of the pool is inside a handler's transaction for longer than a lease."""
    if store.engine.name != "postgresql":
        pytest.skip("a thread of SQLite has its own connection")
    with Datastore.open(datastore_database, pool_size=2, timeout=1) as small:

        def handle(task: Task) -> None:
            with task.store.transaction():
                task.store.conversations.add(sanitization_version="1")
                time.sleep(2.5)
                task.succeed()

        store.jobs.enqueue_many(NewJob(type="t") for _ in range(2))
        assert Worker(small, {"t": handle}, concurrency=2, lease_seconds=0.9).run(until_idle=True) == 2
    assert [(job.status, job.attempts) for job in store.jobs.iterate()] == [("succeeded", 1)] * 2


def test_a_cancelled_job_is_seen_by_its_async_handler(store: Datastore, datastore_database: Path | str) -> None:
    with Datastore.open(datastore_database) as other:

        async def handle(task: AsyncTask) -> None:
            await asyncio.to_thread(other.jobs.cancel, task.job.id)
            while not task.cancel_requested:
                await asyncio.sleep(0.02)
            raise RuntimeError("stopped on request")

        id = store.jobs.enqueue("t").id
        Worker(store, {"t": handle}, lease_seconds=0.6).run(until_idle=True)
    assert store.jobs.get(id).status == "cancelled"


def test_stop_lets_handlers_finish(store: Datastore) -> None:
    began = threading.Event()

    async def handle(task: AsyncTask) -> int:
        began.set()
        await asyncio.sleep(0.3)
        return 1

    store.jobs.enqueue_many(NewJob(type="t") for _ in range(5))
    worker = Worker(store, {"t": handle}, concurrency=2)
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(worker.run()))
    thread.start()
    assert began.wait(30)
    worker.stop()
    thread.join(30)
    assert counts == [2]
    assert statuses(store) == {"succeeded": 2, "queued": 3}


WORK = r"""
import asyncio, os, sys, time
from datastore import Datastore, Worker

async def asynchronous(task):
    os.write(1, b"at it\n")  # in one piece, whichever thread writes
    await asyncio.sleep(task.payload)
    return "finished"

def plain(task):
    os.write(1, b"at it\n")  # in one piece, whichever thread writes
    until = time.monotonic() + task.payload
    while time.monotonic() < until:
        time.sleep(0.01)
    return "finished"

concurrency, grace = int(sys.argv[2]), float(sys.argv[3])
handlers = {"plain": plain, "async": asynchronous} if concurrency > 1 else {"plain": plain}
with Datastore.open(sys.argv[1]) as store:
    began = time.monotonic()
    try:
        ran = Worker(store, handlers, concurrency=concurrency, grace=grace, lease_seconds=30).run()
        print("ran", ran, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    ("concurrency", "grace", "seconds", "signals", "says", "left"),
    [
        (1, 30, 0.5, [signal.SIGTERM], "ran 1", "succeeded"),
        (4, 30, 0.5, [signal.SIGTERM], "ran 2", "succeeded"),
        (1, 0.5, 60, [signal.SIGTERM], "ran 0", "queued"),
        (4, 0.5, 60, [signal.SIGTERM], "ran 0", "queued"),
        (1, 0, 60, [signal.SIGTERM], "ran 0", "queued"),
        (4, 0, 60, [signal.SIGTERM], "ran 0", "queued"),
        (1, 60, 60, [signal.SIGTERM, signal.SIGTERM], "ran 0", "queued"),
        (4, 60, 60, [signal.SIGTERM, signal.SIGTERM], "ran 0", "queued"),
        (4, 60, 60, [signal.SIGINT], "interrupted", "queued"),
    ],
)
def test_signals(
    store: Datastore,
    datastore_database: Path | str,
    concurrency: int,
    grace: float,
    seconds: float,
    signals: Any,
    says: str,
    left: str,
) -> None:
    types = ["plain", "async"] if concurrency > 1 else ["plain"]
    jobs = store.jobs.enqueue_many(NewJob(type=type, payload=seconds) for type in types)
    command = [sys.executable, "-c", WORK, str(datastore_database), str(concurrency), str(grace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in types]
        later = store.jobs.enqueue("plain", 0) if concurrency == 1 else None
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.2)
        began = time.monotonic()
        said += process.stdout.read().splitlines()
        assert process.wait(30) == 0
        assert time.monotonic() - began < 10
    assert said == [*["at it\n"] * len(types), says]
    assert [(store.jobs.get(job.id).status, store.jobs.get(job.id).attempts) for job in jobs] == [
        (left, 1 if left == "succeeded" else 0)
    ] * len(jobs)
    if later is not None:
        assert store.jobs.get(later.id).status == "queued"


ASYNC_RECIPE = """
async def extract(task):
    async with task.store.transaction():
        await task.store.learnings.add(
            conversation_id=task.payload["conversation"], category="facts", title="t", content="c"
        )
        await task.succeed()

HANDLERS = {"extract": extract}
"""


def test_an_async_handler_of_the_command_ends_its_job_in_its_transaction(store: Datastore, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(ASYNC_RECIPE, encoding="utf-8")
    conversation = store.conversations.add(sanitization_version="1")
    store.jobs.enqueue_many(NewJob(type="extract", payload={"conversation": conversation.id}) for _ in range(1))
    engine: Any = store.engine
    command = ["worker", "handlers:HANDLERS", "--database", str(engine.path or engine._conninfo)]
    done = subprocess.run(
        [sys.executable, "-m", "datastore.cli", *command, "--concurrency", "4", "--grace", "1", "--until-idle"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "1 jobs run\n", done.stderr
    assert store.learnings.count() == 1
    assert statuses(store) == {"succeeded": 1}
