"""Splits text into JSON records, with bounded memory: JSON lines, arrays, single and concatenated documents, and any mix.

A broken record costs only itself. The C decoder of *json* reads each record straight from the buffer; a record that is broken or
too long is passed over by its brackets, quotes and line ends, each character once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol

import attrs

from datastore.errors import ImportFileError, InvalidValueError
from datastore.formats.fields import decoder, too_many_values

#: Characters per read.
CHUNK = 1_048_576

#: Maximum length of a record in characters; a longer one is invalid, and it is not kept in memory.
MAX_RECORD = 67_108_864

#: If this many characters contain no record, the input is not text: a device, a zip bomb.
MAX_BLANK = 1 << 30

#: Stands for bytes that the encoding does not allow; see `sources`.
INVALID = "\udcff"

_blank = re.compile("[ \t\r\n,\ufeff\ufffd\0]*")
_sign = re.compile(r'["{}\[\]\n]')
_in_string = re.compile(r'["\\\n]')
_line = re.compile(r"[^\n]*")


class Reader(Protocol):
    """A text stream to read from."""

    def read(self, size: int, /) -> str:
        """Return at most *size* characters; "" at the end."""


@attrs.frozen
class Record:
    """One JSON value of a file."""

    #: The line on which it begins: 1, 2, 3, ...
    line: int
    value: Any
    #: The number of the array that it is an element of: 1, 2, 3, ...; 0: it is not in an array.
    array: int = 0


@attrs.frozen
class Broken:
    """A part of a file that is not a JSON value."""

    line: int
    #: What is wrong, without any text of the file.
    reason: str


class _Text:
    """The text that was read and not yet used, and its line number."""

    def __init__(self, stream: Reader) -> None:
        self.stream = stream
        self.text = ""
        self.place = 0
        self.line = 1
        self.ended = False

    def more(self, size: int = 0) -> bool:
        """Read more text; False at the end of the file."""
        text = "" if self.ended else self.stream.read(size or CHUNK)
        self.ended = not text
        if self.place or text:
            self.text, self.place = self.text[self.place :] + text, 0
        return bool(text)

    def move(self, place: int) -> None:
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def skip_blank(self) -> int:
        """Go to the next record, over blanks, commas and NUL characters; return the number of NUL characters."""
        nuls = blank = 0
        while True:
            found = _blank.match(self.text, self.place)
            end = self.place if found is None else found.end()
            nuls += self.text.count("\0", self.place, end)
            blank += end - self.place
            self.move(end)
            if end < len(self.text) or not self.more():
                return nuls
            if blank > MAX_BLANK:
                raise ImportFileError(f"{MAX_BLANK >> 20} MiB without a record; give a text file")


def read_records(stream: Reader) -> Iterator[Record | Broken]:
    """Yield the values of a text, in order.

    A top-level array is not a value: its elements are.

    Raises:
        ImportFileError: A gigabyte of blanks.
    """
    text = _Text(stream)
    array = arrays = 0
    while True:
        line = text.line
        if nuls := text.skip_blank():
            yield Broken(line, f"{nuls} NUL characters between the records, as a crash leaves them")
        if text.place == len(text.text):
            break
        sign = text.text[text.place]
        if sign == "[" and not array:
            arrays += 1
            array = arrays
            text.place += 1
        elif sign == "]" and array:
            array = 0
            text.place += 1
        else:
            yield _value(text, array)
    if array:
        yield Broken(text.line, "the file ends in the middle of its array")


def _value(text: _Text, array: int) -> Record | Broken:
    line, grown = text.line, False
    while True:
        if grown and too_many_values(text.text, text.place):
            return _passed_over(text, line, "too many values")
        try:
            value, end = decoder.raw_decode(text.text, text.place)
        except json.JSONDecodeError as error:
            if not _may_go_on(error, text):
                reason = f"not JSON: {error.msg} at character {error.pos - text.place + 1}"
                return _passed_over(text, line, reason)
            if len(text.text) - text.place > MAX_RECORD:
                return _passed_over(text, line, f"longer than {MAX_RECORD} characters")
            if not text.more(max(CHUNK, len(text.text) - text.place)):
                return _passed_over(
                    text, line, f"not JSON, or cut off: {error.msg} at character {error.pos - text.place + 1}"
                )
            grown = True
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, NaN, deep nesting
            return _passed_over(
                text, line, str(error) if isinstance(error, InvalidValueError) else "not JSON that can be read"
            )
        else:
            if end == len(text.text) and not isinstance(value, dict | list) and text.more():
                continue  # a number may go on in the next chunk
            return _complete(text, line, value, end, array)


def _complete(text: _Text, line: int, value: Any, end: int, array: int) -> Record | Broken:
    begin = text.place
    text.move(end)
    if (place := text.text.find(INVALID, begin, end)) >= 0:
        return Broken(
            line, f"bytes that are not text at character {place - begin + 1}; --replace-invalid replaces them"
        )
    if end - begin > MAX_RECORD:
        return Broken(line, f"longer than {MAX_RECORD} characters")
    return Record(line, value, array)


def _may_go_on(error: json.JSONDecodeError, text: _Text) -> bool:
    """Whether the record may be valid, and only continues after the text that was read so far."""
    return not text.ended and (error.pos > len(text.text) - 12 or error.msg.startswith("Unterminated string"))


def _passed_over(text: _Text, line: int, reason: str) -> Broken:
    """Go to the end of a broken record: where its brackets close, or before the next line that begins with a bracket."""
    if "\0" in text.text[text.place : text.place + 4096].partition("\n")[0]:
        reason += "; it contains NUL characters, which --replace-invalid replaces"
    depth, string = 0, False
    if text.text[text.place] in "]}":  # it closes nothing
        text.place += 1
        return Broken(line, reason)
    while sign := _next_sign(text, _in_string if string else _sign):
        if sign == "\n":
            string = False  # JSON allows no line end in a string: its quote is missing
            if not depth or text.text[text.place : text.place + 1] in ("{", "["):
                break
        elif string:
            string = sign != '"'
        elif sign == '"':
            string = True
        elif sign in "{[":
            depth += 1
        else:
            depth -= 1
            if depth <= 0:
                text.place -= depth < 0
                break
    return Broken(line, reason)


def _next_sign(text: _Text, pattern: re.Pattern[str]) -> str:
    """Go after the next character that *pattern* finds, and after the one that it escapes; "" at the end of the file."""
    while (found := pattern.search(text.text, text.place)) is None:
        text.move(len(text.text))
        if not text.more():
            return ""
    text.move(found.end())
    if text.place == len(text.text):
        text.more()
    if found.group() == "\\" and text.text[text.place : text.place + 1] != "\n":
        text.place += 1
    return found.group()
