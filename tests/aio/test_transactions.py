"""Transactions and snapshots of an asynchronous store: whose they are, and what becomes of them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from datastore import AsyncDatastore, Datastore
from datastore.aio.blocks import AsyncTransaction
from datastore.errors import TransactionError, TransactionLostError, UniqueError, UnsupportedError
from tests.aio.running import add, play, until

BOTH_ENGINES = True


def test_a_transaction_is_all_or_nothing(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async with opened.transaction() as kept:
            await add(opened, id="kept")
            assert kept.committed is None
        assert kept.committed is True
        with pytest.raises(ValueError):
            async with opened.transaction() as undone:
                await add(opened, id="undone")
                raise ValueError
        assert undone.committed is False
        assert await opened.conversations.find("kept")
        assert await opened.conversations.find("undone") is None

    play(store, body)


def test_a_block_inside_another_is_a_savepoint(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async with opened.transaction():
            await add(opened, id="outer")
            with pytest.raises(UniqueError):
                async with opened.transaction():
                    await add(opened, id="inner")
                    await add(opened, id="outer")
            async with opened.transaction(), opened.snapshot():
                assert await opened.conversations.count() == 1
            await add(opened, id="after")
        assert await opened.conversations.count() == 2

    play(store, body)


def test_a_snapshot_sees_one_state_and_cannot_write(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async with opened.snapshot():
            assert await opened.conversations.count() == 0
            with pytest.raises(TransactionError, match="snapshot"):
                await add(opened)
            with pytest.raises(TransactionError, match="snapshot"):
                async with opened.transaction():
                    pass

    async def others(opened: AsyncDatastore) -> None:
        before, written = asyncio.Event(), asyncio.Event()

        async def read() -> tuple[int, int]:
            async with opened.snapshot():
                first = await opened.conversations.count()
                before.set()
                await written.wait()
                return first, await opened.conversations.count()

        reading = asyncio.create_task(read())
        await before.wait()
        await add(opened)
        written.set()
        assert await reading == (1, 1)
        assert await opened.conversations.count() == 2

    play(store, body)
    store.conversations.add(sanitization_version="1")
    play(store, others)


def test_two_tasks_have_two_transactions(store: Datastore) -> None:
    """Of two synchronous blocks on one thread, the second one would be a savepoint of the first."""

    async def body(opened: AsyncDatastore) -> None:
        async def fails() -> None:
            async with opened.transaction():
                await add(opened, id="a")
                await asyncio.sleep(0.05)
                raise ValueError

        async def succeeds() -> None:
            await asyncio.sleep(0.01)
            async with opened.transaction():
                await add(opened, id="b")

        outcomes = await asyncio.gather(fails(), succeeds(), return_exceptions=True)
        assert [type(one) for one in outcomes] == [ValueError, type(None)]
        assert [one.id async for one in opened.conversations.iterate()] == ["b"]

    play(store, body)


def test_child_tasks_are_refused_and_the_owner_goes_on(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async with opened.transaction() as transaction:
            await add(opened, id="before")
            children: list[Any] = [
                opened.conversations.count(),
                add(opened),
                opened.run(lambda sync: None),
                enter(opened.transaction()),
                enter(opened.snapshot()),
                leave(transaction),
                opened.close(),
            ]
            for outcome in await asyncio.gather(*children, return_exceptions=True):
                assert isinstance(outcome, TransactionError), outcome
                assert "another task entered" in str(outcome)
            await add(opened, id="after")
        assert transaction.committed
        assert await opened.conversations.count() == 2

    async def enter(block: Any) -> None:
        async with block:
            pass

    async def leave(block: AsyncTransaction) -> None:
        await block.__aexit__(None, None, None)

    play(store, body)


def test_a_task_made_inside_a_transaction_works_after_it(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        over = asyncio.Event()

        async def later() -> None:
            await over.wait()
            await add(opened)
            async with opened.transaction():
                await add(opened)

        async with opened.transaction():
            task = asyncio.create_task(later())
        over.set()
        await task
        assert await opened.conversations.count() == 2

    play(store, body)


def test_the_synchronous_store_is_refused_inside(store: Datastore) -> None:
    """On the loop's thread it would wait for the lock of its own task; on another thread it would be outside."""

    async def body(opened: AsyncDatastore) -> None:
        async with opened.transaction():
            with pytest.raises(TransactionError):
                opened.sync.conversations.add(sanitization_version="1")
            with pytest.raises(TransactionError):
                await asyncio.to_thread(opened.sync.conversations.count)
            await add(opened)
        assert opened.sync.conversations.count() == 1  # and works after it

    play(store, body)


