"""A state machine: the whole database against a model, after every step, through an outsider's connection.

hypothesis chooses steps over all repositories, alone and in transactions that nest and end in exceptions of every kind,
opens the file again, and lets leases run out. After each the observer reads every table and compares it with the model
(model.py); the full-text searches are asked for a word; the invariants (invariants.py) are checked with raw SQL. While
a transaction runs, the observer must see the state before it.
"""

from __future__ import annotations

import functools
import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.acid.invariants import violations
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.model import Model, observe, rows_of
from tests.acid.operations import BEGINNING, OPERATIONS, WORDS
from tests.acid.report import Report
from tests.acid.steps import Mismatch, expect, pick
from tests.acid.work import new_database

BODY = "tests.acid.test_state_machine:explore"


class OnPurpose(Exception):
    """An ordinary exception of the caller's."""


#: How a block can end. BaseExceptions are what `except Exception` forgets.
ENDINGS = (None, None, None, OnPurpose, KeyboardInterrupt, SystemExit, GeneratorExit)


class Found(BaseException):
    """What ends hypothesis' run at once: an anomaly is neither shrunk nor played again. Its cause is the finding."""


def finding(step: Callable[..., None]) -> Callable[..., None]:
    """A step of the machine whose error is a finding."""

    @functools.wraps(step)
    def run(self: Any, **given: Any) -> None:
        try:
            step(self, **given)
        except (Mismatch, DatastoreError, sqlite3.Error) as error:
            raise Found from error

    return run


