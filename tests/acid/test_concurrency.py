"""Threads, readers beside writers, long readers, forks, and interrupts at every instant.

Nothing here is timed but one wait, which has to end at all: readers are proved not to wait by a writer that stays until
they are done.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.engines.sqlite.engine import CHECKPOINT_BYTES
from datastore.errors import BusyError, ForkedError, TransactionError, TransactionLostError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import check_units, new_database, write_unit

HERE = "tests.acid.test_concurrency"


# --- interrupts ------------------------------------------------------------------------------------------------------


class Alarm:
    """Ctrl-C at a chosen moment: KeyboardInterrupt, between two instructions of whatever runs then."""

    def __init__(self) -> None:
        self.armed = False
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: Any) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def during(self, seconds: float, call: Callable[[], Any]) -> bool:
        """Call it, and ring after *seconds*; whether the alarm came through."""
        self.armed = True
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
            self.armed = False
        except (KeyboardInterrupt, TransactionLostError):
            return True
        return False


def interrupts(*, seed: int, folder: Path, times: int, edges: bool = False) -> Report:
    """Interrupt transactions at random instants; each time the store has to go on as if nothing had been.

    With *edges* the transactions are empty, so that their beginnings and ends are all that there is to interrupt.
    """
    report, chance, alarm = Report(), random.Random(seed), Alarm()
    path = new_database(folder)
    store = Datastore.open(path, timeout=2, durability="relaxed")
    write_unit(store, "u-first")  # it compiles the statements
    began = time.perf_counter()
    for number in range(5):
        write_unit(store, f"u-warm{number}")
    usual = (time.perf_counter() - began) / 5
    acknowledged: set[str] = set()

    def nothing() -> None:
        with store.transaction():
            pass

    for number in range(times):
        name = f"u{number}"
        write = lambda name=name: write_unit(store, name, lambda: acknowledged.add(name))  # noqa: E731
        append = lambda: store.conversations.add(sanitization_version="1")  # noqa: E731
        call, part = (nothing, 0.05) if edges else chance.choice(((write, 1.5), (append, 0.2), (nothing, 0.05)))
        if alarm.during(chance.uniform(1e-6, usual * part), call):
            report.counts["interrupts"] += 1
        try:
            if edges:
                with store.transaction():
                    append()
            else:
                write_unit(store, f"u{number}-after", lambda name=name: acknowledged.add(f"{name}-after"))
        except TransactionError as error:
            report.found("deadlock", f"after interrupt {number}: {type(error).__name__}: {error}")
            break
    anomalies, _ = check_units(path, acknowledged)
    report.extend(anomalies)
    return report


def interrupted_wait(*, seed: int, folder: Path) -> Report:
    """Ctrl-C while another connection holds SQLite's lock: the wait ends soon."""
    report, path = Report(), new_database(folder)
    with Datastore.open(path, timeout=60) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        if not Alarm().during(0.2, lambda: write_unit(store, "u1")):
            report.found("deadlock", "the wait was not interrupted")
        if time.monotonic() - began > 5:
            report.found("deadlock", f"Ctrl-C came through after {time.monotonic() - began:.1f} s")
        holder.execute("ROLLBACK")
        write_unit(store, "u2")
    report.extend(check_units(path, {"u2"})[0])
    return report


# --- readers ---------------------------------------------------------------------------------------------------------


def readers(*, seed: int, folder: Path) -> Report:
    """A writer stays in its transaction until many reads are done: they do not wait, and do not see it."""
    report, path = Report(), new_database(folder)
    writer, reader = Datastore.open(path), Datastore.open(path, timeout=0)
    write_unit(writer, "u0")
    with writer.transaction():
        write_unit(writer, "u1")
        try:
            for _ in range(50):
                with reader.snapshot():
                    if reader.conversations.count() != 1 or reader.messages.count() != 3:
                        report.found("aborted read", "a reader saw into a transaction")
                reader.learnings.search("word")
                report.counts["reads"] += 1
        except (BusyError, sqlite3.OperationalError) as error:
            report.found("starvation", f"a reader waited for a writer: {error}")
    report.figures |= _latency(path)
    return report


def _latency(path: Path) -> dict[str, float]:
    # For the page only: what a read costs alone, and beside two writers.
    def reads(count: int) -> list[float]:
        with Datastore.open(path) as store:
            times = []
            for _ in range(count):
                began = time.perf_counter()
                store.messages.list("u0")
                times.append((time.perf_counter() - began) * 1e6)
        return times

    alone = reads(400)
    children = [_in_child(lambda n=n: _write_for(path, f"u-w{n}-", 1.0)) for n in range(2)]
    time.sleep(0.1)
    beside = reads(400)
    for child in children:
        os.waitpid(child, 0)
    return {
        "read alone, p50 us": round(statistics.median(alone)),
        "read alone, p99 us": round(statistics.quantiles(alone, n=100)[98]),
        "read beside two writers, p50 us": round(statistics.median(beside)),
        "read beside two writers, p99 us": round(statistics.quantiles(beside, n=100)[98]),
    }


