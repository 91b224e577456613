"""Reads any importable file as typed items: detects its format and yields each item with its line number."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import attrs

from datastore.errors import ImportFileError, InvalidValueError
from datastore.formats.base import Context, Format, Items
from datastore.formats.chat import CHAT
from datastore.formats.chatgpt import CHATGPT
from datastore.formats.claude_ai import CLAUDE_AI
from datastore.formats.claude_code import CLAUDE_CODE
from datastore.formats.codex import CODEX
from datastore.formats.containers import DatabaseSource, NoSource, Source, open_sources, open_text
from datastore.formats.gemini import GEMINI
from datastore.formats.items import BadLine, Ignored, Item
from datastore.formats.learnings import check_fields, learnings_format
from datastore.formats.lists import LANGCHAIN, SHAREGPT, WILDCHAT
from datastore.formats.llm import read_llm
from datastore.formats.oasst import OASST
from datastore.formats.records import Broken, Record
from datastore.formats.sources import TextSource

#: The more special a shape, the earlier it is tried; learnings come last.
_FORMATS: tuple[Format, ...] = (
    CHATGPT,
    CLAUDE_AI,
    CLAUDE_CODE,
    CODEX,
    GEMINI,
    OASST,
    LANGCHAIN,
    WILDCHAT,
    SHAREGPT,
    CHAT,
)

#: The names of this library's own formats, for ``--format``.
FORMATS: tuple[str, ...] = (*sorted([format.name for format in _FORMATS] + ["learnings"]), "llm")

#: The entry point group of other packages' formats.
GROUP = "datastore.formats"

#: Maximum number of records that are looked at before one has a shape, and of those that have none in each.
_LOOK_AHEAD = 100_000

#: Keys under which some tools wrap a list of conversations.
_WRAPPERS = ("conversations", "chats", "data", "items", "sessions", "threads", "rows", "records", "results")


@attrs.frozen
class Detected:
    """A file's format, and how it was found."""

    format: str
    #: Why: "its record on line 3 has a mapping of messages"; "" if the format was given.
    reason: str = ""


def other_formats() -> Sequence[Format]:
    """The formats of other installed packages: the entry points of the group ``datastore.formats``, by name.

    Raises:
        ImportFileError: An entry point cannot be loaded, is no `Format`, or has a name that is in use.
    """
    found: list[Format] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            format = entry.load()
        except Exception as error:
            raise ImportFileError(
                f"the format {entry.name} of another package cannot be loaded: {type(error).__name__}"
            ) from error
        if not isinstance(format, Format):
            raise ImportFileError(f"the format {entry.name} of another package is no datastore.formats.Format")
        if format.name in FORMATS or any(format.name == other.name for other in found):
            raise ImportFileError(
                f"the format {entry.name} of another package has a name that is in use: {format.name}"
            )
        found.append(format)
    return found


def format_names() -> tuple[str, ...]:
    """All names for ``--format``."""
    return (*FORMATS, *(format.name for format in other_formats()))


def _all(fields: Mapping[str, str]) -> list[Format]:
    # Other packages' formats come first: they know their shape, which may be special.
    return [*other_formats(), *_FORMATS, learnings_format(fields)]


def _named(name: str, fields: Mapping[str, str]) -> Format:
    for format in _all(fields):
        if format.name == name:
            return format
    raise InvalidValueError(f"format: must be auto or one of {', '.join(format_names())}")


def detect(
    source: str | os.PathLike[str] | TextSource,
    fields: Mapping[str, str] | None = None,
    *,
    replace_invalid: bool = False,
) -> str:
    """The name of a file's format, by the first record that has the shape of one; "chat" if the file is empty.

    Args:
        source: A path, or an open file, which is not used up.
        fields: As for `read_learning`: a learning is recognized by its title and content.
        replace_invalid: As for `open_text`.

    Raises:
        ImportFileError: It cannot be read, or its format is unknown.
    """
    if isinstance(source, TextSource):
        return _detected(source, fields or {}).format
    for opened in open_sources(source, replace_invalid=replace_invalid):
        if isinstance(opened, DatabaseSource):
            return "llm"
        if isinstance(opened, TextSource):
            return _detected(opened, fields or {}).format
    raise ImportFileError(f"{os.fsdecode(source)}: has no file of records")


