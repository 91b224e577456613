"""The record of *audit_log*."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs

AuditAction = Literal["soft_delete", "restore", "delete", "purge", "prune", "redact"]
SubjectType = Literal["conversation", "branch", "message", "learning", "job", "upload"]


@attrs.frozen(kw_only=True)
class AuditEntry:
    """One row of *audit_log*, linked to the previous one by its hash."""

    #: 1, 2, 3, ... in the order in which entries are written.
    id: int
    action: AuditAction
    subject_type: SubjectType
    subject_id: str
    #: Who acted: the actor of the store, or of an `acting_as` block.
    actor: str
    reason: str | None
    #: Counts and names, never content.
    details: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime
    #: The hash of the previous entry; 64 zeros for the first.
    previous_hash: str
    #: SHA-256, lower-case hex.
    hash: str
