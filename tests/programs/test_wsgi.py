"""Flask: with threads, and under gunicorn, which forks its workers from a parent that has loaded the application."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.programs.running import Database, Server

BOTH_ENGINES = True

APPS = Path(__file__).parent / "apps"
ROUTES = ["/inside", "/request"]


def threaded(database: Database) -> Server:
    return Server([sys.executable, "-m", "tests.programs.apps.flask_threaded", "{port}"], database)


def gunicorn(database: Database, *arguments: str, workers: int = 2, **more: str) -> Server:
    command = [sys.executable, "-m", "gunicorn", "tests.programs.apps.flask_app:app", "--bind", "127.0.0.1:{port}"]
    options = ["--workers", str(workers), "--graceful-timeout", "5", "--no-control-socket"]
    return Server([*command, *options, *arguments], database, **more)


@pytest.mark.parametrize("requests", [60, pytest.param(500, marks=pytest.mark.long)])
def test_flask_with_a_thread_for_each_connection(database: Database, requests: int) -> None:
    with threaded(database) as server:
        outcome = server.load(ROUTES, requests=requests, clients=12)
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) + len(outcome.refused) == requests
    outcome.assert_kept(database)


def test_a_streamed_answer_in_a_transaction(database: Database) -> None:
    """WSGI servers go through an answer in the thread of its request: it works."""
    with threaded(database) as server:
        outcome = server.load(["/stream"], requests=8, failing=0)
    assert outcome.refused == {}
    outcome.assert_kept(database)


@pytest.mark.parametrize(("workers", "requests"), [(2, 60), pytest.param(4, 500, marks=pytest.mark.long)])
def test_gunicorn_with_threads(database: Database, workers: int, requests: int) -> None:
    """Without preload each worker loads the application, and opens the store, itself."""
    with gunicorn(database, "-k", "gthread", "--threads", "4", workers=workers) as server:
        outcome = server.load(ROUTES, requests=requests)
    assert outcome.errors == {"Refused"}
    outcome.assert_kept(database)


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_gunicorn_with_preload(database: Database, kind: str) -> None:
    """The parent opened the store and used it. SQLite: it works. PostgreSQL: every request says that it was forked."""
    arguments = ["--preload", "-k", kind, "--threads", "4"] if kind == "gthread" else ["--preload", "-k", kind]
    with gunicorn(database, *arguments, USED_BEFORE_FORK="1") as server:
        outcome = server.load(["/inside"], requests=30, failing=0)
    if database.engine == "sqlite":
        assert outcome.refused == {}
    else:
        assert outcome.acknowledged == []
        assert outcome.errors == {"ForkedError"}
    outcome.assert_kept(database, also=["before-the-fork"])


@pytest.mark.parametrize(("workers", "requests"), [(2, 60), pytest.param(4, 500, marks=pytest.mark.long)])
def test_gunicorn_with_preload_and_a_store_for_each_worker(database: Database, workers: int, requests: int) -> None:
    settings = str(APPS / "gunicorn_post_fork.py")
    with gunicorn(database, "-c", settings, "-k", "gthread", "--threads", "4", workers=workers) as server:
        outcome = server.load(ROUTES, requests=requests)
    assert outcome.errors == {"Refused"}
    outcome.assert_kept(database)
