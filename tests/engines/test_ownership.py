"""Who may use a transaction: its thread, its task and its context; everybody else is told so, and its owner goes on."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import threading
import time
from _thread import start_new_thread
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import ClosedError, ForkedError, TransactionError, TransactionLostError
from tests.conftest import until
from tests.engines.test_transactions import add, in_child, in_thread, needs_fork, titles

BOTH_ENGINES = True


class Calls:
    """A thread that lives on and runs calls, each in a copy of its caller's context: as web frameworks' thread pools do."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def __call__(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """What *run* gives, or what it raises."""
        try:
            return self._pool.submit(contextvars.copy_context().run, run, *arguments).result(30)
        except Exception as error:
            return error

    def without_context(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """The same in the thread's own context, as `loop.run_in_executor` does."""
        try:
            return self._pool.submit(run, *arguments).result(30)
        except Exception as error:
            return error

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def calls() -> Iterator[Callable[[], Calls]]:
    made: list[Calls] = []

    def make() -> Calls:
        made.append(Calls())
        return made[-1]

    yield make
    for one in made:
        one.close()


@contextmanager
def dependency(store: Datastore) -> Iterator[Datastore]:
    """FastAPI's usual dependency."""
    with store.transaction():
        add(store, "dependency")
        yield store


def test_a_dependency_of_a_thread_pool_is_told_at_its_first_write(store: Datastore, calls: Any) -> None:
    one, two, three = calls(), calls(), calls()
    block = dependency(store)
    assert one(block.__enter__) is store
    began = time.monotonic()
    for endpoint in (one, two):  # the same thread in another context, and another thread
        refused = endpoint(add, store, "endpoint")
        assert type(refused) is TransactionError
        assert "async def" in str(refused) or "store.run" in str(refused)
    assert time.monotonic() - began < 5  # not the 30 seconds that a writer waits for
    left = three(block.__exit__, None, None, None)
    assert type(left) is TransactionError
    assert "rolled back" in str(left)
    for thread in (one, two, three):
        assert not isinstance(thread(add, store, "after"), Exception)
    assert titles(store) == {"after"}


def test_a_dependency_whose_endpoint_failed_raises_what_the_endpoint_raised(store: Datastore, calls: Any) -> None:
    one, two = calls(), calls()
    block = dependency(store)
    one(block.__enter__)
    assert two(block.__exit__, ValueError, ValueError(), None) is False  # what was raised goes on up
    assert titles(store) == set()


def test_a_block_that_is_left_in_another_thread_is_rolled_back(store: Datastore, calls: Any) -> None:
    one, two = calls(), calls()
    for block in (dependency(store), store.snapshot()):
        one.without_context(block.__enter__)
        assert type(two.without_context(block.__exit__, None, None, None)) is TransactionError
        for thread in (one, two):
            assert not isinstance(thread.without_context(add, store, "after"), Exception)
    assert titles(store) == {"after"}


def test_an_orphan_that_nobody_leaves_is_rolled_back_after_the_timeout(
    engine: str, request: pytest.FixtureRequest, calls: Any
) -> None:
    with open_with_timeout(engine, request, 0.5) as store:
        thread, block = calls(), dependency(store)
        thread(block.__enter__)
        until(lambda: not isinstance(in_thread(lambda: add(store, "after")), TransactionError))
        assert titles(store) == {"after"}
        with pytest.raises(TransactionLostError):
            block.__exit__(None, None, None)


def test_a_thread_that_ends_inside_a_block_ends_the_block(store: Datastore) -> None:
    blocks = []
    for _ in range(15):  # more than a pool has connections
        block = store.transaction()
        assert in_thread(lambda block=block: (block.__enter__(), add(store, "lost"))[0]) is None
        blocks.append(block)
        snapshot = store.snapshot()
        in_thread(snapshot.__enter__)
        blocks.append(snapshot)
    add(store, "after")
    assert titles(store) == {"after"}
    with pytest.raises(TransactionError):
        blocks[0].__exit__(None, None, None)


