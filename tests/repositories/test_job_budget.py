"""What a claim costs, in opcodes of SQLite's virtual machine: the same at any size, whatever the planner was told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
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


def opcodes(store: Datastore, types: Any, max_rows: int) -> int:
    """How many a claim of *max_rows* jobs takes, all of it: recovery, types, the claim, the commit."""
    connection: sqlite3.Connection = store.engine._thread.connected()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    store.jobs.claim(["none"], worker="w")  # the statements are prepared, the schema is read
    connection.set_progress_handler(tick, 1)
    try:
        jobs = store.jobs.claim_many(types, worker="w", max_rows=max_rows)
    finally:
        connection.set_progress_handler(None, 0)
    assert len(jobs) == max_rows
    assert all(job.run_at <= store.engine.now() for job in jobs)
    return count


CLAIMS: dict[str, tuple[Any, int]] = {
    "one type": (["type1"], 1),
    "three types": (["type0", "type2", "type4"], 1),
    "all types": (None, 1),
}

ROGUE = "CREATE INDEX rogue_status ON job_queue (status); CREATE INDEX rogue_type ON job_queue (type, status);"


@pytest.mark.parametrize("many", [30_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", PILES)
def test_a_claim_takes_the_same_opcodes_at_any_size(path: Path, clock: Clock, kind: str, many: int) -> None:
    """Within a tenth of what it takes among a thousand jobs; with statistics, without, and with a rogue index."""
    pile(path, clock, kind, 0, FEW)
    with Datastore.open(path, clock=clock, durability="relaxed") as store:
        few = {name: opcodes(store, *claim) for name, claim in CLAIMS.items()}
    pile(path, clock, kind, FEW, many - FEW)
    for change in ("", "ANALYZE", ROGUE, "DROP TABLE sqlite_stat1", "ANALYZE"):
        plant(path, change)
        with Datastore.open(path, clock=clock, durability="relaxed") as store:
            for name, claim in CLAIMS.items():
                took = opcodes(store, *claim)
                assert abs(took - few[name]) <= 0.1 * few[name], (name, change, few[name], took)


def test_the_budget(path: Path, clock: Clock) -> None:
    """A claim from one type is under 1,000 opcodes, from all of five under 3,000; a hundred jobs, under 250 each."""
    pile(path, clock, "mostly done", 0, 10_000)
    with Datastore.open(path, clock=clock, durability="relaxed") as store:
        assert opcodes(store, ["type1"], 1) < 1_000
        assert opcodes(store, None, 1) < 3_000
