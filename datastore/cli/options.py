"""Options that several commands share, and parsers of times, ages and subjects."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_age = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhd])")
_units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_day = re.compile(r"\d{4}-\d{2}-\d{2}")


def age(text: str) -> timedelta:
    """Parse an age: ``90s``, ``30m``, ``12h``, ``14d``."""
    found = _age_of(text)
    if found is None:
        raise click.BadParameter("expected a number and s, m, h or d: 90s, 30m, 12h, 14d")
    return found


def instant(text: str) -> datetime:
    """Parse a time: a day (UTC), an ISO 8601 time with a zone, or an age, which is counted back from now."""
    if (ago := _age_of(text)) is not None:
        return datetime.now(timezone.utc) - ago
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "expected a day, an ISO 8601 time or an age: 2026-01-31, 2026-01-31T12:00:00Z, 14d"
        ) from None
    if _day.fullmatch(text):
        return found.replace(tzinfo=timezone.utc)
    if found.tzinfo is None:
        raise click.BadParameter("add a time zone, e.g. 2026-01-31T12:00:00Z")
    return found


def _age_of(text: str) -> timedelta | None:
    found = _age.fullmatch(text)
    return None if found is None else timedelta(**{_units[found["unit"]]: int(found["number"])})


#: The options that name a subject.
SUBJECT = {
    "conversation_id": "One conversation.",
    "session_id": "Every conversation of a session.",
    "correlation_id": "The conversation with this correlation id.",
    "learning_id": "One learning.",
}


def subject_options(function: Function) -> Function:
    """``--conversation-id``, ``--session-id``, ``--correlation-id`` and ``--learning-id``."""
    for name, about in reversed(SUBJECT.items()):
        function = click.option(f"--{name.replace('_', '-')}", metavar="ID", help=about)(function)
    return function
