"""The state machines of the SQLite suites on PostgreSQL: the whole store against its model, and the job queue against its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from datastore import Datastore
from datastore.engines.postgresql.scratch import Template
from tests.acid import test_state_machine as whole
from tests.acid.model import Model, rows_of
from tests.conftest import Clock
from tests.postgresql import database, migrated, template
from tests.repositories import test_job_model as queue


class QueueMachine(queue.Machine):
    """The job queue's, on a server's database."""

    url = ""
    restore: Callable[[str], None]

    def __init__(self) -> None:
        super(queue.Machine, self).__init__()
        self.restore(self.url)
        self.clock, self.model = Clock(), queue.Model()
        self.open()

    def open(self) -> None:
        self.store = Datastore.open(self.url, clock=self.clock, rng=Random(1), durability="relaxed")

    def teardown(self) -> None:
        self.store.close()


class WholeMachine(whole.Machine):
    """The store's: the observer is a connection of its own to the server."""

    url = ""
    restore: Callable[[str], None]

    def __init__(self) -> None:
        super(whole.Machine, self).__init__()
        self.restore(self.url)
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


def on(machine: type[Any], url: str, kept: Any) -> Any:
    """The machine on a database that is taken back to a template for each example."""
    return type("TheStore", (machine,), {"url": url, "restore": staticmethod(kept.restore), "steps": 0})


@contextmanager
def without(trigger: str, table: str) -> Iterator[tuple[str, Template]]:
    """A database whose schema lacks a trigger, and its template, which lacks it too: each example is taken back to that."""
    with migrated() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}".encode())
        kept = Template(url)
        with database("without", kept.name) as copy:
            yield copy, kept
            with psycopg.connect(copy) as connection:
                state = connection.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = %s", [trigger]).fetchall()
            assert state == [("D",)]


@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.long)], ids=["short", "long"])
def test_the_queue_is_its_model(migrated_server: str, examples: int) -> None:
    machine = on(QueueMachine, migrated_server, template())
    run_state_machine_as_test(machine, settings=chosen(examples, 30))


@pytest.mark.parametrize("examples", [4, pytest.param(30, marks=pytest.mark.long)], ids=["short", "long"])
def test_the_store_is_its_model(migrated_server: str, examples: int) -> None:
    machine = on(WholeMachine, migrated_server, template())
    run_state_machine_as_test(machine, settings=chosen(examples, 25))
    assert machine.steps > 40


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "trigger"),
    [
        ("messages", "messages_count_delete"),
        ("conversations", "conversations_deleted_at_update"),
        ("learnings", "learnings_tags_update"),
        ("messages", "messages_legal_hold_change"),
    ],
)
def test_a_missing_trigger_is_seen(table: str, trigger: str) -> None:
    with without(trigger, table) as (url, kept), pytest.raises(whole.Found):
        # In 30 examples on average, so that 60 were not enough once in a while.
        run_state_machine_as_test(on(WholeMachine, url, kept), settings=chosen(600, 25))


@pytest.mark.long
def test_a_history_that_is_not_kept_is_seen() -> None:
    with without("job_queue_attempt_end", "job_queue") as (url, kept), pytest.raises(AssertionError):
        run_state_machine_as_test(on(QueueMachine, url, kept), settings=chosen(200, 30))
