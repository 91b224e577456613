"""Histories of several processes, with kill -9 among them, judged by a checker that knows nothing of SQLite.

Four workers read and append to four lists (each the metadata of a conversation) in transactions of up to three keys,
some of which are rolled back on purpose. A nemesis kills one again and again, and another takes its place. What they
logged goes to the checker (history.py): no lost update, no aborted, stale or non-repeatable read, no cycle.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import ConflictError, DatastoreError
from tests.acid.history import Transaction, check
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_histories:explore"

KEYS = "abcd"
WORKERS = 4

#: A history has so many log entries at least, two a transaction.
ENTRIES = 1500


#: Whether to ask for it: SQLite's transactions always are, PostgreSQL's only then (test_postgresql_histories.py).
SERIALIZABLE = False


class OnPurpose(Exception):
    """Rolls a transaction back."""


def transact(store: Datastore, reads: list[str], appends: list[tuple[str, int]], fails: bool) -> dict[str, list[int]]:
    """One transaction: read lists, append to some; gives what was read."""
    with store.transaction(serializable=SERIALIZABLE):
        seen = {key: store.conversations.get(key).metadata["list"] for key in reads}
        for key, value in appends:
            store.conversations.update(key, metadata={"list": [*seen[key], value]})
        if fails:
            raise OnPurpose
    return seen


def look(store: Datastore, reads: list[str]) -> dict[str, list[int]]:
    """One transaction that only reads, key by key."""
    with store.snapshot() if not SERIALIZABLE else store.transaction(serializable=True):
        return {key: store.conversations.get(key).metadata["list"] for key in reads}


def work(path: Path | str, log: Path, before: Path, seed: int) -> None:
    """Transactions without end, each noted before it begins and when it has ended."""
    chance = random.Random(seed)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(number: int, **fields: Any) -> None:
        os.write(file, (json.dumps({"name": f"{seed}.{number}", "at": time.monotonic(), **fields}) + "\n").encode())

    repeated = unfinished(before, blindly=False)
    with Datastore.open(path, timeout=20) as store:
        for number in range(20_000):
            reads = sorted(chance.sample(KEYS, chance.randint(1, 3)))
            if chance.random() < 0.3:
                note(number, appends=[])
                try:
                    note(number, outcome="ok", reads=look(store, reads))
                except ConflictError:
                    note(number, outcome="failed", reads={})
                continue
            appends = [(key, seed * 100_000 + number) for key in reads[: chance.randint(1, 2)]]
            if repeated:
                appends, repeated = repeated, []
                reads = [key for key, _ in appends]
            note(number, appends=appends)
            try:
                seen = transact(store, reads, appends, chance.random() < 0.15)
            except (OnPurpose, DatastoreError):
                note(number, outcome="failed", reads={})
            else:
                if chance.random() < 0.3:
                    time.sleep(0.003)  # a client may be killed between a commit and hearing of it
                note(number, outcome="ok", reads=seen)


def unfinished(log: Path, *, blindly: bool) -> list[tuple[str, int]]:
    """What the worker before was doing when it was killed; only a blind client does it again without looking."""
    if not blindly or not log.exists():
        return []
    lines = whole_lines(log)
    return [(key, value) for key, value in json.loads(lines[-1]).get("appends", [])] if lines else []


def whole_lines(log: Path) -> list[str]:
    """The lines of a log whose writer was killed, perhaps in the middle of one."""
    return log.read_text().split("\n")[:-1] if log.exists() else []


def explore(*, seed: int, folder: Path, seconds: float, pause: float = 0.04) -> Report:
    """One history of so many seconds, a kill every *pause* seconds or so."""
    return play(new_database(folder), seed=seed, folder=folder, seconds=seconds, pause=pause)


def play(database: Path | str, *, seed: int, folder: Path, seconds: float, pause: float) -> Report:
    """The same on a database that is there and empty."""
    report, chance = Report(), random.Random(seed)
    with Datastore.open(database) as store:
        for key in KEYS:
            store.conversations.add(id=key, sanitization_version="1", metadata={"list": []})
    logs: list[Path] = []

    def start(before: Path) -> tuple[int, Path]:
        log = folder / f"{len(logs) + 1}.log"
        logs.append(log)
        child = os.fork()
        if not child:
            try:
                work(database, log, before, len(logs))
            finally:
                os._exit(1)
        return child, log

    children = [start(folder / "nobody") for _ in range(WORKERS)]
    begun = time.monotonic()
    # On a busy machine longer: the checker needs something to look at.
    while (passed := time.monotonic() - begun) < seconds or (passed < 4 and _entries(logs) < ENTRIES):
        time.sleep(chance.uniform(0.5, 1.5) * pause)
        victim = chance.randrange(WORKERS)
        child, log = children[victim]
        _kill(child)
        report.counts["kills"] += 1
        children[victim] = start(log)
    for child, _ in children:
        _kill(child)
    settle(database)
    with Datastore.open(database, timeout=5) as store:
        final = {key: store.conversations.get(key).metadata["list"] for key in KEYS}
    history = [run for log in logs for run in read_log(log)]
    report.counts["histories"] += 1
    report.counts["transactions"] += len(history)
    report.counts["committed"] += sum(run.outcome == "ok" for run in history)
    report.extend(check(history, final))
    return report


def settle(database: Path | str) -> None:
    """Wait until nothing goes on for those who were killed: a server may still be committing for one."""
    if isinstance(database, Path):
        return
    import psycopg

    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(others).fetchone() != (0,):
            time.sleep(0.02)


def _entries(logs: list[Path]) -> int:
    return sum(log.read_bytes().count(b"\n") for log in logs if log.exists())


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("a worker ended by itself")


def read_log(path: Path) -> list[Transaction]:
    """The transactions of a log; what has no end was killed on the way."""
    begun: dict[str, dict[str, Any]] = {}
    done = []
    for line in whole_lines(path):
        entry = json.loads(line)
        if "appends" in entry:
            begun[entry["name"]] = entry
            continue
        first = begun.pop(entry["name"])
        done.append((first, entry["outcome"], entry["at"], entry["reads"]))
    last = done[-1] if done and not begun else None
    done += [(first, "unknown", None, {}) for first in begun.values()]
    return [
        Transaction(
            name=first["name"],
            outcome=outcome,
            began=first["at"],
            ended=at,
            reads=reads,
            appends=[(key, value) for key, value in first["appends"]],
            died=(first, outcome, at, reads) == last,
        )
        for first, outcome, at, reads in done
    ]


def test_a_history() -> None:
    report = assert_healthy("histories, four processes", BODY, seconds=1.5)
    assert report.counts["committed"] > 50


@pytest.mark.long
def test_ten_histories() -> None:
    assert_healthy("histories, four processes", BODY, seeds=range(1, 11), seconds=1.5)


def test_the_checker_knows_the_anomalies() -> None:
    def run(
        name: str, reads: dict[str, list[int]], *appends: tuple[str, int], at: float = 0, outcome: str = "ok"
    ) -> Any:
        return Transaction(name, outcome, at, at + 1.5, reads, list(appends))

    def classes(final: dict[str, list[int]], *history: Any) -> set[str]:
        return {anomaly for anomaly, _ in check(list(history), final)}

    one, two = run("one", {"a": []}, ("a", 1)), run("two", {"a": [1]}, ("a", 2), at=1)
    assert classes({"a": [1, 2]}, one, two) == set()
    assert classes({"a": [2]}, one, run("two", {"a": []}, ("a", 2), at=1)) == {"lost update"}
    assert classes({"a": [2]}, one, run("two", {"a": []}, ("a", 2), at=5)) == {"lost commit"}
    assert classes({"a": [1, 1]}, one) == {"duplicate"}
    assert "aborted read" in classes({"a": []}, run("x", {"a": []}, ("a", 1), outcome="failed"), run("y", {"a": [1]}))
    assert classes({"a": [1, 2]}, one, two, run("late", {"a": [1]}, at=9)) == {"stale read"}
    skew = run("s", {"a": [], "b": []}, ("a", 1)), run("t", {"a": [], "b": []}, ("b", 2))
    assert classes({"a": [1], "b": [2]}, *skew) == {"not serializable"}
    both = run("w", {"a": [], "b": []}, ("a", 1), ("b", 1))
    assert classes({"a": [1], "b": [1]}, both, run("r", {"a": [1], "b": []})) == {"non-repeatable read"}


@reds(
    Red("read and write in two transactions", "lost update", seeds=10),
    Red("reads before BEGIN", "lost update", seeds=10),
    Red("an exception commits", "aborted read", seeds=10),
    Red("result logged before COMMIT", "lost commit", seeds=10, given={"seconds": 3, "pause": 0.02}),
    Red("blind retry", "duplicate", seeds=10, given={"seconds": 3, "pause": 0.02}),
    Red("commit between statements", "aborted read", seeds=10),
    Red("snapshots without BEGIN", "non-repeatable read", seeds=10, given={"seconds": 6}),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("histories, four processes", BODY, red, seconds=0.9)
