"""The records of *erasures*, *erasure_keys* and *tombstones*."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs

SubjectKind = Literal["conversation", "session", "correlation", "learning"]
ErasureStatus = Literal["blocked", "deleting", "deleted", "scrubbed", "verified"]


@attrs.frozen(kw_only=True)
class Erasure:
    """One row of *erasures*: what was to be erased, the progress, and the receipt. It contains no content and no subject id."""

    id: str
    subject_kind: SubjectKind
    #: HMAC-SHA-256 of the subject's id, lower-case hex.
    subject_hash: str
    #: blocked: nothing was deleted; deleting: in progress; deleted: no longer visible to any statement; scrubbed: indexes
    #: also merged, the WAL cut and (if needed) the file vacuumed, without proof; verified: the files' bytes were also
    #: scanned, and nothing was found.
    status: ErasureStatus
    #: Who acted: the actor of the store, or of an `acting_as` block.
    actor: str
    reason: str | None
    #: Counts and names: what was done and what this library cannot reach; docs/retention.md lists the keys.
    receipt: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime
    updated_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether this library has nothing left to do: no hold, reader or residue remains."""
        cleaned = self.status == "deleted" and self.receipt.get("blocked_by") == []
        return cleaned or self.status in ("scrubbed", "verified")


@attrs.frozen(kw_only=True)
class ErasureKey:
    """One row of *erasure_keys*: a key for the hashes of subjects."""

    id: str
    #: 32 random bytes, lower-case hex.
    secret: str
    #: Aware, UTC.
    created_at: datetime


@attrs.frozen(kw_only=True)
class Tombstone:
    """One row of *tombstones*: a subject that was erased and must not come back."""

    kind: SubjectKind
    #: HMAC-SHA-256 of the subject's id, lower-case hex.
    subject_hash: str
    erasure_id: str
    #: Aware, UTC.
    created_at: datetime
    #: When the subject was deliberately imported again; None: the tombstone is in force.
    lifted_at: datetime | None
