"""An application's own tables come along when a database is copied, or are refused by name before anything is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from datastore import Datastore
from datastore.cli.commands import cli
from datastore.copy import copy
from datastore.engines.schema import DERIVED, library_tables
from datastore.errors import CopyError, DatastoreError, InvalidValueError
from tests.postgresql import database

#: Every kind of column that an application keeps, in the words of each engine.
SQLITE = """
CREATE TABLE Notes (
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    stars INTEGER,
    done INTEGER NOT NULL CHECK (done IN (0, 1)),
    weight REAL,
    price TEXT,
    document TEXT,
    facts TEXT,
    picture BLOB,
    token TEXT,
    day TEXT,
    length INTEGER GENERATED ALWAYS AS (length(id)) STORED,
    "order" TEXT,
    created_at TEXT NOT NULL,
    CONSTRAINT notes_pkey PRIMARY KEY (id),
    CONSTRAINT notes_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
) STRICT;
CREATE TABLE comments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    note_id TEXT NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    answers INTEGER REFERENCES comments (number) ON DELETE CASCADE
) STRICT;
CREATE TABLE "a flag" (flag INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (flag, name)) STRICT;
"""
SERVER = """
CREATE TABLE notes (
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    stars SMALLINT,
    done BOOLEAN NOT NULL,
    weight DOUBLE PRECISION,
    price NUMERIC(12, 2),
    document JSON,
    facts JSONB,
    picture BYTEA,
    token UUID,
    day DATE,
    length INTEGER GENERATED ALWAYS AS (length(id)) STORED,
    "order" VARCHAR(40),
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT notes_pkey PRIMARY KEY (id),
    CONSTRAINT notes_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);
