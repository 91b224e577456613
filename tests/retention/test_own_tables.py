"""An application's own tables: what of them goes with a subject is shown before, and counted in the receipt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from tests import databases
from tests.retention.test_commands import run

SQLITE = """
CREATE TABLE notes (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    picture BLOB
) STRICT;
CREATE TABLE comments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    note_id TEXT NOT NULL REFERENCES Notes ON DELETE CASCADE,
    answers INTEGER REFERENCES comments (number) ON DELETE CASCADE
) STRICT;
CREATE TABLE bookmarks (
    person TEXT NOT NULL,
    message_id TEXT REFERENCES messages (id) ON DELETE SET NULL
);
CREATE TABLE ratings (
    place INTEGER NOT NULL,
    learning_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    PRIMARY KEY (learning_id, place),
    FOREIGN KEY (learning_id, source_id) REFERENCES learning_messages (learning_id, message_id) ON DELETE CASCADE
);
CREATE TABLE reasons (
    id BLOB PRIMARY KEY,
    learning_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    FOREIGN KEY (learning_id, place) REFERENCES ratings (learning_id, place) ON DELETE CASCADE
);
CREATE TABLE proofs (reason BLOB REFERENCES reasons (id) ON DELETE CASCADE);
CREATE TABLE strangers (id INTEGER PRIMARY KEY, conversation_id TEXT NOT NULL);
"""
SERVER = (
    SQLITE.replace(" STRICT", "")
    .replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
    .replace("BLOB", "BYTEA")
    .replace("answers INTEGER", "answers BIGINT")
)


@pytest.fixture
def app(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Datastore]:
    """A store with tables of an application, of two conversations."""
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "app-notes.sql").write_text(SQLITE if engine == "sqlite" else SERVER)
    if engine == "sqlite":
        with Datastore.open(tmp_path / "own.db", migrate=True, migrations=[steps]) as store:
            fill(store)
            yield store
    else:
        from tests.postgresql import database

        with database("own_rows") as url, Datastore.open(url, migrate=True, migrations=[steps]) as store:
            fill(store)
            yield store


BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


def fill(store: Datastore) -> None:
    for name in ("mine", "theirs"):
        store.conversations.add(id=name, sanitization_version="1", session_id=name)
        message = store.messages.append(name, role="user", content=f"said by {name}", id=f"{name}-message")
        store.learnings.add(
            id=f"{name}-learning", conversation_id=name, category="c", title="t", content=name, message_ids=[message.id]
        )
    blob = "X'00ff'" if store.engine.name == "sqlite" else "'\\x00ff'"
    for sql in (
        "INSERT INTO notes VALUES ('n1', 'mine', 'a secret in a note of mine', NULL), ('n2', 'mine', 'x', NULL)",
        "INSERT INTO notes VALUES ('n3', 'theirs', 'x', NULL)",
        "INSERT INTO comments (note_id) VALUES ('n1'), ('n3'), ('n3')",
        # An answer to a comment on a note that goes, on a note that stays.
        "INSERT INTO comments (note_id, answers) VALUES ('n3', 1)",
        "INSERT INTO bookmarks VALUES ('p', 'mine-message'), ('p', 'mine-message'), ('q', 'theirs-message'), ('r', NULL)",
        "INSERT INTO ratings VALUES (1, 'mine-learning', 'mine-message'), (1, 'theirs-learning', 'theirs-message')",
        "INSERT INTO strangers VALUES (1, 'mine')",
        f"INSERT INTO reasons VALUES ({blob}, 'mine-learning', 1)",
        f"INSERT INTO proofs VALUES ({blob}), (NULL)",
    ):
        databases.rows(store, sql)


OWN = {
    "bookmarks": {"unlinked": 2},
    "comments": {"deleted": 2},
    "notes": {"deleted": 2},
    "proofs": {"deleted": 1},
    "ratings": {"deleted": 1},
    "reasons": {"deleted": 1},
}


@BOTH
def test_what_goes_of_own_tables_is_shown_and_counted(app: Datastore) -> None:
    held = app.disclose(conversation_id="mine")
    assert held.own_counts() == OWN
    rows = {own.table: own.rows for own in held.own_tables}
    assert rows["notes"][0] == {
        "id": "n1",
        "conversation_id": "mine",
        "text": "a secret in a note of mine",
        "picture": None,
    }
    assert sorted(row["number"] for row in rows["comments"]) == [1, 4]
    assert rows["reasons"] == ({"id": "00ff", "learning_id": "mine-learning", "place": 1},)
    before = {table: counted(app, table) for table in OWN}
    receipt = app.erase(conversation_id="mine")
    assert receipt.status == ("verified" if app.engine.name == "sqlite" else "deleted")
    assert receipt.receipt["own_tables"] == OWN
    assert app.retention.receipts.get(receipt.id).receipt["own_tables"] == OWN
    # What the receipt says is what the database did.
    for table, fates in OWN.items():
        assert before[table] - counted(app, table) == fates.get("deleted", 0), table
    assert databases.rows(app, "SELECT count(*) FROM bookmarks WHERE message_id IS NULL") == [(3,)]
    assert "secret" not in repr(held)


def counted(store: Datastore, table: str) -> int:
    return int(databases.rows(store, f"SELECT count(*) FROM {table}")[0][0])


@BOTH
def test_a_learning_takes_its_own_rows_only(app: Datastore) -> None:
    assert app.disclose(learning_id="mine-learning").own_counts() == {
        name: OWN[name] for name in ("proofs", "ratings", "reasons")
    }
    assert app.disclose(session_id="theirs").own_counts() == {
        "bookmarks": {"unlinked": 1},
        "comments": {"deleted": 3},
        "notes": {"deleted": 1},
        "ratings": {"deleted": 1},
    }
    receipt = app.erase(learning_id="mine-learning")
    assert receipt.receipt["own_tables"] == {name: OWN[name] for name in ("proofs", "ratings", "reasons")}


@BOTH
def test_a_receipt_without_own_rows_has_no_word_of_them(store: Datastore) -> None:
    store.conversations.add(id="c", sanitization_version="1")
    assert store.disclose(conversation_id="c").own_tables == ()
    assert "own_tables" not in store.erase(conversation_id="c").receipt


def test_the_commands_show_them(tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "app-notes.sql").write_text(SQLITE)
    with Datastore.open(tmp_path / "own.db", migrate=True, migrations=[steps]) as store:
        fill(store)
    path = tmp_path / "own.db"
    shown = json.loads(run("export", "--everything", "--session-id", "mine", database=path).stdout)
    tables: dict[str, Any] = {own["table"]: own for own in shown["own_tables"]}
    assert (tables["notes"]["fate"], len(tables["notes"]["rows"])) == ("deleted", 2)
    assert tables["proofs"]["rows"] == [{"reason": "00ff"}]
    told = run("erase", "--session-id", "mine", database=path).stdout
    lines = {" ".join(line.split()) for line in told.splitlines()}
    assert {"own table comments 2 deleted", "own table bookmarks 2 unlinked"} <= lines, told
