"""Every migration goes up, down and up again; none is ever half there, whoever dies or meddles."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from datastore import Datastore, migrations
from datastore.errors import (
    DatabaseMissingError,
    DatastoreError,
    ForeignKeyError,
    InvalidValueError,
    NotADatastoreError,
    SchemaOutOfDateError,
    StatementError,
)
from datastore.migrations import checksums
from datastore.migrations.steps import step_files
from datastore.resources import migrations_folder, sql_folder
from datastore.statements.loader import read_statements

FOLDER = migrations_folder()
IDS = migrations.migration_ids(FOLDER)
NOW = "2026-11-23T09:14:05.000000Z"

needs_entry_point = pytest.mark.skipif(
    "sqlite+datastore" not in entry_points(group="yoyo.backends").names,
    reason="the yoyo command line finds the backend in an installed package only: pip install -e .",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a b#%41.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations, to be meddled with."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def schema(path: Path) -> list[tuple[object, ...]]:
    rows = query(
        path,
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
        " WHERE tbl_name NOT GLOB '*yoyo*' AND tbl_name NOT GLOB 'sqlite_*' ORDER BY type, name",
    )
    return rows + query(path, "PRAGMA application_id")


def applied(path: Path) -> list[object]:
    return [row[0] for row in query(path, "SELECT migration_id FROM _yoyo_migration ORDER BY migration_id")]


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(f"""
            INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at)
            VALUES ('c1', 'chat', '1', '{NOW}', '{NOW}');
            INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)
            VALUES ('m1', 'c1', 1, 'user', 'hello', '{"0" * 64}', 1, '{NOW}');
            INSERT INTO learnings
                (id, conversation_id, category, title, content, confidence, tags, dedupe_key, created_at, updated_at)
            VALUES ('l1', 'c1', 'how', 'Boiling eggs', 'Seven minutes', 0.5, '["egg"]', 'k', '{NOW}', '{NOW}');
            INSERT INTO learning_messages (learning_id, message_id) VALUES ('l1', 'm1');
        """)


def add_migration(folder: Path, text: str, name: str = "0900.extra", undo: str = "") -> None:
    (folder / f"{name}.sql").write_text(f"-- depends: {IDS[-1]}\n{text}")
    if undo:
        (folder / f"{name}.rollback.sql").write_text(undo)
    checksums.write_lock(folder)


def test_up_down_up_gives_the_same_schema_at_every_step(path: Path) -> None:
    assert migrations.apply(path) == IDS
    fill(path)
    whole = schema(path)
    schemas = [whole]
    for name in reversed(IDS):
        assert migrations.rollback(path) == [name]
        schemas.append(schema(path))
    assert schemas[-1] == [(0,)]
    assert migrations.rollback(path) == []
    assert migrations.apply(path) == IDS
    assert schema(path) == whole
    for steps in range(1, len(IDS) + 1):
        undone = migrations.rollback(path, steps=steps)
        assert undone == IDS[::-1][:steps]
        assert schema(path) == schemas[steps]
        assert migrations.apply(path) == undone[::-1]
        assert schema(path) == whole
    assert migrations.rollback(path, all=True) == IDS[::-1]
    assert schema(path) == [(0,)]


def test_rows_survive_the_rollback_of_later_steps(path: Path) -> None:
    migrations.apply(path)
    fill(path)
    migrations.rollback(path, steps=len(IDS) - 1)
    assert applied(path) == IDS[:1]
    assert query(path, "SELECT id, message_count, last_position FROM conversations") == [("c1", 1, 1)]
    assert query(path, "SELECT id, content FROM messages") == [("m1", "hello")]
    assert query(path, "SELECT id, title FROM learnings") == [("l1", "Boiling eggs")]
    assert query(path, "SELECT tag FROM learning_tags") == [("egg",)]
    migrations.apply(path)
    with Datastore.open(path) as store:
        assert store._parts.index.unindexed() == {"learnings": 1, "messages": 1}
        store.reindex()
    assert query(path, "SELECT rowid FROM learnings_fts WHERE learnings_fts MATCH 'boil'") == [(1,)]
    assert query(path, "SELECT learning_id FROM learning_messages") == [("l1",)]
    assert query(path, "PRAGMA foreign_key_check") == []
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE learnings SET title = 'Frying'")
        connection.execute("INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1)")
        connection.commit()
    assert query(path, "SELECT rowid FROM learnings_fts WHERE learnings_fts MATCH 'boil'") == []


def test_a_new_file_is_set_up(path: Path) -> None:
    path.touch()  # a 0-byte file is as good as none
    migrations.apply(path)
    assert query(path, "PRAGMA auto_vacuum") == [(2,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert {row[0] for row in query(path, "SELECT name FROM sqlite_master WHERE name GLOB '*yoyo*'")}.isdisjoint(
        {"yoyo_lock"}
    )
    assert migrations.apply(path) == []


def test_nothing_but_applying_creates_a_file(path: Path, folder: Path) -> None:
    from yoyo import read_migrations

    from datastore.migrations.sqlite import open_backend

    with pytest.raises(DatabaseMissingError):
        migrations.rollback(path)
    with open_backend(path) as backend:
        every = read_migrations(str(folder))
        assert len(backend.to_apply(every)) == len(IDS)
        assert len(backend.to_rollback(every)) == 0
        backend.rollback_migrations(backend.to_rollback(every))
        backend.break_lock()
        with pytest.raises(DatabaseMissingError):
            backend.mark_migrations(every)
    with pytest.raises(DatabaseMissingError, match="no folder"):
        migrations.apply(path.parent / "missing" / "x.db")
    assert [entry.name for entry in path.parent.iterdir()] == ["migrations"]


def test_foreign_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(NotADatastoreError):
        migrations.apply(tmp_path)
    text = tmp_path / "text.db"
    text.write_text("dear diary, " * 1000)
    theirs = tmp_path / "theirs.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    marked = tmp_path / "marked.db"
    with closing(sqlite3.connect(marked)) as connection:
        connection.execute("PRAGMA application_id = 7")
    for path in (text, theirs, marked):
        before = path.read_bytes()
        with pytest.raises(NotADatastoreError):
            migrations.apply(path)
        assert path.read_bytes() == before


def test_an_edited_migration_is_an_error(path: Path, folder: Path) -> None:
    migrations.apply(path, folder)
    edited = folder / f"{IDS[0]}.sql"
    edited.write_text(edited.read_text() + "\n-- harmless\n")
    for call in (migrations.apply, migrations.rollback):
        with pytest.raises(SchemaOutOfDateError, match=f"{edited.name} was changed"):
            call(path, folder)
    # A fresh lock file does not help where the old text was applied ...
    checksums.write_lock(folder)
    with pytest.raises(SchemaOutOfDateError, match=f"{IDS[0]}.*datastore export"):
        migrations.apply(path, folder)
    # ... and line ends make no difference.
    edited.write_bytes((FOLDER / edited.name).read_bytes().replace(b"\n", b"\r\n"))
    shutil.copy(FOLDER / "SHA256SUMS", folder)
    assert migrations.apply(path, folder) == []


def test_an_edited_rollback_is_an_error(path: Path, folder: Path) -> None:
    migrations.apply(path, folder)
    (folder / f"{IDS[-1]}.rollback.sql").write_text("")
    with pytest.raises(SchemaOutOfDateError, match=r"rollback\.sql"):
        migrations.rollback(path, folder)
    assert applied(path) == IDS


def test_the_lock_file_is_fresh() -> None:
    assert checksums.check_lock(FOLDER) == []


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_an_index_serves_is_there(engine: str) -> None:
    """A comment "Serves ..." names statements, or a trigger or view of the steps."""
    known, named = set(read_statements(sql_folder(), engine)), set()
    for step in step_files(migrations_folder(engine)):
        text = step.read_text(encoding="utf-8")
        known |= set(re.findall(r"^CREATE (?:TRIGGER|VIEW|FUNCTION) (\w+)", text, re.MULTILINE))
        for served in re.findall(r"Serves (.*(?:\n-- .*)*)", text):
            named |= set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", served))
    assert len(named) > 30
    assert named <= known


def test_check_lock_names_what_is_wrong(folder: Path) -> None:
    (folder / f"{IDS[0]}.sql").write_text("SELECT 1;")
    (folder / f"{IDS[1]}.sql").unlink()
    (folder / "0900.new.sql").write_text("SELECT 1;")
    assert checksums.check_lock(folder) == [
        f"{IDS[0]}.sql was changed",
        "0900.new.sql is not listed in SHA256SUMS",
        f"{IDS[1]}.sql is missing",
    ]
    checksums.write_lock(folder)
    assert checksums.check_lock(folder) == []


def test_pending() -> None:
    assert migrations.pending(IDS[:1]) == IDS[1:]
    assert migrations.pending(IDS) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("CREATE TABLE extra (id INTEGER);\nSELECT nonsense;", DatastoreError),
        (
            "CREATE TABLE extra (id INTEGER);\n"
            "INSERT INTO learning_messages (learning_id, message_id) VALUES ('none', 'none');",
            ForeignKeyError,
        ),
        ("CREATE TABLE extra (id INTEGER);\nROLLBACK;", StatementError),
        ("CREATE TABLE extra (id INTEGER);\nCOMMIT;", StatementError),
    ],
)
def test_a_failing_migration_leaves_nothing(path: Path, folder: Path, text: str, error: type[Exception]) -> None:
    migrations.apply(path, folder)
    fill(path)
    before = schema(path)
    add_migration(folder, text)
    with pytest.raises(error):
        migrations.apply(path, folder)
    assert schema(path) == before
    assert applied(path) == IDS
    assert query(path, "SELECT count(*) FROM learning_messages") == [(1,)]
    add_migration(folder, "CREATE TABLE extra (id INTEGER);", undo="DROP TABLE extra;")
    assert migrations.apply(path, folder) == ["0900.extra"]
    assert migrations.rollback(path, folder) == ["0900.extra"]
    assert schema(path) == before


def test_a_step_that_nobody_listed_is_refused(path: Path, folder: Path) -> None:
    (folder / "0900.new.sql").write_text("SELECT 1;")
    with pytest.raises(SchemaOutOfDateError, match=r"0900\.new\.sql is not listed in .*SHA256SUMS.*check --update"):
        migrations.apply(path, folder)
    assert not path.exists()


def test_a_rebuilt_table_keeps_its_children(path: Path, folder: Path) -> None:
    migrations.apply(path, folder)
    fill(path)
    add_migration(
        folder,
        "CREATE TABLE kept AS SELECT * FROM conversations;\nDELETE FROM conversations;\n"
        "INSERT INTO conversations SELECT * FROM kept;\nDROP TABLE kept;",
    )
    assert migrations.apply(path, folder) == ["0900.extra"]
    assert query(path, "SELECT id FROM messages") == [("m1",)]


def test_a_migration_without_transaction(path: Path, folder: Path) -> None:
    migrations.apply(path, folder)
    add_migration(folder, "-- transactional: false\nVACUUM;", undo="SELECT 1;")
    assert migrations.apply(path, folder) == ["0900.extra"]
    assert migrations.apply(path, folder) == []
    assert migrations.rollback(path, folder) == ["0900.extra"]


# Dies without a word when SQLite runs its k-th statement: what kill -9 does, at a chosen instant. One process reads the
# migrations, and each line of input, a path and a k, is one of its children, whose exit code or count it prints.
CRASH = """
import os, sqlite3, sys
from pathlib import Path
from datastore import Datastore, migrations
from datastore.migrations import runner, sqlite as yoyo_sqlite
from datastore.migrations.steps import step_files
from datastore.resources import migrations_folder, sql_folder
from datastore.statements.loader import read_statements
action = sys.argv[1]
runner._read([migrations_folder()])
count = 0
def trace(statement):
    global count
    count += 1
    if count == k:
        os._exit(9)
