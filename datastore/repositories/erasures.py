"""Erasures, their receipts, and the tombstones of erased subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.records.erasures import Erasure, ErasureKey, ErasureStatus, SubjectKind, Tombstone
from datastore.records.learnings import Learning
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, MAX_ROWS, Repository, TimePager, found
from datastore.values import TIME_MAX

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.records.job_queue import Job
    from datastore.statements.typed.conversations import ConversationsStatements
    from datastore.statements.typed.erasures import ErasuresStatements, ListAttemptTextsRow, ListJobTextsRow
    from datastore.statements.typed.job_queue import JobQueueStatements

    class _Statements(ErasuresStatements, ConversationsStatements, JobQueueStatements, Protocol):
        """The statements that an erasure calls."""


class ReceiptRepository(Repository):
    """The receipts of erasures: read-only access to the table *erasures*."""

    _statements: _Statements

    def get(self, id: str) -> Erasure:
        """Return one receipt.

        Raises:
            NotFoundError: The receipt does not exist.
        """
        return found(self._statements.get_erasure(id=id), "erasure")

    def list(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Erasure]:
        """One page of the receipts, newest first (by *created_at*, then by id).

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = TimePager("erasures", [], after=after, max_rows=max_rows)
        at, id = pager.place(TIME_MAX)
        rows = self._statements.list_erasures(before_created_at=at, before_id=id, max_rows=pager.max_rows)
        return pager.page_by_time(rows)

    def iterate(self) -> Iterator[Erasure]:
        """Iterate over each receipt, newest first, page by page."""
        return every(self.list)


class ErasureRepository(ReceiptRepository):
    """The tables *erasures*, *erasure_keys* and *tombstones*, and the deletions that only an erasure makes."""

    def add(
        self,
        kind: SubjectKind,
        subject_hash: str,
        *,
        status: ErasureStatus,
        actor: str,
        reason: str | None,
        receipt: Mapping[str, Any],
    ) -> Erasure:
        """Record the subject of an erasure before anything is deleted."""
        return self._statements.add_erasure(
            id=self._new_id(),
            subject_kind=kind,
            subject_hash=subject_hash,
            status=status,
            actor=actor,
            reason=reason,
            receipt=receipt,
            now=self._now(),
        )

    def update(self, id: str, *, status: ErasureStatus, receipt: Mapping[str, Any]) -> Erasure:
        """Record the progress of an erasure.

        Raises:
            NotFoundError: The receipt does not exist.
        """
        return found(self._statements.update_erasure(id=id, status=status, receipt=receipt, now=self._now()), "erasure")

    def keys(self) -> list[ErasureKey]:
        """The keys of the hashes, oldest first; new hashes use the first one."""
        return self._statements.list_erasure_keys(max_rows=MAX_ROWS)

    def add_key(self, secret: str, *, id: str | None = None, created_at: datetime | None = None) -> None:
        """Store a key unless it already exists."""
        self._statements.add_erasure_key(id=id or self._new_id(), secret=secret, created_at=created_at or self._now())

    def add_tombstone(self, tombstone: Tombstone) -> None:
        """Record that a subject was erased; of two tombstones the later one counts."""
        self._statements.add_tombstone(
            kind=tombstone.kind,
            subject_hash=tombstone.subject_hash,
            erasure_id=tombstone.erasure_id,
            created_at=tombstone.created_at,
            lifted_at=tombstone.lifted_at,
        )

    def find_tombstone(self, kind: SubjectKind, subject_hash: str) -> Tombstone | None:
        """The tombstone of an erased subject, lifted or not."""
        return self._statements.find_tombstone(kind=kind, subject_hash=subject_hash)

    def lift(self, kind: SubjectKind, subject_hash: str) -> None:
        """Allow an erased subject to be stored again; does nothing if it was not erased."""
        self._statements.lift_tombstone(kind=kind, subject_hash=subject_hash, lifted_at=self._now())

    def tombstones(self) -> list[Tombstone]:
        """Every tombstone, including lifted ones."""
        stones: list[Tombstone] = []
        kind, subject_hash = "", ""
        while page := self._statements.list_tombstones(
            after_kind=kind, after_subject_hash=subject_hash, max_rows=MAX_ROWS
        ):
            stones += page
            kind, subject_hash = page[-1].kind, page[-1].subject_hash
        return stones

    def delete_last_messages(self, conversation_id: str, max_rows: int) -> int:
        """Delete the last messages of a conversation; returns their number."""
        with self._engine.transaction():
            # Lock the conversation first, as a full deletion does, to avoid a deadlock with it.
            self._statements.lock_conversations(ids=[conversation_id])
            return len(self._statements.delete_last_messages(conversation_id=conversation_id, max_rows=max_rows))

    def derived_learnings(self, conversation_id: str) -> list[Learning]:
        """Learnings of other conversations that have a message of this one as a source."""
        return self._statements.list_derived_learnings(conversation_id=conversation_id)

    def job_texts(self) -> Iterator[ListJobTextsRow]:
        """The texts of every job that could name a person, oldest first; for earlier attempts see `attempt_texts`."""
        after = 0
        while page := self._statements.list_job_texts(after_id=after, max_rows=MAX_ROWS):
            yield from page
            after = page[-1].id

    def attempt_texts(self) -> Iterator[ListAttemptTextsRow]:
        """The texts of every job's earlier attempts that could name a person."""
        after = 0, 0
        while page := self._statements.list_attempt_texts(
            after_job_id=after[0], after_lease_token=after[1], max_rows=MAX_ROWS
        ):
            yield from page
            after = page[-1].job_id, page[-1].lease_token

    def erase_job(self, job: Job, *, type: bool = False, worker: bool = False) -> None:
        """Remove every text that could name a person from a job and its attempts, and end the job.

        Args:
            job: The job.
            type: Also remove its type, because it names the subject.
            worker: Also remove the names of its workers.
        """
        with self._engine.transaction():
            self._statements.erase_job_texts(id=job.id, now=self._now())
            self._statements.erase_job_attempts(job_id=job.id)
            if type or worker:
                present = None if job.worker is None else "erased"
                self._statements.rename_job(
                    id=job.id, type="erased" if type else job.type, worker=present if worker else job.worker
                )
            if worker:
                self._statements.erase_attempt_workers(job_id=job.id)
            if type:
                self._statements.forget_job_type(type=job.type)
                self._statements.delete_job_pause(type=job.type)
                self._statements.delete_job_limit(type=job.type)

    def known_terms(self, terms: Sequence[str]) -> set[str]:
        """Those of *terms* (stems) that still occur in a row of a full-text index."""
        ours = list(terms)
        known = {row.term for row in self._statements.list_known_message_terms(terms=ours)}
        return known | {row.term for row in self._statements.list_known_learning_terms(terms=ours)}

    def trees(self) -> list[tuple[str, int]]:
        """For each table and index, its table and its root page."""
        trees: list[tuple[str, int]] = []
        while rows := self._statements.list_trees(after_rootpage=trees[-1][1] if trees else 0, max_rows=MAX_ROWS):
            trees += [(row.table_name, row.rootpage) for row in rows]
        return trees
