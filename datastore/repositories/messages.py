"""Messages: append, page in both directions, fit a context, redact, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import InvalidValueError, NotFoundError
from datastore.records.messages import Message, NewMessage, Role
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, Cursor, TimePager, check_max_rows, found
from datastore.repositories.message_search import MessageSearch
from datastore.search.filters import message_facets
from datastore.search.matching import Words
from datastore.values import TIME_MAX, TIME_MIN, as_stored, check_text, decode_json, encode_json, encode_timestamp

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.conversations import ConversationsStatements
    from datastore.statements.typed.learnings import LearningsStatements
    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.redactions import RedactionsStatements
    from datastore.statements.typed.search import SearchStatements

    class _Statements(
        MessagesStatements,
        SearchStatements,
        ConversationsStatements,
        LearningsStatements,
        RedactionsStatements,
        Protocol,
    ):
        """The statements that the repository calls."""


#: Larger than every position.
_END = 2**53


class MessageRepository(MessageSearch):
    """The table *messages*."""

    _statements: _Statements

    def append(
        self,
        conversation_id: str,
        *,
        role: Role,
        content: str,
        id: str | None = None,
        token_count: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: datetime | None = None,
    ) -> Message:
        """Append one message at the end of a conversation; the database gives it its position.

        Args:
            conversation_id: A conversation that is not deleted.
            role: Who speaks: user, assistant, system or tool.
            content: Sanitized text, 1 byte to 1 MiB of UTF-8.
            id: The caller's own, 1 to 200 characters; None makes a time-ordered UUID.
            token_count: None estimates one token per 4 bytes of UTF-8, rounded up.
            metadata: A JSON object, at most 1 MiB.
            created_at: When it was said, aware; None is now.

        Returns:
            The stored message, with its *position*.

        Raises:
            NotFoundError: There is no such conversation, or it is deleted.
            UniqueError: The id is taken.
            CheckError: *role*, *content* or another value is outside its range.
            InvalidValueError: A value cannot be stored at all (NUL, a lone surrogate, a naive datetime).
        """
        content_hash, estimate = _measure(content)
        if id is None:
            id = self._new_id()
        if token_count is None:
            token_count = estimate
        instant = as_stored(self._now() if created_at is None else created_at)
        check_text(conversation_id, "conversation_id")
        while True:
            position = self._statements.append_message(
                id=id,
                conversation_id=conversation_id,
                role=role,
                content=content,
                content_hash=content_hash,
                token_count=token_count,
                metadata={} if metadata is None else metadata,
                created_at=instant,
                words=Words(self._index.analyzer.document(content)),
                facets=message_facets(conversation_id, role, instant),
                language=self._index.analyzer.language,
            )
            if position is not None:
                break
            if not self._index.has_changed():
                raise NotFoundError("conversation")
        # Only the position is not known yet. Reading the whole row back would cost an append 5 %.
        return Message(
            id=id,
            conversation_id=conversation_id,
            position=position,
            role=role,
            content=content,
            content_hash=content_hash,
            token_count=int(token_count),
            metadata=decode_json(encode_json(metadata)) if metadata else {},
            created_at=instant,
        )

    def append_many(self, conversation_id: str, messages: Iterable[NewMessage]) -> Sequence[Message]:
        """Append several messages in their order, in one statement; if one is refused, none is stored.

        Raises:
            NotFoundError: There is no such conversation, or it is deleted.
            UniqueError, CheckError, InvalidValueError: As `append`.
        """
        messages = list(messages)
        if not messages:
            return []
        with self._engine.transaction():
            now = self._now()
            stored: Sequence[Message] = self._statements.append_messages(
                conversation_id=conversation_id, rows=[self._values(message, now) for message in messages]
            )
            if not stored:
                raise NotFoundError("conversation")
            self._index.add_messages(stored)
        return sorted(stored, key=lambda message: message.position)

    def get(self, id: str) -> Message:
        """One message.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.get_message(id=id), "message")

    def find(self, id: str) -> Message | None:
        """One message, or None."""
        return self._statements.get_message(id=id)

    def list(
        self,
        conversation_id: str,
        *,
        after: str | None = None,
        before: str | None = None,
        last: bool = False,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Message]:
        """One page of a conversation by position, oldest first within the page.

        Args:
            conversation_id: Which conversation; a deleted one's messages are still listed.
            after: Cursor from a page's *next*: return the messages after it.
            before: Cursor from a page's *previous*: return the messages before it.
            last: The last page instead of the first, to read backwards from.
            max_rows: 1 to 1000.

        Raises:
            CursorError: A cursor is damaged or of another list.
        """
        pager = Cursor("messages", [conversation_id], (int,), after=after, before=before, max_rows=max_rows)
        if pager.backwards or (last and pager.start is None):
            pager.backwards = True
            position = _END if pager.start is None else pager.start[0]
            rows = self._statements.list_messages_before(
                conversation_id=conversation_id, before_position=position, max_rows=pager.max_rows
            )
        else:
            position = 0 if pager.start is None else pager.start[0]
            rows = self._statements.list_messages_after(
                conversation_id=conversation_id, after_position=position, max_rows=pager.max_rows
            )
        return pager.page(rows, lambda message: (message.position,))

    def iterate(self, conversation_id: str) -> Iterator[Message]:
        """Each message of a conversation by position, page by page."""
        return every(self.list, conversation_id)

    def list_by_time(
        self,
        conversation_id: str,
        *,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        after: str | None = None,
        before: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Message]:
        """One page of a conversation by time (then by id), oldest first within the page.

        Args:
            conversation_id: Which conversation.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            after: A page's *next*.
            before: Cursor from a page's *previous*.
            max_rows: 1 to 1000.

        Raises:
            CursorError: A cursor is damaged or of another list.
        """
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [conversation_id, encode_timestamp(low), encode_timestamp(high)]
        pager = TimePager("messages by time", filters, after=after, before=before, max_rows=max_rows)
        at, id = pager.place(low)
        range: dict[str, Any] = {"conversation_id": conversation_id, "created_from": low, "created_before": high}
        if pager.backwards:
            rows = self._statements.list_messages_by_time_before(
                **range, before_created_at=at, before_id=id, max_rows=pager.max_rows
            )
        else:
            rows = self._statements.list_messages_by_time_after(
                **range, after_created_at=at, after_id=id, max_rows=pager.max_rows
            )
        return pager.page_by_time(rows)

    def iterate_by_time(
        self,
        conversation_id: str,
        *,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Message]:
        """Each message of a conversation by time, page by page; the filters are those of `list_by_time`."""
        return every(self.list_by_time, conversation_id, created_from=created_from, created_before=created_before)

    def list_by_learning(
        self, learning_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Message]:
        """One page of the messages that a learning came from, oldest first; empty if there is no such learning.

        Raises:
            CursorError: *after* is damaged or of another list.
        """
        pager = Cursor("messages by learning", [learning_id], (int,), after=after, max_rows=max_rows)
        rows = self._statements.list_learning_messages(
            learning_id=learning_id,
            after_position=0 if pager.start is None else pager.start[0],
            max_rows=pager.max_rows,
        )
        return pager.page(rows, lambda message: (message.position,))

    def iterate_by_learning(self, learning_id: str) -> Iterator[Message]:
        """Each message that a learning came from, oldest first, page by page."""
        return every(self.list_by_learning, learning_id)

    def latest(self, conversation_id: str, *, max_tokens: int, max_rows: int = DEFAULT_ROWS) -> Sequence[Message]:
        """The latest messages whose tokens together fit *max_tokens*, oldest first; at most *max_rows*.

        It stops at the first message, going back, that does not fit; nothing is left out in between.
        """
        return self._statements.list_messages_within_tokens(
            conversation_id=conversation_id, max_tokens=max_tokens, max_rows=check_max_rows(max_rows)
        )

    def count(self, conversation_id: str | None = None) -> int:
        """The number of messages of a conversation, or of all conversations if none is given.

        Raises:
            NotFoundError: There is no such conversation.
        """
        if conversation_id is None:
            return self._statements.count_all_messages()
        return found(self._statements.count_messages(conversation_id=conversation_id), "conversation")

    def update(self, id: str, *, metadata: Mapping[str, Any]) -> Message:
        """Replace a message's metadata. Only `redact` changes its content.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.update_message_metadata(id=id, metadata=metadata), "message")

    def redact(self, id: str, *, content: str, reason: str | None = None, merge: bool = False) -> Message:
        """Replace a message's text with a more sanitized one, and record it in the audit log.

        Args:
            id: Which message.
            content: The new text.
            reason: Why, for the audit log.
            merge: Whether the whole full-text index is merged, so that no old word stays in the file: about 10 s
                per million messages. False: no search finds the old words, but they stay in the pages of the
                index, one by one and without their places, until it is merged: by the last of several calls with
                True, by an erasure or by `Datastore.reindex`.

        Raises:
            NotFoundError: There is none.
            CheckError, InvalidValueError: As `append`.
        """
        content_hash, estimate = _measure(content)
        with self._engine.transaction():
            message = found(
                self._statements.update_message_content(
                    id=id, content=content, content_hash=content_hash, token_count=estimate
                ),
                "message",
            )
            self._index.add_messages([message])
            if merge:
                self._index.merge_messages()
            self._audit("redact", "message", id, reason, conversation_id=message.conversation_id)
            return message

    def delete(self, id: str, *, reason: str | None = None) -> None:
        """Delete a message permanently; its position is not reused.

        Raises:
            NotFoundError: There is none.
        """
        with self._engine.transaction():
            # Lock the conversation first, as a deletion of the whole conversation does, so that the two cannot deadlock.
            conversation_id = found(self._statements.find_conversation_of_message(message_id=id), "message")
            self._statements.lock_conversations(ids=[conversation_id])
            if self._statements.delete_message(id=id) is None:
                raise NotFoundError("message")
            self._audit("delete", "message", id, reason, conversation_id=conversation_id)

    def _values(self, message: NewMessage, now: datetime) -> Sequence[Any]:
        # In JSON a NUL would truncate the text, so it is refused here instead of by the table.
        content_hash, estimate = _measure(check_text(message.content, "content"))
        return [
            self._new_id() if message.id is None else check_text(message.id, "id"),
            message.role,
            message.content,
            content_hash,
            estimate if message.token_count is None else message.token_count,
            "{}" if not message.metadata else encode_json(message.metadata),
            encode_timestamp(now if message.created_at is None else message.created_at),
        ]


def _measure(content: str) -> tuple[str, int]:
    """The hash of a content, and its estimated number of tokens."""
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise InvalidValueError("content: holds a lone surrogate, which no UTF-8 can keep") from None
    except AttributeError:
        raise InvalidValueError(f"content: text is needed, not {type(content).__name__}") from None
    return hashlib.sha256(data).hexdigest(), (len(data) + 3) // 4
