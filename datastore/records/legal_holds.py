"""The record of *legal_holds*."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class LegalHold:
    """One row of *legal_holds*: nothing deletes or changes the conversation until it is released."""

    id: str
    conversation_id: str
    reason: str
    #: The name that the store was opened with.
    placed_by: str
    #: Aware, UTC.
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
