"""What needs an operator's attention, by thresholds: `datastore status --check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from datastore.engines.base import Engine
    from datastore.statements.typed.health import HealthStatements


@attrs.frozen(kw_only=True)
class Thresholds:
    """What is still healthy."""

    #: Of the oldest open transaction: VACUUM removes nothing that it may still see (PostgreSQL).
    transaction_age: timedelta = timedelta(minutes=10)
    #: Of the job that is due and waits for the longest time.
    queue_age: timedelta = timedelta(hours=1)
    #: Dead rows of a table compared with its live ones, where a table has more than 100,000 (PostgreSQL).
    dead_rows: float = 0.5
    #: How far a replica is behind (PostgreSQL).
    replica_lag: timedelta = timedelta(seconds=30)
    #: Of the WAL file, or of the WAL that a replication slot retains (PostgreSQL), in bytes.
    wal_bytes: int = 1 << 30


def queue_age(engine: Engine, statements: HealthStatements) -> float:
    """For how many seconds the longest waiting job has been due; 0.0 if none is."""
    now = engine.now()
    due = statements.find_oldest_due_job(now=now)
    return 0.0 if due is None else (now - due).total_seconds()


def find_problems(status: Mapping[str, Any], limits: Thresholds) -> Iterator[str]:
    """What is not healthy in what `datastore status --json` prints; a sentence each."""
    if status["pending"]:
        yield f"{len(status['pending'])} migrations are pending: {', '.join(status['pending'])}"
    if status["unknown"] or status["other_history"]:
        yield "another version of this library made the schema"
    for table, count in status["unindexed"].items():
        yield f"search does not find {count} {table}; run: datastore reindex"
    if status["queue_seconds"] > limits.queue_age.total_seconds():
        yield f"a job has been due for {status['queue_seconds']:.0f} s"
    if status.get("wal_bytes", 0) > limits.wal_bytes:
        yield f"the WAL has {status['wal_bytes']:,} bytes"
    yield from _server_problems(status.get("server", {}), limits)


def _server_problems(server: Mapping[str, Any], limits: Thresholds) -> Iterator[str]:
    if (seconds := server.get("oldest_transaction_seconds", 0)) > limits.transaction_age.total_seconds():
        yield f"a transaction has been open for {seconds:.0f} s"
    if (share := server.get("dead_share") or 0) > limits.dead_rows:
        yield f"the table {server['dead_table']} has {share:.1f} times as many dead rows as live ones: VACUUM does not keep up"
    if (lag := server.get("replica_lag_seconds") or 0) > limits.replica_lag.total_seconds():
        yield f"a replica is {lag:.0f} s behind"
    if (kept := server.get("retained_wal_bytes") or 0) > limits.wal_bytes:
        yield f"a replication slot retains {kept:,} bytes of WAL"
