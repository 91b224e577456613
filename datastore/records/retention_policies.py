"""The record of *retention_policies*."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

PolicyTarget = Literal["conversations", "learnings", "jobs", "attempts", "uploads", "redactions"]
PolicyScope = Literal["all", "source", "session_prefix", "category"]
PolicySince = Literal["activity", "completion"]


@attrs.frozen(kw_only=True)
class RetentionPolicy:
    """One row of *retention_policies*: how long what is kept."""

    name: str
    target: PolicyTarget
    scope: PolicyScope
    #: The source, the beginning of the session id, or the category; None for all.
    scope_value: str | None
    #: What the age is counted from: the last change, or the end.
    since: PolicySince
    #: 0 to 36500.
    age_days: float
    #: How long a conversation stays hidden before it is deleted for good; 0 for all others.
    grace_days: float
    #: Aware, UTC.
    created_at: datetime
    updated_at: datetime
