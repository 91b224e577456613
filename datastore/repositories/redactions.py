"""Redactions: text that sanitization replaced, its location, and the rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from datastore.errors import InvalidValueError
from datastore.records.pages import Page, every
from datastore.records.redactions import NewRedaction, Redaction
from datastore.repositories.base import DEFAULT_ROWS, Repository, TimePager
from datastore.values import TIME_MIN, check_number, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.redactions import RedactionsStatements


class RedactionRepository(Repository):
    """The table *redactions*."""

    _statements: RedactionsStatements

    def add(
        self,
        conversation_id: str,
        *,
        category: str,
        rule: str,
        detector: str,
        original_hash: str,
        replacement: str,
        confidence: float,
        message_id: str | None = None,
        id: str | None = None,
    ) -> Redaction:
        """Record one piece of text that sanitization replaced.

        Args:
            conversation_id: The redaction is deleted with this conversation.
            category: What was replaced ("email", "phone", ...); 1 to 200 characters.
            rule: The rule that found it; 1 to 200 characters.
            detector: The detector that the rule belongs to; 1 to 200 characters.
            original_hash: A (keyed) hash of the original, never the original; 16 to 200 characters.
            replacement: The text that replaced it; at most 1000 characters.
            confidence: 0 to 1.
            message_id: The message that contained it; None: it was in the conversation's title or metadata.
            id: The caller's own, 1 to 200 characters; None: a time-ordered UUID is generated.

        Raises:
            ForeignKeyError: The conversation or message does not exist.
            UniqueError: The id is already in use.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored, or the message is in another conversation.
        """
        texts = {
            "category": category,
            "rule": rule,
            "detector": detector,
            "original_hash": original_hash,
            "replacement": replacement,
        }
        for name, text in texts.items():
            check_text(text, name)
        with self._engine.transaction():
            if message_id is not None:
                place = self._statements.find_conversation_of_message(message_id=message_id)
                if place is not None and place != conversation_id:
                    raise InvalidValueError("message_id: this message is in another conversation")
            return self._statements.add_redaction(
                id=self._new_id() if id is None else check_text(id, "id"),
                conversation_id=conversation_id,
                message_id=message_id,
                confidence=check_number(confidence, "confidence"),
                created_at=self._now(),
                **texts,
            )

    def add_many(self, redactions: Iterable[NewRedaction]) -> Sequence[Redaction]:
        """Record several redactions in order, or none of them if one is refused; see `add`."""
        with self._engine.transaction():
            return [self.add(**attrs.asdict(new, recurse=False)) for new in redactions]

    def list_by_conversation(
        self, conversation_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Redaction]:
        """One page of a conversation's redactions, including those of its messages, oldest first.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = TimePager("redactions by conversation", [conversation_id], after=after, max_rows=max_rows)
        rows = self._statements.list_redactions_by_conversation(conversation_id=conversation_id, **_after(pager))
        return pager.page_by_time(rows)

    def iterate_by_conversation(self, conversation_id: str) -> Iterator[Redaction]:
        """Iterate over each redaction of a conversation, oldest first, page by page."""
        return every(self.list_by_conversation, conversation_id)

    def list_by_message(
        self, message_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Redaction]:
        """One page of a message's redactions, oldest first.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = TimePager("redactions by message", [message_id], after=after, max_rows=max_rows)
        rows = self._statements.list_redactions_by_message(message_id=message_id, **_after(pager))
        return pager.page_by_time(rows)

    def iterate_by_message(self, message_id: str) -> Iterator[Redaction]:
        """Iterate over each redaction of a message, oldest first, page by page."""
        return every(self.list_by_message, message_id)

    def count(self, conversation_id: str) -> int:
        """Count a conversation's redactions, including those of its messages."""
        return self._statements.count_redactions(conversation_id=conversation_id)


def _after(pager: TimePager) -> dict[str, Any]:
    at, id = pager.place(TIME_MIN)
    return {"after_created_at": at, "after_id": id, "max_rows": pager.max_rows}
