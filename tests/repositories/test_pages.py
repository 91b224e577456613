"""Every record of a list, page by page."""

from __future__ import annotations

from datastore import Conversation, Datastore
from datastore.records.pages import every

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
