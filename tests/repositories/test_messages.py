"""Messages: every method, paging both ways, the token budget, counts whoever writes."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore, Message, NewMessage, Page
from datastore.errors import CheckError, InvalidValueError, NotFoundError, UniqueError

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def contents(page: Any) -> list[str]:
    return [message.content for message in page]


@pytest.fixture
def numbered(store: Datastore, conversation: Conversation) -> Conversation:
    """A conversation with the messages "1" to "7"."""
    store.messages.append_many(
        conversation.id,
        [
            NewMessage(role="user", content=str(n), token_count=n, created_at=START + timedelta(seconds=10 - n // 3))
            for n in range(1, 8)
        ],
    )
    return conversation


def test_append_gives_back_what_is_stored(store: Datastore, conversation: Conversation, clock: Any) -> None:
    first = store.messages.append(conversation.id, role="user", content="häßlich", metadata={"a": [1]})
    second = store.messages.append(
        conversation.id, role="tool", content="b", id="mine", token_count=0, created_at=START
    )
    assert first == store.messages.get(first.id) == store.messages.find(first.id)
    assert (first.position, second.position) == (1, 2)
    assert first.content_hash == hashlib.sha256("häßlich".encode()).hexdigest()
    assert (first.token_count, second.token_count) == (3, 0)  # 9 bytes, four a token
    assert (first.metadata, second.metadata) == ({"a": [1]}, {})
    assert (first.created_at, second.created_at) == (clock.now, START)
    assert second.id == "mine"


def test_append_many_keeps_the_order_or_nothing(store: Datastore, conversation: Conversation) -> None:
    stored = store.messages.append_many(conversation.id, [NewMessage(role="user", content=c) for c in "cab"])
    assert [(m.content, m.position) for m in stored] == [("c", 1), ("a", 2), ("b", 3)]
    for bad, error in (
        (NewMessage(role="user", content=""), CheckError),
        (NewMessage(role="robot", content="x"), CheckError),  # type: ignore[arg-type]
        (NewMessage(role="user", content="x", id=stored[0].id), UniqueError),
        (NewMessage(role="user", content="x\x00"), InvalidValueError),
    ):
        with pytest.raises(error):
            store.messages.append_many(conversation.id, [NewMessage(role="user", content="d"), bad])
    assert contents(store.messages.list(conversation.id)) == ["c", "a", "b"]
    assert store.messages.append_many(conversation.id, []) == []


def test_append_many_has_no_limit_of_its_own(store: Datastore, conversation: Conversation) -> None:
    stored = store.messages.append_many(conversation.id, [NewMessage(role="user", content="x" * 1_000_000)] * 3)
    assert [message.position for message in stored] == [1, 2, 3]


def test_append_to_nothing_or_to_a_hidden_one(store: Datastore, conversation: Conversation) -> None:
    store.conversations.soft_delete(conversation.id)
    for id in (conversation.id, "nobody"):
        with pytest.raises(NotFoundError):
            store.messages.append(id, role="user", content="a")
        with pytest.raises(NotFoundError):
            store.messages.append_many(id, [NewMessage(role="user", content="a")])


def test_pages_forwards_and_backwards(store: Datastore, numbered: Conversation) -> None:
    list = store.messages.list
    first = list(numbered.id, max_rows=3)
    second = list(numbered.id, after=first.next, max_rows=3)
    third = list(numbered.id, after=second.next, max_rows=3)
    assert [contents(page) for page in (first, second, third)] == [["1", "2", "3"], ["4", "5", "6"], ["7"]]
    assert third.next is None
    last = list(numbered.id, last=True, max_rows=3)
    back = list(numbered.id, before=last.previous, max_rows=3)
    assert (contents(last), contents(back)) == (["5", "6", "7"], ["2", "3", "4"])
    assert last.next is None
    assert contents(list(numbered.id, after=back.next, max_rows=3)) == ["5", "6", "7"]
    assert contents(list(numbered.id, before=first.previous)) == []
    assert len(list("nobody")) == 0


def test_a_page_read_to_its_end_goes_on_when_more_comes(store: Datastore, numbered: Conversation) -> None:
    page = store.messages.list(numbered.id, max_rows=6)
    store.messages.append(numbered.id, role="user", content="8")
    assert contents(store.messages.list(numbered.id, after=page.next)) == ["7", "8"]


@pytest.mark.parametrize("max_rows", [0, -1, 1001, True, 1.5, "5", None])
def test_a_page_has_1_to_1000_rows(store: Datastore, conversation: Conversation, max_rows: Any) -> None:
    with pytest.raises(InvalidValueError, match="max_rows"):
        store.messages.list(conversation.id, max_rows=max_rows)


def test_after_and_before_together_are_refused(store: Datastore, numbered: Conversation) -> None:
    page = store.messages.list(numbered.id, max_rows=2)
    with pytest.raises(InvalidValueError):
        store.messages.list(numbered.id, after=page.next, before=page.previous)


def test_a_time_range(store: Datastore, numbered: Conversation) -> None:
    # Later messages were said earlier: 6 and 7 at second 8, 3 to 5 at 9, 1 and 2 at 10.
    def among(**range: Any) -> set[str]:
        return set(contents(store.messages.list_by_time(numbered.id, **range)))

    assert among(created_from=START + timedelta(seconds=9)) == {"1", "2", "3", "4", "5"}
    assert among(created_before=START + timedelta(seconds=9)) == {"6", "7"}
    assert among(created_from=START + timedelta(seconds=9), created_before=START + timedelta(seconds=10)) == set("345")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.integers(0, 2), min_size=1, max_size=12), size=st.integers(1, 5))
def test_equal_times_lose_and_repeat_nothing(store: Datastore, seconds: list[int], size: int) -> None:
    id = store.conversations.add(sanitization_version="1").id
    store.messages.append_many(
        id, [NewMessage(role="user", content="x", created_at=START + timedelta(seconds=s)) for s in seconds]
    )
    expected = sorted(store.messages.list(id), key=lambda message: (message.created_at, message.id))
    found: list[Message] = []
    page: Page[Message] = store.messages.list_by_time(id, max_rows=size)
    found.extend(page)
    while page.next:
        page = store.messages.list_by_time(id, after=page.next, max_rows=size)
        found.extend(page)
        assert len(found) <= len(seconds)
    assert found == expected
    back = list(page)
    while page.previous and len(page):
        page = store.messages.list_by_time(id, before=page.previous, max_rows=size)
        back[:0] = page.items
        assert len(back) <= len(seconds)
    assert back == expected


@pytest.mark.parametrize(
    ("budget", "expected"), [(0, []), (6, []), (7, ["7"]), (12, ["7"]), (13, ["6", "7"]), (28, list("1234567"))]
)
def test_the_latest_within_a_budget(store: Datastore, numbered: Conversation, budget: int, expected: list[str]) -> None:
    assert contents(store.messages.latest(numbered.id, max_tokens=budget)) == expected


def test_the_latest_are_at_most_max_rows(store: Datastore, numbered: Conversation) -> None:
    assert contents(store.messages.latest(numbered.id, max_tokens=1000, max_rows=2)) == ["6", "7"]
    # 5 does not fit, so the smaller ones before it are not taken either.
    assert contents(store.messages.latest(numbered.id, max_tokens=17)) == ["6", "7"]


def test_the_count_is_right_whoever_writes(store: Datastore, numbered: Conversation, raw: sqlite3.Connection) -> None:
    raw.execute(
        "INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)"
        " SELECT 'raw', conversation_id, 20, role, content, content_hash, 1, created_at FROM messages WHERE position = 1"
    )
    assert store.messages.count(numbered.id) == store.conversations.get(numbered.id).message_count == 8
    assert store.messages.append(numbered.id, role="user", content="x").position == 21
    raw.execute("DELETE FROM messages WHERE position < 4")
    assert store.messages.count(numbered.id) == store.messages.count() == 6
    with pytest.raises(NotFoundError):
        store.messages.count("nobody")


def test_update_replaces_metadata(store: Datastore, conversation: Conversation) -> None:
    message = store.messages.append(conversation.id, role="user", content="a", metadata={"a": 1, "b": 2})
    assert store.messages.update(message.id, metadata={"c": 3}).metadata == {"c": 3}
    assert store.messages.get(message.id).content == "a"


def test_redact_replaces_the_text_and_tells_the_audit(store: Datastore, conversation: Conversation, path: Path) -> None:
    message = store.messages.append(conversation.id, role="user", content="the password is swordfish")
    redacted = store.messages.redact(message.id, content="the password is [secret]", reason="a password", merge=True)
    assert redacted.content == store.messages.get(message.id).content == "the password is [secret]"
    assert redacted.content_hash == hashlib.sha256(redacted.content.encode()).hexdigest()
    assert redacted.position == message.position
    entry = store.audit.list().items[0]
    assert (entry.action, entry.subject_type, entry.subject_id) == ("redact", "message", message.id)
    assert "swordfish" not in repr(store.audit.list().items)
    store.engine.checkpoint()
    assert b"swordfish" not in path.read_bytes()


def test_a_redaction_that_does_not_merge_is_finished_by_one_that_does(
    store: Datastore, conversation: Conversation, path: Path
) -> None:
    messages = [store.messages.append(conversation.id, role="user", content=f"swordfish{n}") for n in range(3)]
    for message in messages[:2]:
        store.messages.redact(message.id, content="gone")
        assert not store.messages.search(f'"{message.content}"').items
    store.engine.checkpoint()
    assert b"wordfish" in path.read_bytes(), "or the merge below shows nothing"
    store.messages.redact(messages[2].id, content="gone", merge=True)
    store.engine.checkpoint()
    assert b"wordfish" not in path.read_bytes()


def test_a_deleted_message_leaves_a_gap(store: Datastore, numbered: Conversation) -> None:
    last = store.messages.list(numbered.id).items[-1]
    store.messages.delete(last.id, reason="asked for")
    assert store.messages.find(last.id) is None
    assert store.messages.append(numbered.id, role="user", content="8").position == 8
    assert store.messages.count(numbered.id) == 7
    assert store.audit.list().items[0].action == "delete"


def test_unknown_ids(store: Datastore) -> None:
    messages = store.messages
    assert messages.find("nobody") is None
    for use in (
        lambda: messages.get("nobody"),
        lambda: messages.update("nobody", metadata={}),
        lambda: messages.redact("nobody", content="x"),
        lambda: messages.delete("nobody"),
    ):
        with pytest.raises(NotFoundError):
            use()
    assert not store.audit.list().items


# append builds its record from what it was given and the position; it must be what get reads back.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXT, parts, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=TEXT.filter(bool),
    metadata=st.none() | st.dictionaries(TEXT, JSON | st.tuples(JSON, JSON), max_size=3),
    created_at=st.none()
    | st.datetimes(
        min_value=datetime(2, 1, 1),
        max_value=datetime(9998, 1, 1),
        timezones=st.timezones() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    ),
    token_count=st.none() | st.integers(0, 2**62),
)
def test_an_append_gives_back_what_is_stored(
    store: Datastore,
    conversation: Conversation,
    content: str,
    metadata: Any,
    created_at: datetime | None,
    token_count: int | None,
) -> None:
    message = store.messages.append(
        conversation.id, role="user", content=content, metadata=metadata, created_at=created_at, token_count=token_count
    )
    stored = store.messages.get(message.id)
    assert message == stored
    assert message.created_at.utcoffset() == timedelta(0)
    assert repr(message) == repr(stored)


def test_an_append_with_a_boolean_or_a_whole_float_gives_back_the_stored_integer(
    store: Datastore, conversation: Conversation
) -> None:
    for count in (True, 3.0):
        message = store.messages.append(conversation.id, role="user", content="x", token_count=count)  # type: ignore[arg-type]
        assert repr(message) == repr(store.messages.get(message.id))
