"""The job queue, measured beside its peers: same durability, same processes, rounds interleaved, medians.

python perf/queue/measure.py cycle     enqueue, claim, acknowledge: 1 and 4 processes, NORMAL and FULL
python perf/queue/measure.py drain     a backlog of 10,000; batches of 50
python perf/queue/measure.py scale     a claim at 1,000 and at 1,000,000 rows: time and opcodes
python perf/queue/measure.py calls     every operation on 1,000,000 rows: p50, p99, worst

Exits 1 and names each bar that was missed. The bars hold for the standard arguments on a quiet machine.

Needs the peers: pip install -e '.[bench]'. Prints tables as Markdown and writes perf/results/queue-WHAT.json;
perf/queue/README.md keeps a run of each. DATASTORE_PERF_FOLDER chooses the disk.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from queues import PAYLOAD, QUEUES, locked

from datastore import Datastore, NewJob
from datastore.values import encode_timestamp, utc_now

sys.path.append(str(Path(__file__).resolve().parents[1]))
from measuring import MISSED, bar, finish, folder, origin  # of perf/, beside this folder

NAMES = {"full": "FULL", "relaxed": "NORMAL"}

#: The heads of the columns that say what a line is about.
KEYS = ("queue", "rows", "planner", "claim of", "operation")

#: Every line of the tables: table and first cell, to the other cells by their heads.
LINES: dict[str, dict[str, str]] = {}


def table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    """Print a table, and keep it for the result file."""
    print(f"{title}\n")
    for row in rows:
        key = ": ".join([title, *(cell for head, cell in zip(heads, row, strict=True) if head in KEYS)])
        LINES[key] = {head: cell for head, cell in zip(heads, row, strict=True) if head not in KEYS}
    print("| " + " | ".join(heads) + " |")
    print("|---|" + "---:|" * (len(heads) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


# The cycle.


def cycles(name: str, place: str, durability: str, seconds: float, start: Any, out: Any) -> None:
    """One process: enqueue, claim, acknowledge, until the time is over."""
    queue = QUEUES[name](Path(place), durability)
    count = errors = 0
    times: list[float] = []
    taken: list[Any] = []
    start.wait()
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        try:
            queue.put()
            put = time.perf_counter()
            job = queue.take()
            took = time.perf_counter()
            if job is not None:
                queue.done(job)
                taken.append(identity(job))
            done = time.perf_counter()
            times += [put - before, took - put, done - took]
            count += job is not None
        except Exception as error:
            if not locked(error):
                raise
            errors += 1
            times.append(time.perf_counter() - before)
    queue.close()
    out.put((count, sorted(times), taken, errors))


def identity(job: Any) -> Any:
    if isinstance(job, dict):
        return job["pqid"]
    return getattr(job, "id", None) or getattr(job, "message_id", None)


def contend(name: str, processes: int, durability: str, seconds: float) -> dict[str, float]:
    spawn = multiprocessing.get_context("spawn")
    with folder() as place:
        QUEUES[name](place, durability).close()
        start, out = spawn.Barrier(processes), spawn.Queue()
        team = [
            spawn.Process(target=cycles, args=(name, str(place), durability, seconds, start, out))
            for _ in range(processes)
        ]
        for process in team:
            process.start()
        results = [out.get(timeout=seconds + 120) for _ in team]
        for process in team:
            process.join()
    counts = sorted(count for count, _, _, _ in results)
    times = sorted(one for _, some, _, _ in results for one in some)
    taken = [one for _, _, some, _ in results for one in some if one is not None]
    return {
        "rate": sum(counts) / seconds,
        "fairness": counts[0] * processes / max(1, sum(counts)),
        "p99": times[int(len(times) * 0.99)],
        "worst": times[-1],
        "twice": 100 * (1 - len(set(taken)) / len(taken)) if taken else 0.0,
        "errors": sum(errors for _, _, _, errors in results),
    }


def cycle(team: list[int], durabilities: list[str], rounds: int, seconds: float) -> None:
    for processes in team:
        for durability in durabilities:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in QUEUES}
            for number in range(rounds):
                for name in sorted(QUEUES, reverse=bool(number % 2)):
                    found[name].append(contend(name, processes, durability, seconds))
            base = statistics.median(one["rate"] for one in found["litequeue 0.9"])
            rows = []
            for name, runs in found.items():
                rate = statistics.median(one["rate"] for one in runs)
                rows.append([
                    name, f"{rate:,.0f}", f"{rate / base:.2f}", f"{statistics.median(one['fairness'] for one in runs):.2f}",
                    f"{statistics.median(one['p99'] for one in runs) * 1e3:.1f}",
                    f"{max(one['worst'] for one in runs) * 1e3:,.0f}",
                    f"{max(one['twice'] for one in runs):.1f} %", f"{sum(one['errors'] for one in runs):.0f}",
                ])  # fmt: skip
            heads = ["queue", "cycles/s", "x litequeue", "fairness", "p99, ms", "worst, ms", "taken twice", "locked"]
            title = (
                f"{processes} process{'es' * (processes > 1)}, {NAMES[durability]}, {rounds} rounds of {seconds:g} s"
            )
            table(title, heads, rows)
            cycle_bars(
                f"cycle, {processes} at {NAMES[durability]}", found, contended=processes > 1 and durability == "full"
            )


def cycle_bars(what: str, found: dict[str, list[dict[str, float]]], *, contended: bool) -> None:
    def middle(name: str, key: str) -> float:
        return statistics.median(one[key] for one in found[name])

    ours = middle("datastore", "rate")
    bar(f"{what}, x litequeue", ours / middle("litequeue 0.9", "rate"), at_least=1)
    bar(f"{what}, x persist-queue", ours / middle("persist-queue", "rate"), at_least=3)
    bar(f"{what}, taken twice, %", max(one["twice"] for one in found["datastore"]), at_most=0)
    if contended:
        bar(f"{what}, fairness", middle("datastore", "fairness"), at_least=0.9)
        bar(f"{what}, worst, ms", max(one["worst"] for one in found["datastore"]) * 1e3, at_most=250)


# A backlog.


def drain_ours(how: str, place: Path, durability: Any, jobs: int) -> float:
    with Datastore.open(place / "ours.db", migrate=True, durability=durability) as store:
        queue = store.jobs
        begun = time.perf_counter()
        for first in range(0, jobs, 50):
            queue.enqueue_many([NewJob(type="t", payload=PAYLOAD)] * min(50, jobs - first))
        enqueued = time.perf_counter()
        if how == "batches of 50":
            while batch := queue.claim_many(["t"], worker="w", max_rows=50):
                queue.succeed_many(batch)
        elif how == "complete and claim next":
            job = queue.claim(["t"], worker="w")
            while job is not None:
                job = queue.succeed_and_claim(job, types=["t"], worker="w")
        elif how == "one by one":
            while (job := queue.claim(["t"], worker="w")) is not None:
                queue.succeed(job)
        else:
            return jobs / (enqueued - begun)
        return jobs / (time.perf_counter() - enqueued)


def drain_peer(name: str, place: Path, durability: str, jobs: int) -> float:
    queue = QUEUES[name](place, durability)
    for _ in range(jobs):
        queue.put()
    begun = time.perf_counter()
    while (job := queue.take()) is not None:
        queue.done(job)
    rate = jobs / (time.perf_counter() - begun)
    queue.close()
    return rate


def drain(durabilities: list[str], rounds: int, jobs: int) -> None:
    ours = ["one by one", "complete and claim next", "batches of 50", "enqueue, batches of 50"]
    peers = ["litequeue 0.9", "huey", "persist-queue"]
    for durability in durabilities:
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for how in ours:
                with folder() as place:
                    found.setdefault(f"datastore, {how}", []).append(drain_ours(how, place, durability, jobs))
            for name in peers:
                with folder() as place:
                    found.setdefault(name, []).append(drain_peer(name, place, durability, jobs))
            print(f"round: { {name: round(rates[-1]) for name, rates in found.items()} }", file=sys.stderr, flush=True)
        base = statistics.median(found["litequeue 0.9"])
        table(
            f"A backlog of {jobs:,}, one process, {NAMES[durability]}, {rounds} rounds",
            ["queue", "jobs/s", "x litequeue"],
            [[name, f"{statistics.median(rates):,.0f}", f"{statistics.median(rates) / base:.1f}"]
             for name, rates in found.items()],
        )  # fmt: skip
        rates = {how: statistics.median(found[f"datastore, {how}"]) for how in ours}
        what = f"backlog at {NAMES[durability]}"
        bar(f"{what}, one by one, x litequeue", rates["one by one"] / base, at_least=4)
        bar(f"{what}, batches of 50, x litequeue", rates["batches of 50"] / base, at_least=4)
        if durability == "relaxed":
            bar(f"{what}, batches of 50, jobs/s", rates["batches of 50"], at_least=20_000)


# A million rows.


def fill(path: Path, ended: int, future: int, ready: int) -> None:
    """Rows of ten types, written by SQL: ended ones first, future ones at the top priority."""
    now, later = encode_timestamp(utc_now()), encode_timestamp(utc_now() + timedelta(days=30))
    with closing(sqlite3.connect(path)) as connection:
        for status, priority, run_at, finished, rows in (
            ("succeeded", 0, now, now, ended), ("queued", 9, later, None, future), ("queued", 4, now, None, ready),
        ):  # fmt: skip
            connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)"
                " INSERT INTO job_queue (type, status, priority, run_at, max_attempts, backoff_seconds, backoff_cap_seconds,"
                " worker, attempts, lease_token, started_at, created_at, updated_at, finished_at)"
                " SELECT 't' || (i % 10), :status, :priority, :run_at, 5, 10.0, 3600.0, CASE WHEN :finished IS NULL THEN NULL"
                " ELSE 'w' END, :finished IS NOT NULL, :finished IS NOT NULL, :finished, :now, :now, :finished FROM n",
                {
                    "rows": rows,
                    "status": status,
                    "priority": priority,
                    "run_at": run_at,
                    "finished": finished,
                    "now": now,
                },
            )
        connection.commit()


def opcodes(store: Datastore, types: list[str]) -> int:
    """How many steps SQLite's machine takes for a claim, its look for expired leases included."""
    connection = store.engine._thread.connected().connection
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    connection.set_progress_handler(tick, 1)
    try:
        job = store.jobs.claim(types, worker="w")
    finally:
        connection.set_progress_handler(None, 0)
    assert job is not None
    store.jobs.release(job)
    return count


