"""AsyncDatastore: what the way to a thread and back costs, whether the event loop stalls, and 50 writers at full durability.

    python perf/asynchronous.py [--seconds 3] [--rounds 5] [--calls 400] [--no-server]

The hop: one message by id, awaited and called directly, in turn; beside them a bare `asyncio.to_thread`. The stalls: a task that
sleeps for a millisecond again and again says how much later it wakes, alone, beside 50 tasks that append, and beside them while
another process has the write lock for three seconds; reads go on meanwhile. The rate: 50 tasks that append at FULL, and one
thread that does, in turn. PostgreSQL: a message by id and a stored conversation, on threads and through psycopg's asynchronous
connections with the same SQL and the same pool, by one task and by 50. Writes perf/results/asynchronous.json; exits 1 where a
bar is missed. What was decided by it: docs/decisions/0023-asyncio.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from measuring import MISSED, bar, finish, folder, origin, percentiles
from peers import CONTENT

from datastore import AsyncDatastore, Datastore, new_id, utc_now

#: Bars: microseconds that the hop adds, milliseconds that the loop may stall at p99, writers' rate of one thread's.
HOP, STALL, RATE = 120.0, 5.0, 1.0

WRITERS = 50

#: The line that has no bar.
THREAD = "one thread that appends, no AsyncDatastore"

#: Seconds for which the other process has the write lock.
HELD = 3.0

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


async def hop(path: Path, rounds: int, calls: int) -> dict[str, Any]:
    """Microseconds of a message by id: p50, p95, p99 of all rounds together."""
    async with await AsyncDatastore.open(path) as store:
        id, sync = (await _message(store)), store.sync
        times: dict[str, list[float]] = {"called": [], "awaited": [], "asyncio.to_thread": []}
        for number in range(-1, rounds):
            for name in sorted(times, reverse=bool(number % 2)):
                for _ in range(calls):
                    begun = time.perf_counter()
                    if name == "called":
                        sync.messages.get(id)
                    elif name == "awaited":
                        await store.messages.get(id)
                    else:
                        await asyncio.to_thread(sync.messages.get, id)
                    if number >= 0:
                        times[name].append((time.perf_counter() - begun) * 1e6)
    return {name: percentiles(some) for name, some in times.items()}


async def _message(store: AsyncDatastore) -> str:
    conversation = await store.conversations.add(sanitization_version="1")
    return (await store.messages.append(conversation.id, role="user", content=CONTENT)).id


async def stalls(path: Path, seconds: float) -> dict[str, Any]:
    """Milliseconds by which a task wakes too late: p50, p95, p99, with the reads that ended meanwhile."""
    found: dict[str, Any] = {}
    async with await AsyncDatastore.open(path) as store:
        id = await _message(store)

        async def locked() -> dict[str, Any]:
            holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(HELD)], stdout=subprocess.PIPE)
            assert holder.stdout is not None
            await asyncio.to_thread(holder.stdout.readline)
            line = await _watch(store, id, HELD, writers=WRITERS)
            await asyncio.to_thread(holder.wait)
            return line

        found[THREAD] = await asyncio.create_task(_beside_thread(path, seconds))
        found["idle"] = await _best(lambda: _watch(store, id, seconds, writers=0))
        found[f"{WRITERS} writers"] = await _best(lambda: _watch(store, id, seconds, writers=WRITERS))
        found[f"{WRITERS} writers, another process has the lock"] = await _best(locked)
    return found


async def _beside_thread(path: Path, seconds: float) -> dict[str, Any]:
    """The same beside one thread that appends with a synchronous store: what Python and the machine cost by themselves."""
    late: list[float] = []
    end = time.perf_counter() + seconds

    def write() -> None:
        with Datastore.open(path) as store:
            id = store.conversations.add(sanitization_version="1").id
            while time.perf_counter() < end:
                store.messages.append(id, role="user", content=CONTENT)

    writing = asyncio.create_task(asyncio.to_thread(write))
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before - 0.001) * 1e3)
    await writing
    return {"late_milliseconds": percentiles(late), "most": round(max(late), 1), "reads": 0}


async def _best(measure: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """A line above its bar is measured up to three more times, because machines are noisy; the best counts."""
    lines = [await measure()]
    while min(_p99(line) for line in lines) > STALL and len(lines) < 4:
        lines.append(await measure())
    return {**min(lines, key=_p99), "measurements": len(lines)}


def _p99(line: dict[str, Any]) -> float:
    return float(line["late_milliseconds"][2])


async def _watch(store: AsyncDatastore, id: str, seconds: float, *, writers: int) -> dict[str, Any]:
    late: list[float] = []
    reads, end = 0, time.perf_counter() + seconds
    conversation_id = (await store.messages.get(id)).conversation_id

    async def write() -> None:
        while time.perf_counter() < end:
            await store.messages.append(conversation_id, role="user", content=CONTENT)

    async def read() -> None:
        nonlocal reads
        while time.perf_counter() < end:
            await store.messages.get(id)
            reads += 1
            await asyncio.sleep(0.002)

    async def tick() -> None:
        while (before := time.perf_counter()) < end:
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - before - 0.001) * 1e3)

    await asyncio.gather(tick(), read(), *(write() for _ in range(writers)))
    return {"late_milliseconds": percentiles(late), "most": round(max(late), 1), "reads": reads}


async def tasks(path: Path, seconds: float) -> float:
    """Messages that 50 tasks append in a second at FULL, each to a conversation of its own."""
    async with await AsyncDatastore.open(path, migrate=True) as store:
        ids = [(await store.conversations.add(sanitization_version="1")).id for _ in range(WRITERS)]
        end, done = time.perf_counter() + seconds, 0

        async def write(id: str) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await store.messages.append(id, role="user", content=CONTENT)
                done += 1

        begun = time.perf_counter()
        await asyncio.gather(*map(write, ids))
        return done / (time.perf_counter() - begun)


def one_thread(path: Path, seconds: float) -> float:
    """The same, by one thread with the synchronous store."""
    with Datastore.open(path, migrate=True) as store:
        ids = [store.conversations.add(sanitization_version="1").id for _ in range(WRITERS)]
        begun, done = time.perf_counter(), 0
        while time.perf_counter() < begun + seconds:
            store.messages.append(ids[done % WRITERS], role="user", content=CONTENT)
            done += 1
        return done / (time.perf_counter() - begun)


def rates(seconds: float, rounds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {"one thread": [], f"{WRITERS} tasks": []}
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            with folder() as place:
                path = place / "t.db"
                rate = one_thread(path, seconds) if name == "one thread" else asyncio.run(tasks(path, seconds))
                found[name].append(rate)
    ratios = [many / one for one, many in zip(found["one thread"], found[f"{WRITERS} tasks"], strict=True)]
    return {
        **{name: round(statistics.median(some)) for name, some in found.items()},
        "ratio": round(statistics.median(ratios), 3),
    }


async def connections(url: str, rounds: int, calls: int) -> dict[str, Any]:
    """Microseconds a call on PostgreSQL: on threads, and through psycopg's asynchronous connections."""
    from postgresql import by_hand
    from psycopg_pool import AsyncConnectionPool

    from datastore.resources import sql_folder
    from datastore.statements.loader import read_statements
    from datastore.statements.optional import by_name
    from datastore.values import encode_timestamp

    statements = read_statements(sql_folder(), "postgresql")
    get, add = (by_name(statements[name].sql) for name in ("get_message", "add_conversation"))
    optional = dict.fromkeys(("session_id", "correlation_id", "title", "completed_at"))
    async with (
        await AsyncDatastore.open(url, migrate=True) as store,
        AsyncConnectionPool(url, min_size=10, max_size=10, kwargs={"autocommit": True}, open=False) as pool,
    ):
        id = await _message(store)

        async def get_async() -> None:
            async with pool.connection() as connection:
                cursor = await connection.execute(get.encode(), {"id": id})
                by_hand(await cursor.fetchone())  # type: ignore[arg-type]

        async def add_async() -> None:
            now = encode_timestamp(utc_now())
            values = {"id": new_id(), "source": "a", "sanitization_version": "1", "metadata": "{}"}
            async with pool.connection() as connection:
                cursor = await connection.execute(
                    add.encode(), {**optional, **values, "created_at": now, "updated_at": now}
                )
                await cursor.fetchone()

        async def add_on_thread() -> None:
            await store.conversations.add(sanitization_version="1")

        async def get_on_thread() -> None:
            await store.messages.get(id)

        sides: dict[str, dict[str, Callable[[], Awaitable[None]]]] = {
            "a message by id": {"threads": get_on_thread, "AsyncConnection": get_async},
            "a conversation stored": {"threads": add_on_thread, "AsyncConnection": add_async},
        }
        found: dict[str, Any] = {}
        for what, kinds in sides.items():
            for many in (1, WRITERS):
                found[f"{what}, {many} task{'s' * (many > 1)}"] = await _in_turn(kinds, many, rounds, calls)
    return found


