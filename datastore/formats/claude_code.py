"""Claude Code: the transcripts of its sessions, and the output of ``claude -p --output-format stream-json``.

A session can have any length, so it is read in pieces: `ImportedConversation` objects with the same id, in order, each with at
most `PIECE` messages. A message's id is its record's uuid; its parent is that of the record, or the previous message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import BAD, Context, Format, Items, Notes, as_object, id_of, make_message, some
from datastore.formats.blocks import parts_of, text_of
from datastore.formats.claude_session import PIECE, PIECE_SIZE, Session, queued, split
from datastore.formats.items import ImportedMessage
from datastore.formats.parts import Part
from datastore.formats.records import Record
from datastore.records import Role

#: Records about the session: the key of the record, and its name in the conversation's metadata.
_ABOUT: Mapping[str, tuple[str, str]] = {
    "summary": ("summary", "summary"),
    "custom-title": ("customTitle", "custom_title"),
    "ai-title": ("aiTitle", "ai_title"),
    "agent-name": ("agentName", "agent_name"),
    "agent-setting": ("agentSetting", "agent_setting"),
    "tag": ("tag", "tag"),
    "mode": ("mode", "mode"),
    "permission-mode": ("permissionMode", "permission_mode"),
    "pr-link": ("prUrl", "pull_request"),
}

#: Records in which nobody says anything. A record of any other type is reported.
_MACHINE = frozenset(
    {
        "file-history-snapshot", "progress", "last-prompt", "result", "rate_limit_event", "stream_event", "agent-color",
        "content-replacement", "worktree-state", "context-collapse-commit", "context-collapse-snapshot", "attribution-snapshot",
        "marble-origami-commit", "marble-origami-snapshot", "speculation-accept", "task-summary", "saved_hook_context",
        "control_request", "control_response", "keep_alive", "tool_progress", "auth_status", "bridge-session", "tombstone",
        "queue-state", "file-history-delta", "api_metrics", "tool_use_summary", "prompt_suggestion", "started",
    }
)  # fmt: skip

_SESSION = {"cwd": "cwd", "gitBranch": "git_branch", "version": "version", "slug": "slug", "entrypoint": "entrypoint"}

_name = re.compile(r"[A-Za-z0-9_. -]{1,40}")


def _recognize(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if (
        kind in ("user", "assistant")
        and isinstance(value.get("message"), dict)
        and ("uuid" in value or _session(value))
    ):
        return f"a record of type {kind} has a message, and a uuid or a session"
    if kind == "system" and ("subtype" in value or "uuid" in value) and _session(value):
        return "a system record has a session"
    if kind in ("attachment", "queue-operation") and _session(value):
        return f"a record of type {kind} has a session"
    return None


def _session(data: Mapping[str, Any]) -> Any:
    return data.get("sessionId") or data.get("session_id")


class _Reader:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._conversations: dict[str, Session] = {}
        self._last: Session | None = None
        #: What was said about a session before its first record.
        self._early: dict[str, Any] = {}

    def read(self, records: Iterator[Record]) -> Items:
        for record in records:
            notes = Notes(self._context, record.line)
            try:
                yield from self._record(as_object(record.value), record.line, notes)
            except BAD as error:
                notes.bad(error)
                self._pass(record.value)
            yield from notes.take()
        for conversation in self._conversations.values():
            yield from conversation.take()

    def _pass(self, value: object) -> None:
        """The children of a record that cannot be stored follow its parent."""
        if isinstance(value, dict) and self._last is not None:
            self._last.link(value.get("uuid"), self._parent(value, self._last))

    def _record(self, data: dict[str, Any], line: int, notes: Notes) -> Items:
        kind = data.get("type")
        kind = kind if isinstance(kind, str) else "unknown"
        if kind in _ABOUT:
            self._about(data, *_ABOUT[kind], notes)
            return
        if not _session(data):
            if kind in _MACHINE or kind == "system":
                notes.ignored(kind)
                return
            raise InvalidValueError("sessionId: is missing")
        conversation = self._conversation(data, line)
        if conversation is not self._last:
            if self._last is not None:
                yield from self._last.take()
            self._last = conversation
            conversation.line = line
        if not conversation.messages:
            conversation.line = line
        found = self._said(kind, data, conversation, notes)
        if found is None:
            conversation.link(data.get("uuid"), self._parent(data, conversation) or conversation.tip)
            return
        for message in self._messages(found, data, conversation, notes):
            conversation.messages.append(message)
            conversation.size += len(message.content)
            if len(conversation.messages) >= PIECE or conversation.size > PIECE_SIZE:
                yield from conversation.take()
                conversation.line = line

    def _about(self, data: Mapping[str, Any], key: str, name: str, notes: Notes) -> None:
        notes.ignored(f"{data['type']} (in the metadata)")
        if (value := data.get(key)) in (None, ""):
            return
        session = _session(data)
        known = self._conversations.get(session) if isinstance(session, str) else self._last
        if known is not None:
            known.about({name: value})
        else:
            self._early[name] = value

    def _conversation(self, data: Mapping[str, Any], line: int) -> Session:
        session = id_of(_session(data), 100)
        assert session is not None
        id = session
        if data.get("isSidechain") is True or data.get("parent_tool_use_id"):
            agent = id_of(data.get("agentId") or data.get("parent_tool_use_id"), 90)
            id = f"{session}/{agent or 'sidechain'}"
        if id not in self._conversations:
            self._conversations[id] = Session(id, session, line)
            self._conversations[id].about(self._early)
            self._early = {}
        conversation = self._conversations[id]
        about = some(data, _SESSION)
        if isinstance(origin := data.get("forkedFrom"), dict):
            about["forked_from"] = origin.get("sessionId")
        conversation.about({key: value for key, value in about.items() if key not in conversation.metadata})
        return conversation

    def _said(
        self, kind: str, data: Mapping[str, Any], conversation: Session, notes: Notes
    ) -> tuple[Role, list[Part], dict[str, Any]] | None:
        """Who says what in a record, and what is known about it; None if nobody says anything."""
        if kind in ("user", "assistant"):
            return self._turn(kind, data, conversation, notes)
        if kind == "system":
            return self._system(data, notes)
        if kind == "attachment":
            return self._attachment(data, conversation, notes)
        if kind == "queue-operation":
            return self._queue(data, conversation, notes)
        if kind not in _MACHINE:
            raise InvalidValueError("type: a record of a type that is not known, which may have text")
        notes.ignored(kind)
        return None

    def _turn(
        self, kind: Any, data: Mapping[str, Any], conversation: Session, notes: Notes
    ) -> tuple[Role, list[Part], dict[str, Any]] | None:
        message = data.get("message")
        if not isinstance(message, dict):
            raise InvalidValueError("message: must be a JSON object")
        role: Role = kind
        metadata = some(
            message, {"model": "model", "usage": "usage", "stop_reason": "stop_reason", "id": "response_id"}
        )
        metadata |= some(data, {"requestId": "request_id", "error": "error", "permissionMode": "permission_mode"})
        if data.get("isApiErrorMessage") is True:
            metadata["api_error"] = True
        if data.get("isCompactSummary") is True:
            role, metadata = "system", {**metadata, "compact_summary": True}
        elif data.get("isMeta") is True:
            role, metadata = "system", {**metadata, "meta": True}
        parts = parts_of(message.get("content"), "message.content")
        if not parts:
            notes.ignored("empty message")
            return None
        if role == "user" and self._delivered(parts, conversation):
            notes.ignored("queued prompt, delivered")
            return None
        return role, parts, metadata

    @staticmethod
    def _delivered(parts: list[Part], conversation: Session) -> bool:
        """Whether this is a prompt that is stored already, from when it was queued."""
        if len(parts) == 1 and parts[0]["type"] == "text" and parts[0]["text"].strip() in conversation.queued:
            conversation.queued.remove(parts[0]["text"].strip())
            return True
        return False

    @staticmethod
    def _system(data: Mapping[str, Any], notes: Notes) -> tuple[Role, list[Part], dict[str, Any]] | None:
        subtype = data.get("subtype")
        subtype = subtype if isinstance(subtype, str) and _name.fullmatch(subtype) else "without subtype"
        text = text_of(data.get("content"))
        if not text or subtype == "compact_boundary":
            notes.ignored(f"system {subtype}")
            return None
        return "system", [make.text(text)], {"kind": subtype}

    def _attachment(
        self, data: Mapping[str, Any], conversation: Session, notes: Notes
    ) -> tuple[Role, list[Part], dict[str, Any]] | None:
        attachment = data.get("attachment")
        attachment = attachment if isinstance(attachment, dict) else {}
        kind = attachment.get("type")
        kind = kind if isinstance(kind, str) and _name.fullmatch(kind) else "without type"
        if kind == "queued_command":
            parts = parts_of(attachment.get("prompt"), "attachment.prompt")
            if not parts or self._delivered(parts, conversation):
                notes.ignored("queued prompt, delivered")
                return None
            return queued(parts, attachment.get("commandMode"))
        name = next(
            (value for key in ("filename", "displayPath", "path") if isinstance(value := attachment.get(key), str)),
            None,
        )
        if name and kind in ("file", "image", "document", "pdf_reference", "directory", "compact_file_reference"):
            return "user", [make.file("image" if kind == "image" else "file", name=name)], {"attachment": kind}
        notes.ignored(f"attachment {kind}")
        return None

    @staticmethod
    def _queue(
        data: Mapping[str, Any], conversation: Session, notes: Notes
    ) -> tuple[Role, list[Part], dict[str, Any]] | None:
        parts = parts_of(data.get("content")) if data.get("operation") == "enqueue" else []
        if not parts:
            operation = data.get("operation")
            named = isinstance(operation, str) and _name.fullmatch(operation)
            notes.ignored(f"queue-operation {operation if named else 'unknown'}")
            return None
        text = text_of(data.get("content")).strip()
        conversation.queued = [*conversation.queued[-99:], text]
        return queued(parts, "task-notification" if text.startswith("<task-notification") else "prompt")

    def _parent(self, data: Mapping[str, Any], conversation: Session) -> str | None:
        """The id of the message that a record follows; None: the previous message of its conversation."""
        parent = data.get("parentUuid") or data.get("logicalParentUuid")
        if not isinstance(parent, str):
            return None
        found = conversation.links.get(parent, parent) if parent in conversation.links else parent
        return None if found is None or found in conversation.results or found == conversation.tip else found

    def _messages(
        self,
        said: tuple[Role, list[Part], dict[str, Any]],
        data: Mapping[str, Any],
        conversation: Session,
        notes: Notes,
    ) -> Iterator[ImportedMessage]:
        role, parts, metadata = said
        uuid = id_of(data.get("uuid"), 190)
        made = notes.field(read.any_time, data, "timestamp")
        if uuid is None and data.get("type") == "queue-operation":
            uuid = f"queued:{data.get('timestamp') or notes.line}"[:190]
        pieces = split(role, parts)
        only_results = all(speaker == "tool" for speaker, _ in pieces)
        answer = metadata.get("response_id") if role == "assistant" else None
        # Calls that run at the same time, and their results, hang on each other in the file, but are one branch.
        follows = (
            only_results
            or data.get("type") == "queue-operation"
            or (answer is not None and answer == conversation.answer)
        )
        parent = None if follows else self._parent(data, conversation)
        before = conversation.tip
        for number, (speaker, piece) in enumerate(pieces, 1):
            id = uuid if number == 1 or uuid is None else f"{uuid}:{number}"
            message = make_message(
                speaker,
                piece,
                id=id,
                parent=parent if number == 1 else None,
                metadata=metadata if speaker != "tool" else None,
                created_at=made,
                line=notes.line,
            )
            if message is not None and conversation.repeats(message):
                notes.ignored("repeated record")
            elif message is not None:
                yield message
                if speaker == "tool" and conversation.tip is not None:
                    conversation.results.add(conversation.tip)
                elif speaker != "tool":
                    conversation.results = set()
                conversation.tip = id
        if role != "tool":
            conversation.answer = answer or (conversation.answer if only_results else None)
        if data.get("type") == "queue-operation" and before is not None:
            conversation.link(before, conversation.tip)  # what follows the message before it follows the prompt
        if conversation.tip != uuid and len(pieces) > 1:
            conversation.link(uuid, conversation.tip)


def _read(records: Iterator[Record], context: Context) -> Items:
    return _Reader(context).read(records)


CLAUDE_CODE = Format("claude-code", _recognize, _read)
