"""Through PgBouncer in transaction mode: the conformance suite passes; what does not work is what docs/scaling.md says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.errors import DatabaseError
from datastore.worker import Worker
from tests.cluster import Cluster, Node, cluster
from tests.pooler import binary, pooler

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Node]:
    binary()
    with cluster() as made:
        node = _started(made)
        Datastore.open(node.url(), migrate=True).close()
        yield node


def _started(made: Cluster) -> Node:
    return made.primary(fsync="off", synchronous_commit="off", full_page_writes="off")


@pytest.fixture
def pooled(server: Node) -> Iterator[str]:
    with pooler(server) as url:
        yield url


def test_the_conformance_suite_passes(server: Node, pooled: str) -> None:
    """In a process of its own, whose stores go through the pooler; what makes and drops databases goes to the server."""
    folder, direct = str(server.folder / "pooler"), f"postgresql://postgres@/postgres?host={server.folder}"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "postgresql", "tests/repositories", "tests/test_worker.py"],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "DATASTORE_TEST_POSTGRES_URL": direct, "DATASTORE_TEST_POOLER": folder},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "login attempt" in (server.folder / "pooler" / "log").read_text()


def test_nobody_is_woken_and_a_worker_works_all_the_same(pooled: str) -> None:
    with Datastore.open(pooled) as store, Datastore.open(pooled) as other:
        thread = threading.Timer(0.2, other.jobs.enqueue, ("woken",))
        thread.start()
        began = time.monotonic()
        store.jobs.wait(["woken"], timeout=2)
        assert time.monotonic() - began > 1.9, "LISTEN reaches through a pooler now: say so in docs/scaling.md"
        thread.join()
        done: list[str] = []
        worker = Worker(store, {"woken": lambda task: done.append(task.job.type)})
        running = threading.Thread(target=worker.run)
        running.start()
        try:
            end = time.monotonic() + 30
            while not done and time.monotonic() < end:
                time.sleep(0.01)
        finally:
            worker.stop()
            running.join()
        assert done == ["woken"]


def test_a_pooler_without_prepared_statements_is_named(server: Node) -> None:
    with (
        pooler(server, prepared=0) as url,
        Datastore.open(url) as store,
        Datastore.open(url) as other,
        pytest.raises(DatabaseError, match="max_prepared_statements above 0"),
    ):
        for _ in range(100):
            store.conversations.list()
            other.conversations.list()
