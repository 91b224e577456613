"""The audit log: append-only, chained, outliving its subjects; redactions go with theirs."""

from __future__ import annotations

import sqlite3

import attrs
import pytest

from datastore import NewRedaction
from datastore.errors import CheckError, CursorError, ForeignKeyError, InvalidValueError, UniqueError
from datastore.repositories.actors import Actor
from datastore.repositories.audit import FIRST_HASH, entry_hash

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

SECRET = "zxqv-secret"


@pytest.fixture
def log(store):
    """Five entries."""
    return [
        store.audit.record(
            "delete", subject_type="message", subject_id=f"m{number}", reason=SECRET, details={"b": number, "a": 1.5}
        )
        for number in range(1, 6)
    ]


@pytest.fixture
def forger(raw, log):
    """A raw connection that has taken the triggers away."""
    for name in ("update", "delete", "insert"):
        raw.execute(f"DROP TRIGGER audit_log_append_only_{name}")
    return raw


def redact(store, conversation, **arguments):
    given = {
        "category": "email",
        "rule": "email",
        "detector": "regex",
        "original_hash": "0" * 64,
        "replacement": "[EMAIL_1]",
        "confidence": 0.9,
    }
    return store.redactions.add(conversation.id, **(given | arguments))


def test_entries_are_chained(store, log):
    assert [entry.id for entry in log] == [1, 2, 3, 4, 5]
    assert [entry.previous_hash for entry in log] == [FIRST_HASH, *(entry.hash for entry in log[:-1])]
    assert len({entry.hash for entry in log}) == 5
    assert store.audit.verify() == []
    assert store.audit.count() == 5


def test_an_empty_log_is_right(store):
    assert store.audit.verify() == []
    assert store.audit.list().items == ()


def test_the_hash_is_documented(raw, log):
    import hashlib

    entry = log[0]
    (created_at,) = raw.execute("SELECT created_at FROM audit_log WHERE id = 1").fetchone()
    text = f'["{"0" * 64}","delete","message","m1","{entry.actor}","{SECRET}",{{"a":1.5,"b":1}},"{created_at}"]'
    assert hashlib.sha256(text.encode()).hexdigest() == entry.hash


def test_a_rolled_back_entry_leaves_no_gap(store, log):
    with pytest.raises(RuntimeError), store.transaction():
        store.audit.record("delete", subject_type="job", subject_id="1")
        raise RuntimeError
    with pytest.raises(CheckError):
        store.audit.record("look", subject_type="job", subject_id="1")
    assert store.audit.record("delete", subject_type="job", subject_id="1").id == 6
    assert store.audit.verify() == []


def test_odd_details_verify(store):
    for details in ({"ü": "\U0001f600", "n": 10**18, "f": 0.1, "list": (1, None, True)}, {"z": {"b": 1, "a": 2}}, None):
        store.audit.record("redact", subject_type="message", subject_id="é", reason="\u2028", details=details)
    assert store.audit.verify() == []


def test_refused_entries(store):
    for arguments in (
        {"subject_id": 5},
        {"subject_id": "\ud800"},
        {"reason": "a\x00b"},
        {"reason": 5},
        {"details": {"a": float("nan")}},
        {"details": {1: 2}},
    ):
        with pytest.raises(InvalidValueError):
            store.audit.record(**({"action": "delete", "subject_type": "job", "subject_id": "1"} | arguments))
    for arguments in ({"subject_type": "planet"}, {"subject_id": ""}, {"subject_id": "x" * 201}):
        with pytest.raises(CheckError):
            store.audit.record(**({"action": "delete", "subject_type": "job", "subject_id": "1"} | arguments))
    assert store.audit.count() == 0
    assert store.audit.verify() == []


@pytest.mark.parametrize("actor", ["", "x" * 201, None, "a\x00"])
def test_the_actor_is_checked(actor):
    with pytest.raises(InvalidValueError, match="actor"):
        Actor(actor)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_log SET reason = 'other' WHERE id = 3",
        "UPDATE audit_log SET id = 30 WHERE id = 3",
        "DELETE FROM audit_log WHERE id = 5",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE id = 3",
        "REPLACE INTO audit_log SELECT * FROM audit_log WHERE id = 3",
        "INSERT OR REPLACE INTO audit_log SELECT 9, action, subject_type, subject_id, actor, 'other', details,"
        " created_at, previous_hash, hash FROM audit_log WHERE id = 3",
    ],
)
def test_append_only_for_raw_sql(store, raw, log, sql):
    with pytest.raises(sqlite3.IntegrityError, match="audit_log_append_only"):
        raw.execute(sql)
    assert store.audit.list().items == tuple(log)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "purge"),
        ("subject_type", "job"),
        ("subject_id", "m9"),
        ("actor", "somebody"),
        ("reason", None),
        ("details", "{}"),
        ("created_at", "2020-01-01T00:00:00.000000Z"),
        ("hash", "f" * 64),
    ],
)
@pytest.mark.parametrize("id", [1, 3, 5])
def test_a_changed_row_is_found(store, forger, column, value, id):
    forger.execute(f"UPDATE audit_log SET {column} = ? WHERE id = ?", (value, id))
    problems = store.audit.verify()
    assert f"audit entry {id}: changed, its hash does not match" in problems
    assert SECRET not in str(problems)


def test_a_changed_row_with_a_new_hash_is_found(store, forger, log):
    entry = log[2]
    (created_at,) = forger.execute("SELECT created_at FROM audit_log WHERE id = 3").fetchone()
    new = entry_hash(entry.previous_hash, "delete", "message", "m3", entry.actor, "other", {}, created_at)
    forger.execute("UPDATE audit_log SET reason = 'other', details = '{}', hash = ? WHERE id = 3", (new,))
    assert store.audit.verify() == ["audit entry 4: not linked to the previous entry"]


