"""What erasures must not get wrong: receipts that claim too much, names that are spelled otherwise, two at once, odd times."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from datastore import Conversation, Datastore
from datastore.errors import CheckError
from datastore.repositories import ConversationRepository
from datastore.retention import tombstones
from datastore.retention.erasure import Eraser
from datastore.retention.names import Names
from datastore.retention.tombstones import beside, read_beside
from tests.conftest import Clock
from tests.databases import everything

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

ID = "0192f5a0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"


class Interrupted(BaseException):
    """Somebody pressed Ctrl-C."""


def interrupt(patch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Run an erasure that is interrupted once its tombstones are stored."""

    def stop(*_: Any) -> None:
        raise Interrupted

    with patch.context() as now, pytest.raises(Interrupted):
        now.setattr(Eraser, "_delete", stop)
        call()


# --- jobs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def named(store: Datastore) -> str:
    """A conversation with an id of the usual kind, a message, and an id of the caller's own for its session."""
    store.conversations.add(id=ID, sanitization_version="1", session_id="user-0001")
    store.messages.append(ID, role="user", content="yes")
    store.messages.append(ID, role="user", content="z" * 100_000)
    store.messages.append(ID, role="user", content="something that was said to nobody else")
    return ID


SPELLINGS = {
    "upper case": ID.upper(),
    "without hyphens": ID.replace("-", ""),
    "upper case without hyphens": ID.replace("-", "").upper(),
    "with a suffix": f"{ID}-v2",
    "with another suffix": f"{ID}_extract",
    "inside a longer word": f"job{ID}x",
    "inside a longer word without hyphens": f"job{ID.replace('-', '')}x",
    "in a URL": f"https://example.org/c/{ID}?page=1",
    "a session in a text": "the session user-0001, please",
    "a session in upper case": "see USER-0001",
    "a session without hyphens": "user0001",
}


#: The keys of a job.
KEYS = ("dedupe_key", "limit_key", "sequence_key", "batch_id", "after_batch")


def a_job(store: Datastore, clock: Clock, where: str, text: str) -> None:
    """A job that has *text* in one place only."""
    payload: Any = {"value": {"deep": [text]}, "key": {text: 1}}.get(where, {})
    type = text if where == "type" else "t"
    keys: Any = {where: text} if where in KEYS else {}
    store.jobs.enqueue(type, payload, **keys)
    if where in ("error", "worker"):
        claimed = store.jobs.claim([type], worker=text if where == "worker" else "w")
        assert claimed is not None
        store.jobs.fail(claimed, text if where == "error" else "no")
        clock.advance(3600)
    if where in ("error", "worker", "result"):  # so that what names it is in job_attempts alone, or in the result
        claimed = store.jobs.claim([type], worker="another")
        assert claimed is not None
        store.jobs.succeed(claimed, {"said": text} if where == "result" else None)


@pytest.mark.parametrize("where", ["value", "key", "type", "error", "worker", "result", *KEYS])
def test_a_job_that_names_it_is_found(store: Datastore, named: str, clock: Clock, where: str) -> None:
    for text in SPELLINGS.values():
        a_job(store, clock, where, text)
    other = store.jobs.enqueue("t", {"id": str(uuid.uuid4()), "session": "user-0002"})
    receipt = store.erase(session_id="user-0001")
    # The audit log keeps ids of conversations: docs/retention.md says so.
    left = [line for line in everything(store) if not line.startswith(("audit_log ", 'INSERT INTO "audit_log"'))]
    assert [how for how, text in SPELLINGS.items() if any(text.lower() in line.lower() for line in left)] == []
    assert receipt.receipt["deleted"]["jobs"] == len(SPELLINGS)
    assert receipt.receipt["jobs"]["may_name_it"] == []
    assert store.jobs.get(other.id) == other
    assert not any(store.verify().values())


