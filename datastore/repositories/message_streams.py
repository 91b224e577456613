"""Messages that are stored while they are written: begin, extend, finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import NotFoundError
from datastore.records.messages import Message, NewMessage, Role
from datastore.records.pages import Page, every
from datastore.records.parts import Part
from datastore.repositories.base import DEFAULT_ROWS, TimePager
from datastore.repositories.message_body import body_of, estimate
from datastore.repositories.search_index import IndexedRepository
from datastore.values import TIME_MIN, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.messages import MessagesStatements


class MessageStreams(IndexedRepository):
    """The methods of `MessageRepository` for messages that arrive piece by piece.

    A partial message has its position and the text so far, so that a crash leaves a readable beginning. Its words are
    indexed once, when it is finished.
    """

    _statements: MessagesStatements

    def begin(
        self,
        conversation_id: str,
        *,
        role: Role = "assistant",
        content: str = "",
        branch: int | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: datetime | None = None,
        source_id: str | None = None,
    ) -> Message:
        """Append a message that is still being written; `extend` adds to it, and `finish` ends it.

        Args:
            conversation_id: A conversation that is not deleted.
            role: Who speaks.
            content: The beginning of its text.
            branch: Which branch; None: the active one.
            id: The caller's own, 1 to 200 characters; None makes a time-ordered UUID.
            metadata: A JSON object, at most 1 MiB.
            created_at: When it began, aware; None is now.
            source_id: The id that it has where it was imported from.

        Raises:
            NotFoundError, UniqueError, CheckError, InvalidValueError: As `append`.
        """
        new = NewMessage(
            role=role,
            content=content,
            id=id,
            metadata=metadata,
            created_at=created_at,
            source_id=source_id,
            partial=True,
        )
        return self.append_many(conversation_id, [new], branch=branch)[0]

    def extend(self, id: str, content: str) -> None:
        """Add text to a partial message, durably; collect small pieces, because each call is a commit.

        Raises:
            NotFoundError: There is no such message, or it is finished.
            CheckError: The whole text is longer than 1 MiB.
        """
        tokens = estimate(check_text(content, "content"))
        if not self._statements.extend_message(id=id, content=content, token_count=tokens):
            raise NotFoundError("partial message")

    def finish(
        self,
        id: str,
        *,
        parts: Iterable[Part] | None = None,
        token_count: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Message:
        """End a partial message: hash and index its text.

        Args:
            id: Which message.
            parts: What the message consists of, instead of the text so far.
            token_count: None estimates one token per 4 bytes of UTF-8, rounded up.
            metadata: Replaces the message's metadata; None keeps it.

        Raises:
            NotFoundError: There is no such message, or it is finished.
            CheckError: It has neither text nor parts: delete it instead.
        """
        do = self._statements
        given = None if parts is None else body_of(None, parts)
        with self._engine.transaction():
            message = None
            while message is None:  # more text was added after the message was read
                begun = do.get_message(id=id)
                if begun is None or not begun.partial:
                    raise NotFoundError("partial message")
                body = given or body_of(begun.content, None)
                message = do.finish_message(
                    id=id,
                    read_length=len(begun.content),
                    content=body.content,
                    content_hash=body.content_hash,
                    token_count=body.token_count if token_count is None else token_count,
                    parts=body.values,
                    metadata=begun.metadata if metadata is None else metadata,
                )
            self._index.add_messages([message])
            return message

    def list_partial(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Message]:
        """One page of the messages that are not finished, oldest first: their writers are at work, or have crashed.

        Raises:
            CursorError: *after* is damaged or of another list.
        """
        pager = TimePager("partial messages", [], after=after, max_rows=max_rows)
        at, id = pager.place(TIME_MIN)
        rows = self._statements.list_partial_messages(after_created_at=at, after_id=id, max_rows=pager.max_rows)
        return pager.page_by_time(rows)

    def iterate_partial(self) -> Iterator[Message]:
        """Each message that is not finished, oldest first, page by page."""
        return every(self.list_partial)

    if TYPE_CHECKING:

        def append_many(
            self, conversation_id: str, messages: Iterable[NewMessage], *, branch: int | None = None
        ) -> Sequence[Message]: ...
