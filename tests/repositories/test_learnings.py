"""Learnings: the same one once, lists, search in every combination, what is refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.errors import (
    CheckError,
    CursorError,
    ForeignKeyError,
    InvalidValueError,
    NotFoundError,
    UniqueError,
)
from datastore.records import NewLearning
from datastore.repositories import learnings as repository

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def new(conversation, n=0, **changes):
    values = {"conversation_id": conversation.id, "category": "sql", "title": f"title {n}", "content": f"content {n}"}
    return NewLearning(**{**values, **changes})


def add(store, conversation, n=0, **changes):
    return store.learnings.add_many([new(conversation, n, **changes)])[0]


@pytest.fixture
def many(store, conversation):
    """60 learnings; equal times in threes; categories, tags and confidences in cycles."""
    return store.learnings.add_many(
        new(
            conversation,
            n,
            category=("sql", "python", "rare")[0 if n % 2 else 1 + (n % 12 == 0)],
            content=f"number {n} {'fox' if n % 4 == 0 else 'hare'}",
            tags=[tag for tag, step in (("all", 1), ("two", 2), ("five", 5)) if n % step == 0],
            confidence=(n % 10) / 10,
            created_at=START + timedelta(seconds=n // 3),
        )
        for n in range(60)
    )


def newest_first(records):
    return sorted(records, key=lambda record: (record.created_at, record.id), reverse=True)


def test_round_trip(store, conversation):
    record = add(store, conversation, tags=["b", "a", "b"], metadata={"k": [1]}, confidence=0.25, created_at=START)
    assert store.learnings.get(record.id) == record
    assert store.learnings.find(record.id) == record
    assert (record.tags, record.metadata, record.confidence) == (("a", "b"), {"k": [1]}, 0.25)
    assert record.created_at == record.updated_at == START
    assert record.dedupe_key.startswith("sha256:")


def test_the_same_again_gives_the_first(store, conversation):
    first = add(store, conversation, id="mine", tags=["a"])
    assert add(store, conversation, tags=["b"]) == first
    assert add(store, conversation, id="mine") == first
    assert add(store, conversation, 1, dedupe_key="k") == add(store, conversation, 2, dedupe_key="k")
    assert store.learnings.count() == 2
    assert store.learnings.find(conversation_id=conversation.id, dedupe_key="k").title == "title 1"
    with pytest.raises(UniqueError):
        add(store, conversation, 3, id="mine")


def test_unknown_and_deleted_conversations(store, conversation):
    first = add(store, conversation)
    with pytest.raises(NotFoundError):
        store.learnings.add(conversation_id="none", category="c", title="t", content="c")
    store.conversations.soft_delete(conversation.id)
    for n in (0, 1):
        with pytest.raises(NotFoundError, match="conversation"):
            add(store, conversation, n)
    assert store.learnings.count() == 0
    assert store.learnings.search("content").items == ()
    assert store.learnings.categories() == store.learnings.tags() == []
    assert store.learnings.get(first.id).deleted_at is not None


def test_add_many_is_all_or_nothing(store, conversation):
    with pytest.raises(CheckError):
        store.learnings.add_many([new(conversation), new(conversation, 1, confidence=1.5)])
    assert store.learnings.count() == 0


def test_add_many_gives_what_add_gives_in_batches_of_any_size(store, conversation, monkeypatch):
    other = store.conversations.add(sanitization_version="1")
    said = [store.messages.append(conversation.id, role="user", content=f"m{n}") for n in range(2)]
    known = add(store, conversation, 3, tags=["known"])
    given = [
        *(new(conversation, n, tags=["b", "a"], confidence=n / 7, metadata={"n": [n, "é"]}) for n in range(5)),
        new(conversation, 1, title="other words", dedupe_key="same", message_ids=[said[0].id]),
        new(conversation, 1, title="words of no account", dedupe_key="same", message_ids=[said[1].id]),
        new(other, 1, id="mine", created_at=START),
    ]
    for rows, characters in ((3, 4_000_000), (1000, 20), (1, 1), (1000, 4_000_000)):
        monkeypatch.setattr(repository, "_BATCH_ROWS", rows)
        monkeypatch.setattr(repository, "_BATCH_CHARACTERS", characters)
        with suppress(InterruptedError), store.transaction():
            stored = store.learnings.add_many(iter(given))
            assert [record.dedupe_key for record in stored[5:7]] == ["same", "same"]
            assert stored[5] == stored[6] == store.learnings.get(stored[5].id)
            assert stored[5].title == "other words"
            assert list(store.messages.iterate_by_learning(stored[5].id)) == [said[0]]
            assert stored[3] == known
            assert stored[4] == store.learnings.get(stored[4].id)
            assert (stored[4].tags, stored[4].confidence, stored[4].metadata) == (("a", "b"), 4 / 7, {"n": [4, "é"]})
            assert (stored[7].id, stored[7].conversation_id, stored[7].created_at) == ("mine", other.id, START)
            assert store.learnings.count() == 7
            raise InterruptedError
    assert store.learnings.count() == 1


def test_what_add_many_refuses(store, conversation):
    gone = store.conversations.add(sanitization_version="1")
    store.conversations.delete(gone.id)
    first = add(store, conversation)
    for error, refused in (
        (NotFoundError, {"conversation_id": "nobody"}),
        (NotFoundError, {"conversation_id": gone.id}),
        (UniqueError, {"id": first.id}),
        (ForeignKeyError, {"message_ids": ["nobody"]}),
        (InvalidValueError, {"content": None}),
        (InvalidValueError, {"content": "a\x00b"}),
        (InvalidValueError, {"title": "\ud800"}),
        (InvalidValueError, {"confidence": float("nan")}),
        (InvalidValueError, {"metadata": {1: 2}}),
        (InvalidValueError, {"created_at": datetime(2026, 1, 1)}),
        (CheckError, {"content": ""}),
    ):
        with pytest.raises(error):
            store.learnings.add_many([new(conversation, 1), new(conversation, 2, **refused)])
        assert store.learnings.count() == 1
    assert store.learnings.add_many([]) == []


def test_messages(store, conversation):
    other = store.conversations.add(sanitization_version="1")
    said = [store.messages.append(conversation.id, role="user", content=f"m{n}") for n in range(3)]
    elsewhere = store.messages.append(other.id, role="user", content="x")
    record = add(store, conversation, message_ids=[said[2].id, said[0].id, said[2].id])
    assert list(store.messages.iterate_by_learning(record.id)) == [said[0], said[2]]
    for ids in (["none"], [said[0].id, elsewhere.id]):
        with pytest.raises(ForeignKeyError):
            add(store, conversation, 1, message_ids=ids)
    with pytest.raises(InvalidValueError):
        add(store, conversation, 1, message_ids="abc")
    assert store.learnings.count() == 1
    assert list(store.messages.iterate_by_learning("none")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": float("nan")},
        {"confidence": -0.1},
        {"confidence": "0.5"},
        {"title": ""},
        {"title": "a\x00b"},
        {"content": ""},
        {"content": "x" * 10_000_000},
        {"content": "\ud800"},
        {"category": "c" * 201},
        {"category": None},
        {"tags": "abc"},
        {"tags": [""]},
        {"tags": ["x" * 101]},
        {"id": "a\x00"},
        {"id": ""},
        {"dedupe_key": ""},
        {"metadata": {"a": float("nan")}},
        {"metadata": []},
        {"created_at": datetime(2026, 1, 1)},
    ],
)
def test_bad_values_are_typed_errors(store, conversation, changes):
    with pytest.raises((InvalidValueError, CheckError)):
        add(store, conversation, **changes)
    assert store.learnings.count() == 0
    assert add(store, conversation).title == "title 0"


@pytest.mark.parametrize(
    ("conversation_given", "category", "tag"),
    list(product([False, True], [None, "sql", "rare"], [None, "two", "five"])),
)
def test_lists_lose_and_repeat_nothing(store, conversation, many, conversation_given, category, tag):
    filters = {
        "conversation_id": conversation.id if conversation_given else None,
        "category": category,
        "tag": tag,
        "created_from": START + timedelta(seconds=2),
        "created_before": START + timedelta(seconds=18),
    }
    expected = newest_first(
        record
        for record in many
        if category in (None, record.category)
        and (tag is None or tag in record.tags)
        and filters["created_from"] <= record.created_at < filters["created_before"]
    )
    found, after = [], None
    while True:
        page = store.learnings.list(**filters, after=after, max_rows=4)
        found += page
        after = page.next
        if after is None:
            break
    assert found == expected
    assert store.learnings.count(**filters) == len(expected)


def test_foreign_cursors_are_refused(store, many):
    page = store.learnings.list(max_rows=5)
    for cursor in (page.next + "x", "", "é"):
        with pytest.raises(CursorError):
            store.learnings.list(after=cursor)
    with pytest.raises(CursorError):
        store.learnings.list(category="sql", after=page.next)


@pytest.mark.parametrize(
    ("text", "category", "tags_any", "tags_all", "min_confidence"),
    list(
        product(
            ["", "fox"],
            [None, "python", "rare"],
            [(), ("five",), ("two", "five", "none")],
            [(), ("two",), ("five", "two", "two")],
            [0.0, 0.4],
        )
    ),
)
def test_search_in_every_combination(store, many, text, category, tags_any, tags_all, min_confidence):
    expected = [
        record
        for record in many
        if (not text or text in record.content)
        and category in (None, record.category)
        and (not tags_any or set(tags_any) & set(record.tags))
        and set(tags_all) <= set(record.tags)
        and record.confidence >= min_confidence
    ]
    filters = {"category": category, "tags_any": tags_any, "tags_all": tags_all, "min_confidence": min_confidence}
    hits = store.learnings.search(text, **filters, max_rows=1000)
    assert sorted(hit.learning.id for hit in hits) == sorted(record.id for record in expected)
    if text:
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    else:
        assert [hit.learning for hit in hits] == newest_first(expected)
        few = store.learnings.search(text, **filters, max_rows=3)
        assert few.items == hits.items[:3]


def test_search_ranks_and_stems(store, conversation):
    in_text = add(store, conversation, 1, title="cats", content="a fox is running")
    in_title = add(store, conversation, 2, title="the running fox", content="cats")
    hits = store.learnings.search("where do foxes run")
    assert [hit.learning for hit in hits] == [in_title, in_text]
    assert hits[0].score > hits[1].score
    assert [hit.learning for hit in store.learnings.search('"running fox"')] == [in_title]


@pytest.mark.parametrize("text", [" ", "?!", "\x00", '"', "AND", "NEAR(", "zebra:^", "*", "\ud800"])
def test_search_text_never_fails_and_never_gives_everything(store, many, text):
    assert store.learnings.search(text).items == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(categories=None)))
def test_any_text_can_be_searched(store, text):
    store.learnings.search(text)


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_confidence": float("nan")},
        {"max_rows": 0},
        {"max_rows": 1001},
        {"tags_any": "abc"},
        {"category": "\ud800"},
    ],
)
def test_search_filters_are_checked(store, arguments):
    for text in ("", "fox"):
        with pytest.raises(InvalidValueError):
            store.learnings.search(text, **arguments)


def test_update(store, conversation):
    record = add(store, conversation, tags=["old"], metadata={"k": 1})
    changed = store.learnings.update(record.id, title="wombat", tags=["new"])
    assert (changed.title, changed.content, changed.tags) == ("wombat", record.content, ("new",))
    assert (changed.metadata, changed.dedupe_key) == ({"k": 1}, record.dedupe_key)
    assert [hit.learning for hit in store.learnings.search("wombat")] == [changed]
    assert store.learnings.search("title").items == ()
    assert store.learnings.tags() == [("new", 1)]
    with pytest.raises(NotFoundError):
        store.learnings.update("none", title="x")
    with pytest.raises(InvalidValueError):
        store.learnings.update(record.id, confidence=float("inf"))


def test_delete(store, conversation):
    record = add(store, conversation, tags=["a"])
    store.learnings.delete(record.id, reason="wrong")
    assert store.learnings.find(record.id) is None
    assert store.learnings.search("content").items == ()
    assert store.learnings.tags() == []
    with pytest.raises(NotFoundError):
        store.learnings.delete(record.id)


def test_counts(store, many):
    assert store.learnings.categories() == [("sql", 30), ("python", 25), ("rare", 5)]
    assert store.learnings.tags(2) == [("all", 60), ("two", 30)]
