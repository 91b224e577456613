"""The record of *backups*."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

#: "unregistered": the database was too full to register the copy; no stored row has this status.
BackupStatus = Literal["writing", "kept", "removed", "failed", "unregistered"]


@attrs.frozen(kw_only=True)
class Backup:
    """One row of *backups*: a copy of the database."""

    id: str
    #: The absolute path of the file on the machine that made it.
    path: str
    status: BackupStatus
    #: When it was started; aware, UTC, like all times.
    created_at: datetime
    #: When it was verified and moved into place.
    finished_at: datetime | None
    #: When it was deleted, or found to be missing.
    removed_at: datetime | None
    #: Bytes.
    file_bytes: int | None
    #: SHA-256 of the file, lower-case hex.
    checksum: str | None
    #: The id of its newest audit entry, 0 if there is none; a restored log lacks every entry after it.
    audit_id: int | None
    #: That entry's hash, "" if there is none.
    audit_hash: str | None
