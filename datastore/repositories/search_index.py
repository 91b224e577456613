"""The full-text indexes: writing rows into them, their language, and the rows that they lack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.engines.base import Engine
from datastore.errors import InvalidValueError
from datastore.records.learnings import Learning
from datastore.records.messages import Message
from datastore.repositories.base import AuditWriter, Repository
from datastore.repositories.vector_index import VectorIndex
from datastore.search.analysis import DEFAULT_LANGUAGE, Analyzer, analyzer
from datastore.search.filters import learning_facets, message_facets
from datastore.search.matching import Indexed, Rows

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.search import SearchStatements
    from datastore.statements.typed.verify import VerifyStatements

    class _Statements(SearchStatements, MessagesStatements, VerifyStatements, Protocol):
        """The statements of the indexes."""


#: Rows per batch.
BATCH = 1000

#: Called with the name of an index, the rows done, and the rows in total.
Progress = Callable[[str, int, int], None]


class SearchIndex(Repository):
    """The full-text indexes of learnings and messages.

    Rows are indexed in the transaction that stores them. Triggers remove rows that are changed, hidden or deleted.
    """

    _statements: _Statements
    _analyzer: Analyzer | None = None

    def __init__(self, statements: Any, engine: Engine, *, new_id: Callable[[], str], vectors: VectorIndex) -> None:
        super().__init__(statements, engine, new_id=new_id)
        #: The vectors of the same rows.
        self.vectors = vectors

    @property
    def language(self) -> str:
        """The language of the indexes, from the database."""
        return self._statements.get_search_setting(name="language") or DEFAULT_LANGUAGE

    @property
    def analyzer(self) -> Analyzer:
        """The analyzer of texts and queries. It is replaced after another process has changed the language."""
        if self._analyzer is None:
            self._analyzer = analyzer(self.language)
        return self._analyzer

    def message(self, content: str, conversation_id: str, role: str, created_at: datetime) -> Indexed:
        """What a message is found by, without the facets of its conversation."""
        return Indexed(self.analyzer.document(content), message_facets(conversation_id, role, created_at))

    def learning(self, learning: Any) -> Indexed:
        """What a learning is found by, without the facets of its conversation."""
        return Indexed(self.analyzer.document(learning.content, learning.title), learning_facets(learning))

    def has_changed(self) -> bool:
        """Whether another process has changed the language, so that texts must be analyzed again."""
        return self._adopt(self.language)

    def add_messages(self, messages: Sequence[Message]) -> None:
        """Index some messages, except hidden ones."""
        self._add("messages", messages)

    def add_learnings(self, learnings: Sequence[Learning]) -> None:
        """Index some learnings, except hidden ones."""
        self._add("learnings", learnings)

    def fill(self, conversation_id: str | None = None, on_progress: Progress | None = None) -> None:
        """Index the rows that are neither hidden nor indexed yet.

        Args:
            conversation_id: Only of this conversation.
            on_progress: Called after each batch.
        """
        do = self._statements
        for table, last_seq in (("learnings", do.get_last_learning_seq), ("messages", do.get_last_message_seq)):
            last = last_seq() if on_progress is not None else 0
            after = 0
            while True:
                with self._engine.transaction():
                    if not (rows := self._unindexed(table, conversation_id, after)):
                        break
                    self._write(table, [(row, row) for row in rows], self.language)
                after = rows[-1].seq
                if on_progress is not None:
                    on_progress(table, min(after, last), last)

    def rebuild(self, language: str | None = None, on_progress: Progress | None = None) -> None:
        """Empty the indexes and fill them again, in one transaction.

        Args:
            language: The new language; None keeps the present one.
            on_progress: Called after each batch.

        Raises:
            InvalidValueError: There is no such language.
        """
        with self._engine.transaction():
            if language is not None:
                self._use(language)
            self._statements.clear_learnings_index()
            self._statements.clear_messages_index()
            self.fill(on_progress=on_progress)
            if self._has_segments:
                self._statements.merge_learnings_fts()
                self._statements.merge_messages_fts()

    def merge_messages(self) -> None:
        """Merge the index of the messages into one segment, where it has segments."""
        if self._has_segments:
            self._statements.merge_messages_fts()

    @property
    def _has_segments(self) -> bool:
        # Only SQLite's statements write and merge segments.
        return hasattr(self._statements, "merge_messages_fts")

    def open_language(self, language: str) -> None:
        """Set the language of empty indexes; refuse indexes in another language.

        Raises:
            InvalidValueError: The indexes are in another language, or there is no such language.
        """
        do = self._statements
        if (present := self.language) == language:
            return
        with self._engine.transaction():
            if do.get_last_learning_seq() or do.get_last_message_seq():
                raise InvalidValueError(
                    f"language: the full-text index of this database is in {present}, not in {language}; open it with"
                    f" language={present!r} or without, or change it: datastore reindex --language {language}"
                )
            self._use(language)

    def unindexed(self) -> dict[str, int]:
        """The number of rows of each table that should be indexed and are not: another program wrote or changed them."""
        found = {"learnings": 0, "messages": 0}
        for table in found:
            after = 0
            while rows := self._unindexed(table, None, after):
                found[table] += len(rows)
                after = rows[-1].seq
        return found

    def _unindexed(self, table: str, conversation_id: str | None, after: int) -> Sequence[Any]:
        do = self._statements
        unindexed = do.list_unindexed_learnings if table == "learnings" else do.list_unindexed_messages
        return unindexed(conversation_id=conversation_id, after_seq=after, max_rows=BATCH)

    def _adopt(self, language: str) -> bool:
        """Use the analyzer of *language*; returns whether it was a different one before."""
        before, self._analyzer = self.analyzer, analyzer(language)
        return before is not self._analyzer

    def _use(self, language: str) -> None:
        self._adopt(language)
        self._statements.set_search_setting(name="language", value=language)

    def _add(self, table: str, records: Sequence[Learning] | Sequence[Message]) -> None:
        known = {
            id: self._statements.get_conversation_facets(conversation_id=id)
            for id in {record.conversation_id for record in records}
        }
        rows = [(record, of) for record in records if (of := known[record.conversation_id]) is not None]
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            self._write(table, part, part[0][1].language or DEFAULT_LANGUAGE)

    def _write(self, table: str, rows: Sequence[tuple[Any, Any]], language: str) -> None:
        """Index some rows, each with the session and source of its conversation."""
        self._adopt(language)
        is_learning = table == "learnings"
        made = {
            row.id: (
                self.learning(row)
                if is_learning
                else self.message(row.content, row.conversation_id, row.role, row.created_at)
            ).of(of.source, of.session_id)
            for row, of in rows
        }
        do = self._statements
        if not is_learning:
            do.index_messages(rows=Rows(made))
        elif len(made) > 1 or not self._has_segments:
            do.index_learnings(rows=Rows(made))
        else:
            (id, words), *_ = made.items()
            content, title, forms, facets = words.columns()
            do.index_learning(id=id, content=content, title=title, forms=forms, facets=facets)


class IndexedRepository(Repository):
    """Base class of the repositories whose rows have a full-text index."""

    def __init__(
        self,
        statements: Any,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
        index: SearchIndex,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._index = index
