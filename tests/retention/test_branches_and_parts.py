"""Branches, parts and ids of a source under erasure, export, redaction and retention: nothing is left, nothing is lost."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from datastore import (
    Datastore,
    FilePart,
    ImagePart,
    NotFoundError,
    OtherPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    export,
)
from tests.conftest import Clock

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

#: Words that nothing else has, one for each place where a text can be.
PLACES = (
    "labelxqj", "plainxqj", "textxqj", "thinkxqj", "signxqj", "callxqj", "argumentxqj", "resultxqj", "imagexqj", "urlxqj", "filexqj",
    "extractxqj", "kindxqj", "dataxqj", "partialxqj", "titlexqj",
)  # fmt: skip


def fill(store: Datastore) -> str:
    """A conversation with a word of PLACES in every place."""
    id = store.conversations.add(id="tree", title="titlexqj", sanitization_version="1").id
    store.messages.append(id, role="user", content="plainxqj is said here", id="m1")
    store.messages.append(id, role="assistant", content="something else", id="m2")
    store.branches.fork(id, position=1, label="labelxqj")
    store.messages.append(
        id,
        role="assistant",
        id="m3",
        source_id="s3",
        parts=[
            TextPart(text="textxqj is said"),
            ThinkingPart(text="thinkxqj is thought", signature="signxqj"),
            ToolCallPart(name="callxqj", arguments={"a": ["argumentxqj"]}),
            ToolResultPart(text="resultxqj came back"),
            ImagePart(name="imagexqj", url="https://example.org/urlxqj"),
            FilePart(name="filexqj", text="extractxqj"),
            OtherPart(kind="kindxqj", data={"x": "dataxqj"}),
        ],
    )
    store.branches.fork(id, position=2, switch=False)
    store.messages.begin(id, id="m4", content="partialxqj so far", branch=2)
    return id


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file()).lower()


@pytest.mark.sqlite
def test_no_byte_of_any_part_is_left(store: Datastore) -> None:
    folder = store.engine.path.parent
    store.conversations.add(id="other", sanitization_version="1")
    store.messages.append("other", role="user", content="what stays")
    id = fill(store)
    store.engine.checkpoint()
    assert [word for word in PLACES if word.encode() not in everything_in(folder)] == []
    receipt = store.erase(conversation_id=id)
    assert (receipt.status, receipt.receipt["deleted"]["messages"]) == ("verified", 4)
    assert [word for word in PLACES if word.encode() in everything_in(folder)] == []
    assert b"what stays" in everything_in(folder)
    assert not any(store.verify().values())


def test_an_erased_tree_is_gone(store: Datastore) -> None:
    id = fill(store)
    receipt = store.erase(conversation_id=id)
    assert receipt.receipt["deleted"]["messages"] == 4
    assert list(store.branches.list(id)) == []
    for message in ("m1", "m2", "m3", "m4"):
        assert store.messages.find(message) is None
    with pytest.raises(NotFoundError):
        store.disclose(conversation_id=id)


def test_everything_is_disclosed(store: Datastore) -> None:
    id = fill(store)
    held = store.disclose(conversation_id=id)
    texts = " ".join(held.texts())
    assert [word for word in PLACES if word not in texts] == []
    assert [message.id for message in held.messages] == ["m1", "m2", "m3", "m4"]


def test_every_branch_is_exported(store: Datastore) -> None:
    id = fill(store)
    written = io.StringIO()
    export(store, written)
    (line,) = written.getvalue().splitlines()
    data = json.loads(line)
    assert (data["active_branch"], data["last_branch"], data["last_position"]) == (1, 2, 2)
    assert [(one["branch"], one["parent_branch"], one["fork_position"], one["last_position"]) for one in data["branches"]] == [
        (1, 0, 1, 2),
        (2, 1, 2, 3),
    ]  # fmt: skip
    assert [one.get("label") for one in data["branches"]] == ["labelxqj", None]
    assert [(one["id"], one.get("branch"), one["position"]) for one in data["messages"]] == [
        ("m1", None, 1), ("m2", None, 2), ("m3", 1, 2), ("m4", 2, 3)
    ]  # fmt: skip
    third = data["messages"][2]
    assert third["source_id"] == "s3"
    assert [one["type"] for one in third["parts"]] == [
        "text", "thinking", "tool_call", "tool_result", "image", "file", "other"
    ]  # fmt: skip
    assert third["content"] == store.messages.get("m3").content
    assert [one.get("partial") for one in data["messages"]] == [None, None, None, True]
    assert list(store.messages.iterate(id)) == [store.messages.get("m1"), store.messages.get("m3")]


def test_a_linear_conversation_is_exported_as_before(store: Datastore) -> None:
    store.conversations.add(id="c", sanitization_version="1")
    store.messages.append("c", role="user", content="hello", id="m")
    written = io.StringIO()
    export(store, written)
    data = json.loads(written.getvalue())
    assert not {"branches", "active_branch", "last_branch"} & data.keys()
    assert data["messages"][0].keys() == {
        "id", "position", "role", "content", "token_count", "metadata", "created_at"
    }  # fmt: skip


def test_a_policy_takes_every_branch(store: Datastore, clock: Clock) -> None:
    id = fill(store)
    store.retention.policies.set("all", target="conversations", since="activity", age_days=1.0)
    clock.advance(timedelta(days=2).total_seconds())
    for _ in range(3):
        store.retention.apply()
    assert store.conversations.find(id) is None
    assert store.messages.count() == 0
    assert list(store.branches.list(id)) == []


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE branches SET last_position = 1 WHERE branch = 1", [1]),
        ("UPDATE branches SET fork_position = 2 WHERE branch = 1", [1, 2]),
        ("UPDATE branches SET fork_position = 1 WHERE branch = 2", [2]),
        ("UPDATE conversations SET active_branch = 2; DELETE FROM branches WHERE branch = 2", [2]),
        ("DELETE FROM branches WHERE branch = 1", [1, 2]),
        ("DROP TRIGGER messages_conversation_id_fixed; UPDATE messages SET branch = 7 WHERE id = 'm2'", [7]),
    ],
)
def test_verify_finds_what_another_program_broke(store: Datastore, sql: str, broken: list[int]) -> None:
    id = fill(store)
    assert store.verify()["branches"] == []
    with closing(sqlite3.connect(store.engine.path)) as connection:
        connection.executescript(sql)
    found = store.verify()["branches"]
    assert [line.split("branch ")[1].split()[0] for line in found] == [str(number) for number in broken]
    assert all(line.startswith(f"conversation {id}:") for line in found)
