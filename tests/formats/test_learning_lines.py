"""Learnings as JSON lines: fields, mapping, each bad kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datastore.errors import InvalidValueError
from datastore.formats import ImportedLearning, read_learning


def line(**keys: Any) -> str:
    return json.dumps({"title": "T", "content": "C", "category": "k", **keys})


def test_every_field() -> None:
    found = read_learning(
        line(
            tags=["b", "a", "b"],
            confidence=1,
            conversation_id="c",
            message_positions=[4, 5],
            message_ids=["m"],
            path="p",
        )
    )
    assert found == ImportedLearning(
        title="T",
        content="C",
        category="k",
        tags=("a", "b"),
        confidence=1.0,
        conversation_id="c",
        message_positions=(4, 5),
        message_ids=("m",),
        metadata={"path": "p"},
    )


def test_fields_by_another_name() -> None:
    found = read_learning('{"title": "T", "content": "C", "topic": "ack", "path": "p"}', {"category": "topic"})
    assert (found.category, found.metadata) == ("ack", {"path": "p"})
    swapped = read_learning(line(), {"title": "content", "content": "title"})
    assert (swapped.title, swapped.content) == ("C", "T")
    displaced = read_learning(line(topic="t"), {"category": "topic"})
    assert (displaced.category, displaced.metadata) == ("t", {"file_category": "k"})


def test_a_field_that_a_learning_has_not() -> None:
    with pytest.raises(InvalidValueError, match="no field topic"):
        read_learning(line(), {"topic": "category"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (line(confidence=float("nan")), "NaN"),
        (line(confidence=1.01), "confidence: must be a number from 0 to 1"),
        (line(confidence=10**400), "confidence: must be a number from 0 to 1"),
        (line(confidence=True), "confidence: must be a number from 0 to 1"),
        (line(title=""), "title: must not be empty"),
        (line(title="t" * 1001), "title: 1001 characters"),
        (line(content=None), "content: is missing"),
        (line(content="c" * 1_048_577), "content: 1048577 bytes"),
        (line(category=None), "category: is missing"),
        (line(tags="a"), "tags: must be a list"),
        (line(tags=[""]), "tags: each must have"),
        (line(tags=[1]), "tags: expected text"),
        (line(message_positions=[0]), "message_positions: must be an integer"),
        (line(message_ids=[None]), "message_ids: expected text"),
        (line(created_at="2026-01-06"), "no offset"),
    ],
)
def test_a_bad_line(text: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        read_learning(text)
