"""Store the conversations of a file: new ones, and the messages that stored ones lack."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.errors import UniqueError
from datastore.formats import ImportedConversation, ImportedMessage
from datastore.importing.learnings import LearningImport
from datastore.importing.target import Target
from datastore.records import Conversation, NewMessage

if TYPE_CHECKING:
    from datastore.records.erasures import SubjectKind

#: A message with its position and its id.
Placed = tuple[int, str, ImportedMessage]


class ConversationImport:
    """The conversations of one file, with their learnings."""

    def __init__(self, target: Target, learnings: LearningImport) -> None:
        self._target = target
        self._learnings = learnings
        #: The last position of each conversation so far; only transcripts come in several pieces.
        self.last_positions: dict[str, int] = {}

    def store(self, line: int, item: ImportedConversation, *, careful: bool) -> None:
        """Add a conversation, or append the messages that a stored one lacks.

        Args:
            line: Its line in the file.
            item: The conversation.
            careful: Leave out messages whose ids other conversations have, instead of failing.
        """
        messages = _placed(item, self.last_positions.get(item.id, 0) if item.continued else 0)
        if self._target.kind == "claude-code" and messages:
            self.last_positions[item.id] = messages[-1][0]
        is_there = self._target.store.conversations.lock([item.id])  # nobody appends after the comparison
        stored = self._target.store.conversations.get(item.id) if is_there else None
        if stored is None:
            names: dict[SubjectKind, str | None] = {
                "conversation": item.id,
                "session": item.session_id,
                "correlation": item.correlation_id,
            }
            if self._target.is_erased(names):
                self._target.batch.skipped["conversation that was erased"] += 1
                return
            stored = self._add_conversation(item)
        if stored is None:
            if careful:
                messages = self._without_taken(line, messages)
            self._append(item.id, 0, messages, item.created_at)
            if item.last_position:
                self._target.more.skip_positions(item.id, item.last_position)
        else:
            self._store_more(line, item, stored, messages, careful=careful)
        for learning in item.learnings:
            self._learnings.store(line, learning, item.id)
        # Last, because everything above changes updated_at, and nothing can be added to a deleted conversation.
        if stored is None and (item.updated_at is not None or item.deleted_at is not None):
            self._target.more.set_conversation_times(item.id, updated_at=item.updated_at, deleted_at=item.deleted_at)

    def _store_more(
        self, line: int, item: ImportedConversation, stored: Conversation, messages: list[Placed], *, careful: bool
    ) -> None:
        if not item.continued:
            if _same_row(item, stored):
                self._target.batch.unchanged += 1
            else:
                self._target.differs(line, f"conversation {item.id} is stored with different fields")
        fresh = self._compare(line, stored, messages)
        if fresh and stored.deleted_at is not None:
            self._target.batch.skipped["message of a deleted conversation"] += len(fresh)
        elif fresh:
            if careful:
                fresh = self._without_taken(line, fresh)
            self._append(item.id, stored.last_position, fresh, item.created_at)

    def _add_conversation(self, item: ImportedConversation) -> Conversation | None:
        """Add it and return None; return the stored one if another process has added it since the lookup."""
        created = item.created_at
        if created is None:
            created = next((message.created_at for message in item.messages if message.created_at is not None), None)
        conversations = self._target.store.conversations
        try:
            conversations.add(
                id=item.id,
                session_id=item.session_id,
                correlation_id=item.correlation_id,
                source=item.source or self._target.kind,
                title=item.title,
                sanitization_version=item.sanitization_version or self._target.sanitization_version,
                metadata=item.metadata,
                created_at=created,
                updated_at=item.updated_at,
                completed_at=item.completed_at,
            )
        except UniqueError as error:
            if conversations.lock([item.id]):
                return conversations.get(item.id)
            if "correlation" in error.constraint:
                raise
            return self._add_conversation(item)  # it was added and deleted again by another process
        self._target.batch.conversations += 1
        return None

    def _compare(self, line: int, stored: Conversation, messages: list[Placed]) -> list[Placed]:
        """The messages after the last stored one; the others are counted."""
        if not messages:
            return []
        keys = self._target.more.message_keys(stored.id, messages[0][0], messages[-1][0])
        by_id = {key.id: key for key in keys}
        taken = {key.position for key in keys}
        fresh = []
        for position, id, message in messages:
            key = by_id.get(id)
            if key is not None:
                same = key.role == message.role and key.content_hash == _hash(message.content)
            elif (other := self._target.store.messages.find(id)) is not None:
                same = other.conversation_id == stored.id and (other.role, other.content) == (
                    message.role,
                    message.content,
                )
            elif position > stored.last_position:
                fresh.append((position, id, message))
                continue
            elif position in taken:
                same = False
            else:
                self._target.batch.skipped["message that was deleted"] += 1
                continue
            if same:
                self._target.batch.unchanged += 1
            else:
                self._target.differs(line, f"message {id} is stored with different content")
        return fresh

    def _without_taken(self, line: int, messages: list[Placed]) -> list[Placed]:
        free = []
        for position, id, message in messages:
            if self._target.store.messages.find(id) is None:
                free.append((position, id, message))
            else:
                self._target.differs(line, f"message {id} is stored in another conversation")
        return free

    def _append(
        self,
        conversation_id: str,
        last: int,
        messages: list[Placed],
        created_at: datetime | None,
    ) -> None:
        run: list[NewMessage] = []
        append_many = self._target.store.messages.append_many
        for position, id, message in messages:
            if position != last + 1:
                append_many(conversation_id, run)
                run = []
                self._target.more.skip_positions(conversation_id, position - 1)
            last = position
            run.append(
                NewMessage(
                    role=message.role,
                    content=message.content,
                    id=id,
                    token_count=message.token_count,
                    metadata=message.metadata,
                    created_at=message.created_at or created_at,
                )
            )
        append_many(conversation_id, run)
        self._target.batch.messages += len(messages)


def _placed(item: ImportedConversation, base: int) -> list[Placed]:
    """Each message with its position and its id."""
    placed = []
    position = base
    for message in item.messages:
        position = position + 1 if message.position is None else message.position
        placed.append((position, message.id or _message_id(item.id, position), message))
    return placed


def _message_id(conversation_id: str, position: int) -> str:
    id = f"{conversation_id}:{position}"
    # Too long for the column: a stable hash replaces the conversation's id.
    return id if len(id) <= 200 else f"sha256:{_hash(conversation_id)}:{position}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _same_row(item: ImportedConversation, stored: Conversation) -> bool:
    """Whether the stored row agrees with the file in every field that the file gives."""
    given = {
        "session_id": item.session_id,
        "correlation_id": item.correlation_id,
        "source": item.source,
        "title": item.title,
        "created_at": item.created_at,
        "metadata": item.metadata or None,
    }
    return all(value is None or getattr(stored, name) == value for name, value in given.items())