def test_a_long_text_as_a_value_is_found(store: Datastore, named: str) -> None:
    job = store.jobs.enqueue("t", {"quoted": "z" * 100_000})
    assert store.erase(conversation_id=named).receipt["deleted"]["jobs"] == 1
    assert store.jobs.get(job.id).payload == {"erased": True}


def test_what_perhaps_names_it_is_listed_and_not_emptied(store: Datastore, named: str) -> None:
    short = store.jobs.enqueue("t", {"answer": "yes"})
    longer = store.jobs.enqueue("t", {"session": "user-00010"})
    unrelated = store.jobs.enqueue("t", {"answer": "yes, of course", "session": "user-1"})
    receipt = store.erase(session_id="user-0001")
    assert receipt.receipt["deleted"]["jobs"] == 0
    assert receipt.receipt["jobs"] == {
        "looked_for": {"ids": 5, "ids_inside_texts": 5, "texts": 2, "short_texts": 1},
        "may_name_it": [short.id, longer.id],
    }
    assert [store.jobs.get(job.id) for job in (short, longer, unrelated)] == [short, longer, unrelated]


def test_names_property() -> None:
    names = Names([ID, "abc"], [ID, "abc"], ["a text of some length", "no"])
    assert names.named_in([ID[:-1]]) is False
    assert names.named_in(["ABC"]) is False, "a short id counts as it is written"
    assert names.named_in(["abc"]) is True
    assert names.named_in(["no"]) is None
    assert names.named_in(["no", f"x{ID}"]) is True
    assert names.named_in([]) is False


# --- receipts that claim too much -----------------------------------------------------------------------------------


