"""Store the learnings of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datastore.errors import InvalidValueError
from datastore.formats import ImportedLearning
from datastore.importing.target import Target
from datastore.records import Learning
from datastore.values import new_id

if TYPE_CHECKING:
    from datastore.records.erasures import SubjectKind


class LearningImport:
    """The learnings of one file.

    Args:
        target: The target of the import.
        conversation_id: The conversation of learnings that name none; None: one is created for the file.
    """

    def __init__(self, target: Target, conversation_id: str | None) -> None:
        self._target = target
        self._conversation_id = conversation_id
        #: Whether the file's own conversation is known to exist.
        self.has_own_conversation = False

    def store(self, line: int, item: ImportedLearning, conversation_id: str | None = None) -> None:
        """Add a learning, unless it is stored or was erased; *conversation_id* is its conversation if it names none."""
        conversation_id = item.conversation_id or conversation_id or self._conversation_for_learnings()
        if item.id is not None and (present := self._target.store.learnings.find(item.id)) is not None:
            if _same_learning(item, present, conversation_id):
                self._target.batch.unchanged += 1
            else:
                self._target.differs(line, "a learning is stored with different content")
            return
        gone: dict[SubjectKind, str | None] = {"learning": item.id}
        if self._target.store.conversations.find(conversation_id) is None:
            gone["conversation"] = conversation_id
        if self._target.is_erased(gone):
            self._target.batch.skip("learning that was erased", 1, self._target.place(line))
            return
        conversation = self._target.store.conversations.get(conversation_id)
        if conversation.deleted_at is not None:
            self._target.batch.skip("learning of a deleted conversation", 1, self._target.place(line))
            return
        id = item.id or new_id()
        learning = self._target.store.learnings.add(
            conversation_id=conversation_id,
            category=item.category,
            title=item.title,
            content=item.content,
            confidence=item.confidence,
            tags=item.tags,
            message_ids=[*item.message_ids, *self._ids_at(conversation_id, item.message_positions)],
            dedupe_key=item.dedupe_key,
            metadata=item.metadata,
            id=id,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )
        if learning.id != id:
            self._target.batch.unchanged += 1
            return
        self._target.batch.learnings += 1

    def _ids_at(self, conversation_id: str, positions: tuple[int, ...]) -> list[str]:
        ids = []
        for position in positions:
            keys = self._target.more.message_keys(conversation_id, position, position)
            if not keys:
                raise InvalidValueError(f"message_positions: the conversation has no message {position}")
            ids.append(keys[0].id)
        return ids

    def _conversation_for_learnings(self) -> str:
        if self._conversation_id is not None:
            return self._conversation_id
        name = os.fsencode(Path(self._target.file).name).decode("utf-8", "backslashreplace")
        id = f"learnings:{name}"[:200]
        if not self.has_own_conversation:
            if self._target.store.conversations.find(id) is None:
                self._target.store.conversations.add(
                    id=id, source="learnings", title=name[:1000], sanitization_version=self._target.sanitization_version
                )
                self._target.batch.conversations += 1
            self.has_own_conversation = True
        return id


def _same_learning(item: ImportedLearning, stored: Learning, conversation_id: str) -> bool:
    return (stored.conversation_id, stored.category, stored.title, stored.content, stored.confidence, stored.tags) == (
        conversation_id,
        item.category,
        item.title,
        item.content,
        item.confidence,
        item.tags,
    )
