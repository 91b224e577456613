"""Generated code: what the Protocols say is what the loaded functions take; drift is told; an override counts."""

from __future__ import annotations

import importlib
import inspect
import sqlite3
import subprocess
import sys
import typing
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from datastore.cli.commands import cli
from datastore.contract.facts import read_facts
from datastore.contract.generate import drift, protocol_name, row_class_name, write
from datastore.contract.project import find_project
from datastore.engines.sqlite.engine import SQLiteEngine
from datastore.errors import ProjectError
from datastore.records.rows import RowReader
from datastore.resources import sql_folder
from datastore.statements import typed
from datastore.statements.binding import Statements, bind
from datastore.statements.loader import read_statements
from tests.acid.names import Nowhere
from tests.contract.planted import Planted

ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = read_statements(sql_folder(), "sqlite")

NOTES = """\
-- name: list_notes(author_id, title, max_rows)
-- An author's notes, oldest first.
--   author_id  integer  which author
--   title  text  only with this title
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    id,
    body,
    created_at
FROM notes
WHERE
    author_id = :author_id
    AND title = :title -- if: title
ORDER BY created_at, id
LIMIT :max_rows;

-- name: count_notes(author_id)$
-- How many notes an author has.
--   author_id  integer  which author
-- Index: notes_author_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS note_count
FROM notes
WHERE author_id = :author_id;

-- name: find_title(id)$
-- The title of a note.
--   id  integer  which note
-- Index: notes primary key
-- Rows: 0 or 1
SELECT title
FROM notes
WHERE id = :id;
"""


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    project = Planted(tmp_path)
    project.put(
        "pyproject.toml",
        (tmp_path / "pyproject.toml").read_text() + 'output = "notebook/queries"\nlock = "contract.json"\n',
    )
    project.put("notebook/records.py", '"""No records."""\n')
    project.put("notebook/__init__.py", "")
    project.statements(NOTES)
    return project