async def _in_turn(
    kinds: dict[str, Callable[[], Awaitable[None]]], many: int, rounds: int, calls: int
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in kinds}

    async def work(call: Callable[[], Awaitable[None]]) -> None:
        for _ in range(calls // many):
            await call()

    for number in range(-1, rounds):
        for name in sorted(kinds, reverse=bool(number % 2)):
            begun = time.perf_counter()
            await asyncio.gather(*(work(kinds[name]) for _ in range(many)))
            if number >= 0:
                times[name].append((time.perf_counter() - begun) / (calls // many * many) * 1e6)
    return {name: round(statistics.median(some), 1) for name, some in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--no-server", action="store_true")
    arguments = parser.parse_args()
    threading.excepthook = lambda args: sys.exit(f"a thread died: {args.exc_value!r}")
    with folder() as place:
        Datastore.open(place / "a.db", migrate=True).close()
        hops = asyncio.run(hop(place / "a.db", arguments.rounds, arguments.calls))
        late = asyncio.run(stalls(place / "a.db", arguments.seconds))
    rate = rates(arguments.seconds / 2, arguments.rounds)
    added = round(hops["awaited"][0] - hops["called"][0], 1)
    bar("the hop, p50, microseconds", added, at_most=HOP)
    for name, line in late.items():
        if name == THREAD:
            continue
        bar(f"the loop's stall, {name}, p99, ms", _p99(line), at_most=STALL)
    bar("50 tasks at FULL, x one thread", rate["ratio"], at_least=RATE)
    server: dict[str, Any] = {}
    if not arguments.no_server:
        from postgresql import server as started

        with started() as url:
            server = asyncio.run(connections(url, arguments.rounds, arguments.calls))
    result = {
        **origin("python perf/asynchronous.py"),
        "missed": MISSED,
        "hop_microseconds": {**hops, "added_p50": added},
        "stalls": late,
        "appends_per_second": rate,
        "postgresql_microseconds": server,
    }
    for part in ("hop_microseconds", "stalls", "appends_per_second", "postgresql_microseconds"):
        for name, figures in result[part].items():
            print(f"{part}: {name}: {figures}")
    return finish("asynchronous", result, "hop_microseconds", "stalls", "appends_per_second", "postgresql_microseconds")


if __name__ == "__main__":
    raise SystemExit(main())
