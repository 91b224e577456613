"""Random interleavings of tasks on an asynchronous store, cancelled at every await.

In a schedule several tasks run small programs at once: single calls, transactions that end well, that raise, that use child
tasks, that nobody leaves, or that are left by another task; snapshots, iterations and synchronous work. Each task is
cancelled, or runs into a timeout, at an await that chance chooses; some schedules close the store meanwhile. A ledger says
which rows must be stored in the end and which must not: for a cancelled call too, because its error says what became of it.
Afterwards no connection is inside a transaction, everybody can write, and `close` has ended.
"""

from __future__ import annotations

import asyncio
import random
import types
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datastore import AsyncDatastore, Datastore
from datastore.errors import BusyError, ClosedError, DatastoreError, TransactionError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_async:explore"

#: Seconds that anything may wait for a lock.
PATIENCE = 5.0


class GivenUp(Exception):
    """A program raises it where it wants to be rolled back."""


class Ledger:
    """Which rows must be stored in the end, and which must not."""

    def __init__(self, store: AsyncDatastore, chance: random.Random, report: Report) -> None:
        self.store = store
        self.chance = chance
        self.report = report
        #: Rows whose call or whose block has returned, or whose error says that it was stored.
        self.acknowledged: set[str] = set()
        #: Rows whose block raised or was never left, and rows of calls that were not completed.
        self.undone: set[str] = set()
        self.left_open: list[Any] = []

    async def insert(self, id: str) -> None:
        await self.store.conversations.add(id=id, sanitization_version="1")

    async def alone(self) -> None:
        """A row in a transaction of its own."""
        id = uuid.uuid4().hex
        try:
            await self.insert(id)
        except asyncio.CancelledError as error:
            self.note(id, stored=bool(getattr(error, "__notes__", ())))
            raise
        except BaseException:
            self.note(id, stored=False)
            raise
        self.note(id, stored=True)

    async def block(self, body: Callable[[list[str]], Awaitable[None]]) -> None:
        """A transaction; *body* notes its rows in the list."""
        rows: list[str] = []
        transaction = self.store.transaction()
        try:
            async with transaction:
                await body(rows)
        except BaseException:
            assert transaction.committed is not None or not rows, "the outcome is unknown"
            for row in rows:
                self.note(row, stored=bool(transaction.committed))
            raise
        for row in rows:
            self.note(row, stored=True)

    def note(self, id: str, *, stored: bool) -> None:
        (self.acknowledged if stored else self.undone).add(id)

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.choice((0, 0, 0.0005, 0.002)))

    def check(self, sync: Datastore, where: str) -> None:
        """Compare with what is stored."""
        every = self.acknowledged | self.undone
        kept = {id for id in every if sync.conversations.find(id) is not None}
        self.report.extend((("lost commit", id) for id in self.acknowledged - kept), where)
        self.report.extend((("aborted read", f"{id} is stored all the same") for id in self.undone & kept), where)
        self.report.counts["acknowledged rows"] += len(self.acknowledged)
        self.report.counts["rows rolled back"] += len(self.undone)


# --- programs --------------------------------------------------------------------------------------------------------


async def add(ledger: Ledger, rows: list[str]) -> None:
    """A row inside a block; noted before, for it may be stored although its call was cancelled."""
    id = uuid.uuid4().hex
    rows.append(id)
    await ledger.insert(id)


async def single(ledger: Ledger) -> None:
    for _ in range(ledger.chance.randint(1, 3)):
        await ledger.alone()


async def plain(ledger: Ledger) -> None:
    """A transaction with pauses and a nested block that may fail."""

    async def body(rows: list[str]) -> None:
        await add(ledger, rows)
        await ledger.pause()
        inner: list[str] = []
        try:
            async with ledger.store.transaction():
                await add(ledger, inner)
                if ledger.chance.random() < 0.4:
                    raise GivenUp
        except GivenUp:
            ledger.undone.update(inner)
        else:
            rows += inner
        await ledger.pause()
        if ledger.chance.random() < 0.3:
            raise GivenUp

    await ledger.block(body)


