"""Pages of lists, and their cursors."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from datastore.errors import CursorError
from datastore.values import check_integer, check_number, check_text, decode_timestamp, encode_timestamp

Record = TypeVar("Record")


@attrs.frozen(kw_only=True)
class Page(Generic[Record]):
    """Some records of a list, and the cursors of the adjacent pages.

    Iterating over a page yields its items; it never fetches the next page.
    """

    items: tuple[Record, ...]
    #: Pass it as ``after=`` to get the items after this page; None: there are none now.
    next: str | None
    #: Pass it as ``before=`` (if the list has this parameter) to get the items before this page; None on an
    #: empty page.
    previous: str | None

    def __iter__(self) -> Iterator[Record]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


#: Number of records that `every` reads at a time: a message may be one mebibyte long.
EVERY_ROWS = 500


def every(
    list_page: Callable[..., Page[Record]], *arguments: Any, max_rows: int = EVERY_ROWS, **filters: Any
) -> Iterator[Record]:
    """Iterate over the records of all pages of a list: ``every(store.messages.list, id)``.

    Each page is read when the previous one has been consumed. No cursor or transaction stays open in between.
    """
    after: str | None = None
    while True:
        page = list_page(*arguments, after=after, max_rows=max_rows, **filters)
        yield from page
        after = page.next
        if after is None:
            return


def encode_cursor(scope: str, key: tuple[Any, ...]) -> str:
    """Encode a position in a list as URL-safe text.

    Args:
        scope: The list and its filters; the cursor is valid only for the same scope.
        key: The sort key of the item at that position; its types are those in `_PARTS`.
    """
    parts = [_PARTS[type(part)].write(part) for part in key]
    body = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_seal(scope, body) + body).decode().rstrip("=")


def decode_cursor(scope: str, cursor: str, shape: tuple[type, ...]) -> tuple[Any, ...]:
    """Decode the sort key in *cursor*.

    The seal is not a signature: anyone who knows the algorithm can seal any body. Therefore every part is checked too.

    Args:
        scope: The scope that was passed to `encode_cursor`.
        cursor: The *next* or *previous* of a page.
        shape: The types of the sort key's parts.

    Raises:
        CursorError: It is damaged, or belongs to another list or to the same list with other filters.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        seal, body = raw[:8], raw[8:]
        if seal == _seal(scope, body):
            parts = json.loads(body)
            if type(parts) is list and len(parts) == len(shape):
                return tuple(_PARTS[kind].read(part) for kind, part in zip(shape, parts, strict=True))
    except (TypeError, ValueError, AttributeError, RecursionError, OverflowError):
        pass
    raise CursorError(
        "this cursor is damaged or belongs to another list; use the next or previous of a page from the"
        " same list with the same filters"
    )


def _integer(part: Any) -> int:
    if type(part) is not int:
        raise TypeError
    return check_integer(part, "cursor")


def _text(part: Any) -> str:
    return check_text(part, "cursor")


def _instant(part: Any) -> datetime:
    instant = decode_timestamp(part)
    if encode_timestamp(instant) != part:
        raise ValueError
    return instant


def _float(part: Any) -> float:
    return check_number(float.fromhex(part), "cursor")


@attrs.frozen
class _Part:
    """Writes a part of a sort key as JSON, and reads it back from untrusted JSON."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


#: The types that a sort key can consist of.
_PARTS: dict[type, _Part] = {
    int: _Part(int, _integer),
    str: _Part(str, _text),
    datetime: _Part(encode_timestamp, _instant),
    float: _Part(float.hex, _float),
}


def _seal(scope: str, body: bytes) -> bytes:
    return hashlib.blake2s(scope.encode() + b"\0" + body, digest_size=8, person=b"cursor").digest()