def _write_for(path: Path, prefix: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    with Datastore.open(path) as store:
        for number in range(100_000):
            write_unit(store, f"{prefix}{number}")
            if time.monotonic() > end:
                return


def _in_child(run: Callable[[], Any]) -> int:
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(0)
    return child


def long_reader(*, seed: int, folder: Path) -> Report:
    """A reader that stays keeps the WAL from being used again; when it has gone, the WAL stops growing."""
    report, path = Report(), new_database(folder)
    wal = Path(f"{path}-wal")
    writer, reader = Datastore.open(path, durability="relaxed"), Datastore.open(path)

    def write(rows: int) -> int:
        writer.conversations.add(id=f"c{rows}", sanitization_version="1")
        for _ in range(rows):
            writer.messages.append(f"c{rows}", role="user", content="x" * 500)
        return wal.stat().st_size

    alone = write(2000)
    with reader.snapshot():
        reader.conversations.count()
        beside = write(2001)
    write(401)  # a checkpoint comes by
    after = write(2002)
    report.figures |= {"WAL alone, KiB": alone >> 10, "beside a reader": beside >> 10, "when it has gone": after >> 10}
    # It is written back when it has grown so far, or sooner; one append more may come between.
    if alone > CHECKPOINT_BYTES + (2 << 20):
        report.found("unbounded WAL", f"{alone} bytes after 2000 rows, nobody reading")
    if after > beside + (2 << 20):
        report.found("unbounded WAL", f"{beside} bytes beside a reader, {after} when it has gone")
    if not writer.engine.checkpoint() or wal.stat().st_size:
        report.found("unbounded WAL", "a checkpoint does not cut it")
    return report


# --- threads and forks -----------------------------------------------------------------------------------------------


def threads(*, seed: int, folder: Path, count: int) -> Report:
    """Threads append, read and roll back on one store, and processes beside them; nothing is lost or counted twice."""
    report, path = Report(), new_database(folder)
    with Datastore.open(path, durability="relaxed") as store:
        store.conversations.add(id="c", sanitization_version="1")
        failures: list[str] = []

        def append(store: Datastore, number: int) -> None:
            try:
                for turn in range(40):
                    with store.transaction():
                        store.messages.append("c", role="user", content=f"{number}.{turn}")
                        store.messages.count("c")
                    try:
                        with store.transaction():
                            store.messages.append("c", role="user", content="never")
                            raise ValueError
                    except ValueError:
                        pass
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

        def process(number: int) -> None:
            with Datastore.open(path) as mine:
                append(mine, number)

        children = [_in_child(lambda n=n: process(100 + n)) for n in range(2)]
        started = [threading.Thread(target=append, args=(store, number)) for number in range(count)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(60)
        for child in children:
            os.waitpid(child, 0)
        wanted = (count + 2) * 40
        positions = [message.position for message in store.messages.list("c", max_rows=1000)]
        if positions != list(range(1, wanted + 1)):
            report.found("lost commit", f"{len(positions)} messages, not {wanted}")
        if any(message.content == "never" for message in store.messages.list("c", max_rows=1000)):
            report.found("aborted read", "a rolled back message is there")
        report.extend(("untyped error", line) for line in failures)
        report.counts["transactions"] += wanted * 2
    report.extend(check_units(path, set())[0])
    return report


def forks(*, seed: int, folder: Path) -> Report:
    """A fork while another thread is connected: the child is refused, and the parent goes on."""
    report, path = Report(), new_database(folder)
    with Datastore.open(path) as store:
        ready, done = threading.Event(), threading.Event()

        def hold() -> None:
            store.conversations.count()
            ready.set()
            done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        ready.wait(10)

        def child() -> None:
            try:
                write_unit(store, "u-child")
                outcome = "let in"
            except ForkedError:
                outcome = "refused"
            (folder / "child.json").write_text(json.dumps(outcome))

        os.waitpid(_in_child(child), 0)
        done.set()
        thread.join()
        if (outcome := json.loads((folder / "child.json").read_text())) != "refused":
            report.found("unsafe copy", f"a forked child was {outcome}, on locks that are its parent's")
        write_unit(store, "u-parent")
    report.extend(check_units(path, {"u-parent"})[0])
    return report


# --- the tests -------------------------------------------------------------------------------------------------------


def test_interrupts() -> None:
    report = assert_healthy("interrupts", f"{HERE}:interrupts", times=600)
    assert report.counts["interrupts"] > 100


@pytest.mark.long
def test_many_interrupts() -> None:
    assert_healthy("interrupts", f"{HERE}:interrupts", seeds=(1, 2), times=1000)
    assert_healthy("interrupts", f"{HERE}:interrupts", seeds=(4, 5), times=2000, edges=True)


def test_an_interrupted_wait() -> None:
    assert_healthy("an interrupted wait", f"{HERE}:interrupted_wait")


def test_readers_do_not_wait() -> None:
    assert_healthy("readers beside a writer", f"{HERE}:readers")


def test_a_long_reader() -> None:
    assert_healthy("a long reader and the WAL", f"{HERE}:long_reader")


def test_threads_and_processes() -> None:
    assert_healthy("threads and processes", f"{HERE}:threads", count=8)


def test_a_fork_beside_a_thread() -> None:
    assert_healthy("forks", f"{HERE}:forks")


BODIES = {
    "one long wait inside SQLite": "interrupted_wait",
    "readers take the write lock": "readers",
    "no checkpoints": "long_reader",
    "a child may use what it inherited": "forks",
    "except Exception": "interrupts",
    "an interrupted block is never ended": "interrupts",
    "commit between statements": "threads",
}


@reds(
    Red("one long wait inside SQLite", "deadlock"),
    Red("readers take the write lock", "starvation"),
    Red("no checkpoints", "unbounded WAL"),
    Red("a child may use what it inherited", "unsafe copy"),
    Red("except Exception", "partial transaction", seeds=10, given={"times": 300}),
    Red("an interrupted block is never ended", "deadlock", seeds=10, given={"times": 5000, "edges": True}),
    Red("commit between statements", "lost commit", given={"count": 4}),
    slow=True,
)
def test_mutants(red: Red) -> None:
    body = BODIES[red.mutant]
    assert_red(body.replace("_", " "), f"{HERE}:{body}", red)