def run(planted: Planted, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--project", str(planted.root)], prog_name="datastore")


def generated(planted: Planted) -> str:
    """The module of notes.sql, written anew."""
    with read_facts(find_project(planted.root)) as facts:
        write(drift(facts))
    return (planted.root / "notebook/queries/notes.py").read_text()


@pytest.fixture(scope="module")
def bound() -> Statements:
    return bind(STATEMENTS, Nowhere(), typed.RECORDS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_protocol_is_the_loaded_function(name: str, bound: Statements) -> None:
    statement = STATEMENTS[name]
    noun = Path(statement.file).stem
    module = importlib.import_module(f"datastore.statements.typed.{noun}")
    written = inspect.signature(getattr(getattr(module, protocol_name(noun)), name))
    loaded = inspect.signature(getattr(bound, name))
    assert list(written.parameters) == ["self", *loaded.parameters]
    for one in list(written.parameters)[1:]:
        assert (written.parameters[one].kind, written.parameters[one].default) == (
            loaded.parameters[one].kind,
            loaded.parameters[one].default,
        )
    methods = {key for key in vars(getattr(module, protocol_name(noun))) if not key.startswith("_")}
    assert methods == {one.name for one in STATEMENTS.values() if Path(one.file).stem == noun}


def test_every_class_that_rows_become_is_there() -> None:
    named = {one.header.record for one in STATEMENTS.values() if one.header.record}
    assert named <= set(typed.RECORDS)


def test_types_follow_the_schema(planted: Planted) -> None:
    text = generated(planted)
    assert "class ListNotesRow(NamedTuple):" in text
    assert "    id: int\n    body: str | None\n    created_at: str\n" in text
    assert "        title: str | None = None,\n    ) -> list[ListNotesRow]:" in text
    assert ") -> int:" in text  # Rows: 1
    assert ") -> str | None:" in text  # Rows: 0 or 1


def test_a_promise_by_hand_takes_the_place_of_what_is_inferred(planted: Planted) -> None:
    planted.statements(
        NOTES.replace("max_rows\nSELECT", "max_rows\n-- Returns: body json, created_at timestamp?\nSELECT")
    )
    text = generated(planted)
    assert "    id: int\n    body: Json\n    created_at: datetime | None\n" in text
    assert "from datetime import datetime\n" in text


def test_a_value_of_which_nothing_is_promised_is_given_as_it_is(planted: Planted) -> None:
    # Not as JSON, which it may look like: a table that is not STRICT has any value in any column.
    reader: RowReader[typing.Any] = RowReader(
        typing.NamedTuple("Row", [("a", object), ("b", bool | None), ("c", float | None)])
    )
    assert reader.many([("x", None, None), (b"1", 1, 2), ("[1", 0, 0.5)]) == [
        ("x", None, None),
        (b"1", True, 2.0),
        ("[1", False, 0.5),
    ]
    assert [type(value) for value in reader.one((1, 1, 1))] == [int, bool, float]
    planted.change("schema/0001.notes.sql", "created_at TEXT NOT NULL,", "created_at TEXT NOT NULL, more ANY,")
    planted.statements(NOTES.replace("    body,", "    body,\n    more,"))
    assert "    more: object\n" in generated(planted)


def test_a_value_that_must_be_decoded_has_a_row_class(planted: Planted) -> None:
    planted.statements(NOTES.replace("0 or 1\nSELECT", "0 or 1\n-- Returns: title json\nSELECT"))
    assert "class FindTitleRow(NamedTuple):\n" in generated(planted)


def test_the_command_writes_and_then_finds_nothing_to_write(planted: Planted) -> None:
    assert run(planted, "generate", "--check").exit_code == 5
    assert not (planted.root / "notebook/queries").exists()
    first = run(planted, "generate")
    assert first.stdout.splitlines() == [
        "notebook/queries/notes.py: written",
        "notebook/queries/__init__.py: written",
        "contract.json: written",
    ]
    assert run(planted, "generate", "--check").stdout == "3 statements: everything is up to date\n"


def test_what_drifts_is_told_by_the_check(planted: Planted) -> None:
    generated(planted)
    planted.check(update=True)
    assert planted.said() == ""
    planted.change("notebook/queries/notes.py", "-> int:", "-> str:")
    planted.put("notebook/queries/pages.py", '"""Do not edit: change the SQL, then run it again."""\n')
    planted.put("notebook/queries/mine.py", '"""Somebody put it here."""\n')
    assert planted.said().splitlines() == [
        "notebook/queries/notes.py: generated: this file is not what the statements make it",
        "   = @@ -41,3 +41,3 @@",
        "   =          author_id: int,",
        "   = -    ) -> str:",
        "   = +    ) -> int:",
        '   =          """How many notes an author has.',
        "   = hint: datastore generate",
        "",
        "notebook/queries/pages.py: generated: the .sql file of this module is gone",
        "   = hint: datastore generate",
    ]
    assert "notebook/queries/pages.py: removed" in run(planted, "generate").stdout
    assert planted.said() == ""
    assert (planted.root / "notebook/queries/mine.py").exists()


def test_a_project_that_generates_nothing_is_not_asked_to(planted: Planted) -> None:
    planted.check(update=True)
    assert planted.said() == ""


def test_statements_that_are_wrong_are_not_generated_from(planted: Planted) -> None:
    planted.statements(NOTES.replace("SELECT title", "SELECT titel"))
    with pytest.raises(ProjectError, match="(?s)titel.*datastore check shows every problem"):
        generated(planted)
    assert run(planted, "generate").exit_code == 1


def test_plans_of_another_version_are_left_alone(planted: Planted) -> None:
    generated(planted)
    lock = planted.root / "contract.json"
    other = lock.read_text().replace(sqlite3.sqlite_version, "3.99.0").replace("SEARCH notes", "SEEK notes")
    lock.write_text(other)
    with read_facts(find_project(planted.root)) as facts:
        assert drift(facts) == {}
    lock.write_text(other.replace('"author_id": "integer"', '"author_id": "text"'))
    with read_facts(find_project(planted.root)) as facts:
        assert list(drift(facts)) == [lock]


def test_generated_code_calls_no_statement(planted: Planted) -> None:
    generated(planted)
    planted.put(
        "notebook/repository.py", "def use(statements):\n    statements.list_notes()\n    statements.find_title()\n"
    )
    planted.check(update=True)
    assert "no-caller: nothing in notebook calls this statement" in planted.said()
    planted.put("notebook/repository.py", "def use(statements):\n    statements.count_notes()\n")
    found = {problem.statement for problem in planted.check().problems if problem.rule == "no-caller"}
    assert found == {"list_notes", "find_title"}


NAMES = """\
-- name: list(self, len)
-- Named as types and methods are.
--   self  text  a value
--   len  text?  a value
-- Index: none (a test)
-- Rows: 1
-- Returns: str text, int text?, count integer, index integer, bytes blob, datetime timestamp, any json, bool boolean,
--   float real
SELECT
    CAST(:self AS TEXT) AS str,
    CAST(:len AS TEXT) AS int,
    CAST(1 AS INTEGER) AS count,
    CAST(2 AS INTEGER) AS "index",
    CAST(x'00' AS BLOB) AS bytes,
    CAST('2026-01-01T00:00:00.000000Z' AS TEXT) AS datetime,
    CAST('[]' AS TEXT) AS "any",
    CAST(1 AS INTEGER) AS bool,
    CAST(1.0 AS REAL) AS "float",
    CAST('[]' AS TEXT) AS "Any"
LIMIT 1;

-- name: get_x1()^
-- One column.
-- Index: none (a test)
-- Rows: 1
SELECT CAST(1 AS INTEGER) AS a;

-- name: get_x_1()^
-- Two columns.
-- Index: none (a test)
-- Rows: 1
SELECT
    CAST(1 AS INTEGER) AS b,
    CAST('x' AS TEXT) AS list;

-- name: str()
-- Which comes after a type of its name.
-- Index: none (a test)
-- Rows: 1
SELECT CAST(1 AS INTEGER) AS a
LIMIT 1;
"""

USE = """\
from __future__ import annotations

from datetime import datetime

from notebook.queries.notes import GetX1Row, GetX_1Row, ListRow, NotesStatements


def use(statements: NotesStatements) -> tuple[str, int, bytes, datetime, bool, float]:
    rows: list[ListRow] = statements.list(self="x", len=None)
    one: GetX1Row = statements.get_x1()
    two: GetX_1Row = statements.get_x_1()
    return (two.list, one.a + rows[0].count, rows[0].bytes, rows[0].datetime, rows[0].bool, rows[0].float)
"""


def test_a_module_takes_every_name_of_a_user(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.statements(NAMES)
    text = generated(planted)
    monkeypatch.syspath_prepend(planted.root)
    importlib.invalidate_caches()
    queries = importlib.import_module("notebook.queries")
    try:
        row = typing.get_type_hints(queries.RECORDS["list"], localns={})
        assert (row["str"], row["int"], row["bytes"], row["datetime"]) == (str, str | None, bytes, datetime)
        (planted.root / "empty.db").touch()
        with closing(SQLiteEngine(planted.root / "empty.db")) as engine:
            bound = engine.bind(read_statements(planted.root / "queries", "sqlite"), queries.RECORDS)
            (found,) = bound.list(self="DROP TABLE notes", len=None)
            assert (found.str, found.int, found.count, found.bytes) == ("DROP TABLE notes", None, 1, b"\0")
            assert (found.datetime, found.any, found.bool) == (datetime(2026, 1, 1, tzinfo=timezone.utc), [], True)
            assert (bound.get_x1(), bound.get_x_1()) == ((1,), (1, "x"))
            assert type(bound.get_x1()).__name__ != type(bound.get_x_1()).__name__
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "notebook"]:
            del sys.modules[name]
    planted.put("use.py", USE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(planted.root / ".mypy_cache"), "use.py"],
        cwd=planted.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{text}"


@given(st.sets(st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), min_size=2))
def test_no_two_names_have_the_same_class(names: set[str]) -> None:
    assert len({row_class_name(name) for name in names} | {protocol_name(name) for name in names}) == 2 * len(names)


def test_names_that_no_class_can_have_are_told(planted: Planted) -> None:
    planted.statements(NOTES.replace("SELECT title\n", 'SELECT title AS "class"\n').replace("(id)$", "(id)^"))
    with pytest.raises(ProjectError, match="find_title: the column 'class' cannot be a field in Python"):
        generated(planted)
    planted.check(update=True)
    assert 'unaliased: "class" cannot be the name of a field in Python' in planted.said()


@pytest.mark.parametrize("name", ["Protocol", "ListNotesRow", "NotesStatements", "Statements", "Binder", "RECORDS"])
def test_a_record_named_as_something_generated_is_told(planted: Planted, name: str) -> None:
    planted.put(
        "notebook/records.py", f"from typing import NamedTuple\n\n\nclass {name}(NamedTuple):\n    title: str\n"
    )
    text = NOTES.replace("SELECT title", f"-- Record: {name}\nSELECT title").replace("(id)$", "(id)^")
    planted.statements(text)
    with pytest.raises(ProjectError, match=f"has two things named {name}; rename the record {name}"):
        generated(planted)
