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
    #: Who acted: the actor of the store, or of an `acting_as` block.
    placed_by: str
    #: Aware, UTC.
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
