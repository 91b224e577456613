"""Reads single fields of a JSON object; error messages name the field, never its value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from datastore import values
from datastore.errors import InvalidValueError

MAX_CONTENT_BYTES = 1_048_576

#: Maximum number of JSON values: each takes up to 200 bytes of memory, but only one or two bytes of the file.
MAX_VALUES = 2_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _no_constant(name: str) -> Any:
    raise InvalidValueError("not JSON: NaN and Infinity are not JSON numbers")


#: Refuses NaN and Infinity. If a key is repeated, the last value is used.
decoder = json.JSONDecoder(parse_constant=_no_constant)


def parse_object(text: str) -> dict[str, Any]:
    """Parse *text* as a JSON object.

    Raises:
        InvalidValueError: It is not JSON, or not an object.
    """
    try:
        value = decoder.decode(text)
    except InvalidValueError:
        raise
    except json.JSONDecodeError as error:
        raise InvalidValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"not JSON that can be read: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise InvalidValueError(f"expected a JSON object, not a {type(value).__name__}")
    return value


_begins = re.compile(r'["\[{\]},]')
_in_string = re.compile(r'["\\]')


def too_many_values(text: str, place: int = 0) -> bool:
    """Whether the JSON value that begins at *place* has more than `MAX_VALUES` values, as far as the text goes."""
    # Every value except the first of its list or object follows a comma. Most texts have too few commas to exceed the limit.
    if text.count(",", place) + text.count("[", place) + text.count("{", place) <= MAX_VALUES:
        return False
    count = depth = 0
    string = False
    while found := (_in_string if string else _begins).search(text, place):
        place = found.end()
        sign = found.group()
        if sign == "\\":
            place += 1
        elif sign == '"':
            string = not string
        elif sign in "]}":
            depth -= 1
            if depth <= 0:
                return False
        else:
            depth += sign != ","
            count += 1
            if count > MAX_VALUES:
                return True
    return False


def compact(value: Any) -> str:
    """Encode *value* as JSON without spaces; a lone surrogate is kept, so that a check can find it.

    Raises:
        InvalidValueError: It is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise InvalidValueError("not JSON that can be stored: nested too deeply") from None


def required_text(data: Mapping[str, Any], key: str, where: str = "", longest: int | None = None) -> str:
    """Return the text under *key*, which must exist and not be empty.

    Raises:
        InvalidValueError: It is missing, not text, empty, too long, or cannot be stored.
    """
    value = optional_text(data, key, where, longest)
    if value is None:
        raise InvalidValueError(f"{where}{key}: is missing")
    return value


def optional_text(
    data: Mapping[str, Any], key: str, where: str = "", longest: int | None = None, *, may_be_empty: bool = False
) -> str | None:
    """Return the text under *key*; None if it is missing or null.

    Raises:
        InvalidValueError: It is not text, empty, longer than *longest* characters, or cannot be stored.
    """
    value = data.get(key)
    if value is None:
        return None
    text = values.check_text(value, where + key)
    if not text and not may_be_empty:
        raise InvalidValueError(f"{where}{key}: must not be empty")
    if longest is not None and len(text) > longest:
        raise InvalidValueError(f"{where}{key}: {len(text)} characters, at most {longest} are allowed")
    return text


def check_content(value: str, name: str, *, may_be_empty: bool = False) -> str:
    """Return *value* if it is 1 byte to 1 MiB of text.

    Raises:
        InvalidValueError: It is empty, too long, not text, or contains a NUL or a lone surrogate.
    """
    text = values.check_text(value, name)
    if not text and not may_be_empty:
        raise InvalidValueError(f"{name}: must not be empty")
    if len(text) * 4 > MAX_CONTENT_BYTES and (size := len(text.encode())) > MAX_CONTENT_BYTES:
        raise InvalidValueError(f"{name}: {size} bytes, at most {MAX_CONTENT_BYTES} are allowed")
    return text


def optional_time(data: Mapping[str, Any], key: str, where: str = "") -> datetime | None:
    """Return the time under *key*, ISO 8601 with an offset, as aware UTC; None if it is missing.

    Raises:
        InvalidValueError: It is not a time in this format, or has no offset.
    """
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidValueError(f"{where}{key}: must be a time as text, such as 2026-11-23T09:14:05Z")
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidValueError(f"{where}{key}: must be a time such as 2026-11-23T09:14:05Z") from None
    try:
        return values.decode_timestamp(values.encode_timestamp(parsed))
    except InvalidValueError:
        fault = "has no offset (add Z for UTC)" if parsed.tzinfo is None else "is outside years 1 to 9999 in UTC"
        raise InvalidValueError(f"{where}{key}: the time {fault}") from None


def optional_unix_time(data: Mapping[str, Any], key: str, where: str = "") -> datetime | None:
    """Return the time under *key*, in seconds since 1970, to the microsecond; None if it is missing.

    Raises:
        InvalidValueError: It is not a finite number, or is outside years 1 to 9999.
    """
    value = data.get(key)
    if value is None:
        return None
    try:
        return _EPOCH + timedelta(seconds=values.check_number(value, where + key))
    except OverflowError:
        raise InvalidValueError(f"{where}{key}: the time is outside years 1 to 9999") from None


def check_fraction(value: Any, name: str) -> float:
    """Return *value* if it is a number from 0 to 1.

    Raises:
        InvalidValueError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidValueError(f"{name}: must be a number from 0 to 1")
    return float(value)


def optional_integer(data: Mapping[str, Any], key: str, where: str, least: int) -> int | None:
    """Return the integer under *key*; None if it is missing.

    Raises:
        InvalidValueError: It is not an integer, or is outside *least* to 2^63 - 1.
    """
    value = data.get(key)
    return None if value is None else check_integer(value, where + key, least)


def check_integer(value: Any, name: str, least: int) -> int:
    """Return *value* if it is an integer from *least* to 2^63 - 1.

    Raises:
        InvalidValueError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise InvalidValueError(f"{name}: must be an integer of at least {least}")
    return value


def read_metadata(data: Mapping[str, Any], known: frozenset[str], where: str = "") -> dict[str, Any]:
    """Return the object under "metadata", plus those unknown keys of *data* that it does not contain.

    Raises:
        InvalidValueError: It is not a JSON object that can be stored.
    """
    given = data.get("metadata")
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise InvalidValueError(f"{where}metadata: must be a JSON object")
    unknown = {key: value for key, value in data.items() if key not in known}
    merged = {**unknown, **given} if unknown else given
    try:
        values.encode_json(merged)
    except InvalidValueError as error:
        raise InvalidValueError(f"{where}metadata: {error}") from None
    return merged


def as_list(data: Mapping[str, Any], key: str, where: str = "") -> list[Any]:
    """Return the list under *key*; empty if it is missing.

    Raises:
        InvalidValueError: It is not a list.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidValueError(f"{where}{key}: must be a list")
    return value


def any_time(data: Mapping[str, Any], key: str, where: str = "") -> datetime | None:
    """Return the time under *key*, as any of the programs writes it; None if it is missing.

    A text is ISO 8601 (UTC if it has no offset); a number is seconds since 1970, or milliseconds if it is too large for that.

    Raises:
        InvalidValueError: It is none of these.
    """
    value = data.get(key)
    if value in (None, "", 0):
        return None
    if isinstance(value, str):
        text = value.strip().removesuffix(" UTC")
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise InvalidValueError(f"{where}{key}: must be a time such as 2026-11-23T09:14:05Z") from None
        else:
            aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
            return optional_time({key: aware.isoformat()}, key, where)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > 1e11:
        value = value / 1000
    return optional_unix_time({key: value}, key, where)
