"""Measures everything, one part after the other, and writes docs/query-times.md and the README's performance section.

    make bench          about twelve minutes
    make bench-full     the rest too: five sizes of stores, the soak test, PostgreSQL, a million learnings, retention
    python perf/bench.py records start       only these parts

Each part is a script of its own (its docstring says what it compares with what) in a process of its own, and writes
perf/results/PART.json with its command, commit, machine and versions. Nothing else should run meanwhile. Exits 1 where a
part failed, or missed a goal that still stands; one that a decision has given up is listed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import attrs
import page
from measuring import ROOT, folder, read

PERF = ROOT / "perf"


@attrs.frozen
class Part:
    """A script to run, and the result that it writes."""

    name: str
    command: str
    result: str
    full_only: bool = False
    #: What bench-full runs instead.
    full_command: str = ""


PARTS = (
    Part("records", "records.py", "records"),
    Part("branches", "branches.py", "branches"),
    Part("streams", "streams.py", "streams"),
    Part("start", "start.py", "start"),
    Part("importing", "importing.py --rounds 3", "importing"),
    Part("memory", "memory.py", "memory", full_command="memory.py --messages 1000000"),
    Part("threads", "threads.py --rounds 3 --seconds 1", "threads"),
    Part("asynchronous", "asynchronous.py --rounds 3 --no-server", "asynchronous", full_command="asynchronous.py"),
    Part("queue", "queue/measure.py cycle --rounds 3 --seconds 1", "queue-cycle", full_command="queue/measure.py cycle"),
    Part("backlog", "queue/measure.py drain --rounds 1 --durability relaxed", "queue-drain",
         full_command="queue/measure.py drain"),
    Part("relevance", "search.py relevance", "search-relevance"),
    Part("statements", "statement_times.py --stores {stores}", "statement-times"),
    Part("operations", "operations.py --stores {stores}", "operations",
         full_command="operations.py --stores {stores} --rows 1000 10000 100000 1000000 5000000"),
    Part("claims", "queue/measure.py scale", "queue-scale", full_only=True),
    Part("calls", "queue/measure.py calls", "queue-calls", full_only=True),
    Part("search", "search.py scale --rows 1000000", "search-scale", full_only=True),
    Part("index-share", "search.py share", "search-share", full_only=True),
    Part("postgresql", "postgresql.py records", "postgresql-records", full_only=True),
    Part("postgresql-queue", "postgresql.py queue", "postgresql-queue", full_only=True),
    Part("postgresql-claims", "postgresql.py claim", "postgresql-claim", full_only=True),
    Part("postgresql-sizes", "postgresql.py sizes", "postgresql-sizes", full_only=True),
    Part("postgresql-relevance", "postgresql.py relevance", "postgresql-relevance", full_only=True),
    Part("postgresql-statements", "statement_times.py --engine postgresql", "statement-times-postgresql", full_only=True),
    Part("retention", "retention.py", "retention", full_only=True),
    Part("soak", "soak.py", "soak", full_only=True),
)  # fmt: skip


def run(part: Part, stores: Path, *, full: bool) -> tuple[str, float]:
    """What became of a part: "done", "missed", "skipped" or "failed"; and its seconds."""
    command = (part.full_command if full and part.full_command else part.command).format(stores=stores).split()
    result = PERF / f"results/{part.result}.json"
    before = result.stat().st_mtime_ns if result.exists() else 0
    begun = time.perf_counter()
    code = subprocess.run([sys.executable, str(PERF / command[0]), *command[1:]], cwd=ROOT).returncode
    took = time.perf_counter() - begun
    if not result.exists() or result.stat().st_mtime_ns == before:
        return ("failed" if code else "skipped"), took
    return ("missed" if read(part.result).get("missed") else "done" if code == 0 else "failed"), took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {part.name for part in PARTS}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen = [part for part in PARTS if part.name in arguments.parts] or [
        part for part in PARTS if arguments.full or not part.full_only
    ]
    outcomes = {}
    begun = time.perf_counter()
    with folder() as stores:  # those that are filled for one part are there for the next
        for part in chosen:
            print(f"\n== {part.name}: {part.command}", flush=True)
            outcomes[part.name] = run(part, stores, full=arguments.full)
    import plots  # matplotlib, of the bench extra

    print(f"\nplots: {', '.join(plots.draw())}")
    for path, text in ((page.PAGE, page.page()), (page.README, page.readme())):
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")
    print()
    for name, (outcome, took) in outcomes.items():
        print(f"{name:24}{outcome:10}{took:7.0f} s")
        result = read(next(part.result for part in chosen if part.name == name))
        for line in result.get("missed", []):
            print(f"    missed: {line}")
        for line, decision in result.get("given_up", {}).items():
            print(f"    given up (docs/decisions/{decision}.md): {line}")
    print(f"{'all':34}{time.perf_counter() - begun:7.0f} s")
    return int(any(outcome in ("missed", "failed") for outcome, _ in outcomes.values()))


if __name__ == "__main__":
    raise SystemExit(main())
