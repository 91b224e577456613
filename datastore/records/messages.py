"""The record of *messages*, stored and new."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from datastore.records.vectors import Vector

Role = Literal["user", "assistant", "system", "tool"]


@attrs.frozen(kw_only=True)
class Message:
    """One row of *messages*."""

    id: str
    conversation_id: str
    #: Position in the conversation: 1, 2, 3, ... A deleted message leaves a gap.
    position: int
    role: Role
    #: Sanitized text, 1 byte to 1 MiB of UTF-8.
    content: str
    #: SHA-256 of the content's UTF-8, lower-case hex.
    content_hash: str
    #: The caller's count, or an estimate: one token per 4 bytes of UTF-8, rounded up.
    token_count: int
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime


@attrs.frozen(kw_only=True)
class MessageKey:
    """The fields that show whether a message of a file is already stored."""

    id: str
    position: int
    role: Role
    content_hash: str


@attrs.frozen(kw_only=True)
class NewMessage:
    """A message to append, for `MessageRepository.append_many`."""

    role: Role
    #: Sanitized text, 1 byte to 1 MiB of UTF-8.
    content: str
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
    #: None: one token per 4 bytes of UTF-8, rounded up.
    token_count: int | None = None
    metadata: Mapping[str, Any] | None = None
    #: Aware; None: the time of the transaction.
    created_at: datetime | None = None
    #: The vector of its content; None: it is made later.
    vector: Vector | None = attrs.field(default=None, eq=False, repr=False)
    #: Whether the function of the store makes its vector before it is stored.
    embed_now: bool = False

    @property
    def embedded_text(self) -> str:
        """The text that its vector is of."""
        return self.content
