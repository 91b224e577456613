"""Reads one message of a list, whatever library or service wrote it: OpenAI, Anthropic, Gemini, LangChain, ShareGPT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import BAD, Notes, as_object, id_of, make_message, objects
from datastore.formats.blocks import decoded, parts_of, text_of
from datastore.formats.items import ImportedMessage
from datastore.formats.parts import Part
from datastore.records import Role

ROLES: Mapping[str, Role] = {
    "user": "user", "human": "user", "prompter": "user", "HumanMessage": "user", "HumanMessageChunk": "user",
    "assistant": "assistant", "ai": "assistant", "model": "assistant", "gpt": "assistant", "chatgpt": "assistant",
    "bing": "assistant", "bard": "assistant", "claude": "assistant", "bot": "assistant", "AIMessage": "assistant",
    "AIMessageChunk": "assistant", "system": "system", "developer": "system", "SystemMessage": "system",
    "SystemMessageChunk": "system", "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "tool_response": "tool", "function_response": "tool", "ToolMessage": "tool", "FunctionMessage": "tool",
}  # fmt: skip

#: What ShareGPT files call a turn that is a call of a tool.
_CALLS = ("function_call", "tool_call")

_CONTENT = ("content", "value", "parts", "text", "message")
_IDS = ("id", "uuid", "message_id")
_TIMES = ("created_at", "timestamp", "create_time", "date", "ts")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts")

#: Keys that are read into the message itself; all others are kept in its metadata.
_KNOWN = frozenset(
    {
        "role", "from", "sender", "author", "type", "object", "tool_calls", "function_call", "tool_call_id", "refusal", "audio",
        "metadata", "kwargs", "lc", "data", "token_count", "additional_kwargs", "invalid_tool_calls", "is_error", "annotations",
        *_CONTENT, *_IDS, *_TIMES, *_THOUGHTS,
    }
)  # fmt: skip

#: Keys of LangChain's messages that say nothing if they have these values.
_DEFAULTS: Mapping[str, object] = {"example": False, "artifact": None, "status": "success", "name": None}


def read_turns(turns: Any, notes: Notes, where: str = "messages") -> tuple[ImportedMessage, ...]:
    """The messages of a list; one that cannot be stored, or has nothing in it, is reported, and costs no other.

    Raises:
        InvalidValueError: *turns* is no list.
    """
    if not isinstance(turns, list):
        raise InvalidValueError(f"{where}: must be a list of messages")
    found: list[ImportedMessage] = []
    ids: set[str] = set()
    for number, turn in enumerate(turns, 1):
        try:
            read_turn = read_one(turn, notes)
        except BAD as error:
            notes.bad(f"{where}[{number}]: {error}")
            continue
        if not read_turn:
            notes.ignored("empty message")
        for message in read_turn:
            if message.id in ids:
                notes.ignored("repeated message")
                continue
            found.append(message)
            if message.id is not None:
                ids.add(message.id)
    return tuple(found)


def read_one(turn: Any, notes: Notes) -> list[ImportedMessage]:
    """The messages of one turn; none if there is nothing in it.

    Raises:
        InvalidValueError: It cannot be stored.
    """
    return _plain(turn, notes) or _turn(turn, notes)


def _plain(turn: Any, notes: Notes) -> list[ImportedMessage] | None:
    """A message that is only a role and a text, as most are: this takes a fifth of the time."""
    if not isinstance(turn, dict) or len(turn) != 2:
        return None
    role, content = turn.get("role"), turn.get("content")
    if role not in ("user", "assistant", "system") or not isinstance(content, str) or not content:
        return None
    return [ImportedMessage(role=role, content=read.check_content(content, "content"), line=notes.line)]


def is_turn(value: Any) -> bool:
    """Whether a value has the shape of a message."""
    if not isinstance(value, dict):
        return False
    if "lc" in value:
        return _class_name(value).endswith(("Message", "MessageChunk"))
    role = _role_name(value)
    return (
        role is not None
        and (role in ROLES or role in _CALLS)
        and any(key in value for key in (*_CONTENT, "data", "tool_calls"))
    )


def _class_name(value: Mapping[str, Any]) -> str:
    id = value.get("id")
    return id[-1] if isinstance(id, list) and id and isinstance(id[-1], str) else ""


def _role_name(data: Mapping[str, Any]) -> str | None:
    for key in ("role", "from", "sender", "author", "type"):
        value = data.get(key)
        if isinstance(value, dict):
            value = value.get("role")
        if isinstance(value, str) and (key != "type" or value in ROLES):
            return value
    return None


def _turn(turn: Any, notes: Notes) -> list[ImportedMessage]:
    data = as_object(turn)
    if isinstance(data.get("kwargs"), dict) and "lc" in data:
        name = _class_name(data)
        data = {"type": name, **data["kwargs"]}
        if data.get("type") not in ROLES and data.get("role") is None:
            data["type"] = name
    elif isinstance(data.get("data"), dict) and data.get("type") in (*ROLES, "chat"):
        data = {**data["data"], "type": data["type"]}
    role_name = _role_name(data)
    if role_name is None:
        return _item(data, notes)
    if role_name in _CALLS:
        value = decoded(data.get("value", data.get("content")))
        inner = value if isinstance(value, dict) else {"arguments": value}
        return _messages("assistant", parts_of({"type": "tool_call", **inner}), data, notes)
    if role_name not in ROLES:
        raise InvalidValueError(
            "role: must be one of user, assistant, system, tool, developer, function, human, ai, model"
        )
    role = ROLES[role_name]
    return _messages(role, _parts(role, data), data, notes)


def _item(data: Mapping[str, Any], notes: Notes) -> list[ImportedMessage]:
    """An item of the Responses interface that is no message: a call, its output, the model's reasoning."""
    kind = data.get("type")
    if not isinstance(kind, str):
        raise InvalidValueError("role: is missing")
    if kind in ("item_reference", "compaction"):
        notes.ignored(kind)
        return []
    role: Role = "tool" if kind.endswith(("_output", "_response", "_result")) else "assistant"
    parts = parts_of(dict(data), "item")
    return _messages(role, parts, {key: data[key] for key in _IDS if key in data}, notes)


