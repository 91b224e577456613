"""asyncio: what the tasks, callbacks and threads of one program may do with a transaction of one of them."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from datastore.errors import TransactionError
from tests.programs.apps.work import Ledger, Refused, add, add_together, open_store

ledger, store = Ledger(), open_store(timeout=5.0)


def note(key: str) -> Callable[[], None]:
    return lambda: ledger.acknowledged.append(key)


async def two_tasks() -> None:
    """The second one's block is not a part of the first one's, which is rolled back."""
    inside = asyncio.Event()

    async def first() -> None:
        with store.transaction():
            add(store, "first")
            inside.set()
            await asyncio.sleep(0.05)
            raise Refused

    async def second() -> None:
        await inside.wait()
        ledger.attempt("second", lambda: add_together(store, "second"))
        ledger.attempt("second-alone", lambda: add(store, "second-alone"))
        ledger.attempt("second-reads", lambda: store.conversations.count())
        ledger.attempt("second-snapshot", lambda: store.snapshot().__enter__())

    await asyncio.gather(first(), second(), return_exceptions=True)
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def owner_goes_on() -> None:
    """Whoever is refused harms nobody: the owner's transaction is committed, whole."""
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id="owner")
        tasks = [asyncio.create_task(attempt(f"task-{i}", lambda i=i: add(store, f"task-{i}"))) for i in range(5)]
        await asyncio.gather(*tasks)
        await asyncio.to_thread(ledger.attempt, "to_thread", lambda: add(store, "to_thread"))
        await asyncio.to_thread(ledger.attempt, "to_thread-nested", lambda: add_together(store, "to_thread-nested"))
        await asyncio.to_thread(ledger.attempt, "to_thread-reads", lambda: store.conversations.count())
        called = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: (ledger.attempt("callback", lambda: add(store, "callback")), called.set()))
        await called.wait()
        store.messages.append(conversation.id, role="user", content="owner")
    ledger.acknowledged.append("owner")


async def attempt(key: str, call: Callable[[], object]) -> None:
    ledger.attempt(key, call)


async def inherited() -> None:
    """A task and a context that were made inside a transaction may use the store once it has ended."""
    ended = asyncio.Event()

    async def later() -> None:
        await ended.wait()
        ledger.attempt("later", lambda: add_together(store, "later"))
        ledger.attempt("later-alone", lambda: add(store, "later-alone"))

    with store.transaction():
        add(store, "around")
        task = asyncio.create_task(later())
        context = contextvars.copy_context()
    ledger.acknowledged.append("around")
    ended.set()
    await task
    context.run(ledger.attempt, "context", lambda: add_together(store, "context"))
    thread = threading.Thread(
        target=context.run, args=(ledger.attempt, "thread", lambda: add_together(store, "thread"))
    )
    thread.start()
    thread.join()


async def cancelled() -> None:
    """A task that is cancelled inside its transaction: rolled back."""
    inside = asyncio.Event()

    async def waits() -> None:
        with store.transaction():
            add(store, "cancelled")
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(waits())
    await inside.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def generator_ended_elsewhere() -> None:
    """An async generator that is begun in one task and ended in another: rolled back, refused, and the lock is free."""

    async def inside() -> AsyncIterator[None]:
        with store.transaction():
            add(store, "generator")
            yield

    generator = inside()
    await asyncio.create_task(step(generator))

    async def ends() -> None:
        try:
            await generator.__anext__()
        except TransactionError as error:
            ledger.refused["generator"] = type(error).__name__
        except StopAsyncIteration:
            ledger.acknowledged.append("generator")

    await asyncio.create_task(ends())
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def step(generator: AsyncIterator[None]) -> None:
    await generator.__anext__()


async def generator_dropped() -> None:
    """An async generator that nobody goes on with is finalised by the loop, in a task of its own."""

    async def inside() -> AsyncIterator[None]:
        with store.transaction():
            add(store, "dropped")
            yield

    generator = inside()
    await generator.__anext__()
    del generator
    for _ in range(20):
        await asyncio.sleep(0.001)
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def sync_generator_elsewhere() -> None:
    """A generator that is begun in one task, and gone on with in another."""

    def inside() -> Iterator[None]:
        with store.transaction():
            add(store, "generator")
            yield
            ledger.attempt("resumed", lambda: add(store, "resumed"))

    generator = inside()

    async def begins() -> None:
        next(generator)

    async def ends() -> None:
        try:
            next(generator)
        except TransactionError as error:
            ledger.refused["generator"] = type(error).__name__
        except StopIteration:
            ledger.acknowledged.append("generator")

    await asyncio.create_task(begins())
    await asyncio.create_task(ends())
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def sync_generator_same_task() -> None:
    """A generator's consumer, in the same task, is inside its transaction."""

    @contextmanager
    def unit() -> Iterator[None]:
        with store.transaction():
            yield

    with unit():
        add(store, "kept")
        await asyncio.sleep(0)
        add(store, "kept-too")
    ledger.acknowledged += ["kept", "kept-too"]
    with suppress(Refused), unit():
        add(store, "refused")
        raise Refused


async def suspended_generator_on_another_thread() -> None:
    """FastAPI's way: begun on a thread of the pool, whose call has returned. Writers are refused at once, not after a wait."""

    def inside() -> Iterator[None]:
        with store.transaction():
            add(store, "suspended")
            yield

    generator = inside()
    await asyncio.to_thread(next, generator)
    await asyncio.sleep(0.05)  # until the other thread has let go of the call's context
    loop = asyncio.get_running_loop()
    before = loop.time()
    ledger.attempt("writer", lambda: add_together(store, "writer"))
    ledger.attempt("writer-alone", lambda: add(store, "writer-alone"))
    await asyncio.to_thread(ledger.attempt, "writer-thread", lambda: add(store, "writer-thread"))
    ledger.facts["waited"] = loop.time() - before
    try:
        await asyncio.to_thread(next, generator, None)
    except TransactionError as error:
        ledger.refused["suspended"] = type(error).__name__
    ledger.attempt("afterwards", lambda: add_together(store, "afterwards"))


async def many_tasks() -> None:
    """Tasks that keep each other out by a lock of the program's own: every one of them is right."""
    lock = asyncio.Lock()

    async def work(i: int) -> None:
        async with lock:
            with store.transaction():
                conversation = store.conversations.add(sanitization_version="1", session_id=f"task-{i}")
                await asyncio.sleep(0)
                store.messages.append(conversation.id, role="user", content="x")
        ledger.acknowledged.append(f"task-{i}")

    await asyncio.gather(*(work(i) for i in range(30)))


async def run_in_threads() -> None:
    """The way that does not keep the loop waiting: a whole transaction in one call on another thread."""

    async def work(i: int) -> None:
        def transaction() -> None:
            add_together(store, f"thread-{i}")

        await asyncio.to_thread(store.run if i % 2 else lambda call: call(), transaction)
        ledger.acknowledged.append(f"thread-{i}")

    await asyncio.gather(*(work(i) for i in range(30)))


def main(name: str) -> None:
    scenario: Callable[[], Awaitable[None]] = globals()[name]
    asyncio.run(scenario())
    # Outside of the loop, and in another thread, the store works.
    ledger.attempt("at-the-end", lambda: add_together(store, "at-the-end"))
    thread = threading.Thread(target=ledger.attempt, args=("other-thread", lambda: add_together(store, "other-thread")))
    thread.start()
    thread.join()
    store.close()
    ledger.report()


main(sys.argv[1])
