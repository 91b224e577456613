"""The record of *conversations*, and what a conversation is before it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Conversation:
    """One row of *conversations*."""

    id: str
    session_id: str | None
    #: The caller's own key, unique where given.
    correlation_id: str | None
    #: Where it came from: "web", "ide", a file's format.
    source: str
    title: str | None
    #: Which sanitization the text went through.
    sanitization_version: str
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Messages stored now.
    message_count: int
    #: The highest position ever given to a message; 0 before the first.
    last_position: int
    #: Aware, UTC; so are all times.
    created_at: datetime
    #: Last change of this row, or last message, whichever is later.
    updated_at: datetime
    completed_at: datetime | None
    #: Soft deletion: hidden from lists and search since then.
    deleted_at: datetime | None


@attrs.frozen(kw_only=True)
class NewConversation:
    """A conversation to store: what `ConversationRepository.add_many` takes."""

    #: Which sanitization the text went through; 1 to 100 characters.
    sanitization_version: str
    #: None: a new time-ordered UUID.
    id: str | None = None
    #: Groups conversations; 1 to 200 characters.
    session_id: str | None = None
    #: The caller's own key, unique where given; 1 to 200 characters.
    correlation_id: str | None = None
    #: Where it came from; 1 to 200 characters.
    source: str = "application"
    #: At most 1000 characters.
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    #: Aware, as all times; None: the instant of the transaction.
    created_at: datetime | None = None
    #: None: *created_at*.
    updated_at: datetime | None = None
    #: None: it is not over.
    completed_at: datetime | None = None
