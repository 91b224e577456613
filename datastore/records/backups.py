"""The record of *backups*."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

#: "unregistered": a copy whose database had no room to note it; no row has it.
BackupStatus = Literal["writing", "kept", "removed", "failed", "unregistered"]


@attrs.frozen(kw_only=True)
class Backup:
    """One row of *backups*: a copy of the database."""

    id: str
    #: The absolute path of the file, as the machine that made it names it.
    path: str
    status: BackupStatus
    #: When it was begun; aware, UTC, as all times.
    created_at: datetime
    #: When it was verified and put in its place.
    finished_at: datetime | None
    #: When it was deleted, or found to be gone.
    removed_at: datetime | None
    #: Bytes.
    file_bytes: int | None
    #: SHA-256 of the file, lower-case hex.
    checksum: str | None
    #: The newest audit entry in it, 0 where there is none; what is missing in a restored log is behind it.
    audit_id: int | None
    #: That entry's hash, "" where there is none.
    audit_hash: str | None
