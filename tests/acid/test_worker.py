"""What a worker makes of how a handler ends: nothing is tried for ever, lost, or said to be done that is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datastore import Datastore
from datastore.errors import BusyError, InvalidValueError, LeaseLostError
from datastore.worker import Task, Worker
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

HERE = "tests.acid.test_worker"


class Interrupted(BaseException):
    """None that Python knows."""


def _raise(error: BaseException) -> None:
    raise error


def _rolls_back(task: Task) -> str:
    try:
        with task.store.transaction():
            task.store.conversations.add(sanitization_version="1")
            task.succeed("inside")
            raise KeyError
    except KeyError:
        return "outside"


#: How a handler can end without having done its work.
BAD: dict[str, Callable[[Task], Any]] = {
    "SystemExit": lambda task: _raise(SystemExit()),
    "CancelledError": lambda task: _raise(asyncio.CancelledError()),
    "GeneratorExit": lambda task: _raise(GeneratorExit()),
    "KeyboardInterrupt": lambda task: _raise(KeyboardInterrupt()),
    "Interrupted": lambda task: _raise(Interrupted()),
    "rolls back": _rolls_back,
}


def _generator(task: Task) -> Iterator[int]:
    yield 1


def outcomes(*, seed: int, folder: Path) -> Report:
    """Each way to end badly spends its attempts and ends in quarantine; a job of lower priority runs."""
    report = Report()
    with Datastore.open(new_database(folder), durability="relaxed") as store:
        ids = {name: store.jobs.enqueue(name, priority=9, max_attempts=2, backoff_seconds=0.0).id for name in BAD}
        last = store.jobs.enqueue("last").id
        try:
            Worker(store, {**BAD, "last": lambda task: 1}).run(until_idle=True)
        except BaseException as error:
            report.found("lost job", f"the worker ended with {type(error).__name__}")
        for name, id in ids.items():
            job = store.jobs.get(id)
            report.counts["jobs"] += 1
            if (job.status, job.attempts) != ("quarantined", 2):
                report.found("lost job", f"{name}: {job.status} after {job.attempts} attempts")
        if store.jobs.get(last).status != "succeeded":
            report.found("starvation", "a job of lower priority never ran")
        try:
            Worker(store, {"t": _generator})
            report.found("lost job", "a generator function is taken, and its work never done")
        except InvalidValueError:
            report.counts["refused rightly"] += 1
    return report


def late_result(*, seed: int, folder: Path) -> Report:
    """A job runs while its subject is erased: what it says afterwards is refused, and nothing of it is kept."""
    report = Report()
    with Datastore.open(new_database(folder), durability="relaxed") as store:
        conversation = store.conversations.add(sanitization_version="1")

        def summarize(task: Task) -> dict[str, str]:
            if store.erase(conversation_id=task.payload["conversation"]).status != "verified":
                report.found("partial transaction", "the erasure did not complete")
            try:
                task.report("what was said")
            except LeaseLostError:
                report.counts["refused rightly"] += 1
            return {"summary": "what was said"}

        id = store.jobs.enqueue("t", {"conversation": conversation.id}).id
        Worker(store, {"t": summarize}).run(until_idle=True)
        job = store.jobs.get(id)
        if "said" in f"{job.result} {job.progress} {job.last_error} {job.payload}":
            report.found("partial transaction", "a job holds what was erased")
    return report


def busy(*, seed: int, folder: Path) -> Report:
    """Somebody has the write lock for longer than the timeout: the worker goes on when it is free."""
    report, path = Report(), new_database(folder)
    with Datastore.open(path, durability="relaxed", timeout=0.05) as store, Datastore.open(path) as other:
        id = store.jobs.enqueue("t").id
        failures: list[BaseException] = []

        def run() -> None:
            try:
                Worker(store, {"t": lambda task: 1}).run(until_idle=True)
            except BusyError as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        with other.transaction():
            thread.start()
            threading.Event().wait(0.5)
        thread.join(30)
        report.counts["waits"] += 1
        if failures or store.jobs.get(id).status != "succeeded":
            report.found("lost job", f"the worker ended: {failures}")
    return report


def test_outcomes() -> None:
    assert_healthy("a worker's outcomes", f"{HERE}:outcomes")


def test_a_late_result() -> None:
    assert_healthy("a late result of an erased job", f"{HERE}:late_result")


def test_a_busy_database() -> None:
    assert_healthy("a worker beside a long transaction", f"{HERE}:busy")


BODIES = {
    "only an Exception is a failed attempt": "outcomes",
    "a succeed is a flag": "outcomes",
    "generators are taken": "outcomes",
    "an erased job runs on": "late_result",
    "a busy database ends the worker": "busy",
}


@reds(
    Red("only an Exception is a failed attempt", "lost job"),
    Red("a succeed is a flag", "lost job"),
    Red("generators are taken", "lost job"),
    Red("an erased job runs on", "partial transaction"),
    Red("a busy database ends the worker", "lost job"),
)
def test_mutants(red: Red) -> None:
    body = BODIES[red.mutant]
    assert_red(body.replace("_", " "), f"{HERE}:{body}", red)
