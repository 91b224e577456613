"""The state machines of the SQLite suites on PostgreSQL: the whole store against its model, and the job queue against its own."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from datastore import Datastore
from tests.acid import test_state_machine as whole
from tests.acid.model import Model, rows_of
from tests.conftest import Clock
from tests.postgresql import empty
from tests.repositories import test_job_model as queue


class QueueMachine(queue.Machine):
    """The job queue's, on a server's database."""

    url = ""

    def __init__(self) -> None:
        super(queue.Machine, self).__init__()
        empty(self.url)
        self.clock, self.model = Clock(), queue.Model()
        self.open()

    def open(self) -> None:
        self.store = Datastore.open(self.url, clock=self.clock, rng=Random(1), durability="relaxed")

    def teardown(self) -> None:
        self.store.close()


class WholeMachine(whole.Machine):
    """The store's: the observer is a connection of its own to the server."""

    url = ""

    def __init__(self) -> None:
        super(whole.Machine, self).__init__()
        empty(self.url)
        self.time = self.instant = datetime(2026, 3, 1, tzinfo=timezone.utc)
        self.names = itertools.count(1)
        self.model = Model()
        self.leases = []
        self.depth = 0
        self.store = self._open()
        self.observer: Any = psycopg.connect(self.url, autocommit=True)

    def _open(self) -> Datastore:
        return Datastore.open(self.url, clock=lambda: self.time, rng=Random(1), durability="relaxed")

    def _own_rows(self) -> Any:
        engine: Any = self.store.engine
        with engine.connection() as connection:
            return rows_of(connection)

    def back_up(self) -> None:
        """Not this library's on a server."""

    def _violations(self) -> list[tuple[str, str]]:
        wrong = self.store.verify()
        return [("partial transaction", f"{check}: {line}") for check, lines in wrong.items() for line in lines]

    def teardown(self) -> None:
        self.observer.close()
        self.store.close()


def chosen(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("examples", [8, pytest.param(100, marks=pytest.mark.long)], ids=["short", "long"])
def test_the_queue_is_its_model(migrated_server: str, examples: int) -> None:
    machine = type("TheQueue", (QueueMachine,), {"url": migrated_server})
    run_state_machine_as_test(machine, settings=chosen(examples, 30))


@pytest.mark.parametrize("examples", [6, pytest.param(60, marks=pytest.mark.long)], ids=["short", "long"])
def test_the_store_is_its_model(migrated_server: str, examples: int) -> None:
    machine = type("TheStore", (WholeMachine,), {"url": migrated_server, "steps": 0})
    run_state_machine_as_test(machine, settings=chosen(examples, 25))
    assert machine.steps > 60


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "trigger"),
    [
        ("messages", "messages_count_delete"),
        ("conversations", "conversations_deleted_at_update"),
        ("learnings", "learnings_tags_update"),
        ("messages", "messages_legal_hold_delete"),
    ],
)
def test_a_missing_trigger_is_seen(migrated_server: str, table: str, trigger: str) -> None:
    machine = type("TheStore", (WholeMachine,), {"url": migrated_server, "steps": 0})
    with psycopg.connect(migrated_server, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        try:
            with pytest.raises(whole.Found):  # in 30 examples on average, so that 60 were not enough once in a while
                run_state_machine_as_test(machine, settings=chosen(600, 25))
        finally:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


@pytest.mark.long
def test_a_history_that_is_not_kept_is_seen(migrated_server: str) -> None:
    machine = type("TheQueue", (QueueMachine,), {"url": migrated_server})
    with psycopg.connect(migrated_server, autocommit=True) as connection:
        connection.execute("ALTER TABLE job_queue DISABLE TRIGGER job_queue_attempt_end")
        try:
            with pytest.raises(AssertionError):
                run_state_machine_as_test(machine, settings=chosen(200, 30))
        finally:
            connection.execute("ALTER TABLE job_queue ENABLE TRIGGER job_queue_attempt_end")
