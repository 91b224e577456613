"""Retention policies: looked ahead, applied in batches, again without effect; holds and grace are kept."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastore import Conversation, Datastore, Learning
from datastore.errors import CheckError, NotFoundError, TransactionError
from datastore.records.pages import every
from tests.conftest import REDACTION, Clock
from tests.retention.test_commands import run

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

DAY = 86_400


def fill(store: Datastore, clock: Clock, count: int, **more: str) -> list[Conversation]:
    made = []
    for number in range(count):
        one = store.conversations.add(sanitization_version="1", **more)
        store.messages.append(one.id, role="user", content=f"said {number}")
        made.append(one)
        clock.advance(60)
    return made


def test_hidden_first_deleted_after_the_grace(store: Datastore, clock: Clock) -> None:
    old = fill(store, clock, 30, source="bot")
    other = fill(store, clock, 2, source="human")
    clock.advance(40 * DAY)
    young = fill(store, clock, 3, source="bot")
    store.retention.policies.set(
        "bots", "conversations", age_days=30, since="activity", scope="source", scope_value="bot", grace_days=7
    )
    hide, purge = store.retention.preview()
    assert (hide.action, hide.count, hide.oldest) == ("soft_delete", 30, old[0].created_at)
    assert (purge.action, purge.count, purge.oldest) == ("purge", 0, None)
    assert store.conversations.count() == 35
    assert store.retention.apply() == {"bots": {"soft_deleted": 30}}
    assert store.retention.apply() == {"bots": {}}
    assert store.conversations.count(deleted=True) == 30
    clock.advance(8 * DAY)
    assert [due.count for due in store.retention.preview("bots")] == [0, 30]
    done = store.retention.apply()["bots"]
    assert (done["conversations"], done["messages"]) == (30, 30)
    assert {one.id for one in store.conversations.list().items} == {one.id for one in other + young}
    assert store.conversations.count(deleted=True) == 0
    purges = [entry for entry in store.audit.list(max_rows=1000).items if entry.action == "purge"]
    assert {entry.reason for entry in purges} == {"policy bots"}
    assert sum(entry.details.get("conversations", 1) for entry in purges) == 30
    assert not any(store.verify().values())


def test_a_hold_and_new_activity_keep_a_conversation(store: Datastore, clock: Clock) -> None:
    held, active, over = fill(store, clock, 3)
    store.holds.place(held.id, reason="case 12")
    clock.advance(40 * DAY)
    store.messages.append(active.id, role="user", content="still here")
    store.retention.policies.set("all", "conversations", age_days=30, since="activity")
    assert [due.count for due in store.retention.preview()] == [1, 0]
    store.retention.apply()
    store.retention.apply()
    assert {one.id for one in store.conversations.list().items} == {held.id, active.id}
    assert store.conversations.find(over.id) is None
    store.holds.release(held.id)
    store.retention.apply()
    assert store.conversations.find(held.id) is None


def test_what_was_hidden_and_is_restored_is_exactly_what_it_was(
    store: Datastore, conversation: Conversation, learning: Learning, clock: Clock
) -> None:
    store.messages.append(conversation.id, role="user", content="hello")
    before = store.messages.list(conversation.id).items, store.learnings.get(learning.id)
    clock.advance(40 * DAY)
    store.retention.policies.set("all", "conversations", age_days=30, since="activity", grace_days=30)
    store.retention.apply()
    assert store.learnings.list().items == ()
    store.conversations.restore(conversation.id)
    assert (store.messages.list(conversation.id).items, store.learnings.get(learning.id)) == before


def test_completion_and_session_prefix(store: Datastore, clock: Clock) -> None:
    done = fill(store, clock, 2, session_id="team-a/1")
    still = fill(store, clock, 1, session_id="team-a/2")
    other = fill(store, clock, 1, session_id="team-b/1")
    for one in done + other:
        store.conversations.complete(one.id)
    clock.advance(5 * DAY)
    store.retention.policies.set(
        "a",
        "conversations",
        age_days=3,
        since="completion",
        scope="session_prefix",
        scope_value="team-a/",
        grace_days=1,
    )
    assert store.retention.apply() == {"a": {"soft_deleted": 2}}
    assert {one.id for one in store.conversations.list().items} == {one.id for one in still + other}


def test_long_conversations_are_deleted_in_slices(store: Datastore, conversation: Conversation, clock: Clock) -> None:
    for number in range(120):
        store.messages.append(conversation.id, role="user", content=f"said {number}")
    store.retention.policies.set("all", "conversations", age_days=0, since="activity")
    steps: list[int] = []

    def progress(counts: Mapping[str, int]) -> None:
        steps.append(counts.get("messages", 0))

    clock.advance(1)
    store.retention.apply(on_progress=progress)
    assert steps == [0, 50, 100, 120]
    assert store.conversations.find(conversation.id) is None


@pytest.mark.parametrize("kept", ["restored", "held"])
def test_a_conversation_that_is_kept_meanwhile_keeps_what_it_still_has(
    store: Datastore, conversation: Conversation, clock: Clock, kept: str
) -> None:
    for number in range(120):
        store.messages.append(conversation.id, role="user", content=f"said {number}")
    store.retention.policies.set("all", "conversations", age_days=0, since="activity")

    steps: list[int] = []

    def keep(counts: Mapping[str, int]) -> None:
        steps.append(counts.get("messages", 0))
        if steps == [0, 50]:
            if kept == "restored":
                store.conversations.restore(conversation.id)
            else:
                store.holds.place(conversation.id, reason="case 12")

    clock.advance(1)
    assert store.retention.apply(on_progress=keep) == {"all": {"soft_deleted": 1, "messages": 50}}
    assert store.messages.count(conversation.id) == 70
    assert (store.conversations.get(conversation.id).deleted_at is None) == (kept == "restored")


def test_interrupted_it_goes_on(store: Datastore, clock: Clock) -> None:
    fill(store, clock, 60)
    clock.advance(40 * DAY)
    store.retention.policies.set("all", "conversations", age_days=30, since="activity", grace_days=1)

    class Stopped(Exception):
        pass

    def stop(counts: Mapping[str, int]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        store.retention.apply(on_progress=stop)
    first = store.conversations.count(deleted=True)
    assert 0 < first < 60
    assert store.retention.apply() == {"all": {"soft_deleted": 60 - first}}


def test_a_slice_of_the_full_text_indexes_is_merged_behind_each_batch(
    store: Datastore, clock: Clock, raw: sqlite3.Connection
) -> None:
    fill(store, clock, 60)
    clock.advance(40 * DAY)
    store.retention.policies.set("all", "conversations", age_days=30, since="activity", grace_days=1)
    merged: list[str] = []
    store.engine._thread.connected().connection.set_trace_callback(
        lambda sql: merged.append(sql) if "'merge', " in sql else None
    )
    batches: list[Mapping[str, int]] = []
    store.retention.apply(on_progress=lambda counts: batches.append(dict(counts)))
    store.engine._thread.connected().connection.set_trace_callback(None)
    assert len(batches) == 3
    of = [sql.split("(")[0].split()[-1] for sql in merged if sql.startswith("INSERT")]
    assert of == ["learnings_fts", "messages_fts"] * 3


def test_learnings_jobs_attempts_uploads_and_redactions(
    store: Datastore, conversation: Conversation, learning: Learning, clock: Clock, raw: sqlite3.Connection
) -> None:
    kept = store.learnings.add(conversation_id=conversation.id, category="other", title="t", content="c")
    job = store.jobs.enqueue("a", payload={})
    claimed = store.jobs.claim(["a"], worker="w")
    assert claimed is not None
    store.jobs.fail(claimed, "first")
    clock.advance(3600)
    claimed = store.jobs.claim(["a"], worker="w")
    assert claimed is not None
    store.jobs.succeed(claimed)
    waiting = store.jobs.enqueue("b", payload={})
    sent, planned = store.uploads.add(kept.id, "wiki"), store.uploads.add(kept.id, "other")
    store.uploads.start(sent.id)
    store.uploads.finish(sent.id, remote_id="r")
    store.uploads.confirm(sent.id)
    store.redactions.add(conversation.id, **REDACTION)
    clock.advance(40 * DAY)
    store.retention.policies.set(
        "l", "learnings", age_days=30, since="activity", scope="category", scope_value="databases"
    )
    for target in ("jobs", "attempts", "uploads", "redactions"):
        store.retention.policies.set(target, target, age_days=30)
    held = ("l", "uploads", "redactions")
    store.holds.place(conversation.id, reason="case 12")
    assert {one.policy.name for one in store.retention.preview() if one.count} == {"attempts", "jobs"}
    assert [store.retention.apply(name) for name in held] == [{name: {}} for name in held]
    for table in ("uploads", "redactions"):
        with pytest.raises(sqlite3.IntegrityError, match=f"^{table}_legal_hold$"):
            raw.execute(f"DELETE FROM {table}")
    store.holds.release(conversation.id)
    due = {one.policy.name: (one.count, one.oldest is not None) for one in store.retention.preview()}
    assert due == dict.fromkeys(("l", "jobs", "attempts", "uploads", "redactions"), (1, True))
    done = store.retention.apply()
    # By name: attempts before jobs, whose own go with them.
    assert done == {
        "attempts": {"attempts": 1},
        "jobs": {"jobs": 1},
        "l": {"learnings": 1},
        "redactions": {"redactions": 1},
        "uploads": {"uploads": 1},
    }
    assert store.learnings.find(learning.id) is None
    assert store.learnings.find(kept.id) == kept
    assert store.jobs.find(job.id) is None
    assert store.jobs.find(waiting.id) is not None
    assert store.uploads.get(planned.id) == planned
    actions = Counter(entry.action for entry in store.audit.iterate())
    # The redaction; attempts, the job and the upload, which are finished work.
    assert (actions["purge"], actions["prune"]) == (1, 3)
    assert store.retention.apply() == {key: {} for key in done}


def test_a_learning_that_changed_or_is_held_since_it_was_looked_for_stays(
    store: Datastore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn() -> Learning:
        conversation = store.conversations.add(sanitization_version="1")
        return store.learnings.add(conversation_id=conversation.id, category="c", title="t", content="x")

    changed, held, old = learn(), learn(), learn()
    clock.advance(40 * DAY)
    store.retention.policies.set("old", "learnings", age_days=30, since="activity")
    looked_for = store._parts.expiry.expired_learnings

    def then(*arguments: Any, **named: Any) -> Any:
        rows = looked_for(*arguments, **named)
        if rows:
            store.learnings.update(changed.id, content="used again")
            store.holds.place(held.conversation_id, reason="r")
        return rows

    monkeypatch.setattr(store._parts.expiry, "expired_learnings", then)
    assert store.retention.apply() == {"old": {"learnings": 1}}
    assert [store.learnings.find(one.id) is None for one in (changed, held, old)] == [False, False, True]


def test_a_policy_that_makes_no_sense_is_refused(store: Datastore) -> None:
    for wrong in (
        {"target": "jobs", "age_days": 1, "since": "activity"},
        {"target": "jobs", "age_days": 1, "grace_days": 1},
        {"target": "jobs", "age_days": 1, "scope": "source", "scope_value": "x"},
        {"target": "conversations", "age_days": -1},
        {"target": "conversations", "age_days": 1, "scope": "source"},
        {"target": "messages", "age_days": 1},
    ):
        with pytest.raises(CheckError):
            store.retention.policies.set("p", **wrong)
    for call in (store.retention.policies.delete, store.retention.preview, store.retention.apply):
        with pytest.raises(NotFoundError):
            call("p")
    with store.transaction(), pytest.raises(TransactionError):
        store.retention.apply()


def test_the_commands(store: Datastore, clock: Clock, path: Path) -> None:
    store.conversations.add(sanitization_version="1", source="bot", created_at=clock() - timedelta(days=400))
    assert run("retention", "list", database=path).stderr == "no policies\n"
    made = run(
        "retention", "set", "bots", "--target", "conversations", "--age-days", "30", "--since", "activity",
        "--scope", "source", "--scope-value", "bot", "--grace-days", "7", database=path,
    )  # fmt: skip
    assert made.stdout == "bots: conversations, source bot, 30 days after activity\n"
    assert json.loads(run("retention", "list", "--json", database=path).stdout)[0]["grace_days"] == 7.0
    due = json.loads(run("retention", "preview", "--json", database=path).stdout)
    assert [(one["action"], one["count"]) for one in due] == [("soft_delete", 1), ("purge", 0)]
    assert run("retention", "apply", database=path).stdout == "bots: 1 soft-deleted\n"
    assert run("retention", "apply", "bots", "--json", database=path).stdout == '{\n  "bots": {}\n}\n'
    assert run("retention", "delete", "bots", database=path).exit_code == 0
    assert run("retention", "delete", "bots", database=path).exit_code == 1
    assert (
        run(
            "retention", "set", "x", "--target", "jobs", "--age-days", "1", "--scope-value", "a", database=path
        ).exit_code
        == 2
    )


def test_erase_hold_and_release_commands(store: Datastore, conversation: Conversation, path: Path) -> None:
    store.messages.append(conversation.id, role="user", content="hello")
    assert run("hold", conversation.id, "--reason", "case 12", database=path).exit_code == 0
    assert json.loads(run("holds", "--json", database=path).stdout)[0]["reason"] == "case 12"
    blocked = run("erase", "--session-id", "session-1", database=path)
    assert blocked.exit_code == 6
    assert "blocked by  legal hold" in blocked.stdout
    assert run("release", conversation.id, database=path).exit_code == 0
    done = run("erase", "--session-id", "session-1", "--reason", "asked", "--json", database=path)
    assert done.exit_code == 0
    receipt = json.loads(done.stdout)
    assert (receipt["status"], receipt["reason"], receipt["actor"]) == ("verified", "asked", "datastore command")
    assert json.loads(run("erasures", "--json", database=path).stdout)[0] == receipt
    assert json.loads(run("erasures", receipt["id"], "--json", database=path).stdout) == receipt
    assert run("erase", "--session-id", "session-1", database=path).exit_code == 1
    assert run("erase", database=path).exit_code == 2
    assert run("erase", "--resume", receipt["id"], database=path).exit_code == 0


class Stopped(BaseException):
    """A process that ends, as far as a transaction is concerned."""


def test_stopped_at_any_entry_of_the_log_it_goes_on_and_says_each_thing_once(
    store: Datastore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(store, clock, 30)
    for number in range(120):  # more than a transaction deletes
        store.messages.append(made[0].id, role="user", content=f"said {number}")
    store.retention.policies.set("old", "conversations", age_days=30, since="activity")
    clock.advance(40 * DAY)
    statements, left = store.audit._statements, [0]
    add = statements.add_audit_entry

    def stop_now_and_then(**values: Any) -> Any:
        entry = add(**values)
        left[0] -= 1
        if left[0] == 0:
            raise Stopped
        return entry

    monkeypatch.setattr(statements, "add_audit_entry", stop_now_and_then)
    stops = 0
    for after in itertools.chain([1, 2, 7, 20, 26, 3, 1, 5, 9], itertools.repeat(10**6)):
        left[0] = after
        try:
            if not any(store.retention.apply()["old"].values()):
                break
        except Stopped:
            stops += 1
    assert stops >= 5
    entries = list(every(store.audit.list, max_rows=1000))
    for action in ("soft_delete", "purge"):
        said = [entry.subject_id for entry in entries if entry.action == action and "part" not in entry.details]
        assert sorted(said) == sorted(one.id for one in made), action
    assert sum(entry.details["messages"] for entry in entries if entry.action == "purge") == 150


def test_a_policy_counts_from_the_last_activity_unless_told_otherwise(store: Datastore, clock: Clock) -> None:
    """Imported conversations never complete: a policy that waited for their end would never apply."""
    store.conversations.add(id="imported", sanitization_version="1")
    policy = store.retention.policies.set("old", "conversations", age_days=30)
    assert policy.since == "activity"
    assert store.retention.policies.set("jobs", "jobs", age_days=1).since == "completion"
    clock.advance(31 * DAY)
    store.retention.apply("old")
    assert store.conversations.find("imported") is None