class Machine(RuleBasedStateMachine):
    """The store, the model beside it, and an observer."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="machine-")
        self.path = new_database(Path(self.folder.name))
        self.time = self.instant = datetime(2026, 3, 1, tzinfo=timezone.utc)
        self.names = itertools.count(1)
        self.model = Model()
        self.leases: list[Any] = []
        self.depth = 0
        self.store = self._open()
        self.observer = sqlite3.connect(self.path, isolation_level=None)

    def _open(self) -> Datastore:
        return Datastore.open(self.path, clock=lambda: self.time, rng=Random(1), durability="relaxed")

    def name(self, kind: str) -> str:
        """A new name, never used again."""
        return f"{kind}{next(self.names):04}"

    def now(self) -> datetime:
        """The present as the store has it: one instant in a transaction."""
        return self.instant if self.depth else self.time

    def pass_time(self, seconds: float) -> None:
        """Time goes on outside; in a transaction it stands still."""
        self.time += timedelta(seconds=seconds)

    @initialize(data=st.data())
    @finding
    def fill(self, data: Any) -> None:
        """Something to begin with."""
        for operation in BEGINNING:
            operation(self, data)
        self._compare()

    @rule(data=st.data())
    @finding
    def step(self, data: Any) -> None:
        """One operation, a transaction of its own."""
        data.draw(st.sampled_from(OPERATIONS))(self, data)
        self._compare()

    @rule(data=st.data())
    @finding
    def many_steps(self, data: Any) -> None:
        """Several at once, to get somewhere."""
        for operation in data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=3, max_size=8)):
            operation(self, data)
        self._compare()

    @rule(data=st.data())
    @finding
    def transaction(self, data: Any) -> None:
        """Blocks in blocks, of which some are rolled back."""
        self.instant = self.time
        self._block(data, observe(self.observer))
        self._compare()

    def _block(self, data: Any, before: Any) -> None:
        saved, leases, ending = self.model.copy(), list(self.leases), pick(data, ENDINGS)
        rows = self._own_rows()
        self.depth += 1
        try:
            with self.store.transaction():
                if self.depth == 1:
                    self.store.engine.now()  # the instant is fixed by whoever asks first
                for _ in range(pick(data, (1, 2, 4))):
                    if self.depth < 3 and pick(data, (False, False, True)):
                        self._block(data, before)
                    else:
                        data.draw(st.sampled_from(OPERATIONS))(self, data)
                expect(observe(self.observer) == before, "somebody saw into a transaction", "aborted read")
                if ending is not None:
                    raise ending
        except (OnPurpose, KeyboardInterrupt, SystemExit, GeneratorExit):
            self.model, self.leases = saved, leases
            # Whatever was wrong before: what the block did is gone, for the store itself and in the file.
            expect(self._own_rows() == rows, "rows outlived a rollback", "aborted read")
            expect(observe(self.observer) == before, "somebody else sees what was rolled back", "aborted read")
        finally:
            self.depth -= 1

    def _own_rows(self) -> Any:
        return rows_of(self.store.engine._thread.connected().connection)

    @precondition(lambda self: self.model.conversations)
    @rule(whole=st.booleans())
    @finding
    def reopen(self, whole: bool) -> None:
        """The file is closed and opened; now and then its WAL is written back before."""
        if whole:
            self.store.engine.checkpoint()
        self.store.close()
        self.store = self._open()
        self._compare()

    @precondition(lambda self: len(self.model.audit) % 5 == 4)
    @rule()
    @finding
    def back_up(self) -> None:
        """A backup holds what the model holds, and a restored one is a database."""
        copy, place = (Path(self.folder.name) / self.name(kind) for kind in ("backup", "restored"))
        self.store.backups.create(copy)
        Datastore.restore(copy, place)
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            for anomaly, detail in violations(connection):
                raise Mismatch(f"in a backup: {detail}", anomaly)
            expect(observe(connection) == self.model.dump(), "a backup holds something else")
        self._compare()

    def _violations(self) -> Iterable[tuple[str, str]]:
        return violations(self.observer)

    def _compare(self) -> None:
        type(self).steps += 1
        for anomaly, detail in self._violations():
            raise Mismatch(detail, anomaly)
        found, wanted = observe(self.observer), self.model.dump()
        for table in wanted:
            if found[table] != wanted[table]:
                raise Mismatch(f"{table}: {found[table]}, not {wanted[table]}")
        # One word a step, in turn: the index as a whole was compared with the rows by its own check above.
        word = WORDS[type(self).steps % len(WORDS)]
        hits = {hit.learning.id for hit in self.store.learnings.search(word, max_rows=100)}
        shown = {id for id in self.model.shown_learnings() if word in self.model.learnings[id]["content"]}
        expect(hits == shown, f"search for {word} in learnings", "full-text drift")
        hits = {hit.message.id for hit in self.store.messages.search(word, max_rows=100)}
        shown = {id for id in self.model.shown_messages() if word in self.model.messages[id][2]}
        expect(hits == shown, f"search for {word} in messages", "full-text drift")

    def teardown(self) -> None:
        self.observer.close()
        self.store.close()
        self.folder.cleanup()


def explore(*, seed: int, folder: Path, examples: int) -> Report:
    """So many runs of the machine, of up to thirty steps each."""
    report = Report()
    Machine.steps = 0
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=settings)
    except Found as found:
        error = found.__cause__
        if isinstance(error, Mismatch):
            report.found(error.anomaly, str(error))
        else:
            kind = "untyped error" if isinstance(error, sqlite3.Error) else "model mismatch"
            report.found(kind, f"{type(error).__name__}: {error}")
    report.counts["compared states"] = Machine.steps
    return report


def test_the_model_holds() -> None:
    report = assert_healthy("state machine", BODY, seeds=(1, 2), examples=5)
    assert report.counts["compared states"] > 60


@pytest.mark.long
def test_the_model_holds_for_long() -> None:
    assert_healthy("state machine", BODY, seeds=range(2, 4), timeout=300, examples=30)


@reds(
    Red("foreign keys off", "orphan", seeds=10),
    Red("no full-text delete trigger", "full-text drift", seeds=10),
    Red("the full-text index follows half of an update", "full-text drift", seeds=10),
    Red("a restored conversation is not indexed", "full-text drift", seeds=10),
    Red("inner commit", "aborted read", seeds=10),
    Red("inner rollback forgotten", "aborted read", seeds=10),
    Red("except Exception", "aborted read", seeds=10),
    Red("an exception commits", "aborted read", seeds=10),
    Red("messages not counted on deletion", "partial transaction", seeds=10),
    Red("learnings not hidden with their conversation", "partial transaction", seeds=10),
    Red("tags not replaced", "partial transaction", seeds=10),
    Red("positions used twice", "model mismatch", seeds=10),
    Red("positions of a branch used twice", "partial transaction", seeds=10),
    Red("a branch hears what its parent says after the fork", "model mismatch", seeds=10),
    Red("purge takes what was never hidden", "model mismatch", seeds=10),
    Red("a lease that has ended counts", "lost job", seeds=10),
    Red("the lowest priority first", "lost job", seeds=10),
    Red("a hold that keeps nothing", "model mismatch", seeds=10),
    Red("a policy that knows no holds", "model mismatch", seeds=10),
    Red("a grace that nobody waits for", "model mismatch", seeds=10),
    Red("an erasure that nobody remembers", "model mismatch", seeds=10),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("state machine", BODY, red, timeout=240, examples=100)
