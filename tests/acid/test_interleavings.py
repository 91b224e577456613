"""Random interleavings of small transactions, against a serial-order oracle.

Three sessions in one thread take steps at random: they begin, read rows, search, write rows, add rows, commit, or give
up. What the committed transactions saw must be explained by a serial order of them that respects real time: one that
ended before another began comes first. The oracle tries the orders; nothing else is trusted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore import Datastore
from datastore.engines.sqlite import engine as engine_module
from datastore.errors import TransactionError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_interleavings:explore"

KEYS = "xyz"

#: Seconds. The gate needs some 20 ms to see that whoever waited before has given up; less would be an error at once.
PATIENCE = 0.05


@attrs.define
class Run:
    """One transaction as it went: its steps, what it saw, and when it began and ended."""

    reads_only: bool
    steps: list[tuple[str, str, int]]
    #: The steps as done, each with what was seen or written.
    log: list[tuple[str, str, Any]] = attrs.field(factory=list)
    began: int = 0
    ended: int = 0
    committed: bool = False


class Session:
    """One client: a store of its own and a list of transactions to go through, step by step."""

    def __init__(self, path: Path) -> None:
        self.store = Datastore.open(path, timeout=PATIENCE)
        self.left: list[Run] = []
        self.block: Any = None
        self.place = 0
        #: Somebody else has to end first.
        self.waiting = False

    def step(self, prefix: str, now: int) -> Run | None:
        """One step further; gives the transaction if it has ended."""
        run = self.left[0]
        try:
            if self.block is None:
                block = self.store.snapshot() if run.reads_only else self.store.transaction()
                block.__enter__()
                self.block, run.began, self.place = block, now, 0
                return None
            if self.place < len(run.steps):
                self._do(run, prefix, *run.steps[self.place])
                self.place += 1
                return None
        except TransactionError:
            if self.block is None:
                self.waiting = True
                return None
            self._leave(ValueError())
            return self._end(run, now)
        given_up = bool(run.steps and run.steps[-1][0] == "give up")
        self._leave(ValueError() if given_up else None)
        run.committed = not given_up
        return self._end(run, now)

    def _do(self, run: Run, prefix: str, verb: str, key: str, value: int) -> None:
        conversations = self.store.conversations
        seen: Any = value
        if verb == "read":
            seen = conversations.get(f"{prefix}{key}").metadata["v"]
        elif verb == "find":
            seen = sorted(row.title or "" for row in conversations.list(session_id=prefix))
        elif verb == "write":
            conversations.update(f"{prefix}{key}", metadata={"v": value})
        elif verb == "add":
            conversations.add(session_id=prefix, title=str(value), sanitization_version="1")
        run.log.append((verb, key, seen))

    def _leave(self, error: Exception | None) -> None:
        block, self.block = self.block, None
        block.__exit__(type(error) if error else None, error, None)

    def _end(self, run: Run, now: int) -> Run:
        run.ended = now
        self.left.pop(0)
        return run


def transactions(chance: random.Random, values: Iterator[int]) -> Run:
    """A small transaction: two to five steps."""
    if chance.random() < 0.3:
        steps = [("find", "", 0) if chance.random() < 0.3 else ("read", chance.choice(KEYS), 0) for _ in range(3)]
        return Run(reads_only=True, steps=steps)
    steps = []
    for _ in range(chance.randint(2, 4)):
        verb = chance.choice(("read", "read", "write", "write", "find", "add"))
        steps.append((verb, chance.choice(KEYS), next(values)))
    if chance.random() < 0.15:
        steps.append(("give up", "", 0))
    return Run(reads_only=False, steps=steps)


def serial_order_exists(runs: list[Run], final: tuple[dict[str, int], list[str]]) -> bool:
    """Whether some order of *runs*, one after the other, explains all that they saw and the end."""

    def search(left: list[Run], rows: dict[str, int], added: list[str]) -> bool:
        if not left:
            return (rows, sorted(added)) == final
        for run in left:
            if any(other.ended < run.began for other in left if other is not run):
                continue
            after = _replay(run, rows, added)
            if after is not None and search([other for other in left if other is not run], *after):
                return True
        return False

    return search(runs, dict.fromkeys(KEYS, 0), [])


def _replay(run: Run, rows: dict[str, int], added: list[str]) -> tuple[dict[str, int], list[str]] | None:
    rows, added = dict(rows), list(added)
    for verb, key, value in run.log:
        if verb == "read" and rows[key] != value:
            return None
        if verb == "find" and sorted(added) != value:
            return None
        if verb == "write":
            rows[key] = value
        elif verb == "add":
            added.append(str(value))
    return rows, added


def explore(*, seed: int, folder: Path, schedules: int) -> Report:
    """So many schedules, each on rows of its own."""
    engine_module._SLICE = 0.001  # a lock that is held is not waited for here
    report, chance = Report(), random.Random(seed)
    path = new_database(folder)
    keeper = Datastore.open(path).conversations
    sessions = [Session(path) for _ in range(3)]
    for number in range(schedules):
        prefix = f"s{number}-"
        for key in KEYS:
            keeper.add(id=f"{prefix}{key}", sanitization_version="1", metadata={"v": 0})
        runs = _play(sessions, prefix, chance)
        rows = {key: keeper.get(f"{prefix}{key}").metadata["v"] for key in KEYS}
        added = sorted(row.title or "" for row in keeper.list(session_id=prefix))
        committed = [run for run in runs if run.committed]
        report.counts["schedules"] += 1
        report.counts["transactions"] += len(committed)
        if not serial_order_exists(committed, (rows, added)):
            report.found("not serializable", f"schedule {number}: " + "; ".join(str(run.log) for run in committed))
            break
    return report


def _play(sessions: list[Session], prefix: str, chance: random.Random) -> list[Run]:
    values = iter(range(1, 1000))
    for session in sessions:
        session.left = [transactions(chance, values) for _ in range(chance.randint(1, 2))]
    ended: list[Run] = []
    for now in range(1, 2000):
        ready = [session for session in sessions if session.left and not session.waiting]
        if not ready:
            if any(session.left for session in sessions):
                raise AssertionError("the sessions wait for each other")
            return ended
        if run := chance.choice(ready).step(prefix, now):
            ended.append(run)
            for session in sessions:
                session.waiting = False
    raise AssertionError("the sessions block each other for ever")


def test_some_schedules() -> None:
    assert_healthy("random interleavings", BODY, seeds=(1, 2), schedules=5)


@pytest.mark.long
def test_many_schedules() -> None:
    assert_healthy("random interleavings", BODY, seeds=(1, 2, 3, 4), schedules=40)


def test_the_oracle_knows_write_skew_and_lost_update() -> None:
    read_x, read_y = ("read", "x", 0), ("read", "y", 0)

    def run(*log: tuple[str, str, Any]) -> Run:
        return Run(reads_only=False, steps=[], log=list(log), began=1, ended=9, committed=True)

    skew = [run(read_x, read_y, ("write", "x", 1)), run(read_x, read_y, ("write", "y", 2))]
    assert not serial_order_exists(skew, ({"x": 1, "y": 2, "z": 0}, []))
    lost = [run(read_x, ("write", "x", 1)), run(read_x, ("write", "x", 2))]
    assert not serial_order_exists(lost, ({"x": 2, "y": 0, "z": 0}, []))
    fine = [run(read_x, ("write", "x", 1)), run(("read", "x", 1), ("write", "x", 2))]
    assert serial_order_exists(fine, ({"x": 2, "y": 0, "z": 0}, []))


@reds(
    Red("autocommit: no BEGIN", "not serializable", seeds=10),
    Red("reads before BEGIN", "not serializable", seeds=10),
    Red("snapshots without BEGIN", "not serializable", seeds=10),
    Red("an exception commits", "not serializable", seeds=10),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("random interleavings", BODY, red, schedules=40)
