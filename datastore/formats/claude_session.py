"""What is known of a session of Claude Code while its transcript is read: its messages, and where later records hang on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from datastore.formats.base import title_of
from datastore.formats.items import ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.records import Role

#: Maximum number of messages per piece, and its approximate size in characters: a piece ends once it is larger.
PIECE = 500
PIECE_SIZE = 4_194_304

#: How many records a session remembers, to find the parents of later ones.
REMEMBERED = 100_000


@attrs.define
class Session:
    """What is known of one session, or of one sub-agent of it, so far."""

    id: str
    session: str
    line: int
    begun: bool = False
    size: int = 0
    messages: list[ImportedMessage] = attrs.field(factory=list)
    metadata: dict[str, Any] = attrs.field(factory=dict)
    #: Whether *metadata* has something that no piece had yet.
    news: bool = False
    #: The last message, and those before it that only are results of tools.
    tip: str | None = None
    results: set[str] = attrs.field(factory=set)
    #: The service's id of the model's last message: the blocks of one message are several records.
    answer: str | None = None
    #: For a record's uuid: the id of the message that its children follow.
    links: OrderedDict[str, str | None] = attrs.field(factory=OrderedDict)
    #: For an id: the hash of its content. A resumed session repeats records.
    seen: OrderedDict[str, int] = attrs.field(factory=OrderedDict)
    #: Queued prompts that were not delivered yet.
    queued: list[str] = attrs.field(factory=list)

    def link(self, uuid: object, to: str | None) -> None:
        if isinstance(uuid, str) and uuid != to:
            self.links[uuid] = to
            if len(self.links) > REMEMBERED:
                self.links.popitem(last=False)

    def repeats(self, message: ImportedMessage) -> bool:
        if message.id is None:
            return False
        mark = hash((message.role, message.content, repr(message.parts)))
        repeated = self.seen.get(message.id) == mark
        self.seen[message.id] = mark
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return repeated

    def about(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if self.metadata.get(key) != value:
                self.metadata[key] = value
                self.news = True

    def take(self) -> Iterator[tuple[int, ImportedConversation]]:
        if not self.messages and not (self.begun and self.news):
            return
        metadata = dict(self.metadata)
        title = next((metadata[key] for key in ("custom_title", "summary", "ai_title") if metadata.get(key)), None)
        yield (
            self.line,
            ImportedConversation(
                id=self.id,
                session_id=self.session,
                source="claude-code",
                title=title_of(title, metadata),
                metadata=metadata,
                messages=tuple(self.messages),
                continued=self.begun,
            ),
        )
        self.begun = True
        self.news = False
        self.messages, self.size = [], 0


def queued(parts: list[Part], mode: object) -> tuple[Role, list[Part], dict[str, Any]]:
    if mode in (None, "prompt", "bash"):
        return "user", parts, {"queued": True}
    return "system", parts, {"queued": True, "kind": mode if isinstance(mode, str) else "unknown"}


def split(role: Role, parts: list[Part]) -> list[tuple[Role, list[Part]]]:
    """Each tool result of a person's record is a message of its own, with the files that it has."""
    if role != "user":
        return [(role, parts)]
    pieces: list[tuple[Role, list[Part]]] = []
    for part in parts:
        if part["type"] == "tool_result":
            pieces.append(("tool", [part]))
        elif pieces and (pieces[-1][0] == "user" or part["type"] != "text"):
            pieces[-1][1].append(part)
        else:
            pieces.append(("user", [part]))
    return pieces
