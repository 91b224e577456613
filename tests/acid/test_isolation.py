"""Hermitage's isolation cases, on the library: a golden table that docs/acid.md shows.

Two or three sessions, each a store of its own on one file, take turns in one thread. With a very short timeout a lock
that is held is an error soon, which stands for waiting: the step is tried again when another session has ended.

P  prevented: the anomaly did not happen, nobody waited
B  blocked: somebody had to wait, and then it did not happen
E  an error: a transaction was refused, its caller begins it again
A  allowed: the anomaly happened
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore import Datastore
from datastore.engines.sqlite import engine as engine_module
from datastore.errors import BusyError, ConflictError, TransactionError
from tests.acid.child import ROOT, run_body
from tests.acid.matrix import Red, assert_healthy, assert_red, note, reds
from tests.acid.mutants import tree
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_isolation:explore"

#: What each way to begin a transaction gives, case by case. The first row is the library, the last two on PostgreSQL (READ
#: COMMITTED, and `store.transaction(serializable=True)`; tests/engines/test_postgresql.py plays them).
GOLDEN = {
    "the library": "B P P B B P B P B B",
    "BEGIN DEFERRED": "B P P B B P E P E E",
    "autocommit: no BEGIN": "P A A A P A A A A A",
    "the library on PostgreSQL": "B P P P B P A P A A",
    "the library on PostgreSQL, serializable": "E P P E E P E P E E",
}

#: Seconds. The gate needs some 20 ms to see that whoever waited before has given up; less would be an error at once.
PATIENCE = 0.05


@attrs.frozen
class Case:
    """What is tried, step by step, and what would be the anomaly."""

    name: str
    meaning: str
    #: Session, verb, key and value; "reads" begins a transaction that only reads.
    steps: str
    #: What each session read, in its order; the rows at the end; who committed.
    anomaly: Callable[[dict[str, list[Any]], dict[str, int], set[str]], bool]


CASES = (
    Case(
        "G0",
        "write cycle: the writes of two transactions mix",
        "1 begin, 2 begin, 1 write x 11, 2 write x 12, 1 write y 21, 1 commit, 2 write y 22, 2 commit",
        lambda seen, rows, done: (rows["x"], rows["y"]) not in {(11, 21), (12, 22)},
    ),
    Case(
        "G1a",
        "aborted read: what is rolled back is seen",
        "1 begin, 2 reads, 1 write x 101, 2 read x, 1 rollback, 2 read x, 2 commit",
        lambda seen, rows, done: 101 in seen["2"],
    ),
    Case(
        "G1b",
        "intermediate read: what is overwritten in the same transaction is seen",
        "1 begin, 2 reads, 1 write x 101, 2 read x, 1 write x 11, 1 commit, 2 read x, 2 commit",
        lambda seen, rows, done: 101 in seen["2"],
    ),
    Case(
        "G1c",
        "circular information flow: each sees the other's write",
        "1 begin, 2 begin, 1 write x 11, 2 write y 22, 1 read y, 2 read x, 1 commit, 2 commit",
        lambda seen, rows, done: seen["1"] == [22] and seen["2"] == [11],
    ),
    Case(
        "OTV",
        "observed transaction vanishes: one row of it is seen, the other not",
        "1 begin, 2 begin, 3 reads, 1 write x 11, 1 write y 19, 2 write x 12, 1 commit, 3 read x, 2 write y 18,"
        " 3 read y, 2 commit, 3 read y, 3 read x, 3 commit",
        lambda seen, rows, done: len({tuple(seen["3"][:2]), tuple(seen["3"][:1:-1])}) > 1,
    ),
    Case(
        "PMP",
        "predicate-many-preceders: a search finds more the second time",
        "1 reads, 1 find, 2 begin, 2 add z, 2 commit, 1 find, 1 commit",
        lambda seen, rows, done: seen["1"][0] != seen["1"][1],
    ),
    Case(
        "P4",
        "lost update: of two that add one, one counts",
        "1 begin, 2 begin, 1 read x, 2 read x, 1 increment x, 2 increment x, 1 commit, 2 commit",
        lambda seen, rows, done: rows["x"] != 10 + len(done),
    ),
    Case(
        "G-single",
        "read skew: one row from before another's transaction, one from after",
        "1 reads, 1 read x, 2 begin, 2 write x 12, 2 write y 18, 2 commit, 1 read y, 1 commit",
        lambda seen, rows, done: seen["1"] == [10, 18],
    ),
    Case(
        "G2-item",
        "write skew: each writes what the other has read",
        "1 begin, 2 begin, 1 read x, 1 read y, 2 read x, 2 read y, 1 write x 11, 2 write y 21, 1 commit, 2 commit",
        lambda seen, rows, done: seen["1"] == seen["2"] == [10, 20] and len(done) == 2,
    ),
    Case(
        "G2",
        "write skew on a search: each adds what the other looked for",
        "1 begin, 2 begin, 1 find, 2 find, 1 add p, 2 add q, 1 commit, 2 commit",
        lambda seen, rows, done: seen["1"] == seen["2"] == [[]] and len(done) == 2,
    ),
)


class Session:
    """One client: a store of its own, and at most one transaction."""

    def __init__(self, path: Path | str, *, serializable: bool = False) -> None:
        # A server's connections take their time to be made.
        self.store = Datastore.open(path, timeout=PATIENCE if isinstance(path, Path) else 10 * PATIENCE)
        self.serializable = serializable
        self.block: AbstractContextManager[None] | None = None
        self.seen: list[Any] = []

    def do(self, verb: str, key: str = "", value: str = "") -> None:
        """One step; BusyError where somebody else has to end first."""
        conversations = self.store.conversations
        if verb in ("begin", "reads"):
            begin = self.store.transaction
            block = self.store.snapshot() if verb == "reads" else begin(serializable=self.serializable)
            block.__enter__()
            self.block = block
        elif verb == "commit":
            self._leave(None)
        elif verb == "rollback":
            self._leave(ValueError("on purpose"))
        elif verb == "read":
            self.seen.append(conversations.get(key).metadata["v"])
        elif verb == "find":
            self.seen.append([row.id for row in conversations.list(session_id="wanted")])
        elif verb == "add":
            conversations.add(id=key, session_id="wanted", sanitization_version="1")
        else:
            number = self.seen[-1] + 1 if verb == "increment" else int(value)
            conversations.merge_metadata(key, {"v": number})

    def _leave(self, error: Exception | None) -> None:
        block, self.block = self.block, None
        assert block is not None
        block.__exit__(type(error) if error else None, error, None)

    def refuse(self) -> None:
        """The transaction met an error: it is over."""
        if self.block is not None:
            self._leave(ValueError("refused"))


def play(case: Case, path: Path | str, *, serializable: bool = False) -> str:
    """The letter that a case ends with, on a file or on a server's database without rows."""
    sessions = {name: Session(path, serializable=serializable) for name in "123"}
    with Datastore.open(path) as store:
        for key, value in (("x", 10), ("y", 20)):
            store.conversations.add(id=key, sanitization_version="1", metadata={"v": value})
    left = [tuple(step.split()) for step in case.steps.split(", ")]
    blocked = refused = False
    ended: set[str] = set()
    committed: set[str] = set()
    waiting: set[str] = set()
    while left:
        number = next((n for n, (who, *_) in enumerate(left) if who not in waiting), None)
        if number is None:
            return "E"  # a deadlock would be one of them refused
        who, verb, *rest = left[number]
        if who in ended:
            left.pop(number)
            continue
        try:
            sessions[who].do(verb, *rest)
        except TransactionError as error:
            if not isinstance(error, BusyError) or _hopeless(error):
                refused = True
                sessions[who].refuse()
                ended.add(who)
            else:
                blocked = True
                waiting.add(who)
            continue
        left.pop(number)
        if verb in ("commit", "rollback"):
            ended.add(who)
            waiting.clear()
            if verb == "commit":
                committed.add(who)
    with Datastore.open(path) as store:
        rows = {row.id: row.metadata.get("v") for row in store.conversations.list()}
    for session in sessions.values():
        session.store.close()
    seen = {name: session.seen for name, session in sessions.items()}
    if case.anomaly(seen, rows, committed):
        return "A"
    return "E" if refused else "B" if blocked else "P"


