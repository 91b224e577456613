"""How long a failed job waits, and how its error is kept."""

from __future__ import annotations

import random
import re
from datetime import timedelta

from datastore.errors import InvalidValueError

#: Longer error texts are cut.
MAX_ERROR_LENGTH = 10_000

#: The wait is spread over this part of itself, to either side.
JITTER = 0.2

_unkeepable = re.compile("[\x00\ud800-\udfff]")


def retry_delay(attempts: int, seconds: float, cap_seconds: float, rng: random.Random) -> timedelta:
    """The wait after attempt *attempts*: ``seconds * 2**(attempts - 1)``, capped, then spread by ±20 %.

    The spread comes after the cap, so that jobs at the cap do not all return at once.
    """
    doublings = min(max(attempts, 1) - 1, 64)
    wait = min(seconds * 2.0**doublings, cap_seconds)
    return timedelta(seconds=wait * rng.uniform(1 - JITTER, 1 + JITTER))


def error_text(error: str | BaseException) -> str:
    """*error* as text that every database keeps: cut, and NUL and lone surrogates replaced.

    Raises:
        InvalidValueError: It is neither text nor an exception.
    """
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
    elif not isinstance(error, str):
        raise InvalidValueError(f"error: text or an exception is needed, not {type(error).__name__}")
    return _unkeepable.sub("\ufffd", error[:MAX_ERROR_LENGTH])
