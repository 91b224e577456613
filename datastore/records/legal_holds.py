"""The record of *legal_holds*."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class LegalHold:
    """One row of *legal_holds*: nothing can delete or change the conversation until the hold is released."""

    id: str
    conversation_id: str
    reason: str
    #: The actor name that was passed when the store was opened.
    placed_by: str
    #: Aware, UTC.
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
