"""Learnings as JSON lines: ``{"title", "content", "category", "tags", "confidence", ...}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.base import BAD, Context, Format, Items, as_object
from datastore.formats.items import BadLine, ImportedLearning
from datastore.formats.records import Record

#: The known keys; each can be mapped to another name.
LEARNING_KEYS = frozenset(
    {
        "title", "content", "category", "tags", "confidence", "conversation_id", "message_positions",
        "message_ids", "id", "dedupe_key", "metadata", "created_at", "updated_at",
    }
)  # fmt: skip


def check_fields(fields: Mapping[str, str]) -> None:
    """Check that *fields* maps only fields that a learning has.

    Raises:
        InvalidValueError: It maps an unknown field.
    """
    unknown = sorted(set(fields) - LEARNING_KEYS)
    if unknown:
        known = ", ".join(sorted(LEARNING_KEYS))
        raise InvalidValueError(f"a learning has no field {', '.join(unknown)}; its fields are {known}")


def read_learning(text: str, fields: Mapping[str, str] | None = None) -> ImportedLearning:
    """Read one line of learnings.

    Args:
        text: A JSON object.
        fields: Maps fields to the file's keys: ``{"category": "topic"}``.

    Raises:
        InvalidValueError: The line is invalid; the message says why, without quoting the line.
    """
    return _read_learning(read.parse_object(text), fields or {})


def _read_learning(data: dict[str, Any], fields: Mapping[str, str]) -> ImportedLearning:
    if fields:
        check_fields(fields)
        data = _rename(data, fields)
    return learning_of(data)


def _read(records: Iterator[Record], context: Context) -> Items:
    for record in records:
        try:
            yield record.line, _read_learning(as_object(record.value), context.fields)
        except BAD as error:
            yield record.line, BadLine(context.file, record.line, str(error))


def learnings_format(fields: Mapping[str, str]) -> Format:
    """The format of learnings whose fields have other names in the file."""
    title, content = fields.get("title", "title"), fields.get("content", "content")

    def recognize(value: Any) -> str | None:
        found = isinstance(value, dict) and title in value and content in value and "messages" not in value
        return "it has a title and a content" if found else None

    return Format("learnings", recognize, _read)


def _rename(data: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    taken = set(fields.values())
    renamed = {key: value for key, value in data.items() if key not in taken and key not in fields}
    # A value under a mapped field's own name is now an unknown key: it is kept, but must not be read as the field.
    displaced = {f"file_{key}": data[key] for key in fields if key in data and key not in taken}
    return {**displaced, **renamed, **{field: data[name] for field, name in fields.items() if name in data}}


def learning_of(data: Mapping[str, Any], where: str = "", conversation_id: str | None = None) -> ImportedLearning:
    """Read a learning from a JSON object; *conversation_id* applies if the object names none.

    Raises:
        InvalidValueError: A field is missing or invalid.
    """
    content = read.required_text(data, "content", where)
    return ImportedLearning(
        title=read.required_text(data, "title", where, 1000),
        content=read.check_content(content, f"{where}content"),
        category=read.required_text(data, "category", where, 200),
        tags=_tags(data, where),
        confidence=read.check_fraction(data.get("confidence", 1.0), f"{where}confidence"),
        conversation_id=read.optional_text(data, "conversation_id", where, 200) or conversation_id,
        message_positions=tuple(
            read.check_integer(place, f"{where}message_positions", 1)
            for place in read.as_list(data, "message_positions", where)
        ),
        message_ids=tuple(
            values.check_text(id, f"{where}message_ids") for id in read.as_list(data, "message_ids", where)
        ),
        id=read.optional_text(data, "id", where, 200),
        dedupe_key=read.optional_text(data, "dedupe_key", where, 200),
        metadata=read.read_metadata(data, LEARNING_KEYS, where),
        created_at=read.optional_time(data, "created_at", where),
        updated_at=read.optional_time(data, "updated_at", where),
    )


def _tags(data: Mapping[str, Any], where: str) -> tuple[str, ...]:
    try:
        return tuple(values.distinct_tags(read.as_list(data, "tags")))
    except BAD as error:
        raise InvalidValueError(f"{where}{error}") from None
