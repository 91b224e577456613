"""The chat JSON-lines format: one conversation per line, an extension of OpenAI's fine-tuning format.

``{"id": "c1", "messages": [{"role": "user", "content": "Hello"}], "metadata": {}}``; every stored
field of a conversation, a message or a learning may be added under its own name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.items import ImportedConversation, ImportedLearning, ImportedMessage
from datastore.formats.learnings import learning_of
from datastore.records import Branch, Conversation, Learning, Message, Role
from datastore.records.parts import encode_parts

ROLES: Mapping[str, Role] = {
    "user": "user", "assistant": "assistant", "system": "system", "tool": "tool",
    "developer": "system", "function": "tool",
}  # fmt: skip

CONVERSATION_KEYS = frozenset(
    {
        "id", "session_id", "correlation_id", "source", "title", "sanitization_version", "metadata",
        "created_at", "updated_at", "completed_at", "deleted_at", "last_position", "messages", "learnings",
    }
)  # fmt: skip
MESSAGE_KEYS = frozenset({"id", "position", "role", "content", "token_count", "metadata", "created_at"})


def read_chat(text: str) -> ImportedConversation:
    """Read one line of chat.

    A line without an id gets one derived from its SHA-256, so it is stable. Unknown keys are stored in the metadata.

    Raises:
        InvalidValueError: The line is invalid; the message says why, without quoting the line.
    """
    data = read.parse_object(text)
    lines = data.get("messages")
    if not isinstance(lines, list):
        raise InvalidValueError("messages: must be a list")
    id = read.optional_text(data, "id", longest=200) or _line_id(data)
    messages = _messages(lines)
    learnings = read.as_list(data, "learnings")
    return ImportedConversation(
        id=id,
        session_id=read.optional_text(data, "session_id", longest=200),
        correlation_id=read.optional_text(data, "correlation_id", longest=200),
        source=read.optional_text(data, "source", longest=200),
        title=read.optional_text(data, "title", longest=1000, may_be_empty=True),
        sanitization_version=read.optional_text(data, "sanitization_version", longest=100),
        metadata=read.read_metadata(data, CONVERSATION_KEYS),
        created_at=read.optional_time(data, "created_at"),
        updated_at=read.optional_time(data, "updated_at"),
        completed_at=read.optional_time(data, "completed_at"),
        deleted_at=read.optional_time(data, "deleted_at"),
        last_position=read.optional_integer(data, "last_position", "", 0),
        messages=messages,
        learnings=tuple(_learning(part, f"learnings[{number}].", id) for number, part in enumerate(learnings, 1)),
    )


def _line_id(data: Mapping[str, Any]) -> str:
    try:
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise InvalidValueError("not JSON that can be stored: nested too deeply") from None
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _messages(lines: list[Any]) -> tuple[ImportedMessage, ...]:
    messages: list[ImportedMessage] = []
    ids: set[str] = set()
    last = 0
    for number, part in enumerate(lines, 1):
        message = _message(part, f"messages[{number}].")
        position = last + 1 if message.position is None else message.position
        if position <= last:
            raise InvalidValueError(f"messages[{number}].position: must be greater than the previous one")
        if message.id is not None and message.id in ids:
            raise InvalidValueError(f"messages[{number}].id: another message of this conversation has the same id")
        if message.id is not None:
            ids.add(message.id)
        last = position
        messages.append(message)
    return tuple(messages)


def _message(data: Any, where: str) -> ImportedMessage:
    if not isinstance(data, dict):
        raise InvalidValueError(f"{where[:-1]}: must be a JSON object")
    content, metadata, known = data.get("content"), {}, MESSAGE_KEYS
    if content is None:
        for calls in ("tool_calls", "function_call"):
            if data.get(calls):
                content, metadata, known = read.compact(data[calls]), {"tool_calls": True}, known | {calls}
                break
    elif isinstance(content, list):
        content = _joined_parts(content, f"{where}content")
    if content is None:
        raise InvalidValueError(f"{where}content: is missing")
    return ImportedMessage(
        role=_role(data, where),
        content=read.check_content(content, f"{where}content"),
        id=read.optional_text(data, "id", where, 200),
        position=read.optional_integer(data, "position", where, 1),
        token_count=read.optional_integer(data, "token_count", where, 0),
        metadata={**read.read_metadata(data, known, where), **metadata},
        created_at=read.optional_time(data, "created_at", where),
    )


def _role(data: Mapping[str, Any], where: str) -> Role:
    role = data.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidValueError(f"{where}role: must be one of {', '.join(ROLES)}")
    return ROLES[role]


def _joined_parts(parts: list[Any], name: str) -> str:
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    if not all(isinstance(text, str) or text is None for text in texts):
        raise InvalidValueError(f"{name}: the text of a part must be a string")
    return "\n".join(cast("list[str]", [text for text in texts if text]))


def _learning(data: Any, where: str, conversation_id: str) -> ImportedLearning:
    if not isinstance(data, dict):
        raise InvalidValueError(f"{where[:-1]}: must be a JSON object")
    return learning_of(data, where, conversation_id)


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
