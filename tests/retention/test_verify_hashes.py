"""`verify` compares messages with their hashes: a sample, or with *deep* all of them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from datastore import Conversation, Datastore, NewMessage
from datastore.errors import BackupError
from datastore.upkeep import verify
from tests.databases import rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

MANY = 2500


@pytest.fixture
def full(store: Datastore, conversation: Conversation) -> Datastore:
    store.messages.append_many(
        conversation.id, [NewMessage(role="user", content=f"said {n}", id=f"m{n}") for n in range(MANY)]
    )
    return store


def forge(store: Datastore, id: str) -> None:
    """What a disk or a person may do, whom no index tells."""
    rows(store, "UPDATE messages SET content_hash = ? WHERE id = ?", ("0" * 64, id))


def found(store: Datastore, deep: bool = False) -> list[str]:
    return store.verify(deep=deep)["content hashes"]


@pytest.mark.parametrize("number", [0, 1, MANY // 2, MANY - 1])
def test_deep_finds_each(full: Datastore, number: int) -> None:
    assert found(full, deep=True) == []
    forge(full, f"m{number}")
    assert found(full, deep=True) == [f"message m{number}: its content does not match its hash"]


@pytest.mark.parametrize("number", [0, MANY - 1])
def test_a_sample_has_the_first_and_the_last(full: Datastore, number: int) -> None:
    forge(full, f"m{number}")
    assert len(found(full)) == 1


def test_a_sample_is_from_everywhere(full: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000, 1100):
        forge(full, f"m{number}")
    assert 30 <= len(found(full)) <= 50
    monkeypatch.setattr(verify, "SAMPLE", 10)
    assert len(found(full)) <= 1


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 1001])
def test_a_small_table_is_read_whole(store: Datastore, conversation: Conversation, count: int) -> None:
    store.messages.append_many(
        conversation.id, [NewMessage(role="user", content="x", id=f"m{n}") for n in range(count)]
    )
    assert found(store) == []
    chosen = {0, count // 2, count - 1} & set(range(count))
    for number in chosen:
        forge(store, f"m{number}")
    assert len(found(store, deep=True)) == len(chosen)
    if count <= 1000:
        assert found(store) == found(store, deep=True)


def test_the_command(full: Datastore, path: Path) -> None:
    forge(full, "m1")  # the sample has every second or third one, the first among them
    assert found(full) == []
    for arguments, code in (((), 0), (("--deep",), 4)):
        command = [sys.executable, "-m", "datastore.cli", "verify", "--json", *arguments]
        environment = {**os.environ, "DATASTORE_DATABASE": str(path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == code
        assert len(json.loads(done.stdout)["checks"]["content hashes"]) == bool(code)


@pytest.mark.sqlite
def test_no_backup_is_made_of_a_changed_message_and_none_is_restored(
    store: Datastore, conversation: Conversation, path: Path, tmp_path: Path
) -> None:
    store.messages.append(conversation.id, role="user", content="something", id="m")
    copy = store.backups.create(tmp_path / "copy.db")
    forge(store, "m")
    with pytest.raises(BackupError, match="message m"):
        store.backups.create(tmp_path / "another.db")
    store.close()
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("UPDATE messages SET content_hash = ?", ("0" * 64,))
    with pytest.raises(BackupError):
        Datastore.restore(copy.path, path)
