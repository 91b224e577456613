"""The record of *uploads*, stored and new."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

UploadStatus = Literal["pending", "uploading", "uploaded", "confirmed", "failed"]


@attrs.frozen(kw_only=True)
class Upload:
    """One row of *uploads*: the upload of a learning to a destination."""

    id: str
    learning_id: str
    #: A learning has at most one upload per destination.
    destination: str
    status: UploadStatus
    #: The destination's key for the learning, once uploaded.
    remote_id: str | None
    #: Any JSON value: the destination's response.
    receipt: Any
    #: Number of times that the upload was started.
    attempts: int
    last_error: str | None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Aware, UTC, like all times.
    created_at: datetime
    updated_at: datetime
    uploaded_at: datetime | None
    confirmed_at: datetime | None


@attrs.frozen(kw_only=True)
class NewUpload:
    """An upload to plan, for `UploadRepository.add_many`."""

    learning_id: str
    #: 1 to 200 characters.
    destination: str
    metadata: Mapping[str, Any] | None = None
    #: None: a new time-ordered UUID is generated.
    id: str | None = None
