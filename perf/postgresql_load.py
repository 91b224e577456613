"""What PostgreSQL does under load: cycles of the queue beside a long snapshot, appends with and without parts of the indexes.

    python perf/postgresql_load.py [--jobs N]

- Cycles (enqueue, claim, acknowledge) a second while another session has a snapshot, after 0, 10,000 and N jobs were done since.
- An append with GIN's pending list (fastupdate) and without it: median, and the slowest of a hundred.
- An append with and without the index (conversation_id, created_at, id) of messages, and the index's share of the bytes.
- An update of a message's metadata compared with one of its content, which removes its words from the index.

Sides take turns. Writes perf/results/postgresql-load.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
from measuring import MISSED, finish, origin
from postgresql import server

from datastore import Datastore, NewJob

TIMES_INDEX = "messages_conversation_id_created_at_id_idx"
CONTENT = "A message of ordinary length about readers, writers and the locks between them. " * 5
ROUNDS, CALLS = 12, 100


def cycles(store: Datastore, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        store.jobs.enqueue("t")
        job = store.jobs.claim(worker="w")
        assert job is not None
        store.jobs.succeed(job)
    return count / (time.perf_counter() - begun)


def many(store: Datastore, count: int) -> None:
    """The same work in batches."""
    for _ in range(count // 100):
        store.jobs.enqueue_many([NewJob(type="t")] * 100)
        claimed = store.jobs.claim_many(worker="w", max_rows=100)
        store.jobs.succeed_many(claimed)


def beside_a_snapshot(url: str, jobs: int) -> dict[str, Any]:
    found = {}
    with Datastore.open(url, durability="relaxed") as store:
        found["without a snapshot"] = round(cycles(store, 300))
        with psycopg.connect(url) as old:
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM job_queue")
            done = 0
            for goal in (0, 10_000, jobs):
                many(store, goal - done)
                done = goal
                found[f"after {goal:,} jobs"] = round(cycles(store, 300))
        found["after the snapshot, vacuumed"] = 0
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM job_queue, job_counts")
        found["after the snapshot, vacuumed"] = round(cycles(store, 300))
    return found


def turns(sides: dict[str, Callable[[], None]], call: Callable[[], None]) -> dict[str, dict[str, float]]:
    """Each side prepared, then called, in turns: medians and the slowest of CALLS, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    worst: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, prepare in sides.items():
            prepare()
            taken = []
            for _ in range(CALLS):
                begun = time.perf_counter()
                call()
                taken.append((time.perf_counter() - begun) * 1000)
            times[name] += taken
            worst[name].append(max(taken))
    return {
        name: {"median": round(statistics.median(times[name]), 3), "slowest": round(statistics.median(worst[name]), 2)}
        for name in sides
    }


def appends(url: str) -> dict[str, Any]:
    with Datastore.open(url, durability="relaxed") as store, psycopg.connect(url, autocommit=True) as sql:
        conversations = [store.conversations.add(sanitization_version="1").id for _ in range(200)]
        place = iter(range(10**9))

        def append() -> None:
            number = next(place)
            store.messages.append(conversations[number % 200], role="user", content=f"{CONTENT} {number}")

        for _ in range(3000):
            append()

        def pending(on: str) -> Callable[[], None]:
            def prepare() -> None:
                sql.execute(f"ALTER INDEX message_words_idx SET (fastupdate = {on})".encode())
                sql.execute("SELECT gin_clean_pending_list('message_words_idx')")

            return prepare

        found: dict[str, Any] = {"fastupdate": turns({"on": pending("on"), "off": pending("off")}, append)}
        pending("on")()
        (create,) = sql.execute("SELECT pg_get_indexdef(%s::regclass)", [TIMES_INDEX]).fetchone() or ("",)
        sides: dict[str, Callable[[], None]] = {
            "with": lambda: sql.execute(create.replace("INDEX", "INDEX IF NOT EXISTS", 1)) and None,
            "without": lambda: sql.execute(f"DROP INDEX IF EXISTS {TIMES_INDEX}".encode()) and None,
        }
        found["index by time"] = turns(sides, append)
        sides["with"]()
        sizes = "SELECT pg_relation_size(%s::regclass), pg_indexes_size('messages'), pg_table_size('messages')"
        found["index by time"]["bytes"] = sql.execute(sizes, [TIMES_INDEX]).fetchone()
        id = store.messages.list(conversations[0]).items[0].id
        metadata = "UPDATE messages SET metadata = %s::json WHERE id = %s"
        content = "UPDATE messages SET content = %s WHERE id = %s"
        number = iter(range(10**9))
        chosen = {"text": metadata}

        def update() -> None:
            sql.execute(chosen["text"].encode(), [f'{{"a": {next(number)}}}', id])

        found["update"] = turns(
            {"metadata": lambda: chosen.update(text=metadata), "content": lambda: chosen.update(text=content)}, update
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=60_000)
    given = parser.parse_args()
    with server() as url:
        Datastore.open(url, migrate=True).close()
        result = {
            **origin(f"perf/postgresql_load.py --jobs {given.jobs}"),
            **appends(url),
            "cycles": beside_a_snapshot(url, given.jobs),
        }
    for name in ("fastupdate", "index by time", "update", "cycles"):
        print(name, result[name])
    return finish("postgresql-load", {**result, "missed": MISSED})


if __name__ == "__main__":
    sys.exit(main())
