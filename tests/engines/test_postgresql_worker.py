"""A worker whose server goes away and comes back: it goes on, whatever it was at."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from datastore import Datastore
from datastore.errors import BusyError, ConnectionLostError
from datastore.migrations import apply
from datastore.worker import Task, Worker
from tests.conftest import until
from tests.postgresql import database, server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database that can be made unreachable."""
    with database("away") as url:
        apply(url)
        yield url


class Server:
    """Ends the connections to one database, and lets nobody in for a while."""

    def __init__(self, url: str) -> None:
        self.name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def _do(self, sql: str) -> None:
        with psycopg.connect(server(), autocommit=True) as connection:
            connection.execute(sql)

    def end(self, which: str = "TRUE") -> None:
        self._do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}' AND {which}")

    @contextmanager
    def away(self) -> Iterator[None]:
        self._do(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        try:
            self.end()
            yield
        finally:
            self._do(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


@contextmanager
def working(store: Datastore, handle: Callable[[Task], Any], **options: Any) -> Iterator[Worker]:
    """A worker in a thread; what ends it is raised here."""
    worker, failures = Worker(store, {"t": handle}, **options), list[BaseException]()

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
        assert thread.is_alive() or worker._stop.asked, failures
    finally:
        worker.stop()
        thread.join(60)
    assert not failures
    assert not thread.is_alive()


def test_an_idle_worker_survives_the_loss_of_its_listening_connection(url: str) -> None:
    with Datastore.open(url, timeout=5) as store, working(store, lambda task: 1):
        for _ in range(3):
            assert store.jobs.wait(["none"], timeout=0.01) is False  # listens by now
            Server(url).end("query LIKE 'LISTEN%'")
            id = store.jobs.enqueue("t").id
            until(lambda id=id: store.jobs.get(id).status == "succeeded")


def test_an_idle_worker_survives_a_server_that_is_away_for_seconds(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Datastore.open(url, timeout=5) as store, working(store, lambda task: 1):
        assert store.jobs.wait(["none"], timeout=0.01) is False
        with Server(url).away():
            until(lambda: "no job can be claimed" in caplog.text)
            time.sleep(2)
        id = store.jobs.enqueue("t").id
        until(lambda: store.jobs.get(id).status == "succeeded")
        assert "jobs can be claimed again" in caplog.text
    assert caplog.text.count("no job can be claimed") == 1


def test_a_worker_stops_while_the_server_is_away(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Datastore.open(url, timeout=5) as store, working(store, lambda task: 1) as worker, Server(url).away():
        until(lambda: "no job can be claimed" in caplog.text)
        began = time.monotonic()
        worker.stop()
        until(lambda: not [one for one in threading.enumerate() if one.name == "datastore-heartbeat"])
        assert time.monotonic() - began < 3


def test_how_a_job_ended_is_stored_when_the_server_is_back(url: str) -> None:
    returned, gone = threading.Event(), threading.Event()

    def handle(task: Task) -> str:
        returned.set()
        gone.wait(30)
        return "kept"

    with Datastore.open(url, timeout=5) as store, working(store, handle, lease_seconds=30):
        id = store.jobs.enqueue("t").id
        assert returned.wait(30)
        with Server(url).away():
            gone.set()
            time.sleep(1.5)
        until(lambda: store.jobs.get(id).status == "succeeded")
        assert (store.jobs.get(id).result, store.jobs.get(id).attempts) == ("kept", 1)


def test_a_lost_connection_does_not_lose_the_lease(url: str) -> None:
    """Heartbeats that fail are sent again, before the lease ends."""
    away, back = threading.Event(), threading.Event()

    def handle(task: Task) -> bool:
        away.set()
        back.wait(60)
        return task.lost

    with Datastore.open(url, timeout=5) as store, working(store, handle, lease_seconds=3):
        id = store.jobs.enqueue("t").id
        assert away.wait(30)
        for _ in range(8):
            Server(url).end()
            time.sleep(0.5)
        back.set()
        until(lambda: store.jobs.get(id).status == "succeeded")
        assert (store.jobs.get(id).result, store.jobs.get(id).attempts) == (False, 1)


def test_who_waits_is_told_that_the_server_is_away(url: str) -> None:
    with Datastore.open(url, timeout=5) as store:
        assert store.jobs.wait(["none"], timeout=0) is False
        with Server(url).away(), pytest.raises((ConnectionLostError, BusyError)):
            store.jobs.wait(["none"], timeout=0.3)
        assert store.jobs.wait(["none"], timeout=0.3) is False
        assert store.engine.data_version() > 0
        with Server(url).away():
            pass  # nobody asked meanwhile: the first call afterwards listens again
        assert store.jobs.wait(["none"], timeout=0.3) is False
