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
    """One row of *retention_policies*: which data is kept for how long."""

    name: str
    target: PolicyTarget
    scope: PolicyScope
    #: The source, the session id prefix, or the category; None for all.
    scope_value: str | None
    #: The start of the age: the last change ("activity") or the end ("completion").
    since: PolicySince
    #: 0 to 36500.
    age_days: float
    #: Days that a conversation stays hidden before it is permanently deleted; 0 for all other targets.
    grace_days: float
    #: Aware, UTC.
    created_at: datetime
    updated_at: datetime
