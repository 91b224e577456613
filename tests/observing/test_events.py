"""What `Datastore.observe` reports: each statement, transaction and operation, and nothing that a person said."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from datastore import Datastore, import_file
from datastore.errors import NotFoundError
from datastore.events import Event, OperationEvent, StatementEvent, TransactionEnded, TransactionStarted
from datastore.observing import LogEvents
from tests.conftest import REDACTION

BOTH_ENGINES = True

SECRET = "swordfish-4711"


def statements(events: list[Event]) -> list[StatementEvent]:
    return [event for event in events if isinstance(event, StatementEvent)]


def test_a_statement_is_reported_with_its_rows(store: Datastore) -> None:
    events: list[Event] = []
    with store.observe(events.append):
        conversation = store.conversations.add(source="s", sanitization_version="1")
        message = store.messages.append(conversation.id, role="user", content="hello")
        store.messages.get(message.id)
        store.messages.list(conversation.id)
        assert store.messages.find("missing") is None
    store.messages.get(message.id)  # nobody listens
    named = [(event.name, event.rows) for event in statements(events)]
    assert ("get_message", 1) in named
    assert ("get_message", 0) in named
    assert ("list_messages_after", 1) in named
    assert sum(name == "get_message" for name, _ in named) == 2
    assert all(
        event.seconds > 0 and event.error is None and event.file.endswith(".sql") for event in statements(events)
    )


def test_a_transaction_is_reported_with_its_statements(store: Datastore) -> None:
    events: list[Event] = []
    with store.observe(events.append):
        with store.transaction():
            conversation = store.conversations.add(source="s", sanitization_version="1")
            with store.transaction():  # a savepoint
                store.messages.append(conversation.id, role="user", content="hello")
        with pytest.raises(ZeroDivisionError), store.transaction():
            store.conversations.add(source="s", sanitization_version="1")
            raise ZeroDivisionError
        with store.snapshot():
            store.conversations.count()
    began = [event for event in events if isinstance(event, TransactionStarted)]
    ended = [event for event in events if isinstance(event, TransactionEnded)]
    assert [(event.kind, event.committed) for event in ended] == [
        ("transaction", True),
        ("transaction", False),
        ("snapshot", False),
    ]
    assert [event.transaction for event in began] == [event.transaction for event in ended]
    assert len({event.transaction for event in began}) == 3
    for event in statements(events):
        assert event.transaction in {one.transaction for one in began}


def test_an_error_is_reported_by_its_class(store: Datastore) -> None:
    events: list[Event] = []
    conversation = store.conversations.add(source="s", sanitization_version="1", id="taken")
    with store.observe(events.append), pytest.raises(Exception, match="taken|exists|unique"):
        store.conversations.add(source="s", sanitization_version="1", id=conversation.id)
    failed = [event for event in statements(events) if event.error]
    assert [(event.name, event.error, event.rows) for event in failed] == [("add_conversation", "UniqueError", 0)]


def test_a_wait_for_another_writer_is_reported(store: Datastore) -> None:
    events: list[Event] = []
    entered, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction():
            entered.set()
            go_on.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(30)
    writer = threading.Thread(target=lambda: store.conversations.add(source="s", sanitization_version="1"))
    with store.observe(events.append):
        writer.start()
        writer.join(0.2)  # it waits
        go_on.set()
        writer.join()
    holder.join()
    (added,) = (event for event in statements(events) if event.name == "add_conversation")
    assert added.seconds >= added.waited
    if store.engine.name == "sqlite":  # on PostgreSQL writers wait for rows only
        assert added.waited > 0.05


def test_a_listener_that_fails_harms_nothing(store: Datastore, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    with store.observe(fail), store.transaction():
        conversation = store.conversations.add(source="s", sanitization_version="1")
    assert store.conversations.get(conversation.id) == conversation
    assert "a listener failed" in caplog.text


def test_two_listeners_and_an_end(store: Datastore) -> None:
    first: list[Event] = []
    second: list[Event] = []
    one, two = store.observe(first.append), store.observe(second.append)
    store.conversations.count()
    one.stop()
    one.stop()
    store.conversations.count()
    two.stop()
    store.conversations.count()
    assert (len(first), len(second)) == (1, 2)


def test_own_statements_are_reported_too(store: Datastore, tmp_path: Path) -> None:
    (tmp_path / "own.sql").write_text(
        "-- name: count_own()$\n-- Counts.\n-- Index: none (full scan)\n-- Rows: 1\n-- Returns: n integer\n"
        "SELECT count(*) AS n FROM conversations;\n"
    )
    events: list[Event] = []
    observation = store.observe(events.append)
    own = store.bind(tmp_path)
    assert own.count_own() == 0
    observation.stop()
    assert [(event.name, event.file) for event in statements(events)] == [("count_own", "own.sql")]


def test_nothing_that_a_person_said_is_in_an_event_or_in_the_log(
    store: Datastore, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    caplog.set_level(logging.DEBUG)
    with store.observe(events.append), store.observe(LogEvents(slow_seconds=0)):
        conversation = store.conversations.add(
            source="s", title=SECRET, sanitization_version="1", id=SECRET, metadata={SECRET: SECRET}
        )
        message = store.messages.append(conversation.id, role="user", content=SECRET)
        store.learnings.add(
            conversation_id=conversation.id, category=SECRET, title=SECRET, content=SECRET, message_ids=[message.id]
        )
        list(store.learnings.search(SECRET).items)
        store.redactions.add(conversation.id, **REDACTION)
        with pytest.raises(NotFoundError):
            store.messages.get(f"{SECRET}-x")
        store.erase(conversation_id=SECRET, reason=SECRET)
    assert any(isinstance(event, OperationEvent) and event.name == "erase" for event in events)
    assert SECRET not in repr(events)
    assert "slow statement append_message" in caplog.text
    assert SECRET not in caplog.text


def test_an_import_is_an_operation(store: Datastore, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}]}\n')
    events: list[Event] = []
    with store.observe(events.append):
        import_file(store, file, sanitization_version="1")
    (done,) = (event for event in events if isinstance(event, OperationEvent) and event.name == "import")
    assert done.counts == {"conversations": 1, "messages": 2, "learnings": 0}
    assert done.error is None
