"""The items of a file before they are stored: conversations, learnings and invalid lines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from datastore.records import Role


@attrs.frozen(kw_only=True)
class ImportedMessage:
    """One message of a file, checked: it can be stored unchanged."""

    role: Role
    #: 1 byte to 1 MiB of UTF-8.
    content: str
    #: None: the importer uses ``CONVERSATION_ID:POSITION``.
    id: str | None = None
    #: None: the position after the previous message. Positions in a conversation ascend.
    position: int | None = None
    token_count: int | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC.
    created_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ImportedLearning:
    """One learning of a file, checked."""

    #: 1 to 1000 characters.
    title: str
    #: 1 byte to 1 MiB of UTF-8.
    content: str
    category: str
    #: Distinct, sorted.
    tags: tuple[str, ...] = ()
    #: 0 to 1.
    confidence: float = 1.0
    #: None: the file names no conversation; the importer chooses one.
    conversation_id: str | None = None
    #: Its source messages, by position (1, 2, ...) or by id.
    message_positions: tuple[int, ...] = ()
    message_ids: tuple[str, ...] = ()
    id: str | None = None
    dedupe_key: str | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC, like all times.
    created_at: datetime | None = None
    updated_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ImportedConversation:
    """One conversation of a file, or one piece of a long conversation."""

    id: str
    session_id: str | None = None
    correlation_id: str | None = None
    #: None: not in the file; the importer chooses one.
    source: str | None = None
    title: str | None = None
    sanitization_version: str | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC, like all times.
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    #: The highest position ever assigned, if the file states it: the last message may have been deleted.
    last_position: int | None = None
    messages: tuple[ImportedMessage, ...] = ()
    learnings: tuple[ImportedLearning, ...] = ()
    #: True: this continues a conversation of which the file had an earlier piece.
    continued: bool = False


@attrs.frozen
class BadLine:
    """A line, or an element of an array, that cannot be imported."""

    file: str
    #: 1, 2, 3, ...
    line: int
    #: What is wrong; never contains text from the file.
    reason: str
