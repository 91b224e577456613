"""Conversations: store, list, complete, soft-delete, restore, delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from datastore.errors import NotFoundError
from datastore.records.conversations import Conversation, NewConversation
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, UNCHANGED, TimePager, check_max_rows, found
from datastore.repositories.search_index import IndexedRepository
from datastore.values import TIME_MAX, TIME_MIN, check_text, encode_timestamp

if TYPE_CHECKING:
    from datastore.statements.typed.conversations import ConversationsStatements


class ConversationRepository(IndexedRepository):
    """The table *conversations*."""

    _statements: ConversationsStatements

    def add(
        self,
        *,
        sanitization_version: str,
        id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        source: str = "application",
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        completed_at: datetime | None = None,
    ) -> Conversation:
        """Store a conversation, without messages.

        Args:
            sanitization_version: The version of the sanitization that the text went through; 1 to 100 characters.
            id: The caller's own, 1 to 200 characters; None: a time-ordered UUID is generated.
            session_id: Groups conversations; 1 to 200 characters.
            correlation_id: The caller's own key, unique if given; 1 to 200 characters.
            source: Its origin; 1 to 200 characters.
            title: At most 1000 characters.
            metadata: A JSON object, at most 1 MiB.
            created_at: When it began, aware; None: now.
            updated_at: Its last change, aware; None: *created_at*.
            completed_at: Its end, if it has ended.

        Returns:
            The stored conversation.

        Raises:
            UniqueError: The id or the correlation id is already in use.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored (a naive datetime, a lone surrogate, ...).
        """
        created = self._now() if created_at is None else created_at
        return self._statements.add_conversation(
            id=self._new_id() if id is None else id,
            session_id=session_id,
            correlation_id=correlation_id,
            source=source,
            title=title,
            sanitization_version=sanitization_version,
            metadata={} if metadata is None else metadata,
            created_at=created,
            updated_at=created if updated_at is None else updated_at,
            completed_at=completed_at,
        )

    def add_many(self, conversations: Iterable[NewConversation]) -> Sequence[Conversation]:
        """Store several conversations in order, or none of them if one is refused; see `add`."""
        with self._engine.transaction():
            return [self.add(**attrs.asdict(new, recurse=False)) for new in conversations]

    def get(self, id: str) -> Conversation:
        """Return one conversation, deleted or not (see its *deleted_at*).

        Raises:
            NotFoundError: The conversation does not exist.
        """
        return found(self._statements.get_conversation(id=id), "conversation")

    def find(self, id: str | None = None, *, correlation_id: str | None = None) -> Conversation | None:
        """Return the conversation with this id or this correlation id; None if there is none."""
        if id is not None:
            return self._statements.get_conversation(id=id)
        return (
            None
            if correlation_id is None
            else self._statements.find_conversation_by_correlation(correlation_id=correlation_id)
        )

    def list(
        self,
        *,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        deleted: bool = False,
        after: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Conversation]:
        """One page, newest first (by *created_at*, then by id).

        Args:
            session_id: Only conversations of this session.
            source: Only conversations from this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            deleted: List soft-deleted conversations instead of the others.
            after: The *next* of the previous page.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or belongs to a list with other filters.
        """
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [session_id, source, encode_timestamp(low), encode_timestamp(high), deleted]
        pager = TimePager("conversations", filters, after=after, max_rows=max_rows)
        at, id = pager.place(high)
        statement = self._statements.list_deleted_conversations if deleted else self._statements.list_conversations
        rows = statement(
            session_id=session_id,
            source=source,
            created_from=low,
            before_created_at=at,
            before_id=id,
            max_rows=pager.max_rows,
        )
        return pager.page_by_time(rows)

    def iterate(
        self,
        *,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        deleted: bool = False,
    ) -> Iterator[Conversation]:
        """Iterate over all of them, newest first, page by page; takes the filters of `list`."""
        return every(
            self.list,
            session_id=session_id,
            source=source,
            created_from=created_from,
            created_before=created_before,
            deleted=deleted,
        )

    def count(
        self,
        *,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        deleted: bool = False,
    ) -> int:
        """Count them; takes the filters of `list`."""
        statement = self._statements.count_deleted_conversations if deleted else self._statements.count_conversations
        return statement(
            session_id=session_id,
            source=source,
            created_from=created_from or TIME_MIN,
            created_before=created_before or TIME_MAX,
        )

    def update(
        self,
        id: str,
        *,
        session_id: str | None = UNCHANGED,
        correlation_id: str | None = UNCHANGED,
        source: str = UNCHANGED,
        title: str | None = UNCHANGED,
        metadata: Mapping[str, Any] = UNCHANGED,
    ) -> Conversation:
        """Replace the given fields and keep the others; *metadata* is replaced as a whole.

        Raises:
            NotFoundError: The conversation does not exist.
            UniqueError: The correlation id is already in use.
            CheckError: A value is outside its range.
        """
        with self._engine.transaction():
            self._statements.lock_conversations(ids=[id])
            present = self.get(id)
            changed = found(
                self._statements.update_conversation(
                    id=id,
                    session_id=present.session_id if session_id is UNCHANGED else session_id,
                    correlation_id=present.correlation_id if correlation_id is UNCHANGED else correlation_id,
                    source=present.source if source is UNCHANGED else source,
                    title=present.title if title is UNCHANGED else title,
                    metadata=present.metadata if metadata is UNCHANGED else metadata,
                    now=self._now(),
                ),
                "conversation",
            )
            if (changed.session_id, changed.source) != (present.session_id, present.source):
                self._index.fill(id)  # its messages and learnings are searchable by both
            return changed

    def lock(self, ids: Iterable[str]) -> Sequence[str]:
        """Lock conversations until the transaction ends: what is read after the call cannot be changed by others.

        PostgreSQL locks their rows; on SQLite a transaction excludes every other writer anyway. Outside a transaction
        the call does nothing.

        Returns:
            The ids of the conversations that exist.
        """
        return [row.id for row in self._statements.lock_conversations(ids=_distinct(ids))]

    def merge_metadata(self, id: str, patch: Mapping[str, Any]) -> Conversation:
        """Merge *patch* into the metadata (RFC 7396: objects merge, a None removes its key).

        Raises:
            NotFoundError: The conversation does not exist.
            CheckError: The result is not an object, or is too large.
        """
        return found(self._statements.merge_conversation_metadata(id=id, patch=patch, now=self._now()), "conversation")

    def complete(self, id: str) -> Conversation:
        """Mark it as completed; if it already is, its *completed_at* stays.

        Raises:
            NotFoundError: The conversation does not exist, or it is deleted.
        """
        return found(self._statements.complete_conversation(id=id, now=self._now()), "conversation")

    def soft_delete(self, id: str, *, reason: str | None = None) -> Conversation:
        """Hide it and its learnings from lists and search, and refuse new messages; `restore` undoes this.

        Raises:
            NotFoundError: The conversation does not exist, or it is already hidden.
        """
        with self._engine.transaction():
            record = found(self._statements.soft_delete_conversation(id=id, now=self._now()), "conversation")
            self._audit("soft_delete", "conversation", id, reason)
            return record

    def soft_delete_many(self, ids: Iterable[str], *, reason: str | None = None) -> Sequence[str]:
        """Hide several in one transaction, as `soft_delete` does; ids that are missing or already hidden are skipped.

        Returns:
            The ids of the conversations that were hidden by this call, in the order given.
        """
        with self._engine.transaction():
            wanted = _distinct(ids)
            self._statements.lock_conversations(ids=wanted)
            hidden = {row.id for row in self._statements.soft_delete_conversations(ids=wanted, now=self._now())}
            for id in filter(hidden.__contains__, wanted):
                self._audit("soft_delete", "conversation", id, reason)
            return [id for id in wanted if id in hidden]

    def restore(self, id: str, *, reason: str | None = None) -> Conversation:
        """Show it and its learnings again, exactly as they were.

        Raises:
            NotFoundError: The conversation does not exist, or it is not hidden.
        """
        with self._engine.transaction():
            record = found(self._statements.restore_conversation(id=id, now=self._now()), "conversation")
            self._index.fill(id)
            self._audit("restore", "conversation", id, reason)
            return record

    def delete(self, id: str, *, reason: str | None = None) -> dict[str, int]:
        """Permanently delete it with its messages, learnings, uploads and redactions.

        Returns:
            The number of rows of each kind that were deleted with it.

        Raises:
            NotFoundError: The conversation does not exist.
        """
        with self._engine.transaction():
            self._statements.lock_conversations(ids=[id])  # nobody can add to it after the count
            parts: dict[str, int] = self._statements.count_conversation_parts(id=id)._asdict()
            if not self._statements.delete_conversation(id=id):
                raise NotFoundError("conversation")
            self._audit("delete", "conversation", id, reason, **parts)
            return parts

    def purge_many(self, ids: Iterable[str], *, reason: str | None = None) -> Counter[str]:
        """Permanently delete those conversations that are hidden and not under legal hold, in one transaction.

        Returns:
            The number of deleted "conversations", "messages", "learnings", "uploads" and "redactions".
        """
        gone: Counter[str] = Counter()
        with self._engine.transaction():
            wanted = _distinct(ids)
            self._statements.lock_conversations(ids=wanted)  # nobody can place a hold after they are checked
            parts = {row.id: row._asdict() for row in self._statements.list_purgeable_parts(ids=wanted)}
            deleted = {row.id for row in self._statements.delete_hidden_conversations(ids=[*parts])}
            for id in filter(deleted.__contains__, wanted):
                counts = {name: count for name, count in parts[id].items() if name != "id"}
                self._audit("purge", "conversation", id, reason, **counts)
                gone.update(counts, conversations=1)
        return gone

    def purge(self, *, deleted_before: datetime, reason: str | None = None, max_rows: int = 100) -> int:
        """Permanently delete conversations that were soft-deleted before a time, longest hidden first, in one batch.

        Returns:
            The number of deleted conversations; call again while it equals *max_rows*.
        """
        with self._engine.transaction():
            purgeable = self._statements.list_purgeable_conversations(
                deleted_before=deleted_before, max_rows=check_max_rows(max_rows)
            )
            return self.purge_many((row.id for row in purgeable), reason=reason)["conversations"]


def _distinct(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(check_text(id, "ids") for id in ids))