SHAPES = {
    "1,000": (900, 50, 50),
    "1,000,000": (900_000, 50_000, 50_000),
    "1,000,000, of them 800,000 of the future": (150_000, 800_000, 50_000),
}
VARIANTS = {
    "as it is": "",
    "after ANALYZE": "ANALYZE",
    "ANALYZE, rogue index on status": "CREATE INDEX rogue ON job_queue (status); ANALYZE",
    "rogue index, no statistics": "DELETE FROM sqlite_stat1",
}


def scale(calls: int) -> None:
    """Claims of the three shapes take turns, so that all of them meet the same machine."""
    rows = []
    with folder() as place:
        paths = {shape: place / f"{number}.db" for number, shape in enumerate(SHAPES)}
        for shape, path in paths.items():
            Datastore.open(path, migrate=True).close()
            fill(path, *SHAPES[shape])
        for variant, sql in VARIANTS.items():
            for path in paths.values():
                with closing(sqlite3.connect(path)) as connection:
                    connection.executescript(sql)
            stores = {shape: Datastore.open(path, durability="relaxed") for shape, path in paths.items()}
            for types, label in ((["t3"], "1 type"), (["t1", "t2", "t3"], "3 types")):
                steps = {shape: opcodes(store, types) for shape, store in stores.items()}
                times: dict[str, list[float]] = {shape: [] for shape in stores}
                for _ in range(calls):
                    for shape, store in stores.items():
                        begun = time.perf_counter()
                        job = store.jobs.claim(types, worker="w")
                        times[shape].append(time.perf_counter() - begun)
                        assert job is not None
                        store.jobs.release(job)
                base = next(iter(stores))
                for shape in stores:
                    micro = {one: statistics.median(times[one]) * 1e6 for one in (base, shape)}
                    rows.append([shape, variant, label, f"{micro[shape]:.0f}", f"{micro[shape] / micro[base]:.2f}",
                                 f"{steps[shape]:,}", f"{steps[shape] / steps[base]:.3f}"])  # fmt: skip
                    what = f"claim of {label}, {shape} rows, {variant}"
                    bar(f"{what}: median, x", micro[shape] / micro[base], at_most=1.5)
                    bar(f"{what}: opcodes, x", steps[shape] / steps[base], at_least=0.9, at_most=1.1)
            for store in stores.values():
                store.close()
    table("A claim", ["rows", "planner", "claim of", "median, µs", "x", "opcodes", "x"], rows)


