"""The designs of the job queue that were rejected, beside the one that was taken.

python perf/queue/rejected.py history   where an attempt is kept: on the job until it goes on, or in a row from the claim on
python perf/queue/rejected.py indexes   what a claim of one job costs with each shape of index, at 1,000,000 rows

Sides take turns, in random order where it matters; medians. DATASTORE_PERF_FOLDER chooses the disk. No bars: the taken design's are in measure.py.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from datastore import Datastore

#: A frame of the WAL: a page of 4,096 bytes and its header.
FRAME = 4096 + 24

NO_HISTORY = "DROP TRIGGER job_queue_attempt_end; DROP TRIGGER job_queue_attempt_requeue;"

#: An attempt's row is written at the claim and written again at the end.
AT_CLAIM = f"""
{NO_HISTORY}
CREATE TRIGGER attempt_start AFTER UPDATE OF lease_token ON job_queue WHEN new.lease_token > old.lease_token
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at)
    VALUES (new.id, new.lease_token, new.attempts, new.worker, new.started_at);
END;
CREATE TRIGGER attempt_finish AFTER UPDATE OF status ON job_queue
WHEN old.status = 'running' AND new.status <> 'running'
BEGIN
    UPDATE job_attempts SET finished_at = new.updated_at, outcome = new.last_outcome, error = new.last_error
    WHERE job_id = new.id AND lease_token = old.lease_token;
END;
"""

#: A row for each attempt still, but written once, when the attempt ends.
AT_END = f"""
{NO_HISTORY}
CREATE TRIGGER attempt_finish AFTER UPDATE OF status ON job_queue
WHEN old.status = 'running' AND new.status <> 'running'
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at, finished_at, outcome, error)
    VALUES (old.id, old.lease_token, old.attempts, old.worker, old.started_at, new.updated_at, new.last_outcome,
            new.last_error);
END;
"""

#: The taken design twice: how far its two lines are apart is what the machine's noise makes of nothing.
HISTORIES = {
    "latest attempt on the job (taken)": "",
    "row written when the attempt ends": AT_END,
    "row written at the claim, again at the end": AT_CLAIM,
    "the same, and the index that served the counts": AT_CLAIM
    + "CREATE INDEX counts_idx ON job_queue (type, status, run_at);",
    "latest attempt on the job, a second file": "",
}


def cycle(store: Datastore, count: int) -> None:
    for number in range(count):
        store.jobs.enqueue("t", {"n": number})
        job = store.jobs.claim(["t"], worker="w")
        assert job is not None
        store.jobs.succeed(job)


def history(rounds: int) -> None:
    order = random.Random(1)
    print("| attempts | cycle at FULL, µs | x | cycle at NORMAL, µs | x | pages written a cycle | bytes a job |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as folder:
        found: dict[str, list[float]] = {name: [] for name in HISTORIES}
        pages, size = {}, {}
        for durability in ("full", "relaxed"):
            stores = {}
            for number, (name, sql) in enumerate(HISTORIES.items()):
                path = Path(folder) / f"{durability}{number}.db"
                Datastore.open(path, migrate=True).close()
                with closing(sqlite3.connect(path)) as connection:
                    connection.executescript(sql)
                    stores[name] = Datastore.open(path, durability=durability)  # type: ignore[arg-type]
                    if durability == "relaxed":
                        empty = path.stat().st_size
                        cycle(stores[name], 5000)
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                        size[name] = (path.stat().st_size - empty) / 5000
                        cycle(stores[name], 20)  # few enough that no checkpoint of the store comes between
                        pages[name] = Path(f"{path}-wal").stat().st_size / FRAME / 20
                    else:
                        cycle(stores[name], 600)  # until the WAL no longer grows
            times: dict[str, list[float]] = {name: [] for name in stores}
            for _ in range(rounds):
                # By chance: with a fixed order whoever comes behind the same neighbour seemed up to 30 % slower.
                for name in order.sample(list(stores), len(stores)):
                    begun = time.perf_counter()
                    cycle(stores[name], 10)
                    times[name].append((time.perf_counter() - begun) / 10 * 1e6)
            for name, some in times.items():
                found[name].append(statistics.median(some))
                stores[name].close()
    base = next(iter(found.values()))
    for name, (full, relaxed) in found.items():
        print(
            f"| {name} | {full:,.0f} | {full / base[0]:.2f} | {relaxed:,.0f} | {relaxed / base[1]:.2f}"
            f" | {pages[name]:.1f} | {size[name]:,.0f} |"
        )


NOW = "2026-11-25T00:00:00.000000Z"

TABLE = """
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, status TEXT NOT NULL, priority INTEGER NOT NULL,
    run_at TEXT NOT NULL, created_at TEXT NOT NULL, is_due INTEGER NOT NULL, payload TEXT NOT NULL,
    lease_token INTEGER NOT NULL DEFAULT 0, worker TEXT
) STRICT
"""

FILL = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO job (type, status, priority, run_at, created_at, is_due, payload)
SELECT :prefix || (i % 10), :status, :priority, :run_at, :run_at, :due, '{"conversation": 1234567890}' FROM n
"""

CLAIM = """
UPDATE job SET status = 'running', lease_token = lease_token + 1, worker = 'w'
WHERE id IN (
    SELECT id FROM job
    WHERE status = 'queued' AND type = :type AND run_at <= :now ORDER BY priority DESC, run_at, id LIMIT 1
)
RETURNING id, payload
"""