def test_an_interrupted_erasure_finds_what_has_a_later_time(
    store: Datastore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = clock.now + timedelta(days=365)
    store.conversations.add(id=ID, sanitization_version="1", created_at=later)
    interrupt(monkeypatch, lambda: store.erase(conversation_id=ID))
    (receipt,) = store._eraser.unfinished()
    done = store.retention.resume(receipt.id)
    assert done.is_complete
    assert done.receipt["deleted"]["conversations"] == 1
    assert store.conversations.find(ID) is None


@pytest.mark.parametrize(
    "subject", [{"conversation_id": ID}, {"session_id": "s"}, {"correlation_id": "k"}, {"learning_id": "l"}]
)
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_interrupted_erasures_each_deletes_what_is_there(
    store: Datastore, monkeypatch: pytest.MonkeyPatch, subject: dict[str, str], first: int
) -> None:
    store.conversations.add(id=ID, sanitization_version="1", session_id="s", correlation_id="k")
    store.learnings.add(id="l", conversation_id=ID, category="c", title="t", content="c")
    job = store.jobs.enqueue("t", {"of": next(iter(subject.values()))})
    for _ in range(2):
        interrupt(monkeypatch, lambda: store.erase(**subject))
    receipts = store._eraser.unfinished()[::-1]
    assert len(receipts) == 2
    done = store.retention.resume(receipts[first].id)
    assert done.is_complete
    assert store.learnings.find("l") is None
    assert (store.conversations.find(ID) is None) == ("learning_id" not in subject)
    if len(next(iter(subject.values()))) > 8:
        assert store.jobs.get(job.id).payload == {"erased": True}
    assert store.retention.resume(receipts[1 - first].id).is_complete
    assert store._eraser.unfinished() == []


def test_resuming_takes_nothing_that_came_since(
    store: Datastore, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    store.conversations.add(id="old", sanitization_version="1", session_id="s")
    interrupt(monkeypatch, lambda: store.erase(session_id="s"))
    clock.advance(60)
    store.conversations.add(id="new", sanitization_version="1", session_id="s")
    (receipt,) = store._eraser.unfinished()
    assert store.retention.resume(receipt.id).receipt["deleted"]["conversations"] == 1
    assert store.conversations.find("old") is None
    assert store.conversations.get("new")


@pytest.mark.sqlite
@pytest.mark.parametrize("days", [-365, 0, 365])
def test_a_restored_backup_brings_back_nothing_whatever_its_time(
    store: Datastore, clock: Clock, path: Path, tmp_path: Path, days: int
) -> None:
    store.conversations.add(id=ID, sanitization_version="1", created_at=clock.now + timedelta(days=days))
    backup = store.backups.create(tmp_path / "copy.db")
    clock.advance(-3600)  # a clock that stepped back
    store.erase(conversation_id=ID)
    store.close()
    assert Datastore.restore(backup.path, path).erased == 1
    with Datastore.open(path) as again:
        assert again.conversations.find(ID) is None


@pytest.mark.sqlite
def test_a_restored_backup_keeps_what_came_back_on_purpose(
    store: Datastore, clock: Clock, path: Path, tmp_path: Path
) -> None:
    store.conversations.add(id="old", sanitization_version="1", session_id="s")
    store.erase(session_id="s")
    clock.advance(60)
    store.conversations.add(id="new", sanitization_version="1", session_id="s")
    backup = store.backups.create(tmp_path / "copy.db")
    store.close()
    assert Datastore.restore(backup.path, path).erased == 0
    with Datastore.open(path) as again:
        assert again.conversations.get("new")


@pytest.mark.sqlite
def test_a_receipt_that_a_hold_blocked_stays_blocked_when_a_backup_is_restored(
    store: Datastore, conversation: Conversation, path: Path, tmp_path: Path
) -> None:
    other = store.conversations.add(sanitization_version="1").id
    store.holds.place(conversation.id, reason="case 12")
    blocked = store.erase(conversation_id=conversation.id)
    assert blocked.status == "blocked"
    backup = store.backups.create(tmp_path / "copy.db")
    store.holds.release(conversation.id)
    store.erase(conversation_id=conversation.id)
    store.erase(conversation_id=other)
    store.close()
    done = Datastore.restore(backup.path, path)
    assert (done.erased, done.held) == (1, 1)
    with Datastore.open(path) as again:
        assert again.conversations.get(conversation.id)
        assert sorted(one.status for one in again.retention.receipts.iterate()) == [
            "blocked",
            "blocked",
            "scrubbed",
        ]


@pytest.mark.sqlite
def test_an_erasure_that_a_backup_interrupted_is_finished_by_restoring(
    store: Datastore, conversation: Conversation, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, lambda: store.erase(conversation_id=conversation.id))
    backup = store.backups.create(tmp_path / "copy.db")
    store.close()
    Datastore.restore(backup.path, path)
    with Datastore.open(path) as again:
        (receipt,) = again.retention.receipts.iterate()
        assert (receipt.status, receipt.receipt["deleted"]["conversations"]) == ("scrubbed", 1)
        assert again.conversations.find(conversation.id) is None


def test_erased_again_after_it_came_back_though_the_clock_stepped_back(store: Datastore, clock: Clock) -> None:
    store.conversations.add(id=ID, sanitization_version="1")
    store.erase(conversation_id=ID)
    store._eraser.tombstones.lift("conversation", ID)
    store.conversations.add(id=ID, sanitization_version="1")
    clock.advance(-3600)
    store.erase(conversation_id=ID)
    assert store._eraser.tombstones.find("conversation", ID) is not None


# --- two at once ----------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_two_that_write_the_tombstones_at_once_lose_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is stopped behind what it has read; the second one erases and writes meanwhile, or waits."""
    with Datastore.open(path) as store:
        for name in ("first", "second"):
            store.conversations.add(id=name, sanitization_version="1")
        read, go = threading.Event(), threading.Event()
        write = tombstones.write_beside

        def slowly(place: Path, carried: tombstones.Tombstones) -> None:
            if threading.current_thread().name == "first":
                read.set()
                go.wait(1)
            write(place, carried)

        monkeypatch.setattr(tombstones, "write_beside", slowly)
        errors: list[BaseException] = []

        def erase() -> None:
            try:
                store.erase(conversation_id=threading.current_thread().name)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=erase, name=name) for name in ("first", "second")]
        threads[0].start()
        assert read.wait(30)
        threads[1].start()
        threads[1].join(0.5)
        go.set()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert {stone.subject_hash for stone in read_beside(beside(path)).stones} == {
            stone.subject_hash for stone in store._parts.erasures.tombstones()
        }


