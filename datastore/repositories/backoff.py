"""The wait after a failed attempt, and the text that is stored of its error."""

from __future__ import annotations

import random
import re
from datetime import timedelta

from datastore.errors import InvalidValueError

#: Longer error texts are truncated.
MAX_ERROR_LENGTH = 10_000

#: Jitter: the wait is varied by up to this fraction in either direction.
JITTER = 0.2

_unkeepable = re.compile("[\x00\ud800-\udfff]")


def retry_delay(attempts: int, seconds: float, cap_seconds: float, rng: random.Random) -> timedelta:
    """The wait after attempt *attempts*: ``seconds * 2**(attempts - 1)``, capped, with a jitter of ±20 %.

    The jitter is applied after the cap, so that jobs at the cap do not all become due at once.
    """
    doublings = min(max(attempts, 1) - 1, 64)
    wait = min(seconds * 2.0**doublings, cap_seconds)
    return timedelta(seconds=wait * rng.uniform(1 - JITTER, 1 + JITTER))


def error_text(error: str | BaseException) -> str:
    """*error* as text that can be stored: truncated, with NUL and lone surrogates replaced.

    Raises:
        InvalidValueError: *error* is neither text nor an exception.
    """
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
    elif not isinstance(error, str):
        raise InvalidValueError(f"error: expected text or an exception, not {type(error).__name__}")
    return _unkeepable.sub("\ufffd", error[:MAX_ERROR_LENGTH])
