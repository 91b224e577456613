"""Every k-th write, sync, read and open fails: EIO, ENOSPC, a failed fsync; once, and until somebody makes room.

Proves: what comes out is one of the library's errors; what was acknowledged is there; a transaction that was refused
is not; one of unknown outcome (CommitOutcomeUnknownError) is there as a whole or not at all; and once the fault is
over, the same store goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import pytest

from datastore import Datastore
from datastore.errors import CommitOutcomeUnknownError, DatastoreError
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.shim import FAULTS, Shim, library
from tests.acid.work import check_units, new_database, write_unit

BODY = "tests.acid.test_io_faults:explore"

UNITS = 4


@attrs.define
class Outcome:
    """How each transaction ended, as its caller was told."""

    acknowledged: set[str] = attrs.field(factory=set)
    refused: set[str] = attrs.field(factory=set)
    unknown: set[str] = attrs.field(factory=set)
    untyped: list[str] = attrs.field(factory=list)


def explore(*, seed: int, folder: Path, fault: str, stays: bool = False, step: int = 1) -> Report:
    """Let the k-th call fail, for k of 1, 1 + *step*, ... until there is no such call any more."""
    report, shim = Report(), Shim()
    kinds, code = FAULTS[fault]
    template = new_database(folder, "template.db")
    number = 1 + seed % step
    while True:
        place = folder / str(number)
        place.mkdir()
        path = place / "app.db"
        shutil.copy(template, path)
        shim.watch(place)
        shim.arm(kinds, number, code, stays=stays)
        outcome, reached = _work(path, shim)
        shim.stop()
        if reached < number:
            return report
        report.counts["faults"] += 1
        report.counts["unknown outcomes"] += len(outcome.unknown)
        report.counts["refused transactions"] += len(outcome.refused)
        _look(path, outcome, report, f"{fault}, call {number}: ")
        shutil.rmtree(place)
        number += step


def _work(path: Path, shim: Shim) -> tuple[Outcome, int]:
    """Some transactions, reads and a checkpoint under the fault; then, without it, one more transaction."""
    outcome = Outcome()
    store = _open(path, outcome)
    for number in range(UNITS if store else 0):
        _transact(store, f"u{number}", outcome)
        _guarded(lambda: [len(store.conversations.list()), store.learnings.search("word")], outcome)
        if number == UNITS // 2:
            _guarded(store.engine.checkpoint, outcome)
    reached = shim.disarm()
    store = store or _open(path, outcome)
    if store is None:
        outcome.untyped.append("the database cannot be opened after the fault")
        return outcome, reached
    try:
        write_unit(store, "u-after", lambda: outcome.acknowledged.add("u-after"))
        store.close()
    except Exception as error:
        outcome.untyped.append(f"after the fault: {type(error).__name__}: {error}")
    return outcome, reached


def _open(path: Path, outcome: Outcome) -> Datastore | None:
    try:
        return Datastore.open(path, timeout=0.2)
    except DatastoreError:
        return None
    except Exception as error:
        outcome.untyped.append(f"open: {type(error).__name__}: {error}")
        return None


def _transact(store: Datastore, name: str, outcome: Outcome) -> None:
    try:
        write_unit(store, name, lambda: outcome.acknowledged.add(name))
    except CommitOutcomeUnknownError:
        outcome.unknown.add(name)
    except DatastoreError:
        outcome.refused.add(name)
    except Exception as error:
        outcome.untyped.append(f"{name}: {type(error).__name__}: {error}")


def _guarded(call: object, outcome: Outcome) -> None:
    try:
        call()  # type: ignore[operator]
    except DatastoreError:
        pass
    except Exception as error:
        outcome.untyped.append(f"{type(error).__name__}: {error}")


def _look(path: Path, outcome: Outcome, report: Report, where: str) -> None:
    for line in outcome.untyped:
        report.found("untyped error", where + line)
    anomalies, whole = check_units(path, outcome.acknowledged)
    report.extend(anomalies, where)
    for name in sorted(outcome.refused & whole):
        report.found("aborted read", f"{where}unit {name} was refused, and is there")


@pytest.mark.parametrize("fault", FAULTS)
def test_some_faults(fault: str) -> None:
    report = assert_healthy(f"I/O faults: {fault}", BODY, preload=library(), fault=fault, step=43)
    assert report.counts["faults"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("stays", [False, True], ids=["once", "until it is mended"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault(fault: str, stays: bool) -> None:
    # Every k once; a fault that stays hits every later call too, so every third k is enough.
    step = 3 if stays else 1
    assert_healthy(f"I/O faults: {fault}", BODY, preload=library(), timeout=200, fault=fault, stays=stays, step=step)


@reds(
    Red("COMMIT's error swallowed", "lost commit", given={"fault": "ENOSPC in a write"}),
    Red("autocommit: no BEGIN", "partial transaction", given={"fault": "EIO in a write"}),
    Red("the driver's errors let through", "untyped error", given={"fault": "EIO in a read"}),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("I/O faults", BODY, red, preload=library(), step=3)
