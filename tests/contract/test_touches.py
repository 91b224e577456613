"""What statements and triggers touch: columns by name, cascades by foreign key, what triggers do by trigger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from datastore.contract.facts import ProjectFacts
from datastore.contract.schema import Schema
from datastore.contract.touches import Touch, Touches, read_touches, touches

ROOT = Path(__file__).resolve().parents[2]

SCHEMA = """\
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, notes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    author_id INTEGER,
    body TEXT,
    parent_id INTEGER,
    CONSTRAINT notes_author_fkey FOREIGN KEY (author_id) REFERENCES authors ON DELETE SET NULL,
    FOREIGN KEY (parent_id) REFERENCES notes (id) ON DELETE CASCADE
);
CREATE TABLE "odd name" ("a column" TEXT, note_id INTEGER CONSTRAINT inline REFERENCES notes (id));
CREATE VIEW shown AS SELECT id, body FROM notes WHERE author_id IS NOT NULL;
CREATE TRIGGER shown_write INSTEAD OF UPDATE OF body ON shown
BEGIN
    UPDATE notes SET body = new.body WHERE id = new.id;
END;
CREATE TRIGGER notes_added AFTER INSERT ON notes
BEGIN
    UPDATE authors SET notes = notes + 1 WHERE id = new.author_id;
    INSERT INTO "odd name" ("a column") VALUES (new.body);
END;
"""


@pytest.fixture(scope="module")
def project(facts: ProjectFacts) -> Touches:
    return read_touches(facts)


@pytest.fixture
def schema() -> Schema:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    return Schema(connection)


def found(schema: Schema, sql: str) -> set[Touch]:
    return {*touches(schema, sql)}


def test_deleting_a_conversation_takes_along_what_belongs_to_it(project: Touches) -> None:
    written = {(one.action, one.table, one.by) for one in project.statements["delete_conversation"] if one.writes}
    assert written >= {
        ("delete", "conversations", ""),
        ("delete", "messages", "messages_conversation_id_fkey"),
        ("delete", "learnings", "learnings_conversation_id_fkey"),
        ("delete", "redactions", "redactions_conversation_id_fkey"),
        ("delete", "redactions", "redactions_message_id_fkey"),
        ("delete", "learning_messages", "learning_messages_learning_id_fkey"),
        ("delete", "learning_messages", "learning_messages_message_id_fkey"),
        ("delete", "learning_tags", "learning_tags_learning_id_fkey"),
        ("delete", "uploads", "uploads_learning_id_fkey"),
        ("delete", "learnings_fts", "learnings_fts_delete"),
        ("update", "conversations", "messages_count_delete"),
    }
    assert not {table for _, table, _ in written} & {"job_queue", "job_attempts", "audit_log"}
    assert {"learnings_fts_delete", "messages_count_delete"} <= {*project.fires["delete_conversation"]}


def test_appending_a_message_counts_it_through_a_trigger(project: Touches) -> None:
    every = project.statements["append_message"]
    assert Touch("insert", "messages", "content", "new_messages_insert") in every  # on SQLite it goes through a view
    assert Touch("insert", "messages", "seq", "new_messages_insert") not in every  # not named, so given by SQLite
    counted = {one.column for one in every if one.by == "messages_count_insert" and one.writes}
    assert counted == {"message_count", "last_position", "updated_at"}


def test_hiding_a_conversation_reaches_the_tags_and_the_full_text_through_three_triggers(project: Touches) -> None:
    every = project.statements["soft_delete_conversation"]
    assert Touch("update", "learnings", "deleted_at", "conversations_deleted_at_update") in every
    assert Touch("delete", "learning_tags", "", "learnings_tags_update") in every
    assert any(
        one.table == "learnings_fts" and one.by.startswith("learnings_fts_update") and one.writes for one in every
    )


def test_a_list_writes_nothing_and_reads_each_column_that_it_gives(project: Touches) -> None:
    every = project.statements["list_messages_after"]
    assert not any(one.writes for one in every)
    assert Touch("read", "messages", "content") in every
    assert {one.by for one in every} == {""}


def test_a_trigger_is_told_whoever_fires_it(project: Touches) -> None:
    every = project.triggers["messages_count_insert"]
    assert Touch("update", "conversations", "message_count") in every
    assert Touch("read", "messages", "position") in every
    assert project.triggers["audit_log_append_only_update"] == ()  # it only raises
    assert "audit_log_append_only_insert" in project.fires["add_audit_entry"]


def test_set_null_is_the_foreign_keys_doing(schema: Schema) -> None:
    every = found(schema, "DELETE FROM authors WHERE id = 1")
    assert Touch("update", "notes", "author_id", "notes_author_fkey") in every
    assert not any(one.table == "odd name" and one.writes for one in every)


def test_a_key_without_a_name_and_to_its_own_table(schema: Schema) -> None:
    names = {key.name: (key.parent, key.parent_columns) for key in schema.foreign_keys}
    assert names == {
        "notes_author_fkey": ("authors", ("id",)),
        "notes (parent_id)": ("notes", ("id",)),
        "odd name (note_id)": ("notes", ("id",)),
    }
    every = found(schema, "DELETE FROM authors WHERE id = 1")
    assert not any(one.action == "delete" and one.table == "notes" for one in every)


def test_an_insert_names_its_columns_or_writes_all_of_them(schema: Schema) -> None:
    named = found(schema, 'INSERT INTO "odd name" ("A Column") VALUES (1)')
    assert Touch("insert", "odd name", "a column") in named
    assert Touch("insert", "odd name", "note_id") not in named
    every = found(schema, 'INSERT INTO "odd name" VALUES (1, 2)')
    assert {Touch("insert", "odd name", "a column"), Touch("insert", "odd name", "note_id")} <= every


def test_an_upsert_inserts_and_updates(schema: Schema) -> None:
    every = found(
        schema,
        "INSERT INTO authors AS a (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    assert Touch("insert", "authors", "id") in every
    assert Touch("update", "authors", "name") in every
    assert Touch("insert", "authors", "notes") not in every


def test_what_a_trigger_inserts_is_read_from_its_own_text(schema: Schema) -> None:
    every = found(schema, "INSERT INTO notes (id, body) VALUES (1, 'x')")
    assert Touch("insert", "odd name", "a column", "notes_added") in every
    assert Touch("insert", "odd name", "note_id", "notes_added") not in every
    assert Touch("update", "authors", "notes", "notes_added") in every


def test_a_view_says_what_it_reads_and_its_trigger_what_it_writes(schema: Schema) -> None:
    assert Touch("read", "notes", "author_id", "shown") in found(schema, "SELECT id FROM shown")
    assert Touch("update", "notes", "body", "shown_write") in found(schema, "UPDATE shown SET body = 'x'")


def test_a_count_reads_the_table_and_no_column(schema: Schema) -> None:
    assert found(schema, "SELECT count(*) FROM notes") == {Touch("read", "notes", "")}


def test_what_is_no_table_is_left_out(schema: Schema) -> None:
    sql = "WITH authors AS (SELECT value AS id FROM json_each('[1]')) SELECT id FROM authors"
    assert found(schema, sql) == set()
    assert found(schema, "SELECT value FROM json_each('[1]')") == set()


def test_the_connection_is_as_it_was_before(schema: Schema) -> None:
    found(schema, "DELETE FROM authors WHERE id = 1")
    assert schema.connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
    assert schema.connection.execute("SELECT count(*) FROM authors").fetchone() == (0,)
