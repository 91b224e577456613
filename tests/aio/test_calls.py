"""Calls of an asynchronous store: cancellation, their order, their number, waiting, closing; and the loop is never blocked."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datastore import AsyncDatastore, Datastore, NewMessage
from datastore.errors import (
    BusyError,
    ClosedError,
    DatabaseMissingError,
    DiskFullError,
    InvalidValueError,
    TransactionError,
    UniqueError,
)
from tests.aio.running import add, play, until, watched

BOTH_ENGINES = True

#: Seconds for which the loop may do nothing else here, on a machine that is busy with other tests.
STALL = 0.3

SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) SELECT max(i) AS last FROM n",
    "postgresql": "SELECT CAST(:count AS BIGINT) AS last FROM pg_sleep(100)",
}


async def slow_statement(opened: AsyncDatastore, folder: Path) -> Any:
    """A reading statement that runs for minutes, unless it is interrupted."""
    sql = SLOW[opened.sync.engine.name]
    header = "-- name: find_last(count)$\n-- Slow.\n--   count  integer  how far\n-- Index: none (a test)\n-- Rows: 1\n"
    (folder / "slow.sql").write_text(f"{header}{sql};\n")
    return await opened.bind(folder)


class Blocker:
    """Somebody else who keeps what every write needs, on a connection of their own."""

    def __init__(self, store: Datastore) -> None:
        self._connection: Any
        if store.engine.name == "sqlite":
            self._connection = sqlite3.connect(store.engine.path, isolation_level=None, check_same_thread=False)
            self._connection.execute("BEGIN IMMEDIATE")
        else:
            engine: Any = store.engine
            self._connection = psycopg.connect(engine._conninfo)
            self._connection.execute("LOCK TABLE conversations IN EXCLUSIVE MODE")

    def close(self) -> None:
        self._connection.rollback()
        self._connection.close()


def test_a_call_that_is_cancelled_before_its_turn_never_runs(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        started, release = threading.Event(), threading.Event()

        def block(sync: Datastore) -> None:
            started.set()
            release.wait(30)

        busy = [asyncio.create_task(opened.run(block)) for _ in range(store.engine.connections or 1)]
        await until(started.is_set)
        if store.engine.connections:
            await asyncio.sleep(0.2)  # every thread has one
        waiting = [asyncio.create_task(add(opened, id=f"never-{n}")) for n in range(5)]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError)
            assert not hasattr(outcome, "__notes__")
        release.set()
        await asyncio.gather(*busy)
        assert await opened.conversations.count() == 0

    play(store, body)


def test_a_write_that_is_cancelled_while_it_runs_is_finished_and_says_so(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        started = threading.Event()

        def work(sync: Datastore) -> None:
            started.set()
            time.sleep(0.2)
            sync.conversations.add(id="kept", sanitization_version="1")

        task = asyncio.create_task(opened.run(work))
        await until(started.is_set)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert time.monotonic() - begun > 0.1
        assert "what it wrote is stored" in cancelled.value.__notes__[0]
        assert store.conversations.find("kept")

        def fails(sync: Datastore) -> None:
            started.set()
            time.sleep(0.1)
            sync.conversations.add(id="kept", sanitization_version="1")

        started.clear()
        task = asyncio.create_task(opened.run(fails))
        await until(started.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert isinstance(cancelled.value.__cause__, UniqueError)
        assert not hasattr(cancelled.value, "__notes__")

    play(store, body)


def test_a_read_that_is_cancelled_is_interrupted(store: Datastore, tmp_path: Path) -> None:
    async def body(opened: AsyncDatastore) -> None:
        statements = await slow_statement(opened, tmp_path)
        async with watched() as stalls:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await statements.find_last(count=10**12)
            assert time.monotonic() - begun < 10
        assert stalls.longest < STALL
        assert await opened.conversations.count() == 0  # the connection works

    play(store, body)


@pytest.mark.sqlite
def test_a_read_that_is_interrupted_ends_no_transaction(store: Datastore, tmp_path: Path) -> None:
    async def body(opened: AsyncDatastore) -> None:
        statements = await slow_statement(opened, tmp_path)
        async with opened.transaction():
            await add(opened, id="before")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await statements.find_last(count=10**12)
            await add(opened, id="after")
        assert await opened.conversations.count() == 2

    play(store, body)


@pytest.mark.sqlite
def test_waiting_for_the_write_lock_can_be_cancelled(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        with closing(Blocker(store)):
            for write in (lambda: add(opened, id="never"), lambda: enter(opened)):
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await write()
                assert time.monotonic() - begun < 5  # the store's own timeout is 30
        await add(opened)
        assert await opened.conversations.count() == 1

    async def enter(opened: AsyncDatastore) -> None:
        async with opened.transaction():
            pass

    play(store, body)


def test_reads_go_on_while_another_process_has_the_write_lock(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        blocker = Blocker(store)
        async with watched() as stalls:
            # On PostgreSQL each of them keeps a connection while it waits.
            writes = [asyncio.create_task(add(opened)) for _ in range((store.engine.connections or 51) - 1)]
            await asyncio.sleep(0.2)
            for _ in range(20):
                assert await opened.conversations.count() == 0
            assert not any(write.done() for write in writes)
            await asyncio.to_thread(blocker.close)
            await asyncio.gather(*writes)
        assert stalls.longest < STALL
        assert await opened.conversations.count() == len(writes)

    play(store, body)


@pytest.mark.sqlite
def test_writes_run_in_the_order_of_their_arrival(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        order: list[int] = []

        async def write(number: int) -> None:
            if number % 3:
                await opened.run(lambda sync: order.append(number))
            else:
                async with opened.transaction():
                    await opened.conversations.count()
                    order.append(number)

        await asyncio.gather(*map(write, range(60)))
        assert order == list(range(60))

    play(store, body, max_calls=7)


@pytest.mark.parametrize("max_calls", [1, 3])
def test_a_bounded_number_of_calls_is_in_flight(store: Datastore, max_calls: int) -> None:
    async def body(opened: AsyncDatastore) -> None:
        lane = opened._threads.writing
        most = 0

        async def write() -> None:
            nonlocal most
            task = asyncio.create_task(add(opened))
            while not task.done():
                most = max(most, lane.handed)
                await asyncio.sleep(0)
            await task

        await asyncio.gather(*(write() for _ in range(20)))
        assert most == max_calls
        assert await opened.conversations.count() == 20

    play(store, body, max_calls=max_calls)


@pytest.mark.parametrize("options", [{"readers": 0}, {"max_calls": 0}, {"max_calls": True}, {"readers": "4"}])
def test_options_are_checked(store: Datastore, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="must be 1 or more"):
        play(store, add_nothing, **options)


async def add_nothing(opened: AsyncDatastore) -> None:
    raise AssertionError


@pytest.mark.sqlite
def test_who_waits_for_a_transaction_that_does_not_end_gets_busy_error(path: Path) -> None:
    async def main() -> None:
        async with await AsyncDatastore.open(path, timeout=0.3) as opened:

            async def other() -> str:
                await asyncio.sleep(0.05)
                with pytest.raises(BusyError, match="no thread was free for 0.3 s"):
                    await add(opened)
                return "refused"

            task = asyncio.create_task(other())
            async with opened.transaction():
                await add(opened)
                assert await task == "refused"
                await add(opened)
            await add(opened)
            assert await opened.conversations.count() == 3

    asyncio.run(main())


@pytest.mark.sqlite
def test_a_long_queue_that_moves_is_not_refused(path: Path) -> None:
    async def main() -> None:
        async with await AsyncDatastore.open(path, timeout=0.3) as opened:
            await asyncio.gather(*(opened.run(lambda sync: time.sleep(0.05)) for _ in range(20)))

    asyncio.run(main())


def test_closing_ends_everything(store: Datastore) -> None:
    async def main() -> None:
        opened = AsyncDatastore(store)
        inside = asyncio.Event()

        async def holds() -> None:
            async with opened.transaction():
                await add(opened, id="undone")
                inside.set()
                await asyncio.sleep(0.2)
                await add(opened)

        async def commits() -> None:
            async with opened.transaction():
                await inside.wait()
                await asyncio.sleep(0.2)

        holding = asyncio.create_task(holds())
        await inside.wait()
        others = [asyncio.create_task(add(opened)) for _ in range(5)] if not store.engine.connections else []
        others += [asyncio.create_task(commits())]
        await asyncio.sleep(0.02)
        threads = threading.active_count()
        await asyncio.gather(opened.close(), opened.close())
        assert threading.active_count() < threads
        await opened.close()
        for outcome in await asyncio.gather(holding, *others, return_exceptions=True):
            assert isinstance(outcome, ClosedError), outcome
        for call in (
            opened.conversations.count(),
            add(opened),
            opened.run(lambda sync: None),
            anext(opened.conversations.iterate()),
        ):
            with pytest.raises(ClosedError):
                await call
        assert store.conversations.count() == 0  # the synchronous store was given, and stays open

    asyncio.run(main())


def test_a_store_that_was_opened_is_closed(datastore_database: Path | str, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(DatabaseMissingError):
            await AsyncDatastore.open(tmp_path / "missing.db")
        async with await AsyncDatastore.open(datastore_database) as opened:
            async with opened.transaction():
                with pytest.raises(TransactionError, match="closed inside a transaction"):
                    await opened.close()
                await add(opened)
            statements = await slow_statement(opened, tmp_path)
            reading = asyncio.create_task(statements.find_last(count=10**12))
            await asyncio.sleep(0.2)
            if opened.sync.engine.connections:
                reading.cancel()
        with pytest.raises((ClosedError, asyncio.CancelledError)):
            await reading
        with pytest.raises(ClosedError):
            opened.sync.conversations.count()

    asyncio.run(main())


def test_a_store_that_is_dropped_ends_its_threads(store: Datastore) -> None:
    before = threading.active_count()

    async def main() -> None:
        opened = AsyncDatastore(store)
        await add(opened)
        assert await opened.conversations.count() == 1
        assert threading.active_count() > before

    asyncio.run(main())
    end = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < end
        gc.collect()
        time.sleep(0.005)


def test_opening_can_be_cancelled(datastore_database: Path | str) -> None:
    async def main() -> None:
        before = threading.active_count()
        for delay in (0, 0.001, 0.01):
            task = asyncio.create_task(AsyncDatastore.open(datastore_database))
            await asyncio.sleep(delay)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await (await task).close()
        await until(lambda: threading.active_count() == before)

    asyncio.run(main())


def test_iterating_reads_pages(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        id = await add(opened)
        await opened.messages.append_many(id, [NewMessage(role="user", content=f"{n}") for n in range(1203)])
        assert [one.content async for one in opened.messages.iterate(id)] == [f"{n}" for n in range(1203)]
        async with opened.transaction():
            await opened.messages.append(id, role="user", content="1203")
            assert len([one async for one in opened.messages.iterate(id)]) == 1204
        iteration = opened.messages.iterate(id)
        assert (await anext(iteration)).content == "0"
        assert (await anext(iteration)).content == "1"  # and is dropped
        assert [one async for one in opened.messages.iterate("missing")] == []

    play(store, body)


def test_an_iteration_that_was_broken_off_does_not_go_on(store: Datastore) -> None:
    """Its page may have been read and lost, so that the next one would not be the next."""

    async def body(opened: AsyncDatastore) -> None:
        id = await add(opened)
        await opened.messages.append_many(id, [NewMessage(role="user", content="x")] * 600)
        iteration = opened.messages.iterate(id)
        for _ in range(500):
            await anext(iteration)
        task = asyncio.create_task(take(iteration))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TransactionError, match="begin another one"):
            await anext(iteration)

    async def take(iteration: Any) -> None:
        await anext(iteration)

    play(store, body)


def test_waiting_for_a_job_blocks_no_thread(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        assert await opened.jobs.wait(timeout=0.05) is False
        waiting = [asyncio.create_task(opened.jobs.wait(["x"], timeout=30)) for _ in range(20)]
        await asyncio.sleep(0.05)
        await opened.jobs.enqueue("x")
        assert all(await asyncio.gather(*waiting))
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await opened.jobs.wait(["y"], timeout=30)
        assert time.monotonic() - begun < 5
        async with opened.transaction():
            with pytest.raises(TransactionError):
                await opened.jobs.wait(timeout=1)

    play(store, body)


def test_calls_see_the_context_variables_of_their_task(store: Datastore) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def body(opened: AsyncDatastore) -> None:
        variable.set("seen")
        assert await opened.run(lambda sync: variable.get()) == "seen"

    play(store, body)


def test_an_error_of_any_kind_comes_back(store: Datastore) -> None:
    class Odd(BaseException):
        pass

    async def body(opened: AsyncDatastore) -> None:
        def odd(sync: Datastore) -> None:
            raise Odd

        with pytest.raises(Odd):
            await opened.run(odd)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await opened.run(lambda sync: next(iter(())))
        await add(opened)

    play(store, body)


@pytest.mark.sqlite
def test_the_loop_runs_while_the_disk_is_full(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        id = await add(opened)

        def fill(sync: Datastore) -> None:
            engine: Any = sync.engine
            engine.pragma(f"max_page_count({engine.pragma('page_count') + 3})")

        async with watched() as stalls:
            with suppress(TransactionError):
                await opened.run(fill)
            with pytest.raises(DiskFullError):
                for _ in range(200):
                    await opened.messages.append(id, role="user", content="x" * 5000)
            assert await opened.conversations.count() == 1
        assert stalls.longest < STALL

    play(store, body)


HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.sqlite
def test_the_loop_runs_while_a_busy_database_is_opened_and_closed(path: Path) -> None:
    async def main() -> None:
        async with watched() as stalls:
            opened = await AsyncDatastore.open(path)
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            await asyncio.to_thread(holder.stdout.readline)  # type: ignore[union-attr]
            writing = asyncio.create_task(add(opened))
            opening = asyncio.create_task(AsyncDatastore.open(path, timeout=0.5))
            await asyncio.sleep(0.7)
            await opened.close()
            with pytest.raises(ClosedError):
                await writing
            holder.communicate()
            with suppress(BusyError):
                await (await opening).close()
        assert stalls.longest < STALL

    asyncio.run(main())


def test_own_statements_are_awaited(store: Datastore, tmp_path: Path) -> None:
    header = "-- Index: none (a test)\n-- Rows: {}\n"
    (tmp_path / "own.sql").write_text(
        "-- name: count_own()$\n-- Counts.\n" + header.format(1) + "SELECT count(*) AS n FROM conversations;\n\n"
        "-- name: retitle(title)!\n-- Changes.\n--   title  text  the new one\n" + header.format("any")
        + "UPDATE conversations SET title = :title;\n"
    )  # fmt: skip

    async def body(opened: AsyncDatastore) -> None:
        statements = await opened.bind(tmp_path)
        await add(opened)
        assert await statements.count_own() == 1
        async with opened.transaction():
            await add(opened)
            assert await statements.count_own() == 2
            assert await statements.retitle(title="new") == 2
        with pytest.raises(TypeError):
            await statements.retitle(titel="new")

    play(store, body)
