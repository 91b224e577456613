"""The items of a file before they are stored: conversations, learnings, and what cannot or need not be stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

import attrs

from datastore.records import Role
from datastore.records.parts import Part

#: The value of `ImportedMessage.parent` for a message that begins its conversation.
ROOT = ""


@attrs.frozen(kw_only=True)
class ImportedMessage:
    """One message of a file, checked: it can be stored unchanged."""

    role: Role
    #: The text that people read; derived from *parts* if they are given.
    content: str
    #: Empty: plain text.
    parts: tuple[Part, ...] = ()
    #: The message's id in the file; unique within its conversation only. None: the file gives none.
    id: str | None = None
    #: The *id* of the message that this one follows, earlier in the file or already stored; `ROOT`: it begins the
    #: conversation. None: it follows the previous message of the file.
    parent: str | None = None
    #: The id that it had where it came from before it was exported.
    source_id: str | None = None
    #: Whether it was unfinished when it was exported.
    partial: bool = False
    #: Its branch and its position there, if the file says so: an export of this library does.
    branch: int | None = None
    position: int | None = None
    token_count: int | None = None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Aware, UTC.
    created_at: datetime | None = None
    #: Its line in the file; 0: that of its conversation.
    line: int = 0


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
class ImportedBranch:
    """A branch as an export of this library describes it."""

    #: 1, 2, 3, ...; every conversation has branch 0.
    branch: int
    #: The branch that owns the last shared message.
    parent_branch: int
    #: The position of the last shared message; 0: none is shared.
    fork_position: int
    #: The highest position ever assigned on it.
    last_position: int | None = None
    label: str | None = None
    created_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ImportedConversation:
    """One conversation of a file, or one piece of a long conversation.

    The messages are a list, or a tree if they name their parents: each message comes after its parent.
    """

    id: str
    session_id: str | None = None
    correlation_id: str | None = None
    #: None: not in the file; the importer uses the format's name.
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
    #: The id of the last message of the branch that the person saw last; None: the last message of *messages*.
    current: str | None = None
    #: The branches, if the file states them; messages then have *branch* and *position*.
    branches: tuple[ImportedBranch, ...] = ()
    active_branch: int | None = None
    last_branch: int | None = None
    learnings: tuple[ImportedLearning, ...] = ()
    #: True: this continues a conversation of which the file had an earlier piece.
    continued: bool = False


@attrs.frozen
class BadLine:
    """A record, or a part of one, that cannot be stored: a line, an element of an array, a message."""

    file: str
    #: 1, 2, 3, ...
    line: int
    #: What is wrong; never contains text from the file.
    reason: str


@attrs.frozen
class Ignored:
    """A record without anything that a person or a model said; it is counted by its kind and not stored."""

    #: What it is: "progress", "file-history-snapshot".
    kind: str


Item: TypeAlias = ImportedConversation | ImportedLearning | BadLine | Ignored
