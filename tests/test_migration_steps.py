"""An application's own steps on both engines: what is wrong with them is told before one runs, and many may apply at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datastore import Datastore, migrations
from datastore.errors import (
    DatastoreError,
    InvalidValueError,
    RollbackRefusedError,
    SchemaOutOfDateError,
    StatementError,
    TransactionLostError,
)
from datastore.migrations.steps import transaction_control
from datastore.resources import migrations_folder
from tests.postgresql import database

NEWEST = migrations.migration_ids(migrations_folder())[-1]
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def place(engine: str, tmp_path: Path) -> Iterator[Any]:
    """A database that is not there yet: a path, or the URL of an empty one."""
    if engine == "sqlite":
        yield tmp_path / "app.db"
    else:
        with database("steps") as url:
            yield url


@pytest.fixture
def steps(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of steps from texts by file name."""

    def make(folder: str = "schema", **files: str) -> Path:
        made = tmp_path / folder
        made.mkdir(exist_ok=True)
        for name, text in files.items():
            path = made / (name if "." in name else f"app-{name}.sql")
            path.write_text(text, encoding="utf-8")
        return made

    return make


def rows(place: Any, sql: str) -> list[tuple[Any, ...]]:
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(place) as server:
        return server.execute(sql.encode()).fetchall()


def tables(place: Any) -> set[str]:
    if isinstance(place, Path):
        return {name for (name,) in rows(place, "SELECT name FROM sqlite_master")} if place.exists() else set()
    return {name for (name,) in rows(place, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")}


def applied(place: Any) -> list[str]:
    return [name for (name,) in rows(place, "SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc")]


def own(place: Any) -> list[str]:
    return [name for name in applied(place) if name.startswith("app-")]


def open_(place: Any, *folders: Any, migrate: bool = True) -> None:
    Datastore.open(place, migrate=migrate, migrations=folders).close()


@BOTH
@pytest.mark.parametrize("migrate", [True, False])
def test_a_folder_without_steps_is_refused_before_anything_is_created(
    place: Any, tmp_path: Path, steps: Callable[..., Path], migrate: bool
) -> None:
    (tmp_path / "empty").mkdir()
    steps("both/sqlite" if (tmp_path / "both").mkdir() is None else "", notes="SELECT 1;")
    one = steps(notes="CREATE TABLE notes (id INTEGER);")
    for folders, words in (
        ([tmp_path / "no/such"], "there is no folder"),
        ([tmp_path / "empty"], "has no migrations"),
        ([one, tmp_path / "both"], "inside it: sqlite"),
        ([one / "app-notes.sql"], "is a file"),
        ([5], "list of folders"),
        (["~nosuchuser/schema"], "list of folders"),
        ([steps("numbers", **{"0009.notes.sql": "SELECT 1;"})], "begin the names"),
    ):
        with pytest.raises(InvalidValueError, match=words):
            open_(place, *folders, migrate=migrate)
    for text in ("schema", str(one), one, b"schema"):
        with pytest.raises(InvalidValueError, match="list of folders"):
            Datastore.open(place, migrate=migrate, migrations=text)  # type: ignore[arg-type]
    for call in (migrations.apply, migrations.rollback):
        with pytest.raises(InvalidValueError, match="there is no folder"):
            call(place, tmp_path / "no/such")
    assert not tables(place)


@BOTH
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": "-- depends: app-b\nSELECT 1;", "b": "-- depends: app-a\nSELECT 1;"}, "circle: app-a"),
        ({"a": "-- depends: app-a\nSELECT 1;"}, "circle"),
        ({"a": "-- depends: 0001.initail\nSELECT 1;"}, "did you mean 0001.initial"),
        ({"a": "-- depends: what\nSELECT 1;"}, "app-a depends on what"),
        ({"a": "-- transactional: no\nSELECT 1;"}, "transactional: false"),
        ({"a": "CREATE TABLE one (id INTEGER);\nCOMMIT;\nCREATE TABLE two (id INTEGER);"}, r"app-a\.sql has COMMIT"),
        ({"a": "BEGIN;\nCREATE TABLE one (id INTEGER);\nCOMMIT;"}, r"app-a\.sql has BEGIN"),
        ({"a": "CREATE TABLE one (id INTEGER);\n/* why */ rollback;"}, r"app-a\.sql has ROLLBACK"),
        ({"a": "SAVEPOINT one;\nSELECT 1;\nRELEASE one;"}, r"app-a\.sql has SAVEPOINT"),
        ({"a": "-- transactional: false\nBEGIN;\nSELECT 1;\nEND;"}, r"app-a\.sql has BEGIN"),
        ({"a": "SELECT 1;", "app-a.rollback.sql": "COMMIT;"}, r"app-a\.rollback\.sql has COMMIT"),
        ({"app-a.py": "from yoyo import step, group\nstep('SELECT 1')\ngroup(step('START TRANSACTION'))"}, "has START"),
        ({"app-a.py": "import nosuchmodule"}, "app-a.py cannot be loaded"),
        ({"app-a.py": "step('SELECT 1')", "a": "SELECT 1;"}, "app-a exists twice"),
    ],
)
def test_steps_that_cannot_run_are_refused_before_anything_is_created(
    place: Any, steps: Callable[..., Path], files: dict[str, str], words: str
) -> None:
    folder = steps(**files)
    with pytest.raises(StatementError, match=words):
        open_(place, folder)
    assert not tables(place)
    assert not isinstance(place, Path) or not place.exists()


