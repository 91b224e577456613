"""Whose transaction it is: threads, tasks and generators that meet at one store, and interrupts at every point of a block.

`programs` runs many small programs at once, in a thread pool, in threads that end, and in tasks of an event loop. They enter
and leave transactions as real programs do, wrong ones too: a generator that is entered in one thread and left in another, a
task that uses its parent's transaction, a block that nobody leaves. A ledger says which rows must be stored in the end and
which must not. `interrupts` raises KeyboardInterrupt at every call and return inside the engine, one after another.
`bursts` lets new threads connect all at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import gc
import random
import subprocess
import sys
import threading
import time
import uuid
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

HERE = "tests.acid.test_ownership"

#: Seconds that a program waits for another; an orphan of that age is rolled back.
PATIENCE = 1.0


class GivenUp(Exception):
    """A program raises it where it wants to be rolled back."""


class Ledger:
    """Which rows must be stored in the end, and which must not."""

    def __init__(self, store: Datastore, seed: int) -> None:
        self.store = store
        self.chance = random.Random(seed)
        #: Rows whose call or whose block has returned.
        self.acknowledged: set[str] = set()
        #: Rows whose block raised or was never left.
        self.undone: set[str] = set()

    def add(self) -> str:
        """Store a row, and give its id."""
        return self.store.conversations.add(id=uuid.uuid4().hex, sanitization_version="1").id

    def alone(self) -> None:
        """A row in a transaction of its own."""
        self.acknowledged.add(self.add())

    @contextmanager
    def block(self) -> Iterator[list[str]]:
        """A transaction; its rows, which the caller notes in the list, are stored or not as it ends."""
        rows: list[str] = []
        try:
            with self.store.transaction():
                yield rows
        except KeyboardInterrupt:
            raise  # before COMMIT or after it: nobody can know
        except BaseException:
            self.undone.update(rows)
            raise
        self.acknowledged.update(rows)

    def pause(self) -> None:
        time.sleep(self.chance.choice((0, 0, 0.0005, 0.002)))

    def check(self, report: Report) -> None:
        """Compare with what is stored."""
        kept = set(stored(self.store))
        report.extend(("lost commit", row) for row in self.acknowledged - kept)
        report.extend(("aborted read", f"{row} was rolled back, and is stored") for row in self.undone & kept)
        report.counts["acknowledged rows"] += len(self.acknowledged)
        report.counts["rows rolled back"] += len(self.undone)


def stored(store: Datastore) -> Iterator[str]:
    """The id of every conversation."""
    page = store.conversations.list(max_rows=1000)
    while True:
        yield from (one.id for one in page.items)
        if page.next is None:
            return
        page = store.conversations.list(max_rows=1000, after=page.next)


# --- programs in threads ---------------------------------------------------------------------------------------------


def plain(ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    """A unit of work in one function, with a nested block that may fail."""
    with ledger.block() as rows:
        rows.append(ledger.add())
        ledger.pause()
        with suppress(GivenUp), ledger.store.transaction():
            inner = ledger.add()
            if ledger.chance.random() < 0.5:
                ledger.undone.add(inner)
                raise GivenUp
            rows.append(inner)
        if ledger.chance.random() < 0.3:
            raise GivenUp


def single(ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    """A call that is a transaction of its own."""
    ledger.alone()


def dependency(ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    """What FastAPI does with ``def tx(): with store.transaction(): yield``: each part is a call of the thread pool."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        return pool.submit(contextvars.copy_context().run, function, *arguments).result(PATIENCE * 20)

    block = ledger.block()
    rows = call(block.__enter__)
    failure: BaseException | None = None
    try:
        rows.append(call(ledger.add))
    except BaseException as error:
        failure = error
    kind = None if failure is None else type(failure)
    call(block.__exit__, kind, failure, None)


