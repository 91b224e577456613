"""The audit log, append-only and hash-chained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datastore.engines.base import Engine
from datastore.errors import InvalidValueError
from datastore.records.audit import AuditAction, AuditEntry, SubjectType
from datastore.records.pages import Page, every
from datastore.repositories.actors import Actor
from datastore.repositories.base import DEFAULT_ROWS, MAX_ROWS, Cursor, Repository
from datastore.values import check_text, decode_json, encode_json, encode_timestamp

if TYPE_CHECKING:
    from datastore.statements.typed.audit import AuditStatements, ListAuditChainRow

#: The previous hash of the first entry.
FIRST_HASH = "0" * 64

#: Lower than any id that a forger could give an entry.
_lowest_id = -(2**63)

_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class AuditRepository(Repository):
    """The table *audit_log*.

    Args:
        statements: The bound statements.
        engine: The engine that they run on.
        new_id: Not used: the log numbers its entries.
        actor: The actor that entries name.
    """

    _statements: AuditStatements

    def __init__(self, *, statements: AuditStatements, engine: Engine, new_id: Callable[[], str], actor: Actor) -> None:
        super().__init__(statements, engine, new_id=new_id)
        self._snapshot = engine.snapshot
        self._actor = actor

    def record(
        self,
        action: AuditAction | str,
        *,
        subject_type: SubjectType | str,
        subject_id: str,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> AuditEntry:
        """Append an entry; it is kept if the surrounding transaction commits.

        Args:
            action: The action.
            subject_type: The type of its subject.
            subject_id: The subject's id; 1 to 200 characters.
            reason: The caller's reason. It cannot be erased later, so it must not contain content.
            details: Counts and names, never content.

        Raises:
            CheckError: The action or subject type is unknown, or the id is too long.
            InvalidValueError: A value cannot be stored.
        """
        # The hash covers the values that a reader will see: text as text, details as decoded JSON.
        check_text(subject_id, "subject_id")
        if reason is not None:
            check_text(reason, "reason")
        kept = decode_json(encode_json({} if details is None else dict(details)))
        actor = self._actor.name
        with self._engine.transaction():
            # The chain has one end: each writer waits until the previous writer has committed.
            self._engine.lock("audit_log")
            last: AuditEntry | None = self._statements.find_last_audit_entry()
            previous_hash = FIRST_HASH if last is None else last.hash
            now = self._now()
            return self._statements.add_audit_entry(
                action=action,
                subject_type=subject_type,
                subject_id=subject_id,
                actor=actor,
                reason=reason,
                details=kept,
                created_at=now,
                previous_hash=previous_hash,
                hash=entry_hash(
                    previous_hash, action, subject_type, subject_id, actor, reason, kept, encode_timestamp(now)
                ),
            )

    def list(
        self,
        *,
        subject_type: SubjectType | None = None,
        subject_id: str | None = None,
        after: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[AuditEntry]:
        """One page, oldest first; only one subject's entries if *subject_type* and *subject_id* are given.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
            InvalidValueError: Only one of *subject_type* and *subject_id* is given.
        """
        if (subject_type is None) != (subject_id is None):
            raise InvalidValueError("give subject_type and subject_id together, or neither")
        pager = Cursor("audit entries", [subject_type, subject_id], (int,), after=after, max_rows=max_rows)
        arguments: dict[str, Any] = {
            "after_id": 0 if pager.start is None else pager.start[0],
            "max_rows": pager.max_rows,
        }
        if subject_type is None or subject_id is None:
            rows = self._statements.list_audit_entries(**arguments)
        else:
            rows = self._statements.list_audit_entries_by_subject(
                subject_type=subject_type, subject_id=subject_id, **arguments
            )
        return pager.page(rows, lambda record: (record.id,))

    def iterate(
        self, *, subject_type: SubjectType | None = None, subject_id: str | None = None
    ) -> Iterator[AuditEntry]:
        """Iterate over each entry, oldest first, page by page; takes the filters of `list`."""
        return every(self.list, subject_type=subject_type, subject_id=subject_id)

    def count(self) -> int:
        """Count the log's entries."""
        return self._statements.count_audit_entries()

    def last(self) -> AuditEntry | None:
        """The newest entry, or None if nothing was ever logged."""
        return self._statements.find_last_audit_entry()

    def high_water(self) -> int:
        """The highest id ever assigned to an entry; 0 if nothing was ever logged."""
        return self._statements.audit_high_water() or 0

    def verify(self) -> Sequence[str]:
        """Check the whole chain, in one consistent snapshot of the database.

        Returns:
            The problems, by entry and without content; empty if there are none. Anyone who can
            rewrite the file can rewrite the newest entries and their hashes: store the last hash
            elsewhere to detect that too.
        """
        problems: list[str] = []
        last_id, last_hash, after_id = 0, FIRST_HASH, _lowest_id
        with self._snapshot():
            high_water = self.high_water()
            while rows := self._statements.list_audit_chain(after_id=after_id, max_rows=MAX_ROWS):
                for row in rows:
                    after_id = row.id
                    problems += _row_problems(row, last_id, last_hash)
                    if after_id > 0:
                        last_id, last_hash = after_id, row.hash
        if last_id < high_water:
            problems.append(f"audit entries {_span(last_id + 1, high_water)} missing at the end")
        elif last_id > high_water:
            problems.append(f"audit entry {last_id}: above the log's own high-water mark {high_water}")
        return problems


def entry_hash(
    previous_hash: str,
    action: str,
    subject_type: str,
    subject_id: str,
    actor: str,
    reason: str | None,
    details: Any,
    created_at: str,
) -> str:
    """SHA-256, in lower-case hex, of the arguments as a compact JSON list in UTF-8 with sorted keys.

    Args:
        previous_hash: The hash of the previous entry, `FIRST_HASH` for the first.
        action: As stored, like all the others except *details*.
        subject_type: As stored.
        subject_id: As stored.
        actor: As stored.
        reason: As stored.
        details: The JSON value, not its text: whitespace and key order do not matter.
        created_at: As stored, as text.
    """
    parts = [previous_hash, action, subject_type, subject_id, actor, reason, details, created_at]
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()


def _row_problems(row: ListAuditChainRow, last_id: int, last_hash: str) -> list[str]:
    id, action, subject_type, subject_id, actor, reason, details, created_at, previous_hash, hash = row
    problems = []
    if id < 1:
        problems.append(f"audit entry {id}: the log never assigns this id")
    elif id > last_id + 1:
        problems.append(f"audit entries {_span(last_id + 1, id - 1)} missing")
    elif previous_hash != last_hash:
        problems.append(f"audit entry {id}: not linked to the previous entry")
    try:
        expected = entry_hash(
            previous_hash, action, subject_type, subject_id, actor, reason, decode_json(details), created_at
        )
    except (TypeError, ValueError, RecursionError):
        expected = ""
    if hash != expected:
        problems.append(f"audit entry {id}: changed, its hash does not match")
    return problems


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"
