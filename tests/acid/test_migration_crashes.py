"""A migration dies at every k-th write: the package's yoyo backend, and yoyo's own beside it.

The process ends at the k-th write, sync, truncation or deletion of a database file, as by kill -9. Then nobody may hold
a lock, the schema must be exactly that of the migrations that are marked as applied, and the rest must apply to the end
and roll back to nothing.
"""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from yoyo import get_backend, read_migrations

from datastore import migrations
from datastore.resources import migrations_folder
from tests.acid.child import run_body
from tests.acid.matrix import assert_healthy, note
from tests.acid.report import Report
from tests.acid.shim import SYNC, TRUNCATE, UNLINK, WRITE, Shim, library
from tests.acid.work import new_database

BODY = "tests.acid.test_migration_crashes:explore"

KINDS = WRITE | SYNC | TRUNCATE | UNLINK
DIES = -1


def ours(path: Path, direction: str) -> None:
    """The package's own backend."""
    if direction == "apply":
        migrations.apply(path, timeout=1)
    else:
        migrations.rollback(path, all=True, timeout=1)


@functools.cache
def _stock_migrations() -> Any:
    # Loaded in the parent of all the processes that die: parsing the files is what takes the time.
    every = read_migrations(str(migrations_folder()))
    for migration in every:
        migration.load()
    return every


def stock(path: Path, direction: str) -> None:
    """yoyo's own backend for SQLite, on the same files."""
    backend = get_backend(f"sqlite:///{path}")
    every = _stock_migrations()
    with backend.lock(timeout=1):
        if direction == "apply":
            backend.apply_migrations(backend.to_apply(every))
        else:
            backend.rollback_migrations(backend.to_rollback(every))
    backend.connection.close()


BACKENDS: dict[str, Callable[[Path, str], None]] = {"ours": ours, "stock": stock}


def explore(*, seed: int, folder: Path, backend: str, direction: str, step: int) -> Report:
    """Die at every *step*-th write of a migration up or down."""
    report, shim, run = Report(), Shim(), BACKENDS[backend]
    number = 1
    _stock_migrations()
    ours(new_database(folder, "read.db"), "rollback")  # reads the migrations once, for every child
    while True:
        place = folder / str(number)
        place.mkdir()
        path = place / "app.db"
        if direction == "rollback":
            new_database(place)
        if _dies(lambda path=path, number=number: _armed(shim, path, number, run, direction)) != 9:
            return report
        report.counts["crash points"] += 1
        for anomaly, detail in _look(path, run):
            report.found(anomaly, f"{direction}, write {number}: {detail}")
        shutil.rmtree(place)
        number += step


def _armed(shim: Shim, path: Path, number: int, run: Callable[[Path, str], None], direction: str) -> None:
    shim.watch(path.parent)
    shim.arm(KINDS, number, DIES)
    run(path, direction)


def _dies(call: Callable[[], Any]) -> int:
    """The exit code of a child that calls it; 1 where it raises."""
    child = os.fork()
    if not child:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            call()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _look(path: Path, run: Callable[[Path, str], None]) -> list[tuple[str, str]]:
    if path.exists() and path.stat().st_size:
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return [("corrupt file", "integrity_check")]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "yoyo_lock" in tables and connection.execute("SELECT count(*) FROM yoyo_lock").fetchone()[0]:
                connection.execute("DELETE FROM yoyo_lock")
                connection.commit()
                stale = [("stale lock", "a row in yoyo_lock")]
            else:
                stale = []
            marked = []
            if "_yoyo_migration" in tables:
                marked = [id for (id,) in connection.execute("SELECT migration_id FROM _yoyo_migration ORDER BY 1")]
            found = schema(connection)
        if found != schema_after(tuple(marked)):
            return [*stale, ("inapplicable schema", f"marked are {marked}, the schema is another one")]
    else:
        stale = []
    for direction in ("apply", "rollback", "apply"):
        if _dies(lambda direction=direction: run(path, direction)):
            return [*stale, ("inapplicable schema", f"{direction} afterwards fails")]
    with closing(sqlite3.connect(path)) as connection:
        if schema(connection) != schema_after(tuple(migrations.migration_ids(migrations_folder()))):
            return [*stale, ("inapplicable schema", "it ends otherwise")]
    return stale


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The objects of a database, without yoyo's own."""
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%yoyo%' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    return connection.execute(query).fetchall()


@functools.cache
def schema_after(ids: tuple[str, ...]) -> list[tuple[str, str]]:
    """The schema that these migrations make, run as plain SQL."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for id in ids:
            connection.executescript((migrations_folder() / f"{id}.sql").read_text(encoding="utf-8"))
        return schema(connection)


@pytest.mark.parametrize("direction", ["apply", "rollback"])
def test_some_writes(direction: str) -> None:
    report = assert_healthy("migration crashes", BODY, preload=library(), backend="ours", direction=direction, step=149)
    assert report.counts["crash points"] > 1


@pytest.mark.long
@pytest.mark.parametrize("direction", ["apply", "rollback"])
def test_every_thirteenth_write(direction: str) -> None:
    assert_healthy(
        "migration crashes", BODY, preload=library(), timeout=240, backend="ours", direction=direction, step=13
    )


@pytest.mark.long
def test_stock_yoyo_is_seen_to_break() -> None:
    (report,) = run_body(BODY, preload=library(), timeout=240, backend="stock", direction="apply", step=17)
    for anomaly in ("inapplicable schema", "stale lock"):
        note(
            "red",
            suite="migration crashes",
            mutant="stock yoyo backend",
            anomaly=anomaly,
            hits=int(anomaly in report.classes),
            seeds=1,
            seen=sorted(report.classes),
        )
    assert {"inapplicable schema", "stale lock"} <= report.classes