CREATE TABLE comments (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    note_id TEXT NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    answers BIGINT REFERENCES comments (number) ON DELETE CASCADE
);
CREATE TABLE "a flag" (flag BOOLEAN NOT NULL, name TEXT NOT NULL, PRIMARY KEY (flag, name));
"""
COLUMNS = 'id, conversation_id, stars, done, weight, price, document, facts, picture, token, day, "order", created_at'
#: In the order of bytes, which no locale of a server shares: upper case first, what is not ASCII last.
IDS = ("B", "a", "a b", "b", "ä", "€", "😀")


def folder(path: Path, name: str, **steps: str) -> Path:
    made = path / name
    made.mkdir(exist_ok=True)
    for step, text in steps.items():
        (made / f"app-{step}.sql").write_text(text, encoding="utf-8")
    return made


@pytest.fixture
def sqlite_steps(tmp_path: Path) -> Path:
    return folder(tmp_path, "sqlite-steps", notes=SQLITE)


@pytest.fixture
def server_steps(tmp_path: Path) -> Path:
    return folder(tmp_path, "server-steps", notes=SERVER)


@pytest.fixture
def url() -> Iterator[str]:
    with database("own") as url:
        yield url


@pytest.fixture
def source(path: Path, sqlite_steps: Path) -> Path:
    """A file with rows in three tables of the application."""
    with Datastore.open(path, migrate=True, migrations=[sqlite_steps]) as store:
        conversation = store.conversations.add(sanitization_version="1").id
    at = "2026-01-02T03:04:05.000600Z"
    notes: list[tuple[Any, ...]] = []
    for n, id in enumerate(IDS):
        texts = (f"{n}.50", f'{{"n": {n}, "a":  1}}', f'{{"b":1.50,"a":[{n},"ü"]}}')
        rest = (bytes([n, 0, 255]), f"00000000-0000-4000-8000-00000000000{n}", "2026-02-28", "x", at)
        notes.append((id, conversation, n, n % 2, n / 3, *texts, *rest))
    notes.append(("z", conversation, None, 0, *[None] * 8, at))
    with closing(sqlite3.connect(path)) as connection:
        marks = ", ".join("?" * len(notes[0]))
        connection.executemany(f"INSERT INTO notes ({COLUMNS}) VALUES ({marks})", notes)
        # The first answers the last.
        connection.executemany(
            "INSERT INTO comments VALUES (?, ?, ?)", [(1, "a", 9), (2, "B", 1), (9, "z", None), (12, "z", 2)]
        )
        connection.execute("DELETE FROM comments WHERE number = 12")
        connection.executemany('INSERT INTO "a flag" VALUES (?, ?)', [(1, "b"), (0, "b"), (0, "B"), (1, "ä")])
        connection.commit()
    return path


def rows(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
            for name in ("notes", "comments", "a flag")
        }


def own_counts(url: str) -> dict[str, int]:
    with psycopg.connect(url) as server:
        return {
            name: server.execute(f'SELECT count(*) FROM "{name}"'.encode()).fetchall()[0][0]
            for name in ("notes", "comments", "a flag")
        }


def test_there_and_back_is_the_same(
    source: Path, url: str, sqlite_steps: Path, server_steps: Path, tmp_path: Path
) -> None:
    there = copy(str(source), url, migrations=[server_steps])
    assert (there.written["Notes"], there.written["comments"], there.written["a flag"]) == (8, 3, 4)
    assert own_counts(url) == {"notes": 8, "comments": 3, "a flag": 4}
    with psycopg.connect(url) as server:
        (row,) = server.execute(
            "SELECT done, price, facts ->> 'b', picture, day, length FROM notes WHERE id = 'a'"
        ).fetchall()
        assert (row[0], str(row[1]), row[2], row[3], f"{row[4]}", row[5]) == (
            True,
            "1.50",
            "1.50",
            b"\x01\x00\xff",
            "2026-02-28",
            1,
        )
    back = copy(url, str(tmp_path / "back.db"), migrations=[sqlite_steps])
    assert back.digests == {name.lower(): digest for name, digest in there.digests.items()}
    before, after = rows(source), rows(tmp_path / "back.db")
    # JSONB keeps the value, not its text; everything else is as it was.
    for note in (*before["notes"], *after["notes"]):
        assert (note[7] or "").replace(" ", "") in {"", note[7] and note[7].replace(" ", "")}
    strip = [
        [tuple(v for place, v in enumerate(row) if place != 7) for row in found["notes"]] for found in (before, after)
    ]
    assert strip[0] == strip[1]
    assert (before["comments"], before["a flag"]) == (after["comments"], after["a flag"])
    assert sum(copy(str(source), url, migrations=[server_steps]).written.values()) == 0


def test_the_numbers_go_on_after_the_last_one_that_was_given(
    source: Path, url: str, sqlite_steps: Path, server_steps: Path, tmp_path: Path
) -> None:
    """Not after the highest that is there: 12 was given, and deleted."""
    copy(str(source), url, migrations=[server_steps])
    copy(url, str(tmp_path / "back.db"), migrations=[sqlite_steps])
    added = "INSERT INTO comments (note_id) VALUES ('a') RETURNING number"
    with psycopg.connect(url) as server, closing(sqlite3.connect(tmp_path / "back.db")) as back:
        assert server.execute(added).fetchall() == back.execute(added).fetchall() == [(13,)]


def test_a_file_to_a_file_and_a_server_to_a_server(
    source: Path, url: str, sqlite_steps: Path, server_steps: Path, tmp_path: Path
) -> None:
    copy(str(source), str(tmp_path / "other.db"), migrations=[sqlite_steps])
    assert rows(tmp_path / "other.db") == rows(source)
    copy(str(source), url, migrations=[server_steps])
    with database("own_two") as second:
        copied = copy(url, second, migrations=[server_steps])
        assert own_counts(second) == own_counts(url)
        assert copied.written["notes"] == 8


def test_a_table_without_counterpart_is_refused_before_anything_is_made(source: Path, url: str, tmp_path: Path) -> None:
    for target in (url, str(tmp_path / "new.db")):
        with pytest.raises(
            CopyError, match=r"nothing was copied; not in the target: a flag, comments, Notes;.*--migrations"
        ):
            copy(str(source), target)
    assert not (tmp_path / "new.db").exists()
    with psycopg.connect(url) as server:
        assert server.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone() == (0,)
    with pytest.raises(InvalidValueError, match="there is no folder"):
        copy(str(source), url, migrations=[tmp_path / "none"])
    # Steps that do not make it: the schema is there then, and no row.
    with pytest.raises(CopyError, match="not in the target: a flag, comments, Notes"):
        copy(
            str(source),
            url,
            migrations=[folder(tmp_path, "others", others="CREATE TABLE others (id INTEGER PRIMARY KEY);")],
        )
    with psycopg.connect(url) as server:
        assert server.execute("SELECT count(*) FROM conversations").fetchone() == (0,)


def test_the_command_says_what_was_not_copied(source: Path, url: str, tmp_path: Path, server_steps: Path) -> None:
    command = ["copy", str(source), url, "--skip", "comments", "--skip", "a flag"]
    refused = CliRunner().invoke(cli, command)
    assert (refused.exit_code, "not in the target: Notes;" in refused.output) == (1, True), refused.output
    told = CliRunner().invoke(cli, [*command, "--migrations", str(server_steps)])
    assert told.exit_code == 0, told.output
    assert "not copied and not compared: a flag, comments" in told.output
    assert "Notes: 8 rows" in told.output
    assert "every other table" in told.output
    missing = CliRunner().invoke(cli, [*command, "--skip", "conversations"])
    assert (missing.exit_code, "no table conversations" in missing.output) == (1, True), missing.output


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        ("CREATE TABLE t (a INTEGER)", "CREATE TABLE t (a BIGINT)", "t has no primary key"),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)",
            "CREATE TABLE t (a TEXT, b TEXT PRIMARY KEY)",
            "t has no primary key",
        ),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)",
            "CREATE TABLE t (a TEXT PRIMARY KEY, c TEXT)",
            r"different columns.*b, c",
        ),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b ANY) STRICT",
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)",
            "t.b is ANY here and text",
        ),
        ("CREATE TABLE t (a TEXT PRIMARY KEY, b REAL)", "CREATE TABLE t (a TEXT PRIMARY KEY, b REAL)", "six digits"),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b REAL)",
            "CREATE TABLE t (a TEXT PRIMARY KEY, b NUMERIC)",
            "must be TEXT",
        ),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b BLOB)",
            "CREATE TABLE t (a TEXT PRIMARY KEY, b UUID)",
            "must be TEXT",
        ),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)",
            "CREATE TABLE t (a TEXT PRIMARY KEY, b BYTEA)",
            "must be BLOB",
        ),
        ("CREATE VIRTUAL TABLE t USING fts5 (a)", "CREATE TABLE u (a TEXT PRIMARY KEY)", "t is a virtual"),
        (
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT REFERENCES u (a)); CREATE TABLE u (a TEXT PRIMARY KEY, b TEXT REFERENCES t (a))",
            "CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT); CREATE TABLE u (a TEXT PRIMARY KEY, b TEXT)",
            "cycle",
        ),
        ("", "CREATE TABLE t (a TEXT PRIMARY KEY); INSERT INTO t VALUES ('x')", "t of the target has rows"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name_before_a_row_is_written(
    path: Path, url: str, tmp_path: Path, mine: str, theirs: str, words: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(mine)
    with Datastore.open(path) as store:
        store.conversations.add(sanitization_version="1")
    with pytest.raises(CopyError, match=words):
        copy(str(path), url, migrations=[folder(tmp_path, "steps", t=theirs)])
    with psycopg.connect(url) as server:
        assert server.execute("SELECT count(*) FROM conversations").fetchone() == (0,)


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("TIMESTAMPTZ", "2026-01-02 03:04:05"),
        ("UUID", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ("NUMERIC(4, 1)", "1.25"),
    ],
)
def test_a_value_that_does_not_come_back_is_told_by_its_column(
    path: Path, url: str, tmp_path: Path, type: str, value: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)")
        connection.execute("INSERT INTO t VALUES ('x', ?)", (value,))
        connection.commit()
    step = folder(tmp_path, "steps", t=f"CREATE TABLE t (a TEXT PRIMARY KEY, b {type})")
    with pytest.raises(CopyError, match=r"t\.b has changed in the copy: it is TEXT in the source") as told:
        copy(str(path), url, migrations=[step])
    assert value not in str(told.value)


@pytest.mark.parametrize(("type", "value"), [("SMALLINT", 70000), ("BOOLEAN", 2), ("JSON", "{")])
def test_a_value_that_the_target_refuses_is_told_by_its_table(
    path: Path, url: str, tmp_path: Path, type: str, value: Any
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE t (a TEXT PRIMARY KEY, b {'INTEGER' if isinstance(value, int) else 'TEXT'})")
        connection.execute("INSERT INTO t VALUES ('x', ?)", (value,))
        connection.commit()
    step = folder(tmp_path, "steps", t=f"CREATE TABLE t (a TEXT PRIMARY KEY, b {type})")
    with pytest.raises(DatastoreError, match="copying t: "):
        copy(str(path), url, migrations=[step])


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "10000-01-01 00:00:00+00"])
def test_times_that_text_cannot_say_are_refused(path: Path, url: str, tmp_path: Path, value: str) -> None:
    step = folder(tmp_path, "steps", t="CREATE TABLE t (a TEXT PRIMARY KEY, b TIMESTAMPTZ)")
    Datastore.open(url, migrate=True, migrations=[step]).close()
    with psycopg.connect(url) as server:
        server.execute("INSERT INTO t VALUES ('x', '9999-12-31 23:59:59.999999+00'), ('y', %s)", [value])
    own = folder(tmp_path, "own", t="CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)")
    with pytest.raises(CopyError, match=r"t\.b has times that are infinite"):
        copy(url, str(tmp_path / "back.db"), migrations=[own])
    with psycopg.connect(url) as server:
        server.execute("DELETE FROM t WHERE a = 'y'")
    assert copy(url, str(tmp_path / "back.db"), migrations=[own]).written["t"] == 1


def test_own_triggers_do_not_see_what_is_copied(path: Path, url: str, tmp_path: Path) -> None:
    """Neither on a table of the library nor on one of the application."""
    mine = """
        CREATE TABLE seen (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
        CREATE TRIGGER see AFTER INSERT ON messages BEGIN INSERT INTO seen (what) VALUES (new.id); END;
        CREATE TRIGGER see_seen AFTER INSERT ON seen WHEN new.id = -1 BEGIN DELETE FROM seen; END;
    """
    theirs = """
        CREATE TABLE seen (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, what TEXT NOT NULL);
        CREATE FUNCTION see() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen (what) VALUES (new.id); RETURN new; END $$;
        CREATE FUNCTION see_seen() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE 'seen'; END $$;
        CREATE TRIGGER see AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION see();
        CREATE TRIGGER see_seen BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION see_seen();
    """
    steps = folder(tmp_path, "mine", seen=mine)
    with Datastore.open(path, migrate=True, migrations=[steps]) as store:
        conversation = store.conversations.add(sanitization_version="1")
        for word in ("one", "two"):
            store.messages.append(conversation.id, role="user", content=word)
    copied = copy(str(path), url, migrations=[folder(tmp_path, "theirs", seen=theirs)])
    assert copied.written["seen"] == 2
    back = copy(url, str(tmp_path / "back.db"), migrations=[steps])
    assert (back.written["seen"], back.written["messages"]) == (2, 2)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_the_library_makes_is_known(engine: str, path: Path, migrated_server: str) -> None:
    """By the texts of its steps: a table of a later version is not taken for an application's."""
    if engine == "sqlite":
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                "SELECT name FROM pragma_table_list WHERE type IN ('table', 'virtual') AND schema = 'main'"
            ).fetchall()
    else:
        with psycopg.connect(migrated_server) as server:
            found = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    names = {name for (name,) in found if "yoyo" not in name and not name.startswith("sqlite_")}
    assert names <= library_tables()
    assert library_tables() > DERIVED
