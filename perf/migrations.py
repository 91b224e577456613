"""What readers and writers wait for while a database with many messages is upgraded, step by step, and rolled back.

    python perf/migrations.py [--rows N] [--engine sqlite|postgresql]

The database is filled at step 0001. Then each step is applied, rolled back from the newest to the second, and applied once more,
while one probe appends a message and another reads a page of messages, without a pause. A line says how long the step took and the longest
time that an append and a read took. Writes perf/results/migrations.json; exits 1 if a writer waited for more than two seconds.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import MISSED, bar, finish, folder, origin
from postgresql import server

from datastore import migrations
from datastore.resources import migrations_folder

FILL = {
    "sqlite": (
        "INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {conversations})"
        " SELECT 'c' || i, 's', '1', '2026-11-23T09:14:05.000000Z', '2026-11-23T09:14:05.000000Z' FROM n",
        "INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)"
        " WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows} - 1)"
        " SELECT 'm' || i, 'c' || (1 + i % {conversations}), 1 + i / {conversations}, 'user', 'a message of ordinary length, '"
        " || i || ', ' || i, '" + "0" * 64 + "', 1, '2026-11-23T09:14:05.000000Z' FROM n",
    ),
    "postgresql": (
        "INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at)"
        " SELECT 'c' || i, 's', '1', now(), now() FROM generate_series(1, {conversations}) AS i",
        "INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)"
        " SELECT 'm' || i, 'c' || (1 + i % {conversations}), 1 + i / {conversations}, 'user', 'a message of ordinary length, '"
        " || i || ', ' || i, repeat('0', 64), 1, now() FROM generate_series(0, {rows} - 1) AS i",
    ),
}
APPEND = (
    "INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)"
    " SELECT 'probe' || CAST({number} AS TEXT), id, last_position + 1, 'user', 'x', '" + "0" * 64 + "', 1, updated_at"
    " FROM conversations WHERE id = 'c1'"
)
READ = "SELECT id, content FROM messages WHERE id >= 'm{number}' ORDER BY id LIMIT 100"
PER_CONVERSATION = 20
WAIT = 2.0


class Probe(threading.Thread):
    """Runs a statement again and again; `longest` is the longest time that it took, in seconds."""

    def __init__(self, database: Path | str, statement: str) -> None:
        super().__init__()
        self.database, self.statement = database, statement
        self.longest = 0.0
        self.errors: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        connection = connect(self.database)
        number = time.time_ns()
        while not self.stop.is_set():
            number += 1
            begun = time.perf_counter()
            try:
                cursor = connection.execute(self.statement.format(number=number))
                if self.statement == READ:
                    cursor.fetchall()
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self.longest = max(self.longest, time.perf_counter() - begun)
            time.sleep(0.001)
        connection.close()


def connect(database: Path | str) -> Any:
    if isinstance(database, Path):
        return sqlite3.connect(database, timeout=60, isolation_level=None)
    import psycopg

    return psycopg.connect(database, autocommit=True)


@contextmanager
def probes(database: Path | str) -> Iterator[tuple[Probe, Probe]]:
    found = Probe(database, APPEND), Probe(database, READ)
    for probe in found:
        probe.start()
    time.sleep(0.2)
    try:
        yield found
    finally:
        time.sleep(0.2)
        for probe in found:
            probe.stop.set()
        for probe in found:
            probe.join()


def measure(database: Path | str, name: str, change: Callable[[], object]) -> dict[str, Any]:
    with probes(database) as (append, read):
        begun = time.perf_counter()
        change()
        seconds = time.perf_counter() - begun
    errors = append.errors + read.errors
    line = {
        "step": name,
        "seconds": round(seconds, 2),
        "append": round(append.longest, 2),
        "read": round(read.longest, 2),
    }
    print(
        f"{name}: {seconds:.2f} s; longest append {append.longest:.2f} s, longest read {read.longest:.2f} s",
        *errors[:3],
    )
    sys.stdout.flush()
    return {**line, "errors": len(errors)}


def run(database: Path | str, engine: str, rows: int, work: Path) -> list[dict[str, Any]]:
    library = migrations_folder(engine)
    ids = migrations.migration_ids(library)
    migrations.apply(database, library)
    migrations.rollback(database, steps=len(ids) - 1)
    connection = connect(database)
    for statement in FILL[engine]:
        connection.execute(statement.format(rows=rows, conversations=rows // PER_CONVERSATION))
    if engine == "postgresql":
        connection.execute("VACUUM ANALYZE")
    connection.close()
    lines = []
    for number in range(1, len(ids)):
        part = only(library, ids[: number + 1], work / f"{engine}{number}")
        lines.append(measure(database, f"{engine}, {ids[number]}", lambda part=part: migrations.apply(database, part)))
    for name in reversed(ids[1:]):
        undo = measure(
            database, f"{engine}, rollback of {name}", lambda: migrations.rollback(database, allow_loss=True)
        )
        lines.append(undo)
    lines.append(measure(database, f"{engine}, {ids[1]} to {ids[-1]}", lambda: migrations.apply(database)))
    return lines


def only(library: Path, ids: list[str], target: Path) -> Path:
    """A folder with some of the steps."""
    target.mkdir()
    for name in ids:
        for end in (".sql", ".rollback.sql"):
            (target / f"{name}{end}").write_bytes((library / f"{name}{end}").read_bytes())
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"])
    given = parser.parse_args()
    lines: list[dict[str, Any]] = []
    with folder() as work:
        if given.engine != "postgresql":
            lines += run(work / "app.db", "sqlite", given.rows, work)
        if given.engine != "sqlite":
            with server() as url:
                lines += run(url, "postgresql", given.rows, work)
    for line in lines:
        bar(f"{line['step']}: longest append, s", line["append"], at_most=WAIT)
        bar(f"{line['step']}: errors", line["errors"], at_most=0)
    return finish("migrations", {**origin(f"perf/migrations.py --rows {given.rows}"), "lines": lines, "missed": MISSED})


if __name__ == "__main__":
    sys.exit(main())
