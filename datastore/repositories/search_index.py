"""The full-text indexes: what is written into them, in whose language, and what is not in them yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from datastore.engines.base import Engine
from datastore.errors import ConflictError, InvalidValueError
from datastore.records.learnings import Learning
from datastore.records.messages import Message
from datastore.repositories.base import AuditWriter, Repository
from datastore.search.analysis import DEFAULT_LANGUAGE, Analyzer, analyzer
from datastore.search.filters import learning_facets, message_facets
from datastore.search.matching import Indexed, Rows

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.search import SearchStatements
    from datastore.statements.typed.verify import VerifyStatements

    class _Statements(SearchStatements, MessagesStatements, VerifyStatements, Protocol):
        """What the indexes are asked, and how they are merged."""


#: So many rows are indexed at once.
BATCH = 1000

#: Called with an index's name, how far it is and how far it goes.
Progress = Callable[[str, int, int], None]


class SearchIndex(Repository):
    """The full-text indexes of learnings and messages.

    Rows are written in the transaction that stores them. Triggers take out what is changed, hidden or deleted.
    """

    _statements: _Statements
    _analyzer: Analyzer | None = None

    @property
    def language(self) -> str:
        """The language of the words, as the database has it."""
        return self._statements.get_search_setting(name="language") or DEFAULT_LANGUAGE

    @property
    def analyzer(self) -> Analyzer:
        """What takes texts and queries apart; made once, and again where another process changed the language."""
        if self._analyzer is None:
            self._analyzer = analyzer(self.language)
        return self._analyzer

    def add_messages(self, messages: Sequence[Message]) -> None:
        """Write what some messages are found by; nothing of those that are hidden."""
        self._add("messages", messages)

    def add_learnings(self, learnings: Sequence[Learning]) -> None:
        """Write what some learnings are found by; nothing of those that are hidden."""
        self._add("learnings", learnings)

    def fill(self, conversation_id: str | None = None, on_progress: Progress | None = None) -> None:
        """Write what is shown and not in the indexes.

        Args:
            conversation_id: Only of this conversation.
            on_progress: Called after each batch.
        """
        do = self._statements
        for table, last_seq in (("learnings", do.get_last_learning_seq), ("messages", do.get_last_message_seq)):
            last = last_seq() if on_progress is not None else 0
            after = 0
            while rows := self._unindexed(table, conversation_id, after):
                with self._engine.transaction():
                    self._write(table, [(row, row) for row in rows])
                after = rows[-1].seq
                if on_progress is not None:
                    on_progress(table, min(after, last), last)

    def rebuild(self, language: str | None = None, on_progress: Progress | None = None) -> None:
        """Empty the indexes and fill them again, in one transaction.

        Args:
            language: The language of the words from now on; None keeps it.
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
            if self._engine.fts5:
                self._statements.merge_learnings_fts()
                self._statements.merge_messages_fts()

    def open_language(self, language: str) -> None:
        """Refuse to go on where the indexes are of another language; empty ones get this one.

        Raises:
            InvalidValueError: They are, or there is no such language.
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
        """How many shown rows of each table are in no index: another program wrote or changed them."""
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

    def _use(self, language: str) -> None:
        self._analyzer = analyzer(language)
        self._statements.set_search_setting(name="language", value=language)

    def _add(self, table: str, records: Sequence[Learning] | Sequence[Message]) -> None:
        known = {
            id: self._statements.get_conversation_facets(conversation_id=id)
            for id in {record.conversation_id for record in records}
        }
        rows = [(record, of) for record in records if (of := known[record.conversation_id]) is not None]
        for first in range(0, len(rows), BATCH):
            self._write(table, rows[first : first + BATCH])

    def _write(self, table: str, rows: Sequence[tuple[Any, Any]]) -> None:
        """Index some rows, each with the session and source of its conversation."""
        is_learning = table == "learnings"
        index = self._statements.index_learnings if is_learning else self._statements.index_messages
        for _ in range(2):
            made = self.analyzer
            documents = [
                Indexed(
                    row.id,
                    made.document(row.content, row.title if is_learning else ""),
                    learning_facets(row, of) if is_learning else message_facets(row, of),
                )
                for row, of in rows
            ]
            if index(rows=Rows(documents), language=made.language):
                return
            self._analyzer = None  # another process gave the index another language
        raise ConflictError("the language of the full-text index was changed meanwhile; try again")


class IndexedRepository(Repository):
    """Base of the repositories whose rows are in a full-text index."""

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
