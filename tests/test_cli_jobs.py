"""``datastore jobs``, its operations, and ``datastore worker``: what they say, --json, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datastore import Datastore, NewJob
from datastore.cli.commands import cli
from tests.conftest import Clock


def run(*arguments: object, database: Path | None = None) -> Result:
    environment = {"DATASTORE_DATABASE": None if database is None else str(database)}
    return CliRunner().invoke(cli, list(map(str, arguments)), env=environment, prog_name="datastore")


def ok(path: Path, *arguments: object) -> str:
    result = run(*arguments, database=path)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def ids(path: Path) -> dict[str, int]:
    """A queued job of the future, a running, a quarantined and a succeeded one, and a paused type."""
    with Datastore.open(path) as store:
        done = store.jobs.enqueue("mail")
        store.jobs.succeed(store.jobs.claim(worker="w"), {"sent": 1})  # type: ignore[arg-type]
        bad = store.jobs.enqueue("mail")
        store.jobs.fail(store.jobs.claim(worker="w"), "Traceback:\n  x\nValueError: no\x1b[31m", permanent=True)  # type: ignore[arg-type]
        runs = store.jobs.enqueue("index")
        held = store.jobs.claim(worker="host:1", lease_seconds=600)
        assert held is not None
        store.jobs.heartbeat(held, lease_seconds=600, progress={"done": 3})
        waits = store.jobs.enqueue("mail", {"to": "a"}, delay=3600)
        store.jobs.pause("slow", reason="nightly copy")
    return {"done": done.id, "bad": bad.id, "runs": runs.id, "waits": waits.id}


def test_the_overview(path: Path, ids: dict[str, int]) -> None:
    text = ok(path, "jobs")
    for word in ("mail", "quarantined", "host:1", "1 of 5", "ValueError: no", "slow", "nightly copy"):
        assert word in text, text
    assert "\x1b" not in text
    found = json.loads(ok(path, "jobs", "--json"))
    assert [(c["type"], c["status"], c["count"]) for c in found["counts"]] == [
        ("index", "running", 1), ("mail", "quarantined", 1), ("mail", "queued", 1), ("mail", "succeeded", 1),
    ]  # fmt: skip
    assert found["counts"][2]["oldest_run_at"] is not None
    assert [(job["id"], job["worker"], job["progress"]) for job in found["running"]] == [
        (ids["runs"], "host:1", {"done": 3})
    ]
    assert [job["id"] for job in found["quarantined"]] == [ids["bad"]]
    assert [(pause["type"], pause["reason"]) for pause in found["paused"]] == [("slow", "nightly copy")]


def test_an_empty_queue(path: Path) -> None:
    result = run("jobs", database=path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no jobs\n")
    assert json.loads(ok(path, "jobs", "--json")) == {"counts": [], "running": [], "quarantined": [], "paused": []}
    assert run("jobs", "list", database=path).stderr == "no jobs\n"
    assert json.loads(ok(path, "jobs", "list", "--json")) == []


def test_list_and_show(path: Path, ids: dict[str, int]) -> None:
    assert [job["id"] for job in json.loads(ok(path, "jobs", "list", "--json"))] == sorted(ids.values(), reverse=True)
    listed = json.loads(ok(path, "jobs", "list", "--status", "queued", "--type", "mail", "--json"))
    assert [job["id"] for job in listed] == [ids["waits"]]
    assert len(json.loads(ok(path, "jobs", "list", "--max-rows", 1, "--json"))) == 1
    assert len(ok(path, "jobs", "list").splitlines()) >= 5
    shown = json.loads(ok(path, "jobs", "show", ids["bad"], "--json"))
    assert shown["job"]["status"] == "quarantined"
    assert [(a["attempt"], a["outcome"]) for a in shown["attempts"]] == [(1, "failed")]
    text = ok(path, "jobs", "show", ids["bad"])
    assert "last error:" in text
    assert "ValueError: no" in text
    assert "\x1b" not in text
    assert run("jobs", "show", 999, database=path).exit_code == 1


def test_operations(path: Path, ids: dict[str, int]) -> None:
    with Datastore.open(path) as store:
        ok(path, "jobs", "retry", ids["waits"])
        due = store.jobs.get(ids["waits"])
        assert due.run_at == due.updated_at
        ok(path, "jobs", "cancel", ids["waits"], ids["runs"])
        assert store.jobs.get(ids["waits"]).status == "cancelled"
        assert store.jobs.get(ids["runs"]).cancel_requested
        assert "1 jobs queued again" in ok(path, "jobs", "requeue", ids["bad"])
        assert store.jobs.get(ids["bad"]).status == "queued"
        assert len(store.jobs.attempts(ids["bad"])) == 1
        assert ok(path, "jobs", "pause", "mail", "--reason", "r") == "mail paused\n"
        assert ok(path, "jobs", "pause", "mail") == "mail was already paused\n"
        assert store.jobs.claim(["mail"], worker="w") is None
        assert ok(path, "jobs", "resume", "mail") == "mail resumed\n"
        assert ok(path, "jobs", "resume", "mail") == "mail was not paused\n"
        assert store.jobs.claim(["mail"], worker="w") is not None


def test_of_several_all_or_none(path: Path, ids: dict[str, int]) -> None:
    for operation in ("cancel", "retry", "requeue"):
        good = ids["bad"] if operation == "requeue" else ids["waits"]
        with Datastore.open(path) as store:
            before = store.jobs.get(good)
            for bad in (ids["done"], 999):
                result = run("jobs", operation, good, bad, database=path)
                assert (result.exit_code, result.stdout) == (1, "")
                assert store.jobs.get(good) == before


def test_requeue_every_quarantined_job(path: Path) -> None:
    with Datastore.open(path) as store:
        store.jobs.enqueue_many(NewJob(type="ab"[n % 2]) for n in range(250))
        for job in store.jobs.claim_many(worker="w", max_rows=250):
            store.jobs.fail(job, "no", permanent=True)
        assert ok(path, "jobs", "requeue", "--quarantined", "--type", "a") == "125 jobs queued again\n"
        assert ok(path, "jobs", "requeue", "--quarantined") == "125 jobs queued again\n"
        assert ok(path, "jobs", "requeue", "--quarantined") == "0 jobs queued again\n"
        assert {count.status for count in store.jobs.counts()} == {"queued"}


def test_prune(path: Path) -> None:
    clock = Clock()  # months ago
    with Datastore.open(path, clock=clock) as store:
        store.jobs.enqueue_many(NewJob(type="t") for _ in range(205))
        store.jobs.succeed_many(store.jobs.claim_many(worker="w", max_rows=203))
    with Datastore.open(path) as store:
        store.jobs.succeed(store.jobs.claim(worker="w"))  # type: ignore[arg-type]
        assert ok(path, "jobs", "prune", "--finished-before", "1h", "--reason", "old") == "203 jobs deleted\n"
        assert ok(path, "jobs", "prune", "--finished-before", "1h") == "0 jobs deleted\n"
        assert {(c.status, c.count) for c in store.jobs.counts()} == {("succeeded", 1), ("queued", 1)}


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs", "list", "--status", "lost"],
        ["jobs", "retry"],
        ["jobs", "retry", "one"],
        ["jobs", "requeue"],
        ["jobs", "requeue", "1", "--quarantined"],
        ["jobs", "requeue", "1", "--type", "t"],
        ["jobs", "prune"],
        ["jobs", "prune", "--finished-before", "soon"],
        ["worker"],
        ["worker", "nothing"],
        ["worker", "no_such_module:HANDLERS"],
        ["worker", "json:nothing"],
        ["worker", "json:dumps"],
        ["worker", "json:__dict__", "--types", "no such type"],
        ["worker", "json:__dict__", "--batch", "0"],
        ["worker", "json:__dict__", "--lease-seconds", "0"],
    ],
)
def test_wrong_usage_is_2(path: Path, arguments: list[str]) -> None:
    result = run(*arguments, database=path)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    for arguments in (["jobs"], ["jobs", "list"], ["jobs", "retry", "1"], ["worker", "json:__dict__", "--until-idle"]):
        assert run(*arguments, database=missing).exit_code == 1
        assert run(*arguments).exit_code == 2
    assert list(tmp_path.iterdir()) == []


HANDLERS = """
import time

