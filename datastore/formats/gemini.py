"""Gemini CLI: its sessions, one JSON document (until 2025) or JSON lines that also change and take back earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import (
    BAD,
    Context,
    Format,
    Items,
    Notes,
    as_object,
    id_of,
    make_message,
    objects,
    some,
    title_of,
)
from datastore.formats.blocks import parts_of, text_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.formats.records import Record
from datastore.records import Role

_ROLES: Mapping[str, Role] = {
    "user": "user", "gemini": "assistant", "model": "assistant", "info": "system", "warning": "system", "error": "system"
}  # fmt: skip

_SESSION = {"projectHash": "project_hash", "summary": "summary", "directories": "directories", "kind": "kind"}


def _recognize(value: Any) -> str | None:
    if isinstance(value, dict) and "sessionId" in value and "projectHash" in value:
        return "it has a sessionId and a projectHash"
    return None


@attrs.define
class _Session:
    line: int
    data: dict[str, Any] = attrs.field(factory=dict)
    #: By id, in the order of their first records: the latest record of each message, its line, the message that it follows.
    turns: dict[str, tuple[dict[str, Any], int, str]] = attrs.field(factory=dict)
    #: The ids of the current branch.
    path: list[str] = attrs.field(factory=list)


def _read(records: Iterator[Record], context: Context) -> Items:
    session: _Session | None = None
    for record in records:
        notes = Notes(context, record.line)
        try:
            data = as_object(record.value)
            if "sessionId" in data and data.get("sessionId") != (session.data.get("sessionId") if session else None):
                if session is not None:
                    yield from _conversation(session, context)
                session = _Session(record.line)
            if session is None:
                raise InvalidValueError("sessionId: is missing")
            _add(session, data, notes)
        except BAD as error:
            notes.bad(error)
        yield from notes.take()
    if session is not None:
        yield from _conversation(session, context)


def _add(session: _Session, data: dict[str, Any], notes: Notes) -> None:
    if isinstance(back := data.get("$rewindTo"), str):
        session.path = session.path[: session.path.index(back)] if back in session.path else []
        notes.ignored("rewind")
    elif isinstance(changes := data.get("$set"), dict):
        _fields(session, changes, notes)
        notes.ignored("change of the session's fields")
    elif "sessionId" in data:
        _fields(session, data, notes)
    else:
        _turn(session, data, notes)


def _fields(session: _Session, data: Mapping[str, Any], notes: Notes) -> None:
    session.data |= {key: value for key, value in data.items() if key != "messages"}
    for turn in data.get("messages") or []:
        try:
            _turn(session, as_object(turn), notes)
        except BAD as error:
            notes.bad(error)


def _turn(session: _Session, turn: dict[str, Any], notes: Notes) -> None:
    id = id_of(turn.get("id"), 150) or f"line {notes.line}, message {len(session.turns) + 1}"
    if id in session.turns:  # its calls have got their results
        _, line, parent = session.turns[id]
        session.turns[id] = (turn, line, parent)
        return
    session.turns[id] = (turn, notes.line, session.path[-1] if session.path else ROOT)
    session.path.append(id)


def _conversation(session: _Session, context: Context) -> Items:
    notes = Notes(context, session.line)
    data = session.data
    metadata = some(data, _SESSION)
    messages: list[ImportedMessage] = []
    last: dict[str, str] = {ROOT: ROOT}
    for id, (turn, line, parent) in session.turns.items():
        notes.line = line
        last[id] = last.get(parent, ROOT)
        try:
            found = _messages(id, turn, last[id], notes)
        except BAD as error:
            notes.bad(error)
            continue
        if not found:
            notes.ignored("empty message")
            continue
        messages += found
        last[id] = found[-1].id or ROOT
    yield from notes.take()
    id = notes.field(id_of, data.get("sessionId"))
    if id is None:
        notes.bad("sessionId: is missing")
    else:
        yield (
            session.line,
            ImportedConversation(
                id=id,
                session_id=id,
                source="gemini-cli",
                title=notes.field(title_of, data.get("summary"), metadata),
                metadata=metadata,
                created_at=notes.field(read.any_time, data, "startTime"),
                updated_at=notes.field(read.any_time, data, "lastUpdated"),
                messages=tuple(messages),
                current=last.get(session.path[-1]) if session.path else None,
            ),
        )
    yield from notes.take()


def _messages(id: str, turn: Mapping[str, Any], parent: str, notes: Notes) -> list[ImportedMessage]:
    kind = turn.get("type", turn.get("role"))
    if not isinstance(kind, str) or kind not in _ROLES:
        raise InvalidValueError(f"type: must be one of {', '.join(_ROLES)}")
    made = notes.field(read.any_time, turn, "timestamp")
    metadata = some(turn, {"model": "model", "tokens": "usage"})
    if _ROLES[kind] == "system":
        metadata["kind"] = kind
    calls = objects(turn.get("toolCalls"))
    parts = [make.thinking(text) for thought in objects(turn.get("thoughts")) if (text := _thought(thought))]
    parts += parts_of(turn.get("content"))
    parts += [
        make.tool_call(notes.field(id_of, call.get("id")), str(call.get("name") or ""), call.get("args"))
        for call in calls
    ]
    found = [
        make_message(_ROLES[kind], parts, id=id, parent=parent, metadata=metadata, created_at=made, line=notes.line)
    ]
    for number, call in enumerate(calls, 1):
        if call.get("result") is not None or call.get("resultDisplay") is not None:
            time = notes.field(read.any_time, call, "timestamp")
            found.append(
                make_message(
                    "tool", _result(call, notes), id=f"{id}:{number}", created_at=time or made, line=notes.line
                )
            )
    return [message for message in found if message is not None]


def _thought(thought: Mapping[str, Any]) -> str:
    return "\n".join(filter(None, (text_of(thought.get("subject")), text_of(thought.get("description")))))


def _result(call: Mapping[str, Any], notes: Notes) -> list[Part]:
    inner = parts_of(call.get("result")) or parts_of(text_of(call.get("resultDisplay")))
    text = make.content_of(part for part in inner if part["type"] not in ("image", "file"))
    is_error = True if call.get("status") == "error" else None
    result = make.tool_result(
        notes.field(id_of, call.get("id")), text, name=str(call.get("name") or "") or None, is_error=is_error
    )
    return [result, *(part for part in inner if part["type"] in ("image", "file"))]


GEMINI = Format("gemini-cli", _recognize, _read)
