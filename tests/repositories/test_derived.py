"""What triggers keep (counts, the index by tag): `verify` sees that it is wrong, `reindex` makes it again."""

from __future__ import annotations

import threading

import pytest

from datastore import Datastore, NewJob
from tests.databases import rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


@pytest.fixture
def filled(store: Datastore) -> Datastore:
    """Shown and hidden learnings, with tags and without; jobs that wait, run and have ended."""
    for name in ("shown", "hidden"):
        store.conversations.add(id=name, sanitization_version="1")
        store.messages.append(name, role="user", content="one")
        for number, tags in enumerate((["a", "ä", "🙂"], ["a"], [])):
            store.learnings.add(
                id=f"{name}-{number}", conversation_id=name, category="c", title="t", content=f"{number}", tags=tags
            )
    store.conversations.soft_delete("hidden")
    for type in ("t", "u"):
        store.jobs.enqueue_many([NewJob(type=type)] * 4)
        for _ in range(2):
            job = store.jobs.claim([type], worker="w")
            assert job is not None
            store.jobs.succeed(job)
        store.jobs.claim([type], worker="w")
    return store


def wrong(store: Datastore) -> dict[str, list[str]]:
    return {check: lines for check, lines in store.verify().items() if lines}


def test_nothing_is_wrong_and_reindex_changes_nothing(filled: Datastore) -> None:
    before = rows(filled, "SELECT tag, created_at, learning_id FROM learning_tags ORDER BY learning_id, tag")
    counts = filled.jobs.counts()
    assert wrong(filled) == {}
    filled.reindex()
    assert wrong(filled) == {}
    assert rows(filled, "SELECT tag, created_at, learning_id FROM learning_tags ORDER BY learning_id, tag") == before
    assert filled.jobs.counts() == counts


@pytest.mark.parametrize(
    ("check", "damage", "lines"),
    [
        (
            "message counts",
            "UPDATE conversations SET message_count = 7 WHERE id = 'shown'",
            ["conversation shown: message_count is 7, it has 1 messages"],
        ),
        (
            "job counts",
            "UPDATE job_counts SET job_count = job_count + 1 WHERE type = 't' AND status = 'succeeded'",
            None,
        ),
        (
            "job counts",
            "DELETE FROM job_counts WHERE type = 'u' AND status = 'succeeded'",
            ["jobs of type 'u': the count of succeeded jobs is 0, there are 2"],
        ),
        ("tags", "DELETE FROM learning_tags WHERE tag = '🙂'", ["shown-0"]),
        ("tags", "DELETE FROM learning_tags", ["shown-0", "shown-1"]),
        (
            "tags",
            "INSERT INTO learning_tags (tag, created_at, learning_id) SELECT 'more', created_at, id FROM learnings"
            " WHERE id IN ('shown-2', 'hidden-1')",
            ["hidden-1", "shown-2"],
        ),
        ("tags", "UPDATE learning_tags SET tag = 'b' WHERE learning_id = 'shown-1'", ["shown-1"]),
        (
            "tags",
            "UPDATE learning_tags SET created_at = '2020-01-01T00:00:00.000000Z' WHERE learning_id = 'shown-1'",
            ["shown-1"],
        ),
    ],
)
def test_damage_is_seen_and_mended(filled: Datastore, check: str, damage: str, lines: list[str] | None) -> None:
    rows(filled, damage)
    found = wrong(filled)
    assert list(found) == [check]
    if check == "tags":
        lines = [f"learning {id}: the index by tag lists it under different tags" for id in lines or []]
    assert lines is None or found[check] == lines
    filled.reindex()
    assert wrong(filled) == {}


def test_writers_wait_while_it_is_made_again(filled: Datastore) -> None:
    with filled.transaction():
        filled.reindex()
        writer = threading.Thread(target=filled.jobs.enqueue, args=("t",))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
    writer.join()
    assert wrong(filled) == {}


@pytest.mark.sqlite
def test_an_index_that_another_connection_merged_is_sound(filled: Datastore) -> None:
    for number in range(4):  # segments of the index, which this connection then knows of
        filled.learnings.add(conversation_id="shown", category="c", title="more", content=f"words {number}")
    assert filled.learnings.search("words").items
    with Datastore.open(filled.engine.path) as other:
        other.reindex()
    assert wrong(filled) == {}
