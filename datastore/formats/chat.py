"""The chat JSON-lines format: one conversation per line, an extension of OpenAI's fine-tuning format.

``{"id": "c1", "messages": [{"role": "user", "content": "Hello"}], "metadata": {}}``; every stored
field of a conversation, a branch, a message or a learning may be added under its own name. Requests and responses of OpenAI's and
Anthropic's interfaces, lines of their batch files, and plain arrays of messages are read, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import attrs

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.base import (
    BAD,
    Context,
    Format,
    Items,
    Notes,
    as_object,
    hash_of,
    id_of,
    make_message,
    objects,
    title_of,
)
from datastore.formats.blocks import parts_of
from datastore.formats.interfaces import answered, is_response, is_wrapped, read_interface
from datastore.formats.items import ImportedBranch, ImportedConversation, ImportedLearning, ImportedMessage
from datastore.formats.learnings import learning_of
from datastore.formats.records import Record
from datastore.formats.turns import is_turn, read_one, read_turns
from datastore.records.parts import decode_parts
from datastore.records.parts import text_of as text_of_parts

CONVERSATION_KEYS = frozenset(
    {
        "id", "session_id", "correlation_id", "source", "title", "sanitization_version", "metadata",
        "created_at", "updated_at", "completed_at", "deleted_at", "last_position", "messages", "learnings",
        "active_branch", "last_branch", "branches",
    }
)  # fmt: skip

#: The keys of a message that only this library writes.
_OWN_KEYS = frozenset({"position", "branch", "source_id", "partial"})


def _recognize(value: Any) -> str | None:
    if isinstance(value, list):
        return "it is an array of messages" if value and all(map(is_turn, value)) else None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("messages"), list):
        return "it has messages"
    if is_turn(value) and "message_tree_id" not in value:
        return "it is a message with a role"
    if isinstance(value.get("contents"), list) or is_response(value):
        return "it is a request or a response of a model's interface"
    if ("custom_id" in value or "request" in value) and is_wrapped(value):
        return "it has a request or a response with messages"
    if isinstance(value.get("prompt"), str) and isinstance(value.get("completion"), str):
        return "it has a prompt and a completion"
    return None


def _read(records: Iterator[Record], context: Context) -> Items:
    for value, line, name in _gathered(records, context):
        notes = Notes(context, line)
        try:
            yield line, read_conversation(value, notes, name)
        except BAD as error:
            notes.bad(error)
        yield from notes.take()


#: Messages of one array that are read at once; the rest of a longer array is a conversation of its own.
MAX_TURNS = 100_000


def _gathered(records: Iterator[Record], context: Context) -> Iterator[tuple[Any, int, str | None]]:
    """Records as they are; messages that follow each other, in one array or as lines of their own, as one list."""
    turns: list[Any] = []
    line = array = 0
    for record in records:
        turn = is_turn(record.value) and not (isinstance(record.value, dict) and record.value.get("type") == "message")
        if turns and (not turn or record.array != array or len(turns) == MAX_TURNS):
            yield turns, line, None if array else _name_of(context)
            turns = []
        if turn:
            if not turns:
                line, array = record.line, record.array
            turns.append(record.value)
        else:
            yield record.value, record.line, None
    if turns:
        yield turns, line, None if array else _name_of(context)


def _name_of(context: Context) -> str:
    """The id of a conversation whose messages are the lines of a file: the file grows, so its content cannot name it."""
    name = PurePath(context.file).name.encode("utf-8", "backslashreplace").decode()
    return id_of(f"chat:{name}") or "chat"


def read_chat(text: str) -> ImportedConversation:
    """Read one line of chat; messages that cannot be stored are left out.

    Raises:
        InvalidValueError: The line is invalid; the message says why, without quoting the line.
    """
    return read_conversation(read.parse_object(text), Notes(Context(""), 1))


def read_conversation(value: Any, notes: Notes, name: str | None = None) -> ImportedConversation:
    """The conversation of one record.

    A record without an id gets *name*, or an id derived from its SHA-256, so it is stable. Unknown keys are stored in the metadata.

    Raises:
        InvalidValueError: It has no messages.
    """
    if isinstance(value, list):
        return ImportedConversation(id=name or hash_of(value), messages=read_turns(value, notes))
    data = as_object(value)
    if not isinstance(data.get("messages"), list):
        return read_interface(data, notes)
    messages, branches, metadata_of_branches = _messages(data, notes)
    id = notes.field(id_of, data.get("id")) or notes.field(id_of, data.get("custom_id")) or hash_of(data)
    metadata = {
        **metadata_of_branches,
        **(notes.field(read.read_metadata, data, CONVERSATION_KEYS | _used(data)) or {}),
    }
    learnings = notes.field(read.as_list, data, "learnings") or []
    found = [notes.field(_learning, part, f"learnings[{number}].", id) for number, part in enumerate(learnings, 1)]
    return ImportedConversation(
        id=id,
        session_id=notes.field(_text, data, "session_id", 200),
        correlation_id=notes.field(_text, data, "correlation_id", 200),
        source=notes.field(_text, data, "source", 200),
        title="" if data.get("title") == "" else notes.field(title_of, data.get("title"), metadata),
        sanitization_version=notes.field(_text, data, "sanitization_version", 100),
        metadata=metadata,
        created_at=notes.field(read.any_time, data, "created_at"),
        updated_at=notes.field(read.any_time, data, "updated_at"),
        completed_at=notes.field(read.any_time, data, "completed_at"),
        deleted_at=notes.field(read.any_time, data, "deleted_at"),
        last_position=notes.field(read.optional_integer, data, "last_position", "", 0),
        messages=messages,
        branches=branches,
        active_branch=notes.field(read.optional_integer, data, "active_branch", "", 0),
        last_branch=notes.field(read.optional_integer, data, "last_branch", "", 0),
        learnings=tuple(learning for learning in found if learning is not None),
    )


def _used(data: Mapping[str, Any]) -> frozenset[str]:
    """Keys that are read into messages: Anthropic's system prompt, alternatives for preference tuning."""
    return frozenset(
        key
        for key in ("system", "choices", "output", "preferred_output", "non_preferred_output", "custom_id")
        if key in data
    )


