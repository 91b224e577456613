"""The records of *erasures*, *erasure_keys* and *tombstones*."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs

SubjectKind = Literal["conversation", "session", "correlation", "learning"]
ErasureStatus = Literal["blocked", "deleting", "deleted", "scrubbed", "verified"]


@attrs.frozen(kw_only=True)
class Erasure:
    """One row of *erasures*: what was asked to be erased, how far it came, and the receipt. No content, no ids of it."""

    id: str
    subject_kind: SubjectKind
    #: HMAC-SHA-256 of the subject's id, lower-case hex.
    subject_hash: str
    #: blocked: nothing was deleted; deleting: begun; deleted: no statement sees it any more; scrubbed: also merged, cut
    #: and (where needed) vacuumed, without proof; verified: also looked for in the files' bytes, and not there.
    status: ErasureStatus
    #: The name that the application opened the store with.
    actor: str
    reason: str | None
    #: Counts and names of what was done and of what is out of reach; docs/retention.md has its keys.
    receipt: dict[str, Any]
    #: Aware, UTC.
    created_at: datetime
    updated_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be done that this library can do: no hold, no reader, no residue is in the way."""
        cleaned = self.status == "deleted" and self.receipt.get("blocked_by") == []
        return cleaned or self.status in ("scrubbed", "verified")


@attrs.frozen(kw_only=True)
class ErasureKey:
    """One row of *erasure_keys*: what the hashes of subjects are made with."""

    id: str
    #: 32 random bytes, lower-case hex.
    secret: str
    #: Aware, UTC.
    created_at: datetime


@attrs.frozen(kw_only=True)
class Tombstone:
    """One row of *tombstones*: something that was erased and is not to come back."""

    kind: SubjectKind
    #: HMAC-SHA-256 of its id, lower-case hex.
    subject_hash: str
    erasure_id: str
    #: Aware, UTC.
    created_at: datetime
    #: When it was imported again, on purpose; None: it is in force.
    lifted_at: datetime | None
