"""FastAPI and Starlette under uvicorn: what is acknowledged is stored, what fails is not, and every error says what to do."""

from __future__ import annotations

import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.programs.running import Database, Server

BOTH_ENGINES = True


def uvicorn(app: str, database: Database, *, workers: int = 1) -> Server:
    command = [sys.executable, "-m", "uvicorn", f"tests.programs.apps.{app}:app", "--port", "{port}"]
    return Server([*command, "--workers", str(workers), "--no-access-log"], database)


#: The ways of FastAPI that are right: nothing fails but what asks for it.
RIGHT = ["/inside/sync", "/inside/async", "/inside/thread", "/inside/run", "/background", "/dependency/async-async"]

#: The ways that cannot be right: the transaction is begun in one thread or task, and written or ended in another.
WRONG = [
    "/dependency/sync-sync",
    "/dependency/sync-async",
    "/dependency/async-sync",
    "/dependency/late-sync-sync",
    "/dependency/late-sync-async",
    "/awaits/thread",
]


def check_right(database: Database, *, workers: int, requests: int, clients: int) -> None:
    with uvicorn("fastapi_app", database, workers=workers) as server:
        outcome = server.load(RIGHT, requests=requests, clients=clients)
    outcome.assert_kept(database)
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) + len(outcome.refused) == requests


def check_wrong(database: Database, *, workers: int, requests: int, clients: int) -> None:
    with uvicorn("fastapi_app", database, workers=workers) as server:
        wrong = server.load(WRONG, requests=requests, clients=clients)
        # Afterwards the same server works.
        right = server.load(RIGHT, requests=len(RIGHT), clients=2, failing=0, patience=15)
        raised = server.raised()
    assert wrong.acknowledged == []
    # BusyError: an event loop that would wait for a transaction of its own thread pool gives up.
    assert wrong.errors <= {"TransactionError", "BusyError"}
    assert right.refused == {}
    right.assert_kept(database)
    assert raised <= {"TransactionError", "BusyError"}


def test_transactions_in_endpoints_and_async_dependencies(database: Database) -> None:
    check_right(database, workers=1, requests=60, clients=6)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 4])
def test_transactions_in_endpoints_and_async_dependencies_for_longer(database: Database, workers: int) -> None:
    check_right(database, workers=workers, requests=480, clients=16)


def test_transactions_across_threads_are_refused(database: Database) -> None:
    check_wrong(database, workers=1, requests=36, clients=6)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 4])
def test_transactions_across_threads_are_refused_for_longer(database: Database, workers: int) -> None:
    check_wrong(database, workers=workers, requests=240, clients=16)


@pytest.mark.parametrize(
    ("workers", "requests"),
    [(1, 39), pytest.param(1, 300, marks=pytest.mark.long), pytest.param(4, 300, marks=pytest.mark.long)],
)
def test_right_and_wrong_requests_at_once(database: Database, workers: int, requests: int) -> None:
    """Next to a wrong request a right one may be refused, but never loses what it acknowledged."""
    with uvicorn("fastapi_app", database, workers=workers) as server:
        outcome = server.load([*RIGHT, *WRONG, "/awaits"], requests=requests, clients=8, patience=120)
        assert server.load(RIGHT, requests=6, failing=0, patience=15).refused == {}
        raised = server.raised()
    assert outcome.acknowledged
    # A background task that is refused after its answer has begun is Starlette's RuntimeError.
    assert raised <= {"TransactionError", "BusyError", "RuntimeError"}
    # Six more from the second load, under keys that the first one has used too.
    assert outcome.errors <= {"TransactionError", "BusyError", "Refused"}
    assert not set(outcome.acknowledged) - set(database.stored())
    stored = set(database.stored())
    assert {key for key in outcome.refused if int(key.rpartition("-")[2]) >= 6} & stored == set()
    database.assert_sound()


