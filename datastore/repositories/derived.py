"""Checks and rebuilds derived data that triggers maintain: counts, the tag index, full-text indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from datastore.records.parts import hash_of
from datastore.repositories.search_index import IndexedRepository
from datastore.values import encode_json

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.derived import DerivedStatements, ListMessageHashesRow
    from datastore.statements.typed.messages import MessagesStatements
    from datastore.statements.typed.verify import VerifyStatements

    class _Statements(DerivedStatements, VerifyStatements, MessagesStatements, Protocol):
        """The statements that check and rebuild derived data."""


class DerivedRepository(IndexedRepository):
    """Derived data of conversations, messages, learnings and jobs."""

    _statements: _Statements

    def miscounted(self, max_rows: int = 100) -> list[tuple[str, int, int]]:
        """Conversations whose message_count is wrong: id, stored count, actual count."""
        return [
            (row.id, row.message_count, row.counted)
            for row in self._statements.list_miscounted_conversations(max_rows=max_rows)
        ]

    def broken_branches(self, max_rows: int = 100) -> list[tuple[str, int]]:
        """Branches that contradict their conversation, parent or messages: the conversation's id, and the branch."""
        return [(row.conversation_id, row.branch) for row in self._statements.list_broken_branches(max_rows=max_rows)]

    def miscounted_jobs(self, max_rows: int = 100) -> list[tuple[str, str, int, int]]:
        """Job counts that are wrong: type, status ("stored" is the total), stored count, actual count."""
        return [
            (row.type, row.status, row.job_count, row.counted)
            for row in self._statements.list_miscounted_jobs(max_rows=max_rows)
        ]

    def miscounted_groups(self, max_rows: int = 100) -> list[tuple[str, int, int, int]]:
        """Batches and sequences that are wrong: kind, stored count of live jobs, actual count, and how many of them do not wait."""
        return [
            (row.kind, row.live, row.counted, row.heads)
            for row in self._statements.list_miscounted_groups(max_rows=max_rows)
        ]

    def mistagged(self, max_rows: int = 100) -> list[str]:
        """The ids of learnings whose tags differ from the tag index."""
        return [row.id for row in self._statements.list_mistagged_learnings(max_rows=max_rows)]

    def mishashed(self, sample: int | None = None) -> list[str]:
        """The ids of messages whose content does not match its hash.

        Args:
            sample: Number of messages to read, spread over the whole table; None reads all of them.
        """
        first, last = self._statements.get_message_places()
        if sample is None or last - first < sample:
            pages: Iterable[Sequence[ListMessageHashesRow]] = self._message_hashes(first - 1)
        else:
            places = (first - 1 + (last - first) * number // (sample - 1) for number in range(sample))
            pages = (self._statements.list_message_hashes(after_seq=place, max_rows=1) for place in places)
        wrong = (row.id for page in pages for row in page if _hash(row) != row.content_hash)
        return [*dict.fromkeys(wrong)]

    def _message_hashes(self, after: int) -> Iterator[Sequence[ListMessageHashesRow]]:
        # Each content may be one mebibyte long.
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
        """Finish a copy that bypassed the triggers: count the jobs, and let the audit log continue after this id."""
        with self._engine.transaction():
            self._count_jobs()
            self._statements.raise_audit_high_water(id=audit_high_water)

    def reindex(
        self, on_progress: Callable[[str, int, int], None] | None = None, *, language: str | None = None
    ) -> None:
        """See `datastore.store.Datastore.reindex`."""
        with self._engine.transaction():
            self._engine.keep_writers_out()
            self._index.rebuild(language, on_progress)
            self._index.vectors.rebuild()
            self._statements.clear_learning_tags()
            self._statements.fill_learning_tags()
            self._statements.recount_conversations()
            self._count_jobs()

    def _count_jobs(self) -> None:
        self._statements.clear_job_counts()
        self._statements.add_job_counts()
        self._statements.clear_job_groups()
        self._statements.add_job_groups()


def _hash(row: ListMessageHashesRow) -> str:
    return hash_of(row.content, None if row.parts is None else encode_json(row.parts))
