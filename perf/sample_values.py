"""What every row of a sample database is made of: instants, ids and shares, the same in every run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

START = datetime(2026, 1, 1)  # UTC

Row = dict[str, Any]


def stamp(seconds: float) -> str:
    """The text of an instant, *seconds* after the first one."""
    return f"{(START + timedelta(seconds=seconds)).isoformat(timespec='microseconds')}Z"


def uid(kind: int, number: int) -> str:
    """The id of the n-th row of a table: ascends as a time-ordered UUID does."""
    return f"01{kind:06x}-0000-7000-8000-{number:012x}"


def share(shares: tuple[tuple[str, int], ...], number: int) -> str:
    """The name that the n-th row gets when each name has its percentage of the rows."""
    at = number * 37 % 100
    for name, percentage in shares:
        if at < percentage:
            return name
        at -= percentage
    return shares[0][0]
