"""The record of *conversations*."""

from __future__ import annotations

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
