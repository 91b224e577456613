"""What a worker makes of every way in which a handler can end, on both engines; and which handlers it refuses."""

from __future__ import annotations

import asyncio
import functools
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import InvalidValueError, LeaseLostError, TransactionError
from datastore.worker import PermanentError, Task, Worker
from tests.conftest import until
from tests.databases import rows
from tests.test_worker import outcomes

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

ROOT = Path(__file__).resolve().parent.parent


class Odd(BaseException):
    """No Exception, and none that Python knows."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "CancelledError": asyncio.CancelledError,
    "GeneratorExit": GeneratorExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "Odd": Odd,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [SystemExit(), ValueError()]),
}


@pytest.mark.parametrize("name", RAISED)
def test_whatever_a_handler_raises_is_a_failed_attempt(store: Datastore, name: str) -> None:
    def broken(task: Task) -> None:
        raise RAISED[name]()

    id = store.jobs.enqueue("t", priority=9, max_attempts=2, backoff_seconds=0.0).id
    other = store.jobs.enqueue("other").id
    assert Worker(store, {"t": broken, "other": lambda task: 1}).run(until_idle=True) == 3
    assert store.jobs.get(id).status == "quarantined"
    assert outcomes(store, id) == [(1, "failed"), (2, "failed")]
    assert name in str(store.jobs.get(id).last_error)
    assert store.jobs.get(other).status == "succeeded"


def test_sys_exit_in_a_handler_rolls_its_transaction_back(store: Datastore) -> None:
    def leaves(task: Task) -> None:
        with task.store.transaction():
            task.store.conversations.add(sanitization_version="1")
            task.succeed()
            sys.exit("enough")

    id = store.jobs.enqueue("t", max_attempts=1).id
    Worker(store, {"t": leaves}).run(until_idle=True)
    assert (store.jobs.get(id).status, store.conversations.count()) == ("quarantined", 0)


def test_a_succeed_that_was_rolled_back_is_a_failed_attempt(store: Datastore) -> None:
    seen: list[bool] = []

    def handle(task: Task) -> str:
        try:
            with task.store.transaction():
                task.store.conversations.add(sanitization_version="1")
                task.succeed("inside")
                if task.job.attempts == 1:
                    raise RuntimeError("caught below")
        except RuntimeError:
            pass
        seen.append(task.ended)
        return "outside"

    id = store.jobs.enqueue("t", backoff_seconds=0.0).id
    assert Worker(store, {"t": handle}).run(until_idle=True) == 2
    assert seen == [False, True]
    assert outcomes(store, id) == [(1, "failed"), (2, "succeeded")]
    assert (store.jobs.get(id).result, store.conversations.count()) == ("inside", 1)
    assert "was rolled back" in rows(store, "SELECT error FROM job_attempts")[0][0]


def test_a_savepoint_that_takes_the_succeed_back_is_seen_too(store: Datastore) -> None:
    def handle(task: Task) -> None:
        with task.store.transaction():
            try:
                with task.store.transaction():
                    task.succeed()
                    raise KeyError
            except KeyError:
                pass

    id = store.jobs.enqueue("t", max_attempts=1).id
    Worker(store, {"t": handle}).run(until_idle=True)
    assert store.jobs.get(id).status == "quarantined"


def test_a_job_that_ended_well_stays_so_whatever_its_handler_raises_then(
    store: Datastore, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(task: Task) -> None:
        with task.store.transaction():
            task.succeed("done")
        raise SystemExit

    id = store.jobs.enqueue("t").id
    assert Worker(store, {"t": handle}).run(until_idle=True) == 1
    assert (store.jobs.get(id).status, store.jobs.get(id).result) == ("succeeded", "done")
    assert "had ended well" in caplog.text


def test_a_heartbeat_after_the_end_is_no_lost_lease(store: Datastore) -> None:
    tasks: list[Task] = []

    def handle(task: Task) -> None:
        tasks.append(task)
        task.succeed()
        with pytest.raises(LeaseLostError):
            task.report(1)

    store.jobs.enqueue("t")
    Worker(store, {"t": handle}).run(until_idle=True)
    assert (tasks[0].lost, tasks[0].ended) == (False, True)


# What cannot be a handler.


async def coroutine(task: Task) -> int:
    return 1


async def asynchronous_generator(task: Task) -> Any:
    yield 1


def generator(task: Task) -> Any:
    yield 1


async def two_arguments(task: Any, other: Any) -> int:
    return 1


class Calls:
    def __init__(self, function: Any) -> None:
        self.function = function

    def method(self, task: Task) -> int:
        return 1

    async def async_method(self, task: Task) -> int:
        return 1


class AsyncCall:
    async def __call__(self, task: Task) -> int:
        return 1


BAD: dict[str, Any] = {
    "async generator": asynchronous_generator,
    "generator": generator,
    "async with two arguments": two_arguments,
    "no argument": lambda: 1,
    "two arguments": lambda task, other: 1,
    "a keyword that is needed": eval("lambda task, *, key: 1"),
    "partial with too many": functools.partial(lambda task: 1, 1),
    "no function": "handle",
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_handler_is_refused_when_the_worker_is_made(store: Datastore, name: str) -> None:
    with pytest.raises(InvalidValueError, match="handlers: t"):
        Worker(store, {"good": lambda task: 1, "t": BAD[name]})


@functools.wraps(coroutine)
def synchronous(*args: Any) -> Any:
    return asyncio.run(coroutine(*args))


@pytest.mark.parametrize(
    "handler",
    [
        Calls(None).method,
        functools.partial(lambda a, task: 1, 1),
        lambda *all: 1,
        lambda task, b=2: 1,
        synchronous,
        coroutine,
        functools.partial(coroutine),
        functools.partial(functools.partial(coroutine)),
        AsyncCall(),
        functools.partial(AsyncCall()),
        Calls(None).async_method,
    ],
)
def test_what_can_be_a_handler_is_taken(store: Datastore, handler: Any) -> None:
    id = store.jobs.enqueue("t").id
    Worker(store, {"t": handler}).run(until_idle=True)
    assert (store.jobs.get(id).status, store.jobs.get(id).result) == ("succeeded", 1)


@pytest.mark.parametrize(
    "given",
    [
        {"worker": 5},
        {"lease_seconds": 0},
        {"lease_seconds": "1"},
        {"batch": 0},
        {"batch": 1001},
        {"concurrency": 0},
        {"concurrency": True},
        {"grace": -1},
        {"batch": 2, "concurrency": 2},
    ],
)
def test_what_a_worker_cannot_go_by_is_refused_at_once(store: Datastore, given: Any) -> None:
    with pytest.raises(InvalidValueError):
        Worker(store, {"t": lambda task: 1}, **given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", [coroutine, generator, asynchronous_generator])
def test_a_result_that_is_work_not_done_is_a_failed_attempt_that_says_so(store: Datastore, function: Any) -> None:
    id = store.jobs.enqueue("t", max_attempts=1).id
    Worker(store, {"t": lambda task: function(task)}).run(until_idle=True)
    job = store.jobs.get(id)
    assert job.status == "quarantined"
    assert "nobody awaits or iterates it" in str(job.last_error)


def test_a_worker_inside_a_transaction_is_refused(store: Datastore) -> None:
    with store.transaction(), pytest.raises(TransactionError):
        Worker(store, {"t": lambda task: 1}).run(until_idle=True)


# What the page shows.


def test_the_extract_recipe_runs_under_the_command(store: Datastore, tmp_path: Path) -> None:
    """docs/job-queue.md: the handler that writes and ends its job in one transaction, in a process of its own."""
    page = (ROOT / "docs/job-queue.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^  ```python\n(  def extract.*?)^  ```", page, re.DOTALL | re.MULTILINE)
    module = re.sub("^  ", "", recipe, flags=re.MULTILINE) + '\nHANDLERS = {"extract": extract}\n'
    (tmp_path / "recipe.py").write_text(module, encoding="utf-8")
    conversation = store.conversations.add(sanitization_version="1")
    id = store.jobs.enqueue("extract", {"conversation": conversation.id}).id
    engine: Any = store.engine
    database = str(engine.path or engine._conninfo)
    command = [
        sys.executable,
        "-m",
        "datastore.cli",
        "worker",
        "recipe:HANDLERS",
        "--database",
        database,
        "--until-idle",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}"}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "1 jobs run\n", done.stderr
    assert store.jobs.get(id).status == "succeeded"
    assert store.learnings.count() == 1


def test_a_worker_waits_for_the_lock_and_logs_it_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another program has the write lock for longer than the timeout: claims are tried again."""
    with Datastore.open(path, durability="relaxed", timeout=0.05) as store, Datastore.open(path) as other:
        id = store.jobs.enqueue("t").id
        worker = Worker(store, {"t": lambda task: 1})
        thread = threading.Thread(target=worker.run, kwargs={"until_idle": True})
        with other.transaction():
            thread.start()
            until(lambda: "no job can be claimed" in caplog.text)
            threading.Event().wait(0.5)
        thread.join(30)
        assert store.jobs.get(id).status == "succeeded"
        assert caplog.text.count("no job can be claimed") == 1


def test_a_permanent_error_below_a_transaction_still_quarantines(store: Datastore) -> None:
    def handle(task: Task) -> None:
        with task.store.transaction():
            task.succeed()
            raise PermanentError("no")

    id = store.jobs.enqueue("t", max_attempts=9).id
    Worker(store, {"t": handle}).run(until_idle=True)
    assert (store.jobs.get(id).status, store.jobs.get(id).attempts) == ("quarantined", 1)