def call_list(store: Datastore) -> dict[str, Callable[[int], Any]]:
    jobs = store.jobs
    held = jobs.claim_many(["t5"], worker="w", lease_seconds=3600, max_rows=1000)
    late = [job.id for job in jobs.enqueue_many([NewJob(type="later", delay=3600)] * 300)]
    spare = iter(held)

    def on(act: Callable[[Any], Any]) -> Callable[[int], Any]:
        return lambda n: act(next(spare))

    bad = [jobs.fail(next(spare), "no", permanent=True).id for _ in range(150)]
    return {
        "enqueue": lambda n: jobs.enqueue("t1", PAYLOAD),
        "enqueue, dedupe_key": lambda n: jobs.enqueue("t1", PAYLOAD, dedupe_key=f"k{n % 50}"),
        "enqueue_many (50)": lambda n: jobs.enqueue_many([NewJob(type="t1", payload=PAYLOAD)] * 50),
        "claim, one type": lambda n: jobs.claim(["t1"], worker="w", lease_seconds=3600),
        "claim, every type": lambda n: jobs.claim(worker="w", lease_seconds=3600),
        "claim_many (50)": lambda n: jobs.claim_many(["t2"], worker="w", lease_seconds=3600, max_rows=50),
        "claim, nothing due": lambda n: jobs.claim(["none"], worker="w"),
        "heartbeat": lambda n: jobs.heartbeat(held[-1], progress=n, lease_seconds=3600),
        "succeed": on(jobs.succeed),
        "fail": on(lambda job: jobs.fail(job, "no")),
        "release": on(jobs.release),
        "snooze": on(lambda job: jobs.snooze(job, 3600)),
        "get": lambda n: jobs.get(1000 + n),
        "attempts": lambda n: jobs.attempts(1000 + n),
        "list": lambda n: jobs.list(),
        "list, running": lambda n: jobs.list(status="running"),
        "list, quarantined": lambda n: jobs.list(status="quarantined"),
        "list, queued": lambda n: jobs.list(status="queued"),
        "counts": lambda n: jobs.counts(),
        "cancel": lambda n: jobs.cancel(late[n]),
        "retry": lambda n: jobs.retry(late[-1 - n]),
        "requeue": lambda n: jobs.requeue(bad[n]),
        "pause": lambda n: jobs.pause(f"p{n}"),
        "resume": lambda n: jobs.resume(f"p{n}"),
        "prune (100)": lambda n: jobs.prune(finished_before=utc_now(), max_rows=100),
    }


