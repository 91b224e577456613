"""Reads any importable file as typed items: detects its format and yields each item with its line number."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from datastore.errors import ImportFileError, InvalidValueError
from datastore.formats import fields as read
from datastore.formats.chat import read_chat
from datastore.formats.chatgpt import read_chatgpt
from datastore.formats.claude_code import read_claude_code
from datastore.formats.items import BadLine, ImportedConversation, ImportedLearning
from datastore.formats.learnings import check_fields, read_learning
from datastore.formats.sources import TextSource

Format = Literal["chat", "chatgpt", "claude-code", "learnings"]
Item: TypeAlias = ImportedConversation | ImportedLearning | BadLine

FORMATS: tuple[Format, ...] = ("chat", "chatgpt", "claude-code", "learnings")

#: How much of a file is read to detect its format: lines, or characters of an array.
_LOOK_LINES = 50
_LOOK_CHARACTERS = 1_048_576
#: Maximum number of blanks and NUL characters at the start of a file.
_LOOK_BLANK = 1 << 28


def open_text(path: str | os.PathLike[str]) -> TextSource:
    """Open the file or pipe at *path*, plain or gzip (by its first bytes); use it in a ``with`` statement.

    Raises:
        ImportFileError: It is missing, a directory, a device, a pipe without a writer, or cannot be read.
    """
    return TextSource(path)


def detect(source: str | os.PathLike[str] | TextSource, fields: Mapping[str, str] | None = None) -> Format:
    """Detect the format of a file from its first lines; "chat" if it is empty.

    Args:
        source: A path, or an open file at its start; it is rewound afterwards.
        fields: As for `read_learning`: a learning is recognized by its title and content.

    Raises:
        ImportFileError: It cannot be read, or its format is unknown.
    """
    if not isinstance(source, TextSource):
        with open_text(source) as opened:
            return _detect(opened, fields)
    found = _detect(source, fields)
    source.rewind()
    return found


def _detect(source: TextSource, fields: Mapping[str, str] | None) -> Format:
    start, blank = source.read(1 << 16), 0
    while start and not start.strip("\x00 \t\r\n"):
        blank += len(start)
        if blank > _LOOK_BLANK:
            raise _unknown(source.name)
        start = source.read(1 << 16)
    if start.lstrip().startswith("["):
        while len(start) < _LOOK_CHARACTERS and (more := source.read(1 << 16)):
            start += more
        if '"mapping"' in start or start.strip("[] \t\r\n") == "":
            return "chatgpt"
        raise _unknown(source.name)
    if not start:
        if source.damage:
            raise ImportFileError(f"{source.name}: {source.damage}")
        return "chat"
    source.rewind(last=False)
    for number, text in source.lines():
        if number > _LOOK_LINES:
            break
        if isinstance(text, str) and (found := _line_format(text, fields or {})):
            return found
    raise _unknown(source.name)


def _unknown(name: str) -> ImportFileError:
    return ImportFileError(f"{name}: unknown format; specify one of {', '.join(FORMATS)}")


def _line_format(text: str, fields: Mapping[str, str]) -> Format | None:
    try:
        data: dict[str, Any] = read.parse_object(text)
    except InvalidValueError:
        return None
    if "messages" in data:
        return "chat"
    if "sessionId" in data or {"uuid", "message"} <= data.keys() or data.get("type") == "summary":
        return "claude-code"
    if {fields.get("title", "title"), fields.get("content", "content")} <= data.keys():
        return "learnings"
    return None


def read_items(
    source: str | os.PathLike[str] | TextSource,
    format: Format | Literal["auto"] = "auto",
    fields: Mapping[str, str] | None = None,
    skipped: Counter[str] | None = None,
) -> Iterator[tuple[int, Item]]:
    """Yield every item of a file with its line number, in file order and with bounded memory.

    Args:
        source: A path, or an open file at its start (to observe its *position*).
        format: The format; "auto" calls `detect`.
        fields: Maps fields of a learning to the file's keys.
        skipped: Counts the lines of a transcript without a message, by type.

    Raises:
        ImportFileError: The file cannot be read, or its format is unknown.
        InvalidValueError: *fields* names an unknown field, or *format* is unknown.
    """
    check_fields(fields or {})
    if format != "auto" and format not in FORMATS:
        raise InvalidValueError(f"format: must be auto or one of {', '.join(FORMATS)}")
    if isinstance(source, TextSource):
        kind = detect(source, fields) if format == "auto" else format
        return _items(source, kind, fields, skipped)
    kind = detect(source, fields) if format == "auto" else format
    return _closing(open_text(source), kind, fields, skipped)


def _closing(
    source: TextSource, kind: Format, fields: Mapping[str, str] | None, skipped: Counter[str] | None
) -> Iterator[tuple[int, Item]]:
    with source:
        yield from _items(source, kind, fields, skipped)


def _items(
    source: TextSource, kind: Format, fields: Mapping[str, str] | None, skipped: Counter[str] | None
) -> Iterator[tuple[int, Item]]:
    if kind == "chatgpt":
        yield from _array_items(source)
    elif kind == "claude-code":
        yield from read_claude_code(source.lines(), source.name, skipped)
    else:
        for number, text in source.lines():
            yield number, text if isinstance(text, BadLine) else _line_item(source.name, number, text, kind, fields)


def _array_items(source: TextSource) -> Iterator[tuple[int, Item]]:
    for line, item in read_chatgpt(source, source.name):
        if isinstance(item, BadLine) and source.damage:
            item = BadLine(item.file, item.line, source.damage)
        yield line, item


def _line_item(name: str, number: int, text: str, kind: Format, fields: Mapping[str, str] | None) -> Item:
    try:
        return read_chat(text) if kind == "chat" else read_learning(text, fields)
    except InvalidValueError as error:
        return BadLine(name, number, str(error))
