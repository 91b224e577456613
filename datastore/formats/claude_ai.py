"""Claude.ai: the conversations of an export (``conversations.json``), and single conversations as its site gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import (
    BAD,
    Format,
    Notes,
    as_object,
    id_of,
    make_message,
    objects,
    per_record,
    some,
    title_of,
)
from datastore.formats.blocks import parts_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.records import Role

_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}

#: What the messages of a site's tree name as the parent of the first ones.
_NO_PARENT = "00000000-0000-4000-8000-000000000000"

_CONVERSATION = {
    "summary": "summary",
    "model": "model",
    "project_uuid": "project_id",
    "is_starred": "is_starred",
    "settings": "settings",
    "platform": "platform",
}


def _recognize(value: Any) -> str | None:
    return "it has chat_messages" if isinstance(value, dict) and isinstance(value.get("chat_messages"), list) else None


def _conversation(value: Any, notes: Notes) -> ImportedConversation:
    data = as_object(value)
    id = notes.field(id_of, data.get("uuid", data.get("id")))
    if id is None:
        raise InvalidValueError("uuid: is missing")
    metadata = some(data, _CONVERSATION)
    if isinstance(project := data.get("project"), dict):
        metadata |= some(project, {"uuid": "project_id", "name": "project"})
    messages: list[ImportedMessage] = []
    ids: set[str] = set()
    gone: dict[str, str] = {}
    for number, message in enumerate(data.get("chat_messages") or [], 1):
        try:
            found = _message(as_object(message), ids, gone, notes)
        except BAD as error:
            notes.bad(f"message {number}: {error}")
            if isinstance(message, dict) and isinstance(message.get("uuid"), str):
                gone[message["uuid"]] = str(message.get("parent_message_uuid") or "")
            continue
        if found is None:
            notes.ignored("empty message")
            gone[str(message.get("uuid"))] = str(message.get("parent_message_uuid") or "")
        elif found.id in ids:
            notes.ignored("repeated message")
        else:
            messages.append(found)
            ids.add(found.id or "")
    leaf = data.get("current_leaf_message_uuid")
    return ImportedConversation(
        id=id,
        source="claude-ai",
        title=notes.field(title_of, data.get("name", data.get("title")), metadata),
        metadata=metadata,
        created_at=notes.field(read.any_time, data, "created_at"),
        updated_at=notes.field(read.any_time, data, "updated_at"),
        messages=tuple(messages),
        current=leaf if leaf in ids else None,
    )


def _message(data: Mapping[str, Any], ids: set[str], gone: Mapping[str, str], notes: Notes) -> ImportedMessage | None:
    sender = data.get("sender", data.get("role"))
    if not isinstance(sender, str) or sender not in _ROLES:
        raise InvalidValueError(f"sender: must be one of {', '.join(_ROLES)}")
    parts = parts_of(data.get("content"))
    if not any(part["type"] == "text" for part in parts) and isinstance(data.get("text"), str):
        parts += parts_of(data["text"])
    for attachment in objects(data.get("attachments")):
        parts += parts_of({"type": "document", **attachment})
    for key in ("files", "files_v2"):
        for file in objects(data.get(key)):
            if not any(_same_file(file, part) for part in parts):
                parts.append(_file(file))
    return make_message(
        _ROLES[sender],
        parts,
        id=id_of(data.get("uuid", data.get("id"))),
        parent=_parent(data.get("parent_message_uuid"), ids, gone),
        metadata=some(data, {"model": "model", "stop_reason": "stop_reason", "truncated": "truncated"}),
        created_at=notes.field(read.any_time, data, "created_at", "message "),
        line=notes.line,
    )


def _parent(parent: object, ids: set[str], gone: Mapping[str, str]) -> str | None:
    for _ in range(len(gone) + 1):
        if not isinstance(parent, str) or not parent:
            return None
        if parent == _NO_PARENT:
            return ROOT
        if parent in ids:
            return parent
        parent = gone.get(parent)
    return None


def _same_file(file: Mapping[str, Any], part: Part) -> bool:
    return part["type"] in ("file", "image") and part.get("name") == file.get("file_name", file.get("name"))


def _file(file: Mapping[str, Any]) -> Part:
    name = file.get("file_name", file.get("name"))
    id = file.get("file_uuid", file.get("uuid"))
    return make.file(
        "image" if file.get("file_kind") == "image" else "file",
        name=name if isinstance(name, str) and name else None,
        size=size if isinstance(size := file.get("size_bytes"), int) else None,
        url=id if isinstance(id, str) else None,
    )


CLAUDE_AI = Format("claude-ai", _recognize, per_record(_conversation))