@pytest.mark.parametrize("requests", [200, pytest.param(800, marks=pytest.mark.long)])
def test_a_task_that_awaits_in_its_transaction_keeps_it(database: Database, requests: int) -> None:
    """Other tasks of the thread are refused meanwhile; the owner's rows are stored whole."""
    with uvicorn("fastapi_app", database) as server:
        outcome = server.load(["/awaits"], requests=requests, clients=6, patience=15)
    assert outcome.acknowledged
    assert outcome.errors <= {"TransactionError", "Refused"}
    outcome.assert_kept(database)


def test_alone_a_task_may_await_in_its_transaction(database: Database) -> None:
    with uvicorn("fastapi_app", database) as server:
        outcome = server.load(["/awaits"], requests=12, clients=1)
    outcome.assert_kept(database)
    assert outcome.errors == {"Refused"}


def test_a_refusal_says_what_to_do(database: Database) -> None:
    with uvicorn("fastapi_app", database) as server:
        said = []
        for path in WRONG:
            with pytest.raises(HTTPError) as refused:
                urlopen(Request(f"http://127.0.0.1:{server.port}{path}?key=k", method="POST"), timeout=15)
            said.append(refused.value.read().decode())
    for text in said:
        assert "one function" in text, text


def test_an_unused_dependency_is_rolled_back_and_reported(database: Database) -> None:
    with uvicorn("fastapi_app", database) as server:
        outcome = server.load(["/dependency/unused", "/dependency/snapshot"], requests=12, failing=0, patience=15)
        right = server.load(["/inside/sync"], requests=4, failing=0, patience=15)
    assert outcome.acknowledged == []
    assert outcome.errors == {"TransactionError"}
    assert right.refused == {}
    right.assert_kept(database)


def test_a_dependency_of_function_scope_ends_before_the_answer(database: Database) -> None:
    """FastAPI ends a dependency of the other scope after the answer: its commit may fail when the client was told 200."""
    with uvicorn("fastapi_app", database) as server:
        before = server.load(["/ends/before"], requests=2, failing=0, clients=1)
        after = server.load(["/ends/after"], requests=2, failing=0, clients=1)
    assert before.errors == {"Refused"}
    assert len(after.acknowledged) == 2
    assert not database.stored()
    database.assert_sound()


@pytest.mark.parametrize("route", ["/stream/sync", "/stream/async"])
def test_a_streamed_answer_in_a_transaction(database: Database, route: str) -> None:
    """The parts of a synchronous generator are made on several threads: the client's answer breaks off."""
    with uvicorn("fastapi_app", database) as server:
        outcome = server.load([route], requests=6, failing=0, clients=1, patience=15)
        right = server.load(["/inside/sync"], requests=4, failing=0, patience=15)
        log, raised = server.log, server.raised()
    if route == "/stream/sync":
        assert outcome.acknowledged == []
        # Starlette's own: the error has a handler, which cannot answer any more.
        assert "RuntimeError" not in raised or "response already started" in log
        assert raised <= {"TransactionError", "ExceptionGroup", "RuntimeError"}
    else:
        assert set(outcome.acknowledged) <= set(database.stored())
    assert right.refused == {}
    database.assert_sound()


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.long)])
def test_starlette(database: Database, workers: int) -> None:
    with uvicorn("starlette_app", database, workers=workers) as server:
        outcome = server.load(["/inside/sync", "/inside/async"], requests=40 * workers)
    assert outcome.errors == {"Refused"}
    outcome.assert_kept(database)


def test_a_transaction_in_middleware(database: Database) -> None:
    """Starlette's class runs the endpoint in another task; a plain middleware works for endpoints on its own task."""
    with uvicorn("starlette_app", database) as server:
        wrong = server.load(["/class/sync", "/class/async", "/pure/sync"], requests=18, patience=15)
        alone = server.load(["/pure/async"], requests=8, failing=0, clients=1, patience=15)
    assert wrong.acknowledged == []
    assert wrong.errors <= {"TransactionError"}
    assert alone.refused == {}
    alone.assert_kept(database)
