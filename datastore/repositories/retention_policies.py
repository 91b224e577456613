"""Retention policies, and the rows that have expired under them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import NotFoundError
from datastore.records.conversations import Conversation
from datastore.records.pages import Page, every
from datastore.records.retention_policies import PolicyScope, PolicySince, PolicyTarget, RetentionPolicy
from datastore.repositories.base import DEFAULT_ROWS, Cursor, Repository
from datastore.values import TIME_MAX, TIME_MIN, check_number, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.retention_policies import ListExpiredLearningsRow, RetentionPoliciesStatements

#: The number of expired rows, and the time of the oldest.
Expired = tuple[int, datetime | None]


#: Targets whose rows change; the others only have an end.
_WITH_ACTIVITY = ("conversations", "learnings", "redactions")


class RetentionPolicyRepository(Repository):
    """The table *retention_policies*. `datastore.retention.policies` applies them."""

    _statements: RetentionPoliciesStatements

    def set(
        self,
        name: str,
        target: PolicyTarget,
        *,
        age_days: float,
        since: PolicySince | None = None,
        scope: PolicyScope = "all",
        scope_value: str | None = None,
        grace_days: float = 0.0,
    ) -> RetentionPolicy:
        """Store a policy, replacing any with the same name.

        Args:
            name: 1 to 100 characters.
            target: What the policy applies to.
            age_days: Age in days at which rows expire; 0 to 36500.
            since: The start of the age: the last change ("activity": conversations, learnings, redactions), or the
                end ("completion"). None: "activity" where it is possible. Imported conversations never have an end.
            scope: "all"; "source" or "session_prefix" (conversations), "category" (learnings).
            scope_value: The source, the session id prefix, or the category.
            grace_days: Days that a conversation stays hidden before it is permanently deleted; 0 to 36500.

        Raises:
            CheckError: A value is outside its range, or is not allowed for the target.
            InvalidValueError: A value cannot be stored.
        """
        return self._statements.set_retention_policy(
            name=check_text(name, "name"),
            target=target,
            scope=scope,
            scope_value=scope_value,
            since=since or ("activity" if target in _WITH_ACTIVITY else "completion"),
            age_days=check_number(age_days, "age_days"),
            grace_days=check_number(grace_days, "grace_days"),
            now=self._now(),
        )

    def list(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[RetentionPolicy]:
        """One page of the policies, by name.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = Cursor("retention policies", [], (str,), after=after, max_rows=max_rows)
        rows = self._statements.list_retention_policies(
            after_name="" if pager.start is None else pager.start[0], max_rows=pager.max_rows
        )
        return pager.page(rows, lambda policy: (policy.name,))

    def iterate(self) -> Iterator[RetentionPolicy]:
        """Iterate over each policy, by name, page by page."""
        return every(self.list)

    def delete(self, name: str) -> None:
        """Delete a policy; conversations that it soft-deleted stay soft-deleted.

        Raises:
            NotFoundError: No policy has this name.
        """
        if not self._statements.delete_retention_policy(name=name):
            raise NotFoundError("retention policy")


class ExpiryRepository(Repository):
    """Rows of several tables that have expired under policies."""

    _statements: RetentionPoliciesStatements

    def expired_conversations(
        self, policy: RetentionPolicy, before: datetime, after: tuple[datetime, str] = (TIME_MIN, ""), *, max_rows: int
    ) -> list[Conversation]:
        """A batch of conversations that a policy soft-deletes, oldest first."""
        return self._statements.list_expired_conversations(
            **_scope(policy),
            completed_before=before if policy.since == "completion" else None,
            updated_before=TIME_MAX if policy.since == "completion" else before,
            after_created_at=after[0],
            after_id=after[1],
            max_rows=max_rows,
        )

    def expired_hidden_conversations(
        self, policy: RetentionPolicy, before: datetime, after: tuple[datetime, str] = (TIME_MIN, ""), *, max_rows: int
    ) -> list[Conversation]:
        """A batch of conversations that a policy permanently deletes, longest hidden first."""
        return self._statements.list_expired_hidden_conversations(
            **_scope(policy), deleted_before=before, after_deleted_at=after[0], after_id=after[1], max_rows=max_rows
        )

    def expired_learnings(
        self, policy: RetentionPolicy, before: datetime, after: tuple[datetime, str] = (TIME_MIN, ""), *, max_rows: int
    ) -> list[ListExpiredLearningsRow]:
        """A batch of learnings that a policy deletes, oldest first: (id, created_at, updated_at)."""
        return self._statements.list_expired_learnings(
            category=policy.scope_value,
            updated_before=before,
            after_created_at=after[0],
            after_id=after[1],
            max_rows=max_rows,
        )

    def count_expired_jobs(self, before: datetime) -> Expired:
        """Count jobs that ended before *before*."""
        return _expired(self._statements.count_expired_jobs(finished_before=before))

    def count_expired_attempts(self, before: datetime) -> Expired:
        """Count earlier attempts that ended before *before*."""
        return _expired(self._statements.count_expired_attempts(finished_before=before))

    def count_expired_uploads(self, before: datetime) -> Expired:
        """Count uploads that were confirmed before *before*."""
        return _expired(self._statements.count_expired_uploads(confirmed_before=before))

    def count_expired_redactions(self, before: datetime) -> Expired:
        """Count redactions that were made before *before*."""
        return _expired(self._statements.count_expired_redactions(created_before=before))

    def prune_attempts(self, before: datetime, max_rows: int) -> int:
        """Delete a batch of earlier attempts that ended before *before*; returns their number."""
        return len(self._statements.prune_attempts(finished_before=before, max_rows=max_rows))

    def prune_uploads(self, before: datetime, max_rows: int) -> int:
        """Delete a batch of uploads that were confirmed before *before*; returns their number."""
        return len(self._statements.prune_uploads(confirmed_before=before, max_rows=max_rows))

    def purge_redactions(self, before: datetime, max_rows: int) -> int:
        """Delete a batch of redactions that were made before *before*; returns their number."""
        return len(self._statements.purge_redactions(created_before=before, max_rows=max_rows))


def _scope(policy: RetentionPolicy) -> dict[str, Any]:
    prefix = policy.scope_value if policy.scope == "session_prefix" else None
    return {
        "source": policy.scope_value if policy.scope == "source" else None,
        "session_from": prefix,
        # Sorts after every text with this prefix.
        "session_to": None if prefix is None else f"{prefix}\U0010ffff",
    }


def _expired(row: Any) -> Expired:
    return row.expired, row.oldest