@BOTH
def test_one_id_in_two_folders_is_refused_before_anything_is_created(place: Any, steps: Callable[..., Path]) -> None:
    folders = steps("one", notes="SELECT 1;"), steps("two", notes="SELECT 2;")
    with pytest.raises(StatementError, match="app-notes exists twice.*one.*two"):
        open_(place, *folders)
    with pytest.raises(StatementError, match="twice"):
        open_(place, folders[0], folders[0])
    assert not tables(place)


def test_a_step_that_another_project_has_is_not_there(tmp_path: Path, steps: Callable[..., Path]) -> None:
    """yoyo keeps every step that it ever read in one dictionary."""
    open_(tmp_path / "one.db", steps("one", first="SELECT 1;"))
    with pytest.raises(StatementError, match="depends on app-first, which is in none of the folders"):
        open_(tmp_path / "two.db", steps("two", second="-- depends: app-first\nSELECT 1;"))
    assert not (tmp_path / "two.db").exists()


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = CASE WHEN b THEN 1 END; SELECT 1; END; SELECT 1;",
        "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); SELECT 1;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; COMMIT; END; $$; SELECT 1;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $x$ SELECT 1; COMMIT; $$ ROLLBACK; $x$; SELECT 1;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1;",
        "-- BEGIN;\n/* ;COMMIT; */ SELECT ';BEGIN', E'it\\'s ;COMMIT', \";ROLLBACK\", 'it''s ;BEGIN';",
        'CREATE TABLE "begin" (begin_at TEXT, [commit] TEXT, `;end` TEXT);',
        "PREPARE plan AS SELECT 1; DEALLOCATE plan; SET lock_timeout = '1s';",
        "INSERT INTO a VALUES ('x'), ('$$'); SELECT '$$ ;COMMIT';",
    ],
)
def test_words_inside_triggers_functions_and_strings_end_nothing(text: str) -> None:
    assert list(transaction_control(text)) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; COMMIT;", "COMMIT"),
        ("CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); ROLLBACK;", "ROLLBACK"),
        ("CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$; SAVEPOINT a;", "SAVEPOINT"),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; end;", "END"),
        ("PREPARE  transaction 'x';", "PREPARE"),
        ("\n ;; Begin Immediate;", "BEGIN"),
        ("SELECT 1;--\nabort", "ABORT"),
    ],
)
def test_a_statement_that_ends_a_transaction_is_found(text: str, word: str) -> None:
    assert list(transaction_control(text)) == [word]


@BOTH
def test_python_that_commits_is_noticed(place: Any, steps: Callable[..., Path]) -> None:
    folder = steps(**{"app-a.py": "step(lambda c: [c.execute(sql) for sql in ('COMMIT', 'BEGIN')])"})
    with pytest.raises(TransactionLostError, match="app-a (?:ended|would end) its own transaction"):
        open_(place, folder)
    assert own(place) == []


@BOTH
def test_a_failing_step_is_named(place: Any, steps: Callable[..., Path]) -> None:
    folder = steps(a="CREATE TABLE one (id INTEGER);", b="-- depends: app-a\nCREATE TABLE one (id INTEGER);")
    with pytest.raises(DatastoreError, match="applying migration app-b"):
        open_(place, folder)
    assert own(place) == ["app-a"]
    steps(b="-- depends: app-a\nCREATE TABLE two (id INTEGER);", **{"app-b.rollback.sql": "DROP TABLE three;"})
    open_(place, folder)
    with pytest.raises(DatastoreError, match="rolling back migration app-b"):
        migrations.rollback(place, migrations_folder(_engine(place)), folder)
    assert own(place) == ["app-a", "app-b"]


def _engine(place: Any) -> str:
    return "sqlite" if isinstance(place, Path) else "postgresql"


@BOTH
def test_no_step_is_undone_under_one_that_the_checkout_lacks(place: Any, steps: Callable[..., Path]) -> None:
    library = migrations_folder(_engine(place))
    folder = steps(
        a="CREATE TABLE one (id INTEGER);",
        b="-- depends: app-a\nCREATE TABLE two (id INTEGER);",
        **{"app-a.rollback.sql": "DROP TABLE one;", "app-b.rollback.sql": "DROP TABLE two;"},
    )
    open_(place, folder)
    (folder / "app-b.sql").unlink()
    for call in (
        lambda: migrations.rollback(place, library, folder),
        lambda: migrations.rollback(place, library, folder, all=True),
        lambda: migrations.rollback(place),  # the library's own steps, under the application's
    ):
        with pytest.raises(SchemaOutOfDateError, match=r"app-b was applied after|app-a, app-b was applied after"):
            call()
    assert {"one", "two"} <= tables(place)
    steps(b="-- depends: app-a\nCREATE TABLE two (id INTEGER);")
    assert migrations.rollback(place, library, folder, steps=2) == ["app-b", "app-a"]
    assert migrations.rollback(place) == [NEWEST]


