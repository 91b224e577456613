"""The record of *learnings*, stored and new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from datastore.records.vectors import Vector


@attrs.frozen(kw_only=True)
class Learning:
    """One row of *learnings*."""

    id: str
    conversation_id: str
    category: str
    #: 1 to 1000 characters.
    title: str
    #: 1 byte to 1 MiB of UTF-8.
    content: str
    #: 0 (a guess) to 1 (certain).
    confidence: float
    #: Distinct, sorted.
    tags: tuple[str, ...]
    #: Two learnings of one conversation with the same key are the same learning.
    dedupe_key: str
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Aware, UTC, like all times.
    created_at: datetime
    updated_at: datetime
    #: The conversation's *deleted_at*; hidden from lists and search since then.
    deleted_at: datetime | None


@attrs.frozen(kw_only=True)
class NewLearning:
    """A learning to store, for `LearningRepository.add_many`."""

    conversation_id: str
    category: str
    #: 1 to 1000 characters.
    title: str
    #: 1 byte to 1 MiB of UTF-8.
    content: str
    #: 0 (a guess) to 1 (certain).
    confidence: float = 1.0
    #: In any order; duplicates are dropped.
    tags: Sequence[str] = ()
    #: The messages it came from.
    message_ids: Sequence[str] = ()
    #: None: a hash of category, title and content.
    dedupe_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
    #: Aware; None: the time of the transaction.
    created_at: datetime | None = None
    #: None: *created_at*.
    updated_at: datetime | None = None
    #: The vector of its title, a newline and its content; None: it is made later.
    vector: Vector | None = attrs.field(default=None, eq=False, repr=False)
    #: Whether the function of the store makes its vector before it is stored.
    embed_now: bool = False

    @property
    def embedded_text(self) -> str:
        """The text that its vector is of."""
        return f"{self.title}\n{self.content}"
