"""Erasure, purging and giving pages back on a store of a million messages, while another process writes.

    python perf/retention.py --build big.db          fills a store (some minutes)
    python perf/retention.py big.db erase            on a copy: one conversation, with the receipt
    python perf/retention.py big.db purge            on a copy: four tenths of the messages, then maintenance
    python perf/retention.py                         all three, and the store is deleted at the end

The writer appends a message every 5 ms, in a transaction of its own, and measures how long each took. Each part writes
its figures into perf/results/retention.json beside those of the other, with its bars; exits 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from measuring import folder, origin, read
from sample_database import fill
from sample_values import START

from datastore import Datastore
from datastore.engines.sqlite.files import copy_into

RESULTS = Path(__file__).resolve().parent / "results" / "retention.json"
PARTS = ("erase", "purge")

WRITER = """
import sys, time
from datastore import Datastore
times = []
with Datastore.open(sys.argv[1]) as store:
    id = store.conversations.add(sanitization_version="1", source="writer").id
    print("ready", flush=True)
    stop = sys.argv[2]
    import os
    while not os.path.exists(stop):
        begun = time.perf_counter()
        store.messages.append(id, role="user", content="a line of the writer, some words long")
        times.append((begun, time.perf_counter() - begun))
        time.sleep(0.005)