def test_another_task_is_refused_and_the_owner_goes_on(store: Datastore) -> None:
    async def main() -> list[str]:
        entered, done = asyncio.Event(), asyncio.Event()
        refused: list[str] = []

        async def owner() -> None:
            with store.transaction():
                add(store, "first")
                entered.set()
                await done.wait()
                add(store, "second")

        async def other() -> None:
            await entered.wait()
            for use in (
                lambda: add(store, "other"),
                lambda: titles(store),
                lambda: store.transaction().__enter__(),
                lambda: store.snapshot().__enter__(),
            ):
                with pytest.raises(TransactionError) as caught:
                    use()
                refused.append(type(caught.value).__name__)
            done.set()

        await asyncio.gather(owner(), other())
        add(store, "afterwards")
        return refused

    assert asyncio.run(main()) == ["TransactionError"] * 4
    assert titles(store) == {"first", "second", "afterwards"}


def test_what_inherits_a_tasks_context_is_not_inside_its_transaction(store: Datastore) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        called: list[Exception] = []

        def callback() -> None:
            try:
                add(store, "callback")
            except TransactionError as error:
                called.append(error)

        async def child() -> None:
            add(store, "child")

        with store.transaction():
            add(store, "parent")
            loop.call_soon(callback)
            with pytest.raises(TransactionError, match="another task"):
                await asyncio.create_task(child())
            with pytest.raises(TransactionError, match="another task"):
                await asyncio.to_thread(add, store, "thread")
            with pytest.raises(TransactionError, match="another task"):
                await asyncio.to_thread(titles, store)
            assert called
        await asyncio.to_thread(add, store, "afterwards")

    asyncio.run(main())
    assert titles(store) == {"parent", "afterwards"}


def test_a_block_that_another_task_leaves_stays_its_owners(store: Datastore) -> None:
    async def main() -> None:
        block = store.transaction()
        block.__enter__()
        add(store, "first")

        async def leave() -> None:
            block.__exit__(None, None, None)

        with pytest.raises(TransactionError, match="another task"):
            await asyncio.create_task(leave())
        add(store, "second")
        block.__exit__(None, None, None)

    asyncio.run(main())
    assert titles(store) == {"first", "second"}


def test_an_asynchronous_generator_that_its_reader_leaves_is_ended(store: Datastore) -> None:
    async def rows() -> Any:
        with store.transaction():
            add(store, "generator")
            yield 1
            yield 2

    async def main() -> None:
        async for _ in rows():
            break
        await asyncio.sleep(0)
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        add(store, "after")

    asyncio.run(main())
    assert titles(store) == {"after"}


def test_a_task_may_not_nest_in_what_was_begun_outside_the_loop(store: Datastore) -> None:
    async def main() -> None:
        add(store, "inside")
        with pytest.raises(TransactionError), store.transaction():
            pass

    with store.transaction():
        asyncio.run(main())
    assert titles(store) == {"inside"}


def test_a_block_of_each_of_two_stores(store: Datastore, tmp_path: Path) -> None:
    with Datastore.open(tmp_path / "other.db", migrate=True) as other:
        with store.transaction(), other.transaction():
            add(store, "a")
            add(other, "b")
            with store.transaction(), other.snapshot():
                add(store, "c")
                assert titles(other) == {"b"}
        assert (titles(store), titles(other)) == ({"a", "c"}, {"b"})
        first, second = store.transaction(), other.transaction()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)  # not the one that was entered last
        add(other, "d")
        second.__exit__(None, None, None)
        add(store, "e")
        assert (titles(store), titles(other)) == ({"a", "c", "e"}, {"b", "d"})


def test_a_generators_consumer_is_inside_its_block(store: Datastore) -> None:
    @contextmanager
    def unit() -> Iterator[None]:
        with store.transaction():
            yield

    with pytest.raises(ValueError), unit():
        add(store, "undone")
        raise ValueError
    with unit():
        add(store, "kept")
    assert titles(store) == {"kept"}


def test_a_block_is_entered_once_at_a_time(store: Datastore) -> None:
    block = store.transaction()
    with block, pytest.raises(TransactionError, match="already entered"):
        block.__enter__()
    with block:
        add(store, "again")
    assert titles(store) == {"again"}


def test_threads_at_work_while_the_store_is_closed(engine: str, request: pytest.FixtureRequest) -> None:
    with open_with_timeout(engine, request, 30) as store:
        started, outcomes = threading.Barrier(9), Counter[str]()

        def work() -> None:
            started.wait()
            try:
                while True:
                    with store.transaction():
                        add(store, "a")
                    titles(store)
            except Exception as error:
                outcomes[type(error).__name__] += 1

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        started.wait()
        store.close()
        for thread in threads:
            thread.join(30)
        assert outcomes == {"ClosedError": 8}


