"""What a file holds, before it is stored: conversations, learnings, and lines that are bad."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from datastore.records import Role


@attrs.frozen(kw_only=True)
class ImportedMessage:
    """One message of a file, checked: the database would keep it as it is."""

    role: Role
    #: 1 byte to 1 MiB of UTF-8.
    content: str
    #: None: the importer makes ``CONVERSATION_ID:POSITION``.
    id: str | None = None
    #: None: the place after the message before. Positions of one conversation ascend.
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
    #: None: of no conversation; the importer decides.
    conversation_id: str | None = None
    #: The messages it came from, by position (1, 2, ...) or by id.
    message_positions: tuple[int, ...] = ()
    message_ids: tuple[str, ...] = ()
    id: str | None = None
    dedupe_key: str | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC; so are all times.
    created_at: datetime | None = None
    updated_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ImportedConversation:
    """One conversation of a file, or one piece of a long one."""

    id: str
    session_id: str | None = None
    correlation_id: str | None = None
    #: None: the file does not say; the importer decides.
    source: str | None = None
    title: str | None = None
    sanitization_version: str | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC; so are all times.
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    #: The highest position ever given out, where the file says it: the last message may have been deleted.
    last_position: int | None = None
    messages: tuple[ImportedMessage, ...] = ()
    learnings: tuple[ImportedLearning, ...] = ()
    #: True: a piece of a conversation of which this file gave an earlier piece; its messages follow.
    continued: bool = False


@attrs.frozen
class BadLine:
    """A line, or one element of an array, that cannot be imported."""

    file: str
    #: 1, 2, 3, ...
    line: int
    #: What is wrong; never holds text of the file.
    reason: str
