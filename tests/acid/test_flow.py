"""Workers are killed while jobs wait for places, turns and batches: no limit is exceeded, and no job is stuck."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from tests.acid.flow import exceeded, limit, new_jobs, out_of_turn
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database
from tests.postgresql import database

HERE = "tests.acid.test_flow"


@contextmanager
def workers(place: str, count: int, seed: int) -> Iterator[list[subprocess.Popen[str]]]:
    running = [start(place, seed + n) for n in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait(30)


def start(place: str, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.acid.flow", place, str(seed)], text=True, stdout=subprocess.DEVNULL
    )


def flow(
    *, seed: int, folder: Path, url: str = "", kills: int, processes: int = 4, jobs: int = 24, patience: float = 60.0
) -> Report:
    report, rng = Report(), random.Random(seed)
    place = url or str(new_database(folder))
    with Datastore.open(place, migrate=bool(url), durability="relaxed") as store:
        limit(store)
        total = len(store.jobs.enqueue_many(new_jobs(rng, jobs)))
        done = threading.Event()
        watching = threading.Thread(target=watch, args=(place, report, done))
        watching.start()
        with workers(place, processes, seed * 1000) as running:
            ended, until, last = 0, time.monotonic() + patience, 0.0
            while ended < total and time.monotonic() < until:
                if report.counts["kills"] < kills and time.monotonic() > last + rng.uniform(0.2, 0.8):
                    victim = rng.randrange(processes)
                    running[victim].send_signal(signal.SIGKILL)
                    running[victim].wait(30)
                    report.counts["kills"] += 1
                    running[victim] = start(place, rng.randrange(1 << 30))
                    last = time.monotonic()
                    until = last + patience
                    if total - ended < processes and report.counts["kills"] < kills:
                        total += len(store.jobs.enqueue_many(new_jobs(rng, jobs)))
                time.sleep(0.05)
                ended = sum(one.count for one in store.jobs.counts() if one.status == "succeeded")
        done.set()
        watching.join(30)
        report.counts["jobs"] += ended
        if ended != total:
            left = {(job.type, job.status, job.waits_for) for job in store.jobs.iterate() if job.finished_at is None}
            report.found("lost job", f"{total - ended} of {total} jobs did not end: {sorted(map(str, left))}")
        else:
            for detail in set(out_of_turn(store, slack=0.25 if url else 0.0)):
                report.found("limit exceeded", detail)
            if problems := {name: found for name, found in store.verify().items() if found}:
                report.found("model mismatch", f"{problems}")
    return report


def watch(place: str, report: Report, done: threading.Event) -> None:
    with Datastore.open(place) as store:
        while not done.wait(0.002):
            report.counts["looks"] += 1
            for detail in exceeded(store):
                report.found("limit exceeded", detail)


def test_a_few_kills() -> None:
    assert_healthy("limits, sequences and batches", f"{HERE}:flow", kills=4, timeout=240)


def test_a_few_kills_on_postgresql() -> None:
    with database("flow") as url:
        assert_healthy("limits, sequences and batches on PostgreSQL", f"{HERE}:flow", kills=4, url=url, timeout=240)


@pytest.mark.long
def test_200_kills() -> None:
    assert_healthy("limits, sequences and batches", f"{HERE}:flow", kills=200, processes=8, timeout=1800)


@pytest.mark.long
def test_200_kills_on_postgresql() -> None:
    with database("flow_long") as url:
        assert_healthy(
            "limits, sequences and batches on PostgreSQL", f"{HERE}:flow", kills=200, processes=8, url=url, timeout=1800
        )


@reds(
    Red("running jobs are not counted", "limit exceeded"),
    Red("jobs of a key are not counted", "limit exceeded"),
    Red("a bucket that stays full", "limit exceeded"),
    Red("a sequence that does not wait", "limit exceeded"),
    Red("a batch that is not waited for", "limit exceeded"),
    Red("a sequence that stops", "lost job", given={"patience": 5.0}),
    Red("a batch that never ends", "lost job", given={"patience": 5.0}),
    Red("jobs without a place are forgotten", "lost job", given={"patience": 5.0}),
    slow=True,
)
def test_mutants(red: Red) -> None:
    given: dict[str, Any] = {"kills": 0, "processes": 4, "jobs": 48}
    assert_red("flow", f"{HERE}:flow", red, **given)


@reds(Red("limits without a lock", "limit exceeded", given={"processes": 8}), slow=True)
def test_mutants_on_postgresql(red: Red) -> None:
    with database("flow_red") as url:
        assert_red("flow on PostgreSQL", f"{HERE}:flow", red, kills=0, jobs=100, url=url)
