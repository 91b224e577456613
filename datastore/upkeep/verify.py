"""Verify a database: its storage, audit log, hashes, counts and indexes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from datastore.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datastore.repositories import AuditRepository, Repositories


@attrs.frozen
class Mark:
    """A high-water mark: the newest audit entry at one time. Kept outside the file, it reveals a log that was truncated."""

    #: The newest entry's id; 0 if there is none.
    audit_id: int
    #: Its hash; "" if there is none.
    audit_hash: str


#: Check name to problems found, without content; an empty list if there are none.
Problems = dict[str, list[str]]

#: A check's name, and the function that returns its problems.
Check = tuple[str, Callable[[], list[str]]]

#: Number of messages whose hashes are compared without `deep`.
SAMPLE = 1000


def verify(
    parts: Repositories, storage: Sequence[Check], marks: Iterable[Mark] = (), *, deep: bool = False
) -> Problems:
    """Run every check, even if one of them fails.

    Args:
        parts: The repositories of the database.
        storage: The engine's own checks: see `datastore.upkeep.base.Upkeep.checks`.
        marks: High-water marks of this database (or of the one that it was copied from).
        deep: Compare every message with its hash, which reads all of them; otherwise compare a sample of a thousand. Also search
            for words of some messages and learnings: each word has to find its own text. Compare every vector with its text's hash.

    Returns:
        Check name to problems found, without content; an empty list if there are none.
    """
    results: Problems = {}
    for name, check in [*storage, *_checks(parts, marks, deep)]:
        try:
            results[name] = check()
        except DatabaseError as error:
            results[name] = [str(error)]
    return results


def present_mark(audit: AuditRepository) -> Mark:
    """The current high-water mark."""
    last = audit.last()
    return Mark(0, "") if last is None else Mark(last.id, last.hash)


def _checks(parts: Repositories, marks: Iterable[Mark], deep: bool) -> list[Check]:
    def unindexed() -> list[str]:
        return [
            f"{count} {table} are in no full-text index: another program wrote them; run datastore reindex"
            for table, count in parts.index.unindexed().items()
            if count
        ]

    def high_water() -> list[str]:
        return [problem for mark in marks for problem in _behind(parts, mark)]

    def counts() -> list[str]:
        return [
            f"conversation {id}: message_count is {count}, it has {counted} messages"
            for id, count, counted in parts.derived.miscounted()
        ]

    def branches() -> list[str]:
        return [
            f"conversation {id}: branch {branch} contradicts its conversation, its parent or its messages"
            for id, branch in parts.derived.broken_branches()
        ]

    def job_counts() -> list[str]:
        return [
            f"jobs of type {type!r}: the count of {status} jobs is {count}, there are {counted}"
            for type, status, count, counted in parts.derived.miscounted_jobs()
        ]

    def hashes() -> list[str]:
        wrong = parts.derived.mishashed(None if deep else SAMPLE)
        return [f"message {id}: its content does not match its hash" for id in wrong]

    def tags() -> list[str]:
        return [f"learning {id}: the index by tag lists it under different tags" for id in parts.derived.mistagged()]

    def vectors() -> list[str]:
        found = []
        for name in parts.vectors.tables:
            if count := sum(1 for _ in parts.vectors.strays(name)):
                found.append(f"{count} vectors of {name} are in no cell, or of a wrong length; run datastore reindex")
            if deep and (count := sum(1 for _ in parts.vectors.outdated(name))):
                found.append(f"{count} vectors of {name} are of another text; run datastore reindex")
        return found

    return [
        ("audit chain", lambda: list(parts.audit.verify())),
        ("high-water mark", high_water),
        ("content hashes", hashes),
        ("message counts", counts),
        ("branches", branches),
        ("job counts", job_counts),
        ("job groups", lambda: _wrong_groups(parts)),
        ("tags", tags),
        ("searchable rows", unindexed),
        ("vectors", vectors),
        *([("own words", lambda: list(_unfound(parts)))] if deep else []),
    ]


def _wrong_groups(parts: Repositories) -> list[str]:
    return [
        f"a {kind} of jobs: the count of live jobs is {live}, there are {counted}, of which {heads} need not wait"
        for kind, live, counted, heads in parts.derived.miscounted_groups()
    ]


def _unfound(parts: Repositories) -> Iterator[str]:
    """Problems: early messages of the newest conversations, and newest learnings, that a word of their text does not find."""
    for conversation in parts.conversations.list(max_rows=20):
        for message in parts.messages.list(conversation.id, max_rows=5):
            for word in () if message.partial else _words(message.content):
                found = parts.messages.search(word, conversation_id=conversation.id, sort="recent", max_rows=1000)
                if found.next is None and message.id not in {hit.message.id for hit in found}:
                    yield f"message {message.id}: a word of its text does not find it"
                    break
    for learning in parts.learnings.list(max_rows=50):
        for word in _words(learning.content):
            same = parts.learnings.search(word, category=learning.category, sort="recent", max_rows=1000)
            if same.next is None and learning.id not in {hit.learning.id for hit in same}:
                yield f"learning {learning.id}: a word of its text does not find it"
                break


def _words(text: str) -> list[str]:
    """Up to ten different words from the beginning of *text*: three letters or more, delimited by whitespace."""
    return list(dict.fromkeys(re.findall(r"(?<!\S)[^\W\d_]{3,}(?![^\s.,;:!?])", text[:1000])))[:10]


def _behind(parts: Repositories, mark: Mark) -> list[str]:
    if not mark.audit_id:
        return []
    found = parts.backups.audit_hash(mark.audit_id)
    if found is None:
        return [f"audit entry {mark.audit_id} is missing: the log was truncated, or this is an older copy"]
    return [] if found == mark.audit_hash else [f"audit entry {mark.audit_id} is not the one that the mark recorded"]
