"""Children by fork, forkserver and spawn, and task servers that fork workers from a parent that has used the store."""

from __future__ import annotations

import pytest

from tests.programs.running import Database, run

BOTH_ENGINES = True


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("situation", ["closed", "open"])
def test_children_that_open_the_database_themselves(database: Database, method: str, situation: str) -> None:
    """By spawn and forkserver whatever the parent has open; by fork where it has closed its store."""
    if method == "fork" and situation == "open":
        situation = "opens"
    outcome = run("processes", database, method, situation, "2", "10")
    assert outcome.refused == {}
    assert len(outcome.acknowledged) == 2 * 10 + (1 if situation == "closed" else 6)
    outcome.assert_kept(database)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_a_parent_with_threads(database: Database, method: str) -> None:
    outcome = run("processes", database, method, "thread", "2", "10")
    assert outcome.refused == {}
    outcome.assert_kept(database)


def test_a_forked_child_uses_its_parents_store(database: Database) -> None:
    """SQLite: it works when only the forking thread had it open. PostgreSQL: refused at the first call."""
    outcome = run("processes", database, "fork", "open", "3", "10")
    outcome.assert_kept(database)
    if database.engine == "sqlite":
        assert outcome.refused == {}
        assert len(outcome.acknowledged) == 3 * 10 + 6
    else:
        assert outcome.errors == {"ForkedError"}
        assert len(outcome.refused) == 3 * 11
        assert all("open" in message for message in outcome.facts["messages"]["ForkedError"])


@pytest.mark.parametrize("situation", ["inside", "snapshot", "thread"])
def test_a_child_that_was_forked_while_the_store_was_at_work_is_refused(database: Database, situation: str) -> None:
    """In a transaction, in a snapshot, or while another thread had it open; the parent goes on unharmed."""
    outcome = run("processes", database, "fork", situation, "2", "5")
    assert outcome.errors == {"ForkedError"}
    assert {key.partition("-")[0] for key in outcome.refused} == {"child0", "child1"}
    assert len(outcome.refused) == 2 * 6
    outcome.assert_kept(database)


@pytest.mark.parametrize(
    ("workers", "tasks"), [(4, 25), pytest.param(8, 150, marks=pytest.mark.long)], ids=["short", "long"]
)
@pytest.mark.parametrize("replaced", ["", "replaced"])
def test_a_task_server_forks_its_workers(database: Database, workers: int, tasks: int, replaced: str) -> None:
    """On PostgreSQL the workers open a store of their own, as the error says."""
    outcome = run("prefork", database, str(workers), str(tasks), "reopen", replaced, patience=120)
    outcome.assert_kept(database)
    assert outcome.errors == {"Refused"}
    forked = workers * (2 if replaced else 1)
    assert len(outcome.acknowledged) + len(outcome.refused) == (forked + 1) * tasks + 2


def test_a_task_server_that_does_not_reopen(database: Database) -> None:
    outcome = run("prefork", database, "4", "10", "")
    outcome.assert_kept(database)
    assert outcome.errors == ({"Refused"} if database.engine == "sqlite" else {"ForkedError"})


def test_a_store_cannot_be_handed_to_another_process(database: Database) -> None:
    """By pickle, as an argument, or as a copy: a typed error says to open it there."""
    outcome = run("pickled", database)
    assert outcome.untyped == []
    assert len(outcome.refused) == 4
