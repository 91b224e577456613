"""What a claim costs, and the counts, in opcodes of SQLite's machine: the same at any size, whatever the planner knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.records.job_queue import Job
from datastore.values import encode_timestamp
from tests.conftest import Clock

FEW = 1_000

#: Of a hundred jobs: so many have ended, so many are of the future at top priority; the others are ready.
PILES = {"mostly done": (90, 5), "mostly future": (10, 80)}

_pile = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :rows),
kinds AS (SELECT i, i % 100 < :ended AS ended, i % 100 >= 100 - :future AS future FROM n)
INSERT INTO job_queue (
    type, status, priority, run_at, payload, attempts, max_attempts, backoff_seconds, backoff_cap_seconds,
    lease_token, worker, last_outcome, created_at, updated_at, started_at, finished_at
)
SELECT
    'type' || (i / 100 % 5),
    CASE WHEN NOT ended THEN 'queued' WHEN i % 10 = 0 THEN 'quarantined' ELSE 'succeeded' END,
    CASE WHEN future THEN 9 ELSE i % 10 END,
    CASE WHEN future THEN :later ELSE :now END,
    '{}', ended, 5, 1.0, 1.0, ended, CASE WHEN ended THEN 'w' END,
    CASE WHEN ended THEN CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'succeeded' END END,
    :now, :now, CASE WHEN ended THEN :now END, CASE WHEN ended THEN :now END
FROM kinds
"""


def pile(path: Path, clock: Clock, kind: str, first: int, rows: int) -> None:
    ended, future = PILES[kind]
    now, later = encode_timestamp(clock.now), encode_timestamp(clock.now + timedelta(days=1))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            _pile, {"first": first, "rows": rows, "ended": ended, "future": future, "now": now, "later": later}
        )


def plant(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def opcodes(store: Datastore, call: Callable[[], Any]) -> int:
    """How many a call takes, all of it; of a claim: recovery, types, the claim, the commit."""
    connection: sqlite3.Connection = store.engine._thread.connected().connection
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    store.jobs.claim(["none"], worker="w")  # the statements are prepared, the schema is read
    connection.set_progress_handler(tick, 1)
    try:
        call()
    finally:
        connection.set_progress_handler(None, 0)
    return count


def claiming(store: Datastore, types: Any, max_rows: int) -> int:
    claimed: list[Job] = []
    took = opcodes(store, lambda: claimed.extend(store.jobs.claim_many(types, worker="w", max_rows=max_rows)))
    assert len(claimed) == max_rows
    assert all(job.run_at <= store.engine.now() for job in claimed)
    return took


CLAIMS: dict[str, Callable[[Datastore], int]] = {
    "one type": lambda store: claiming(store, ["type1"], 1),
    "three types": lambda store: claiming(store, ["type0", "type2", "type4"], 1),
    "all types": lambda store: claiming(store, None, 1),
}

ROGUE = "CREATE INDEX rogue_status ON job_queue (status); CREATE INDEX rogue_type ON job_queue (type, status);"

#: What is done to a queue, one after the other.
CHANGES = ("", "ANALYZE", ROGUE, "DROP TABLE sqlite_stat1", "ANALYZE")


@pytest.mark.parametrize("many", [30_000, pytest.param(300_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", PILES)
def test_a_claim_takes_the_same_opcodes_at_any_size(path: Path, clock: Clock, kind: str, many: int) -> None:
    """Within a tenth of what it takes among a thousand jobs; with statistics, without, and with a rogue index."""
    pile(path, clock, kind, 0, FEW)
    with Datastore.open(path, clock=clock, durability="relaxed") as store:
        few = {name: claim(store) for name, claim in CLAIMS.items()}
    pile(path, clock, kind, FEW, many - FEW)
    for change in CHANGES:
        plant(path, change)
        with Datastore.open(path, clock=clock, durability="relaxed") as store:
            for name, claim in CLAIMS.items():
                took = claim(store)
                assert abs(took - few[name]) <= 0.1 * few[name], (name, change, few[name], took)


@pytest.mark.parametrize("many", [30_000, pytest.param(300_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", PILES)
def test_the_counts_take_the_same_opcodes_at_any_size(path: Path, clock: Clock, kind: str, many: int) -> None:
    """They go through the jobs that run, and through none that waits or has ended."""
    pile(path, clock, kind, 0, FEW)
    with Datastore.open(path, clock=clock, durability="relaxed") as store:
        claiming(store, None, 10)
        few = opcodes(store, store.jobs.counts)
    pile(path, clock, kind, FEW, many - FEW)
    for change in CHANGES:
        plant(path, change)
        with Datastore.open(path, clock=clock, durability="relaxed") as store:
            took = opcodes(store, store.jobs.counts)
            assert abs(took - few) <= 0.1 * few, (change, few, took)
            assert sum(line.count for line in store.jobs.counts()) == many


def test_the_budget(path: Path, clock: Clock) -> None:
    """A claim from one type is under 1,000 opcodes, from all of five under 3,000; a hundred jobs, under 250 each."""
    pile(path, clock, "mostly done", 0, 10_000)
    with Datastore.open(path, clock=clock, durability="relaxed") as store:
        assert claiming(store, ["type1"], 1) < 1_000
        assert claiming(store, None, 1) < 3_000
