"""The record of *messages*, stored and new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs

from datastore.records.parts import Part, text_of
from datastore.records.vectors import Vector

Role = Literal["user", "assistant", "system", "tool"]


@attrs.frozen(kw_only=True)
class Message:
    """One row of *messages*."""

    id: str
    conversation_id: str
    #: The branch that it was appended to; branches that fork after it share it.
    branch: int
    #: Position on the branch: 1, 2, 3, ... A deleted message leaves a gap.
    position: int
    role: Role
    #: Sanitized text, at most 1 MiB of UTF-8. With *parts*, their text; only then, or while it is partial, it may be empty.
    content: str
    #: SHA-256 in lower-case hex: see `datastore.records.parts.hash_of`.
    content_hash: str
    #: The caller's count, or an estimate: one token per 4 bytes of UTF-8, rounded up.
    token_count: int
    #: Tool calls, images, ...; None for a message of plain text.
    parts: tuple[Part, ...] | None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime
    #: The id that it has where it was imported from; unique on its branch.
    source_id: str | None
    #: Whether it is still being written: see `MessageRepository.begin`.
    partial: bool


@attrs.frozen(kw_only=True)
class MessageKey:
    """The fields that show whether a message of a file is already stored."""

    id: str
    branch: int
    position: int
    role: Role
    content_hash: str
    source_id: str | None


@attrs.frozen(kw_only=True)
class NewMessage:
    """A message to append, for `MessageRepository.append_many`."""

    role: Role
    #: Sanitized text, 1 byte to 1 MiB of UTF-8. None: the text of *parts*.
    content: str | None = None
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
    #: None: one token per 4 bytes of UTF-8, rounded up.
    token_count: int | None = None
    metadata: Mapping[str, Any] | None = None
    #: Aware; None: the time of the transaction.
    created_at: datetime | None = None
    #: What it consists of, instead of *content*.
    parts: Sequence[Part] | None = None
    #: The id that it has where it was imported from, 1 to 200 characters; unique on its branch.
    source_id: str | None = None
    #: Whether it is still being written; `MessageRepository.begin` appends such a message.
    partial: bool = False
    #: The vector of its content; None: it is made later.
    vector: Vector | None = attrs.field(default=None, eq=False, repr=False)
    #: Whether the function of the store makes its vector before it is stored.
    embed_now: bool = False

    @property
    def embedded_text(self) -> str:
        """The text that its vector is of."""
        return text_of(self.parts or ()) if self.content is None else self.content
