"""Writes a conversation as one line of the chat JSON-lines format, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from datastore import values
from datastore.formats import fields as read
from datastore.records import Branch, Conversation, Learning, Message
from datastore.records.parts import encode_parts


def write_chat(
    conversation: Conversation,
    messages: Iterable[Message],
    learnings: Iterable[tuple[Learning, Sequence[str]]] = (),
    branches: Iterable[Branch] = (),
) -> str:
    """Write one conversation as one line, without the newline; `read_chat` restores every stored field.

    Args:
        conversation: May be soft-deleted; *deleted_at* is written.
        messages: All of its messages, ordered by branch and position.
        learnings: Its learnings, each with the ids of its source messages.
        branches: Its branches; branch 0 is not written.
    """
    line = _without_none(
        {
            "id": conversation.id,
            "session_id": conversation.session_id,
            "correlation_id": conversation.correlation_id,
            "source": conversation.source,
            "title": conversation.title,
            "sanitization_version": conversation.sanitization_version,
            "metadata": conversation.metadata,
            "created_at": _time(conversation.created_at),
            "updated_at": _time(conversation.updated_at),
            "completed_at": _time(conversation.completed_at),
            "deleted_at": _time(conversation.deleted_at),
            "last_position": conversation.last_position,
            "active_branch": conversation.active_branch or None,
            "last_branch": conversation.last_branch or None,
        }
    )
    if written_branches := [_written_branch(branch) for branch in branches if branch.branch]:
        line["branches"] = written_branches
    line["messages"] = [_written_message(message) for message in messages]
    written = [_written_learning(learning, message_ids) for learning, message_ids in learnings]
    if written:
        line["learnings"] = written
    return read.compact(line)


def _written_branch(branch: Branch) -> dict[str, Any]:
    return _without_none(
        {
            "branch": branch.branch,
            "parent_branch": branch.parent_branch,
            "fork_position": branch.fork_position,
            "last_position": branch.last_position,
            "created_at": _time(branch.created_at),
            "label": branch.label,
        }
    )


def _written_message(message: Message) -> dict[str, Any]:
    return _without_none(
        {
            "id": message.id,
            "branch": message.branch or None,
            "position": message.position,
            "role": message.role,
            "content": message.content,
            "parts": None if message.parts is None else encode_parts(message.parts),
            "token_count": message.token_count,
            "metadata": message.metadata,
            "created_at": _time(message.created_at),
            "source_id": message.source_id,
            "partial": message.partial or None,
        }
    )


def _written_learning(learning: Learning, message_ids: Sequence[str]) -> dict[str, Any]:
    return {
        "id": learning.id,
        "category": learning.category,
        "title": learning.title,
        "content": learning.content,
        "confidence": learning.confidence,
        "tags": list(learning.tags),
        "message_ids": list(message_ids),
        "dedupe_key": learning.dedupe_key,
        "metadata": learning.metadata,
        "created_at": _time(learning.created_at),
        "updated_at": _time(learning.updated_at),
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else values.encode_timestamp(value)


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
