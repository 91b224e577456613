"""Claude Code session transcripts: JSON lines, each a turn, block or note of a session.

A session can have any length, so it is read in pieces: `ImportedConversation` objects with the same
id, in order, each with at most `PIECE` messages. A message's id is its line's uuid, so an importer
that skips existing messages adds only the new part of a transcript that has grown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.items import BadLine, ImportedConversation, ImportedMessage
from datastore.records import Role

#: Maximum number of messages per piece.
PIECE = 500

#: Approximate size of a piece in bytes of UTF-8: a piece ends once it is larger.
PIECE_BYTES = 4_194_304


@attrs.define
class _Piece:
    id: str = ""
    line: int = 0
    size: int = 0
    messages: list[ImportedMessage] = attrs.field(factory=list)
    #: The conversations of which this file has already had a piece.
    begun: set[str] = attrs.field(factory=set)

    def take(self) -> Iterator[tuple[int, ImportedConversation]]:
        if self.messages:
            yield (
                self.line,
                ImportedConversation(
                    id=self.id,
                    session_id=self.id.partition("/")[0],
                    source="claude-code",
                    created_at=self.messages[0].created_at,
                    messages=tuple(self.messages),
                    continued=self.id in self.begun,
                ),
            )
            self.begun.add(self.id)
        self.messages, self.size = [], 0


def read_claude_code(
    lines: Iterable[tuple[int, str | BadLine]], file: str = "", skipped: Counter[str] | None = None
) -> Iterator[tuple[int, ImportedConversation | BadLine]]:
    """Read the sessions in *lines* as pieces, each with its first line number.

    A sub-agent's turns ("isSidechain") become a separate conversation: ``SESSION/AGENT``.

    Args:
        lines: Pairs of line number and line.
        file: The file name for a `BadLine`.
        skipped: Counts the lines without a message, by type.
    """
    piece = _Piece()
    skipped = Counter() if skipped is None else skipped
    for number, text in lines:
        if isinstance(text, BadLine):
            yield number, text
            continue
        try:
            data = read.parse_object(text)
            found = _messages(data)
            id = _conversation_id(data) if found else ""
        except InvalidValueError as error:
            yield number, BadLine(file, number, str(error))
            continue
        if not found:
            kind = data.get("type")
            skipped[kind if isinstance(kind, str) else "unknown"] += 1
            continue
        if id != piece.id or len(piece.messages) + len(found) > PIECE or piece.size > PIECE_BYTES:
            yield from piece.take()
            piece.id, piece.line = id, number
        for message in found:
            if len(piece.messages) == PIECE:
                yield from piece.take()
            piece.messages.append(message)
            piece.size += len(message.content)
    yield from piece.take()


def _conversation_id(data: dict[str, Any]) -> str:
    session = read.required_text(data, "sessionId", longest=100)
    if data.get("isSidechain") is not True:
        return session
    return f"{session}/{read.optional_text(data, 'agentId', longest=90) or 'sidechain'}"


def _messages(data: dict[str, Any]) -> list[ImportedMessage]:
    kind, message = data.get("type"), data.get("message")
    if kind not in ("user", "assistant") or data.get("isMeta") is True:
        return []
    if not isinstance(message, dict):
        raise InvalidValueError("message: must be a JSON object")
    segments = _segments(message.get("content"), kind)
    if not segments:
        return []
    uuid = read.required_text(data, "uuid", longest=180)
    made = read.optional_time(data, "timestamp")
    model = read.optional_text(message, "model", "message.", 200)
    return [
        ImportedMessage(
            role=role,
            content=read.check_content(content, "message.content"),
            id=uuid if number == 1 else f"{uuid}:{number}",
            metadata={**extra, "model": model} if model else extra,
            created_at=made,
        )
        for number, (role, content, extra) in enumerate(segments, 1)
    ]


def _segments(content: Any, role: Role) -> list[tuple[Role, str, dict[str, Any]]]:
    """One line as (role, content, metadata): each tool result separate, the text between them joined."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InvalidValueError("message.content: must be text or a list of blocks")
    segments: list[tuple[Role, str, dict[str, Any]]] = []
    texts: list[str] = []
    extra: dict[str, Any] = {}
    for block in blocks:
        if block.get("type") == "tool_result":
            if texts:
                segments.append((role, "\n".join(texts), extra))
            texts, extra = [], {}
            result = _result(block.get("content"))
            if result:
                segments.append(("tool", result, _result_metadata(block)))
        elif block.get("type") == "tool_use":
            texts.append(read.compact({key: block.get(key) for key in ("id", "name", "input")}))
            extra = {"tool_calls": True}
        elif block.get("type") == "text" and (text := _text(block)):
            texts.append(text)
    if texts:
        segments.append((role, "\n".join(texts), extra))
    return segments


def _result(content: Any) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise InvalidValueError("message.content: a tool result must be text or a list of blocks")
    return "\n".join(text for block in content if isinstance(block, dict) and (text := _text(block)))


def _result_metadata(block: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    call = read.optional_text(block, "tool_use_id", "message.content.", 200)
    if call is not None:
        metadata["tool_call_id"] = call
    if block.get("is_error") is True:
        metadata["is_error"] = True
    return metadata


def _text(block: dict[str, Any]) -> str:
    text = block.get("text", "")
    if not isinstance(text, str):
        raise InvalidValueError("message.content: the text of a block must be a string")
    return text
