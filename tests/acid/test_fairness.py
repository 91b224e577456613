"""Fairness: eight writer processes, none of which starves.

Each holds its transaction for 2 ms, again and again. SQLite's own busy handler lets one of them commit thousands of
times while another gets nothing; the write gate has to keep the least within half of the most, without one error.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import BusyError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_fairness:explore"

#: The least may have this part of what the most has.
BAR = 0.5


def explore(*, seed: int, folder: Path, writers: int, seconds: float, held: float) -> Report:
    """Count the commits of each writer; *held* is how long each keeps its transaction open, in seconds."""
    report = Report()
    path = new_database(folder)
    with Datastore.open(path) as store:
        store.conversations.add(id="c", sanitization_version="1")
    begin = time.monotonic() + 0.5
    children = [_fork(path, folder / f"{n}.json", begin, seconds, held) for n in range(writers)]
    for child in children:
        os.waitpid(child, 0)
    results = [json.loads((folder / f"{n}.json").read_text()) for n in range(writers)]
    commits = sorted(result["commits"] for result in results)
    errors = sum(result["errors"] for result in results)
    fairness = commits[0] / max(1, commits[-1])
    report.counts["commits"] = sum(commits)
    report.figures |= {
        "least/most": round(fairness, 2),
        "commits": commits,
        "worst wait, s": round(max(result["worst"] for result in results), 2),
        "errors": errors,
    }
    if fairness < BAR:
        report.found("starvation", f"commits {commits}")
    if errors:
        report.found("starvation", f"{errors} writers gave up")
    return report


def _fork(path: Path, result: Path, begin: float, seconds: float, held: float) -> int:
    child = os.fork()
    if child:
        return child
    try:
        result.write_text(json.dumps(_write(path, begin, seconds, held)))
    finally:
        os._exit(0)


def _write(path: Path, begin: float, seconds: float, held: float) -> dict[str, Any]:
    commits, errors, worst = 0, 0, 0.0
    with Datastore.open(path, timeout=5) as store:
        time.sleep(max(0.0, begin - time.monotonic()))
        while (asked := time.monotonic()) < begin + seconds:
            try:
                with store.transaction():
                    worst = max(worst, time.monotonic() - asked)
                    store.messages.append("c", role="user", content="x")
                    time.sleep(held)
                commits += 1
            except BusyError:
                errors += 1
    return {"commits": commits, "errors": errors, "worst": worst}


def test_eight_writers() -> None:
    assert_healthy("fairness, eight writers", BODY, writers=8, seconds=1.5, held=0.002)


@pytest.mark.long
def test_eight_writers_for_long() -> None:
    assert_healthy(
        "fairness, eight writers", BODY, seeds=(1, 2), alone=True, disk=True, writers=8, seconds=4, held=0.002
    )


@reds(Red("gate off", "starvation", seeds=10), slow=True)
def test_mutants(red: Red) -> None:
    assert_red("fairness, eight writers", BODY, red, alone=True, writers=8, seconds=2, held=0.002)
