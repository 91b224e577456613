"""Conversations: every method, paging, filters, hiding, restoring and deleting."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore, NewConversation
from datastore.errors import CheckError, CursorError, InvalidValueError, NotFoundError, UniqueError

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_add_gives_back_what_is_stored(store: Datastore, clock: Any) -> None:
    stored = store.conversations.add(
        id="mine",
        session_id="s",
        correlation_id="c",
        source="web",
        title="A title",
        sanitization_version="2",
        metadata={"a": {"b": None}},
        created_at=START,
        completed_at=START + timedelta(hours=1),
    )
    assert stored == Conversation(
        id="mine",
        session_id="s",
        correlation_id="c",
        source="web",
        title="A title",
        sanitization_version="2",
        metadata={"a": {"b": None}},
        message_count=0,
        last_position=0,
        active_branch=0,
        last_branch=0,
        created_at=START,
        updated_at=START,
        completed_at=START + timedelta(hours=1),
        deleted_at=None,
    )
    assert store.conversations.get("mine") == store.conversations.find("mine") == stored
    assert store.conversations.find(correlation_id="c") == stored
    assert store.conversations.find(correlation_id="d") is None
    assert store.conversations.add(sanitization_version="1").created_at == clock.now


@pytest.mark.parametrize(
    "arguments",
    [
        {"sanitization_version": ""},
        {"sanitization_version": None},
        {"id": ""},
        {"id": "x" * 201},
        {"session_id": ""},
        {"source": None},
        {"title": "x" * 1001},
        {"metadata": [1]},
    ],
)
def test_values_outside_their_range_are_refused(store: Datastore, arguments: dict[str, Any]) -> None:
    with pytest.raises(CheckError):
        store.conversations.add(**{"sanitization_version": "1"} | arguments)
    assert store.conversations.count() == 0


def test_no_text_without_a_sanitization_version(store: Datastore) -> None:
    with pytest.raises(TypeError):
        store.conversations.add()  # type: ignore[call-arg]


def test_ids_and_correlation_ids_are_unique(store: Datastore) -> None:
    store.conversations.add(id="a", correlation_id="c", sanitization_version="1")
    for arguments in ({"id": "a"}, {"correlation_id": "c"}):
        with pytest.raises(UniqueError):
            store.conversations.add(sanitization_version="1", **arguments)
    other = store.conversations.add(sanitization_version="1")
    with pytest.raises(UniqueError):
        store.conversations.update(other.id, correlation_id="c")


def test_add_many_is_all_or_nothing(store: Datastore) -> None:
    rows = [NewConversation(id=id, sanitization_version="1") for id in "ab"]
    with pytest.raises(UniqueError):
        store.conversations.add_many([*rows, rows[0]])
    assert store.conversations.count() == 0
    assert [record.id for record in store.conversations.add_many(rows)] == ["a", "b"]


def everything(store: Datastore, size: int, **filters: Any) -> list[str]:
    """The ids of every page, one after the other."""
    page = store.conversations.list(max_rows=size, **filters)
    ids = [record.id for record in page]
    while page.next:
        page = store.conversations.list(max_rows=size, after=page.next, **filters)
        ids.extend(record.id for record in page)
        assert len(ids) < 1000, "the pages never end"
    return ids


rows = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["s", "t", None]), st.sampled_from(["web", "ide"]), st.booleans()),
    max_size=14,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=rows,
    size=st.integers(1, 5),
    session=st.sampled_from([None, "s"]),
    source=st.sampled_from([None, "web"]),
    deleted=st.booleans(),
    low=st.sampled_from([None, 1]),
    high=st.sampled_from([None, 2]),
)
def test_pages_lose_and_repeat_nothing(
    store: Datastore, rows: list[Any], size: int, session: Any, source: Any, deleted: bool, low: Any, high: Any
) -> None:
    expected = []
    with pytest.raises(ZeroDivisionError), store.transaction():
        for second, its_session, its_source, is_deleted in rows:
            record = store.conversations.add(
                sanitization_version="1",
                session_id=its_session,
                source=its_source,
                created_at=START + timedelta(seconds=second),
            )
            if is_deleted:
                store.conversations.soft_delete(record.id)
            if (
                is_deleted == deleted
                and session in (None, its_session)
                and source in (None, its_source)
                and (low is None or second >= low)
                and (high is None or second < high)
            ):
                expected.append((record.created_at, record.id))
        filters = {
            "session_id": session,
            "source": source,
            "deleted": deleted,
            "created_from": low and START + timedelta(seconds=low),
            "created_before": high and START + timedelta(seconds=high),
        }
        assert everything(store, size, **filters) == [id for _, id in sorted(expected, reverse=True)]
        assert store.conversations.count(**filters) == len(expected)
        raise ZeroDivisionError  # leaves the store empty for the next example


def test_a_cursor_is_of_its_filters(store: Datastore) -> None:
    for _ in range(3):
        store.conversations.add(sanitization_version="1", source="web")
    cursor = store.conversations.list(max_rows=1).next
    for filters in ({"source": "web"}, {"deleted": True}, {"created_from": START}):
        with pytest.raises(CursorError):
            store.conversations.list(after=cursor, **filters)


def test_update_keeps_what_is_not_given(store: Datastore, conversation: Conversation, clock: Any) -> None:
    clock.advance(5)
    updated = store.conversations.update(conversation.id, title="new", session_id=None)
    assert (updated.title, updated.session_id, updated.source) == ("new", None, conversation.source)
    assert updated.updated_at == clock.now
    assert updated.created_at == conversation.created_at
    assert store.conversations.update(conversation.id, metadata={"a": 1}).metadata == {"a": 1}
    assert store.conversations.update(conversation.id, metadata={"b": 1}).metadata == {"b": 1}


def test_merge_metadata(store: Datastore) -> None:
    record = store.conversations.add(sanitization_version="1", metadata={"a": {"x": 1, "y": 2}, "b": 1, "c": [1]})
    merged = store.conversations.merge_metadata(record.id, {"a": {"y": None, "z": 3}, "b": None, "c": [2]})
    assert merged.metadata == {"a": {"x": 1, "z": 3}, "c": [2]}
    assert store.conversations.get(record.id) == merged
    with pytest.raises((CheckError, InvalidValueError)):
        store.conversations.merge_metadata(record.id, [1])  # type: ignore[arg-type]


def test_complete_keeps_the_first_end(store: Datastore, conversation: Conversation, clock: Any) -> None:
    end = store.conversations.complete(conversation.id).completed_at
    assert end == clock.now
    clock.advance(60)
    assert store.conversations.complete(conversation.id).completed_at == end


def test_a_message_is_a_change(store: Datastore, conversation: Conversation, clock: Any) -> None:
    clock.advance(60)
    store.messages.append(conversation.id, role="user", content="a")
    record = store.conversations.get(conversation.id)
    assert (record.message_count, record.last_position, record.updated_at) == (1, 1, clock.now)


def test_soft_delete_hides_and_restore_shows(store: Datastore, conversation: Conversation, clock: Any) -> None:
    store.messages.append(conversation.id, role="user", content="a")
    before = store.conversations.get(conversation.id)
    hidden = store.conversations.soft_delete(conversation.id, reason="asked for")
    assert hidden.deleted_at == clock.now
    assert store.conversations.get(conversation.id) == hidden
    assert everything(store, 5) == []
    assert everything(store, 5, deleted=True) == [conversation.id]
    for again in (store.conversations.soft_delete, store.conversations.complete):
        with pytest.raises(NotFoundError):
            again(conversation.id)
    restored = store.conversations.restore(conversation.id)
    assert restored.deleted_at is None
    assert (restored.message_count, restored.metadata) == (before.message_count, before.metadata)
    with pytest.raises(NotFoundError):
        store.conversations.restore(conversation.id)
    assert [entry.action for entry in store.audit.list()] == ["soft_delete", "restore"]


def test_delete_takes_all_parts_along(store: Datastore, conversation: Conversation, learning: Any) -> None:
    message = store.messages.append(conversation.id, role="user", content="a")
    store.uploads.add(learning_id=learning.id, destination="wiki")
    parts = store.conversations.delete(conversation.id, reason="asked for")
    assert parts == {"messages": 1, "learnings": 1, "uploads": 1, "redactions": 0}
    assert store.conversations.find(conversation.id) is None
    assert store.messages.find(message.id) is None
    assert store.learnings.find(learning.id) is None
    if store.engine.name == "sqlite":  # PostgreSQL cannot have them off
        assert store.engine.rows("foreign_key_check") == []
    assert store.audit.list().items[0].action == "delete"


def test_purge_takes_what_was_hidden_before(store: Datastore, clock: Any) -> None:
    ids = [store.conversations.add(sanitization_version="1").id for _ in range(5)]
    for id in ids[:4]:
        store.conversations.soft_delete(id)
        clock.advance(10)
    limit = clock.now - timedelta(seconds=10)  # the instant of the fourth
    assert store.conversations.purge(deleted_before=limit, max_rows=2) == 2
    assert [store.conversations.find(id) is None for id in ids] == [True, True, False, False, False]
    assert store.conversations.purge(deleted_before=limit, max_rows=2) == 1
    assert store.conversations.purge(deleted_before=limit) == 0
    assert store.conversations.count(deleted=True) == store.conversations.count() == 1
    with pytest.raises(InvalidValueError):
        store.conversations.purge(deleted_before=datetime(2026, 1, 1))


def test_many_are_hidden_and_purged_at_once(store: Datastore, clock: Any) -> None:
    ids = [store.conversations.add(sanitization_version="1").id for _ in range(4)]
    for id in ids:
        store.messages.append(id, role="user", content="hello")
        store.learnings.add(conversation_id=id, category="fact", title="a", content="some words")
    store.conversations.soft_delete(ids[3])
    clock.advance(10)
    before = store.audit.count()
    asked = [ids[2], "nobody", ids[0], ids[0], ids[3]]
    assert store.conversations.soft_delete_many(asked, reason="why") == [ids[2], ids[0]]
    assert store.conversations.find(ids[0]).updated_at == clock.now
    assert [(one.action, one.subject_id, one.reason) for one in store.audit.list().items[before:]] == [
        ("soft_delete", ids[2], "why"), ("soft_delete", ids[0], "why"),
    ]  # fmt: skip
    assert store.learnings.count() == 1
    store.holds.place(ids[3], reason="case 12")
    # One was never hidden, one is held, one is not there.
    assert store.conversations.purge_many([ids[3], ids[0], ids[1], "nobody", ids[2]], reason="old") == {
        "conversations": 2, "messages": 2, "learnings": 2, "uploads": 0, "redactions": 0,
    }  # fmt: skip
    assert [store.conversations.find(id) is None for id in ids] == [True, False, True, False]
    purged = [one for one in store.audit.list().items if one.action == "purge"]
    assert [(one.subject_id, one.details["messages"]) for one in purged] == [(ids[0], 1), (ids[2], 1)]
    assert store.conversations.purge_many([]) == {}
    assert not any(store.verify().values())
    with pytest.raises(InvalidValueError):
        store.conversations.purge_many([1])  # type: ignore[list-item]


def test_unknown_ids(store: Datastore) -> None:
    conversations = store.conversations
    assert conversations.find("nobody") is None
    for use in (
        conversations.get,
        conversations.update,
        conversations.complete,
        conversations.soft_delete,
        conversations.restore,
        conversations.delete,
        lambda id: conversations.merge_metadata(id, {}),
    ):
        with pytest.raises(NotFoundError):
            use("nobody")
    assert not store.audit.list().items
