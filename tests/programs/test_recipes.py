"""The recipes of docs/threads.md and docs/how-to/ run as they are printed there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.programs.running import PATIENCE, ROOT, Database, Outcome, Server, environment, kill_group, run_command

BOTH_ENGINES = True

RECIPES = Path(__file__).parent / "recipes"


def serve(database: Database, command: Sequence[str], routes: Sequence[str], requests: int = 24, **more: str) -> None:
    with Server([sys.executable, "-m", *command], database, PYTHONPATH=f"{ROOT}:{RECIPES}", **more) as server:
        outcome = server.load(routes, requests=requests, failing=0, name="session")
    assert outcome.refused == {}
    assert len(outcome.acknowledged) == requests
    outcome.assert_kept(database)


def test_fastapi(database: Database) -> None:
    serve(database, ["uvicorn", "fastapi_app:app", "--port", "{port}"], ["/sync", "/async", "/dependency"])


def test_async_fastapi(database: Database) -> None:
    command = ["uvicorn", "async_fastapi_app:app", "--port", "{port}"]
    serve(database, command, ["/conversations", "/dependency", "/sync"])


def test_async_starlette(database: Database) -> None:
    serve(database, ["uvicorn", "async_starlette_app:app", "--port", "{port}"], ["/conversations"])


def test_flask(database: Database) -> None:
    serve(database, ["flask_app"], ["/start"], port_variable="PORT")


def test_gunicorn(database: Database) -> None:
    settings = ["-c", str(RECIPES / "gunicorn_conf.py"), "--workers", "2", "--threads", "4", "--no-control-socket"]
    settings += ["--graceful-timeout", "1"]  # its threaded worker waits that long for a client that is gone already
    serve(database, ["gunicorn", "flask_app:app", "--bind", "127.0.0.1:{port}", *settings], ["/start"])


def test_multiprocessing(database: Database) -> None:
    sessions = [f"s{i}" for i in range(20)]
    out, _ = run_command([sys.executable, str(RECIPES / "processes.py"), database.where, *sessions], database)
    assert sorted(out.split()) == sorted(sessions)
    Outcome(out.split()).assert_kept(database)


@pytest.mark.parametrize("number", [12, pytest.param(60, marks=pytest.mark.long)])
def test_celery(database: Database, tmp_path: Path, number: int) -> None:
    sessions = [f"s{i}" for i in range(number)]
    settings = {"CELERY_FOLDER": str(tmp_path)}
    module = "tests.programs.apps.celery_settings"
    options = ["-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", module, "worker", *options], stdout=log, stderr=log, cwd=ROOT,
            env=environment(database, **settings), start_new_session=True,
        )  # fmt: skip
        try:
            out, _ = run_command([sys.executable, "-m", module, *sessions], database, **settings)
            worker.terminate()
            assert worker.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
        finally:
            kill_group(worker)
    assert sorted(out.split()) == sorted(sessions)
    Outcome(out.split()).assert_kept(database)