async def with_children(ledger: Ledger) -> None:
    """Child tasks inherit the context of a transaction, and are refused; it goes on unharmed."""

    async def body(rows: list[str]) -> None:
        await add(ledger, rows)
        children = [asyncio.create_task(ledger.alone()), asyncio.create_task(nested(ledger))]
        for outcome in await asyncio.gather(*children, return_exceptions=True):
            if outcome is None:
                ledger.report.counts["children that were not refused"] += 1
        await add(ledger, rows)
        if ledger.chance.random() < 0.5:
            raise GivenUp

    await ledger.block(body)


async def nested(ledger: Ledger) -> None:
    await ledger.block(lambda rows: add(ledger, rows))


async def impatient(ledger: Ledger) -> None:
    """Timeouts around a call and around a block."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ledger.chance.choice((0, 0.0003, 0.001))):
            await ledger.alone()
    with suppress(TimeoutError):
        async with asyncio.timeout(ledger.chance.choice((0.0003, 0.001, 0.003))):
            await plain(ledger)

    async def body(rows: list[str]) -> None:
        await add(ledger, rows)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0003):
                await ledger.store.conversations.count()  # a read that is interrupted ends no transaction
        await add(ledger, rows)

    await ledger.block(body)


async def left_open(ledger: Ledger) -> None:
    """A transaction that nobody leaves is rolled back when its task ends."""

    async def enters() -> None:
        id = uuid.uuid4().hex
        ledger.undone.add(id)
        block = ledger.store.transaction()
        ledger.left_open.append(block)  # that it is dropped would end it too
        await block.__aenter__()
        await ledger.insert(id)

    await asyncio.create_task(enters())


async def left_elsewhere(ledger: Ledger) -> None:
    """A transaction that another task leaves: that is refused, and its owner goes on; without an owner it is rolled back."""

    async def body(rows: list[str]) -> None:
        block = ledger.store.transaction()
        await add(ledger, rows)
        await block.__aenter__()
        try:
            await asyncio.create_task(leave(block))
        except TransactionError:
            await block.__aexit__(None, None, None)

    await ledger.block(body)


async def leave(block: Any) -> None:
    await block.__aexit__(None, None, None)


async def reads(ledger: Ledger) -> None:
    """A snapshot sees one state, and an iteration sees every row that was there before."""
    store, before = ledger.store, set(ledger.acknowledged)
    async with store.snapshot():
        first = await store.conversations.count()
        await ledger.pause()
        if await store.conversations.count() != first:
            ledger.report.found("non-repeatable read", "two counts of one snapshot")
    seen = {conversation.id async for conversation in store.conversations.iterate()}
    if not before <= seen:
        ledger.report.found("stale read", f"an iteration missed {len(before - seen)} rows")


async def works(ledger: Ledger) -> None:
    """Synchronous work on a thread."""
    id, fails = uuid.uuid4().hex, ledger.chance.random() < 0.3

    def work(store: Datastore) -> None:
        store.conversations.add(id=id, sanitization_version="1")
        if fails:
            raise GivenUp

    try:
        await ledger.store.run(work)
    except asyncio.CancelledError as error:
        ledger.note(id, stored=bool(getattr(error, "__notes__", ())))
        raise
    except BaseException:
        ledger.note(id, stored=False)
        raise
    ledger.note(id, stored=True)


PROGRAMS = (single, single, plain, plain, with_children, impatient, left_open, left_elsewhere, reads, works)

#: Errors that a program may end with.
EXPECTED = (GivenUp, TransactionError, asyncio.CancelledError, TimeoutError)


# --- schedules -------------------------------------------------------------------------------------------------------


@types.coroutine
def cancelled_at(program: Coroutine[Any, Any, None], number: int, delay: float) -> Iterator[Any]:
    """Run a program in its task, and cancel the task at its await number *number*, at once or after a delay."""
    resume: Callable[[Any], Any] = program.send
    value: Any = None
    waits = 0
    while True:
        try:
            waited = resume(value)
        except StopIteration:
            return
        waits += 1
        if waits == number:
            task = asyncio.current_task()
            assert task is not None
            if delay:
                asyncio.get_running_loop().call_later(delay, task.cancel)
            else:
                task.cancel()
        try:
            value, resume = (yield waited), program.send
        except BaseException as error:
            value, resume = error, program.throw


async def start(program: Callable[[Ledger], Coroutine[Any, Any, None]], ledger: Ledger) -> None:
    """A program in a task of its own, which is cancelled in two of three cases."""
    chance = ledger.chance
    await ledger.pause()
    if chance.random() < 0.67:
        delay = chance.choice((0, 0, 0.0002, 0.001))
        await cancelled_at(program(ledger), chance.randint(1, 14), delay)  # type: ignore[misc]
    else:
        await program(ledger)


async def schedule(sync: Datastore, chance: random.Random, report: Report, where: str) -> None:
    store = AsyncDatastore(sync, readers=2, max_calls=chance.choice((1, 3, 100)))
    ledger = Ledger(store, chance, report)
    closes = chance.random() < 0.1
    tasks = [asyncio.create_task(start(chance.choice(PROGRAMS), ledger)) for _ in range(chance.randint(2, 5))]
    if closes:
        await asyncio.sleep(chance.choice((0.001, 0.003, 0.006)))
        await ended(store.close(), report, f"{where}: close")
    outcomes = await ended(asyncio.gather(*tasks, return_exceptions=True), report, where)
    for outcome in outcomes or ():
        if outcome is None:
            report.counts["programs that ended well"] += 1
        elif isinstance(outcome, BusyError):
            report.found("deadlock", f"{where}: {outcome}")
        elif not isinstance(outcome, EXPECTED):
            kind = "refused call" if isinstance(outcome, DatastoreError) else "untyped error"
            report.found(kind, f"{where}: {type(outcome).__name__}: {outcome}")
        else:
            report.counts[f"programs that ended with {type(outcome).__name__}"] += 1
        if isinstance(outcome, ClosedError) and not closes:
            report.found("refused call", f"{where}: closed")
    if not closes:
        await ended(ledger.alone(), report, f"{where}: a write afterwards")
        await ended(store.close(), report, f"{where}: close")
    ledger.check(sync, f"{where}: ")
    for session in list(sync.engine._sessions):  # type: ignore[attr-defined]
        if session.block is not None:
            report.found("stale lock", f"{where}: a connection is inside a transaction")
    report.counts["schedules"] += 1


async def ended(waited: Awaitable[Any], report: Report, where: str) -> Any:
    """Wait for something that has to end."""
    try:
        return await asyncio.wait_for(waited, 4 * PATIENCE)
    except TimeoutError:
        report.found("deadlock", f"{where} does not end")
    except DatastoreError as error:
        report.found("refused call", f"{where}: {type(error).__name__}: {error}")
    return None


def play(database: Path | str, seed: int, schedules: int) -> Report:
    """Many schedules on one database; stops at the first anomaly."""
    report, chance = Report(), random.Random(seed)
    with Datastore.open(database, timeout=PATIENCE, durability="relaxed") as sync:
        for number in range(schedules):
            asyncio.run(schedule(sync, chance, report, f"seed {seed}, schedule {number}"))
            if report.anomalies:
                break
    return report


def explore(*, seed: int, folder: Path, schedules: int) -> Report:
    """On SQLite."""
    return play(new_database(folder), seed, schedules)


def test_some_schedules() -> None:
    report = assert_healthy("tasks of an asynchronous store", BODY, seeds=(1, 2), schedules=60)
    assert report.counts["acknowledged rows"] > 100
    assert report.counts["rows rolled back"] > 100
    assert report.counts["programs that ended with CancelledError"] > 50
    assert report.counts["programs that ended well"] > 50


@pytest.mark.long
def test_ten_thousand_schedules() -> None:
    assert_healthy("tasks of an asynchronous store", BODY, seeds=range(1, 5), timeout=3600, schedules=2500)


def test_some_schedules_on_postgresql(migrated_server: str) -> None:
    report = play(migrated_server, 1, 30)
    assert report.anomalies == []
    assert report.counts["acknowledged rows"] > 20


@pytest.mark.long
def test_many_schedules_on_postgresql(migrated_server: str) -> None:
    report = play(migrated_server, 2, 2500)
    assert report.anomalies == []


@reds(
    Red("a task's transaction is its child tasks' too", "lost commit", seeds=3),
    Red("a cancelled call is not waited for", "aborted read", seeds=3),
    Red("a cancelled COMMIT is abandoned", "deadlock", seeds=3),
    Red("a task that ends leaves its transaction open", "deadlock", seeds=3),
    Red("a cancelled call runs when it is its turn", "aborted read", seeds=3),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("tasks of an asynchronous store", BODY, red, schedules=400)
