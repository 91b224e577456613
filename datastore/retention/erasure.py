"""Erasure: delete a subject and everything derived from it; a receipt says how far it came and what is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datastore.errors import LegalHoldError, NotFoundError
from datastore.records.erasures import Erasure, SubjectKind
from datastore.retention.subjects import Subject, SubjectData, find_subject_data, names_of, subject_data
from datastore.retention.tombstones import Register, Tombstones, keyed_hash
from datastore.upkeep.base import Upkeep
from datastore.upkeep.cleaning import Cleaning
from datastore.upkeep.residue import Needles

if TYPE_CHECKING:
    from datastore.records import Conversation
    from datastore.repositories import Repositories

#: Messages deleted per transaction, which holds the write lock for tens of milliseconds.
SLICE_MESSAGES = 200

#: Maximum number of jobs in a receipt that may name the subject.
MOST_JOBS = 100

#: The names under which a tombstone may bury a record: its own id first, then its session's and its correlation id.
Called = list[tuple[SubjectKind, str]]

#: Called with a description of each step.
Progress = Callable[[str], None]


class Eraser:
    """``store.erase``: erases subjects, resumes interrupted erasures, and repeats them on a restored backup.

    Args:
        parts: The repositories of the database.
        upkeep: Cleans the storage afterwards.
    """

    def __init__(self, parts: Repositories, upkeep: Upkeep) -> None:
        self._parts = parts
        self._upkeep = upkeep
        self.tombstones = Register(parts.erasures, parts.engine)

    def erase(
        self, subject: Subject, *, reason: str | None = None, vacuum: bool = True, on_progress: Progress | None = None
    ) -> Erasure:
        """See `datastore.store.Datastore.erase`."""
        parts, tell = self._parts, on_progress or (lambda _: None)
        parts.engine.reading("an erasure")
        tell("looking for what belongs to it")
        with parts.engine.snapshot():
            mine = subject_data(parts, subject, jobs=False)
        receipt = self._begin(subject, mine, reason)
        if receipt.status == "blocked":
            return receipt
        self.tombstones.save()
        with parts.engine.snapshot():
            mine = find_subject_data(parts, subject)
        needles = Needles(mine.texts(), parts.index.analyzer, mine.vector_bytes())
        tell("deleting")
        receipt = self._delete(receipt, subject, mine)
        return self._clean(receipt, needles, vacuum=vacuum, tell=tell)

    def resume(self, erasure_id: str, *, on_progress: Progress | None = None) -> Erasure:
        """Continue an erasure that was interrupted or that a reader blocked.

        Its text is no longer known, so nothing can be proved: the file is vacuumed, and the status is at most "scrubbed".

        Raises:
            NotFoundError: There is no erasure with this id.
            LegalHoldError: A hold was placed since: release it, then resume.
        """
        receipt = self._parts.erasures.get(erasure_id)
        if receipt.status == "blocked" or receipt.is_complete:
            return receipt
        self.tombstones.save()
        if receipt.status == "deleting":
            receipt = self._delete_rest(receipt)
        return self._clean(receipt, None, vacuum=True, tell=on_progress or (lambda _: None))

    def unfinished(self) -> list[Erasure]:
        """The erasures that `resume` can continue."""
        return [one for one in self._parts.erasures.iterate() if one.status != "blocked" and not one.is_complete]

    def reapply(self, carried: Tombstones) -> dict[str, int]:
        """Erase again what a restored backup brought back, and continue the erasures that were interrupted when it was made.

        A carried tombstone that the backup lacks is from an erasure after the backup was made; no clock is needed to know that.
        A subject whose tombstone the backup already has was added again on purpose.

        Returns:
            The number of subjects erased, and of those that a legal hold in the backup protected.
        """
        with self._parts.engine.transaction():
            stones = self.tombstones.take_in(carried)
        counts = {"erased": 0, "held": 0}
        begun = []
        wanted = {(stone.kind, stone.subject_hash) for stone in stones}
        for subject, _, hashes in list(self._present(wanted)) if wanted else ():
            if not any(one & wanted for one in hashes):
                continue
            mine = self._all_of(subject)
            if not mine.conversations and not mine.learnings:
                continue  # already erased with an earlier subject
            receipt = self._begin(subject, mine, "a restored backup had it")
            if receipt.status == "blocked":
                counts["held"] += 1
            else:
                begun.append(self._delete(receipt, subject, mine))
                counts["erased"] += 1
        for receipt in self.unfinished():
            if receipt.status == "deleting":
                with suppress(LegalHoldError):  # the hold is in the backup: the receipt stays unchanged, to be resumed
                    begun.append(self._delete_rest(receipt))
                    counts["erased"] += 1
        if begun:
            cleaning = self._upkeep.clean(None, vacuum=True, tell=lambda _: None)
            for receipt in begun:
                self._finish(receipt, cleaning)
        return counts

    def _all_of(self, subject: Subject) -> SubjectData:
        with self._parts.engine.snapshot():
            return find_subject_data(self._parts, subject)

    def _begin(self, subject: Subject, mine: SubjectData, reason: str | None) -> Erasure:
        parts = self._parts
        with parts.engine.transaction():
            # A hold that was placed after the snapshot counts too.
            places = {record.id for record in mine.conversations} | {
                record.conversation_id for record in mine.learnings
            }
            parts.conversations.lock(places)
            holds = [hold for hold in map(parts.holds.find, sorted(places)) if hold is not None]
            blocked = [f"legal hold {hold.id}" for hold in holds]
            receipt = parts.erasures.add(
                subject.kind,
                self.tombstones.hash(subject.id),
                status="blocked" if blocked else "deleting",
                actor=parts.actor.name,
                reason=reason,
                receipt={"blocked_by": blocked} if blocked else self._out_of_reach(mine),
            )
            if not blocked:
                for kind, id in _names(subject, mine):
                    self.tombstones.bury(kind, id, receipt.id, receipt.created_at)
                ids = [conversation.id for conversation in mine.conversations]
                parts.conversations.soft_delete_many(ids, reason=f"erasure {receipt.id}")
            return receipt

    def _out_of_reach(self, mine: SubjectData) -> dict[str, Any]:
        uploads = [
            {"destination": upload.destination, "remote_id": upload.remote_id, "status": upload.status}
            for upload in mine.uploads
            if upload.remote_id is not None or upload.status == "uploading"
        ]
        backups = [
            {"id": backup.id, "path": backup.path, "created_at": f"{backup.created_at:%Y-%m-%dT%H:%M:%SZ}"}
            for status in ("kept", "writing")
            for backup in self._parts.backups.iterate(status)
        ]
        return {"out_of_reach": {"uploads": uploads, "backups": backups}}

    def _delete(self, receipt: Erasure, subject: Subject, mine: SubjectData, also: Sequence[str] = ()) -> Erasure:
        # Delete the conversation last: after an interruption, it is needed to find everything that belongs to it.
        parts, why = self._parts, f"erasure {receipt.id}"
        names = names_of(subject, mine, also)
        for job in mine.jobs:
            worker = [job.worker, *(attempt.worker for attempt in parts.jobs.attempts(job.id))]
            parts.erasures.erase_job(
                job,
                type=names.named_in([job.type]) is True,
                worker=names.named_in(filter(None, worker)) is True,
            )
        for schedule in mine.schedules:
            parts.schedules.delete(schedule.name)
        owned = {conversation.id for conversation in mine.conversations}
        for learning in mine.learnings:
            if learning.conversation_id not in owned:
                with suppress(NotFoundError):  # another erasure has deleted it
                    parts.learnings.delete(learning.id, reason=why)
        for conversation in mine.conversations:
            with suppress(NotFoundError):
                self._delete_conversation(conversation, why)
        done = dict(receipt.receipt)
        before = done.get("deleted", {})
        done["deleted"] = {name: count + before.get(name, 0) for name, count in mine.counts().items()}
        if mine.own_tables:
            done["own_tables"] = _added(done.get("own_tables", {}), mine.own_counts())
        looked = done.get("jobs", {}).get("looked_for", {})
        perhaps = {*done.get("jobs", {}).get("may_name_it", []), *mine.perhaps_jobs}
        done["jobs"] = {
            "looked_for": {kind: count + looked.get(kind, 0) for kind, count in names.looked_for().items()},
            "may_name_it": sorted(perhaps)[:MOST_JOBS],
        }
        return parts.erasures.update(receipt.id, status="deleted", receipt=done)

    def _delete_rest(self, receipt: Erasure) -> Erasure:
        """Delete what an interrupted erasure left: everything buried by it, or by a later one of the same subject."""
        stones = [stone for stone in self._parts.erasures.tombstones() if stone.lifted_at is None]
        buried = {(stone.kind, stone.subject_hash): stone.erasure_id for stone in stones}
        asked = (receipt.subject_kind, receipt.subject_hash)
        for subject, called, hashes in list(self._present({*buried, asked})):
            # Conversations added to the session since are not buried, and stay.
            by = {buried[one] for one in hashes[0] if one in buried}
            if receipt.id in by or (by and any(asked in one for one in hashes)):
                also = [id for _, id in called]
                with self._parts.engine.snapshot():
                    mine = find_subject_data(self._parts, subject, also=also)
                receipt = self._delete(receipt, subject, mine, also)
        # The counts do not include what the interrupted call had already deleted.
        done = {**receipt.receipt, "resumed": True}
        return self._parts.erasures.update(receipt.id, status="deleted", receipt=done)

    def _delete_conversation(self, conversation: Conversation, why: str) -> None:
        parts = self._parts
        left = conversation.message_count
        while left > SLICE_MESSAGES:
            with parts.engine.transaction():
                gone = parts.erasures.delete_last_messages(conversation.id, SLICE_MESSAGES)
                details = {"messages": gone, "part": True}
                parts.audit.record(
                    "delete", subject_type="conversation", subject_id=conversation.id, reason=why, details=details
                )
            left -= gone or left
        parts.conversations.delete(conversation.id, reason=why)

    def _clean(self, receipt: Erasure, needles: Needles | None, *, vacuum: bool, tell: Progress) -> Erasure:
        return self._finish(receipt, self._upkeep.clean(needles, vacuum=vacuum or needles is None, tell=tell))

    def _finish(self, receipt: Erasure, cleaning: Cleaning) -> Erasure:
        done = {**receipt.receipt, **cleaning.facts, "blocked_by": cleaning.blocked_by}
        return self._parts.erasures.update(receipt.id, status=cleaning.status, receipt=done)

    def _present(
        self, wanted: Collection[tuple[SubjectKind, str]]
    ) -> Iterator[tuple[Subject, Called, list[set[tuple[SubjectKind, str]]]]]:
        """Every conversation with its names and the hashes of each name; every learning too if one is wanted."""
        keys = self._parts.erasures.keys()

        def hashed(called: Called) -> list[set[tuple[SubjectKind, str]]]:
            return [{(kind, keyed_hash(key, id)) for key in keys} for kind, id in called]

        learnings = any(kind == "learning" for kind, _ in wanted)
        for deleted in (False, True):
            for one in self._parts.conversations.iterate(deleted=deleted):
                called: Called = [("conversation", one.id)]
                called += [("session", one.session_id)] if one.session_id else []
                called += [("correlation", one.correlation_id)] if one.correlation_id else []
                yield Subject("conversation", one.id), called, hashed(called)
                for learning, _ in self._parts.import_export.learnings(one.id) if learnings else ():
                    name: Called = [("learning", learning.id)]
                    yield Subject("learning", learning.id), name, hashed(name)


def _added(before: dict[str, dict[str, int]], counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Counts by table and fate, including those of an interrupted call."""
    return {
        table: {
            fate: before.get(table, {}).get(fate, 0) + counts.get(table, {}).get(fate, 0)
            for fate in sorted({*before.get(table, {}), *counts.get(table, {})})
        }
        for table in sorted({*before, *counts})
    }


def _names(subject: Subject, mine: SubjectData) -> list[tuple[SubjectKind, str]]:
    """The names to bury: the subject, its conversations and their correlation ids, its learnings."""
    names: list[tuple[SubjectKind, str]] = [(subject.kind, subject.id)]
    for conversation in mine.conversations:
        names.append(("conversation", conversation.id))
        if conversation.correlation_id is not None:
            names.append(("correlation", conversation.correlation_id))
    names += [("learning", learning.id) for learning in mine.learnings]
    return list(dict.fromkeys(names))
