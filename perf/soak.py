"""Fifteen minutes of mixed load on one file: 4 writers, 4 readers, a worker, purging and upkeep, each a process.

    python perf/soak.py [--minutes 15]

Every process is paced, so that the load is the same on a fast machine and on a slow one: a writer commits 50 times a
second at full durability (a conversation, 20 messages, a learning, a job; what it wrote three minutes before is deleted),
a reader reads 100 times (a page, a record, a list, a search), the worker runs the jobs, purging takes away what was deleted,
upkeep runs every ten seconds. First one reader reads alone, which is the idle figure. Writes perf/results/soak.json:
percentiles and sizes by interval. Exits 1 where reads take more than five times the idle p99, or a file goes on growing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

from measuring import finish, folder, origin, percentiles
from peers import CONTENT
from sample_database import Life, seeded
from sample_values import uid

from datastore import Datastore
from datastore.values import utc_now

GOAL, ROWS, IDLE_SECONDS = 5.0, 20_000, 15
KEPT_SECONDS = 180
#: Calls a second of each process.
WRITES, READS = 50, 100
WRITERS, READERS = 4, 4


class Pace:
    """Calls at a steady rate until a moment; what took how long."""

    def __init__(self, rate: float, end: float) -> None:
        self.every, self.end = 1 / rate, end
        self.next = time.time()
        self.times: list[tuple[float, float]] = []

    def __call__(self, work: Any) -> bool:
        """Wait for the turn and do it; whether there is time left."""
        if (wait := self.next - time.time()) > 0:
            time.sleep(wait)
        self.next = max(self.next + self.every, time.time() - 1)
        begun = time.perf_counter()
        work()
        self.times.append((time.time(), (time.perf_counter() - begun) * 1e3))
        return time.time() < self.end


def writer(store: Datastore, number: int, end: float) -> list[tuple[float, float]]:
    pace, written = Pace(WRITES, end), deque[tuple[float, str]]()
    id, count = "", 0

    def step() -> None:
        nonlocal id, count
        if count % 23 == 0:
            id = store.conversations.add(sanitization_version="1", source=f"writer-{number}").id
            written.append((time.time(), id))
        elif count % 23 == 21:
            store.learnings.add(
                conversation_id=id, category="soak", title="What was learned", content=CONTENT, tags=["soak"]
            )
        elif count % 23 == 22 and written[0][0] < time.time() - KEPT_SECONDS:
            store.conversations.soft_delete(written.popleft()[1])
        elif count % 23 == 22:
            store.jobs.enqueue("soak", {"conversation_id": id})
        else:
            store.messages.append(id, role="user", content=f"{count} {CONTENT}")
        count += 1

    while pace(step):
        pass
    return pace.times


def reader(store: Datastore, number: int, end: float) -> list[tuple[float, float]]:
    pace, count, life = Pace(READS, end), number, Life(ROWS)
    shown = [n for n in range(1, life.conversations) if life.deleted(n) is None]

    def step() -> None:
        nonlocal count
        count += 1
        one = shown[count * 31 % len(shown)]
        if count % 10 == 0:
            store.learnings.search(life.titles[count % 97].split()[0], max_rows=10)
        elif count % 3 == 0:
            store.conversations.list(max_rows=50)
        elif count % 3 == 1:
            store.messages.list(uid(1, one), max_rows=50)
        else:
            store.conversations.get(uid(1, one))

    while pace(step):
        pass
    return pace.times


def worker(store: Datastore, number: int, end: float) -> list[tuple[float, float]]:
    pace = Pace(20, end)

    def step() -> None:
        if (job := store.jobs.claim(["soak"], worker="soak")) is not None:
            store.jobs.succeed(job)

    while pace(step):
        pass
    return pace.times


def upkeep(store: Datastore, number: int, end: float) -> list[tuple[float, float]]:
    """Purges conversations and ended jobs, and gives pages back."""
    pace, count = Pace(1, end), 0

    def step() -> None:
        nonlocal count
        count += 1
        store.conversations.purge(deleted_before=utc_now(), max_rows=10)
        store.jobs.prune(finished_before=utc_now() - timedelta(seconds=KEPT_SECONDS), max_rows=100)
        if count % 10 == 0:
            store.maintenance.run(budget=0.5)

    while pace(step):
        pass
    return pace.times


KINDS = {"write": (writer, WRITERS), "read": (reader, READERS), "worker": (worker, 1), "upkeep": (upkeep, 1)}


def process(kind: str, path: str, number: int, end: float, target: str) -> None:
    with Datastore.open(path) as store:
        times = KINDS[kind][0](store, number, end)
    Path(target).write_text(json.dumps(times))


def load(
    path: Path, place: Path, seconds: float
) -> tuple[dict[str, list[tuple[float, float]]], list[tuple[float, int, int]]]:
    """The times of each kind of process, and (when, bytes of the WAL, bytes of the file) once a second."""
    spawn = multiprocessing.get_context("spawn")
    end = time.time() + seconds + 3
    team, files = [], {}
    for kind, (_, many) in KINDS.items():
        files[kind] = [place / f"{kind}-{number}.json" for number in range(many)]
        for number, target in enumerate(files[kind]):
            team.append(spawn.Process(target=process, args=(kind, str(path), number, end, str(target))))
    for one in team:
        one.start()
    sizes = []
    while any(one.is_alive() for one in team):
        wal = Path(f"{path}-wal")
        sizes.append((time.time(), wal.stat().st_size if wal.exists() else 0, path.stat().st_size))
        time.sleep(1)
    if any(one.exitcode for one in team):
        raise SystemExit("a process of the load failed; its traceback is above")
    times = {kind: [pair for file in some for pair in json.loads(file.read_text())] for kind, some in files.items()}
    return times, sizes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    minutes = parser.parse_args().minutes
    with folder() as place:
        path = place / "soak.db"
        seeded(path, ROWS)
        with Datastore.open(path) as store:
            idle = percentiles([took for _, took in reader(store, 0, time.time() + IDLE_SECONDS)])
        begun = time.time()
        times, sizes = load(path, place, minutes * 60)
    step = max(1.0, minutes * 60 / 90)
    lines: dict[str, Any] = {}
    for number in range(int(minutes * 60 / step)):
        low, high = begun + number * step, begun + (number + 1) * step
        line: dict[str, Any] = {}
        for kind, pairs in times.items():
            if some := [took for at, took in pairs if low <= at < high]:
                line[kind] = percentiles(some)
        if seen := [(wal, file) for at, wal, file in sizes if low <= at < high]:
            line["wal_bytes"], line["file_bytes"] = max(wal for wal, _ in seen), max(file for _, file in seen)
        lines[str(round((number + 1) * step))] = line
    whole = {kind: percentiles([took for _, took in pairs]) for kind, pairs in times.items()}
    counts = {kind: len(pairs) for kind, pairs in times.items()}
    missed = []
    if whole["read"][2] > GOAL * idle[2]:
        missed.append(
            f"reads: p99 {whole['read'][2]:.2f} ms, {whole['read'][2] / idle[2]:.1f} x the idle {idle[2]:.2f} ms"
        )
    for key in ("wal_bytes", "file_bytes"):
        seen = [line[key] for line in lines.values() if key in line]
        middle, last = (max(seen[len(seen) * n // 3 : len(seen) * (n + 1) // 3]) for n in (1, 2))
        if minutes * 60 > 3 * KEPT_SECONDS and last > 1.25 * middle:
            missed.append(f"{key}: {last:,} in the last third, {middle:,} in the middle one")
    result = {
        **origin(f"python perf/soak.py --minutes {minutes:g}"), "calls": counts, "idle_read": idle, "whole": whole,
        "missed": missed, "seconds": lines,
    }  # fmt: skip
    print(f"idle read {idle}, under load {whole}, calls {counts}")
    return finish("soak", result, "seconds")


if __name__ == "__main__":
    raise SystemExit(main())
