"""Conversion between Python values and column values: time, JSON, text, ids.

Times are stored as fixed-width UTC text with microseconds (``2026-11-23T09:14:05.000000Z``): text order is
time order, SQLite's date functions read it, and so do people.
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
from typing import Any, TypeAlias

from datastore.errors import InvalidValueError

UTC = timezone.utc

#: A value that JSON can express, as `json` reads and writes it.
Json: TypeAlias = Any

#: A JSON object.
JsonObject: TypeAlias = dict[str, Any]

#: Longer JSON is refused before it reaches the database.
MAX_JSON_BYTES = 1_048_576

MAX_TAG_LENGTH = 100

_escaped_nul = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Takes half the time of json.loads for a short value: it does not skip surrounding whitespace.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # not in typeshed
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

#: Sentinels above every text, and below and above every time: "no lower bound", "no upper bound".
TEXT_MAX = "\U0010ffff"
TIME_MIN = datetime.min.replace(tzinfo=UTC)
TIME_MAX = datetime.max.replace(tzinfo=UTC)


# Seeded by the system, and reseeded in a child process, which would otherwise repeat its parent's numbers.
_random = random.Random()
_random_bits = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def utc_now() -> datetime:
    """The current time: aware, UTC, with microseconds."""
    return datetime.now(UTC)


def encode_timestamp(value: datetime) -> str:
    """Encode an aware datetime as 27 characters of UTC.

    Raises:
        InvalidValueError: The datetime is naive, or the value is not a datetime.
    """
    try:
        if value.tzinfo is UTC:
            # isoformat takes 1.5 times as long, and every write encodes a time.
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
        raise InvalidValueError(f"expected a datetime, not {type(value).__name__}") from None
    if offset is None:
        raise InvalidValueError("a naive datetime is ambiguous; give it a tzinfo (datetime.now(timezone.utc))")
    if offset:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise InvalidValueError("this datetime is outside years 1 to 9999 in UTC") from None
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


#: Decodes the stored form into an aware datetime.
decode_timestamp = datetime.fromisoformat


def as_stored(value: datetime) -> datetime:
    """Return *value* as it is read back from the database: a plain datetime in UTC.

    Raises:
        InvalidValueError: As for `encode_timestamp`.
    """
    if type(value) is datetime and value.tzinfo is UTC and not value.fold:
        return value
    return decode_timestamp(encode_timestamp(value))


def encode_json(value: Any, max_bytes: float = MAX_JSON_BYTES) -> str:
    """Encode any JSON value as compact text.

    Raises:
        InvalidValueError: The value is not JSON (an object of another type, NaN, a key that is not a string),
            contains a NUL or a lone surrogate, or is longer than *max_bytes*.
    """
    if not value and type(value) is dict:
        return "{}"
    try:
        _check_keys(value)
        text = _dumps(value)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidValueError("JSON text contains a lone surrogate, which UTF-8 cannot encode; remove it") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"not JSON: {type(error).__name__} in a value or key") from None
    if size > max_bytes:
        raise InvalidValueError(f"JSON of {size} bytes is too long; at most {max_bytes} bytes are stored")
    if "\\u0000" in text and _escaped_nul.search(text):
        raise InvalidValueError("JSON text contains a NUL character; remove it")
    return text


def _check_keys(value: Any) -> None:
    # The encoder would silently turn the keys 1, None and True into strings.
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError
        for part in value.values():
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def decode_json(text: str | None) -> Any:
    """Decode stored JSON text into Python values; None for NULL."""
    if text == "{}":
        return {}
    if text is None:
        return None
    try:
        value, end = _scan(text, 0)
    except StopIteration:  # leading whitespace: not written by this library
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def distinct_tags(tags: Iterable[str]) -> list[str]:
    """The distinct tags, sorted.

    Raises:
        InvalidValueError: A tag is empty, too long or not text; or *tags* is a single string.
    """
    if isinstance(tags, str):
        raise InvalidValueError("tags: expected a list of strings, not one string")
    distinct = sorted({check_text(tag, "tags") for tag in tags})
    if any(not 1 <= len(tag) <= MAX_TAG_LENGTH for tag in distinct):
        raise InvalidValueError(f"tags: each must have 1 to {MAX_TAG_LENGTH} characters")
    return distinct


def decode_tags(text: str) -> tuple[str, ...]:
    """Decode stored tags into a tuple."""
    return () if text == "[]" else tuple(json.loads(text))


def check_text(value: str, name: str) -> str:
    """Return *value* if it can be stored as UTF-8.

    Raises:
        InvalidValueError: It is not a string, or contains a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidValueError(f"{name}: expected text, not {type(value).__name__}")
    if "\x00" in value:
        raise InvalidValueError(f"{name}: contains a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{name}: contains a lone surrogate, which UTF-8 cannot encode; remove it") from None
    return value


#: Seconds that a call of the application's function `embed` may take, unless the application says otherwise.
EMBED_TIMEOUT = 60.0


def encode_blob(value: bytes) -> bytes:
    """Return *value* if it is bytes.

    Raises:
        InvalidValueError: It is not bytes, a bytearray or a memoryview.
    """
    given: object = value
    if not isinstance(given, bytes | bytearray | memoryview):
        raise InvalidValueError(f"a blob needs bytes, not {type(given).__name__}")
    return bytes(given)


def check_number(value: float, name: str) -> float:
    """Return *value* as a float if it is a finite number.

    Raises:
        InvalidValueError: It is NaN, infinite or not a number.
    """
    given: object = value
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise InvalidValueError(f"{name}: must be a finite number")
    return float(value)


def check_integer(value: int, name: str) -> int:
    """Return *value* if it is an integer that fits in 64 bits; True and False become 1 and 0.

    Raises:
        InvalidValueError: It has another type, or does not fit.
    """
    given: object = value
    if not isinstance(given, int) or not -(2**63) <= given < 2**63:
        raise InvalidValueError(f"{name}: must be a 64-bit integer")
    return int(value)


def new_id() -> str:
    """Generate a UUID, version 7: later ids sort later (RFC 9562, section 5.7 and method 3 of 6.2).

    48 bits are milliseconds since 1970, 12 bits their fraction in steps of 244 ns, and 62 bits are random: collisions
    are unlikely, but ids are not secret (a system call per id would slow an append by 5 %).
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    head = milliseconds << 16 | 0x7000 | (rest << 12) // 1_000_000
    digits = f"{head << 64 | 2 << 62 | _random_bits(62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
