"""Nothing is left out, undone or done twice without a word: an application's own tables, its steps, and who applies them.

The first body copies, erases, opens and rolls back where something is in the way: each call does all of it, or says by name what
it does not. The second has several processes apply a step that cannot be in a transaction: it runs once.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, migrations
from datastore.copy import copy
from datastore.errors import CopyError, DatastoreError, InvalidValueError, SchemaOutOfDateError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

OMISSIONS = "tests.acid.test_silence:omissions"
APPLIERS = "tests.acid.test_silence:appliers"

NOTES = """
CREATE TABLE notes (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE
) STRICT;
"""


def steps_in(folder: Path, **texts: str) -> Path:
    """A folder of steps."""
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"app-{name}.sql").write_text(text)
    return folder


def omissions(*, seed: int, folder: Path) -> Report:
    """Look for what is left out or undone, and not told."""
    report = Report()
    schema = steps_in(folder / "schema", notes=NOTES)
    path = new_database(folder)
    with Datastore.open(path, migrate=True, migrations=[schema]) as store:
        store.conversations.add(id="c", sanitization_version="1")
    run(path, "INSERT INTO notes VALUES ('n', 'c')")

    def refused(what: str, call: Callable[[], Any], error: type[DatastoreError]) -> None:
        report.counts["calls"] += 1
        try:
            call()
        except error:
            return
        except Exception as other:
            report.found("untyped error", f"{what}: {type(other).__name__}")
        else:
            report.found("silent omission", what)

    refused("a copy to a target without the table", lambda: copy(str(path), str(folder / "a.db")), CopyError)
    copy(str(path), str(folder / "b.db"), migrations=[schema])
    if run(folder / "b.db", "SELECT id, conversation_id FROM notes") != [("n", "c")]:
        report.found("silent omission", "a copy without the rows of an own table")
    nowhere = folder / "nowhere"
    for migrate in (True, False):
        refused(
            "steps of a missing folder",
            lambda migrate=migrate: Datastore.open(path, migrate=migrate, migrations=[nowhere]).close(),
            InvalidValueError,
        )
    refused("applying a missing folder", lambda: migrations.apply(path, nowhere), InvalidValueError)
    with Datastore.open(path) as store:
        if store.disclose(conversation_id="c").own_counts() != {"notes": {"deleted": 1}}:
            report.found("silent omission", "own rows that are not shown")
        if store.erase(conversation_id="c").receipt.get("own_tables") != {"notes": {"deleted": 1}}:
            report.found("silent omission", "own rows that a receipt does not count")
    new = new_database(folder, "new.db")  # without a receipt, which a rollback would have to keep
    migrations.apply(new, schema)
    refused("a rollback under a newer step", lambda: migrations.rollback(new), SchemaOutOfDateError)
    return report


def run(path: Path, sql: str) -> list[Any]:
    """One statement, as a person with the shell would run it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


ONE = """
import sys, time
from pathlib import Path
from datastore import Datastore
place, schema, go, me = sys.argv[1:]
Datastore.open(place).close()
Path(me).touch()
while not Path(go).exists():
    time.sleep(0.002)
Datastore.open(place, migrate=True, migrations=[schema]).close()
"""

#: Long enough for every process to have looked before the first one is done.
SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT max(i) FROM n;",
    "postgresql": "SELECT pg_sleep(0.7);",
}


def appliers(*, seed: int, folder: Path, url: str | None = None, processes: int = 4) -> Report:
    """Have several processes apply one step without a transaction, and see how often it was run."""
    report = Report()
    engine = "sqlite" if url is None else "postgresql"
    place: Any = new_database(folder) if url is None else url
    slow = f"-- transactional: false\n{SLOW[engine]}\nINSERT INTO facts VALUES (1);"
    schema = steps_in(folder / "schema", facts="CREATE TABLE facts (n INTEGER);")
    Datastore.open(place, migrate=True, migrations=[schema]).close()
    (schema / "app-filled.sql").write_text(f"-- depends: app-facts\n{slow}")
    go, ready = folder / "go", [folder / f"ready{number}" for number in range(processes)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ONE, str(place), str(schema), str(go), str(me)], stdout=subprocess.DEVNULL
        )
        for me in ready
    ]
    while not all(path.exists() for path in ready):
        if any(process.poll() is not None for process in started):
            raise RuntimeError("a process ended before it was to begin")
        time.sleep(0.005)
    go.touch()
    codes = [process.wait(120) for process in started]
    report.counts["appliers"] += processes
    if any(codes):
        report.found("untyped error", f"exit codes {codes}")
    with Datastore.open(place, migrations=[schema]) as store:
        (folder / "queries").mkdir()
        (folder / "queries/facts.sql").write_text(
            "-- name: count_facts()$\n-- How many there are.\n-- Index: none (a row)\n-- Rows: 1\nSELECT count(*) FROM facts;\n"
        )
        count = store.bind(folder / "queries").count_facts()
    if count != 1:
        report.found("duplicate", f"the step ran {count} times")
    return report


def test_nothing_is_left_out_without_a_word() -> None:
    assert_healthy("silence", OMISSIONS)


@reds(
    Red("a copy that leaves own tables out", "silent omission"),
    Red("own rows that nobody counts", "silent omission"),
    Red("a missing folder accepted", "silent omission"),
    Red("a rollback under newer steps", "silent omission"),
)
def test_the_matrix(red: Red) -> None:
    assert_red("silence", OMISSIONS, red)


def test_a_step_is_applied_once() -> None:
    assert_healthy("silence: appliers", APPLIERS)


@reds(Red("appliers without the gate", "duplicate"))
def test_the_matrix_of_appliers(red: Red) -> None:
    assert_red("silence: appliers", APPLIERS, red)


@pytest.fixture
def url() -> Any:
    from tests.postgresql import database

    with database("silence") as url:
        yield url


def test_a_step_is_applied_once_on_a_server(url: str) -> None:
    assert_healthy("silence: appliers on PostgreSQL", APPLIERS, url=url)


@reds(Red("appliers without a lock", "duplicate"))
def test_the_matrix_of_appliers_on_a_server(red: Red, url: str) -> None:
    assert_red("silence: appliers on PostgreSQL", APPLIERS, red, url=url)
