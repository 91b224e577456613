"""Messages: append, read, redact, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import NotFoundError
from datastore.records.messages import Message, NewMessage, Role
from datastore.records.parts import Part
from datastore.records.vectors import Vector
from datastore.repositories.base import found
from datastore.repositories.message_body import body_of
from datastore.repositories.message_pages import MessagePages
from datastore.repositories.message_search import MessageSearch
from datastore.repositories.message_streams import MessageStreams
from datastore.search.filters import message_facets
from datastore.search.matching import Words
from datastore.values import as_stored, check_text, decode_json, encode_json, encode_timestamp

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.branches import BranchesStatements
    from datastore.statements.typed.conversations import ConversationsStatements
    from datastore.statements.typed.learnings import LearningsStatements
    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.redactions import RedactionsStatements
    from datastore.statements.typed.search import SearchStatements

    class _Statements(
        MessagesStatements,
        BranchesStatements,
        SearchStatements,
        ConversationsStatements,
        LearningsStatements,
        RedactionsStatements,
        Protocol,
    ):
        """The statements that the repository calls."""


class MessageRepository(MessageStreams, MessagePages, MessageSearch):
    """The table *messages*."""

    _statements: _Statements

    def append(
        self,
        conversation_id: str,
        *,
        role: Role,
        content: str | None = None,
        parts: Iterable[Part] | None = None,
        branch: int | None = None,
        id: str | None = None,
        token_count: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: datetime | None = None,
        source_id: str | None = None,
        vector: Vector | None = None,
        embed_now: bool = False,
    ) -> Message:
        """Append one message at the end of a branch; the database gives it its position.

        Args:
            conversation_id: A conversation that is not deleted.
            role: Who speaks: user, assistant, system or tool.
            content: Sanitized text, 1 byte to 1 MiB of UTF-8.
            parts: What the message consists of (`TextPart`, `ToolCallPart`, ...), instead of *content*, which becomes
                their text; sanitized too, at most 1 MiB of JSON.
            branch: Which branch; None: the active one.
            id: The caller's own, 1 to 200 characters; None makes a time-ordered UUID.
            token_count: None estimates one token per 4 bytes of UTF-8, rounded up.
            metadata: A JSON object, at most 1 MiB.
            created_at: When it was said, aware; None is now.
            source_id: The id that it has where it was imported from, 1 to 200 characters; unique on its branch.
            vector: The vector of its content; None: a job, `datastore embed` or *embed_now* makes it.
            embed_now: Whether the function of the store makes its vector before it is stored.

        Returns:
            The stored message, with its *branch* and *position*.

        Raises:
            NotFoundError: There is no such conversation or branch, or the conversation is deleted.
            UniqueError: The id or the source id is taken.
            CheckError: *role*, *content* or another value is outside its range.
            InvalidValueError: A value cannot be stored at all (NUL, a lone surrogate, a naive datetime), or both
                *content* and *parts* are given, or neither.
            EmbeddingError: *embed_now*, and the function failed; nothing is stored.
        """
        body = body_of(content, parts)
        if vector is not None or embed_now:
            new = NewMessage(
                role=role, content=content, parts=body.parts if content is None else None, id=id, token_count=token_count,
                metadata=metadata, created_at=created_at, source_id=source_id, vector=vector, embed_now=embed_now,
            )  # fmt: skip
            return self.append_many(conversation_id, [new], branch=branch)[0]
        if id is None:
            id = self._new_id()
        if token_count is None:
            token_count = body.token_count
        instant = as_stored(self._now() if created_at is None else created_at)
        check_text(conversation_id, "conversation_id")
        while True:
            place = self._statements.append_message(
                id=id,
                conversation_id=conversation_id,
                branch=branch,
                role=role,
                content=body.content,
                content_hash=body.content_hash,
                token_count=token_count,
                parts=body.values,
                metadata={} if metadata is None else metadata,
                created_at=instant,
                source_id=source_id,
                words=Words(self._index.analyzer.document(body.content)),
                facets=message_facets(conversation_id, role, instant),
                language=self._index.analyzer.language,
            )
            if place is not None:
                break
            if not self._index.has_changed():
                raise NotFoundError("conversation" if branch is None else "conversation or branch")
        # Only the place is not known yet. Reading the whole row back would cost an append 5 %.
        return Message(
            id=id,
            conversation_id=conversation_id,
            branch=place.branch,
            position=place.position,
            role=role,
            content=body.content,
            content_hash=body.content_hash,
            token_count=int(token_count),
            parts=body.parts,
            metadata=decode_json(encode_json(metadata)) if metadata else {},
            created_at=instant,
            source_id=source_id,
            partial=False,
        )

    def append_many(
        self,
        conversation_id: str,
        messages: Iterable[NewMessage],
        *,
        branch: int | None = None,
        embed_now: bool = False,
    ) -> Sequence[Message]:
        """Append several messages in their order, in one statement; if one is refused, none is stored.

        Args:
            conversation_id: A conversation that is not deleted.
            messages: What to append.
            branch: Which branch; None: the active one.
            embed_now: As if each message had it.

        Raises:
            NotFoundError: There is no such conversation or branch, or the conversation is deleted.
            UniqueError, CheckError, InvalidValueError: As `append`.
        """
        messages = list(messages)
        if not messages:
            return []
        messages = self._index.vectors.with_vectors("messages", messages, every=embed_now)
        with self._engine.transaction():
            now = self._now()
            stored: Sequence[Message] = self._statements.append_messages(
                conversation_id=conversation_id,
                branch=branch,
                rows=[self._values(message, now) for message in messages],
            )
            if not stored:
                raise NotFoundError("conversation" if branch is None else "conversation or branch")
            self._index.add_messages([message for message in stored if not message.partial])
            stored = sorted(stored, key=lambda message: message.position)
            made = [(one, new.vector) for one, new in zip(stored, messages, strict=True) if new.vector is not None]
            texts = [(one.id, one.content) for one, _ in made]
            self._index.vectors.store("messages", texts, [vector for _, vector in made])
        return stored

    def get(self, id: str) -> Message:
        """One message.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.get_message(id=id), "message")

    def find(self, id: str) -> Message | None:
        """One message, or None."""
        return self._statements.get_message(id=id)

    def find_by_source(self, conversation_id: str, source_id: str, *, branch: int = 0) -> Message | None:
        """The message with this *source_id* among a branch's own messages, or None."""
        return self._statements.find_message_by_source(
            conversation_id=conversation_id, branch=branch, source_id=source_id
        )

    def update(self, id: str, *, metadata: Mapping[str, Any]) -> Message:
        """Replace a message's metadata. Only `redact` changes its content.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.update_message_metadata(id=id, metadata=metadata), "message")

    def redact(
        self,
        id: str,
        *,
        content: str | None = None,
        parts: Iterable[Part] | None = None,
        reason: str | None = None,
        merge: bool = False,
    ) -> Message:
        """Replace a message's text with a more sanitized one, and record it in the audit log.

        Args:
            id: Which message.
            content: The new text; the message has no parts any more.
            parts: The new parts, instead of *content*.
            reason: Why, for the audit log.
            merge: Whether the whole full-text index is merged, so that no old word stays in the file: about 10 s
                per million messages. False: no search finds the old words, but they stay in the pages of the
                index, one by one and without their places, until it is merged: by the last of several calls with
                True, by an erasure or by `Datastore.reindex`.

        Raises:
            NotFoundError: There is none.
            CheckError, InvalidValueError: As `append`.
        """
        body = body_of(content, parts)
        with self._engine.transaction():
            message = found(
                self._statements.update_message_content(
                    id=id,
                    content=body.content,
                    content_hash=body.content_hash,
                    token_count=body.token_count,
                    parts=body.values,
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
        body = body_of(message.content, message.parts, partial=message.partial)
        return [
            self._new_id() if message.id is None else check_text(message.id, "id"),
            message.role,
            # In JSON a NUL would truncate the text, so it is refused here instead of by the table.
            check_text(body.content, "content"),
            body.content_hash,
            body.token_count if message.token_count is None else message.token_count,
            None if body.values is None else encode_json(body.values),
            "{}" if not message.metadata else encode_json(message.metadata),
            encode_timestamp(now if message.created_at is None else message.created_at),
            None if message.source_id is None else check_text(message.source_id, "source_id"),
            int(message.partial),
        ]
