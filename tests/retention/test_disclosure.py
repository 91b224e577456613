"""Disclosure: what is shown of a subject is what erasing it takes away, and nothing of anybody else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from datastore import Datastore, ImagePart
from datastore.errors import InvalidValueError, NotFoundError
from tests.conftest import REDACTION
from tests.retention.test_commands import run

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


@pytest.fixture
def two(store: Datastore) -> Datastore:
    """Two sessions, of two conversations each; one of the first is hidden."""
    store.vectors.change_model(None, "toy")
    for session in ("mine", "theirs"):
        for number in (1, 2):
            id = f"{session}-conversation-{number}"
            store.conversations.add(
                id=id, session_id=session, correlation_id=f"{session}-{number}", title=id, sanitization_version="1"
            )
            message = store.messages.append(
                id, role="user", content=f"said by {session}, {number}", id=f"{id}-message", vector=[number, -1.0]
            )
            learning = store.learnings.add(
                conversation_id=id,
                category="c",
                title="t",
                content=f"of {id}",
                id=f"{id}-learning",
                vector=[0.5, number],
            )
            store.uploads.add(learning.id, "wiki", id=f"{id}-upload")
            store.redactions.add(id, message_id=message.id, **REDACTION)
            store.jobs.enqueue("learn", payload={"conversation": id})
            store.schedules.set(f"every night {id}", "0 3 * * *", "learn", {"conversation": id})
    store.conversations.soft_delete("mine-conversation-2")
    return store


@pytest.mark.parametrize(
    "subject",
    [
        {"session_id": "mine"},
        {"conversation_id": "mine-conversation-1"},
        {"correlation_id": "mine-2"},
        {"learning_id": "mine-conversation-1-learning"},
    ],
    ids=lambda subject: next(iter(subject)),
)
def test_what_is_shown_is_what_is_erased(two: Datastore, subject: dict[str, str]) -> None:
    held = two.disclose(**subject)
    assert two.disclose(**subject) == held
    shown = {
        name: len(getattr(held, name))
        for name in ("conversations", "messages", "learnings", "uploads", "redactions", "vectors", "jobs", "schedules")
    }
    assert shown["vectors"]
    assert two.erase(**subject).receipt["deleted"] == shown
    with pytest.raises(NotFoundError):
        two.disclose(**subject)


def test_all_of_a_session_and_nothing_of_another(two: Datastore) -> None:
    hold = two.holds.place("mine-conversation-1", reason="case 12")
    held = two.disclose(session_id="mine")
    own = {"mine-conversation-1", "mine-conversation-2"}
    assert {one.id for one in held.conversations} == own
    assert {one.conversation_id for one in held.messages} == own
    assert {one.id for one in held.learnings} == {f"{id}-learning" for id in own}
    assert {one.id for one in held.uploads} == {f"{id}-upload" for id in own}
    assert {one.conversation_id for one in held.redactions} == own
    assert [one.payload["conversation"] for one in held.jobs] == sorted(own)
    assert [one.payload["conversation"] for one in held.schedules] == sorted(own)
    assert held.holds == (hold,)
    assert "said by" not in repr(held), "nothing that was said goes into a log by repr"


def test_every_branch_is_shown(two: Datastore) -> None:
    id = "mine-conversation-1"
    two.branches.fork(id, position=0, label="of mine")
    other = two.messages.append(id, role="assistant", parts=[ImagePart(url="https://example.org/mine")])
    two.branches.switch(id, 0)
    held = two.disclose(conversation_id=id)
    assert [one.id for one in held.messages] == [f"{id}-message", other.id]
    assert [(one.branch, one.label) for one in held.branches] == [(0, None), (1, "of mine")]
    assert {"of mine", "https://example.org/mine"} <= set(held.texts())
    assert "of mine" not in repr(held)
    assert two.erase(conversation_id=id).receipt["deleted"]["messages"] == 2


def test_who_is_meant_has_to_be_said(two: Datastore) -> None:
    for wrong in ({}, {"session_id": ""}, {"session_id": "mine", "learning_id": "theirs-conversation-1-learning"}):
        with pytest.raises(InvalidValueError, match="give one of"):
            two.disclose(**wrong)
    with pytest.raises(NotFoundError):
        two.disclose(session_id="nobody")


def test_the_command(two: Datastore, path: Path, tmp_path: Path) -> None:
    shown = run("export", "--everything", "--session-id", "mine", database=path)
    assert shown.exit_code == 0
    document = json.loads(shown.stdout)
    assert list(document) == [
        "conversations",
        "branches",
        "messages",
        "learnings",
        "uploads",
        "redactions",
        "vectors",
        "jobs",
        "schedules",
        "perhaps_jobs",
        "holds",
        "own_tables",
    ]
    assert {one["content"] for one in document["messages"]} == {"said by mine, 1", "said by mine, 2"}
    packed = tmp_path / "mine.json.gz"
    written = run("export", "--everything", "--session-id", "mine", "--output", str(packed), database=path)
    assert written.stderr.endswith("mine.json.gz: 2 messages, 2 learnings, 2 jobs\n")
    assert json.loads(gzip.decompress(packed.read_bytes())) == document
    gone = tmp_path / "gone.json"
    assert run("export", "--everything", "--session-id", "nobody", "--output", str(gone), database=path).exit_code == 1
    assert not gone.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--everything"],
        ["--everything", "--session-id", "mine", "--learning-id", "theirs-conversation-1-learning"],
        ["--everything", "--session-id", "mine", "--include-deleted"],
        ["--everything", "--session-id", "mine", "--source", "a"],
        ["--conversation-id", "mine-conversation-1"],
    ],
    ids=" ".join,
)
def test_the_command_refuses(two: Datastore, path: Path, arguments: list[str]) -> None:
    assert run("export", *arguments, database=path).exit_code == 2
