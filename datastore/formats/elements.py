"""Splits one large JSON array into its elements, one at a time, regardless of chunk boundaries.

Only brackets and quotes are examined, and each character once, so that an invalid element does not hide
the following ones and the time is linear in the file's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

import attrs

from datastore.errors import InvalidValueError

CHUNK = 65_536

#: Maximum length of an element in characters; a longer one is invalid, and the rest of it is not kept in memory.
MAX_ELEMENT = 67_108_864

_at_top = re.compile(r'["{}\[\],]')
_nested = re.compile(r'["{}\[\]]')
_in_string = re.compile(r'["\\]')


class Reader(Protocol):
    """A text stream to read from."""

    def read(self, size: int, /) -> str:
        """Return at most *size* characters; "" at the end."""


@attrs.frozen
class Element:
    """The text of one element."""

    #: The line on which it begins: 1, 2, 3, ...
    line: int
    #: None: the element is longer than `MAX_ELEMENT`.
    text: str | None


@attrs.define
class _Scan:
    """The scanner's state between two chunks."""

    parts: list[str] = attrs.field(factory=list)
    held: int = 0
    depth: int = 0
    string: bool = False
    #: The next character is escaped by the last one of the previous chunk.
    escaped: bool = False
    line: int = 1
    start: int = 0
    too_long: bool = False

    def add(self, text: str) -> None:
        if self.start == 0:
            stripped = text.lstrip()
            self.line += text.count("\n", 0, len(text) - len(stripped))
            if not stripped:
                return
            self.start, text = self.line, stripped
        self.line += text.count("\n")
        self.held += len(text)
        if self.held > MAX_ELEMENT:
            self.too_long = True
            self.parts.clear()
        else:
            self.parts.append(text)

    def take(self) -> Element | None:
        if self.start == 0:
            return None
        element = Element(self.start, None if self.too_long else "".join(self.parts).rstrip())
        self.parts, self.held, self.start, self.too_long = [], 0, 0, False
        return element


def array_elements(stream: Reader, chunk: int = CHUNK) -> Iterator[Element]:
    """Yield the elements of the array in *stream*; none if it is empty.

    Raises:
        InvalidValueError: It is not an array, or is truncated (all complete elements have been yielded).
    """
    text, scan = _opening(stream, chunk)
    closed = not text
    while text and not closed:
        begin, place = 0, int(scan.escaped)
        scan.escaped = False
        while True:
            pattern = _in_string if scan.string else _nested if scan.depth else _at_top
            found = pattern.search(text, place)
            if found is None:
                break
            place = found.end()
            sign = found.group()
            if scan.string:
                if sign == '"':
                    scan.string = False
                elif place < len(text):
                    place += 1
                else:
                    scan.escaped = True
            elif sign == '"':
                scan.string = True
            elif sign in "{[":
                scan.depth += 1
            elif sign != "," and scan.depth:
                scan.depth -= 1
            else:
                scan.add(text[begin : place - 1])
                begin = place
                element = scan.take()
                if element is not None:
                    yield element
                if sign != ",":
                    closed = True
                    break
        if not closed:
            scan.add(text[begin:])
            text = stream.read(chunk)
    if not closed or scan.depth:
        raise InvalidValueError("the file ends in the middle of its array")


def _opening(stream: Reader, chunk: int) -> tuple[str, _Scan]:
    scan = _Scan()
    while text := stream.read(chunk):
        stripped = text.lstrip("\ufeff \t\r\n")
        scan.line += text.count("\n", 0, len(text) - len(stripped))
        if stripped:
            if stripped[0] != "[":
                raise InvalidValueError("expected a JSON array of conversations")
            return stripped[1:] or stream.read(chunk) or " ", scan
    return "", scan
