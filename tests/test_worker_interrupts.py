"""Ctrl-C and `Stopped` at the worst instant, the first instruction of a transaction's exit: what runs is still released."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, NewJob
from datastore.engines.transactions import Transaction
from datastore.worker import AsyncTask, Task, Worker

BOTH_ENGINES = True


@pytest.fixture
def store(datastore_database: Path | str) -> Iterator[Datastore]:
    """With the real clock: a worker's heartbeats go by it."""
    with Datastore.open(datastore_database, durability="relaxed") as store:
        yield store


class Exits:
    """Every `Transaction.__exit__`; once *armed*, the next one on a thread with that name is interrupted before it begins."""

    def __init__(self, thread: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed = False
        self.came = 0
        self._thread = thread
        real = Transaction.__exit__

        def leave(transaction: Transaction, *error: Any) -> None:
            if self.armed and threading.current_thread().name == self._thread:
                self.armed = False
                self.came += 1
                self.interrupt()
            real(transaction, *error)

        monkeypatch.setattr(Transaction, "__exit__", leave)

    def interrupt(self) -> None:
        """Have a signal; its handler may raise here."""
        signal.raise_signal(signal.SIGINT)


def assert_released(store: Datastore, ids: list[int], began: float) -> None:
    assert [(store.jobs.get(id).status, store.jobs.get(id).attempts) for id in ids] == [("queued", 0)] * len(ids)
    assert time.monotonic() - began < 4  # a release that waits for a transaction gives up after 5 s


def busy(task: Task) -> None:
    while True:
        time.sleep(0.005)


def test_ctrl_c_inside_a_claim_releases_what_runs(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    exits, running = Exits(threading.current_thread().name, monkeypatch), set[str]()

    def begin(kind: str) -> None:
        running.add(kind)
        exits.armed = len(running) == 2

    def plain(task: Task) -> None:
        begin("plain")
        busy(task)

    async def asynchronous(task: AsyncTask) -> None:
        begin("async")
        await asyncio.sleep(60)

    ids = [job.id for job in store.jobs.enqueue_many(NewJob(type=type) for type in ("plain", "async"))]
    worker = Worker(store, {"plain": plain, "async": asynchronous}, concurrency=4)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        worker.run()
    assert exits.came == 1
    assert_released(store, ids, began)


def test_ctrl_c_inside_a_claim_loses_no_claimed_job(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    exits = Exits(threading.current_thread().name, monkeypatch)
    exits.armed = True
    id = store.jobs.enqueue("t").id
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Worker(store, {"t": busy}).run()
    assert exits.came == 1
    assert_released(store, [id], began)


def test_ctrl_c_inside_a_handlers_transaction(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    exits = Exits(threading.current_thread().name, monkeypatch)

    def handle(task: Task) -> None:
        exits.armed = True
        with task.store.transaction():
            task.store.conversations.add(sanitization_version="1")

    id = store.jobs.enqueue("t").id
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Worker(store, {"t": handle}).run()
    assert exits.came == 1
    assert_released(store, [id], began)
    assert store.conversations.count() == 0


def test_stopped_inside_a_handlers_transaction_on_a_thread(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    exits = Exits("datastore-handler", monkeypatch)

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while True:  # until Stopped is raised
            time.sleep(0.005)

    monkeypatch.setattr(exits, "interrupt", interrupt)

    def handle(task: Task) -> None:
        exits.armed = True
        with task.store.transaction():
            task.store.conversations.add(sanitization_version="1")
            task.succeed()

    ids = [store.jobs.enqueue("t").id]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Worker(store, {"t": handle}, concurrency=2).run()
    assert exits.came == 1
    assert_released(store, ids, began)
    assert store.conversations.count() == 0


def test_a_second_ctrl_c_ends_a_claim_that_waits(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one waits for the claim to end; one a second later does not."""
    worker, waits = Worker(store, {"t": busy}), []

    def claim(*types: Any, **options: Any) -> Any:
        began = time.monotonic()
        while time.monotonic() < began + 30:
            waits.append(1)
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.3)

    monkeypatch.setattr(store.jobs, "claim_many", claim)
    with pytest.raises(KeyboardInterrupt):
        worker.run()
    assert 3 <= len(waits) <= 10
