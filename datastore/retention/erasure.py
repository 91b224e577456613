"""Erasure: a subject and everything derived from it goes, and a receipt says how far, and what is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from datastore.records.erasures import Erasure, ErasureStatus, SubjectKind, Tombstone
from datastore.records.pages import every
from datastore.retention.cleaning import Cleaner, Cleaning
from datastore.retention.residue import Needles
from datastore.retention.subjects import Belongings, Holder, Subject, belongings, find_belongings
from datastore.retention.tombstones import Register, keyed_hash

if TYPE_CHECKING:
    from datastore.engines.sqlite import SQLiteEngine
    from datastore.records import Conversation
    from datastore.repositories import BackupRepository, JobQueueRepository
    from datastore.retention.server import ServerCleaner

#: So many messages are deleted in one transaction, which holds the write lock for some tens of milliseconds.
SLICE_MESSAGES = 200

#: Called with what is being done.
Progress = Callable[[str], None]


class Store(Holder, Protocol):
    """What is erased from."""

    engine: SQLiteEngine
    jobs: JobQueueRepository
    backup_register: BackupRepository


class Eraser:
    """``store.erase``, and what resumes it, shows it and keeps it erased.

    Args:
        store: What is erased from.
        cleaner: Merges, cuts, scans and vacuums.
        actor: Who the receipts say it was.
    """

    def __init__(self, store: Store, cleaner: Cleaner | ServerCleaner, actor: str) -> None:
        self._store = store
        self._cleaner = cleaner
        self._actor = actor
        self.tombstones = Register(store.erasures, store.engine.path)

    def erase(
        self, subject: Subject, *, reason: str | None = None, vacuum: bool = True, progress: Progress | None = None
    ) -> Erasure:
        """See `datastore.store.Datastore.erase`."""
        store, tell = self._store, progress or (lambda _: None)
        store.engine.reading("an erasure")
        tell("looking for what belongs to it")
        with store.engine.snapshot():
            mine = belongings(store, subject, jobs=False)
        receipt = self._begin(subject, mine, reason)
        if receipt.status == "blocked":
            return receipt
        self.tombstones.save()
        with store.engine.snapshot():
            mine = find_belongings(store, subject)
        needles = Needles(mine.texts(), self._store.transfer.analyzer)
        tell("deleting")
        receipt = self._delete(receipt, mine)
        return self._clean(receipt, needles, vacuum=vacuum, tell=tell)

    def resume(self, id: str, *, progress: Progress | None = None) -> Erasure:
        """Go on with an erasure that was interrupted, or that a reader was in the way of.

        What its text was is known no more, so that nothing can be proved: the file is vacuumed, and the outcome is at
        most "scrubbed".

        Raises:
            NotFoundError: There is none with this id.
        """
        receipt = self._store.erasures.get(id)
        if receipt.status in ("blocked", "verified", "scrubbed"):
            return receipt
        if receipt.status == "deleting":
            self.tombstones.save()
            for subject in self._returned({id}):
                receipt = self._delete(receipt, self._all_of(subject))
            # What the interrupted call had deleted already is not in the counts.
            done = {**receipt.receipt, "resumed": True}
            receipt = self._store.erasures.update(id, status="deleted", receipt=done)
        return self._clean(receipt, None, vacuum=True, tell=progress or (lambda _: None))

    def unfinished(self) -> list[Erasure]:
        """The erasures that `resume` goes on with."""
        return [receipt for receipt in self._store.erasures.list() if receipt.status in ("deleting", "deleted")]

    def reapply(self) -> dict[str, int]:
        """Erase again whatever a restored backup brought back.

        Returns:
            How many subjects went, and how many a legal hold of the backup kept.
        """
        counts = {"erased": 0, "held": 0}
        for subject in self._returned(None):
            mine = self._all_of(subject)
            if mine.holds:
                counts["held"] += 1
            elif mine.conversations or mine.learnings:
                receipt = self._begin(subject, mine, "a restored backup had it")
                self._delete(receipt, mine)
                counts["erased"] += 1
        if counts["erased"]:
            cleaning = self._cleaner.clean(None, vacuum=True, tell=lambda _: None)
            for receipt in self.unfinished():
                self._finish(receipt, cleaning)
        return counts

    def _all_of(self, subject: Subject) -> Belongings:
        with self._store.engine.snapshot():
            return find_belongings(self._store, subject)

    def _begin(self, subject: Subject, mine: Belongings, reason: str | None) -> Erasure:
        store = self._store
        with store.engine.transaction():
            # Placed since the snapshot, a hold counts too.
            places = {record.id for record in mine.conversations} | {
                record.conversation_id for record in mine.learnings
            }
            holds = [hold for hold in map(store.holds.find, sorted(places)) if hold is not None]
            blocked = [f"legal hold {hold.id}" for hold in holds]
            receipt = store.erasures.add(
                subject.kind,
                self.tombstones.hash(subject.id),
                status="blocked" if blocked else "deleting",
                actor=self._actor,
                reason=reason,
                receipt={"blocked_by": blocked} if blocked else self._out_of_reach(mine),
            )
            if not blocked:
                for kind, id in _names(subject, mine):
                    self._bury(receipt, kind, id)
                for conversation in mine.conversations:
                    if conversation.deleted_at is None:
                        store.conversations.soft_delete(conversation.id, reason=f"erasure {receipt.id}")
            return receipt

    def _bury(self, receipt: Erasure, kind: SubjectKind, id: str) -> None:
        self._store.erasures.add_tombstone(
            Tombstone(
                kind=kind,
                subject_hash=self.tombstones.hash(id),
                erasure_id=receipt.id,
                created_at=receipt.created_at,
                lifted_at=None,
            )
        )

    def _out_of_reach(self, mine: Belongings) -> dict[str, Any]:
        uploads = [
            {"destination": upload.destination, "remote_id": upload.remote_id, "status": upload.status}
            for upload in mine.uploads
            if upload.remote_id is not None or upload.status == "uploading"
        ]
        backups = [
            {"id": backup.id, "path": backup.path, "created_at": f"{backup.created_at:%Y-%m-%dT%H:%M:%SZ}"}
            for status in ("kept", "writing")
            for backup in self._store.backup_register.list(status)
        ]
        return {"out_of_reach": {"uploads": uploads, "backups": backups}}

    def _delete(self, receipt: Erasure, mine: Belongings) -> Erasure:
        # The conversation last: interrupted before, all that belongs to it is found by it again.
        store, why = self._store, f"erasure {receipt.id}"
        running = [job.id for job in mine.jobs if self._scrub_job(job.id)]
        done = dict(receipt.receipt)
        done["running_jobs"] = sorted({*done.get("running_jobs", []), *running})
        if running:
            store.erasures.update(receipt.id, status="deleting", receipt=done)
        owned = {conversation.id for conversation in mine.conversations}
        for learning in mine.learnings:
            if learning.conversation_id not in owned:
                store.learnings.delete(learning.id, reason=why)
        for conversation in mine.conversations:
            self._delete_conversation(conversation, why)
        before = done.get("deleted", {})
        done["deleted"] = {name: count + before.get(name, 0) for name, count in mine.counts().items()}
        return store.erasures.update(receipt.id, status="deleted", receipt=done)

    def _delete_conversation(self, conversation: Conversation, why: str) -> None:
        store = self._store
        left = conversation.message_count
        while left > SLICE_MESSAGES:
            with store.engine.transaction():
                gone = store.erasures.erase_messages(conversation.id, SLICE_MESSAGES)
                details = {"messages": gone, "part": True}
                store.audit.record(
                    "delete", subject_type="conversation", subject_id=conversation.id, reason=why, details=details
                )
            left -= gone or left
        store.conversations.delete(conversation.id, reason=why)

    def _scrub_job(self, id: int) -> bool:
        """Take a subject out of a job, which ends where it has not begun; gives whether it runs."""
        store = self._store
        with store.engine.transaction():
            job = store.jobs.find(id)
            if job is None:
                return False
            store.erasures.erase_job(id)
            if job.status in ("queued", "running"):
                store.jobs.cancel(id)
            return job.status == "running"

    def _clean(self, receipt: Erasure, needles: Needles | None, *, vacuum: bool, tell: Progress) -> Erasure:
        return self._finish(receipt, self._cleaner.clean(needles, vacuum=vacuum or needles is None, tell=tell))

    def _finish(self, receipt: Erasure, cleaning: Cleaning) -> Erasure:
        running = [f"job {id} runs and names it" for id in receipt.receipt.get("running_jobs", [])]
        blocked = [*cleaning.blocked_by, *running]
        done = {**receipt.receipt, **cleaning.facts, "blocked_by": blocked}
        status: ErasureStatus = cleaning.status
        if running and status != "deleted":
            status = "deleted"
        return self._store.erasures.update(receipt.id, status=status, receipt=done)

    def _returned(self, erasure_ids: set[str] | None) -> Iterable[Subject]:
        """What is there though it has a tombstone that is younger than it; of these erasures only, where some are given."""
        keys = self._store.erasures.keys()
        stones = {
            (stone.kind, stone.subject_hash): stone
            for stone in self._store.erasures.tombstones()
            if stone.lifted_at is None and (erasure_ids is None or stone.erasure_id in erasure_ids)
        }
        if not stones:
            return []
        learnings = any(kind == "learning" for kind, _ in stones)

        def gone(kind: SubjectKind, id: str | None, record: Any) -> bool:
            found = [stones.get((kind, keyed_hash(key, id))) for key in keys] if id else []
            return any(stone is not None and record.created_at <= stone.created_at for stone in found)

        subjects: list[Subject] = []
        for conversation in self._conversations():
            if (
                gone("conversation", conversation.id, conversation)
                or gone("session", conversation.session_id, conversation)
                or gone("correlation", conversation.correlation_id, conversation)
            ):
                subjects.append(Subject("conversation", conversation.id))
            elif learnings:
                subjects += [
                    Subject("learning", learning.id)
                    for learning, _ in self._store.transfer.learnings(conversation.id)
                    if gone("learning", learning.id, learning)
                ]
        return subjects

    def _conversations(self) -> Iterable[Conversation]:
        for deleted in (False, True):
            yield from every(self._store.conversations.list, deleted=deleted, max_rows=1000)


def _names(subject: Subject, mine: Belongings) -> list[tuple[SubjectKind, str]]:
    """What is not to come back: the subject, its conversations and their correlation ids, its learnings."""
    names: list[tuple[SubjectKind, str]] = [(subject.kind, subject.id)]
    for conversation in mine.conversations:
        names.append(("conversation", conversation.id))
        if conversation.correlation_id is not None:
            names.append(("correlation", conversation.correlation_id))
    names += [("learning", learning.id) for learning in mine.learnings]
    return list(dict.fromkeys(names))
