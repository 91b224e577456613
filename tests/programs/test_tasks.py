"""asyncio: a transaction belongs to the task that entered it; everybody else is refused, and harms nobody."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.programs.running import Database, Outcome, run

BOTH_ENGINES = True

LAST = {"at-the-end", "other-thread"}


def check(database: Database, scenario: str, *, acknowledged: set[str], refused: set[str]) -> Outcome:
    outcome = run("tasks", database, scenario, patience=30)
    assert outcome.untyped == []
    assert set(outcome.acknowledged) == acknowledged | LAST
    assert set(outcome.refused) == refused
    assert outcome.errors <= {"TransactionError"}
    assert database.stored() == Counter(acknowledged | LAST)
    return outcome


def test_two_tasks_do_not_share_a_transaction(database: Database) -> None:
    refused = {"second", "second-alone", "second-reads", "second-snapshot"}
    outcome = check(database, "two_tasks", acknowledged={"afterwards"}, refused=refused)
    assert all("task" in message for message in outcome.facts["messages"]["TransactionError"])


def test_the_owner_goes_on_when_others_are_refused(database: Database) -> None:
    """Other tasks, `asyncio.to_thread` and callbacks inside a transaction."""
    refused = {f"task-{i}" for i in range(5)} | {"to_thread", "to_thread-nested", "to_thread-reads", "callback"}
    check(database, "owner_goes_on", acknowledged={"owner"}, refused=refused)
    database.assert_sound()


def test_what_was_made_inside_a_transaction_works_after_it(database: Database) -> None:
    """Tasks, contexts and threads that were started inside."""
    check(
        database,
        "inherited",
        acknowledged={"around", "later", "later-alone", "context", "thread"},
        refused=set(),
    )
    database.assert_sound()


def test_a_cancelled_task_is_rolled_back(database: Database) -> None:
    check(database, "cancelled", acknowledged={"afterwards"}, refused=set())


def test_an_async_generator_that_another_task_ends(database: Database) -> None:
    check(database, "generator_ended_elsewhere", acknowledged={"afterwards"}, refused={"generator"})


def test_an_async_generator_that_is_dropped(database: Database) -> None:
    check(database, "generator_dropped", acknowledged={"afterwards"}, refused=set())


def test_a_generator_that_another_task_resumes(database: Database) -> None:
    check(database, "sync_generator_elsewhere", acknowledged={"afterwards"}, refused={"generator", "resumed"})


def test_a_generators_consumer_is_inside_its_transaction(database: Database) -> None:
    check(database, "sync_generator_same_task", acknowledged={"kept", "kept-too"}, refused=set())


def test_writers_are_refused_at_once_while_a_transaction_is_left_open(database: Database) -> None:
    """Begun by a call on another thread that has returned; what it wrote is rolled back when it is ended."""
    outcome = check(
        database,
        "suspended_generator_on_another_thread",
        acknowledged={"afterwards"},
        refused={"writer", "writer-alone", "writer-thread", "suspended"},
    )
    assert outcome.facts["waited"] < 3
    assert any("async def" in message for message in outcome.facts["messages"]["TransactionError"])


def test_tasks_that_take_turns(database: Database) -> None:
    """With an asyncio.Lock around its transaction each task may await inside."""
    check(database, "many_tasks", acknowledged={f"task-{i}" for i in range(30)}, refused=set())
    database.assert_sound()


@pytest.mark.parametrize("scenario", ["run_in_threads"])
def test_whole_transactions_on_other_threads(database: Database, scenario: str) -> None:
    check(database, scenario, acknowledged={f"thread-{i}" for i in range(30)}, refused=set())
    database.assert_sound()
