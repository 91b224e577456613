"""Conversations that are lists of messages under other keys: ShareGPT, WildChat and LMSYS, LangChain's dumps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.base import (
    Context,
    Format,
    Items,
    Notes,
    as_object,
    hash_of,
    id_of,
    make_message,
    per_record,
    title_of,
)
from datastore.formats.blocks import decoded, parts_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.records import Record
from datastore.formats.turns import is_turn, read_turns

_SHAREGPT = ("conversations", "conversation", "items", "dialogue", "chat", "turns")

#: Keys that describe a conversation, and are read into its own fields.
_READ = frozenset(
    {
        "id",
        "conversation_id",
        "conversation_hash",
        "title",
        "system",
        "created_at",
        "timestamp",
        "tstamp",
        "create_time",
        "metadata",
    }
)

#: What identifies a person, and what a classifier computed: not kept.
_PERSONAL = frozenset({"hashed_ip", "header", "openai_moderation", "detoxify_moderation"})


def _list_of(value: Any, keys: tuple[str, ...] = _SHAREGPT) -> str | None:
    """The key of a record's list of messages."""
    if isinstance(value, dict):
        for key in keys:
            turns = value.get(key)
            if isinstance(turns, list) and turns and all(map(is_turn, turns)):
                return key
    return None


def _recognize_wildchat(value: Any) -> str | None:
    known = isinstance(value, dict) and (
        "conversation_hash" in value or ("conversation_id" in value and "model" in value)
    )
    if known and _list_of(value, ("conversation",)):
        return "it has a conversation, and its id or hash"
    if isinstance(value, dict) and _list_of(value, ("conversation_a",)) and _list_of(value, ("conversation_b",)):
        return "it has conversations a and b"
    return None


def _recognize_sharegpt(value: Any) -> str | None:
    key = _list_of(value)
    return f"it has {key} with messages" if key else None


def _wildchat(value: Any, notes: Notes) -> ImportedConversation:
    data = as_object(value)
    if isinstance(data.get("conversation_a"), list):
        return _battle(data, notes)
    return _listed(data, "conversation", "wildchat", notes)


def _sharegpt(value: Any, notes: Notes) -> ImportedConversation:
    data = as_object(value)
    key = _list_of(data) or next((key for key in _SHAREGPT if isinstance(data.get(key), list)), None)
    if key is None:
        raise InvalidValueError("conversations: must be a list of messages")
    return _listed(data, key, "sharegpt", notes)


def _listed(data: Mapping[str, Any], key: str, source: str, notes: Notes) -> ImportedConversation:
    id = next(
        (id for name in ("conversation_hash", "conversation_id", "id") if (id := notes.field(id_of, data.get(name)))),
        None,
    )
    metadata = _metadata(data, {key})
    system = make_message("system", parts_of(data.get("system"))) if isinstance(data.get("system"), str) else None
    turns = read_turns(data.get(key), notes, key)
    made = next(
        (t for k in ("created_at", "timestamp", "tstamp", "create_time") if (t := notes.field(read.any_time, data, k))),
        None,
    )
    return ImportedConversation(
        id=id or hash_of(data),
        source=source,
        title=notes.field(title_of, data.get("title"), metadata),
        metadata=metadata,
        created_at=made,
        messages=(system, *turns) if system else turns,
    )


def _metadata(data: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    metadata = {
        key: value
        for key, value in data.items()
        if key not in (_READ | _PERSONAL | used) and value not in (None, "", [], {})
    }
    if isinstance(given := data.get("metadata"), dict):
        metadata |= given
    values.encode_json(metadata)
    return metadata


def _battle(data: Mapping[str, Any], notes: Notes) -> ImportedConversation:
    """Two models' conversations about the same questions: two branches."""
    messages: list[ImportedMessage] = []
    for side in ("a", "b"):
        for number, turn in enumerate(read_turns(data.get(f"conversation_{side}"), notes, f"conversation_{side}"), 1):
            model = data.get(f"model_{side}")
            metadata = (
                {**turn.metadata, "model": model}
                if turn.role == "assistant" and isinstance(model, str)
                else turn.metadata
            )
            messages.append(
                attrs.evolve(turn, id=f"{side}:{number}", parent=ROOT if number == 1 else None, metadata=metadata)
            )
    id = next(
        (id for key in ("conversation_id", "question_id", "id") if (id := notes.field(id_of, data.get(key)))), None
    )
    return ImportedConversation(
        id=id or hash_of(data),
        source="wildchat",
        metadata=_metadata(data, {"conversation_a", "conversation_b"}),
        created_at=notes.field(read.any_time, data, "tstamp"),
        messages=tuple(messages),
    )


def _recognize_langchain(value: Any) -> str | None:
    if isinstance(value, list):
        return "it is an array of LangChain's messages" if value and all(map(_is_langchain, value)) else None
    if _is_langchain(value):
        return "it is a message of LangChain"
    if isinstance(value, dict) and _chat_of(value) is not None:
        return "it has messages of LangChain"
    return None


def _is_langchain(value: Any) -> bool:
    if not isinstance(value, dict) or not is_turn(value):
        return False
    return (
        "lc" in value
        or (isinstance(value.get("data"), dict) and "type" in value)
        or ("type" in value and "additional_kwargs" in value)
    )


def _chat_of(data: Mapping[str, Any]) -> list[Any] | None:
    """The list of messages in a history, a prompt value, an agent's state, or a row of a history's table."""
    inner = data.get("kwargs") if "lc" in data else data
    if not isinstance(inner, dict):
        return None
    for key in ("messages", "chat_history", "history", "message", "History"):
        value = decoded(inner.get(key))
        if isinstance(value, list) and value and all(map(_is_langchain, value)):
            return value
        if _is_langchain(value):
            return [value]
    return None


def _langchain(records: Iterator[Record], context: Context) -> Items:
    """Messages of one array, or rows of one session, are one conversation."""
    turns: list[Any] = []
    data: dict[str, Any] = {}
    line = 0
    group: object = None
    for record in records:
        value = record.value
        found = (
            [value]
            if _is_langchain(value)
            else value
            if isinstance(value, list)
            else _chat_of(value)
            if isinstance(value, dict)
            else None
        )
        if found is None:
            notes = Notes(context, record.line)
            notes.bad("expected messages of LangChain")
            yield from notes.take()
            continue
        session = (
            next((value[key] for key in ("session_id", "SessionId") if value.get(key)), None)
            if isinstance(value, dict)
            else None
        )
        mine = session if session is not None else record.array if _is_langchain(value) else object()
        if turns and mine != group:
            yield from _history(turns, data, line, context)
            turns = []
        if not turns:
            data, line, group = value if isinstance(value, dict) and not _is_langchain(value) else {}, record.line, mine
        turns += found
    if turns:
        yield from _history(turns, data, line, context)


def _history(turns: list[Any], data: dict[str, Any], line: int, context: Context) -> Items:
    notes = Notes(context, line)
    messages = read_turns(turns, notes)
    id = next((id for key in ("session_id", "SessionId", "thread_id", "id") if (id := _id(data.get(key)))), None)
    yield (
        line,
        ImportedConversation(
            id=id or hash_of(turns),
            session_id=_id(data.get("session_id", data.get("SessionId"))),
            source="langchain",
            messages=messages,
        ),
    )
    yield from notes.take()


def _id(value: object) -> str | None:
    return id_of(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


WILDCHAT = Format("wildchat", _recognize_wildchat, per_record(_wildchat))
SHAREGPT = Format("sharegpt", _recognize_sharegpt, per_record(_sharegpt))
LANGCHAIN = Format("langchain", _recognize_langchain, _langchain)
