"""Whether a database is what it should be: the file, its keys, its indexes, its log, its counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import attrs

from datastore.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.repositories import (
        AuditRepository,
        BackupRepository,
        ConversationRepository,
        LearningRepository,
        MessageRepository,
        TransferRepository,
    )


class Verified(Protocol):
    """What is verified: a store."""

    engine: SQLiteEngine
    audit: AuditRepository
    conversations: ConversationRepository
    messages: MessageRepository
    learnings: LearningRepository
    transfer: TransferRepository
    backup_register: BackupRepository


@attrs.frozen
class Mark:
    """How far the audit log went when somebody looked: kept outside the file, it shows a log that was cut."""

    #: The newest entry, 0 where there is none.
    audit_id: int
    #: Its hash, "" where there is none.
    audit_hash: str


#: Without `deep`, the hashes of so many messages are compared.
SAMPLE = 1000


def verify(store: Verified, marks: Iterable[Mark] = (), *, deep: bool = False) -> dict[str, list[str]]:
    """Run every check, those after one that fails too.

    Args:
        store: The open store.
        marks: High-water marks of this database (or of the one that it was copied from).
        deep: Compare every message with its hash, which reads all of them; otherwise a thousand from everywhere. Also search
            for words of some messages and learnings: each has to find its own text.

    Returns:
        For each check what is wrong, without content; an empty list where nothing is.
    """
    results: dict[str, list[str]] = {}
    for name, check in _checks(store, marks, deep):
        try:
            results[name] = check()
        except DatabaseError as error:
            results[name] = [str(error)]
    return results


def present_mark(store: Verified) -> Mark:
    """The high-water mark as it is now."""
    last = store.audit.last()
    return Mark(0, "") if last is None else Mark(last.id, last.hash)


def _checks(store: Verified, marks: Iterable[Mark], deep: bool) -> list[tuple[str, Callable[[], list[str]]]]:
    def integrity() -> list[str]:
        return [str(row[0]) for row in store.engine.integrity() if row[0] != "ok"]

    def foreign_keys() -> list[str]:
        rows = store.engine.rows("foreign_key_check")
        return [f"{table}: row {row} refers to nothing in {parent}" for table, row, parent, _ in rows[:100]]

    def full_text() -> list[str]:
        store.transfer.check_full_text()
        return []

    def high_water() -> list[str]:
        return [problem for mark in marks for problem in _behind(store, mark)]

    def counts() -> list[str]:
        return [
            f"conversation {id}: message_count is {count}, it has {counted} messages"
            for id, count, counted in store.transfer.miscounted()
        ]

    def job_counts() -> list[str]:
        return [
            f"jobs of type {type!r}: {count} are counted as {status}, {counted} are there"
            for type, status, count, counted in store.transfer.miscounted_jobs()
        ]

    def hashes() -> list[str]:
        wrong = store.transfer.mishashed(None if deep else SAMPLE)
        return [f"message {id}: its content is not what its hash was made of" for id in wrong]

    def tags() -> list[str]:
        return [f"learning {id}: the index by tag has it under other tags" for id in store.transfer.mistagged()]

    # A server checks its own files (pg_amcheck, data checksums), and keeps its full text in generated columns.
    of_the_file = [("integrity", integrity), ("foreign keys", foreign_keys), ("full-text index", full_text)]
    return [
        *(of_the_file if store.engine.fts5 else []),
        ("audit chain", store.audit.verify),
        ("high-water mark", high_water),
        ("content hashes", hashes),
        ("message counts", counts),
        ("job counts", job_counts),
        ("tags", tags),
        *([("own words", lambda: list(_unfound(store)))] if deep else []),
    ]


def _unfound(store: Verified) -> Iterator[str]:
    """The first messages of the newest conversations, and the newest learnings, that are not found by one of their own words."""
    for conversation in store.conversations.list(max_rows=20):
        for message in store.messages.list(conversation.id, max_rows=5):
            for word in _words(message.content):
                found = store.messages.search(word, conversation_id=conversation.id, sort="recent", max_rows=1000)
                if found.next is None and message.id not in {hit.message.id for hit in found}:
                    yield f"message {message.id}: a word of its text does not find it"
                    break
    for learning in store.learnings.list(max_rows=50):
        for word in _words(learning.content):
            same = store.learnings.search(word, category=learning.category, sort="recent", max_rows=1000)
            if same.next is None and learning.id not in {hit.learning.id for hit in same}:
                yield f"learning {learning.id}: a word of its text does not find it"
                break


def _words(text: str) -> list[str]:
    """Up to ten different words of the beginning of *text*: three letters or more between blanks."""
    return list(dict.fromkeys(re.findall(r"(?<!\S)[^\W\d_]{3,}(?![^\s.,;:!?])", text[:1000])))[:10]


def _behind(store: Verified, mark: Mark) -> list[str]:
    if not mark.audit_id:
        return []
    found = store.backup_register.audit_hash(mark.audit_id)
    if found is None:
        return [f"audit entry {mark.audit_id} is missing: the log was cut, or this is an older copy"]
    return [] if found == mark.audit_hash else [f"audit entry {mark.audit_id} is not the one that the mark was set at"]