def test_a_deleted_middle_row_is_found(store, forger):
    forger.execute("DELETE FROM audit_log WHERE id = 3")
    assert store.audit.verify() == ["audit entries 3 missing"]


def test_a_deleted_head_is_found(store, forger):
    forger.execute("DELETE FROM audit_log WHERE id <= 2")
    assert store.audit.verify() == ["audit entries 1 to 2 missing"]


@pytest.mark.parametrize(("first", "text"), [(5, "5"), (4, "4 to 5"), (1, "1 to 5")])
def test_a_deleted_tail_is_found(store, forger, first, text):
    forger.execute("DELETE FROM audit_log WHERE id >= ?", (first,))
    assert store.audit.verify() == [f"audit entries {text} missing at the end"]


def test_a_deleted_and_renumbered_row_is_found(store, forger):
    forger.execute("DELETE FROM audit_log WHERE id = 3")
    forger.execute("UPDATE audit_log SET id = 3 WHERE id = 4")
    forger.execute("UPDATE audit_log SET id = 4 WHERE id = 5")
    assert store.audit.verify() == [
        "audit entry 3: not linked to the previous entry",
        "audit entries 5 missing at the end",
    ]


def test_details_that_are_no_json_and_a_lowered_mark_are_found(store, forger):
    forger.execute("PRAGMA ignore_check_constraints = ON")
    forger.execute("UPDATE audit_log SET details = '{' WHERE id = 2")
    forger.execute("UPDATE audit_log SET id = -4 WHERE id = 4")
    forger.execute("DROP TRIGGER audit_log_counter_forward")
    forger.execute("UPDATE audit_log_counter SET last_id = 1")
    assert store.audit.verify() == [
        "audit entry -4: the log never assigns this id",
        "audit entry 2: changed, its hash does not match",
        "audit entries 4 missing",
        "audit entry 5: above the log's own high-water mark 1",
    ]


def test_verify_walks_more_than_one_page(store, raw):
    with store.transaction():
        for _ in range(1005):
            store.audit.record("purge", subject_type="job", subject_id="1")
    assert store.audit.verify() == []
    raw.execute("DROP TRIGGER audit_log_append_only_update")
    raw.execute("UPDATE audit_log SET actor = 'x' WHERE id IN (1000, 1001)")
    assert len(store.audit.verify()) == 2


def test_pages(store, log):
    more = store.audit.record("delete", subject_type="message", subject_id="m1")
    seen, after = [], None
    while True:
        page = store.audit.list(after=after, max_rows=4)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert seen == [*log, more]
    first = store.audit.list(subject_type="message", subject_id="m1", max_rows=1)
    assert first.items == (log[0],)
    assert store.audit.list(subject_type="message", subject_id="m1", after=first.next).items == (more,)
    with pytest.raises(CursorError):
        store.audit.list(after=first.next)
    with pytest.raises(InvalidValueError):
        store.audit.list(subject_id="m1")


def test_redactions(store, conversation):
    message = store.messages.append(conversation.id, role="user", content="[EMAIL_1]")
    with store.transaction():
        of_conversation = redact(store, conversation, id="r1")
        of_message = redact(store, conversation, id="r2", message_id=message.id)
        also = redact(store, conversation, id="r0", message_id=message.id, confidence=1)
    assert of_message.message_id == message.id
    assert of_conversation.message_id is None
    first = store.redactions.list_by_conversation(conversation.id, max_rows=2)
    rest = store.redactions.list_by_conversation(conversation.id, after=first.next)
    assert (*first, *rest) == (also, of_conversation, of_message)
    first = store.redactions.list_by_message(message.id, max_rows=1)
    rest = store.redactions.list_by_message(message.id, after=first.next)
    assert (*first, *rest) == (also, of_message)
    assert store.redactions.count(conversation.id) == 3
    assert store.redactions.count("nothing") == 0


def test_refused_redactions(store, conversation):
    other = store.conversations.add(sanitization_version="1")
    message = store.messages.append(other.id, role="user", content="x")
    redact(store, conversation, id="r1")
    with pytest.raises(UniqueError):
        redact(store, conversation, id="r1")
    with pytest.raises(ForeignKeyError):
        redact(store, conversation, message_id="nothing")
    for arguments in ({"confidence": 1.1}, {"original_hash": "short"}, {"category": ""}, {"replacement": "x" * 1001}):
        with pytest.raises(CheckError):
            redact(store, conversation, **arguments)
    for arguments in ({"confidence": float("nan")}, {"rule": "\x00"}, {"message_id": message.id}):
        with pytest.raises(InvalidValueError):
            redact(store, conversation, **arguments)
    given = NewRedaction(
        conversation_id=conversation.id,
        category="email",
        rule="r",
        detector="d",
        original_hash="0" * 64,
        replacement="",
        confidence=0,
    )
    with pytest.raises(CheckError):
        store.redactions.add_many([given, attrs.evolve(given, rule="")])
    assert store.redactions.count(conversation.id) == 1
    assert len(store.redactions.add_many([given, given])) == 2


def test_redactions_go_with_their_conversation_and_the_log_stays(store, conversation):
    message = store.messages.append(conversation.id, role="user", content="x")
    redact(store, conversation)
    redact(store, conversation, message_id=message.id)
    store.audit.record("redact", subject_type="message", subject_id=message.id)
    store.conversations.delete(conversation.id, reason="asked for")
    assert store.redactions.count(conversation.id) == 0
    assert [entry.action for entry in store.audit.list()] == ["redact", "delete"]
    (entry,) = store.audit.list(subject_type="conversation", subject_id=conversation.id)
    assert entry.details["redactions"] == 2
    assert store.audit.verify() == []
