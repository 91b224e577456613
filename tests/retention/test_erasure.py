"""Erasure: nothing of a subject is left in any byte; receipts say what is true; holds, tombstones, resumption."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from datastore import Conversation, Datastore, Learning
from datastore.engines.sqlite.engine import SQLiteEngine
from datastore.errors import InvalidValueError, LeaseLostError, LegalHoldError, NotFoundError, TransactionError
from datastore.exporting import export
from datastore.importing import import_file
from datastore.records import Erasure
from datastore.repositories import MaintenanceRepository, SearchIndex
from datastore.retention.tombstones import beside
from datastore.upkeep.cleaning import Cleaner
from tests.conftest import Clock
from tests.retention.generated import generate, open_generated, traces

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


def erased_bytes(folder: Path, seed: int) -> list[str]:
    """What is wrong once two conversations of a generated store were erased and a backup was made: [] is right."""
    folder.mkdir()
    made = generate(folder / "app.db", seed)
    chosen = list(made.markers)[1::5][:2]
    wrong: list[str] = []
    with open_generated(made.path, f"t{seed}", itertools.count(1)) as store:
        for id in chosen:
            receipt = store.erase(conversation_id=id)
            if receipt.status != "verified":
                wrong.append(f"seed {seed}: {receipt.status}, {receipt.receipt['blocked_by']}")
            if any(scan["files"]["wal"] for scan in receipt.receipt["scans"]):
                wrong.append(f"seed {seed}: the WAL was not cut, and nobody read")
        # Before the store is closed: that would cut the WAL.
        store.backups.create(folder / "backup.db")
        for id in chosen:
            wrong += [f"seed {seed}: {trace}" for trace in traces(folder, made.markers[id])]
        wrong += [f"seed {seed}: {name}: {found}" for name, found in store.verify().items() if found]
        kept = [id for id in made.markers if id not in chosen]
        assert store.conversations.count() == len(kept)
        assert all(traces(folder, made.markers[id]) for id in kept), "the search itself finds nothing"
    return wrong


@pytest.mark.parametrize("seed", range(12))
def test_no_byte_is_left(tmp_path: Path, seed: int) -> None:
    assert erased_bytes(tmp_path / "store", seed) == []


@pytest.mark.long
@pytest.mark.parametrize("first", range(12, 92, 8))
def test_no_byte_is_left_in_many_stores(tmp_path: Path, first: int) -> None:
    wrong = [problem for seed in range(first, first + 8) for problem in erased_bytes(tmp_path / str(seed), seed)]
    assert wrong == []


def erase_each(folder: Path, seed: int, *, vacuum: bool) -> list[tuple[Erasure, list[str]]]:
    """The conversations of a generated store erased, one after the other up to the first residue, and the traces left."""
    folder.mkdir()
    made = generate(folder / "app.db", seed, conversations=20, messages=25)
    outcomes = []
    with open_generated(made.path, "t", itertools.count(1)) as store:
        for id, marker in list(made.markers.items())[:-1]:
            receipt = store.erase(conversation_id=id, vacuum=vacuum)
            outcomes.append((receipt, traces(folder, marker)))
            if receipt.receipt["scans"][0]["hits"] and (outcomes[-1][1] or vacuum):
                break
    return outcomes


def test_what_merges_leave_in_the_full_text_indexes_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Newer versions of SQLite keep the marks of deleted words in small indexes; here no merge does anything at all.
    monkeypatch.setattr(MaintenanceRepository, "merge", lambda *_: False)
    (receipt, left), *_ = erase_each(tmp_path / "a", 0, vacuum=True)
    assert (receipt.status, left) == ("verified", [])
    facts = receipt.receipt
    assert (facts["vacuumed"], facts["rebuilt"]) == (True, True)
    assert [bool(scan["hits"]) for scan in facts["scans"]] == [True, True, False]
    with open_generated(tmp_path / "a/app.db", "t", itertools.count(1)) as store:
        assert not any(store.verify().values())


def test_the_scan_sees_what_balancing_left_in_page_gaps(tmp_path: Path) -> None:
    # secure_delete was on from the start; moving cells between pages leaves stale copies all the same.
    for number, seed in enumerate((0, 1, 12, 13, 24, 25)):
        outcomes = erase_each(tmp_path / str(number), seed, vacuum=False)
        leaked = [(receipt, left) for receipt, left in outcomes if left]
        for receipt, _ in leaked:
            assert receipt.status == "deleted"
            assert receipt.receipt["scans"][0]["hits"] > 0
            assert "pieces of it are left in the files" in receipt.receipt["blocked_by"]
        if leaked:
            break
    else:
        pytest.fail("no generated store leaks: the regression is not tested any more")
    outcomes = erase_each(tmp_path / "again", seed, vacuum=True)
    assert [(receipt.status, left) for receipt, left in outcomes] == [("verified", [])] * len(outcomes)
    vacuumed = [receipt.receipt for receipt, _ in outcomes if receipt.receipt["vacuumed"]]
    assert vacuumed
    assert all(facts["scans"][0]["hits"] > 0 and facts["scans"][-1]["hits"] == 0 for facts in vacuumed)


def _no_merge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cleaner, "_merge", lambda self: {})
    patch.setattr(SearchIndex, "rebuild", lambda self: None)


def _passive(patch: pytest.MonkeyPatch) -> None:
    def checkpoint(self: SQLiteEngine) -> bool:
        with self.alone("a checkpoint") as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return True

    patch.setattr(SQLiteEngine, "checkpoint", checkpoint)


def _no_vacuum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cleaner, "_vacuum", lambda self, blocked, tell: True)


def _secure_delete_off(patch: pytest.MonkeyPatch) -> None:
    set_up = SQLiteEngine._set_up

    def unsafely(self: SQLiteEngine, connection: sqlite3.Connection) -> None:
        set_up(self, connection)
        connection.execute("PRAGMA secure_delete = OFF").fetchall()

    patch.setattr(SQLiteEngine, "_set_up", unsafely)


@pytest.mark.parametrize("mutant", [_no_merge, _passive, _no_vacuum, _secure_delete_off])
def test_a_mutant_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: object) -> None:
    assert callable(mutant)
    mutant(monkeypatch)
    assert any(erased_bytes(tmp_path / str(seed), seed) for seed in range(4, 12))


@pytest.mark.sqlite
def test_a_session_a_correlation_and_a_learning(store: Datastore) -> None:
    for number in range(3):
        id = store.conversations.add(
            sanitization_version="1", session_id=f"session-{number // 2}", correlation_id=f"order {number}"
        ).id
        store.messages.append(id, role="user", content=f"about number {number}")
        store.learnings.add(
            id=f"l{number}", conversation_id=id, category="c", title=f"t {number}", content=f"c {number}"
        )
    store.conversations.soft_delete(store.conversations.list(session_id="session-0").items[0].id)
    assert store.erase(session_id="session-0").receipt["deleted"]["conversations"] == 2
    assert store.conversations.count() == 1
    assert store.conversations.count(deleted=True) == 0
    assert store.erase(learning_id="l2").receipt["deleted"] == {
        "conversations": 0,
        "messages": 0,
        "learnings": 1,
        "uploads": 0,
        "redactions": 0,
        "jobs": 0,
        "schedules": 0,
        "vectors": 0,
    }
    assert store.erase(correlation_id="order 2").status == "verified"
    assert store.conversations.count() == 0
    with pytest.raises(NotFoundError):
        store.erase(session_id="session-0")
    for wrong in ({}, {"session_id": "a", "learning_id": "b"}, {"session_id": ""}):
        with pytest.raises(InvalidValueError):
            store.erase(**wrong)


def test_what_was_derived_elsewhere_goes_and_uploads_are_named(
    store: Datastore, conversation: Conversation, raw: sqlite3.Connection
) -> None:
    message = store.messages.append(conversation.id, role="user", content="the source of it all")
    other = store.conversations.add(sanitization_version="1").id
    derived = store.learnings.add(conversation_id=other, category="c", title="t", content="derived from it")
    # The library links a learning to messages of its own conversation only; somebody else may not.
    raw.execute("INSERT INTO learning_messages VALUES (?, ?)", (derived.id, message.id))
    upload = store.uploads.add(derived.id, "wiki")
    store.uploads.start(upload.id)
    store.uploads.finish(upload.id, remote_id="page 7")
    receipt = store.erase(conversation_id=conversation.id)
    assert store.learnings.find(derived.id) is None
    assert store.conversations.get(other)
    assert receipt.receipt["out_of_reach"]["uploads"] == [
        {"destination": "wiki", "remote_id": "page 7", "status": "uploaded"}
    ]
    assert receipt.status == "verified"


def test_jobs_that_name_it_are_emptied_and_others_are_not(
    store: Datastore, conversation: Conversation, clock: Clock
) -> None:
    said = "something that was said to nobody else"
    store.messages.append(conversation.id, role="user", content=said)
    named = [
        store.jobs.enqueue("a", payload={"deep": [{"id": conversation.id}]}),
        store.jobs.enqueue("a", payload={"text": f"please read {conversation.id}, soon"}),
        store.jobs.enqueue("a", payload={"quoted": said}),
        store.jobs.enqueue("a", payload={}, dedupe_key=f"extract:{conversation.id}"),
    ]
    other = store.jobs.enqueue("b", payload={"id": "another"})
    failed = store.jobs.enqueue("c", payload={})
    claimed = store.jobs.claim(["c"], worker="w")
    assert claimed is not None
    store.jobs.fail(claimed, f"cannot read {conversation.id}")
    clock.advance(3600)
    claimed = store.jobs.claim(["c"], worker="w")
    assert claimed is not None
    store.jobs.fail(claimed, f"still cannot read {conversation.id}", permanent=True)
    receipt = store.erase(conversation_id=conversation.id)
    assert receipt.receipt["deleted"]["jobs"] == 5
    for job in named:
        now = store.jobs.get(job.id)
        assert (now.payload, now.dedupe_key, now.status) == ({"erased": True}, None, "cancelled")
    assert store.jobs.get(other.id) == other
    now = store.jobs.get(failed.id)
    assert now.last_error == "erased"
    assert [attempt.error for attempt in store.jobs.attempts(failed.id)] == ["erased", "erased"]


@pytest.mark.sqlite
def test_what_somebody_else_hides_meanwhile_is_erased_all_the_same(
    store: Datastore, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = store._eraser._begin

    def then(*arguments: Any) -> Any:
        store.conversations.soft_delete(conversation.id)
        return begin(*arguments)

    monkeypatch.setattr(store._eraser, "_begin", then)
    assert store.erase(conversation_id=conversation.id).status == "verified"


def test_a_running_job_that_names_it_ends_and_stores_nothing_more(store: Datastore, conversation: Conversation) -> None:
    store.jobs.enqueue("a", payload={"id": conversation.id})
    job = store.jobs.claim(["a"], worker="w")
    assert job is not None
    store.jobs.heartbeat(job, progress={"read": "the subject's text"})
    receipt = store.erase(conversation_id=conversation.id)
    assert receipt.is_complete
    for late in (
        lambda: store.jobs.succeed(job, {"said": "the subject's text"}),
        lambda: store.jobs.fail(job, "the subject's text"),
        lambda: store.jobs.heartbeat(job, progress={"said": "the subject's text"}),
    ):
        with pytest.raises(LeaseLostError):
            late()
    now = store.jobs.get(job.id)
    assert (now.status, now.payload, now.result, now.progress) == ("cancelled", {"erased": True}, None, None)
    assert not any(store.verify().values())


def test_a_reader_is_in_the_way_and_resuming_finishes(path: Path, clock: Clock, raw: sqlite3.Connection) -> None:
    with Datastore.open(path, clock=clock, timeout=0.2) as store:
        id = store.conversations.add(sanitization_version="1").id
        store.messages.append(id, role="user", content="nothing but this")
        raw.execute("BEGIN")
        raw.execute("SELECT count(*) FROM messages").fetchall()
        receipt = store.erase(conversation_id=id)
        assert receipt.status == "deleted"
        assert any("keeps the WAL" in one for one in receipt.receipt["blocked_by"])
        assert store.retention.receipts.get(receipt.id) == receipt
        raw.execute("ROLLBACK")
        assert store._eraser.unfinished() == [receipt]
        done = store.retention.resume(receipt.id)
        assert done.status == "scrubbed"
        assert store.retention.resume(receipt.id) == done


def test_a_hold_overrides_everything(store: Datastore, conversation: Conversation, learning: Learning) -> None:
    message = store.messages.append(conversation.id, role="user", content="evidence")
    upload = store.uploads.add(learning.id, "wiki")
    hold = store.holds.place(conversation.id, reason="case 12")
    assert store.holds.place(conversation.id, reason="again") == hold
    assert list(store.holds.iterate()) == [hold]
    for attempt in (
        lambda: store.conversations.delete(conversation.id),
        lambda: store.messages.delete(message.id),
        lambda: store.messages.redact(message.id, content="other"),
        lambda: store.learnings.delete(learning.id),
        lambda: store.learnings.update(learning.id, content="other"),
        lambda: store.uploads.delete(upload.id),
    ):
        with pytest.raises(LegalHoldError):
            attempt()
    for subject in ({"conversation_id": conversation.id}, {"session_id": "session-1"}, {"learning_id": learning.id}):
        receipt = store.erase(**subject)
        assert receipt.status == "blocked"
        assert receipt.receipt == {"blocked_by": [f"legal hold {hold.id}"]}
        assert store.retention.resume(receipt.id) == receipt
    store.conversations.soft_delete(conversation.id)
    later = store.engine.now().replace(year=2030)
    assert store.conversations.purge(deleted_before=later) == 0
    assert store.messages.get(message.id) == message
    store.holds.release(conversation.id)
    assert store.conversations.purge(deleted_before=later) == 1
    with pytest.raises(NotFoundError):
        store.holds.release(conversation.id)


def test_long_conversations_go_in_slices(store: Datastore, conversation: Conversation) -> None:
    for number in range(450):
        store.messages.append(conversation.id, role="user", content=f"said {number}")
    receipt = store.erase(conversation_id=conversation.id)
    assert receipt.receipt["deleted"]["messages"] == 450
    entries = [entry for entry in store.audit.list(max_rows=100).items if entry.action == "delete"]
    assert [entry.details["messages"] for entry in entries] == [200, 200, 50]
    assert {entry.reason for entry in entries} == {f"erasure {receipt.id}"}


def test_the_receipt_and_what_is_kept_have_no_content(store: Datastore, tmp_path: Path, path: Path) -> None:
    id = store.conversations.add(sanitization_version="1", session_id="alice@example.org", id="her-conversation").id
    store.messages.append(id, role="user", content="a secret word: hippopotamus")
    receipt = store.erase(session_id="alice@example.org", reason="asked by letter")
    text = json.dumps(receipt.receipt) + receipt.subject_hash + beside(path).read_text()
    assert not [word for word in ("alice", "her-conversation", "hippopotamus") if word in text]
    assert beside(path).stat().st_mode & 0o077 == 0
    assert traces(tmp_path, "alice@example.org") == []
    assert receipt.reason == "asked by letter"


@pytest.mark.sqlite
@pytest.mark.parametrize(("database", "tombstones"), [(0o644, 0o600), (0o660, 0o660), (0o664, 0o660), (0o600, 0o600)])
def test_who_writes_the_database_reads_its_tombstones(
    store: Datastore, conversation: Conversation, path: Path, database: int, tombstones: int
) -> None:
    path.chmod(database)
    store.erase(conversation_id=conversation.id)
    assert beside(path).stat().st_mode & 0o777 == tombstones


def test_not_inside_a_transaction(store: Datastore, conversation: Conversation) -> None:
    with store.transaction(), pytest.raises(TransactionError):
        store.erase(conversation_id=conversation.id)


def test_a_restored_backup_does_not_bring_it_back(
    store: Datastore, conversation: Conversation, learning: Learning, path: Path, tmp_path: Path
) -> None:
    store.messages.append(conversation.id, role="user", content="zanzibarically forgotten")
    kept = store.conversations.add(sanitization_version="1", session_id="another").id
    backup = store.backups.create(tmp_path / "copy.db")
    receipt = store.erase(session_id="session-1")
    assert [one["path"] for one in receipt.receipt["out_of_reach"]["backups"]] == [backup.path]
    store.close()
    done = Datastore.restore(backup.path, path)
    assert (done.erased, done.held) == (1, 0)
    with Datastore.open(path) as again:
        assert [one.id for one in again.conversations.list().items] == [kept]
        assert again.learnings.find(learning.id) is None
        assert next(again.retention.receipts.iterate()).status == "scrubbed"
        assert not any(again.verify().values())
        assert not [trace for trace in traces(tmp_path, "zanzibarically") if not trace.startswith("copy.db")]
    # And from the file beside it, where the database itself is gone.
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    assert Datastore.restore(backup.path, path).erased == 1


@pytest.mark.sqlite
def test_import_refuses_what_was_erased_unless_forced(
    store: Datastore, conversation: Conversation, learning: Learning, tmp_path: Path
) -> None:
    store.messages.append(conversation.id, role="user", content="hello there")
    file = tmp_path / "export.jsonl"
    with file.open("w") as stream:
        export(store, stream)
    store.erase(conversation_id=conversation.id)
    refused = import_file(store, file, sanitization_version="1")
    assert (refused.conversations, dict(refused.skipped)) == (0, {"conversation that was erased": 1})
    forced = import_file(store, file, sanitization_version="1", include_erased=True)
    assert (forced.conversations, forced.messages, forced.learnings) == (1, 1, 1)
    # It is there on purpose now: a restored backup keeps it.
    backup = store.backups.create(tmp_path / "copy.db")
    path = store.engine.path
    store.close()
    assert Datastore.restore(backup.path, path).erased == 0
    with Datastore.open(path) as again:
        assert again.conversations.get(conversation.id).message_count == 1


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("content", "sampled"),
    [
        ("a short text of nothing in particular", False),
        (" ".join(f"particularity{number:02}" for number in range(17)), True),
        ("nothing in particular " * 3000, True),
    ],
)
def test_a_receipt_says_where_only_a_part_was_looked_for(store: Datastore, content: str, sampled: bool) -> None:
    id = store.conversations.add(sanitization_version="1").id
    store.messages.append(id, role="user", content=content)
    assert [scan["sampled"] for scan in store.erase(conversation_id=id).receipt["scans"]] == [sampled]