def left_elsewhere(ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    """A generator that is begun in one thread, without a context of its own, and goes on in another."""

    def work() -> Iterator[None]:
        with ledger.block() as rows:
            rows.append(ledger.add())
            yield

    def begin(generator: Iterator[None]) -> None:
        next(generator)

    generator = work()
    thread = threading.Thread(target=lambda: attempt(ledger, lambda: begin(generator)))
    thread.start()
    thread.join()
    next(generator, None)


def dropped(ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    """A thread that ends inside a block that nobody leaves."""
    block = ledger.store.transaction()
    block.__enter__()
    ledger.undone.add(ledger.add())


# --- programs in tasks -----------------------------------------------------------------------------------------------


async def unit(ledger: Ledger) -> None:
    """A task that awaits inside its transaction; it may fail or be cancelled."""
    with ledger.block() as rows:
        rows.append(ledger.add())
        await asyncio.sleep(ledger.chance.choice((0, 0.001)))
        rows.append(ledger.add())
        if ledger.chance.random() < 0.3:
            raise GivenUp


async def call(ledger: Ledger) -> None:
    """A call from a task, whatever other tasks are inside."""
    ledger.alone()


async def parent(ledger: Ledger) -> None:
    """A task whose child and whose thread use its transaction: they are refused, and it goes on."""
    with ledger.block() as rows:
        rows.append(ledger.add())
        for foreign in (call, lambda ledger: asyncio.to_thread(ledger.alone)):
            with suppress(DatastoreError):
                await asyncio.create_task(foreign(ledger))
        rows.append(ledger.add())


async def left_by_another(ledger: Ledger) -> None:
    """An asynchronous generator inside a transaction that its reader leaves: another task ends it."""

    async def rows_of() -> Any:
        block = ledger.store.transaction()
        with block:
            ledger.undone.add(ledger.add())
            yield 1
            yield 2

    async for _ in rows_of():
        break


async def given_away(ledger: Ledger) -> None:
    """Another task leaves the block: it is refused, and the owner goes on."""
    block = ledger.store.transaction()
    block.__enter__()
    rows = [ledger.add()]

    async def leave() -> None:
        with suppress(DatastoreError):
            block.__exit__(None, None, None)

    await asyncio.create_task(leave())
    rows.append(ledger.add())
    block.__exit__(None, None, None)
    ledger.acknowledged.update(rows)


IN_THREADS = (plain, plain, single, single, dependency, left_elsewhere)
IN_TASKS = (unit, unit, call, parent, left_by_another, given_away)


def attempt(ledger: Ledger, run: Callable[[], Any]) -> BaseException | None:
    """Run a program; what it raises that is none of ours is noted."""
    try:
        run()
    except (DatastoreError, GivenUp, StopIteration):
        return None
    except BaseException as error:
        return error
    return None


def programs(*, seed: int, folder: Path, times: int, url: str = "") -> Report:
    """Many programs at once, in rounds; after each round nothing is open, and the ledger is right."""
    report = Report()
    chance = random.Random(seed)
    store = Datastore.open(url or new_database(folder), timeout=PATIENCE, durability="relaxed")
    ledger = Ledger(store, seed)
    with ThreadPoolExecutor(4) as drivers, ThreadPoolExecutor(3) as pool:
        while report.counts["programs"] < times and not report.anomalies:
            _round(ledger, report, chance, drivers, pool)
    ledger.check(report)
    if not report.anomalies:
        store.close()
    return report


def _round(
    ledger: Ledger, report: Report, chance: random.Random, drivers: ThreadPoolExecutor, pool: ThreadPoolExecutor
) -> None:
    errors: list[BaseException | None] = []
    chosen = [chance.choice(IN_THREADS) for _ in range(12)]
    loop = threading.Thread(target=lambda: errors.extend(asyncio.run(_tasks(ledger, chance))))
    loop.start()
    ending = threading.Thread(target=lambda: errors.append(attempt(ledger, lambda: dropped(ledger, pool))))
    ending.start()
    runs = [
        drivers.submit(attempt, ledger, lambda program=program: program(ledger, pool))  # type: ignore[misc]
        for program in chosen
    ]
    errors.extend(run.result() for run in runs)
    loop.join()
    ending.join()
    report.counts["programs"] += len(chosen) + 9
    gc.collect()
    report.extend(("untyped error", f"{type(error).__name__}: {error}") for error in errors if error is not None)
    free = in_new_thread(ledger.alone)
    if free is not None:
        report.found("deadlock", f"after a round: {type(free).__name__}: {free}")


async def _tasks(ledger: Ledger, chance: random.Random) -> list[BaseException | None]:
    tasks = [asyncio.create_task(chance.choice(IN_TASKS)(ledger)) for _ in range(8)]
    for task in tasks:
        if chance.random() < 0.2:
            asyncio.get_running_loop().call_later(chance.choice((0, 0.001, 0.01)), task.cancel)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    known = (DatastoreError, GivenUp, asyncio.CancelledError)
    return [one for one in ended if isinstance(one, BaseException) and not isinstance(one, known)]


def in_new_thread(run: Callable[[], Any]) -> BaseException | None:
    """What *run* raises in a thread of its own, or None."""
    raised: list[BaseException | None] = [TimeoutError("it never returned")]

    def target() -> None:
        try:
            run()
        except BaseException as error:
            raised[0] = error
        else:
            raised[0] = None

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(PATIENCE * 20)
    return raised[0]


# --- interrupts at every point ---------------------------------------------------------------------------------------


def interrupts(*, seed: int, folder: Path, url: str = "") -> Report:
    """KeyboardInterrupt at each call and return inside the engine, for each kind of block and statement."""
    report = Report()
    store = Datastore.open(url or new_database(folder), timeout=PATIENCE, durability="relaxed", pool_size=3)
    ledger = Ledger(store, seed)

    def nested() -> None:
        with ledger.block() as rows, store.transaction():
            rows.append(ledger.add())

    def rolled_back() -> None:
        with suppress(GivenUp), ledger.block() as rows:
            rows.append(ledger.add())
            raise GivenUp

    def snapshot() -> None:
        with store.snapshot():
            store.conversations.count()

    for operation in (ledger.add, nested, rolled_back, snapshot):
        operation()
        point = 1
        while _interrupted_at(point, operation):
            report.counts["points"] += 1
            _look(ledger, report, f"{operation.__name__}, point {point}")
            if report.anomalies:
                return report
            point += 1
    ledger.check(report)
    store.close()
    return report


def _interrupted_at(point: int, operation: Callable[[], Any]) -> bool:
    """Whether there is such a point: raises KeyboardInterrupt there."""
    left = point

    def hook(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if "/datastore/engines/" in frame.f_code.co_filename and frame.f_code.co_name != "__del__":
            left -= 1
            if not left:
                sys.setprofile(None)
                del argument  # the traceback would keep what it refers to: a cursor, for one
                raise KeyboardInterrupt

    sys.setprofile(hook)
    try:
        operation()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return left <= 0  # it came, and something between took it for an error of its own


def _look(ledger: Ledger, report: Report, where: str) -> None:
    """After an interrupt: the lock is free, and what is acknowledged from here on is stored."""
    free = in_new_thread(ledger.alone)
    if free is not None:
        report.found("deadlock", f"{where}: another thread: {type(free).__name__}: {free}")
        return
    try:
        row = ledger.add()
    except DatastoreError as error:
        report.found("deadlock", f"{where}: {type(error).__name__}: {error}")
        return
    seen: list[bool] = []
    in_new_thread(lambda: seen.append(row in set(stored(ledger.store))))
    if seen != [True]:
        report.found("lost commit", f"{where}: what was acknowledged afterwards is not seen by another thread")


# --- bursts of new threads -------------------------------------------------------------------------------------------


def bursts(*, seed: int, folder: Path, times: int, url: str = "") -> Report:
    """Forty threads at once that are new to the store, half of them unknown to `threading`; in a process of its own."""
    report = Report()
    where = url or str(new_database(folder))
    child = subprocess.run(
        [sys.executable, "-c", f"from {HERE} import burst; burst({where!r}, {times})"],
        capture_output=True, text=True, timeout=600, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    report.counts["bursts"] += times
    if child.returncode < 0:
        report.found("crash", child.stderr[-300:])
    if child.returncode:
        report.found("refused call", child.stderr[-300:])
    return report


def burst(where: str, times: int) -> None:
    """The child of `bursts`: ends with an error where a call failed or a row is missing."""
    faulthandler.enable()
    failed: list[str] = []
    with Datastore.open(where, durability="relaxed") as store:
        for _ in range(times):
            ready, done = threading.Barrier(41), threading.Semaphore(0)

            def work(ready: threading.Barrier = ready, done: threading.Semaphore = done) -> None:
                ready.wait()
                try:
                    store.conversations.add(sanitization_version="1")
                except BaseException as error:
                    failed.append(f"{type(error).__name__}: {error}")
                done.release()

            for _ in range(20):
                threading.Thread(target=work).start()
                start_new_thread(work, ())
            ready.wait()
            for _ in range(40):
                done.acquire()
        kept = store.conversations.count()
    if failed or kept != times * 40:
        sys.exit(f"{len(failed)} calls failed ({failed[:2]}), {kept} of {times * 40} rows are stored")


# --- tests -----------------------------------------------------------------------------------------------------------


def test_programs() -> None:
    report = assert_healthy("threads, tasks and generators", f"{HERE}:programs", times=200)
    assert report.counts["acknowledged rows"] > 30
    assert report.counts["rows rolled back"] > 5


def test_programs_on_a_server(server: str) -> None:
    report = assert_healthy("threads, tasks and generators, PostgreSQL", f"{HERE}:programs", times=200, url=server)
    assert report.counts["acknowledged rows"] > 30
    assert report.counts["rows rolled back"] > 5


@pytest.mark.long
def test_many_programs() -> None:
    assert_healthy("threads, tasks and generators", f"{HERE}:programs", seeds=(1, 2), times=2000, timeout=1200)


@pytest.mark.long
def test_many_programs_on_a_server(server: str) -> None:
    body = f"{HERE}:programs"
    assert_healthy("threads, tasks and generators, PostgreSQL", body, times=3000, timeout=1200, url=server)


def test_interrupts() -> None:
    report = assert_healthy("interrupts at every point", f"{HERE}:interrupts")
    assert report.counts["points"] > 200


def test_interrupts_on_a_server(server: str) -> None:
    report = assert_healthy("interrupts at every point, PostgreSQL", f"{HERE}:interrupts", url=server)
    assert report.counts["points"] > 200


def test_bursts() -> None:
    assert_healthy("bursts of new threads", f"{HERE}:bursts", times=5)


@pytest.mark.long
def test_many_bursts(server: str) -> None:
    assert_healthy("bursts of new threads", f"{HERE}:bursts", times=100, timeout=600)
    assert_healthy("bursts of new threads, PostgreSQL", f"{HERE}:bursts", times=10, timeout=600, url=server)


@reds(Red("a connection of a thread that threading does not know is closed", "refused call"))
def test_burst_mutants(red: Red) -> None:
    assert_red("bursts of new threads", f"{HERE}:bursts", red, times=3)


@reds(
    Red("a thread's transaction is anybody's who runs in it", "lost commit"),
    Red("a block that is left elsewhere stays open", "deadlock"),
    Red("a thread that ends leaves its transaction open", "deadlock"),
)
def test_program_mutants(red: Red) -> None:
    assert_red("threads, tasks and generators", f"{HERE}:programs", red, times=400)


@reds(
    Red("an interrupt leaves the gate shut", "deadlock"),
    Red("an interrupted block is never ended", "deadlock"),
)
def test_interrupt_mutants(red: Red) -> None:
    assert_red("interrupts at every point", f"{HERE}:interrupts", red)


@reds(Red("a connection that an interrupt dropped is lost", "deadlock"))
def test_interrupt_mutants_on_a_server(red: Red, server: str) -> None:
    assert_red("interrupts at every point, PostgreSQL", f"{HERE}:interrupts", red, url=server)


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of an empty database with the schema."""
    from tests.postgresql import migrated

    with migrated() as url:
        yield url
