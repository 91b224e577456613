"""The WAL-reset bug of SQLite 3.7.0 to 3.51.2, made to happen under gdb, and held off by the write gate.

A PASSIVE checkpoint reads the WAL's header; before it uses it, another process begins the WAL anew and commits. The
checkpoint then notes frames of the old WAL as written back, and the file is damaged after the next
few. gdb holds the checkpoint at each of the places where that could be. In the library every checkpoint holds the gate
(and the write lock), so that the other process waits.

Where there is no gdb, or SQLite's functions have no symbols, this is skipped: a skip is not a pass. On an SQLite that
has the fix the mutant is harmless, and its test is skipped too.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.cli.admin import has_wal_reset_bug
from datastore.errors import BusyError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import check_units, new_database, write_unit

BODY = "tests.acid.test_wal_reset:explore"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("gdb") is None, reason="NOT TESTED: the WAL-reset schedule needs gdb"),
]

#: The process that gdb holds: it opens the store and writes the WAL back.
CHECKPOINTER = """
import os, sys
from pathlib import Path
from datastore import Datastore
with Datastore.open(Path(sys.argv[1])) as store:
    store.conversations.count()
    os.getppid()
    store.engine.checkpoint()
"""


def explore(*, seed: int, folder: Path) -> Report:
    """A commit beside the checkpoint, at each of its returns between two locks."""
    report = Report()
    for number in range(1, 8):
        place = folder / str(number)
        place.mkdir()
        if not _schedule(place, number, report):
            break
    report.figures["SQLite"] = sqlite3.sqlite_version
    return report


def _schedule(place: Path, number: int, report: Report) -> bool:
    path, acknowledged = new_database(place), set()
    store = Datastore.open(path, timeout=0.5)
    for unit in range(5):
        write_unit(store, f"u{unit}", lambda unit=unit: acknowledged.add(f"u{unit}"))
    store.engine.checkpoint()
    if not _beside(place, path, number, store, acknowledged, report):
        return False
    report.counts["schedules"] += 1
    for unit in range(5):
        write_unit(store, f"u-after{unit}", lambda unit=unit: acknowledged.add(f"u-after{unit}"))
        store.engine.checkpoint()
    store.close()
    report.extend(check_units(path, acknowledged)[0], f"return {number}: ")
    return True


def _beside(place: Path, path: Path, number: int, store: Datastore, acknowledged: set[str], report: Report) -> bool:
    script = Path(__file__).with_name("gdb_schedule.py")
    command = ["gdb", "-batch", "-nx", "-x", str(script), "--args", sys.executable, "-c", CHECKPOINTER, str(path)]
    environment = {**os.environ, "ACID_FOLDER": str(place), "ACID_RETURN": str(number)}
    with open(place / "gdb.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 20
            while not (place / "stopped").exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            if not (place / "stopped").exists():
                return False
            try:
                write_unit(store, "u-beside", lambda: acknowledged.add("u-beside"))
                report.counts["commits beside the checkpoint"] += 1
            except BusyError:
                report.counts["commits held off"] += 1
            (place / "go").touch()
            process.wait(30)
        finally:
            process.kill()
            process.wait()
    return True


def test_the_gate_holds_the_commit_off() -> None:
    report = assert_healthy("WAL-reset schedule", BODY)
    if not report.counts["schedules"]:
        pytest.skip("NOT TESTED: gdb could not hold the checkpoint (no symbols, or no right to trace)")
    assert report.counts["commits held off"] == report.counts["schedules"]


@pytest.mark.skipif(not has_wal_reset_bug(sqlite3.sqlite_version_info), reason="NOT TESTED: this SQLite has the fix")
@reds(Red("PASSIVE checkpoints outside the gate", "corrupt file"))
def test_mutants(red: Red) -> None:
    assert_red("WAL-reset schedule", BODY, red)
