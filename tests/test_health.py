"""`datastore status --check`: healthy databases, and each threshold exceeded; `maintain` that could not finish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from datastore import Datastore
from datastore.cli.commands import cli
from datastore.cli.exit_codes import Exit
from datastore.engines.sqlite.engine import SQLiteEngine
from datastore.migrations import rollback
from datastore.upkeep.health import Thresholds, find_problems
from datastore.values import utc_now
from tests.postgresql import migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        Datastore.open(path, migrate=True).close()
        yield str(path)
    else:
        with migrated() as url:
            yield url


def run(database: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--database", database])


def problems(done: Result) -> list[str]:
    """Without the warnings, which are about this machine's SQLite."""
    return [line for line in done.stderr.splitlines() if line.startswith("problem: ")]


def test_a_new_database_is_healthy(database: str) -> None:
    done = run(database, "status", "--check")
    assert (done.exit_code, problems(done)) == (Exit.DONE, [])


def test_a_job_that_waits_too_long(database: str) -> None:
    with Datastore.open(database) as store:
        store.jobs.enqueue("t", run_at=utc_now() - timedelta(hours=2))
        store.jobs.enqueue("later", run_at=utc_now() + timedelta(hours=2))
    done = run(database, "status", "--check")
    assert done.exit_code == Exit.UNHEALTHY
    assert [line.startswith("problem: a job has been due for 72") for line in problems(done)] == [True]
    assert run(database, "status").exit_code == Exit.DONE
    assert run(database, "status", "--check", "--queue-age", "3h").exit_code == Exit.DONE
    assert 7200 <= json.loads(run(database, "status", "--json").stdout)["queue_seconds"] < 7300


def test_pending_migrations(database: str) -> None:
    (newest,) = rollback(database)
    done = run(database, "status", "--check")
    assert (done.exit_code, problems(done)) == (Exit.UNHEALTHY, [f"problem: 1 migrations are pending: {newest}"])


def test_a_transaction_that_stays_open_on_a_server() -> None:
    with migrated() as url, psycopg.connect(url) as idle:
        idle.execute("SELECT 1")
        done = run(url, "status", "--check", "--transaction-age", "0s")
        assert done.exit_code == Exit.UNHEALTHY
        assert done.stderr.startswith("problem: a transaction has been open for ")


def status(**server: Any) -> dict[str, Any]:
    return {
        "pending": [], "unknown": [], "other_history": [], "unindexed": {}, "queue_seconds": 0.0, "server": server
    }  # fmt: skip


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ({"dead_table": "job_queue", "dead_share": 3.0}, "the table job_queue has 3.0 times as many dead rows"),
        ({"replica_lag_seconds": 31.0}, "a replica is 31 s behind"),
        ({"retained_wal_bytes": 2 << 30}, "a replication slot retains 2,147,483,648 bytes of WAL"),
    ],
)
def test_what_a_server_says(server: dict[str, Any], problem: str) -> None:
    (found,) = find_problems(status(**server), Thresholds())
    assert found.startswith(problem)
    within = {name: value / 100 if isinstance(value, float) else value for name, value in server.items()}
    generous = Thresholds(wal_bytes=4 << 30)
    assert list(find_problems(status(**within), generous)) == []


def test_a_server_answers_all_of_it() -> None:
    """Dead rows are counted by the statistics collector, which nobody can wait for here: only the columns are compared."""
    with migrated() as url:
        told = json.loads(run(url, "status", "--json").stdout)["server"]
    assert {"dead_table", "dead_share", "replica_lag_seconds", "retained_wal_bytes"} <= told.keys()


def test_unindexed_rows_and_a_large_wal(path: Path) -> None:
    with Datastore.open(path, migrate=True) as store:
        id = store.conversations.add(sanitization_version="1").id
        store.messages.append(id, role="user", content="words")
        assert isinstance(store.engine, SQLiteEngine)
        done = run(str(path), "status", "--check", "--wal-bytes", "0")
        assert done.exit_code == Exit.UNHEALTHY
        assert "problem: the WAL has " in done.stderr
    told = {**status(), "unindexed": {"messages": 3}}
    assert list(find_problems(told, Thresholds())) == ["search does not find 3 messages; run: datastore reindex"]


def test_maintenance_that_cannot_finish_says_so_in_its_code(path: Path) -> None:
    with Datastore.open(path, migrate=True) as store:
        id = store.conversations.add(sanitization_version="1").id
        for number in range(50):
            store.messages.append(id, role="user", content=f"words {number} " * 500)
        with store.snapshot():
            store.messages.list(id)
            with Datastore.open(path) as other:
                other.messages.append(id, role="user", content="later")
            done = run(str(path), "maintain", "--everything")
        assert "not finished" in done.output
        assert done.exit_code == Exit.NOT_FINISHED
        done = run(str(path), "maintain", "--everything")
        assert (done.exit_code, "not finished" in done.output) == (Exit.DONE, False)
