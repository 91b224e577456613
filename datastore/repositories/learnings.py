"""Learnings: store once each, list, search, update, delete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import ForeignKeyError, InvalidValueError, NotFoundError
from datastore.records.learnings import Learning, NewLearning
from datastore.records.pages import Page, every
from datastore.records.vectors import Vector
from datastore.repositories.base import (
    DEFAULT_ROWS,
    UNCHANGED,
    TimePager,
    check_max_rows,
    found,
)
from datastore.repositories.learning_search import LearningSearch
from datastore.repositories.vector_index import text_of
from datastore.values import (
    TIME_MAX,
    TIME_MIN,
    check_number,
    check_text,
    distinct_tags,
    encode_json,
    encode_timestamp,
)

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.conversations import ConversationsStatements
    from datastore.statements.typed.learnings import LearningsStatements
    from datastore.statements.typed.legal_holds import LegalHoldsStatements
    from datastore.statements.typed.search import SearchStatements

    class _Statements(LearningsStatements, ConversationsStatements, LegalHoldsStatements, SearchStatements, Protocol):
        """The statements that learnings call."""


#: Maximum number of learnings, and of characters of content, per statement.
_BATCH_ROWS, _BATCH_CHARACTERS = 1000, 4_000_000

#: A learning to store, and its row for the statement.
_Given = tuple[NewLearning, Sequence[Any]]


class LearningRepository(LearningSearch):
    """The tables *learnings*, *learning_tags* and *learning_messages*."""

    _statements: _Statements

    def add(
        self,
        *,
        conversation_id: str,
        category: str,
        title: str,
        content: str,
        confidence: float = 1.0,
        tags: Sequence[str] = (),
        message_ids: Sequence[str] = (),
        dedupe_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        vector: Vector | None = None,
        embed_now: bool = False,
    ) -> Learning:
        """Store a learning, or return the existing one if its conversation already has the same.

        Args:
            conversation_id: The conversation it comes from; must not be deleted.
            category: 1 to 200 characters.
            title: 1 to 1000 characters.
            content: 1 byte to 1 MiB of UTF-8.
            confidence: 0 (a guess) to 1 (certain).
            tags: Each 1 to 100 characters, in any order; duplicates are dropped.
            message_ids: Its source messages in the conversation.
            dedupe_key: Two learnings of a conversation with the same key are the same; 1 to 200 characters;
                None: a hash of category, title and content.
            metadata: A JSON object, at most 1 MiB.
            id: The caller's own, 1 to 200 characters; None: a time-ordered UUID is generated.
            created_at: When it was learned, aware; None: now.
            updated_at: Its last change, aware; None: *created_at*.
            vector: The vector of its text; None: a job, `datastore embed` or *embed_now* makes it.
            embed_now: Whether the function of the store makes its vector before it is stored.

        Returns:
            The stored learning. An existing one is returned unchanged: the other arguments (tags,
            message ids, id, ...) are not merged into it.

        Raises:
            NotFoundError: The conversation does not exist, or it is deleted.
            UniqueError: Another learning has this id.
            ForeignKeyError: A message does not exist, or belongs to another conversation; nothing is stored.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored (NaN, a naive datetime, a lone surrogate, ...).
            EmbeddingError: *embed_now*, and the function failed; nothing is stored.
        """
        check_text(conversation_id, "conversation_id")
        check_text(category, "category")
        check_text(title, "title")
        check_text(content, "content")
        key = _dedupe_key(category, title, content) if dedupe_key is None else check_text(dedupe_key, "dedupe_key")
        if embed_now and vector is None:
            (vector,) = self._index.vectors.embedded("learnings", [f"{title}\n{content}"])
        with self._engine.transaction():
            learned = self._now() if created_at is None else created_at
            values: dict[str, Any] = {
                "id": self._new_id() if id is None else check_text(id, "id"),
                "conversation_id": conversation_id,
                "category": category,
                "title": title,
                "content": content,
                "confidence": check_number(confidence, "confidence"),
                "tags": distinct_tags(tags),
                "dedupe_key": key,
                "metadata": {} if metadata is None else metadata,
                "created_at": learned,
                "updated_at": learned if updated_at is None else updated_at,
            }
            while (learning := self._statements.add_learning(**values)) is None:
                if first := self._first(conversation_id, key):
                    return first
            self._link(learning.id, message_ids)
            self._index.add_learnings([learning])
            if vector is not None:
                self._index.vectors.store("learnings", [(learning.id, text_of(learning))], [vector])
            return learning

    def add_many(self, learnings: Iterable[NewLearning], *, embed_now: bool = False) -> Sequence[Learning]:
        """Store several learnings in one transaction, or none of them if one is refused; see `add`.

        Args:
            learnings: The learnings.
            embed_now: As if each learning had it.

        Returns:
            One learning for each that was given, in order; the same one twice if two are the same.
        """
        now = self._now()
        learnings = self._index.vectors.with_vectors("learnings", list(learnings), every=embed_now)
        stored: list[Learning] = []
        with self._engine.transaction():
            given = [(learning, self._values(learning, now)) for learning in learnings]
            # Two callers with the same learnings in different orders would deadlock.
            self._statements.lock_conversations_of_learnings(ids=sorted({row[1] for _, row in given}))
            for batch in _batches(given):
                stored += self._add_batch(batch)
        return stored

    def _add_batch(self, batch: Sequence[_Given]) -> Sequence[Learning]:
        added: Sequence[Learning] = self._statements.add_learnings(rows=[row for _, row in batch])
        present = {(record.conversation_id, record.dedupe_key): record for record in added}
        self._index.add_learnings(added)
        new = {record.id for record in added}
        vectors: dict[str, tuple[str, Vector]] = {}
        stored = []
        for learning, row in batch:
            id, conversation_id, key = row[0], row[1], row[7]
            record = present.get((conversation_id, key)) or self._first(conversation_id, key)
            while record is None:
                for record in self._statements.add_learnings(rows=[row]):
                    new.add(record.id)
                record = record or self._first(conversation_id, key)
            # If two are the same, the first one is stored, with its messages.
            if record.id == id and id in new:
                self._link(id, learning.message_ids)
                if learning.vector is not None:
                    vectors[id] = (text_of(record), learning.vector)
            stored.append(record)
        self._index.vectors.store(
            "learnings", [(id, text) for id, (text, _) in vectors.items()], [vector for _, vector in vectors.values()]
        )
        return stored

    def _values(self, learning: NewLearning, now: datetime) -> Sequence[Any]:
        for name in ("conversation_id", "category", "title", "content"):
            check_text(getattr(learning, name), name)
        key, created = learning.dedupe_key, now if learning.created_at is None else learning.created_at
        return [
            self._new_id() if learning.id is None else check_text(learning.id, "id"),
            learning.conversation_id,
            learning.category,
            learning.title,
            learning.content,
            check_number(learning.confidence, "confidence"),
            encode_json(distinct_tags(learning.tags)),
            _dedupe_key(learning.category, learning.title, learning.content)
            if key is None
            else check_text(key, "dedupe_key"),
            encode_json({} if learning.metadata is None else learning.metadata),
            encode_timestamp(created),
            encode_timestamp(created if learning.updated_at is None else learning.updated_at),
        ]

    def get(self, id: str) -> Learning:
        """Return one learning, deleted or not (see its *deleted_at*).

        Raises:
            NotFoundError: The learning does not exist.
        """
        return found(self._statements.get_learning(id=id), "learning")

    def find(
        self, id: str | None = None, *, conversation_id: str | None = None, dedupe_key: str | None = None
    ) -> Learning | None:
        """Return the learning with this id, or with this dedupe key in this conversation; None if there is none."""
        if id is not None:
            return self._statements.get_learning(id=id)
        if conversation_id is None or dedupe_key is None:
            return None
        return self._statements.find_learning_by_dedupe_key(conversation_id=conversation_id, dedupe_key=dedupe_key)

    def categories(self, max_rows: int = DEFAULT_ROWS) -> Sequence[tuple[str, int]]:
        """The number of learnings per category, the most frequent first; deleted learnings are not counted."""
        return [*self._statements.list_category_counts(max_rows=check_max_rows(max_rows))]

    def tags(self, max_rows: int = DEFAULT_ROWS) -> Sequence[tuple[str, int]]:
        """The number of learnings per tag, the most frequent first; deleted learnings are not counted."""
        return [*self._statements.list_tag_counts(max_rows=check_max_rows(max_rows))]

    def update(
        self,
        id: str,
        *,
        category: str = UNCHANGED,
        title: str = UNCHANGED,
        content: str = UNCHANGED,
        confidence: float = UNCHANGED,
        tags: Sequence[str] = UNCHANGED,
        metadata: Mapping[str, Any] = UNCHANGED,
    ) -> Learning:
        """Replace the given fields and keep the others; *tags* and *metadata* are replaced as a whole.

        The dedupe key stays, so that adding the original learning again still returns this one.

        Raises:
            NotFoundError: The learning does not exist.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored.
        """
        with self._engine.transaction():
            self._statements.lock_learnings(ids=[id])
            present = self.get(id)
            updated = self._statements.update_learning(
                id=id,
                category=present.category if category is UNCHANGED else check_text(category, "category"),
                title=present.title if title is UNCHANGED else check_text(title, "title"),
                content=present.content if content is UNCHANGED else check_text(content, "content"),
                confidence=present.confidence if confidence is UNCHANGED else check_number(confidence, "confidence"),
                tags=distinct_tags(present.tags if tags is UNCHANGED else tags),
                metadata=present.metadata if metadata is UNCHANGED else metadata,
                now=self._now(),
            )
            self._index.add_learnings([found(updated, "learning")])
            return found(updated, "learning")

    def delete(self, id: str, *, reason: str | None = None) -> None:
        """Permanently delete it with its tags, its links to messages and its uploads.

        Raises:
            NotFoundError: The learning does not exist.
        """
        with self._engine.transaction():
            self._statements.lock_learnings(ids=[id])  # nobody can plan an upload after the count
            uploads = self._statements.count_learning_uploads(learning_id=id)
            if not self._statements.delete_learning(id=id):
                raise NotFoundError("learning")
            self._audit("delete", "learning", id, reason, uploads=uploads)

    def delete_many(
        self, ids: Iterable[str], *, changed_before: datetime | None = None, reason: str | None = None
    ) -> Sequence[str]:
        """Permanently delete several in one transaction, except those that no longer exist or are under legal hold.

        Args:
            ids: The learnings to delete.
            changed_before: Only learnings that were last changed before this time.
            reason: The reason, for the audit log.

        Returns:
            The ids of the deleted learnings.
        """
        gone: list[str] = []
        with self._engine.transaction():
            wanted = list(dict.fromkeys(check_text(id, "ids") for id in ids))
            present = {id: self.find(id) for id in wanted}
            places = {learning.conversation_id for learning in present.values() if learning is not None}
            self._statements.lock_conversations(ids=sorted(places))  # nobody can place a hold after they are checked
            self._statements.lock_learnings(ids=wanted)
            held = {place for place in places if self._statements.find_legal_hold(conversation_id=place) is not None}
            for id in wanted:
                learning = self.find(id)
                if learning is None or learning.conversation_id in held:
                    continue
                if changed_before is None or learning.updated_at < changed_before:
                    self.delete(id, reason=reason)
                    gone.append(id)
        return gone

    def _first(self, conversation_id: str, dedupe_key: str) -> Learning | None:
        """The existing learning with the same key; None if it was deleted meanwhile (PostgreSQL): then add again."""
        first: Learning | None = self._statements.find_learning_by_dedupe_key(
            conversation_id=conversation_id, dedupe_key=dedupe_key
        )
        if first is None:
            conversation = self._statements.get_conversation(id=conversation_id)
            if conversation is not None and conversation.deleted_at is None:
                return None
        if first is None or first.deleted_at is not None:
            raise NotFoundError("conversation")
        return first

    def _link(self, id: str, message_ids: Sequence[str]) -> None:
        if isinstance(message_ids, str):
            raise InvalidValueError("message_ids: expected a list of ids, not one string")
        distinct = sorted({check_text(message_id, "message_ids") for message_id in message_ids})
        if not distinct:
            return
        if self._statements.add_learning_messages(learning_id=id, message_ids=distinct) != len(distinct):
            raise ForeignKeyError(
                "message_ids: a message does not exist, or belongs to another conversation than the learning",
                "learning_messages_message_id_fkey",
            )

    def count(
        self,
        *,
        conversation_id: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> int:
        """Count them; takes the filters of `list`."""
        times = {"created_from": created_from or TIME_MIN, "created_before": created_before or TIME_MAX}
        if conversation_id is not None:
            return self._statements.count_learnings_by_conversation(
                conversation_id=conversation_id, category=category, tag=tag, **times
            )
        if tag is not None:
            return self._statements.count_learnings_by_tag(tag=tag, category=category, **times)
        return self._statements.count_learnings(category=category, **times)

    def list(
        self,
        *,
        conversation_id: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        after: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Learning]:
        """One page of those that are not deleted, newest first (by *created_at*, then by id).

        Args:
            conversation_id: Only learnings of this conversation.
            category: Only learnings in this category.
            tag: Only learnings with this tag.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            after: The *next* of the previous page.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or belongs to a list with other filters.
        """
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [conversation_id, category, tag, encode_timestamp(low), encode_timestamp(high)]
        pager = TimePager("learnings", filters, after=after, max_rows=max_rows)
        at, id = pager.place(high)
        page: dict[str, Any] = {
            "created_from": low,
            "before_created_at": at,
            "before_id": id,
            "max_rows": pager.max_rows,
        }
        if conversation_id is not None:
            rows = self._statements.list_learnings_by_conversation(
                conversation_id=conversation_id, category=category, tag=tag, **page
            )
        elif tag is not None:
            rows = self._statements.list_learnings_by_tag(tag=tag, category=category, **page)
        else:
            rows = self._statements.list_learnings(category=category, **page)
        return pager.page_by_time(rows)

    def iterate(
        self,
        *,
        conversation_id: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Learning]:
        """Iterate over all that are not deleted, newest first, page by page; takes the filters of `list`."""
        return every(
            self.list,
            conversation_id=conversation_id,
            category=category,
            tag=tag,
            created_from=created_from,
            created_before=created_before,
        )


def _batches(learnings: Iterable[_Given]) -> Iterator[list[_Given]]:
    """Split into batches, one per statement: FTS5 writes its pending data at every statement."""
    batch: list[_Given] = []
    size = 0
    for learning, row in learnings:
        batch.append((learning, row))
        size += len(learning.content)
        if len(batch) == _BATCH_ROWS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _dedupe_key(category: str, title: str, content: str) -> str:
    text = json.dumps([category, title, content], ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
