"""The loader closes every trap of aiosql; the statements of sql/ keep what their headers promise."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore.engines.sqlite import SQLiteEngine
from datastore.errors import StatementError, UniqueError
from datastore.resources import sql_folder
from datastore.statements.headers import parse_header
from datastore.statements.loader import Statement, Statements, read_statements

Load = Callable[[str], Statements]

HEADER = "-- Does something.\n{parameters}-- Index: none (a test)\n-- Rows: any\n"


def text(name: str, sql: str, *parameters: str) -> str:
    """One statement with the header that it needs; each parameter as "name  type"."""
    lines = "".join(f"--   {parameter}  some value\n" for parameter in parameters)
    return f"-- name: {name}\n{HEADER.format(parameters=lines)}{sql}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    (folder / "sqlite").mkdir(parents=True)
    return folder


@pytest.fixture
def load(folder: Path, tmp_path: Path) -> Iterator[Load]:
    """Binds a file's statements to a database with one table, ``notes``."""
    path = tmp_path / "notes.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, word TEXT); INSERT INTO notes VALUES (1, 'a'), (2, 'b');"
    )
    connection.close()
    engine = SQLiteEngine(path)

    def load(sql: str) -> Statements:
        (folder / "notes.sql").write_text(sql)
        return engine.bind(read_statements(folder, "sqlite"))

    yield load
    engine.close()


ONE = text("get_one()$", "SELECT 1;")


@pytest.mark.parametrize("second", ["a.sql", "b.sql", "sqlite/a.sql"])
def test_a_name_defined_twice_is_refused(folder: Path, second: str) -> None:
    (folder / "a.sql").write_text(ONE)
    with (folder / second).open("a") as file:
        file.write("\n" + ONE)
    with pytest.raises(StatementError, match="get_one"):
        read_statements(folder, "sqlite")


def test_an_empty_folder_is_refused(folder: Path) -> None:
    with pytest.raises(StatementError, match="no statements"):
        read_statements(folder, "sqlite")


@pytest.mark.parametrize(
    "statement",
    [
        text("add_note(word)<!", "INSERT INTO notes (word) VALUES (:word);", "word  text"),
        text("add_notes(word)*!", "INSERT INTO notes (word) VALUES (:word);", "word  text"),
        text("make()#", "DELETE FROM notes;"),
        text("list_notes()", "SELECT id -- don't ask :why\nFROM notes;"),
        text("list_notes()", "SELECT id FROM notes; -- the end"),
        text("delete_notes()!", "DELETE FROM notes WHERE id = 1; DELETE FROM notes WHERE id = 2;"),
        text("delete_notes()", "DELETE FROM notes WHERE id = 1;"),
        text("delete_notes()!", "DELETE FROM notes WHERE id = 1 RETURNING id;"),
        text("list_notes()!", "SELECT id FROM notes;"),
        text("get_note(class)^", "SELECT id FROM notes WHERE id = :class;", "class  integer"),
    ],
)
def test_a_statement_that_would_surprise_is_refused(folder: Path, statement: str) -> None:
    (folder / "a.sql").write_text(statement)
    with pytest.raises(StatementError, match="a.sql"):
        read_statements(folder, "sqlite")


def test_arguments_are_exactly_the_declared_ones(load: Load) -> None:
    get = load(text("get_note(id)^", "SELECT id, word FROM notes WHERE id = :id;", "id  integer")).get_note
    assert get(id=1) == (1, "a")
    for arguments in ({}, {"id": 1, "word": "a"}, {"ID": 1}):
        with pytest.raises(TypeError):
            get(**arguments)
    with pytest.raises(TypeError):
        get(1)


@pytest.mark.parametrize("operator", ["^", "$"])
def test_at_most_one_row_is_at_most_one(load: Load, operator: str) -> None:
    statements = load(text(f"get_note(low){operator}", "SELECT id FROM notes WHERE id >= :low;", "low  integer"))
    assert statements.get_note(low=3) is None
    assert statements.get_note(low=2) in (2, (2,))
    with pytest.raises(StatementError, match=r"get_note \(notes\.sql\) gave 2 rows"):
        statements.get_note(low=1)


def test_rows_are_a_list_of_the_time_of_the_call(load: Load) -> None:
    statements = load(
        text("list_notes()", "SELECT id FROM notes ORDER BY id;")
        + text("delete_notes()!", "DELETE FROM notes WHERE id > 0;")
    )
    rows = statements.list_notes()
    assert statements.delete_notes() == 2
    assert rows == [(1,), (2,)]
    assert statements.list_notes() == []
    assert not hasattr(statements, "list_notes_cursor")


