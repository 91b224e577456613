"""Erasures, their receipts, and the tombstones of what was erased."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.records.erasures import Erasure, ErasureKey, ErasureStatus, SubjectKind, Tombstone
from datastore.records.learnings import Learning
from datastore.repositories.base import MAX_ROWS, Repository, found
from datastore.values import TIME_MAX

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.conversations import ConversationsStatements
    from datastore.statements.typed.erasures import ErasuresStatements

    class _Statements(ErasuresStatements, ConversationsStatements, Protocol):
        """What an erasure calls."""


#: Ids shorter than this are not looked for inside texts: "1" is in every second one.
LEAST_PART = 8


class ErasureRepository(Repository):
    """The tables *erasures*, *erasure_keys* and *tombstones*, and the deletions that only an erasure makes."""

    _statements: _Statements

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
        """Note what is to be erased, before anything is deleted."""
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
        """Note how far an erasure came.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.update_erasure(id=id, status=status, receipt=receipt, now=self._now()), "erasure")

    def get(self, id: str) -> Erasure:
        """One receipt.

        Raises:
            NotFoundError: There is none.
        """
        return found(self._statements.get_erasure(id=id), "erasure")

    def list(self) -> builtins.list[Erasure]:
        """Every receipt, newest first."""
        receipts: builtins.list[Erasure] = []
        at, id = TIME_MAX, ""
        while page := self._statements.list_erasures(before_created_at=at, before_id=id, max_rows=MAX_ROWS):
            receipts += page
            at, id = page[-1].created_at, page[-1].id
        return receipts

    def keys(self) -> builtins.list[ErasureKey]:
        """The keys of the hashes, oldest first; new hashes are made with the first one."""
        return self._statements.list_erasure_keys(max_rows=MAX_ROWS)

    def add_key(self, secret: str, *, id: str | None = None, created_at: datetime | None = None) -> None:
        """Keep a key, unless it is there."""
        self._statements.add_erasure_key(id=id or self._new_id(), secret=secret, created_at=created_at or self._now())

    def add_tombstone(self, tombstone: Tombstone) -> None:
        """Note that something was erased; the later of two notes counts."""
        self._statements.add_tombstone(
            kind=tombstone.kind,
            subject_hash=tombstone.subject_hash,
            erasure_id=tombstone.erasure_id,
            created_at=tombstone.created_at,
            lifted_at=tombstone.lifted_at,
        )

    def find_tombstone(self, kind: SubjectKind, subject_hash: str) -> Tombstone | None:
        """The tombstone of something that was erased, lifted or not."""
        return self._statements.find_tombstone(kind=kind, subject_hash=subject_hash)

    def lift(self, kind: SubjectKind, subject_hash: str) -> None:
        """Let something come back that was erased; nothing happens where it was not."""
        self._statements.lift_tombstone(kind=kind, subject_hash=subject_hash, lifted_at=self._now())

    def tombstones(self) -> builtins.list[Tombstone]:
        """Every tombstone, the lifted ones too."""
        stones: builtins.list[Tombstone] = []
        kind, subject_hash = "", ""
        while page := self._statements.list_tombstones(
            after_kind=kind, after_subject_hash=subject_hash, max_rows=MAX_ROWS
        ):
            stones += page
            kind, subject_hash = page[-1].kind, page[-1].subject_hash
        return stones

    def erase_messages(self, conversation_id: str, max_rows: int) -> int:
        """Delete the last messages of a conversation; gives how many."""
        with self._engine.transaction():
            # The conversation first, as who deletes all of it takes it: neither waits for the other then.
            self._statements.lock_conversations(ids=[conversation_id])
            return len(self._statements.erase_messages(conversation_id=conversation_id, max_rows=max_rows))

    def derived_learnings(self, conversation_id: str) -> builtins.list[Learning]:
        """Learnings of other conversations that a message of this one is a source of."""
        return self._statements.list_derived_learnings(conversation_id=conversation_id)

    def naming_jobs(self, names: Sequence[str], ids: Iterable[str], after_id: int = 0) -> builtins.list[int]:
        """The ids of the jobs that name a subject.

        Args:
            names: What counts as a JSON value: ids, and what was said.
            ids: Those that count inside a text too, where they stand alone and have 8 characters or more.
            after_id: Only jobs behind this one.
        """
        parts = [id for id in ids if len(id) >= LEAST_PART]
        rows = self._statements.list_naming_jobs(names=list(names), parts=parts, after_id=after_id)
        alone = re.compile("|".join(rf"(?<![\w-]){re.escape(part)}(?![\w-])" for part in parts) or r"(?!)")
        return [row.id for row in rows if row.is_exact or alone.search(row.texts)]

    def erase_job(self, id: int) -> None:
        """Take everything out of a job, and of its attempts, that a person could be named in."""
        self._statements.erase_job_texts(id=id, now=self._now())
        self._statements.erase_job_attempts(job_id=id)

    def known_terms(self, terms: Sequence[str]) -> set[str]:
        """Those of some stems that a full-text index still has in some row."""
        ours = list(terms)
        known = {row.term for row in self._statements.list_known_message_terms(terms=ours)}
        return known | {row.term for row in self._statements.list_known_learning_terms(terms=ours)}

    def trees(self) -> builtins.list[tuple[str, int]]:
        """Each table's and index's table, and the page where it begins."""
        trees: builtins.list[tuple[str, int]] = []
        while rows := self._statements.list_trees(after_rootpage=trees[-1][1] if trees else 0, max_rows=MAX_ROWS):
            trees += [(row.table_name, row.rootpage) for row in rows]
        return trees