@pytest.mark.sqlite
def test_many_at_once_lose_none(path: Path) -> None:
    names = [f"subject-{number}" for number in range(16)]
    errors: list[BaseException] = []
    with Datastore.open(path, durability="relaxed") as store:
        for name in names:
            store.conversations.add(id=name, sanitization_version="1", session_id="all")

        def erase(name: str) -> None:
            try:
                store.erase(conversation_id=name)
                store.erase(session_id="all")
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=erase, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        # Another may have taken the rest of the session.
        assert {type(error).__name__ for error in errors} <= {"NotFoundError"}
        assert store.conversations.count() == store.conversations.count(deleted=True) == 0
        assert [one.status for one in list(store.retention.receipts.iterate()) if one.status == "deleting"] == []
        kept = {(stone.kind, stone.subject_hash) for stone in store._parts.erasures.tombstones()}
        assert {(stone.kind, stone.subject_hash) for stone in read_beside(beside(path)).stones} == kept
        assert len(kept) >= len(names)


@pytest.mark.sqlite
def test_a_draft_that_a_killed_process_left_is_no_obstacle(
    store: Datastore, conversation: Conversation, path: Path
) -> None:
    draft = beside(path).with_name(f"{beside(path).name}.unfinished")
    draft.write_text("half of a")
    store.erase(conversation_id=conversation.id)
    assert not draft.exists()
    assert len(read_beside(beside(path)).stones) == 1


def test_what_another_erasure_took_is_no_error(
    store: Datastore, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = ConversationRepository.delete

    def after_another(self: ConversationRepository, id: str, **given: Any) -> Any:
        delete(self, id, **given)
        return delete(self, id, **given)

    monkeypatch.setattr(ConversationRepository, "delete", after_another)
    assert store.erase(conversation_id=conversation.id).is_complete


# --- times ----------------------------------------------------------------------------------------------------------

LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)


def test_the_last_instant_of_all_is_refused(store: Datastore, conversation: Conversation) -> None:
    """It is what "no upper bound" means in lists, counts and searches, none of which would show it."""
    for call in (
        lambda: store.conversations.add(sanitization_version="1", created_at=LAST),
        lambda: store.messages.append(conversation.id, role="user", content="x", created_at=LAST),
        lambda: store.learnings.add(
            conversation_id=conversation.id, category="c", title="t", content="c", created_at=LAST
        ),
    ):
        with pytest.raises(CheckError):
            call()
    assert store.messages.count(conversation.id) == 0


def test_the_instant_before_it_is_seen_by_all(store: Datastore) -> None:
    at = LAST - timedelta(microseconds=1)
    id = store.conversations.add(sanitization_version="1", session_id="s", created_at=at).id
    store.messages.append(id, role="user", content="zanzibar", created_at=at)
    store.learnings.add(conversation_id=id, category="c", title="t", content="zanzibar", created_at=at)
    assert [one.id for one in store.conversations.list().items] == [id]
    assert store.conversations.count() == store.learnings.count() == 1
    assert len(store.messages.list_by_time(id).items) == len(store.learnings.list().items) == 1
    assert len(store.disclose(session_id="s").messages) == 1
    assert store.erase(session_id="s").receipt["deleted"]["messages"] == 1
    assert store.conversations.count() == 0


def test_no_id_is_in_a_receipt(store: Datastore, named: str) -> None:
    store.jobs.enqueue("t", {"id": named})
    receipt = json.dumps(store.erase(session_id="user-0001").receipt)
    assert named not in receipt
    assert "user-0001" not in receipt