def _parts(role: Role, data: Mapping[str, Any]) -> list[Part]:
    content = next((data[key] for key in _CONTENT if data.get(key) is not None), None)
    found = [make.thinking(text) for key in _THOUGHTS if (text := text_of(data.get(key)))][:1]
    call_id = data.get("tool_call_id")
    if role == "tool" and not _has_results(content):
        name = data.get("name")
        return [
            *found,
            *parts_of({
                "type": "tool_result",
                "tool_call_id": call_id,
                "name": name if isinstance(name, str) else None,
                "content": content if content is not None else "",
                "is_error": True if data.get("status") == "error" else data.get("is_error"),
            }),
        ]  # fmt: skip
    found += parts_of(content)
    if text := text_of(data.get("refusal")):
        found.append(make.refusal(text))
    if isinstance(audio := data.get("audio"), dict):
        found += parts_of({"type": "audio", "file_id": audio.get("id"), "extracted_content": audio.get("transcript")})
    given = data.get("additional_kwargs")
    extra = given if isinstance(given, dict) else {}
    known = {part.get("call_id") for part in found if part["type"] == "tool_call" and part.get("call_id")}
    calls = data.get("tool_calls") or extra.get("tool_calls")
    for call in objects(calls) + objects(data.get("invalid_tool_calls")):
        found += [
            part
            for part in parts_of({**call, "type": "tool_call"})
            if part.get("call_id") is None or part.get("call_id") not in known
        ]
    if isinstance(legacy := data.get("function_call") or extra.get("function_call"), dict):
        found += parts_of({"type": "function_call", **legacy})
    for annotation in objects(data.get("annotations")):
        inner = annotation.get("url_citation", annotation)
        if isinstance(inner, dict) and isinstance(inner.get("url"), str):
            title = inner.get("title")
            found.append(make.file("file", name=title if isinstance(title, str) and title else None, url=inner["url"]))
    return found


def _has_results(content: Any) -> bool:
    return any(
        str(block.get("type", "")).endswith("tool_result") or "functionResponse" in block for block in objects(content)
    )


def _messages(role: Role, parts: list[Part], data: Mapping[str, Any], notes: Notes) -> list[ImportedMessage]:
    """The messages of one turn: the results of tools are messages of their own, as most services store them."""
    id = next((id for key in _IDS if (id := notes.field(id_of, data.get(key)))), None)
    made = next((time for key in _TIMES if (time := notes.field(read.any_time, data, key))), None)
    found_metadata = notes.field(_metadata, data)
    metadata: dict[str, Any] = found_metadata if isinstance(found_metadata, dict) else {}
    token_count = notes.field(read.optional_integer, data, "token_count", "", 0)
    found: list[ImportedMessage] = []
    for number, (speaker, piece) in enumerate(_split(role, parts), 1):
        message = make_message(
            speaker,
            piece,
            id=id if number == 1 or id is None else f"{id}:{number}"[:200],
            metadata=metadata,
            created_at=made,
            line=notes.line,
            exact=True,
        )
        if message is not None:
            found.append(message)
    if token_count is not None and len(found) == 1:
        found = [attrs.evolve(found[0], token_count=token_count)]
    return found


def _split(role: Role, parts: list[Part]) -> list[tuple[Role, list[Part]]]:
    if role != "user":
        return [(role, parts)]
    pieces: list[tuple[Role, list[Part]]] = []
    for part in parts:
        speaker: Role = "tool" if part["type"] == "tool_result" else "user"
        if part["type"] == "tool_result" or not pieces:
            pieces.append((speaker, [part]))
        elif pieces[-1][0] == "tool" and part["type"] == "text":
            pieces.append(("user", [part]))
        else:
            pieces[-1][1].append(part)
    return pieces


def _metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    unknown = {
        key: value
        for key, value in data.items()
        if key not in _KNOWN and value not in (None, "", [], {}) and _DEFAULTS.get(key, data) != value
    }
    given = data.get("metadata")
    metadata: dict[str, Any] = {**unknown, **given} if isinstance(given, dict) else unknown
    values.encode_json(metadata)
    return metadata
