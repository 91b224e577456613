"""A legal hold holds: what is held stays as it is, column by column of the schema as it stands, whoever writes."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import pytest

from datastore import Datastore
from datastore.engines.postgresql import errors as postgresql_errors
from datastore.engines.sqlite import errors as sqlite_errors
from datastore.errors import ConstraintError, LegalHoldError, UniqueError
from tests.conftest import REDACTION, Clock

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

#: What triggers make of other columns, and `verify` compares with them: no hold is needed.
DERIVED = {"learning_tags", "learning_words", "message_words", "learning_vectors", "message_vectors"}

#: What may change under a hold: hiding and showing, and the counts of the messages that come.
FREE = {
    ("conversations", "message_count"),
    ("conversations", "last_position"),
    ("conversations", "active_branch"),
    ("conversations", "last_branch"),
    ("branches", "last_position"),
    ("conversations", "updated_at"),
    ("conversations", "deleted_at"),
    ("learnings", "deleted_at"),
    # The end of the hold itself.
    ("legal_holds", "released_at"),
}


@attrs.frozen
class Column:
    """A column of the schema as it stands."""

    table: str
    name: str
    type: str
    #: Whether only the database writes it.
    identity: bool = False


class Shell:
    """The database's own shell, on either engine, with the schema's tables, keys and columns."""

    def __init__(self, store: Datastore) -> None:
        self.sqlite = store.engine.name == "sqlite"
        if self.sqlite:
            self._connection: Any = sqlite3.connect(store.engine.path, isolation_level=None)
            self._connection.execute("PRAGMA foreign_keys = ON")
        else:
            import psycopg

            engine: Any = store.engine
            self._connection = psycopg.connect(engine._conninfo, autocommit=True)

    def __call__(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql if self.sqlite else sql.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []

    def refused(self, sql: str, *values: Any) -> Exception | None:
        """This library's error for a statement; what it changed, if nothing refused it, is undone."""
        self("BEGIN")
        try:
            self(sql, *values)
        except Exception as error:
            translate = sqlite_errors.translate if self.sqlite else postgresql_errors.translate
            return translate(error, "plain SQL")
        finally:
            self("ROLLBACK")
        return None

    def owned(self) -> list[str]:
        """Conversations, and every table that refers to them or to one that does."""
        found, names = ["conversations"], self._tables()
        for parent in found:
            found += [name for name in names if name not in found and parent in self._parents(name)]
        return found

    def _tables(self) -> list[str]:
        if self.sqlite:
            return [name for (name,) in self("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return [name for (name,) in self("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]

    def _parents(self, table: str) -> set[str]:
        if self.sqlite:
            return {row[2] for row in self(f"PRAGMA foreign_key_list({table})")}
        sql = "SELECT CAST(confrelid AS regclass) FROM pg_constraint WHERE contype = 'f' AND conrelid = CAST(? AS regclass)"
        return {str(parent) for (parent,) in self(sql, table)}

    def columns(self, table: str) -> list[Column]:
        """Those that can be written."""
        if self.sqlite:
            return [Column(table, row[1], row[2]) for row in self(f"PRAGMA table_xinfo({table})") if not row[6]]
        sql = (
            "SELECT column_name, data_type, is_identity FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = ? AND is_generated = 'NEVER' ORDER BY ordinal_position"
        )
        return [Column(table, name, type, identity == "YES") for name, type, identity in self(sql, table)]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        names = ", ".join(column.name for column in self.columns(table))
        cast = f"SELECT {names} FROM {table}"
        return sorted(self(cast), key=repr)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def shell(store: Datastore) -> Iterator[Shell]:
    opened = Shell(store)
    try:
        yield opened
    finally:
        opened.close()


def another(column: Column) -> str:
    """SQL that gives another value of the column's type."""
    if column.identity:
        return "DEFAULT"
    if column.type in ("INTEGER", "bigint", "integer"):
        return f"coalesce({column.name}, 0) + 1000000"
    if column.type in ("REAL", "double precision"):
        return f"{column.name} / 2"
    if column.type.startswith("timestamp"):
        return f"coalesce({column.name}, now()) + interval '1 day'"
    if column.type == "json":
        return """'{"another": true}'"""
    return f"coalesce({column.name}, '') || 'x'"


def fill(store: Datastore, name: str) -> str:
    """A conversation with a row in every table that is owned by one."""
    id = store.conversations.add(
        id=name, sanitization_version="1", session_id=f"{name}-session", correlation_id=f"{name}-key", title=name
    ).id
    messages = [
        store.messages.append(id, id=f"{name}-{number}", role="user", content=f"{name} said {number}").id
        for number in (1, 2)
    ]
    learning = store.learnings.add(
        id=f"{name}-learning",
        conversation_id=id,
        category="c",
        title="t",
        content=name,
        confidence=0.5,
        tags=["tag"],
        message_ids=messages,
    )
    store.uploads.add(learning.id, "wiki")
    store.redactions.add(id, message_id=messages[0], **REDACTION)
    store.branches.fork(id, position=1, label="again", switch=False)
    store.messages.append(id, role="user", content="on a branch", source_id="s", branch=1)
    return id


@pytest.fixture
def held(store: Datastore) -> str:
    id = fill(store, "held")
    fill(store, "other")
    store.holds.place(id, reason="case 12")
    store.holds.place("other", reason="case 13")
    store.holds.release("other")
    return id


def everything(shell: Shell) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table that conversations own."""
    return {table: shell.rows(table) for table in shell.owned()}


def of_held(table: str) -> str:
    """Which rows of a table are of the held conversation."""
    if table == "conversations":
        return "id = 'held'"
    if table in ("uploads", "learning_messages", "learning_tags"):
        return "learning_id = 'held-learning'"
    return "conversation_id = 'held'"


def test_the_schema_owns_what_this_file_knows(store: Datastore) -> None:
    """A new table of a conversation's needs its triggers, and a line in `of_held`."""
    with shell(store) as plain:
        assert set(plain.owned()) == {
            "branches",
            "conversations",
            "learning_messages",
            "learning_tags",
            "learning_vectors",
            "learnings",
            "legal_holds",
            "message_vectors",
            "messages",
            "redactions",
            "uploads",
            *(() if plain.sqlite else ("learning_words", "message_words")),
        }


def test_no_column_of_what_is_held_changes_by_plain_sql(store: Datastore, held: str) -> None:
    with shell(store) as plain:
        before = everything(plain)
        wrong = []
        for table in set(before) - DERIVED:
            assert plain(f"SELECT count(*) FROM {table} WHERE {of_held(table)}") > [(0,)], table
            for column in plain.columns(table):
                change = f"UPDATE {table} SET {column.name} = {another(column)} WHERE "
                error = plain.refused(change + of_held(table))
                if (table, column.name) in FREE:
                    continue
                fixed = getattr(error, "constraint", "") == "messages_conversation_id_fixed"  # with and without a hold
                if not isinstance(error, LegalHoldError) and not fixed:
                    wrong.append(f"{table}.{column.name}: {error}")
                # What is not held changes, or is refused for another reason.
                others = of_held(table).replace("held", "other")
                if isinstance(plain.refused(change + others), LegalHoldError) and table != "legal_holds":
                    wrong.append(f"{table}.{column.name}: refused where nothing is held")
        assert wrong == []
        assert everything(plain) == before


def test_no_row_of_what_is_held_goes_by_plain_sql(store: Datastore, held: str) -> None:
    with shell(store) as plain:
        before = everything(plain)
        for table in set(before) - DERIVED:
            error = plain.refused(f"DELETE FROM {table} WHERE {of_held(table)}")
            assert isinstance(error, LegalHoldError), f"{table}: {error}"
            if not plain.sqlite:
                error = plain.refused(f"TRUNCATE {table} CASCADE")
                assert isinstance(error, LegalHoldError), f"TRUNCATE {table}: {error}"
        assert everything(plain) == before


@pytest.mark.parametrize("column", sorted(name for table, name in FREE if table == "conversations"))
def test_what_may_change(store: Datastore, held: str, column: str) -> None:
    changed = {
        "message_count": "2",
        "last_position": "9",
        "active_branch": "0",
        "last_branch": "9",
        "updated_at": "'2099-01-01T00:00:00.000000Z'",
    }
    value = changed.get(column, "'2001-01-01T00:00:00.000000Z'")
    with shell(store) as plain:
        assert plain.refused(f"UPDATE conversations SET {column} = {value} WHERE id = 'held'") is None


def test_a_held_learning_is_hidden_only_with_its_conversation(store: Datastore, held: str) -> None:
    with shell(store) as plain:
        hide = "UPDATE learnings SET deleted_at = '2026-03-01T12:00:00.000000Z' WHERE conversation_id = 'held'"
        assert isinstance(plain.refused(hide), LegalHoldError)
    store.conversations.soft_delete(held)
    assert store.learnings.get("held-learning").deleted_at is not None
    store.conversations.restore(held)
    assert store.learnings.get("held-learning").deleted_at is None


def test_the_views_list_what_is_held(store: Datastore, held: str) -> None:
    with shell(store) as plain:
        assert plain("SELECT conversation_id FROM held_conversations") == [(held,)]
        learned = plain("SELECT id FROM learnings WHERE conversation_id = ?", held)
        assert learned
        assert plain("SELECT learning_id FROM held_learnings") == learned
        store.holds.release(held)
        assert plain("SELECT conversation_id FROM held_conversations") == []
        assert plain("SELECT learning_id FROM held_learnings") == []


def test_a_hold_ends_once(store: Datastore, held: str) -> None:
    with shell(store) as plain:
        back = "UPDATE legal_holds SET released_at = NULL, released_by = NULL WHERE conversation_id = 'other'"
        assert isinstance(plain.refused(back), LegalHoldError)
        forged = "UPDATE legal_holds SET released_by = 'somebody else' WHERE conversation_id = 'other'"
        assert isinstance(plain.refused(forged), LegalHoldError)
    released = store.holds.release(held)
    assert released.released_at is not None
    with shell(store) as plain:
        assert plain.refused("DELETE FROM conversations WHERE id = 'held'") is None


def unique_keys(plain: Shell, table: str) -> list[list[str]]:
    """The columns of every key of a table, its place on disk too."""
    keys = [["seq"]] if "seq" in {column.name for column in plain.columns(table)} else []
    for row in plain(f"PRAGMA index_list({table})"):
        if row[2]:
            keys.append([found[2] for found in plain(f"PRAGMA index_info({row[1]})")])
    return keys


#: Keys by which the library finds or adds (ON CONFLICT DO UPDATE): no trigger can tell that from REPLACE (docs/retention.md).
UNSEEN = [("uploads", ["learning_id", "destination"]), ("legal_holds", ["conversation_id"])]


@pytest.mark.sqlite
@pytest.mark.parametrize("foreign_keys", ["ON", "OFF"])
def test_replace_does_not_take_the_place_of_what_is_held(store: Datastore, held: str, foreign_keys: str) -> None:
    # REPLACE deletes what is in its way, and no DELETE trigger fires.
    with shell(store) as plain:
        plain(f"PRAGMA foreign_keys = {foreign_keys}")
        tables = sorted(set(plain.owned()) - DERIVED)
        before = {table: plain(f"SELECT * FROM {table} WHERE {of_held(table)}") for table in tables}
        tried = 0
        for table in tables:
            names = [column.name for column in plain.columns(table)]
            mine = dict(zip(names, before[table][0], strict=True))
            others = of_held(table).replace("held", "other")
            for key in unique_keys(plain, table):
                # Another's row, with the key of one that is held.
                row = dict(zip(names, plain(f"SELECT * FROM {table} WHERE {others}")[0], strict=True))
                row |= {"released_at": None, "released_by": None} if table == "legal_holds" else {}
                for name in ("seq", "id"):
                    if name in row:
                        row[name] = 1000 + tried if name == "seq" else f"new {tried}"
                row |= {name: mine[name] for name in key}
                if row == mine or (table, key) in UNSEEN:
                    continue
                tried += 1
                sets = ", ".join(f"{name} = ?" for name in key)
                for sql, values in (
                    (f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", list(row.values())),
                    (f"UPDATE OR REPLACE {table} SET {sets} WHERE {others}", [mine[name] for name in key]),
                ):
                    plain("BEGIN")
                    with suppress(sqlite3.IntegrityError):
                        plain(sql, *values)
                    now = {table: plain(f"SELECT * FROM {table} WHERE {of_held(table)}") for table in tables}
                    plain("ROLLBACK")
                    lost = [table for table in tables for row in before[table] if row not in now[table]]
                    assert lost == [], f"{sql}: {key}"
        assert tried >= 10


@pytest.mark.sqlite
def test_a_taken_id_is_said_as_without_a_hold(store: Datastore, held: str) -> None:
    with pytest.raises(UniqueError):
        store.conversations.add(id="held", sanitization_version="1")
    with pytest.raises(UniqueError):
        store.messages.append("other", id="held-1", role="user", content="x")
    with pytest.raises(UniqueError):
        store.learnings.add(id="held-learning", conversation_id="other", category="c", title="t", content="other one")


# --- through the library -------------------------------------------------------------------------------------------


def refused_calls(store: Datastore) -> dict[str, Callable[[], Any]]:
    """What changes or deletes something that is held, by repository and method."""
    upload = store.uploads.list_by_learning("held-learning").items[0].id
    return {
        "conversations.update": lambda: store.conversations.update("held", title="another"),
        "conversations.merge_metadata": lambda: store.conversations.merge_metadata("held", {"a": 1}),
        "conversations.complete": lambda: store.conversations.complete("held"),
        "conversations.delete": lambda: store.conversations.delete("held"),
        "branches.update": lambda: store.branches.update("held", 1, label="another"),
        "branches.delete": lambda: store.branches.delete("held", 1),
        "messages.redact": lambda: store.messages.redact("held-1", content="another"),
        "messages.update": lambda: store.messages.update("held-1", metadata={"a": 1}),
        "messages.delete": lambda: store.messages.delete("held-1"),
        "learnings.update": lambda: store.learnings.update("held-learning", tags=["another"]),
        "learnings.delete": lambda: store.learnings.delete("held-learning"),
        "uploads.start": lambda: store.uploads.start(upload),
        "uploads.delete": lambda: store.uploads.delete(upload),
    }


#: What may be done under a hold: additions, hiding and showing, and what a transition refuses before the hold does.
ALLOWED = {
    "conversations.add",
    "conversations.add_many",
    "conversations.soft_delete",
    "conversations.soft_delete_many",
    "conversations.restore",
    # They pass by what is held.
    "conversations.purge",
    "conversations.purge_many",
    "branches.fork",
    "branches.switch",
    # What was said may be heard to its end; no word of it is changed.
    "messages.begin",
    "messages.extend",
    "messages.finish",
    "messages.append",
    "messages.append_many",
    "learnings.add",
    "learnings.add_many",
    "learnings.delete_many",  # passes by what is held
    "uploads.add",
    "uploads.add_many",
    "audit.record",
    "redactions.add",
    "redactions.add_many",
    # Not from "pending": `uploads.start` is the only way on, and is refused.
    "uploads.finish",
    "uploads.confirm",
    "uploads.fail",
    "uploads.retry",
    "uploads.release",
}

READS = {
    "conversations": {"get", "find", "count", "lock"},
    "branches": {"get"},
    "messages": {"get", "find", "find_by_source", "latest", "count", "search"},
    "learnings": {"get", "find", "count", "categories", "tags", "facets", "search"},
    "uploads": {"get", "find", "counts"},
    "redactions": {"count"},
    "audit": {"count", "last", "high_water", "verify"},
}


def test_the_library_changes_nothing_that_is_held(store: Datastore, held: str) -> None:
    calls = refused_calls(store)
    for repository, reads in READS.items():
        methods = {
            f"{repository}.{name}"
            for name, _ in inspect.getmembers(getattr(store, repository), inspect.ismethod)
            if not name.startswith(("_", "list", "iterate"))
        }
        known = {f"{repository}.{name}" for name in reads} | set(calls) | ALLOWED
        assert methods <= known, "a new method: is it refused under a hold, is it allowed, or does it read?"
    with shell(store) as plain:
        before = everything(plain)
        for name, call in calls.items():
            with pytest.raises(LegalHoldError):
                call()
                pytest.fail(f"{name} was not refused")
        assert store.learnings.delete_many(["held-learning"]) == []
        assert everything(plain) == before


@pytest.mark.parametrize("field", ["category", "title", "content", "confidence", "tags", "metadata"])
def test_no_field_of_a_held_learning_is_updated(store: Datastore, held: str, field: str) -> None:
    values: dict[str, Any] = {"confidence": 0.1, "tags": ["another"], "metadata": {"another": 1}}
    with pytest.raises(LegalHoldError):
        store.learnings.update("held-learning", **{field: values.get(field, "another")})


def test_what_is_new_may_come(store: Datastore, held: str, clock: Clock) -> None:
    with shell(store) as plain:
        before = everything(plain)
        clock.advance(60)
        store.messages.append(held, role="user", content="what was said later")
        added = store.learnings.add(conversation_id=held, category="c", title="later", content="later", tags=["tag"])
        assert store.learnings.add(conversation_id=held, category="c", title="later", content="later") == added
        first = store.uploads.list_by_learning("held-learning").items[0]
        assert store.uploads.add("held-learning", "wiki") == first
        store.uploads.add("held-learning", "elsewhere")
        store.redactions.add(held, **REDACTION)
        store.conversations.soft_delete(held)
        store.conversations.restore(held)
        assert store.conversations.get(held).message_count == 4
        after = everything(plain)
        for table in set(before) - {"conversations"}:
            assert [row for row in before[table] if row not in after[table]] == [], table
        assert not any(store.verify().values())


def test_a_write_that_changes_nothing_is_no_change(store: Datastore, held: str) -> None:
    # What is found is given back by ON CONFLICT DO UPDATE, which writes the row as it is.
    with shell(store) as plain:
        assert plain.refused("UPDATE uploads SET destination = destination") is None
        assert plain.refused("UPDATE legal_holds SET released_at = released_at") is None
        for table, column in (
            ("conversations", "title"),
            ("messages", "content"),
            ("redactions", "rule"),
            ("learnings", "title"),
        ):
            assert isinstance(plain.refused(f"UPDATE {table} SET {column} = {column}"), LegalHoldError), table


def test_a_hold_is_said_as_such(store: Datastore, held: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        store.messages.delete("held-1")
    assert caught.value.constraint == "messages_legal_hold"
    assert "release the hold first" in str(caught.value)
