"""The chat JSON-lines format: reading, each bad kind, and a lossless round trip."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import InvalidValueError
from datastore.formats import BadLine, ImportedConversation, read_chat, write_chat
from datastore.records import Conversation, Learning, Message
from tests.formats.samples import items


def line(*messages: Any, **keys: Any) -> str:
    return json.dumps({"id": "c", "messages": list(messages), **keys})


def message(**keys: Any) -> dict[str, Any]:
    return {"role": "user", "content": "Hello", **keys}


def test_a_line_with_every_kind_of_message() -> None:
    found = read_chat(
        line(
            message(role="developer"),
            message(
                content=["a", {"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "u"}}],
                name="Ann",
            ),
            message(
                role="assistant", content=None, tool_calls=[{"id": "t", "function": {"name": "f", "arguments": "{}"}}]
            ),
            message(role="assistant", content="", refusal="no"),
            message(role="function", content="42", tool_call_id="t", created_at="2026-01-06T10:00:00+01:00"),
            message(role="tool", content="", tool_call_id="t"),
            metadata={"a": 1},
            dataset="sgd",
        )
    )
    assert [(part.role, part.content, [piece.type for piece in part.parts or ()]) for part in found.messages] == [
        ("system", "Hello", []),
        ("user", "a\n\nb", ["text", "text", "image"]),
        ("assistant", "f {}", ["tool_call"]),
        ("assistant", "no", ["refusal"]),
        ("tool", "42", ["tool_result"]),
        ("tool", "", ["tool_result"]),
    ]
    assert found.messages[1].metadata == {"name": "Ann"}
    assert found.messages[4].created_at == datetime(2026, 1, 6, 9, tzinfo=timezone.utc)
    assert found.metadata == {"a": 1, "dataset": "sgd"}


def test_a_line_without_id_has_the_same_id_each_time() -> None:
    first = read_chat('{"messages": [{"role": "user", "content": "a"}], "x": 1}')
    again = read_chat('{"x":1,"messages":[{"content":"a","role":"user"}]}')
    other = read_chat('{"messages": [{"role": "user", "content": "b"}]}')
    assert first.id == again.id != other.id
    assert first.messages[0].id is None
    assert read_chat(line(id=7)).id == "7"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON"),
        ('{"id": "c", "messages": [], "metadata": {"a": NaN}}', "NaN"),
        ('{"id": "c"}', "messages: must be a list"),
    ],
)
def test_a_line_without_messages_is_an_error_that_quotes_nothing(text: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        read_chat(text)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (1, r"messages\[2\]: expected a JSON object"),
        (message(role="robot"), r"messages\[2\]: role"),
        (message(role=["user"]), "role"),
        (message(content=5), "content: must be text"),
        (message(content=[{"type": "text", "text": 5}]), "the text of a block"),
        (message(content="é" * 524_289), "1048578 bytes"),
        (message(content="secret\0"), "NUL"),
        (message(content="secret\ud800"), "lone surrogate"),
        (message(position=1), "position: must be greater"),
        (message(position=True), "position: must be an integer"),
        (message(id="m", position=9), "another message"),
    ],
)
def test_a_bad_message_costs_only_itself(spoilt: Any, reason: str) -> None:
    text = line(message(id="m", position=1), spoilt, message(content="last"))
    [(_, found), (_, reported)] = items(text, "chat")
    assert isinstance(found, ImportedConversation)
    assert [part.content for part in found.messages] == ["Hello", "last"]
    assert isinstance(reported, BadLine)
    assert re.search(reason, reported.reason), reported.reason
    assert "secret" not in reported.reason


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"metadata": {"a": "\ud800"}}, "metadata: .*lone surrogate"),
        ({"metadata": []}, "metadata: must be a JSON object"),
        ({"session_id": ["x"]}, "session_id: expected text"),
        ({"source": "c" * 201}, "source: 201 characters"),
        ({"created_at": "yesterday"}, "created_at: must be a time such as"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "outside years"),
        ({"learnings": [{"title": "t"}]}, r"learnings\[1\].content: is missing"),
        ({"learnings": {}}, "learnings: must be a list"),
    ],
)
def test_a_bad_field_costs_only_itself(keys: dict[str, Any], reason: str) -> None:
    text = line(message(), **keys)
    [(_, found), (_, reported)] = items(text, "chat")
    assert isinstance(found, ImportedConversation)
    assert [part.content for part in found.messages] == ["Hello"]
    assert isinstance(reported, BadLine)
    assert re.search(reason, reported.reason), reported.reason


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
times = st.datetimes(timezones=st.just(timezone.utc))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(words, part, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, json_values, max_size=3)
counts = st.integers(0, 2**63 - 1)


@st.composite
def stored(draw: st.DrawFn) -> tuple[Conversation, list[Message], list[tuple[Learning, list[str]]]]:
    positions = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    conversation = Conversation(
        id=draw(words),
        session_id=draw(st.none() | words),
        correlation_id=draw(st.none() | words),
        source=draw(words),
        title=draw(st.none() | words | st.just("")),
        sanitization_version=draw(words),
        metadata=draw(objects),
        message_count=len(positions),
        last_position=max(positions, default=0),
        active_branch=0,
        last_branch=0,
        created_at=draw(times),
        updated_at=draw(times),
        completed_at=draw(st.none() | times),
        deleted_at=draw(st.none() | times),
    )
    messages = [
        Message(
            id=f"m{position}",
            conversation_id=conversation.id,
            branch=0,
            position=position,
            role=draw(st.sampled_from(["user", "assistant", "system", "tool"])),
            content=draw(words),
            content_hash="0" * 64,
            token_count=draw(counts),
            parts=None,
            metadata=draw(objects),
            created_at=draw(times),
            source_id=None,
            partial=False,
        )
        for position in positions
    ]
    learnings = [
        (
            Learning(
                id=f"l{number}",
                conversation_id=conversation.id,
                category=draw(words),
                title=draw(words),
                content=draw(words),
                confidence=draw(st.floats(0, 1)),
                tags=tuple(sorted(draw(st.sets(words, max_size=3)))),
                dedupe_key=draw(words),
                metadata=draw(objects),
                created_at=draw(times),
                updated_at=draw(times),
                deleted_at=conversation.deleted_at,
            ),
            [part.id for part in messages[:number]],
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    return conversation, messages, learnings


@given(stored())
def test_what_is_written_reads_back_without_loss(
    everything: tuple[Conversation, list[Message], list[tuple[Learning, list[str]]]],
) -> None:
    conversation, messages, learnings = everything
    text = write_chat(conversation, messages, learnings)
    assert "\n" not in text
    found = read_chat(text)
    for name in (
        "id", "session_id", "correlation_id", "source", "title", "sanitization_version", "metadata",
        "created_at", "updated_at", "completed_at", "deleted_at",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(conversation, name), name
    for read, message in zip(found.messages, messages, strict=True):
        for name in ("id", "position", "role", "content", "token_count", "metadata", "created_at"):
            assert getattr(read, name) == getattr(message, name), name
    for taken, (learning, message_ids) in zip(found.learnings, learnings, strict=True):
        assert taken.message_ids == tuple(message_ids)
        for name in (
            "id", "conversation_id", "category", "title", "content", "confidence", "tags", "dedupe_key",
            "metadata", "created_at", "updated_at",
        ):  # fmt: skip
            assert getattr(taken, name) == getattr(learning, name), name
