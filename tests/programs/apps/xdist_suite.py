"""An application's tests, as pytest-xdist runs them: every worker opens the same database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from datastore import Datastore
from tests.programs.apps.work import add, add_together, open_store


@pytest.fixture(scope="session")
def store() -> Iterator[Datastore]:
    with open_store(pool_size=2) as store:
        yield store


@pytest.fixture
def in_transaction(store: Datastore) -> Iterator[Datastore]:
    """The test is inside the fixture's transaction."""
    with store.transaction():
        yield store


@pytest.mark.parametrize("i", range(20))
def test_writes(store: Datastore, i: int) -> None:
    add_together(store, f"test-{i}")


@pytest.mark.parametrize("i", range(10))
def test_writes_in_a_fixtures_transaction(in_transaction: Datastore, i: int) -> None:
    add(in_transaction, f"fixture-{i}")


@pytest.mark.parametrize("i", range(4))
def test_writes_in_threads(store: Datastore, i: int) -> None:
    threads = [threading.Thread(target=add_together, args=(store, f"thread-{i}-{name}")) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