def test_run_calls_a_function_in_one_transaction(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        def work(sync: Datastore) -> str:
            sync.conversations.add(id="one", sanitization_version="1")
            sync.conversations.add(id="two", sanitization_version="1")
            return "done"

        assert await opened.run(work) == "done"
        with pytest.raises(UniqueError):
            await opened.run(lambda sync: (sync.conversations.add(id="three", sanitization_version="1"), work(sync)))
        assert await opened.conversations.count() == 2
        async with opened.transaction():
            with pytest.raises(TransactionError):
                await opened.run(work)

    play(store, body)


def test_a_task_that_ends_inside_its_transaction_is_rolled_back(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        block = opened.transaction()

        async def enters() -> None:
            await block.__aenter__()
            await add(opened, id="undone")

        await asyncio.create_task(enters())
        await add(opened, id="other")
        with pytest.raises((TransactionError, TransactionLostError)):
            await block.__aexit__(None, None, None)
        assert [one.id async for one in opened.conversations.iterate()] == ["other"]

    play(store, body)


def test_a_coroutine_or_a_generator_that_is_dropped_is_rolled_back(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async def generator() -> AsyncIterator[None]:
            async with opened.transaction():
                await add(opened, id="undone")
                yield

        dropped = generator()
        await anext(dropped)
        del dropped
        gc.collect()
        await asyncio.sleep(0.05)  # asyncio closes it in a task of its own
        await add(opened, id="other")
        other = generator()
        await anext(other)
        await other.aclose()
        assert [one.id async for one in opened.conversations.iterate()] == ["other"]

    play(store, body)


def test_a_generator_that_another_task_ends_is_rolled_back_and_reported(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async def generator() -> AsyncIterator[None]:
            async with opened.transaction():
                await add(opened, id="undone")
                yield

        made = generator()
        await anext(made)

        async def ends() -> None:
            await anext(made, None)

        with pytest.raises(TransactionError, match="different thread, task or context"):
            await asyncio.create_task(ends())
        await add(opened, id="other")
        assert [one.id async for one in opened.conversations.iterate()] == ["other"]

    play(store, body)


def test_a_loop_that_is_closed_ends_what_it_left_open(store: Datastore) -> None:
    async def enters() -> None:
        opened = AsyncDatastore(store)
        block = opened.transaction()
        await block.__aenter__()
        await add(opened)
        await asyncio.sleep(3600)

    loop = asyncio.new_event_loop()
    task = loop.create_task(enters())
    loop.run_until_complete(asyncio.sleep(0.2))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    del task
    gc.collect()
    store.conversations.add(sanitization_version="1")  # nobody has the write lock
    assert store.conversations.count() == 1


def test_a_commit_that_is_cancelled_says_that_it_was_one(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(opened: AsyncDatastore) -> None:
        committing = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def commits() -> None:
            async with opened.transaction() as transaction:
                blocks.append(transaction)
                await add(opened, id="kept")
                session = type(store.engine._thread.session or await opened.run(session_of))  # type: ignore[attr-defined]
                commit = session.commit

                def slowly(self: Any) -> None:
                    loop.call_soon_threadsafe(committing.set)
                    time.sleep(0.2)
                    commit(self)

                monkeypatch.setattr(session, "commit", slowly)

        blocks: list[AsyncTransaction] = []
        task = asyncio.create_task(commits())
        await committing.wait()
        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert blocks[0].committed is True
        assert "committed" in cancelled.value.__notes__[0]
        assert await opened.conversations.find("kept")

    def session_of(sync: Datastore) -> Any:
        return sync.engine._thread.session  # type: ignore[attr-defined]

    store.conversations.count()  # this thread has a session
    play(store, body)


def test_a_block_is_entered_once(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        block = opened.transaction()
        async with block:
            with pytest.raises(TransactionError, match="already entered"):
                await block.__aenter__()
        with pytest.raises(TransactionError, match="already entered"):
            await block.__aenter__()

    play(store, body)


def test_two_stores_in_one_task(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        async with AsyncDatastore(store) as other, opened.transaction():
            with pytest.raises(TransactionError):  # its thread would wait for this transaction
                await add(other)
            await add(opened)

    play(store, body)


def test_another_loop_is_refused(store: Datastore) -> None:
    async def make() -> AsyncDatastore:
        return AsyncDatastore(store)

    async def use(opened: AsyncDatastore) -> None:
        with pytest.raises(UnsupportedError, match="another event loop|belongs to the event loop"):
            await opened.conversations.count()

    opened = asyncio.run(make())
    asyncio.run(use(opened))
    with pytest.raises(UnsupportedError, match="running event loop"):
        AsyncDatastore(store)


def test_other_tasks_do_not_see_it_and_their_writes_wait(store: Datastore) -> None:
    async def body(opened: AsyncDatastore) -> None:
        inside = asyncio.Event()

        async def slow() -> None:
            async with opened.transaction():
                await add(opened, id="a")
                inside.set()
                await asyncio.sleep(0.1)
                order.append("transaction")

        async def write() -> None:
            await add(opened, id="b")
            order.append("write")

        order: list[str] = []
        task = asyncio.create_task(slow())
        await inside.wait()
        assert await opened.conversations.count() == 0
        order.append("read")
        await asyncio.gather(task, write())
        await until(lambda: len(order) == 3)
        if store.engine.connections is None:
            assert order == ["read", "transaction", "write"]

    play(store, body)
