"""The write gate, measured: processes that write at once, by ticket, by a blocking flock alone, and without a gate.

Each process repeats a transaction (append a message, then stay in it for 0 or 2 ms) for the given time. Fairness is
the smallest share x processes / total: 1 is fair, 0 means one process did nothing. The wait is that of a whole
transaction, its commit and checkpoint included. Errors are BusyError after the store's timeout of 5 s. The kinds take turns; rates and fairness are medians of
the rounds, the worst wait is the worst of all.
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
from datastore.engines.sqlite.gate import Gate, fcntl
from datastore.errors import BusyError

TIMEOUT = 5.0
KINDS = ("tickets", "flock", "none")


class BlockingGate(Gate):
    """What was rejected: the kernel wakes the waiters of a blocking flock; whoever comes by takes it before them."""

    def _wait(self, seconds: float, timeout: float) -> None:
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_EX)


def open_store(path: Path | str, kind: str, durability: Any) -> Datastore:
    store = Datastore.open(path, gate=kind != "none", durability=durability, timeout=TIMEOUT)
    if kind == "flock":
        store.engine.gate = BlockingGate(f"{path}.gate")
    return store


def writer(
    path: str, kind: str, durability: Any, hold: float, seconds: float, number: int, start: Any, out: Any
) -> None:
    done = errors = 0
    worst = 0.0
    with open_store(path, kind, durability) as store:
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


def contend(folder: Path, processes: int, hold: float, kind: str, durability: str, seconds: float) -> dict[str, Any]:
    path = Path(tempfile.mkdtemp(dir=folder)) / "gate.db"
    with Datastore.open(path, migrate=True) as store:
        for number in range(processes):
            store.conversations.add(id=f"c{number}", sanitization_version="1")
    spawn = multiprocessing.get_context("spawn")
    start, out = spawn.Barrier(processes), spawn.Queue()
    team = [
        spawn.Process(target=writer, args=(str(path), kind, durability, hold, seconds, number, start, out))
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


def row(processes: int, hold: float, durability: str, kind: str, runs: list[dict[str, Any]], seconds: float) -> str:
    middle = sorted(runs, key=lambda run: run["fairness"])[len(runs) // 2]
    cells = [
        f"{processes}", f"{hold * 1000:.0f} ms", durability, kind, ", ".join(map(str, middle["commits"])),
        f"{statistics.median(sum(run['commits']) for run in runs) / seconds:,.0f}",
        f"{middle['fairness']:.2f}", f"{max(run['worst'] for run in runs):.2f} s", f"{sum(run['errors'] for run in runs)}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="prints a table always; kept for scripts")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[4, 8])
    arguments = parser.parse_args()
    print(
        "| Processes | Held | Durability | Gate | Commits per process | Total/s | Fairness | Worst wait | Errors |\n"
        "|---:|---:|---|---|---|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as name:
        folder = Path(name)
        for processes in arguments.processes:
            for hold in (0.0, 0.002):
                for durability in ("full", "relaxed"):
                    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
                    for number in range(arguments.rounds):
                        for kind in KINDS[:: (-1) ** number]:
                            found[kind].append(contend(folder, processes, hold, kind, durability, arguments.seconds))
                    for kind, runs in found.items():
                        print(row(processes, hold, durability, kind, runs, arguments.seconds), flush=True)
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
