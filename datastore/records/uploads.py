"""The record of *uploads*, and what an upload is before it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

UploadStatus = Literal["pending", "uploading", "uploaded", "confirmed", "failed"]


@attrs.frozen(kw_only=True)
class Upload:
    """One row of *uploads*: a learning on its way to a destination."""

    id: str
    learning_id: str
    #: Where to; at most one upload of a learning to a destination.
    destination: str
    status: UploadStatus
    #: The destination's own key for it, once uploaded.
    remote_id: str | None
    #: Any JSON value: what the destination answered.
    receipt: Any
    #: How often it was begun.
    attempts: int
    last_error: str | None
    #: A JSON object, at most 1 MiB.
    metadata: dict[str, Any]
    #: Aware, UTC; so are all times.
    created_at: datetime
    updated_at: datetime
    uploaded_at: datetime | None
    confirmed_at: datetime | None


@attrs.frozen(kw_only=True)
class NewUpload:
    """An upload to plan: what `UploadRepository.add_many` takes."""

    learning_id: str
    #: Where to; 1 to 200 characters.
    destination: str
    metadata: Mapping[str, Any] | None = None
    #: None: a new time-ordered UUID.
    id: str | None = None