def _text(data: Mapping[str, Any], key: str, longest: int) -> str | None:
    """A text; a number is one, too, and an empty one is none."""
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return read.optional_text({key: value}, key, longest=longest) if value != "" else None


def _learning(data: Any, where: str, conversation_id: str) -> ImportedLearning:
    if not isinstance(data, dict):
        raise InvalidValueError(f"{where[:-1]}: must be a JSON object")
    return learning_of(data, where, conversation_id)


def _messages(
    data: Mapping[str, Any], notes: Notes
) -> tuple[tuple[ImportedMessage, ...], tuple[ImportedBranch, ...], dict[str, Any]]:
    lines = data["messages"]
    if any(isinstance(line, dict) and _OWN_KEYS & line.keys() for line in lines):
        branches = [notes.field(_branch, part) for part in objects(data.get("branches"))]
        return _own_messages(lines, notes), tuple(branch for branch in branches if branch is not None), {}
    first = parts_of(data.get("system")) if not isinstance(data.get("system"), int | float | bool) else []
    system = make_message("system", first) if first else None
    found = read_turns(lines, notes)
    return tuple(answered([*((system,) if system else ()), *found], data, notes)), (), {}


def _branch(data: Mapping[str, Any]) -> ImportedBranch:
    label = data.get("label")
    return ImportedBranch(
        branch=read.check_integer(data.get("branch"), "branches: branch", 1),
        parent_branch=read.check_integer(data.get("parent_branch", 0), "branches: parent_branch", 0),
        fork_position=read.check_integer(data.get("fork_position", 0), "branches: fork_position", 0),
        last_position=read.optional_integer(data, "last_position", "branches: ", 0),
        label=read.optional_text({"label": label}, "label", "branches: ", 200),
        created_at=read.any_time(data, "created_at", "branches: "),
    )


def _own_messages(lines: list[Any], notes: Notes) -> tuple[ImportedMessage, ...]:
    """Messages with the fields that an export of this library writes."""
    messages: list[ImportedMessage] = []
    ids: set[str] = set()
    last: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        where = f"messages[{number}]"
        try:
            data = as_object(line)
            found = _own_message(data, notes)
            if found is None:
                notes.ignored("empty message")
                continue
            position = last.get(found.branch or 0, 0) + 1 if found.position is None else found.position
            if found.position is not None and position <= last.get(found.branch or 0, 0):
                raise InvalidValueError("position: must be greater than the previous one on its branch")
            if found.id is not None and found.id in ids:
                raise InvalidValueError("id: another message of this conversation has the same id")
        except BAD as error:
            notes.bad(f"{where}: {error}")
            continue
        if found.id is not None:
            ids.add(found.id)
        last[found.branch or 0] = position
        messages.append(found)
    return tuple(messages)


#: All keys of a message that an export has.
_EXPORTED = _OWN_KEYS | {"id", "role", "content", "parts", "token_count", "metadata", "created_at"}


def _own_message(data: dict[str, Any], notes: Notes) -> ImportedMessage | None:
    exported = data.keys() <= _EXPORTED and isinstance(data.get("content"), str)
    plain = {key: value for key, value in data.items() if key not in _OWN_KEYS}
    if exported:
        plain.pop("parts", None)
        plain["content"] = "x"  # the role, the times and the metadata are read as in any other message
    found = read_one(plain, notes)
    if len(found) != 1 or (exported and not (data["content"] or data.get("parts") or data.get("partial"))):
        return None
    content, parts = found[0].content, found[0].parts
    if exported:
        parts = decode_parts(data["parts"]) if data.get("parts") else ()
        content = data["content"] or text_of_parts(parts)
        values.encode_json(data.get("parts"))
    return attrs.evolve(
        found[0],
        content=read.check_content(content, "content", may_be_empty=bool(parts) or data.get("partial") is True),
        parts=parts,
        source_id=id_of(data.get("source_id")),
        branch=read.optional_integer(data, "branch", "", 0),
        position=read.optional_integer(data, "position", "", 1),
        partial=data.get("partial") is True,
    )


CHAT = Format("chat", _recognize, _read)