def _hopeless(error: BusyError) -> bool:
    """Whether waiting does not help: the snapshot that was read is old by now."""
    if isinstance(error, ConflictError):
        return True
    return getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_BUSY_SNAPSHOT"


def explore(*, seed: int, folder: Path, expected: str) -> Report:
    """Every case, in a database of its own."""
    engine_module._SLICE = 0.001  # a lock that is held is not waited for here
    report = Report()
    letters = []
    for case, letter in zip(CASES, expected.split(), strict=True):
        found = play(case, new_database(folder, f"{case.name}.db"))
        letters.append(found)
        report.counts["cases"] += 1
        if found != letter:
            report.found("wrong isolation", f"{case.name}: {found}, not {letter}")
    report.figures["row"] = " ".join(letters)
    return report


def test_the_library() -> None:
    assert_healthy("isolation cases", BODY, expected=GOLDEN["the library"])


@pytest.mark.parametrize("begin", ["BEGIN DEFERRED", "autocommit: no BEGIN"])
def test_other_ways_to_begin(begin: str) -> None:
    (report,) = run_body(BODY, tree=tree(begin), expected=GOLDEN[begin])
    note("isolation", begin=begin, row=report.figures["row"])
    assert report.figures["row"] == GOLDEN[begin]


@reds(
    Red("autocommit: no BEGIN", "wrong isolation"),
    Red("BEGIN DEFERRED", "wrong isolation"),
    Red("reads before BEGIN", "wrong isolation"),
    Red("snapshots without BEGIN", "wrong isolation"),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("isolation cases", BODY, red, expected=GOLDEN["the library"])


def table() -> str:
    """The golden table as Markdown."""
    heads = [case.name for case in CASES]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    lines += [f"| {name} | {' | '.join(row.split())} |" for name, row in GOLDEN.items()]
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_golden_table() -> None:
    assert table() in (ROOT / "docs/acid.md").read_text(encoding="utf-8"), "run `make acid`"
