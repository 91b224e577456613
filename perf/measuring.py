"""What every measurement here shares: rounds in turn, medians with their spread, and result files that say their origin."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "perf/results"
#: Where real conversations and judged queries are, if anywhere.
SHARED = Path(os.environ.get("DATASTORE_SHARED_DATA", ROOT.parent / "shared/data"))
SEED = 7
#: The bars that this process missed, in words.
MISSED: list[str] = []
#: Goals that a decision has given up: how what is missed of them begins, and docs/decisions/. They are listed, not failed.
GIVEN_UP = {
    r"\d+ threads at FULL: ": "0013-no-group-commit",
    r"counts: at most 1\.5 x ": "0014-counts-are-counted",
    r"cycle, \d+ at (NORMAL|FULL), x (litequeue|persist-queue): ": "0016-queue-goals",
    r"backlog at (NORMAL|FULL), one by one, x litequeue: ": "0016-queue-goals",
}


class Spread(NamedTuple):
    """The median and the quartiles of the rounds, in microseconds a call."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, times: list[float]) -> Spread:
        low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
        return cls(round(median, 2), round(low, 2), round(high, 2))


def interleaved(sides: Mapping[str, Callable[[int], object]], *, rounds: int, calls: int) -> dict[str, Spread]:
    """Each side's microseconds a call. In every round each side has its turn, and another one begins.

    A side is called with 0, 1, 2 ..., on and on; the first *calls* of each are not counted.
    """
    names = list(sides)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            side = sides[name]
            first = (number + 1) * calls
            begun = time.perf_counter()
            for n in range(first, first + calls):
                side(n)
            if number >= 0:
                times[name].append((time.perf_counter() - begun) / calls * 1e6)
    return {name: Spread.of(some) for name, some in times.items()}


def percentiles(times: list[float]) -> list[float]:
    """p50, p95 and p99, by the nearest rank; three digits behind the point."""
    times = sorted(times)
    return [round(times[min(len(times) - 1, int(len(times) * share))], 3) for share in (0.5, 0.95, 0.99)]


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder on the disk that is measured: $DATASTORE_PERF_FOLDER chooses it."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as name:
        yield Path(name)


def commit() -> str:
    """The commit that is measured, and whether the code differs from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "datastore", "sql", "migrations"], capture_output=True)
    return (head.stdout.strip() or "unknown") + (" with uncommitted changes" if changed.stdout else "")


def machine() -> str:
    """Cores, processor and kernel."""
    model = platform.processor()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        lines = (line.partition(": ")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        model = next(lines, model)
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}"


def origin(command: str) -> dict[str, Any]:
    """What a result file begins with."""
    return {
        "command": command,
        "measured": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "commit": commit(),
        "machine": machine(),
        "versions": {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version},
        "seed": SEED,
    }


def write(name: str, result: Mapping[str, Any], *by_line: str) -> Path:
    """perf/results/NAME.json, in which the mappings *by_line* have a line an entry, so that a new run is a diff to read."""
    parts = []
    for key, value in result.items():
        if key in by_line and value:
            entries = ",\n".join(f"    {json.dumps(one)}: {json.dumps(figures)}" for one, figures in value.items())
            parts.append(f"  {json.dumps(key)}: {{\n{entries}\n  }}")
        else:
            parts.append(f"  {json.dumps(key)}: " + json.dumps(value, indent=2).replace("\n", "\n  "))
    text = "{\n" + ",\n".join(parts) + "\n}"
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def bar(name: str, value: float, *, at_least: float = -math.inf, at_most: float = math.inf) -> None:
    """Hold a figure against its bar; what is missed is kept in MISSED, in words."""
    if not at_least <= value <= at_most:
        asked = f"at most {at_most:,g}" if value > at_most else f"at least {at_least:,g}"
        MISSED.append(f"{name}: {value:,.3f}, {asked} is asked")


def given_up(missed: str) -> str:
    """The decision that gave up the goal of which this was missed, by its name in docs/decisions/; "" where it stands."""
    return next((decision for goal, decision in GIVEN_UP.items() if re.match(goal, missed)), "")


def finish(name: str, result: Mapping[str, Any], *by_line: str) -> int:
    """Write a result, whose *missed* are the goals that were missed, in words; say them, and give the exit code.

    Those that a decision has given up are moved to *given_up*; they do not count.
    """
    missed = [one for one in result["missed"] if not given_up(one)]
    without = {one: given_up(one) for one in result["missed"] if given_up(one)}
    kept = {
        key: part
        for name, value in result.items()
        for key, part in ([("missed", missed), ("given_up", without)] if name == "missed" else [(name, value)])
    }
    print(f"written: {write(name, kept, *by_line)}")
    for one in missed:
        print(f"missed: {one}", file=sys.stderr)
    for one, decision in without.items():
        print(f"given up (docs/decisions/{decision}.md): {one}", file=sys.stderr)
    return int(bool(missed))


def read(name: str) -> dict[str, Any]:
    """A result that a run has left, or nothing."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}
