"""kill -9 at random instants, with one writer and with three.

Proves: a transaction is there as a whole or not at all, what was acknowledged is there, the next writer gets the lock
at once, and the full-text index, the counters and the audit chain agree with the rows.

Does not prove durability: what a killed process wrote is safe in the page cache, whatever `synchronous` says. That is
test_crash_images.py's matter.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.errors import BusyError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import check_units, new_database, write_unit

BODY = "tests.acid.test_kill:explore"

#: A database is used for so many kills: a large one would take long to check.
KILLS_PER_DATABASE = 12

#: After so many damaged databases enough is known.
DAMAGED = 3


def explore(*, seed: int, folder: Path, kills: int, writers: int) -> Report:
    """Kill writers *kills* times, and look at the database after each."""
    report, chance = Report(), random.Random(seed)
    template = new_database(folder, "template.db")
    damaged, sound = 0, True
    for number in range(kills):
        if damaged == DAMAGED:
            break
        if not sound or number % KILLS_PER_DATABASE == 0:
            path, acks = folder / f"{number}.db", folder / f"{number}.acks"
            shutil.copy(template, path)
        children = [_fork(path, acks, f"u{number}-{writer}-") for writer in range(writers)]
        _wait_for_growth(acks)  # on a busy machine it may take a while until one writes at all
        time.sleep(chance.uniform(0, 0.04))
        for child in chance.sample(children, writers):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            time.sleep(chance.choice((0, 0.002)))
        report.counts["kills"] += writers
        acknowledged = set(acks.read_text().split()) if acks.exists() else set()
        anomalies, whole = check_units(path, acknowledged)
        report.extend(anomalies, f"kill {number}: ")
        sound = not anomalies
        damaged += not sound
        if sound:
            _write_on(path, f"u{number}-after", report)
        report.counts["units"] = max(report.counts["units"], len(whole))
    return report


def _wait_for_growth(file: Path) -> None:
    size, end = file.stat().st_size if file.exists() else 0, time.monotonic() + 3
    while time.monotonic() < end and (not file.exists() or file.stat().st_size == size):
        time.sleep(0.001)


def _fork(path: Path, acks: Path, prefix: str) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _write(path, acks, prefix)
    finally:
        os._exit(0)


def _write(path: Path, acks: Path, prefix: str) -> None:
    file = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Datastore.open(path, timeout=10) as store:
        for number in range(500):
            name = f"{prefix}{number}"
            write_unit(store, name, lambda name=name: os.write(file, f"{name}\n".encode()))


def _write_on(path: Path, name: str, report: Report) -> None:
    # Nobody lives who could hold a lock.
    try:
        with Datastore.open(path, timeout=2) as store:
            write_unit(store, name)
    except BusyError as error:
        report.found("stale lock", f"{name}: {error}")


def test_a_killed_writer_leaves_whole_transactions() -> None:
    assert_healthy("kill -9, one writer", BODY, kills=10, writers=1)


@pytest.mark.long
@pytest.mark.parametrize("writers", [1, 3])
def test_two_hundred_kills(writers: int) -> None:
    name = {1: "one writer", 3: "three writers"}[writers]
    assert_healthy(f"kill -9, {name}", BODY, kills=200 // writers, writers=writers)


@reds(
    Red("commit between statements", "partial transaction", seeds=10),
    Red("autocommit: no BEGIN", "partial transaction", seeds=10),
    Red("acknowledged before COMMIT", "lost commit", seeds=10),
    Red("journal OFF", "corrupt file", seeds=10, given={"kills": 40}),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("kill -9, one writer", BODY, red, **{"kills": 10, "writers": 1})