def _detected(source: TextSource, fields: Mapping[str, str]) -> Detected:
    formats = _all(fields)
    tried = broken = 0
    first = ""
    for record in source.look_ahead():
        if isinstance(record, Broken):
            broken += 1
            first = first or f": line {record.line}: {record.reason}"
        else:
            values = [record.value, *_wrapped(record.value)[:1]]
            for format, value in ((format, value) for value in values for format in formats):
                if reason := format.recognize(value):
                    return Detected(format.name, f"the record on line {record.line}: {reason}")
            tried += 1
        if tried + broken >= _LOOK_AHEAD:
            break
    if tried == 0:
        if broken == 0 and not source.damage:
            return Detected("chat", "it is empty")
        if source.damage:
            raise ImportFileError(f"{source.name}: {source.damage}")
        raise ImportFileError(f"{source.name}: unknown format, because no record can be read{first}")
    raise ImportFileError(f"{source.name}: unknown format; specify one of {', '.join(format_names())}")


def _wrapped(value: Any) -> list[Any]:
    """The list of conversations in an object that only wraps it."""
    if isinstance(value, dict):
        for key in _WRAPPERS:
            inner = value.get(key)
            if isinstance(inner, list) and inner and isinstance(inner[0], dict):
                return inner
    return []


def _unwrapped(records: Iterator[Record], format: Format) -> Iterator[Record]:
    for record in records:
        inner = [] if format.recognize(record.value) else _wrapped(record.value)
        if inner and format.recognize(inner[0]):
            for value in inner:
                yield Record(record.line, value, record.array)
        else:
            yield record


def read_source(
    source: Source, format: str = "auto", fields: Mapping[str, str] | None = None
) -> tuple[Detected, Items]:
    """The format of one source and its items, each with its line number, in file order and with bounded memory.

    Raises:
        ImportFileError: The file cannot be read, or its format is unknown.
        InvalidValueError: *fields* names an unknown field, or *format* is unknown.
    """
    fields = fields or {}
    check_fields(fields)
    if format not in ("auto", "llm"):
        _named(format, fields)
    if isinstance(source, NoSource):
        return Detected("none"), iter(
            [(1, BadLine(source.name, 1, source.reason) if source.reason else Ignored(source.kind))]
        )
    context = Context(source.name, fields)
    if isinstance(source, DatabaseSource):
        if format not in ("auto", "llm"):
            raise ImportFileError(f"{source.name}: is a SQLite database, and not of the format {format}")
        return Detected("llm", "it is a SQLite database"), read_llm(source.path, context)
    if format == "llm":
        raise ImportFileError(f"{source.name}: is no SQLite database")
    found = _detected(source, fields) if format == "auto" else Detected(format)
    return found, _items(source, _named(found.format, fields), context)


def _items(source: TextSource, format: Format, context: Context) -> Items:
    broken: list[tuple[int, Item]] = []

    def whole() -> Iterator[Record]:
        for record in source.records():
            if isinstance(record, Record):
                yield record
            else:
                broken.append((record.line, BadLine(source.name, record.line, record.reason)))
                if len(broken) > 10_000:  # a format that reads on and on without an item
                    broken.pop()

    for line, item in format.read(_unwrapped(whole(), format), context):
        while broken:
            yield broken.pop(0)
        yield line, item
    yield from broken


def read_items(
    source: str | os.PathLike[str] | TextSource,
    format: str = "auto",
    fields: Mapping[str, str] | None = None,
    skipped: Counter[str] | None = None,
) -> Items:
    """Yield every item of a file with its line number, in file order and with bounded memory.

    Args:
        source: A path, or an open file at its start (to observe its *position*).
        format: The format's name; "auto" detects it.
        fields: Maps fields of a learning to the file's keys.
        skipped: Counts the records in which nobody says anything, by kind, instead of yielding them.

    Raises:
        ImportFileError: The file cannot be read, or its format is unknown.
        InvalidValueError: *fields* names an unknown field, or *format* is unknown.
    """
    check_fields(fields or {})
    sources: Iterator[Source] = iter([source]) if isinstance(source, TextSource) else open_sources(source)
    if format not in ("auto", "llm"):
        _named(format, fields or {})
    return _all_items(sources, format, fields, skipped)


def _all_items(
    sources: Iterator[Source], format: str, fields: Mapping[str, str] | None, skipped: Counter[str] | None
) -> Items:
    for opened in sources:
        _, items = read_source(opened, format, fields)
        for line, item in items:
            if isinstance(item, Ignored) and skipped is not None:
                skipped[item.kind] += 1
            else:
                yield line, item


__all__ = [
    "FORMATS", "GROUP", "Detected", "detect", "format_names", "open_text", "other_formats", "read_items", "read_source"
]  # fmt: skip
