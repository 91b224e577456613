"""Every record of a list, page by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datastore import Conversation, Datastore, Learning, Page
from datastore.errors import CursorError
from datastore.records.pages import every
from datastore.testing import SettableClock
from tests.conftest import REDACTION

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


def test_every_walks_all_pages_and_reads_one_when_it_is_needed(store: Datastore, conversation: Conversation) -> None:
    ids = [store.messages.append(conversation.id, role="user", content="x").id for _ in range(7)]
    read: list[str | None] = []

    def page_of(conversation_id: str, *, after: str | None, max_rows: int):
        read.append(after)
        return store.messages.list(conversation_id, after=after, max_rows=max_rows)

    walk = every(page_of, conversation.id, max_rows=3)
    assert read == []
    assert [next(walk).id for _ in range(3)] == ids[:3]
    assert len(read) == 1
    assert [message.id for message in walk] == ids[3:]
    assert len(read) == len({*read}) == 3
    assert list(every(page_of, "unknown", max_rows=3)) == []


def test_what_is_shown_of_a_subject_does_not_end_with_a_page(store: Datastore, conversation: Conversation) -> None:
    with store.transaction():
        for number in range(1001):
            store.messages.append(conversation.id, role="user", content=f"said {number}")
    stored = list(store.messages.iterate(conversation.id))
    assert [message.position for message in stored] == list(range(1, 1002))
    assert store.disclose(conversation_id=conversation.id).messages == tuple(stored)


@pytest.fixture
def filled(store: Datastore, conversation: Conversation, learning: Learning, clock: SettableClock) -> Datastore:
    """Three or more of everything that has a list."""
    said = [store.messages.append(conversation.id, role="user", content=f"said {number}") for number in range(4)]
    store.learnings.add(
        id="derived",
        conversation_id=conversation.id,
        category="c",
        title="t",
        content="c",
        message_ids=[message.id for message in said],
    )
    for number in range(3):
        clock.advance(number % 2)  # two of each have the same instant
        other = store.conversations.add(sanitization_version="1", source="other")
        store.learnings.add(conversation_id=other.id, category="c", title=f"t{number}", content="c")
        store.uploads.add(learning.id, f"place {number}")
        store.redactions.add(conversation.id, message_id=said[0].id, **REDACTION)
        store.holds.place(other.id, reason="case 12")
        store.jobs.enqueue("t", number)
        store.audit.record("redact", subject_type="message", subject_id=said[0].id)
        store.retention.policies.set(f"policy {number}", "jobs", age_days=number)
        store.erase(conversation_id=other.id)  # held: a receipt all the same
    return store


#: Each list, and what is called with a store that `filled` has filled.
LISTS: dict[str, Any] = {
    "conversations.list": lambda store: ({"source": "other"}, 3),
    "messages.list": lambda store: ({"conversation_id": first(store).id}, 4),
    "messages.list_by_time": lambda store: ({"conversation_id": first(store).id}, 4),
    "messages.list_by_learning": lambda store: ({"learning_id": "derived"}, 4),
    "learnings.list": lambda store: ({"category": "c"}, 4),
    "uploads.list": lambda store: ({"status": "pending"}, 3),
    "uploads.list_by_learning": lambda store: (
        {"learning_id": store.learnings.list(category="databases").items[0].id},
        3,
    ),
    "redactions.list_by_conversation": lambda store: ({"conversation_id": first(store).id}, 3),
    "redactions.list_by_message": lambda store: ({"message_id": store.messages.list(first(store).id).items[0].id}, 3),
    "jobs.list": lambda store: ({"type": "t"}, 3),
    "audit.list": lambda store: ({}, 3),
    "holds.list": lambda store: ({}, 3),
    "retention.policies.list": lambda store: ({}, 3),
    "retention.receipts.list": lambda store: ({}, 3),
}


def first(store: Datastore) -> Conversation:
    return store.conversations.list(source="test").items[0]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_page_by_page_is_what_its_iterate_gives(filled: Datastore, name: str) -> None:
    filters, count = LISTS[name](filled)
    part, _, method = name.rpartition(".")
    repository: Any = filled
    for one in part.split("."):
        repository = getattr(repository, one)
    whole = list(getattr(repository, method.replace("list", "iterate"))(**filters))
    assert len(whole) == count
    pages: list[Page[Any]] = [getattr(repository, method)(**filters, max_rows=1)]
    while (after := pages[-1].next) is not None:
        pages.append(getattr(repository, method)(**filters, after=after, max_rows=1))
    assert [record for page in pages for record in page] == whole
    with pytest.raises(CursorError):
        getattr(repository, method)(**filters, after="no cursor")


def test_backups_page_by_page(store: Datastore, path: Path, tmp_path: Path, clock: SettableClock) -> None:
    for number in range(3):
        clock.advance(1)
        store.backups.create(tmp_path / f"copy-{number}.db")
    Path(next(store.backups.iterate()).path).unlink()
    page = store.backups.list(max_rows=1)
    assert (page.items, page.next is None) == ((), False), "its file is gone; the next page has the others"
    rest = store.backups.list(after=page.next)
    assert [Path(backup.path).name for backup in rest] == ["copy-1.db", "copy-0.db"]
    assert list(store.backups.iterate()) == list(rest)
