"""Codex CLI: the rollouts of its sessions. JSON lines: what the session is, then items of the Responses interface, and events.

Items have no ids; a message's id is the number of its line, which does not change when a rollout grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import BAD, Context, Format, Items, Notes, as_object, id_of, make_message, some
from datastore.formats.blocks import parts_of, text_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.formats.records import Record
from datastore.records import Role

PIECE = 500
PIECE_SIZE = 4_194_304

#: Events that repeat what an item says, in the same words; others only say what the program does.
_REPEATING = ("user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content")

#: How many records later an event's words are taken to be said nowhere else.
_PATIENCE = 40

_ITEMS = (
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "local_shell_call", "local_shell_call_output", "web_search_call", "ghost_snapshot", "compaction", "compaction_summary",
    "image_generation_call", "tool_search_call", "tool_search_output", "mcp_tool_call", "mcp_tool_call_output",
)  # fmt: skip

_SILENT = ("ghost_snapshot", "compaction", "compaction_summary")

_SESSION = {
    "cwd": "cwd", "originator": "originator", "cli_version": "version", "model_provider": "model_provider", "source": "client",
    "forked_from_id": "forked_from", "agent_nickname": "agent_name", "agent_role": "agent_role",
}  # fmt: skip

#: The program writes these into the conversation in the person's name.
_INJECTED = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
    "<permissions instructions>",
    "<skill>",
)

_name = re.compile(r"[a-z0-9_]{1,40}")


def _recognize(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    if value.get("type") in ("session_meta", "response_item", "turn_context", "event_msg", "compacted") and isinstance(
        value.get("payload"), dict
    ):
        return f"a record of type {value['type']} has a payload"
    if (
        "instructions" in value
        and "timestamp" in value
        and "id" in value
        and "messages" not in value
        and "type" not in value
    ):
        return "its first record describes a session of Codex"
    return None


@attrs.define
class _Session:
    id: str
    line: int
    metadata: dict[str, Any] = attrs.field(factory=dict)
    created_at: Any = None
    begun: bool = False
    size: int = 0
    messages: list[ImportedMessage] = attrs.field(factory=list)
    model: str | None = None
    #: The lines of the person's messages on the current branch, with the id of the message before each.
    turns: list[str] = attrs.field(factory=list)
    tip: str | None = None
    #: The parent of the next message, after turns were taken back.
    parent: str | None = None

    def take(self) -> Iterator[tuple[int, ImportedConversation]]:
        if not self.messages:
            return
        yield (
            self.line,
            ImportedConversation(
                id=self.id,
                session_id=self.id,
                source="codex",
                metadata=dict(self.metadata),
                created_at=None if self.begun else self.created_at,
                messages=tuple(self.messages),
                continued=self.begun,
            ),
        )
        self.begun, self.messages, self.size = True, [], 0


@attrs.frozen
class _Event:
    """Words that an event has, and no item had yet."""

    kind: str
    text: str
    line: int
    number: int
    made: Any


class _Reader:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._session: _Session | None = None
        self._recent: list[str] = []
        self._waiting: list[_Event] = []
        self._number = 0

    def read(self, records: Iterator[Record]) -> Items:
        for self._number, record in enumerate(records, 1):
            notes = Notes(self._context, record.line)
            try:
                self._record(as_object(record.value), notes)
            except BAD as error:
                notes.bad(error)
            self._give_up(notes, self._number - _PATIENCE)
            session = self._session
            if session is not None and (len(session.messages) >= PIECE or session.size > PIECE_SIZE):
                yield from session.take()
                session.line = record.line
            yield from notes.take()
        notes = Notes(self._context, 1)
        self._give_up(notes, self._number + 1)
        if self._session is not None:
            yield from self._session.take()
        yield from notes.take()

    def _record(self, data: dict[str, Any], notes: Notes) -> None:
        kind, payload = data.get("type"), data.get("payload")
        made = notes.field(read.any_time, data, "timestamp")
        if not isinstance(payload, dict):
            if kind in _ITEMS:  # rollouts before September 2025 have items without a wrapper
                kind, payload = "response_item", data
            elif "instructions" in data or "git" in data:
                kind, payload = "session_meta", data
            elif "record_type" in data:
                notes.ignored("state")
                return
            else:
                raise InvalidValueError("payload: must be a JSON object")
        if kind == "session_meta":
            self._meta(payload, made, notes)
        elif kind == "response_item":
            self._item(payload, made, notes)
        elif kind == "event_msg":
            self._event(payload, made, notes)
        elif kind == "compacted":
            text = text_of(payload.get("message"))
            self._add("system", [make.text(text)] if text else [], {"compact_summary": True}, made, notes)
        elif kind == "turn_context":
            self._context_of(payload)
            notes.ignored("turn_context")
        else:
            raise InvalidValueError("type: a record of a type that is not known, which may have text")

    def _meta(self, payload: Mapping[str, Any], made: Any, notes: Notes) -> None:
        notes.ignored("session_meta")
        if self._session is not None:
            return  # that of the session from which this one was forked or resumed
        id = id_of(payload.get("id"))
        if id is None:
            raise InvalidValueError("id: is missing")
        metadata = some(payload, _SESSION)
        if isinstance(git := payload.get("git"), dict):
            metadata |= some(
                git, {"branch": "git_branch", "commit_hash": "git_commit", "repository_url": "git_repository"}
            )
        self._session = _Session(id, notes.line, metadata, made)
        instructions = text_of(payload.get("instructions")) or text_of(payload.get("base_instructions"))
        if instructions:
            self._add("system", [make.text(instructions)], {"kind": "instructions"}, made, notes)

    def _context_of(self, payload: Mapping[str, Any]) -> None:
        if self._session is not None:
            if isinstance(model := payload.get("model"), str):
                self._session.model = model
                self._session.metadata.setdefault("model", model)
            if isinstance(cwd := payload.get("cwd"), str):
                self._session.metadata.setdefault("cwd", cwd)

    def _item(self, payload: Mapping[str, Any], made: Any, notes: Notes) -> None:
        kind = payload.get("type")
        if kind in _SILENT:
            notes.ignored(str(kind))
            return
        if kind == "message":
            name = payload.get("role")
            role: Role = "system" if name in ("developer", "system") else "assistant" if name == "assistant" else "user"
            parts = parts_of(payload.get("content"))
            text = make.content_of(parts)
            metadata: dict[str, Any] = {"phase": payload.get("phase")}
            if role == "user" and text.lstrip().startswith(_INJECTED):
                role, metadata = "system", {"injected": True}
        else:
            parts = parts_of(dict(payload))
            role = "tool" if any(part["type"] == "tool_result" for part in parts) else "assistant"
            metadata = {"status": payload.get("status")}
            text = make.content_of(part for part in parts if part["type"] in ("text", "thinking"))
        self._said(text)
        if role == "assistant" and self._session is not None:
            metadata["model"] = self._session.model
        self._add(role, parts, metadata, made, notes)

    def _said(self, text: str) -> None:
        self._recent = [*self._recent[-_PATIENCE:], text]
        self._waiting = [event for event in self._waiting if event.text not in text]

    def _event(self, payload: Mapping[str, Any], made: Any, notes: Notes) -> None:
        kind = payload.get("type")
        kind = kind if isinstance(kind, str) and _name.fullmatch(kind) else "unknown"
        session = self._session
        if kind == "thread_rolled_back" and session is not None:
            count = payload.get("num_turns")
            back = count if isinstance(count, int) and 0 < count <= len(session.turns) else len(session.turns)
            if back:
                session.parent = session.tip = session.turns[-back] or ROOT
                del session.turns[-back:]
        if kind in _REPEATING:
            text = text_of(payload.get("message", payload.get("text")))
            if text and not any(text in recent for recent in self._recent):
                self._waiting.append(_Event(kind, text, notes.line, self._number, made))
        notes.ignored(f"event {kind}")

    def _give_up(self, notes: Notes, before: int) -> None:
        """Store the words of events that no item repeated."""
        while self._waiting and self._waiting[0].number < before:
            event = self._waiting.pop(0)
            part = make.thinking(event.text) if "reasoning" in event.kind else make.text(event.text)
            notes.line = event.line
            self._add(
                "user" if event.kind == "user_message" else "assistant",
                [part],
                {"event": event.kind},
                event.made,
                notes,
            )

    def _add(self, role: Role, parts: list[Part], metadata: Mapping[str, Any], made: Any, notes: Notes) -> None:
        session = self._session
        if session is None:
            # The beginning of the rollout is missing: the file's name has the id.
            found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", self._context.file)
            session = self._session = _Session(
                found.group() if found else f"codex:{self._context.file}"[:200], notes.line
            )
        id = (
            str(notes.line) if not session.messages or session.messages[-1].id != str(notes.line) else f"{notes.line}:2"
        )
        message = make_message(
            role, parts, id=id, parent=session.parent, metadata=metadata, created_at=made, line=notes.line
        )
        if message is None:
            notes.ignored("empty message")
            return
        if role == "user":
            session.turns.append(session.tip or "")
        session.parent, session.tip = None, id
        session.messages.append(message)
        session.size += len(message.content)


def _read(records: Iterator[Record], context: Context) -> Items:
    return _Reader(context).read(records)


CODEX = Format("codex", _recognize, _read)