BY_LEVEL = """
UPDATE job SET status = 'running', lease_token = lease_token + 1, worker = 'w'
WHERE id IN (
    WITH levels (priority) AS (VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0))
    SELECT c.id FROM levels CROSS JOIN job AS c
    WHERE c.id IN (
        SELECT h.id FROM job AS h INDEXED BY level_idx
        WHERE h.status = 'queued' AND h.type = :type AND h.priority = levels.priority AND h.run_at <= :now
        ORDER BY h.run_at, h.id LIMIT 1
    )
    ORDER BY c.priority DESC, c.run_at, c.id LIMIT 1
)
RETURNING id, payload
"""

SHAPES = {
    "(type, priority DESC, run_at, id) of the queued, level by level (taken)": (
        "CREATE INDEX level_idx ON job (type, priority DESC, run_at, id) WHERE status = 'queued'", BY_LEVEL,
    ),
    "the same index, one range": (
        "CREATE INDEX range_idx ON job (type, priority DESC, run_at, id) WHERE status = 'queued'", CLAIM,
    ),
    "(priority DESC, run_at, id) of the queued": (
        "CREATE INDEX partial_idx ON job (priority DESC, run_at, id) WHERE status = 'queued'", CLAIM,
    ),
    "(status, type, priority DESC, run_at, id), all jobs in it": (
        "CREATE INDEX whole_idx ON job (status, type, priority DESC, run_at, id)", CLAIM,
    ),
    "status, priority, created_at: three plain indexes": (
        "CREATE INDEX a_idx ON job (status); CREATE INDEX b_idx ON job (priority); CREATE INDEX c_idx ON job (created_at)",
        CLAIM,
    ),
    "is_due, set by a step of its own: (priority DESC, run_at, id) of the due": (
        "CREATE INDEX due_idx ON job (priority DESC, run_at, id) WHERE status = 'queued' AND is_due = 1",
        CLAIM.replace("run_at <= :now", "is_due = 1"),
    ),
}  # fmt: skip

MIXES = {"90 % ended, 5 % future": (900_000, 50_000, 50_000), "80 % future": (150_000, 800_000, 50_000)}


def opcodes(connection: sqlite3.Connection, call: Callable[[], Any]) -> int:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    connection.execute("BEGIN IMMEDIATE")
    connection.set_progress_handler(tick, 1)
    call()
    connection.set_progress_handler(None, 0)
    connection.execute("ROLLBACK")
    return count


def indexes(rounds: int) -> None:
    print("| index and claim | rows | usual type: opcodes | ms | rare type: opcodes | ms |")
    print("|---|---|---:|---:|---:|---:|")
    for mix, (ended, future, ready) in MIXES.items():
        with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as folder:
            connections = []
            for number, (sql, _) in enumerate(SHAPES.values()):
                connection = sqlite3.connect(Path(folder) / f"{number}.db", isolation_level=None)
                connection.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;"
                    "PRAGMA cache_size = -20000;" + TABLE
                )
                for prefix, status, priority, run_at, due, rows in (
                    ("t", "succeeded", 0, NOW, 1, ended),
                    ("t", "queued", 9, "2027-01-01T00:00:00.000000Z", 0, future),
                    ("t", "queued", 4, NOW, 1, ready),
                    ("rare", "queued", 0, NOW, 1, 10),
                ):
                    connection.execute(FILL, {"prefix": prefix, "status": status, "priority": priority,
                                              "run_at": run_at, "due": due, "rows": rows})  # fmt: skip
                connection.executescript(sql)
                connections.append(connection)
            results: dict[tuple[str, str], tuple[int, list[float]]] = {}
            for kind in ("t3", "rare3"):
                for _ in range(rounds):
                    for connection, (name, (_, claim)) in zip(connections, SHAPES.items(), strict=True):

                        def call(connection: Any = connection, claim: str = claim, kind: str = kind) -> None:
                            rows = connection.execute(claim, {"type": kind, "now": NOW}).fetchall()
                            assert len(rows) == 1

                        if (name, kind) not in results:
                            results[name, kind] = (opcodes(connection, call), [])
                        connection.execute("BEGIN IMMEDIATE")
                        begun = time.perf_counter()
                        call()
                        results[name, kind][1].append((time.perf_counter() - begun) * 1e3)
                        connection.execute("ROLLBACK")
            for name in SHAPES:
                cells = "".join(
                    f" {results[name, kind][0]:,} | {statistics.median(results[name, kind][1]):.3f} |"
                    for kind in ("t3", "rare3")
                )
                print(f"| {name} | {mix} |{cells}", flush=True)
            promote = connections[-1]
            begun = time.perf_counter()
            promote.execute(
                "UPDATE job SET is_due = 1 WHERE id IN (SELECT id FROM job WHERE status = 'queued' AND is_due = 0 LIMIT 500)"
            )
            print(
                f"| the step that sets is_due for 500 jobs, no index for it | {mix} | | {(time.perf_counter() - begun) * 1e3:.1f} | | |"
            )
            for connection in connections:
                connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["history", "indexes"])
    parser.add_argument("--rounds", type=int, default=0, help="60 for history, 5 for indexes")
    arguments = parser.parse_args()
    if arguments.what == "history":
        history(arguments.rounds or 60)
    else:
        indexes(arguments.rounds or 5)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
