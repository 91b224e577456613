"""The end of a program whose store is open: in order, at once, and with every acknowledged row stored."""

from __future__ import annotations

import sys
import time

import pytest

from tests.programs.running import Database, Outcome, run_command

BOTH_ENGINES = True

#: What each leaves behind, and how it exits.
SITUATIONS = {
    "simple": 0,
    "unfinished_transaction": 0,
    "unfinished_snapshot": 0,
    "unfinished_generator": 0,
    "exit_inside": 0,
    "os_exit_inside": 0,
    "daemon_inside": 0,
    "atexit_uses": 0,
    "atexit_closes_inside": 0,
    "finalizer": 0,
    "unhandled": 3,
}


def end(database: Database, situation: str, code: int = 0) -> tuple[Outcome, str, float]:
    """Run it; gives what it acknowledged before its end, its standard error, and how long it took."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.programs.apps.shutdown", situation]
    out, err = run_command(command, database, code)
    lines = out.split()
    outcome = Outcome([line for line in lines if not line.startswith("refused-")])
    outcome.refused = {line: line.removeprefix("refused-") for line in lines if line.startswith("refused-")}
    return outcome, err, time.monotonic() - begun


@pytest.mark.parametrize(("situation", "code"), SITUATIONS.items(), ids=list(SITUATIONS))
def test_a_program_ends_with_an_open_store(database: Database, situation: str, code: int) -> None:
    """What is not finished is rolled back; nothing is printed, nobody waits."""
    outcome, err, took = end(database, situation, code)
    assert err == ""
    assert took < 20
    assert outcome.errors <= {"TransactionError", "TransactionLostError", "ClosedError"}
    assert outcome.acknowledged
    outcome.assert_kept(database)


@pytest.mark.parametrize("situation", ["pool_at_exit", "threads_outlive_main"])
def test_threads_finish_their_work_first(database: Database, situation: str) -> None:
    outcome, err, _ = end(database, situation)
    assert err == ""
    assert len(outcome.acknowledged) == (40 if situation == "pool_at_exit" else 60)
    outcome.assert_kept(database)


@pytest.mark.parametrize("situation", ["daemons", "atexit_closes"])
@pytest.mark.parametrize("times", [2, pytest.param(15, marks=pytest.mark.long)])
def test_daemon_threads_are_at_work(database: Database, situation: str, times: int) -> None:
    """They are cut off anywhere: what was acknowledged is stored; of what was not, each transaction is whole or absent."""
    acknowledged: set[str] = set()
    for _ in range(times):
        outcome, err, _ = end(database, situation)
        assert err == ""
        acknowledged |= set(outcome.acknowledged)
    stored = database.stored()
    assert acknowledged
    assert acknowledged <= set(stored)
    # A daemon thread may be cut off between its commit and its acknowledgement, once each time.
    assert len(set(stored) - acknowledged) <= 6 * times
    database.assert_sound()
