"""The record of *schedules*."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Schedule:
    """One row of *schedules*: a job is enqueued for each slot of a cron expression."""

    #: 1 to 100 characters.
    name: str
    #: Five fields (minute, hour, day of month, month, day of week), or six with the second first.
    cron: str
    #: The IANA time zone of the expression.
    timezone: str
    #: The type of its jobs.
    type: str
    #: The payload of its jobs, an object; each job has its slot in addition, as *slot*.
    payload: dict[str, Any]
    #: 0 to 9.
    priority: int
    #: 1 to 1000.
    max_attempts: int
    #: Whether slots that passed while no worker ran are enqueued later, or only the latest of them.
    catch_up: bool
    #: The next slot. Aware, UTC.
    next_at: datetime
    created_at: datetime
    updated_at: datetime