@BOTH
def test_steps_that_were_merged_late_are_rolled_back_in_the_order_of_their_application(
    place: Any, steps: Callable[..., Path]
) -> None:
    folder = steps(
        b="CREATE TABLE b (id INTEGER);", **{f"app-{name}.rollback.sql": f"DROP TABLE {name};" for name in "abc"}
    )
    open_(place, folder)
    steps(a="CREATE TABLE a (id INTEGER);", c="-- depends: app-a\nCREATE TABLE c (id INTEGER);")
    open_(place, folder)
    assert own(place) == ["app-b", "app-a", "app-c"]
    library = migrations_folder(_engine(place))
    assert migrations.rollback(place, library, folder, steps=3) == ["app-c", "app-a", "app-b"]


#: Applies once a file is there, so that many begin at one moment.
APPLY = """
import sys, time
from pathlib import Path
from datastore import Datastore, migrations
place, folder, go = sys.argv[1:]
with Datastore.open(place): pass
while not Path(go).exists():
    time.sleep(0.002)
Datastore.open(place, migrate=True, migrations=[folder]).close()
"""


def start(code: str, *arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@BOTH
def test_several_apply_steps_without_a_transaction_at_once(place: Any, steps: Callable[..., Path]) -> None:
    folder = steps(a="CREATE TABLE facts (id INTEGER, n INTEGER);")
    open_(place, folder)
    if isinstance(place, Path):
        steps(
            b="-- depends: app-a\n-- transactional: false\n"
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n;\n"
            "CREATE INDEX facts_n_idx ON facts (n);\nVACUUM;"
        )
    else:
        rows(place, "INSERT INTO facts SELECT n, n FROM generate_series(1, 20000) AS n RETURNING 1")
        steps(
            b="-- depends: app-a\n-- transactional: false\nSELECT pg_sleep(1);\n"
            "CREATE INDEX CONCURRENTLY facts_n_idx ON facts (n);\nCREATE INDEX CONCURRENTLY facts_id_idx ON facts (id);"
        )
    go = folder / "go"
    processes = [start(APPLY, place, folder, go) for _ in range(6)]
    time.sleep(2)
    go.touch()
    outcomes = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, outcomes
    assert own(place) == ["app-a", "app-b"]
    assert rows(place, "SELECT count(*) FROM _yoyo_log WHERE migration_id = 'app-b'") == [(1,)]
    if not isinstance(place, Path):
        assert rows(place, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


@BOTH
@pytest.mark.parametrize("name", ["app-b.sql", "app-b.py"])
def test_a_step_without_a_rollback_is_not_forgotten(place: Any, steps: Callable[..., Path], name: str) -> None:
    text = "CREATE TABLE two (id INTEGER);"
    folder = steps(
        a="CREATE TABLE one (id INTEGER);",
        **{
            "app-a.rollback.sql": "DROP TABLE one;",
            name: f'__depends__ = {{"app-a"}}\nstep("{text}")' if name.endswith("py") else f"-- depends: app-a\n{text}",
        },
    )
    open_(place, folder)
    library = migrations_folder(_engine(place))
    for many in ({"steps": 2}, {"all": True}):
        with pytest.raises(RollbackRefusedError, match=r"app-b has no rollback.*Write app-b\.rollback\.sql"):
            migrations.rollback(place, library, folder, **many)  # type: ignore[arg-type]
    assert own(place) == ["app-a", "app-b"]
    assert {"one", "two"} <= tables(place)


@BOTH
@pytest.mark.parametrize("action", ["apply", "rollback", "list"])
def test_yoyo_is_told_of_a_folder_that_has_no_steps(place: Any, tmp_path: Path, action: str) -> None:
    url = f"sqlite+datastore:///{place}" if isinstance(place, Path) else place.replace("://", "+datastore://")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "yoyo",
            action,
            "--batch",
            "--no-config-file",
            "--database",
            url,
            str(tmp_path / "none"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "no migration was found" in done.stderr
    assert not tables(place)


@BOTH
def test_yoyo_undoes_nothing_under_a_step_that_it_was_not_given(place: Any, steps: Callable[..., Path]) -> None:
    folder = steps(a="CREATE TABLE one (id INTEGER);", **{"app-a.rollback.sql": "DROP TABLE one;"})
    open_(place, folder)
    url = f"sqlite+datastore:///{place}" if isinstance(place, Path) else place.replace("://", "+datastore://")
    command = [sys.executable, "-m", "yoyo", "rollback", "--batch", "--no-config-file", "--database", url]
    library = str(migrations_folder(_engine(place)))
    for options in ([library], ["--all", library], ["--revision", NEWEST, library]):
        done = subprocess.run([*command, *options], capture_output=True, text=True)
        assert "app-a was applied after" in done.stderr, done.stderr
    assert own(place) == ["app-a"]
    # Given, it depends on nothing that goes, by its own word.
    done = subprocess.run([*command, "--revision", NEWEST, library, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert NEWEST not in applied(place)
    assert own(place) == ["app-a"]
