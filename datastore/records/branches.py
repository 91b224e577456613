"""The record of *branches*."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Branch:
    """One branch of a conversation. Every conversation has branch 0, whose row is that of the conversation."""

    conversation_id: str
    #: 0, or 1, 2, 3, ... in the order of the forks; never reused.
    branch: int
    #: The branch that owns the message at *fork_position*; None for branch 0.
    parent_branch: int | None
    #: The last position that it shares with its parent; 0: none.
    fork_position: int
    #: The highest position ever assigned to a message of its own; *fork_position* before the first.
    last_position: int
    #: Aware, UTC: when it was forked; for branch 0, when the conversation began.
    created_at: datetime
    #: 1 to 200 characters; branch 0 has none.
    label: str | None


@attrs.frozen(kw_only=True)
class Segment:
    """The messages of one branch that another consists of: those with positions up to *to_position*."""

    branch: int
    #: Inclusive; 2^53 for the branch itself.
    to_position: int
