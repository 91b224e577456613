"""Apply retention policies: expired data is hidden, then deleted, in small batches between which others can write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import attrs

from datastore.errors import LegalHoldError, NotFoundError
from datastore.records import Conversation, RetentionPolicy
from datastore.values import TIME_MIN

if TYPE_CHECKING:
    from datastore.records import Erasure
    from datastore.repositories import ReceiptRepository, Repositories, RetentionPolicyRepository
    from datastore.repositories.retention_policies import Expired
    from datastore.retention.erasure import Eraser

#: Rows with text deleted per transaction, about; it holds the write lock for tens of milliseconds.
BATCH_MESSAGES = 50
#: Conversations, jobs, uploads or other small rows per transaction.
BATCH_ROWS = 25

#: Full-text index pages merged after each batch; otherwise FTS5 would occasionally merge hundreds during a commit.
MERGE_PAGES = 32
#: Targets that have full-text indexes.
_FULL_TEXT = ("conversations", "learnings")

_PAGE = 200
_AT_ONCE = timedelta(microseconds=1)

#: A policy's action: conversations are soft-deleted, then purged; learnings and redactions are purged, finished work is pruned.
Action = Literal["soft_delete", "purge", "prune"]

#: Called after each batch with the counts so far, by kind: "soft_deleted", "conversations", "messages", "jobs", ...
Progress = Callable[[Mapping[str, int]], None]


@attrs.frozen(kw_only=True)
class Due:
    """The effect that applying one policy would have now."""

    policy: RetentionPolicy
    action: Action
    count: int
    #: The time from which the oldest of them counts; None if there are none.
    oldest: datetime | None


class Retention:
    """``store.retention``: retention policies, which take effect when `apply` is called, and the receipts of erasures.

    Attributes:
        policies: `RetentionPolicyRepository`: set, list and delete policies.
        receipts: `ReceiptRepository`: list and read the receipts of `Datastore.erase`.
    """

    policies: RetentionPolicyRepository
    receipts: ReceiptRepository

    def __init__(self, parts: Repositories, eraser: Eraser) -> None:
        self.policies = parts.policies
        self.receipts = parts.receipts
        self._parts = parts
        self._eraser = eraser

    def resume(self, erasure_id: str, *, on_progress: Callable[[str], None] | None = None) -> Erasure:
        """Continue an erasure that was interrupted or that a reader blocked; a complete one is left unchanged.

        The erased text is no longer known, so nothing can be proved: the file is vacuumed, and the status is at
        most "scrubbed".

        Args:
            erasure_id: The id of its receipt.
            on_progress: Called with a description of each step.

        Raises:
            NotFoundError: There is no erasure with this id.
            LegalHoldError: A hold was placed since: release it, then resume.
        """
        return self._eraser.resume(erasure_id, on_progress=on_progress)

    def preview(self, name: str | None = None) -> list[Due]:
        """Return what `apply` would do now: a dry run that changes nothing.

        Args:
            name: Only this policy.

        Raises:
            NotFoundError: There is no policy with this name.
        """
        with self._parts.engine.snapshot():
            return [due for policy in self._chosen(name) for due in self._due(policy)]

    def apply(self, name: str | None = None, *, on_progress: Progress | None = None) -> dict[str, dict[str, int]]:
        """Soft-delete, purge and prune expired data in batches, each one short transaction; data on legal hold is kept.

        Batches are independent: after an interruption, finished batches are kept, and the next call continues. Calling it again
        is a no-op. The audit log records what was deleted, without content.

        Args:
            name: Only this policy.
            on_progress: Called after each batch.

        Returns:
            Counts by policy: "soft_deleted", "conversations", "messages", "learnings", "jobs", "attempts", ...

        Raises:
            NotFoundError: There is no policy with this name.
            TransactionError: Called inside a transaction.
        """
        self._parts.engine.reading("applying retention policies")
        done: dict[str, dict[str, int]] = {}
        for policy in self._chosen(name):
            counts: Counter[str] = Counter()
            with self._parts.engine.events.operation("retention", policy.name) as told:
                for step in self._steps(policy):
                    counts.update(step)
                    told.update(counts)
                    if policy.target in _FULL_TEXT:
                        self._parts.maintenance.merge_slices(MERGE_PAGES)
                    if on_progress is not None:
                        on_progress(counts)
            done[policy.name] = dict(counts)
        return done

    def _chosen(self, name: str | None) -> list[RetentionPolicy]:
        chosen = [policy for policy in self.policies.iterate() if name in (None, policy.name)]
        if name is not None and not chosen:
            raise NotFoundError("retention policy")
        return chosen

    def _before(self, days: float) -> datetime:
        return self._parts.engine.now() - timedelta(days=days) + _AT_ONCE

    def _due(self, policy: RetentionPolicy) -> Iterator[Due]:
        before = self._before(policy.age_days)
        if policy.target == "conversations":
            shown = self._pages(policy, before, hidden=False)
            yield _due(policy, "soft_delete", [_waits(policy, conversation) for page in shown for conversation in page])
            gone = self._pages(policy, self._before(policy.grace_days), hidden=True)
            yield _due(policy, "purge", [_hidden_at(conversation) for page in gone for conversation in page])
        elif policy.target == "learnings":
            yield _due(policy, "purge", [row.updated_at for page in self._learnings(policy, before) for row in page])
        else:
            count, oldest = self._counters()[policy.target](before)
            yield Due(policy=policy, action=_action(policy), count=count, oldest=oldest)

    def _counters(self) -> dict[str, Callable[[datetime], Expired]]:
        expiry = self._parts.expiry
        return {
            "jobs": expiry.count_expired_jobs,
            "attempts": expiry.count_expired_attempts,
            "uploads": expiry.count_expired_uploads,
            "redactions": expiry.count_expired_redactions,
        }

    def _steps(self, policy: RetentionPolicy) -> Iterator[Mapping[str, int]]:
        before = self._before(policy.age_days)
        if policy.target == "conversations":
            # Purge only what was hidden before this call; what is hidden now has its full grace period.
            grace = self._before(policy.grace_days)
            yield from self._hide(policy, before)
            yield from self._purge(policy, grace)
        elif policy.target == "learnings":
            yield from self._delete_learnings(policy, before)
        elif policy.target == "jobs":
            while count := self._parts.jobs.prune(finished_before=before, reason=_why(policy), max_rows=BATCH_ROWS):
                yield {"jobs": count}
        else:
            yield from self._delete_rows(policy, before)

    def _hide(self, policy: RetentionPolicy, before: datetime) -> Iterator[Mapping[str, int]]:
        for page in self._pages(policy, before, hidden=False):
            for batch in _batches(page):
                with self._parts.engine.transaction():
                    # Check again: messages may have been added since.
                    self._parts.conversations.lock([one.id for one in batch])
                    due = [one.id for one in batch if self._still(policy, one, before)]
                    hidden = self._parts.conversations.soft_delete_many(due, reason=_why(policy))
                yield {"soft_deleted": len(hidden)}

    def _still(self, policy: RetentionPolicy, conversation: Conversation, before: datetime) -> bool:
        now = self._parts.conversations.find(conversation.id)
        return now is not None and now.deleted_at is None and _waits(policy, now) < before

    def _purge(self, policy: RetentionPolicy, before: datetime) -> Iterator[Mapping[str, int]]:
        for page in self._pages(policy, before, hidden=True):
            for batch in _batches(page):
                yield from self._purge_batch(batch, policy)

    def _purge_batch(self, batch: list[Conversation], policy: RetentionPolicy) -> Iterator[Mapping[str, int]]:
        parts = self._parts
        for conversation in batch:
            left = conversation.message_count
            while left > BATCH_MESSAGES:
                gone = self._purge_slice(conversation.id, policy)
                if not gone:
                    break
                yield {"messages": gone}
                left -= gone
        # Conversations that were restored since, or are on hold, are kept.
        yield parts.conversations.purge_many((one.id for one in batch), reason=_why(policy))

    def _purge_slice(self, id: str, policy: RetentionPolicy) -> int:
        parts = self._parts
        try:
            with parts.engine.transaction():
                parts.conversations.lock([id])
                now = parts.conversations.find(id)
                if now is None or now.deleted_at is None:
                    return 0
                gone = parts.erasures.delete_last_messages(id, BATCH_MESSAGES)
                parts.audit.record(
                    "purge",
                    subject_type="conversation",
                    subject_id=id,
                    reason=_why(policy),
                    details={"messages": gone, "part": True},
                )
                return gone
        except LegalHoldError:  # a hold was placed since
            return 0

    def _delete_learnings(self, policy: RetentionPolicy, before: datetime) -> Iterator[Mapping[str, int]]:
        for page in self._learnings(policy, before):
            for first in range(0, len(page), BATCH_ROWS):
                batch = [row.id for row in page[first : first + BATCH_ROWS]]
                # Learnings that changed since, or are on hold, are kept.
                gone = self._parts.learnings.delete_many(batch, changed_before=before, reason=_why(policy))
                yield {"learnings": len(gone)}

    def _delete_rows(self, policy: RetentionPolicy, before: datetime) -> Iterator[Mapping[str, int]]:
        expiry = self._parts.expiry
        by_target = {
            "attempts": (expiry.prune_attempts, "job"),
            "uploads": (expiry.prune_uploads, "upload"),
            "redactions": (expiry.purge_redactions, "conversation"),
        }
        delete, noun = by_target[policy.target]
        while True:
            with self._parts.engine.transaction():
                count = delete(before, BATCH_ROWS)
                if count:
                    self._parts.audit.record(
                        _action(policy),
                        subject_type=noun,
                        subject_id=f"policy {policy.name}",
                        reason=_why(policy),
                        details={policy.target: count},
                    )
            if not count:
                return
            yield {policy.target: count}

    def _pages(self, policy: RetentionPolicy, before: datetime, *, hidden: bool) -> Iterator[list[Conversation]]:
        expiry, after = self._parts.expiry, (TIME_MIN, "")
        find = expiry.expired_hidden_conversations if hidden else expiry.expired_conversations
        while page := find(policy, before, after, max_rows=_PAGE):
            yield page
            last = page[-1]
            after = (_hidden_at(last) if hidden else last.created_at, last.id)

    def _learnings(self, policy: RetentionPolicy, before: datetime) -> Iterator[list[Any]]:
        after = (TIME_MIN, "")
        while page := self._parts.expiry.expired_learnings(policy, before, after, max_rows=_PAGE):
            yield page
            after = (page[-1].created_at, page[-1].id)


def _due(policy: RetentionPolicy, action: Action, waits: list[datetime]) -> Due:
    return Due(policy=policy, action=action, count=len(waits), oldest=min(waits, default=None))


def _action(policy: RetentionPolicy) -> Action:
    """The action for expired small rows: redactions are purged by age, the others are finished work."""
    return "purge" if policy.target == "redactions" else "prune"


def _waits(policy: RetentionPolicy, conversation: Conversation) -> datetime:
    if policy.since == "completion":
        assert conversation.completed_at is not None
        return conversation.completed_at
    return conversation.updated_at


def _hidden_at(conversation: Conversation) -> datetime:
    assert conversation.deleted_at is not None
    return conversation.deleted_at


def _why(policy: RetentionPolicy) -> str:
    return f"policy {policy.name}"


def _batches(conversations: list[Conversation]) -> Iterator[list[Conversation]]:
    """Batches of conversations with few enough messages in total; a longer conversation is a batch by itself."""
    batch: list[Conversation] = []
    messages = 0
    for conversation in conversations:
        if batch and (messages + conversation.message_count > BATCH_MESSAGES or len(batch) >= BATCH_ROWS):
            yield batch
            batch, messages = [], 0
        batch.append(conversation)
        messages += conversation.message_count
    if batch:
        yield batch
