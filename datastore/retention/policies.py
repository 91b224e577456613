"""Retention policies applied: what expired is hidden, then deleted, in small batches that let others write."""

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

#: A transaction deletes about so many rows with text, so that it holds the write lock for some tens of milliseconds.
BATCH_MESSAGES = 50
#: ... and so many conversations, jobs, uploads or other small rows.
BATCH_ROWS = 25

#: Behind each batch so many pages of the full-text indexes are merged: left to FTS5, a commit now and then merges hundreds.
MERGE_PAGES = 32
#: What the full-text indexes are about.
_FULL_TEXT = ("conversations", "learnings")

_PAGE = 200
_AT_ONCE = timedelta(microseconds=1)

#: What a policy does: conversations are soft-deleted, then purged; learnings and redactions are purged, finished work is pruned.
Action = Literal["soft_delete", "purge", "prune"]

#: Called after each batch with what is gone so far, by action: "soft_deleted", "conversations", "messages", "jobs", ...
Progress = Callable[[Mapping[str, int]], None]


@attrs.frozen(kw_only=True)
class Due:
    """What one policy would do now."""

    policy: RetentionPolicy
    action: Action
    count: int
    #: Since when the first of them waits; None where there is none.
    oldest: datetime | None


class Retention:
    """``store.retention``: how long what is kept, applied when `apply` is called; and the receipts of what was erased.

    Attributes:
        policies: `RetentionPolicyRepository`: set, listed, deleted.
        receipts: `ReceiptRepository`: what `Datastore.erase` did, listed and read.
    """

    policies: RetentionPolicyRepository
    receipts: ReceiptRepository

    def __init__(self, parts: Repositories, eraser: Eraser) -> None:
        self.policies = parts.policies
        self.receipts = parts.receipts
        self._parts = parts
        self._eraser = eraser

    def resume(self, erasure_id: str, *, on_progress: Callable[[str], None] | None = None) -> Erasure:
        """Go on with an erasure that was interrupted, or that a reader was in the way of; one that is complete stays.

        The text that was erased is no longer known, so nothing can be proved: the file is vacuumed, and the outcome is at
        most "scrubbed".

        Args:
            erasure_id: The id of its receipt.
            on_progress: Called with what is being done.

        Raises:
            NotFoundError: There is none with this id.
            LegalHoldError: A hold was placed since: release it, then resume.
        """
        return self._eraser.resume(erasure_id, on_progress=on_progress)

    def preview(self, name: str | None = None) -> list[Due]:
        """What applying would do now: a dry run that changes nothing.

        Args:
            name: Only this policy.

        Raises:
            NotFoundError: There is none of this name.
        """
        with self._parts.engine.snapshot():
            return [due for policy in self._chosen(name) for due in self._due(policy)]

    def apply(self, name: str | None = None, *, on_progress: Progress | None = None) -> dict[str, dict[str, int]]:
        """Soft-delete, purge and prune what expired, in batches of one short transaction each; what is on legal hold stays.

        Each batch stands by itself: interrupted, what is done is done, and the next call goes on. Applied again, it
        finds nothing. The audit log says what went, without content.

        Args:
            name: Only this policy.
            on_progress: Called after each batch.

        Returns:
            By policy what went: "soft_deleted", "conversations", "messages", "learnings", "jobs", "attempts", ...

        Raises:
            NotFoundError: There is none of this name.
            TransactionError: Called inside a transaction.
        """
        self._parts.engine.reading("applying retention policies")
        done: dict[str, dict[str, int]] = {}
        for policy in self._chosen(name):
            counts: Counter[str] = Counter()
            for step in self._steps(policy):
                counts.update(step)
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
            # What the grace was over for before this call goes; what is hidden now has its whole grace.
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
                    # Looked at again: somebody may have written into it since.
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
        # Those that were restored since, or held, stay.
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
        except LegalHoldError:  # placed since
            return 0

    def _delete_learnings(self, policy: RetentionPolicy, before: datetime) -> Iterator[Mapping[str, int]]:
        for page in self._learnings(policy, before):
            for first in range(0, len(page), BATCH_ROWS):
                batch = [row.id for row in page[first : first + BATCH_ROWS]]
                # Those that changed since, or are held, stay.
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
    """What happens to small rows that expired: redactions go by age, the others are finished work."""
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
    """Conversations that together have few enough messages; a longer one stands alone."""
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
