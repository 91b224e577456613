"""The record of *conversations*, stored and new."""

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
    #: The caller's own key; unique if given.
    correlation_id: str | None
    #: Its origin: "web", "ide", a file's format.
    source: str
    title: str | None
    #: The version of the sanitization that the text went through.
    sanitization_version: str
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Number of messages stored now, on all branches.
    message_count: int
    #: The highest position ever assigned to a message of branch 0; 0 before the first.
    last_position: int
    #: The branch that calls without a branch read and append to.
    active_branch: int
    #: The highest number ever given to a branch; 0 if there never was a fork.
    last_branch: int
    #: Aware, UTC, like all times.
    created_at: datetime
    #: The last change of this row or the last message, whichever is later.
    updated_at: datetime
    completed_at: datetime | None
    #: When it was soft-deleted; hidden from lists and search since then.
    deleted_at: datetime | None


@attrs.frozen(kw_only=True)
class NewConversation:
    """A conversation to store, for `ConversationRepository.add_many`."""

    #: The version of the sanitization that the text went through; 1 to 100 characters.
    sanitization_version: str
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
    #: Groups conversations; 1 to 200 characters.
    session_id: str | None = None
    #: The caller's own key, unique if given; 1 to 200 characters.
    correlation_id: str | None = None
    #: Its origin; 1 to 200 characters.
    source: str = "application"
    #: At most 1000 characters.
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    #: Aware, like all times; None: the time of the transaction.
    created_at: datetime | None = None
    #: None: *created_at*.
    updated_at: datetime | None = None
    #: None: it is not completed.
    completed_at: datetime | None = None
