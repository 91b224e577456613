"""What is stored for the text of a message, or for its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from datastore.errors import InvalidValueError
from datastore.records.parts import Part, TextPart, decode_parts, encode_parts, hash_of, text_of
from datastore.values import decode_json, encode_json

#: The hash of a message that is still being written.
PARTIAL_HASH = "0" * 64


@attrs.frozen
class Body:
    """The columns of a message that depend on its text or its parts."""

    content: str
    content_hash: str
    #: One token per 4 bytes of UTF-8, rounded up.
    token_count: int
    #: As they are read back; None for plain text.
    parts: tuple[Part, ...] | None
    #: As JSON objects; None for plain text.
    values: list[dict[str, Any]] | None


def body_of(content: str | None, parts: Iterable[Part] | None, *, partial: bool = False) -> Body:
    """The columns of a message with this text or with these parts. A single `TextPart` is plain text.

    Raises:
        InvalidValueError: Both or neither are given, no part is given, or one cannot be stored.
    """
    if parts is None and content is not None:
        content_hash = PARTIAL_HASH if partial else hash_of(content, None)
        return Body(content, content_hash, estimate(content), None, None)
    if parts is None or content is not None:
        raise InvalidValueError("give content or parts, and not both: the content of parts is their text")
    encoded = encode_json(encode_parts(parts))
    if not (stored := decode_parts(decode_json(encoded))):
        raise InvalidValueError("parts: give at least one")
    text = text_of(stored)
    if len(stored) == 1 and isinstance(stored[0], TextPart) and text:
        return body_of(text, None, partial=partial)
    content_hash = PARTIAL_HASH if partial else hash_of(text, encoded)
    return Body(text, content_hash, estimate(text), stored, decode_json(encoded))


def estimate(content: str) -> int:
    """The estimated number of tokens of a text."""
    try:
        return (len(content.encode()) + 3) // 4
    except UnicodeEncodeError:
        raise InvalidValueError("content: contains a lone surrogate, which UTF-8 cannot encode; remove it") from None
    except AttributeError:
        raise InvalidValueError(f"content: expected text, not {type(content).__name__}") from None