def double(task):
    return task.payload * 2

def broken(task):
    raise ValueError("as ever")

def slow(task):
    print("at it", flush=True)
    time.sleep(60)

HANDLERS = {"double": double, "broken": broken, "slow": slow}
"""


def worker(tmp_path: Path, path: Path, *arguments: str) -> subprocess.Popen[str]:
    (tmp_path / "my_handlers.py").write_text(HANDLERS)
    command = [sys.executable, "-m", "datastore.cli", "worker", "my_handlers:HANDLERS", "--database", str(path)]
    return subprocess.Popen(
        [*command, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_worker_until_idle(tmp_path: Path, path: Path) -> None:
    with Datastore.open(path) as store:
        good, bad = store.jobs.enqueue("double", 21), store.jobs.enqueue("broken")
        other = store.jobs.enqueue("slow")
        types = ["--types", "double", "--types", "broken", "--batch", "2", "--worker", "me"]
        with worker(tmp_path, path, "--until-idle", *types) as process:
            out, errors = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "2 jobs run\n"), errors
        assert f"job {bad.id} (broken) failed: ValueError" in errors
        assert "as ever" not in errors  # what a handler says is kept in the database, not in a log
        done: Any = store.jobs.get(good.id)
        assert (done.status, done.result, done.worker) == ("succeeded", 42, "me")
        assert "ValueError: as ever" in str(store.jobs.get(bad.id).last_error)
        assert store.jobs.get(other.id).attempts == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_worker_is_interrupted(tmp_path: Path, path: Path, number: int, code: int) -> None:
    with Datastore.open(path) as store:
        jobs = store.jobs.enqueue_many([NewJob(type="slow"), NewJob(type="slow")])
        with worker(tmp_path, path, "--batch", "2") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "at it\n"
            os.kill(process.pid, number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        for job in jobs:
            assert [(a.outcome, a.attempt) for a in store.jobs.attempts(job.id)] == [("released", 1)]
            assert store.jobs.get(job.id).attempts == 0