print(*(f"{at}:{took}" for at, took in times), flush=True)
"""


class Writer:
    """Another process that appends for as long as the block lasts; ``with`` it."""

    def __init__(self, path: Path) -> None:
        self._path, self._stop = path, Path(f"{path}.stop")
        self.times: list[float] = []

    def __enter__(self) -> Writer:
        self._stop.unlink(missing_ok=True)
        self._child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self._path), str(self._stop)], stdout=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        self._child.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.touch()
        out, _ = self._child.communicate(timeout=60)
        self._when = [tuple(map(float, one.split(":"))) for one in out.split()]
        self.times = sorted(took for _, took in self._when)
        self._stop.unlink()

    def longest_between(self, begin: float, end: float) -> float:
        """The longest write that began between two instants, in milliseconds."""
        return round(1000 * max((took for at, took in self._when if begin <= at < end), default=0.0), 1)

    def figures(self) -> dict[str, float]:
        """Milliseconds."""
        shares = {"p50": 0.5, "p99": 0.99, "longest": 1.0}
        last = len(self.times) - 1
        return {"writes": len(self.times)} | {
            name: round(1000 * self.times[min(last, int(share * len(self.times)))], 1) for name, share in shares.items()
        }


def measure_erasure(path: Path) -> dict[str, Any]:
    """One conversation of 50 messages with words that no other has."""
    with Datastore.open(path) as store:
        id = store.conversations.add(sanitization_version="1", session_id="the subject").id
        for number in range(50):
            text = f"Unheardofwords{number} were said by nobodyelse{number * 7919} at {time.time_ns()}, " * 5
            store.messages.append(id, role="user", content=text)
        store.engine.checkpoint()  # what was just stored is none of the erasure's
        steps: list[tuple[str, float]] = []
        with Writer(path) as writer:
            time.sleep(2)
            begun = time.perf_counter()
            receipt = store.erase(
                session_id="the subject", on_progress=lambda action: steps.append((action, time.perf_counter() - begun))
            )
            seconds = time.perf_counter() - begun
    return {
        "status": receipt.status,
        "blocked_by": receipt.receipt["blocked_by"],
        "vacuumed": receipt.receipt["vacuumed"],
        "merges": receipt.receipt["merges"],
        "scans": receipt.receipt["scans"],
        "seconds": round(seconds, 2),
        "writer_longest_ms_before": writer.longest_between(begun - 2, begun),
        "steps": {
            action: {"begun": round(at, 2), "writer_longest_ms": writer.longest_between(begun + at, begun + after)}
            for (action, at), after in zip(steps, [at for _, at in steps[1:]] + [seconds], strict=True)
        },
        "writer_ms": writer.figures(),
    }


def measure_purge(path: Path, share: float) -> dict[str, Any]:
    """Conversations by a policy, oldest first, until *share* of the messages are gone; then maintenance."""
    with Datastore.open(path) as store:
        every = store.messages.count()
        rows = store.engine.pragma("page_count") * store.engine.pragma("page_size")
        # The sample's conversations begin a minute after each other: the share is taken by time.
        low, high = 0, 10_000_000
        with sqlite3.connect(path) as raw:
            query = "SELECT sum(message_count) FROM conversations WHERE created_at < ? AND deleted_at IS NULL"
            while high - low > 1:
                middle = (low + high) // 2
                stamp = f"{START + timedelta(minutes=middle):%Y-%m-%dT%H:%M:%S.%fZ}"
                low, high = (
                    (low, middle)
                    if (raw.execute(query, (stamp,)).fetchone()[0] or 0) > share * every
                    else (middle, high)
                )
        raw.close()
        begin = START + timedelta(minutes=low)
        age = (datetime.now(timezone.utc) - begin.replace(tzinfo=timezone.utc)).total_seconds() / 86_400
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE conversations SET updated_at = created_at")
        raw.close()
        for policy in store.retention.policies.iterate():  # the sample's own
            store.retention.policies.delete(policy.name)
        store.retention.policies.set("old", "conversations", age_days=age, since="activity", grace_days=1)
        with Writer(path) as hiding:
            begun = time.perf_counter()
            hidden = store.retention.apply()
            hide_seconds = time.perf_counter() - begun
        store.retention.policies.set("old", "conversations", age_days=age, since="activity")
        with Writer(path) as purging:
            begun = time.perf_counter()
            gone = store.retention.apply()["old"]
            purge_seconds = time.perf_counter() - begun
        with Writer(path) as upkeeping:
            begun = time.perf_counter()
            while not (upkeep := store.maintenance.run(budget=60, everything=True)).finished:
                if time.perf_counter() - begun > 120:
                    break
            upkeep_seconds = time.perf_counter() - begun
        store.engine.checkpoint()
        after = store.engine.pragma("page_count") * store.engine.pragma("page_size")
        best = Path(f"{path}.best")
        best.unlink(missing_ok=True)
        copy_into(store.engine, best)
        smallest = best.stat().st_size
        best.unlink()
    return {
        "hidden": hidden,
        "hide_seconds": round(hide_seconds, 1),
        "hide_writer_ms": hiding.figures(),
        "gone": gone,
        "messages_per_second": round(gone.get("messages", 0) / purge_seconds),
        "purge_seconds": round(purge_seconds, 1),
        "purge_writer_ms": purging.figures(),
        "maintenance_seconds": round(upkeep_seconds, 1),
        "maintenance_finished": upkeep.finished,
        "maintenance_writer_ms": upkeeping.figures(),
        "file_bytes": {"before": rows, "after": after, "vacuum_into": smallest},
        "file_ratio": round(after / smallest, 3),
    }


def bars(part: str, figures: dict[str, Any]) -> list[tuple[str, bool]]:
    """What issue and record promise, and whether it is so."""
    if part == "erase":
        return [
            # Before it began, the writer waited too: for the disk, as writer_longest_ms_before says.
            (
                "a writer waits 250 ms at most",
                max(step["writer_longest_ms"] for step in figures["steps"].values()) <= 250,
            ),
            ("15 s where no VACUUM is needed", figures["seconds"] <= 15 or figures["vacuumed"]),
            ("verified", figures["status"] == "verified"),
        ]
    return [
        ("3,000 messages a second", figures["messages_per_second"] >= 3000),
        ("writes while purging at p99: 60 ms", figures["purge_writer_ms"]["p99"] <= 60),
        ("file within 10 % of VACUUM INTO", figures["file_ratio"] <= 1.1),
        ("a writer waits 250 ms at most in maintenance", figures["maintenance_writer_ms"]["longest"] <= 250),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, nargs="?")
    parser.add_argument("part", choices=PARTS, nargs="?")
    parser.add_argument("--build", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=0.4)
    options = parser.parse_args()
    if options.build:
        fill(options.build, options.rows)
        return 0
    if options.database is None:
        with folder() as place:
            fill(place / "big.db", options.rows)
            return max([measure(place / "big.db", part, options.share) for part in PARTS])
    return measure(options.database, options.part, options.share)


def measure(database: Path, part: str, share: float) -> int:
    """Measure one part on a copy, and write its figures; 1 where a bar is missed."""
    copy = Path(f"{database}.copy")
    for suffix in ("", "-wal", "-shm", ".gate"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(database, copy)
    os.sync()  # else the copy is still being written while it is measured, and every commit waits for that
    figures = measure_erasure(copy) if part == "erase" else measure_purge(copy, share)
    held = bars(part, figures)
    known = read("retention")
    kept = {name: known[name] for name in PARTS if name in known}
    own = {**origin(f"python perf/retention.py DATABASE {part}"), "database_bytes": database.stat().st_size, **figures,
           "bars": {name: "met" if met else "missed" for name, met in held}}  # fmt: skip
    kept[part] = own
    missed = [f"{name}: {bar}" for name, one in kept.items() for bar, said in one["bars"].items() if said == "missed"]
    RESULTS.write_text(json.dumps({"missed": missed, **kept}, indent=2) + "\n")
    print(json.dumps(own, indent=2))
    for suffix in ("", "-wal", "-shm", ".gate", ".tombstones"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
    return 0 if all(met for _, met in held) else 1


if __name__ == "__main__":
    sys.exit(main())
