"""How Python values become column values and come back: time, JSON, text, ids.

Time is text of fixed width, UTC, to the microsecond (``2026-11-23T09:14:05.000000Z``): its order is
the order of time, SQLite's own date functions read it, and so does a person.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from datastore.errors import InvalidValueError

UTC = timezone.utc

#: Longer JSON than this is refused before it reaches the database.
MAX_JSON_BYTES = 1_048_576

MAX_TAG_LENGTH = 100

_escaped_nul = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Half of what json.loads takes for a short value: no search for blanks around it.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # not in typeshed
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

#: Sentinels that bound every text and every time: "no lower bound", "no upper bound".
TEXT_MIN = ""
TEXT_MAX = "\U0010ffff"
TIME_MIN = datetime.min.replace(tzinfo=UTC)
TIME_MAX = datetime.max.replace(tzinfo=UTC)


# Seeded by the system, anew in a child process, which would go on with its parent's numbers.
_random = random.Random()
_random_bits = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def utc_now() -> datetime:
    """The present instant: aware, UTC, to the microsecond."""
    return datetime.now(UTC)


def encode_timestamp(value: datetime) -> str:
    """An aware datetime as 27 characters of UTC.

    Raises:
        InvalidValueError: The datetime is naive, or is not one.
    """
    try:
        if value.tzinfo is UTC:
            # isoformat takes half as long again, and every write has an instant.
            return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (  # noqa: UP031 - an f-string is slower here
                value.year,
                value.month,
                value.day,
                value.hour,
                value.minute,
                value.second,
                value.microsecond,
            )
        offset = value.utcoffset()
    except AttributeError:
        raise InvalidValueError(f"a datetime is needed, not {type(value).__name__}") from None
    if offset is None:
        raise InvalidValueError("a naive datetime has no instant; give it a tzinfo (datetime.now(timezone.utc))")
    if offset:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise InvalidValueError("this datetime is outside years 1 to 9999 in UTC") from None
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


#: The stored form back to an aware datetime.
decode_timestamp = datetime.fromisoformat


def as_stored(value: datetime) -> datetime:
    """*value* as it comes back from the database: UTC, a plain datetime.

    Raises:
        InvalidValueError: As `encode_timestamp`.
    """
    if type(value) is datetime and value.tzinfo is UTC and not value.fold:
        return value
    return decode_timestamp(encode_timestamp(value))


def encode_json(value: Any, max_bytes: float = MAX_JSON_BYTES) -> str:
    """Any JSON value as compact text.

    Raises:
        InvalidValueError: It is no JSON (an object of another type, NaN, a key that is no string),
            holds a NUL or a lone surrogate, or is longer than *max_bytes*.
    """
    if not value and type(value) is dict:
        return "{}"
    try:
        _check_keys(value)
        text = _dumps(value)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidValueError("JSON text holds a lone surrogate, which no UTF-8 can keep") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"not JSON: {type(error).__name__} in a value or key") from None
    if size > max_bytes:
        raise InvalidValueError(f"JSON of {size} bytes; at most {max_bytes} are kept")
    if "\\u0000" in text and _escaped_nul.search(text):
        raise InvalidValueError("JSON text holds a NUL character")
    return text


def _check_keys(value: Any) -> None:
    # The encoder would turn 1, None and True into strings without a word.
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError
        for part in value.values():
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def decode_json(text: str | None) -> Any:
    """Stored JSON text back to Python values; None for NULL."""
    if text == "{}":
        return {}
    if text is None:
        return None
    try:
        value, end = _scan(text, 0)
    except StopIteration:  # blanks before it: not from here
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def distinct_tags(tags: Iterable[str]) -> list[str]:
    """Tags without repetition, sorted.

    Raises:
        InvalidValueError: One is empty, too long or no text; or they are one string.
    """
    if isinstance(tags, str):
        raise InvalidValueError("tags: a list of strings is needed, not one string")
    distinct = sorted({check_text(tag, "tags") for tag in tags})
    if any(not 1 <= len(tag) <= MAX_TAG_LENGTH for tag in distinct):
        raise InvalidValueError(f"tags: each has 1 to {MAX_TAG_LENGTH} characters")
    return distinct


def decode_tags(text: str) -> tuple[str, ...]:
    """Stored tags back to a tuple."""
    return () if text == "[]" else tuple(json.loads(text))


def check_text(value: str, name: str) -> str:
    """*value*, if UTF-8 and the database can keep it.

    Raises:
        InvalidValueError: It is no string, or holds a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidValueError(f"{name}: text is needed, not {type(value).__name__}")
    if "\x00" in value:
        raise InvalidValueError(f"{name}: holds a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{name}: holds a lone surrogate, which no UTF-8 can keep") from None
    return value


def check_number(value: float, name: str) -> float:
    """*value* as a float, if it is a finite number.

    Raises:
        InvalidValueError: It is NaN, infinite or no number.
    """
    given: object = value
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise InvalidValueError(f"{name}: a finite number is needed")
    return float(value)


def check_integer(value: int, name: str) -> int:
    """*value*, if it is an integer that a column of 64 bits can keep; True and False are 1 and 0.

    Raises:
        InvalidValueError: It is of another type, or too large.
    """
    given: object = value
    if not isinstance(given, int) or not -(2**63) <= given < 2**63:
        raise InvalidValueError(f"{name}: an integer of 64 bits is needed")
    return int(value)


def new_id() -> str:
    """A new UUID, version 7: ids made later sort later (RFC 9562, section 5.7 and method 3 of 6.2).

    48 bits are milliseconds since 1970, 12 bits their fraction in steps of 244 ns, 62 are random: unlikely
    ever to meet, but not secret (a system call for each would cost an append 5 %).
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    head = milliseconds << 16 | 0x7000 | (rest << 12) // 1_000_000
    digits = f"{head << 64 | 2 << 62 | _random_bits(62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
