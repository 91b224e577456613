"""What a format is: a name, a test of a record's shape, and a generator of items; and helpers to write one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.items import BadLine, Ignored, ImportedConversation, ImportedMessage, Item
from datastore.formats.parts import Part
from datastore.formats.records import Record
from datastore.records import Role
from datastore.records.parts import decode_parts, text_of

#: Errors of reading that make one record, or one part of it, bad: it is reported, and the rest is kept.
BAD = (InvalidValueError, RecursionError, OverflowError)

#: Characters of a title; a longer one is cut, and kept whole in the metadata.
MAX_TITLE = 1000


@attrs.frozen
class Context:
    """What a format may need to know about the file that it reads."""

    #: The file's name, for a `BadLine`.
    file: str
    #: For learnings: field to the file's key for it.
    fields: Mapping[str, str] = attrs.field(factory=dict)


#: A line number and an item.
Items: TypeAlias = Iterator[tuple[int, Item]]


@attrs.frozen
class Format:
    """A format of files, for the entry point group ``datastore.formats``."""

    #: The name for ``--format``, and the *source* of conversations that name none.
    name: str
    #: Why a value has this format's shape, in a few words ("it has a mapping of messages"); None: it has not.
    recognize: Callable[[Any], str | None]
    #: The items of a file's records, each with its line number.
    read: Callable[[Iterator[Record], Context], Items]


class Notes:
    """What was noticed while one record was read: what cannot be stored, and what is left out on purpose."""

    def __init__(self, context: Context, line: int) -> None:
        self.file = context.file
        self.line = line
        self._items: list[tuple[int, Item]] = []

    def bad(self, reason: object) -> None:
        """Report something that cannot be stored."""
        text = "nested too deeply" if isinstance(reason, RecursionError) else str(reason)
        self._items.append((self.line, BadLine(self.file, self.line, text)))

    def ignored(self, kind: str) -> None:
        """Count something that nobody said."""
        self._items.append((self.line, Ignored(kind)))

    def take(self) -> Iterator[tuple[int, Item]]:
        """The items so far, once."""
        items, self._items = self._items, []
        yield from items

    def field(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A field's value; if it is invalid, None: it is reported, and the rest of the record is kept."""
        try:
            return function(*arguments, **options)
        except BAD as error:
            self.bad(f"{error}; the field is left out")
            return None


def per_record(
    convert: Callable[[Any, Notes], ImportedConversation | None],
) -> Callable[[Iterator[Record], Context], Items]:
    """The *read* of a format in which every record is one conversation.

    Args:
        convert: Makes a conversation of a value; raises `InvalidValueError` if it has none.
    """

    def read_all(records: Iterator[Record], context: Context) -> Items:
        for record in records:
            notes = Notes(context, record.line)
            try:
                item = convert(record.value, notes)
            except BAD as error:
                notes.bad(error)
            else:
                if item is not None:
                    yield record.line, item
            yield from notes.take()

    return read_all


def as_object(value: object) -> dict[str, Any]:
    """Return *value* if it is a JSON object.

    Raises:
        InvalidValueError: It is not.
    """
    if not isinstance(value, dict):
        raise InvalidValueError(f"expected a JSON object, not a {type(value).__name__}")
    return value


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; empty if it is no list."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def make_message(
    role: Role,
    parts: Iterable[Part],
    *,
    id: str | None = None,
    parent: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    created_at: Any = None,
    line: int = 0,
    exact: bool = False,
) -> ImportedMessage | None:
    """Make a message of its parts; None if there are none. Empty values in *metadata* are left out, unless it is *exact*.

    Raises:
        InvalidValueError: Its text is too long, or it contains a NUL or a lone surrogate.
    """
    kept = tuple(parts)
    if not kept:
        return None
    plain = len(kept) == 1 and kept[0]["type"] == "text"
    decoded = decode_parts(list(kept))
    content = text_of(decoded)
    if not plain:
        values.encode_json(list(kept))
    kept_metadata = {key: value for key, value in (metadata or {}).items() if exact or value not in (None, "", [], {})}
    values.encode_json(kept_metadata)
    return ImportedMessage(
        role=role,
        content=read.check_content(content, "content", may_be_empty=not plain),
        parts=() if plain else decoded,
        id=id,
        parent=parent,
        metadata=kept_metadata,
        created_at=created_at,
        line=line,
    )


def title_of(value: object, metadata: dict[str, Any]) -> str | None:
    """A title of at most `MAX_TITLE` characters; a longer one is also kept whole in the metadata."""
    if not isinstance(value, str) or not value:
        return None
    if len(value) > MAX_TITLE:
        metadata["title"] = value
    return values.check_text(value[:MAX_TITLE], "title")


def some(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Those keys of *data* that have a value, under their documented names in the metadata."""
    return {new: data[old] for old, new in names.items() if data.get(old) not in (None, "", [], {})}


def id_of(value: object, longest: int = 200) -> str | None:
    """An id as text: some tools write integers. None if it is missing or empty; a longer one becomes a hash.

    Raises:
        InvalidValueError: It is neither text nor an integer.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidValueError("id: must be text or an integer")
    id = values.check_text(str(value), "id")
    return id if len(id) <= longest else f"sha256:{hashlib.sha256(id.encode()).hexdigest()}"


def hash_of(value: object) -> str:
    """An id for a value that has none: the same value has the same id."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise InvalidValueError("not JSON that can be stored: nested too deeply") from None
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