@pytest.mark.parametrize(("operator", "given"), [("", [(3,)]), ("^", (3,)), ("$", 3)])
def test_insert_returning_runs_whatever_the_operator(load: Load, operator: str, given: Any) -> None:
    statements = load(
        text(f"add_note(word){operator}", "INSERT INTO notes (word) VALUES (:word) RETURNING id;", "word  text")
        + text("count_notes()$", "SELECT COUNT(*) FROM notes;")
    )
    assert statements.add_note(word="c") == given
    assert statements.count_notes() == 3


def test_a_driver_error_names_statement_and_file_and_no_value(load: Load) -> None:
    statements = load(
        text("add_note(id, word)!", "INSERT INTO notes (id, word) VALUES (:id, :word);", "id  integer", "word  text")
    )
    with pytest.raises(UniqueError, match=r"add_note \(notes\.sql\)") as caught:
        statements.add_note(id=1, word="secret")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)


def test_a_percent_sign_and_a_quoted_colon_are_text(load: Load) -> None:
    statements = load(
        text("get_percent()$", "SELECT '100 %' || ' %s' LIKE '%!%%' ESCAPE '!';")
        + text("get_quoted(word)$", "SELECT ':id ''-- ;' || :word;", "word  text")
    )
    assert statements.get_percent() == 1
    assert statements.get_quoted(word="x") == ":id '-- ;x"


GOOD = ["Does it.", "  id  text  which one", "Index: none (a test)", "Rows: 0 or 1"]


def test_a_header_is_read() -> None:
    header = parse_header([*GOOD, "  and no more", "Allow: x", "  y"], "here", ["id"])
    assert (header.purpose, header.index, header.rows) == ("Does it.", "none (a test)", "0 or 1 and no more")
    assert [(p.name, p.type, p.nullable, p.meaning) for p in header.parameters] == [("id", "text", False, "which one")]
    assert header.notes == {"Allow": "x y"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[1:], "no sentence"),
        ([*GOOD[:2], GOOD[3]], "no 'Index' line"),
        (GOOD[:3], "no 'Rows' line"),
        ([GOOD[0], "  id  uuid  which one", *GOOD[2:]], "type 'uuid'"),
        ([GOOD[0], *GOOD[2:]], "declares"),
        ([*GOOD[:2], "  at  text  when", *GOOD[2:]], "declares"),
        ([GOOD[0], GOOD[1], GOOD[3], GOOD[2]], "another order"),
        ([*GOOD, "Rows: 2"], "repeated"),
        ([*GOOD, "Speed: high"], "unknown"),
        ([GOOD[0], " id text", *GOOD[2:]], "not understood"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(StatementError, match=message):
        parse_header(lines, "here", ["id"])


# The real statements.

REAL = read_statements(sql_folder(), "sqlite")

SAMPLES = {
    "text": "x",
    "integer": 5,
    "real": 0.5,
    "boolean": 1,
    "timestamp": "2026-01-01T00:00:00.000000Z",
    "json": "[]",
    "blob": b"",
}


def plan(connection: sqlite3.Connection, statement: Statement) -> list[str]:
    values = {p.name: "x" if p.name == "query" else SAMPLES[p.type] for p in statement.header.parameters}
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", values)]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, empty_database: bytes) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "app.db"
    path.write_bytes(empty_database)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_plan_uses_the_index_that_the_header_promises(name: str, migrated: sqlite3.Connection) -> None:
    statement = REAL[name]
    steps = plan(migrated, statement)
    promised = re.match(r"\w+", statement.header.index)
    assert promised is not None
    if promised[0] == "none" or "none (" in statement.header.index:
        return
    if re.match(r"\w+ primary key", statement.header.index):
        table = promised[0]
        pattern = rf"SEARCH {table}\b.*(PRIMARY KEY|sqlite_autoindex_{table}_)"
        if "read as a whole" in statement.header.index:
            pattern = rf"SCAN {table}$"
    else:
        pattern = rf"(INDEX {promised[0]}\b|\b{promised[0]} VIRTUAL TABLE)"
    # An upsert's index decides the conflict and stands in no plan.
    if "conflict" not in statement.header.index and "ON CONFLICT" not in statement.sql:
        assert any(re.search(pattern, step) for step in steps), steps
    tables = {row[0] for row in migrated.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "Allow" not in statement.header.notes and "read as a whole" not in statement.header.index:
        scans = [s for s in steps if (found := re.match(r"SCAN (\w+)", s)) and found[1] in tables and "INDEX" not in s]
        assert not [s for s in scans if "VIRTUAL TABLE" not in s], steps


@pytest.mark.parametrize("name", sorted(name for name in REAL if "no sort" in REAL[name].header.index))
def test_no_sort_is_no_sort(name: str, migrated: sqlite3.Connection) -> None:
    # SQLite sorts an aggregate's or a list_many's inner part elsewhere; the outer order is what is promised.
    assert not [step for step in plan(migrated, REAL[name]) if step == "USE TEMP B-TREE FOR ORDER BY"]
