"""AsyncDatastore under FastAPI, Starlette and uvicorn: what is acknowledged is stored, what fails is not, every error is typed."""

from __future__ import annotations

import pytest

from tests.programs.running import Database
from tests.programs.test_asgi import uvicorn

BOTH_ENGINES = True

RIGHT = [
    "/inside/async",
    "/inside/sync",
    "/inside/run",
    "/awaits",
    "/background",
    "/reads",
    "/dependency/async",
    "/dependency/late",
]

#: The transaction is used by a task or a thread that did not enter it.
WRONG = ["/dependency/sync", "/gather", "/middleware"]


def check_right(database: Database, *, workers: int, requests: int, clients: int) -> None:
    with uvicorn("async_fastapi_app", database, workers=workers) as server:
        outcome = server.load(RIGHT, requests=requests, clients=clients)
    outcome.assert_kept(database)
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) + len(outcome.refused) == requests


@pytest.mark.parametrize("workers", [1, 4])
def test_fifty_clients(database: Database, workers: int) -> None:
    check_right(database, workers=workers, requests=200, clients=50)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 4])
def test_fifty_clients_for_longer(database: Database, workers: int) -> None:
    check_right(database, workers=workers, requests=20_000, clients=50)


def test_transactions_across_tasks_are_refused(database: Database) -> None:
    with uvicorn("async_fastapi_app", database) as server:
        wrong = server.load(WRONG, requests=12, clients=4, patience=30)
        right = server.load(RIGHT, requests=len(RIGHT), clients=2, failing=0, patience=30)
    assert wrong.acknowledged == []
    assert wrong.errors <= {"TransactionError", "Refused"}
    assert right.refused == {}
    right.assert_kept(database)


def test_right_and_wrong_requests_at_once(database: Database) -> None:
    """A wrong request does not disturb a right one next to it."""
    with uvicorn("async_fastapi_app", database) as server:
        outcome = server.load([*RIGHT, *WRONG, "/stream"], requests=96, clients=8, failing=0, patience=60)
    right = [key for key in outcome.refused if f"/{key.rpartition('-')[0]}" in RIGHT]
    assert right == []
    outcome.assert_kept(database)