def test_a_transaction_that_is_open_when_the_store_is_closed(engine: str, request: pytest.FixtureRequest) -> None:
    with open_with_timeout(engine, request, 30) as store:
        entered, closed = threading.Event(), threading.Event()

        def work() -> None:
            with store.transaction():
                add(store, "a")
                entered.set()
                closed.wait(30)

        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(in_place(work)))
        thread.start()
        entered.wait(30)
        store.close()
        closed.set()
        thread.join(30)
        assert [type(one) for one in results] == [ClosedError]
        with pytest.raises(ClosedError):
            titles(store)


@pytest.mark.sqlite
def test_a_store_that_is_dropped_without_being_closed_leaves_no_file_open(store: Datastore, tmp_path: Path) -> None:
    def use() -> None:
        dropped = Datastore.open(tmp_path / "dropped.db", migrate=True)
        add(dropped, "a")
        in_thread(lambda: titles(dropped))

    use()
    gc.collect()
    opened = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if Path(f"/proc/self/fd/{fd}").is_symlink()
    ]
    assert not [one for one in opened if "dropped.db" in one]


def test_threads_that_threading_does_not_know_keep_their_connections(store: Datastore) -> None:
    connected, go, done = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
    outcomes: list[Any] = []

    def work() -> None:
        add(store, "before")
        connected.release()
        go.wait(30)
        outcomes.append(in_place(lambda: add(store, "after")))
        done.release()

    for _ in range(4):
        start_new_thread(work, ())
    for _ in range(4):
        assert connected.acquire(timeout=30)
    for _ in range(4):  # new threads connect, and end
        in_thread(lambda: titles(store))
    go.set()
    for _ in range(4):
        assert done.acquire(timeout=30)
    assert outcomes == [None] * 4
    assert titles(store) == {"before", "after"}


def test_a_signal_handler_inside_a_call_is_refused(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[Any] = []
    before = signal.signal(
        signal.SIGUSR1, lambda number, frame: handled.append(in_place(lambda: add(store, "handler")))
    )
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: handled)
        assert handled == [None]  # outside of every call it works
        session: Any = store.engine._thread.session
        session.at_work = True  # the state of a thread inside a call
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: len(handled) == 2)
        session.at_work = False
        assert type(handled[1]) is TransactionError
        assert "signal handler" in str(handled[1])
    finally:
        signal.signal(signal.SIGUSR1, before)
    add(store, "after")
    assert titles(store) == {"handler", "after"}


@needs_fork
def test_a_child_of_a_fork_inside_a_transaction_is_refused(store: Datastore) -> None:
    with store.transaction():
        add(store, "before")
        assert in_child(lambda: titles(store)).startswith("ForkedError")
        assert in_child(lambda: add(store, "child")).startswith("ForkedError")
        add(store, "after")
    assert titles(store) == {"before", "after"}


@needs_fork
def test_a_child_does_not_use_its_parents_connections(store: Datastore, engine: str) -> None:
    add(store, "before")

    def child() -> Any:
        if engine == "sqlite":  # the parent's was closed before the fork
            add(store, "child")
            return "refused"
        for use in (lambda: titles(store), store.transaction().__enter__, store.snapshot().__enter__):
            with pytest.raises(ForkedError):
                use()
        store.close()
        return "refused"

    assert in_child(child) == "refused"
    assert titles(store) - {"child"} == {"before"}


@contextmanager
def open_with_timeout(engine: str, request: pytest.FixtureRequest, timeout: float) -> Iterator[Datastore]:
    """A store of its own, for tests that close it or wait for a short time."""
    if engine == "sqlite":
        where: Any = request.getfixturevalue("tmp_path") / "own.db"
        Datastore.open(where, migrate=True).close()
    else:
        from tests.postgresql import empty

        where = request.getfixturevalue("migrated_server")
        empty(where)
    store = Datastore.open(where, timeout=timeout, durability="relaxed")
    try:
        yield store
    finally:
        store.close()


def in_place(run: Callable[[], Any]) -> Any:
    """What *run* gives or raises."""
    try:
        return run()
    except BaseException as error:
        return error
