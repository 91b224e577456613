"""Conversations: stored, listed, completed, hidden, restored, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from datastore.errors import NotFoundError
from datastore.records.conversations import Conversation
from datastore.records.pages import Page
from datastore.records.rows import RowReader
from datastore.repositories.base import DEFAULT_ROWS, UNCHANGED, Repository, TimePager, bounds, check_max_rows
from datastore.values import TEXT_MAX, TEXT_MIN, TIME_MAX, TIME_MIN, encode_timestamp

_rows = RowReader(Conversation)


class ConversationRepository(Repository):
    """The table *conversations*."""

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
        """Store a conversation; its messages follow.

        Args:
            sanitization_version: Which sanitization the text went through; 1 to 100 characters.
            id: The caller's own, 1 to 200 characters; None makes a time-ordered UUID.
            session_id: Groups conversations; 1 to 200 characters.
            correlation_id: The caller's own key, unique where given; 1 to 200 characters.
            source: Where it came from; 1 to 200 characters.
            title: At most 1000 characters.
            metadata: A JSON object, at most 1 MiB.
            created_at: When it began, aware; None is now.
            updated_at: Its last change, aware; None is *created_at*.
            completed_at: Its end, if it is over.

        Returns:
            The stored conversation.

        Raises:
            UniqueError: The id or the correlation id is taken.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored at all (a naive datetime, a lone surrogate, ...).
        """
        created = self._now() if created_at is None else created_at
        row = self._statements.add_conversation(
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
        return _rows.one(row)

    def add_many(self, conversations: Iterable[Mapping[str, Any]]) -> list[Conversation]:
        """Store several, or none if one is refused; each is a mapping of `add`'s arguments."""
        with self._engine.transaction():
            return [self.add(**arguments) for arguments in conversations]

    def get(self, id: str) -> Conversation:
        """One conversation, deleted or not (see its *deleted_at*).

        Raises:
            NotFoundError: There is none.
        """
        return self._one(self._statements.get_conversation(id=id))

    def find(self, id: str | None = None, *, correlation_id: str | None = None) -> Conversation | None:
        """The conversation with this id, or with this correlation id; None if there is none."""
        if id is not None:
            row = self._statements.get_conversation(id=id)
        else:
            row = self._statements.find_conversation_by_correlation(correlation_id=correlation_id)
        return None if row is None else _rows.one(row)

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
            session_id: Only of this session.
            source: Only of this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            deleted: The soft-deleted ones instead of the others.
            after: The *next* of the page before.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or of a list with other filters.
        """
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [session_id, source, encode_timestamp(low), encode_timestamp(high), deleted]
        pager = TimePager("conversations", filters, after=after, max_rows=max_rows)
        at, id = pager.place(high)
        name, arguments = _choose("list", session_id, source, deleted)
        rows = getattr(self._statements, name)(
            **arguments,
            created_from=low,
            before_created_at=at,
            before_id=id,
            max_rows=pager.max_rows,
        )
        return pager.page_by_time(_rows.many(rows))

    def count(
        self,
        *,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        deleted: bool = False,
    ) -> int:
        """How many there are; the filters are those of `list`."""
        name, arguments = _choose("count", session_id, source, deleted)
        count: int = getattr(self._statements, name)(
            **arguments, created_from=created_from or TIME_MIN, created_before=created_before or TIME_MAX
        )
        return count

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
        """Replace what is given and keep the rest; *metadata* is replaced as a whole.

        Raises:
            NotFoundError: There is no such conversation.
            UniqueError: The correlation id is taken.
            CheckError: A value is outside its range.
        """
        with self._engine.transaction():
            present = self.get(id)
            row = self._statements.update_conversation(
                id=id,
                session_id=present.session_id if session_id is UNCHANGED else session_id,
                correlation_id=present.correlation_id if correlation_id is UNCHANGED else correlation_id,
                source=present.source if source is UNCHANGED else source,
                title=present.title if title is UNCHANGED else title,
                metadata=present.metadata if metadata is UNCHANGED else metadata,
                now=self._now(),
            )
            return _rows.one(row)

    def merge_metadata(self, id: str, patch: Mapping[str, Any]) -> Conversation:
        """Merge *patch* into the metadata (RFC 7396: objects merge, a None removes its key).

        Raises:
            NotFoundError: There is no such conversation.
            CheckError: The result is no object, or too large.
        """
        return self._one(self._statements.merge_conversation_metadata(id=id, patch=patch, now=self._now()))

    def complete(self, id: str) -> Conversation:
        """Mark it as over; if it was, its *completed_at* stays.

        Raises:
            NotFoundError: There is none, or it is deleted.
        """
        return self._one(self._statements.complete_conversation(id=id, now=self._now()))

    def soft_delete(self, id: str, *, reason: str | None = None) -> Conversation:
        """Hide it and its learnings from lists, search and appenders; `restore` undoes it.

        Raises:
            NotFoundError: There is none, or it is hidden already.
        """
        with self._engine.transaction():
            record = self._one(self._statements.hide_conversation(id=id, now=self._now()))
            self._audit("soft_delete", "conversation", id, reason)
            return record

    def restore(self, id: str, *, reason: str | None = None) -> Conversation:
        """Show it and its learnings again, exactly as they were.

        Raises:
            NotFoundError: There is none, or it is not hidden.
        """
        with self._engine.transaction():
            record = self._one(self._statements.restore_conversation(id=id, now=self._now()))
            self._audit("restore", "conversation", id, reason)
            return record

    def delete(self, id: str, *, reason: str | None = None) -> dict[str, int]:
        """Delete it for good, with its messages, learnings, uploads and redactions.

        Returns:
            How many of each went with it.

        Raises:
            NotFoundError: There is none.
        """
        return self._delete(id, "delete", reason)

    def purge(self, *, deleted_before: datetime, reason: str | None = None, max_rows: int = 100) -> int:
        """Delete for good what was soft-deleted before an instant, longest hidden first, in one batch.

        Returns:
            How many conversations went; call again while it is *max_rows*.
        """
        with self._engine.transaction():
            rows = self._statements.list_purgeable_conversations(
                deleted_before=deleted_before, max_rows=check_max_rows(max_rows)
            )
            for (id,) in rows:
                self._delete(id, "purge", reason)
            return len(rows)

    def _delete(self, id: str, action: str, reason: str | None) -> dict[str, int]:
        with self._engine.transaction():
            counts = self._statements.count_conversation_parts(id=id)
            parts = dict(zip(("messages", "learnings", "uploads", "redactions"), counts, strict=True))
            if not self._statements.delete_conversation(id=id):
                raise NotFoundError("conversation")
            self._audit(action, "conversation", id, reason, **parts)
            return parts

    def _one(self, row: tuple[Any, ...] | None) -> Conversation:
        if row is None:
            raise NotFoundError("conversation")
        return _rows.one(row)


def _choose(verb: str, session_id: str | None, source: str | None, deleted: bool) -> tuple[str, dict[str, Any]]:
    """The statement of the access path that the filters ask for, and its own arguments."""
    source_from, source_to = bounds(source, TEXT_MIN, TEXT_MAX)
    if deleted:
        session_from, session_to = bounds(session_id, TEXT_MIN, TEXT_MAX)
        return f"{verb}_deleted_conversations", {
            "session_from": session_from,
            "session_to": session_to,
            "source_from": source_from,
            "source_to": source_to,
        }
    if session_id is not None:
        return f"{verb}_conversations_by_session", {
            "session_id": session_id,
            "source_from": source_from,
            "source_to": source_to,
        }
    if source is not None:
        return f"{verb}_conversations_by_source", {"source": source}
    return f"{verb}_conversations", {}
