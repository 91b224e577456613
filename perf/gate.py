"""The write gate, measured: processes that write at once, with the gate and without it.

Each process repeats a transaction (append a message, then stay in it for 0 or 2 ms) for the given time. Fairness is
the smallest share x processes / total: 1 is fair, 0 means one process did nothing. The wait is that of a whole
transaction, its commit and checkpoint included. Errors are BusyError after the store's timeout of 5 s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datastore import Datastore
from datastore.errors import BusyError

TIMEOUT = 5.0


def writer(
    path: str, gate: bool, durability: Any, hold: float, seconds: float, number: int, start: Any, out: Any
) -> None:
    done = errors = 0
    worst = 0.0
    with Datastore.open(path, gate=gate, durability=durability, timeout=TIMEOUT) as store:
        store.messages.count()
        start.wait()
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            try:
                with store.transaction():
                    store.messages.append(f"c{number}", role="user", content="a short message")
                    if hold:
                        time.sleep(hold)
                done += 1
            except BusyError:
                errors += 1
            worst = max(worst, time.perf_counter() - begin)
    out.put((done, errors, worst))


def contend(folder: Path, processes: int, hold: float, gate: bool, durability: str, seconds: float) -> dict[str, Any]:
    path = Path(tempfile.mkdtemp(dir=folder)) / "gate.db"
    with Datastore.open(path, migrate=True) as store:
        for number in range(processes):
            store.conversations.add(id=f"c{number}", sanitization_version="1")
    spawn = multiprocessing.get_context("spawn")
    start, out = spawn.Barrier(processes), spawn.Queue()
    team = [
        spawn.Process(target=writer, args=(str(path), gate, durability, hold, seconds, number, start, out))
        for number in range(processes)
    ]
    for process in team:
        process.start()
    results = [out.get(timeout=seconds + 60) for _ in team]
    for process in team:
        process.join()
    commits = sorted(done for done, _, _ in results)
    with Datastore.open(path) as store:
        assert store.messages.count() == sum(commits)
    return {
        "commits": commits,
        "fairness": commits[0] * processes / max(1, sum(commits)),
        "worst": max(worst for _, _, worst in results),
        "errors": sum(errors for _, errors, _ in results),
    }


def alone(folder: Path, durability: Any, rounds: int = 200, calls: int = 10) -> tuple[float, float]:
    """Median seconds of an append with the gate and without, by one process; rounds interleaved."""
    place = Path(tempfile.mkdtemp(dir=folder))
    stores = [
        Datastore.open(place / f"{gate}.db", migrate=True, gate=gate, durability=durability) for gate in (True, False)
    ]
    times: tuple[list[float], list[float]] = ([], [])
    for store in stores:
        store.conversations.add(id="c", sanitization_version="1")
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:
            start = time.perf_counter()
            for _ in range(calls):
                stores[which].messages.append("c", role="user", content="a short message")
            times[which].append((time.perf_counter() - start) / calls)
    for store in stores:
        store.close()
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--processes", type=int, nargs="+", default=[4, 8])
    arguments = parser.parse_args()
    heads = [
        "Processes",
        "Held",
        "Durability",
        "Gate",
        "Commits per process",
        "Total/s",
        "Fairness",
        "Worst wait",
        "Errors",
    ]
    if arguments.markdown:
        print("| " + " | ".join(heads) + " |\n|---:|---:|---|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as name:
        folder = Path(name)
        for processes in arguments.processes:
            for hold in (0.0, 0.002):
                for durability in ("full", "relaxed"):
                    for gate in (True, False):
                        found = contend(folder, processes, hold, gate, durability, arguments.seconds)
                        cells = [
                            f"{processes}", f"{hold * 1000:.0f} ms", durability, "yes" if gate else "no",
                            ", ".join(map(str, found["commits"])), f"{sum(found['commits']) / arguments.seconds:.0f}",
                            f"{found['fairness']:.2f}", f"{found['worst']:.2f} s", f"{found['errors']}",
                        ]  # fmt: skip
                        print("| " + " | ".join(cells) + " |" if arguments.markdown else "  ".join(cells), flush=True)
        print()
        for durability in ("full", "relaxed"):
            gated, free = alone(folder, durability)
            print(
                f"One process alone, {durability}: an append takes {gated * 1e6:.1f} µs with the gate, {free * 1e6:.1f}"
                f" without: {(gated - free) * 1e6:+.1f} µs, {gated / free:.2f} x"
            )
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
