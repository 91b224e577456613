"""Times every named statement, with each choice of its optional lines, on 10,000 and 1,000,000 messages.

Writes perf/results/statement-times.json, which `datastore catalog` shows. A statement is timed as the store runs it, on
one connection with the store's pragmas, everything in memory or in the page cache: from execute to the last row. What
writes does so in a transaction that is rolled back; the commit is not in the figure. A statement for which no arguments
can be made, or that fails, is named in the file under not_timed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from query_times import ROOT, commit, machine
from sample_arguments import Arguments, NoSample, Sampler
from sample_database import fill

from datastore.contract.facts import Facts, ProjectFacts, read_facts
from datastore.contract.project import find_project
from datastore.contract.touches import Touch, read_touches

#: Calls of each choice: so many, or as many as there is time for, but never fewer than the second figure.
CALLS, LEAST, SECONDS = 200, 5, 0.5
#: Seconds after which even fewer are enough: the check of a whole full-text index.
LONGEST = 8
#: How many arguments are tried to find some that find rows.
TRIED = 240
COMMAND = "python perf/statement_times.py"


def times(connection: sqlite3.Connection, facts: ProjectFacts) -> Iterator[tuple[str, dict[str, Any], str, bool]]:
    """(statement, times by choice, why there are none, whether a sample found a row) of every statement."""
    sampler = Sampler(connection)
    touches = read_touches(facts).statements
    for name, one in sorted(facts.statements.items()):
        try:
            every, found = samples(connection, sampler, one, touches[name])
            yield name, {v.which or "always": measure(connection, v.sql, every) for v in one.variants}, "", found
        except (NoSample, sqlite3.Error) as error:
            yield (
                name,
                {},
                f"{type(error).__name__}: {error}" if isinstance(error, sqlite3.Error) else str(error),
                False,
            )


def samples(
    connection: sqlite3.Connection, sampler: Sampler, one: Facts, touches: tuple[Touch, ...]
) -> tuple[list[Arguments], bool]:
    """Arguments for a statement: those that find something, where some do."""
    hits, misses = [], []
    last: sqlite3.Error | None = None
    deadline = time.perf_counter() + 2.0
    for number in range(TRIED):
        arguments = sampler.arguments(one, touches, number)
        try:
            _, rows = call(connection, one.variants[-1].sql, arguments)
        except sqlite3.IntegrityError as error:
            last = error  # these arguments break a rule; others may not
            continue
        (hits if rows else misses).append(arguments)
        if len(hits) >= 60 or (time.perf_counter() > deadline and hits + misses):
            break
    if not hits and not misses:
        raise last or NoSample("no arguments were made")
    return hits or misses, bool(hits)


def call(connection: sqlite3.Connection, sql: str, arguments: Arguments) -> tuple[float, int]:
    """Microseconds of one call, and how many rows it gave or changed; what it wrote is taken back."""
    connection.execute("BEGIN")
    try:
        before = time.perf_counter_ns()
        cursor = connection.execute(sql, arguments)
        rows = cursor.fetchall()
        took = (time.perf_counter_ns() - before) / 1000
        return took, len(rows) or max(0, cursor.rowcount)
    finally:
        connection.execute("ROLLBACK")


def measure(connection: sqlite3.Connection, sql: str, every: list[Arguments]) -> list[float]:
    """p50 and p95 in microseconds."""
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    for number in range(CALLS):
        try:
            found.append(call(connection, sql, every[number % len(every)])[0])
        except sqlite3.IntegrityError:
            continue
        late = time.perf_counter() - end
        if late > 0 and (len(found) >= LEAST or late > LONGEST):
            break
    if not found:
        raise NoSample("every sample broke a constraint")
    found.sort()
    return [round(statistics.median(found), 1), round(found[min(len(found) - 1, int(len(found) * 0.95))], 1)]


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the store's pragmas (datastore/engines/sqlite.py)."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys = ON", "synchronous = FULL", "wal_autocheckpoint = 0", "secure_delete = ON",
                   "temp_store = MEMORY"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def run(rows: int, folder: Path, facts: ProjectFacts, result: dict[str, Any]) -> None:
    path = folder / f"times-{rows}.db"
    before = time.perf_counter()
    fill(path, rows, ROOT / "migrations/sqlite")
    print(f"{rows:,} rows: filled in {time.perf_counter() - before:.0f} s, {path.stat().st_size / 1e6:,.0f} MB")
    before = time.perf_counter()
    with closing(connect(path)) as connection:
        for name, choices, why, found in times(connection, facts):
            for which, pair in choices.items():
                result["statements"].setdefault(name, {}).setdefault(which, {})[str(rows)] = pair
            if why:
                result["not_timed"][name] = why
            elif not found and name not in result["found_nothing"]:
                result["found_nothing"].append(name)
    print(f"{rows:,} rows: timed in {time.perf_counter() - before:.0f} s")
    path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--keep", action="store_true", help="keep the other sizes that the file has, of this commit")
    parser.add_argument("--output", type=Path, default=ROOT / "perf/results/statement-times.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "command": COMMAND,
        "commit": commit(),
        "machine": machine().partition(", Python")[0],
        "versions": {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version},
        "rows": arguments.rows,
        "statements": {},
        "found_nothing": [],
        "not_timed": {},
    }
    if arguments.keep:
        result = kept(json.loads(arguments.output.read_text(encoding="utf-8")), result)
    with read_facts(find_project(ROOT)) as facts, tempfile.TemporaryDirectory() as folder:
        for rows in arguments.rows:
            run(rows, Path(folder), facts, result)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(write(result), encoding="utf-8")
    for name, why in result["not_timed"].items():
        print(f"not timed: {name}: {why}", file=sys.stderr)
    print(f"found nothing: {', '.join(result['found_nothing']) or 'none'}")
    return 0


def kept(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What was measured before, to be completed: of the same commit, machine and versions only."""
    for name in ("commit", "machine", "versions"):
        if before[name] != now[name]:
            raise SystemExit(f"the file is of another {name} ({before[name]}): measure all of it again")
    return {**before, "rows": sorted({*before["rows"], *now["rows"]})}


def write(result: dict[str, Any]) -> str:
    """JSON with a line a statement, so that a new measurement is a diff to read."""
    statements = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(result['statements'][name])}" for name in sorted(result["statements"])
    )
    rest = {**result, "statements": "@"}
    return json.dumps(rest, indent=2).replace('"@"', f"{{\n{statements}\n  }}") + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
