"""What import and export need beside the other repositories: exact times, gaps, sources, a check."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.records.learnings import Learning
from datastore.records.messages import MessageKey
from datastore.repositories.search_index import IndexedRepository
from datastore.search.analysis import Analyzer

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.transfer import TransferStatements
    from datastore.statements.typed.verify import VerifyStatements

    class _Statements(TransferStatements, VerifyStatements, MessagesStatements, Protocol):
        """What import and export call, and verify."""


class TransferRepository(IndexedRepository):
    """Statements over conversations, messages and learnings that only a copy of a database needs."""

    _statements: _Statements

    def message_keys(self, conversation_id: str, from_position: int, to_position: int) -> list[MessageKey]:
        """The keys of the messages between two positions, both inclusive, by position."""
        return self._statements.list_message_keys(
            conversation_id=conversation_id, from_position=from_position, to_position=to_position
        )

    def skip_positions(self, conversation_id: str, last_position: int) -> None:
        """Leave a gap: the next message gets the position after *last_position*."""
        self._statements.set_last_position(id=conversation_id, last_position=last_position)

    def set_conversation_times(
        self, id: str, *, updated_at: datetime | None = None, deleted_at: datetime | None = None
    ) -> None:
        """Give an imported conversation its old times; *updated_at* None keeps the stored one."""
        self._statements.set_conversation_times(id=id, updated_at=updated_at, deleted_at=deleted_at)

    def learnings(self, conversation_id: str) -> list[tuple[Learning, list[str]]]:
        """Every learning of a conversation, also of a deleted one, with the ids of the messages it came from."""
        records = self._statements.list_conversation_learnings(conversation_id=conversation_id)
        if not records:
            return []
        sources: dict[str, list[str]] = defaultdict(list)
        for source in self._statements.list_conversation_sources(conversation_id=conversation_id):
            sources[source.learning_id].append(source.message_id)
        return [(record, sources.get(record.id, [])) for record in records]

    def miscounted(self, max_rows: int = 100) -> list[tuple[str, int, int]]:
        """Conversations whose message_count is wrong: id, what it says, what was counted."""
        return [
            (row.id, row.message_count, row.counted)
            for row in self._statements.list_miscounted_conversations(max_rows=max_rows)
        ]

    def miscounted_jobs(self, max_rows: int = 100) -> list[tuple[str, str, int, int]]:
        """Counts of jobs that are wrong: type, status ("stored" is all of them), what it says, what was counted."""
        return [
            (row.type, row.status, row.job_count, row.counted)
            for row in self._statements.list_miscounted_jobs(max_rows=max_rows)
        ]

    def mistagged(self, max_rows: int = 100) -> list[str]:
        """Learnings that the index by tag has under other tags than their own: their ids."""
        return [row.id for row in self._statements.list_mistagged_learnings(max_rows=max_rows)]

    def mishashed(self, sample: int | None = None) -> list[str]:
        """The ids of messages whose content is not what its hash was made of.

        Args:
            sample: So many messages are read, from everywhere in the table; None reads all of them.
        """
        first, last = self._statements.get_message_places()
        if sample is None or last - first < sample:
            pages: Iterable[Sequence[Any]] = self._message_hashes(first - 1)
        else:
            places = (first - 1 + (last - first) * number // (sample - 1) for number in range(sample))
            pages = (self._statements.list_message_hashes(after_seq=place, max_rows=1) for place in places)
        wrong = (row.id for page in pages for row in page if _hash(row.content) != row.content_hash)
        return [*dict.fromkeys(wrong)]

    def _message_hashes(self, after: int) -> Iterator[Sequence[Any]]:
        # Contents may be of a mebibyte each.
        while page := self._statements.list_message_hashes(after_seq=after, max_rows=64):
            yield page
            after = page[-1].seq

    def check_full_text(self) -> None:
        """Compare the full-text indexes with the learnings and messages.

        Raises:
            CorruptDatabaseError: They differ.
        """
        self._statements.check_learnings_fts()
        self._statements.check_messages_fts()

    def settle(self, audit_high_water: int) -> None:
        """Behind a copy of rows that no trigger saw: count the jobs, and have the audit log go on behind its number."""
        with self._engine.transaction():
            self._count_jobs()
            self._statements.raise_audit_high_water(id=audit_high_water)

    def reindex(
        self, on_progress: Callable[[str, int, int], None] | None = None, *, language: str | None = None
    ) -> None:
        """Make again what is derived: full-text indexes, the index by tag, the counts of messages and jobs.

        In one transaction, with all writers kept out: readers see what was there until it ends. Rows that other programs
        wrote are found afterwards.

        Args:
            on_progress: Called with a full-text index's name, how far it is and how far it goes.
            language: The language of the words from now on; None keeps it.

        Raises:
            InvalidValueError: There is no such language.
        """
        with self._engine.transaction():
            self._engine.keep_writers_out()
            self._index.rebuild(language, on_progress)
            self._statements.clear_learning_tags()
            self._statements.fill_learning_tags()
            self._statements.recount_conversations()
            self._count_jobs()

    def fill_full_text(self, on_progress: Callable[[str, int, int], None] | None = None) -> None:
        """Write what is not in the full-text indexes yet: after a copy of rows."""
        self._index.fill(on_progress=on_progress)

    def rebuild_full_text(self) -> None:
        """Empty the full-text indexes and fill them again; see `reindex`, which does that too."""
        self._index.rebuild()

    def open_language(self, language: str) -> None:
        """Refuse to go on where the full-text indexes are of another language; empty ones get this one."""
        self._index.open_language(language)

    @property
    def analyzer(self) -> Analyzer:
        """What the texts of the full-text indexes are taken apart by."""
        return self._index.analyzer

    def unindexed(self) -> dict[str, int]:
        """How many rows of each table no search finds: other programs wrote or changed them; `reindex` mends it."""
        return self._index.unindexed()

    def _count_jobs(self) -> None:
        self._statements.clear_job_counts()
        self._statements.add_job_counts()


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
