"""The full-text indexes: what is written into them, in whose language, and what is not in them yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import ConflictError, InvalidValueError
from datastore.records.learnings import Learning
from datastore.records.messages import Message
from datastore.repositories.base import AuditWriter, Engine, Repository
from datastore.search.analysis import DEFAULT_LANGUAGE, Analyzer, analyzer
from datastore.search.filters import learning_facets, message_facets
from datastore.search.matching import Indexed, Rows
from datastore.values import encode_timestamp

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.search import SearchStatements
    from datastore.statements.typed.verify import VerifyStatements

    class _Statements(SearchStatements, MessagesStatements, VerifyStatements, Protocol):
        """What the indexes are asked, and how they are emptied."""


#: So many rows are indexed at once.
BATCH = 1000

#: Called with an index's name, how many rows it has been given, and the number of the last row.
Progress = Callable[[str, int, int], None]


class SearchIndex(Repository):
    """The full-text indexes of learnings and messages.

    Rows are written in the transaction that stores them. Triggers take out what is changed, hidden or deleted.
    """

    _statements: _Statements

    def __init__(
        self,
        statements: Any,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._analyzer: Analyzer | None = None

    @property
    def language(self) -> str:
        """The language of the words, as the database has it."""
        return self._statements.get_search_setting(name="language") or DEFAULT_LANGUAGE

    @property
    def analyzer(self) -> Analyzer:
        """What takes texts and queries apart; read from the database once, and where another process changed it."""
        if self._analyzer is None:
            self._analyzer = analyzer(self.language)
        return self._analyzer

    def add_message(self, id: str, conversation_id: str, role: str, content: str, created_at: datetime) -> None:
        """Write what a message is found by; nothing where its conversation is hidden."""
        of = self._statements.get_conversation_facets(conversation_id=conversation_id)
        if of is None:
            return
        facets = message_facets(conversation_id, of.session_id, of.source, role, encode_timestamp(created_at))
        self._write(self._statements.index_messages, [(id, content, "", facets)])

    def add_messages(self, messages: Sequence[Message]) -> None:
        """The same for several of one conversation."""
        of = self._statements.get_conversation_facets(conversation_id=messages[0].conversation_id) if messages else None
        if of is None:
            return
        for first in range(0, len(messages), BATCH):
            rows = [
                (
                    one.id,
                    one.content,
                    "",
                    message_facets(
                        one.conversation_id, of.session_id, of.source, one.role, encode_timestamp(one.created_at)
                    ),
                )
                for one in messages[first : first + BATCH]
            ]
            self._write(self._statements.index_messages, rows)

    def add_learnings(self, learnings: Sequence[Learning]) -> None:
        """Write what some learnings are found by; nothing of those that are hidden."""
        conversations: dict[str, Any] = {}
        rows = []
        for one in learnings:
            if one.conversation_id not in conversations:
                conversations[one.conversation_id] = self._statements.get_conversation_facets(
                    conversation_id=one.conversation_id
                )
            if (of := conversations[one.conversation_id]) is not None:
                facets = learning_facets(
                    one.conversation_id,
                    of.session_id,
                    of.source,
                    one.category,
                    one.tags,
                    one.confidence,
                    encode_timestamp(one.created_at),
                )
                rows.append((one.id, one.content, one.title, facets))
        for first in range(0, len(rows), BATCH):
            self._write(self._statements.index_learnings, rows[first : first + BATCH])

    def fill(self, conversation_id: str | None = None, on_progress: Progress | None = None) -> None:
        """Write what is shown and not in the indexes.

        Args:
            conversation_id: Only of this conversation.
            on_progress: Called after each batch.
        """
        do = self._statements
        for name, last_seq, unindexed, index, made in (
            ("learnings", do.get_last_learning_seq, do.list_unindexed_learnings, do.index_learnings, _of_learning),
            ("messages", do.get_last_message_seq, do.list_unindexed_messages, do.index_messages, _of_message),
        ):
            after, last = 0, last_seq() if on_progress is not None else 0
            while True:
                rows: Sequence[Any] = unindexed(conversation_id=conversation_id, after_seq=after, max_rows=BATCH)
                if not rows:
                    break
                with self._engine.transaction():
                    self._write(index, [made(row) for row in rows])
                after = rows[-1].seq
                if on_progress is not None:
                    on_progress(name, min(after, last), last)
                if len(rows) < BATCH:
                    break

    def rebuild(self, language: str | None = None, on_progress: Progress | None = None) -> None:
        """Empty the indexes and fill them again, in one transaction.

        Args:
            language: The language of the words from now on; None keeps it.
            on_progress: Called after each batch.

        Raises:
            InvalidValueError: There is no such language.
        """
        if language is not None:
            self._analyzer = analyzer(language)
        with self._engine.transaction():
            if language is not None:
                self._statements.set_search_setting(name="language", value=language)
            self._statements.clear_learnings_index()
            self._statements.clear_messages_index()
            self.fill(on_progress=on_progress)
            if self._engine.fts5:
                self._statements.merge_learnings_fts()
                self._statements.merge_messages_fts()

    def open_language(self, language: str) -> None:
        """Refuse to go on where the indexes are of another language; empty ones get this one.

        Raises:
            InvalidValueError: They are, or there is no such language.
        """
        do = self._statements
        if self.language == language:
            return
        with self._engine.transaction():
            if (present := self.language) != language:
                if do.get_last_learning_seq() or do.get_last_message_seq():
                    raise InvalidValueError(
                        f"language: the full-text index of this database is in {present}, not in {language}; open it with"
                        f" language={present!r} or without, or change it: datastore reindex --language {language}"
                    )
                self._analyzer = analyzer(language)
                do.set_search_setting(name="language", value=language)

    def unindexed(self) -> dict[str, int]:
        """How many shown rows of each table are in no index: another program wrote or changed them."""
        do = self._statements
        found = {"learnings": 0, "messages": 0}
        for name, unindexed in (("learnings", do.list_unindexed_learnings), ("messages", do.list_unindexed_messages)):
            rows: Sequence[Any] = unindexed(after_seq=0, max_rows=BATCH)
            while rows:
                found[name] += len(rows)
                rows = unindexed(after_seq=rows[-1].seq, max_rows=BATCH)
        return found

    def _write(self, index: Callable[..., int], rows: list[tuple[str, str, str, list[str]]]) -> None:
        for _ in range(2):
            made = self.analyzer
            documents = [Indexed(id, made.document(content, title), facets) for id, content, title, facets in rows]
            if not rows or index(rows=Rows(documents), language=made.language):
                return
            self._analyzer = None  # another process gave the index another language
        raise ConflictError("the language of the full-text index was changed meanwhile; try again")


def _of_learning(row: Any) -> tuple[str, str, str, list[str]]:
    facets = learning_facets(
        row.conversation_id,
        row.session_id,
        row.source,
        row.category,
        row.tags,
        row.confidence,
        encode_timestamp(row.created_at),
    )
    return row.id, row.content, row.title, facets


def _of_message(row: Any) -> tuple[str, str, str, list[str]]:
    at = encode_timestamp(row.created_at)
    return row.id, row.content, "", message_facets(row.conversation_id, row.session_id, row.source, row.role, at)
