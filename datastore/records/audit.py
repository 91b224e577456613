"""The records of *audit_log* and *redactions*."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs

AuditAction = Literal["soft_delete", "restore", "delete", "purge", "redact"]
SubjectType = Literal["conversation", "message", "learning", "job", "upload"]


@attrs.frozen(kw_only=True)
class AuditEntry:
    """One row of *audit_log*, linked to the one before by its hash."""

    #: 1, 2, 3, ... in the order of writing.
    id: int
    action: AuditAction
    subject_type: SubjectType
    subject_id: str
    #: The name that the application opened the store with.
    actor: str
    reason: str | None
    #: Counts and names, never content.
    details: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime
    #: The hash of the entry before; 64 zeros for the first.
    previous_hash: str
    #: SHA-256, lower-case hex.
    hash: str


@attrs.frozen(kw_only=True)
class Redaction:
    """One row of *redactions*: one thing that sanitization replaced."""

    id: str
    conversation_id: str
    #: None: it concerns the conversation (its title, its metadata).
    message_id: str | None
    #: What kind of thing it was: "email", "phone", "name", ...
    category: str
    #: Which rule found it, in which detector.
    rule: str
    detector: str
    #: A (keyed) hash of the original, never the original; 16 to 200 characters.
    original_hash: str
    #: What stands there now, e.g. "[EMAIL_1]".
    replacement: str
    #: 0 to 1: how sure the detector was.
    confidence: float
    #: Aware, UTC.
    created_at: datetime
