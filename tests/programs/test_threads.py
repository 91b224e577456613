"""Threads that come and go, end inside a transaction, or work while the store is closed."""

from __future__ import annotations

import pytest

from tests.programs.running import Database, run

BOTH_ENGINES = True


@pytest.mark.parametrize("bursts", [10, pytest.param(60, marks=pytest.mark.long)])
def test_bursts_of_fresh_threads(database: Database, bursts: int) -> None:
    """Forty threads a burst, twenty of them raw: no crash, no failed call, every row stored."""
    outcome = run("bursts", database, str(bursts), patience=60 if bursts < 100 else 600)
    assert outcome.refused == {}
    assert len(outcome.acknowledged) == bursts * 40 + 1
    outcome.assert_kept(database)
    # Threads that ended keep no files open: what is open is that of the main thread, or of the pool.
    assert outcome.facts["files_late"] <= outcome.facts["files_early"] + 8
    assert outcome.facts["files_closed"] <= outcome.facts["files_late"]


@pytest.mark.parametrize("rounds", [8, pytest.param(50, marks=pytest.mark.long)])
def test_a_pool_that_grows_and_shrinks(database: Database, rounds: int) -> None:
    outcome = run("pools", database, str(rounds), patience=60 if rounds < 20 else 600)
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) + len(outcome.refused) == rounds * 24
    outcome.assert_kept(database)
    assert outcome.facts["files"] < 40


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_threads_that_end_inside_a_transaction(database: Database, rounds: int) -> None:
    """More of them than the pool has connections: each is rolled back, and whoever comes next writes at once."""
    outcome = run("ending_threads", database, str(rounds))
    exits = {key for key in outcome.refused if key.startswith("exit-")}
    assert set(outcome.refused) == exits
    assert outcome.errors <= {"TransactionError", "TransactionLostError"}
    assert len(exits) == 2 * rounds
    outcome.assert_kept(database)


@pytest.mark.parametrize("rounds", [6, pytest.param(40, marks=pytest.mark.long)])
def test_closing_while_threads_work(database: Database, rounds: int) -> None:
    """Each thread's next call, or its COMMIT, raises ClosedError; what was acknowledged before is stored."""
    outcome = run("closing", database, str(rounds), patience=60 if rounds < 20 else 300)
    assert outcome.untyped == []
    assert outcome.errors == {"ClosedError"}
    assert len(outcome.refused) == rounds * 9
    outcome.assert_kept(database)