def calls(count: int, ended: int, future: int, ready: int) -> None:
    with folder() as place:
        path = place / "jobs.db"
        Datastore.open(path, migrate=True).close()
        fill(path, ended, future, ready)
        rows = []
        with Datastore.open(path) as store:
            for name, call in call_list(store).items():
                times = []
                with suppress(StopIteration):
                    for number in range(count):
                        begun = time.perf_counter()
                        call(number)
                        times.append((time.perf_counter() - begun) * 1e3)
                times.sort()
                p99 = times[int(0.99 * (len(times) - 1) + 0.5)]
                rows.append([name, f"{statistics.median(times):.2f}", f"{p99:.2f}", f"{times[-1]:.2f}",
                             "" if p99 <= 50 else "**above 50**"])  # fmt: skip
                bar(f"{name}, {ended + future + ready:,} rows of which {future:,} future: p99, ms", p99, at_most=50)
    title = f"{ended:,} ended, {future:,} future, {ready:,} ready; {count} calls of each, FULL"
    table(title, ["operation", "p50, ms", "p99, ms", "worst, ms", "bar"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cycle", "drain", "scale", "calls"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--durability", nargs="+", choices=list(NAMES), default=["relaxed", "full"])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    if arguments.what == "cycle":
        cycle(arguments.processes, arguments.durability, arguments.rounds, arguments.seconds)
    elif arguments.what == "drain":
        drain(arguments.durability, arguments.rounds, arguments.jobs)
    elif arguments.what == "scale":
        scale(400)
    else:
        calls(100, 900_000, 50_000, 50_000)
        calls(100, 150_000, 800_000, 50_000)
    command = f"python perf/queue/measure.py {' '.join(sys.argv[1:])}"
    return finish(f"queue-{arguments.what}", {**origin(command), "missed": MISSED, "lines": LINES}, "lines")


if __name__ == "__main__":
    raise SystemExit(main())