connect = sqlite3.connect
def traced(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_trace_callback(trace)
    return connection
sqlite3.connect = traced
for line in sys.stdin:
    path, k = line.rstrip("\\n").split("\\t")
    path, k = Path(path), int(k)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    if action == "apply":
        migrations.apply(path)
    else:
        migrations.rollback(path, all=True)
    print(count, flush=True)
    os._exit(0)
"""


def run(*arguments: str, expect: int | None = 0) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)
    if expect is not None:
        assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("action", ["apply", "rollback"])
def test_killed_at_any_statement_it_can_be_applied_to_the_end(tmp_path: Path, action: str) -> None:
    done = tmp_path / "done.db"
    migrations.apply(done)
    whole = schema(done)
    count_in = tmp_path / "count.db"
    if action == "rollback":
        shutil.copy(done, count_in)
    command = [sys.executable, "-c", CRASH, action]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def crash(path: Path, k: int) -> int:
            process.stdin.write(f"{path}\t{k}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        total = crash(count_in, 0)
        assert process.stdout.readline() == "0\n"
        assert total > 50
        for k in range(1, total + 1, max(1, total // 8)):
            path = tmp_path / f"{k}.db"
            if action == "rollback":
                shutil.copy(done, path)
            assert crash(path, k) == 9
            migrations.apply(path)
            assert schema(path) == whole
            assert applied(path) == IDS
        process.stdin.close()


def test_eight_processes_apply_at_once(path: Path) -> None:
    code = "import sys; from pathlib import Path; from datastore import migrations; print(migrations.apply(Path(sys.argv[1])))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    outcomes = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outcomes
    assert sorted(name for out, _ in outcomes for name in IDS if name in out) == IDS
    assert applied(path) == IDS
    assert query(path, "SELECT count(*) FROM _yoyo_log") == [(len(IDS),)]


def yoyo(action: str, database: str, *options: str, expect: int | None = 0) -> str:
    return run(
        "-m",
        "yoyo",
        action,
        "--batch",
        "--no-config-file",
        "--database",
        database,
        *options,
        str(FOLDER),
        expect=expect,
    )


@needs_entry_point
def test_the_yoyo_command_line(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    uri = f"sqlite+datastore:///{path}"
    assert yoyo("list", uri).count("U  ") == len(IDS)
    yoyo("rollback", uri, "--all")
    assert os.listdir(tmp_path) == []
    yoyo("apply", uri)
    whole = schema(path)
    assert applied(path) == IDS
    before = path.read_bytes()
    assert yoyo("list", uri).count("A  ") == len(IDS)
    assert path.read_bytes() == before
    yoyo("rollback", uri, "--all")
    assert schema(path) == [(0,)]
    yoyo("apply", uri)
    assert schema(path) == whole
    yoyo("rollback", uri)
    assert applied(path) == IDS[:-1]
    yoyo("mark", uri)
    assert applied(path) == IDS
    yoyo("unmark", uri, "--revision", IDS[-1])
    yoyo("apply", uri)
    yoyo("reapply", uri, "--all")
    assert schema(path) == whole
    yoyo("break-lock", uri)


@needs_entry_point
def test_eight_yoyo_command_lines_at_once(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    command = [sys.executable, "-m", "yoyo", "apply", "--batch", "--no-config-file", "--database"]
    processes = [
        subprocess.Popen([*command, f"sqlite+datastore:///{path}", str(FOLDER)], stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    outcomes = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outcomes
    assert applied(path) == IDS


def test_stock_yoyo_reads_the_same_folder(tmp_path: Path) -> None:
    ours = tmp_path / "ours.db"
    stock = tmp_path / "stock.db"
    migrations.apply(ours)
    yoyo("apply", f"sqlite:///{stock}")
    assert schema(stock) == schema(ours)
    assert migrations.apply(stock) == []
    assert migrations.rollback(stock) == [IDS[-1]]
    yoyo("apply", f"sqlite:///{stock}")
    assert schema(stock) == schema(ours)
    yoyo("rollback", f"sqlite:///{ours}", "--all")
    assert schema(ours) == [(0,)]
    assert migrations.apply(ours) == IDS


def test_a_text_names_a_file_as_a_path_does(tmp_path: Path) -> None:
    assert migrations.apply(str(tmp_path / "text.db")) == migrations.apply(tmp_path / "path.db")
    assert migrations.apply(f"sqlite:///{tmp_path / 'text.db'}") == []
    assert migrations.rollback(str(tmp_path / "text.db"))
    with pytest.raises(InvalidValueError):
        migrations.apply("mysql://u:secret@h/x")
