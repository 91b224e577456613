"""Uploads: every step that is allowed, every one that is not, whoever asks."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from datastore import NewUpload
from datastore.errors import (
    CheckError,
    CursorError,
    ForeignKeyError,
    InvalidValueError,
    NotFoundError,
    TransitionError,
    UniqueError,
)

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

STATUSES = ("pending", "uploading", "uploaded", "confirmed", "failed")

#: From which statuses each step is allowed, and where it leads.
STEPS = {
    "start": ({"pending", "failed"}, "uploading"),
    "finish": ({"uploading"}, "uploaded"),
    "confirm": ({"uploaded"}, "confirmed"),
    "fail": ({"uploading", "uploaded"}, "failed"),
    "retry": ({"failed"}, "pending"),
    "release": ({"uploading"}, "pending"),
}

LEGAL = {(before, after) for befores, after in STEPS.values() for before in befores}


def step(store, name, id):
    arguments = {"finish": {"remote_id": "r1", "receipt": {"etag": "e"}}, "fail": {"error": "refused"}}
    return getattr(store.uploads, name)(id, **arguments.get(name, {}))


def in_status(store, learning, status):
    upload = store.uploads.add(learning.id, "archive")
    path = {
        "pending": [],
        "uploading": ["start"],
        "uploaded": ["start", "finish"],
        "confirmed": ["start", "finish", "confirm"],
        "failed": ["start", "fail"],
    }
    for name in path[status]:
        upload = step(store, name, upload.id)
    assert upload.status == status
    return upload


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_from_every_status(store, learning, name, status):
    before = in_status(store, learning, status)
    allowed, leads_to = STEPS[name]
    if status in allowed:
        after = step(store, name, before.id)
        assert after.status == leads_to
        assert after.attempts == before.attempts + (name == "start")
        assert after.updated_at >= before.updated_at
        assert store.uploads.get(before.id) == after
    else:
        with pytest.raises(TransitionError) as caught:
            step(store, name, before.id)
        assert caught.value.constraint == "uploads_status_transition"
        assert str(caught.value).startswith(f"{name}: ")
        assert store.uploads.get(before.id) == before


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_nothing(store, name):
    with pytest.raises(NotFoundError) as caught:
        step(store, name, "nothing")
    assert caught.value.noun == "upload"


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
def test_the_trigger_holds_for_raw_sql(store, learning, raw, before, after):
    upload = in_status(store, learning, before)
    change = ("UPDATE uploads SET status = ?, remote_id = coalesce(remote_id, 'r') WHERE id = ?", (after, upload.id))
    if (before, after) in LEGAL:
        raw.execute(*change)
        assert store.uploads.get(upload.id).status == after
    else:
        with pytest.raises(sqlite3.IntegrityError, match="uploads_status_transition"):
            raw.execute(*change)
        assert store.uploads.get(upload.id) == upload


def test_attempts_are_counted_through_failures(store, learning):
    id = store.uploads.add(learning.id, "archive").id
    for attempt in range(1, 5):
        assert store.uploads.start(id).attempts == attempt
        assert store.uploads.fail(id, f"error {attempt}").last_error == f"error {attempt}"
        if attempt % 2:
            assert store.uploads.retry(id).attempts == attempt
    assert store.uploads.start(id).attempts == 5
    assert store.uploads.release(id).attempts == 5
    assert store.uploads.start(id).attempts == 6


def test_what_the_steps_store(store, learning):
    id = store.uploads.add(learning.id, "archive", {"folder": "a"}).id
    store.uploads.start(id)
    uploaded = store.uploads.finish(id, remote_id="r1", receipt=["ok", 1])
    assert (uploaded.remote_id, uploaded.receipt, uploaded.metadata) == ("r1", ["ok", 1], {"folder": "a"})
    assert uploaded.uploaded_at is not None
    assert uploaded.confirmed_at is None
    confirmed = store.uploads.confirm(id)
    assert confirmed.receipt == ["ok", 1]
    assert confirmed.confirmed_at is not None


def test_confirm_may_bring_a_better_receipt(store, learning):
    id = in_status(store, learning, "uploaded").id
    assert store.uploads.confirm(id, receipt={"seen": True}).receipt == {"seen": True}


def test_the_same_again_is_the_first_one(store, learning):
    first = store.uploads.add(learning.id, "archive", {"n": 1})
    store.uploads.start(first.id)
    again = store.uploads.add(learning.id, "archive", {"n": 2}, id="other")
    assert again == store.uploads.get(first.id)
    assert store.uploads.find(learning_id=learning.id, destination="archive") == again
    assert store.uploads.find(learning_id=learning.id, destination="elsewhere") is None


def test_refused_uploads(store, learning):
    store.uploads.add(learning.id, "archive", id="u1")
    with pytest.raises(UniqueError):
        store.uploads.add(learning.id, "elsewhere", id="u1")
    with pytest.raises(ForeignKeyError):
        store.uploads.add("nothing", "archive")
    with pytest.raises(CheckError):
        store.uploads.add(learning.id, "")
    for bad in ("a\x00b", "\ud800", None):
        with pytest.raises(InvalidValueError):
            store.uploads.add(learning.id, bad)
    with pytest.raises(NotFoundError):
        store.uploads.get("nothing")
    assert store.uploads.counts()["pending"] == 1


def test_add_many_is_all_or_nothing(store, learning):
    with pytest.raises(CheckError):
        store.uploads.add_many([NewUpload(learning_id=learning.id, destination=name) for name in ("a", "b", "")])
    assert sum(store.uploads.counts().values()) == 0
    assert len(store.uploads.add_many([NewUpload(learning_id=learning.id, destination=name) for name in "ab"])) == 2


def test_pages(store, learning):
    with store.transaction():  # one instant: equal timestamps
        added = store.uploads.add_many(
            NewUpload(learning_id=learning.id, destination=f"d{number}") for number in range(7)
        )
    for upload in added[:3]:
        store.uploads.start(upload.id)
    for status, expected in ((None, added), ("uploading", added[:3]), ("pending", added[3:]), ("failed", [])):
        seen, after = [], None
        while True:
            page = store.uploads.list(status=status, after=after, max_rows=2)
            seen += [upload.id for upload in page]
            after = page.next
            if after is None:
                break
        assert seen == sorted(upload.id for upload in expected)
    instant = added[0].created_at
    assert len(store.uploads.list(created_from=instant)) == 7
    assert len(store.uploads.list(created_before=instant)) == 0
    assert len(store.uploads.list(created_from=instant + timedelta(microseconds=1))) == 0
    cursor = store.uploads.list(max_rows=1).next
    with pytest.raises(CursorError):
        store.uploads.list(status="pending", after=cursor)
    with pytest.raises(InvalidValueError):
        store.uploads.list(status="lost")


def test_by_learning_and_counts(store, learning):
    assert store.uploads.counts() == dict.fromkeys(STATUSES, 0)
    store.uploads.add_many([NewUpload(learning_id=learning.id, destination=name) for name in ("c", "a", "b")])
    first = store.uploads.list_by_learning(learning.id, max_rows=2)
    rest = store.uploads.list_by_learning(learning.id, after=first.next)
    assert [upload.destination for upload in (*first, *rest)] == ["a", "b", "c"]
    store.uploads.start(first.items[0].id)
    assert store.uploads.counts() == {**dict.fromkeys(STATUSES, 0), "pending": 2, "uploading": 1}


def test_delete_is_audited(store, learning):
    upload = in_status(store, learning, "failed")
    store.uploads.delete(upload.id, reason="not wanted")
    with pytest.raises(NotFoundError):
        store.uploads.delete(upload.id)
    (entry,) = store.audit.list(subject_type="upload", subject_id=upload.id)
    assert (entry.action, entry.reason, entry.details) == ("delete", "not wanted", {"status": "failed"})
    assert store.audit.count() == 1
