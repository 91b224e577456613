"""The loader closes every trap of aiosql; the statements of sql/ keep what their headers promise."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest

from datastore.engines.sqlite.engine import SQLiteEngine
from datastore.errors import InvalidValueError, StatementError, UniqueError
from datastore.resources import sql_folder
from datastore.statements.binding import Statements
from datastore.statements.headers import parse_header
from datastore.statements.loader import Statement, read_statements
from datastore.statements.optional import by_name

Load = Callable[..., Statements]

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

    def load(sql: str, records: dict[str, type[Any]] | None = None) -> Statements:
        (folder / "notes.sql").write_text(sql)
        return engine.bind(read_statements(folder, "sqlite"), records)

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
    with pytest.raises(StatementError, match=r"get_note \(notes\.sql\) returned 2 rows"):
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


class Note(NamedTuple):
    id: int
    word: str | None


@attrs.frozen(kw_only=True)
class Found:
    note: Pair
    at: datetime


@attrs.frozen(kw_only=True)
class Pair:
    id: int
    word: str


def test_rows_become_the_records_that_they_are_said_to(load: Load) -> None:
    statements = load(
        text("get_note(id)^", "SELECT id, word FROM notes WHERE id = :id;", "id  integer").replace(
            "Rows: any", "Rows: 0 or 1\n-- Record: Note"
        )
        + text("list_found()", "SELECT id, word, '2026-01-01T00:00:00.000000Z' AS at FROM notes ORDER BY id;")
        + text("find_at()$", "SELECT '2026-01-01T00:00:00.000000Z' AS at;"),
        {"Note": Note, "list_found": Found, "find_at": NamedTuple("FindAtRow", [("at", datetime)])},
    )
    new_year = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert statements.get_note(id=1) == Note(1, "a")
    assert type(statements.get_note(id=1)) is Note
    assert statements.get_note(id=9) is None
    assert statements.list_found() == [
        Found(note=Pair(id=1, word="a"), at=new_year),
        Found(note=Pair(id=2, word="b"), at=new_year),
    ]
    assert statements.find_at() == new_year


def test_a_record_that_is_not_there_is_refused(load: Load) -> None:
    with pytest.raises(StatementError, match=r"notes\.sql:1: .*Record: Note is not a record class \(known are Other\)"):
        load(text("get_one()^", "SELECT 1;").replace("Rows: any", "Rows: 1\n-- Record: Note"), {"Other": Note})


def test_one_row_that_is_promised_is_there(load: Load) -> None:
    statements = load(
        text("get_note(low)^", "SELECT id FROM notes WHERE id = :low;", "low  integer").replace("any", "1")
        + text("find_note(low)$", "SELECT id FROM notes WHERE id >= :low;", "low  integer").replace("any", "1 (a test)")
    )
    assert (statements.get_note(low=2), statements.find_note(low=2)) == ((2,), 2)
    with pytest.raises(StatementError, match="returned no row where one was promised"):
        statements.get_note(low=3)
    with pytest.raises(StatementError, match="returned 2 rows where one was promised"):
        statements.find_note(low=1)


OPTIONAL = """
SELECT id
FROM notes
WHERE
    id >= :low
    AND word = :word -- if: word
    AND id <= :high -- if: high
ORDER BY id;
"""


def test_optional_lines_are_there_where_their_argument_is(load: Load) -> None:
    list_notes = load(
        text("list_notes(low, word, high)", OPTIONAL, "low  integer", "word  text", "high  integer")
    ).list_notes
    assert list_notes(low=0) == [(1,), (2,)]
    assert list_notes(low=0, word="b") == [(2,)]
    assert list_notes(low=0, high=1) == [(1,)]
    assert list_notes(low=0, word="b", high=1) == []
    assert list_notes(low=0, word=None, high=0) == []
    assert str(inspect.signature(list_notes)) == "(*, low, word=None, high=None)"
    for arguments in ({}, {"low": 0, "words": "b"}):
        with pytest.raises(TypeError):
            list_notes(**arguments)


def test_every_variant_is_known_beforehand(folder: Path) -> None:
    (folder / "a.sql").write_text(
        text("list_notes(low, word, high)", OPTIONAL, "low  integer", "word  text", "high  text")
    )
    statement = read_statements(folder, "sqlite")["list_notes"]
    assert (statement.optional, len(statement.texts)) == (("word", "high"), 4)
    lines = {given: {line.strip() for line in sql.splitlines()} for given, sql in statement.variants()}
    for given, there in lines.items():
        assert ("AND word = :word" in there, "AND id <= :high" in there) == ("word" in given, "high" in given)
        assert not any("--" in line for line in there)
    assert statement.sql == statement.texts[-1]
    assert (folder / "a.sql").read_text().splitlines()[statement.sql_line - 1] == "SELECT id"


def test_a_line_may_ask_that_another_filter_is_not_given(load: Load) -> None:
    sql = """
SELECT id
FROM notes
WHERE
    id > 0
    AND word = :word -- if: word, not high
    AND word BETWEEN :word AND :word -- if: high, word
    AND id <= :high -- if: high
ORDER BY id;
"""
    list_notes = load(text("list_notes(word, high)", sql, "word  text", "high  integer")).list_notes
    assert [list_notes(), list_notes(word="b"), list_notes(high=1), list_notes(word="b", high=1)] == [
        [(1,), (2,)],
        [(2,)],
        [(1,)],
        [],
    ]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT id FROM notes\nWHERE id = :id -- if: word\nAND word = :word;", "'-- if:' names|a line without"),
        (
            "SELECT id FROM notes\nWHERE word = :word\nAND id = :id -- if: idea\n;",
            "names idea, which is not a parameter",
        ),
        (
            "SELECT id FROM notes\nWHERE id = :id AND word = :word -- if: id, word\nAND id > :id -- if: id, not word\n;",
            "if word is given, no line uses :word",
        ),
    ],
)
def test_optional_lines_that_would_surprise_are_refused(folder: Path, sql: str, message: str) -> None:
    (folder / "a.sql").write_text(text("list_notes(id, word)", sql, "id  integer", "word  text"))
    with pytest.raises(StatementError, match=message):
        read_statements(folder, "sqlite")


def test_parameters_that_no_line_names_alone_are_given_together(load: Load) -> None:
    sql = """\
SELECT id
FROM notes
WHERE
    id > 0
    AND (word, id) > (:after_word, :after_id) -- if: after_word, after_id
    AND id < :high -- if: high
ORDER BY word, id;
"""
    statements = load(
        text("list_notes(after_word, after_id, high)", sql, "after_word  text", "after_id  integer", "high  integer")
    )
    assert statements.list_notes() == [(1,), (2,)]
    assert statements.list_notes(after_word="a", after_id=1) == [(2,)]
    assert statements.list_notes(after_word="a", after_id=1, high=2) == []
    for half in ({"after_word": "a"}, {"after_id": 1}, {"after_id": 1, "high": 5}):
        with pytest.raises(
            InvalidValueError, match="list_notes: give after_word and after_id together, or none of them"
        ):
            statements.list_notes(**half)


def test_what_is_quoted_or_a_slice_is_no_parameter(folder: Path) -> None:
    sql = "SELECT tags[2:n], $$ :x ; -- $$, $a$ :y $a$, E'it\\'s :x', `a:b`, c::text FROM notes WHERE id = :id;"
    (folder / "a.sql").write_text(text("list_notes(id)", sql, "id  integer"))
    statement = read_statements(folder, "postgresql")["list_notes"]
    assert by_name(statement.sql) == sql.replace(":id", "%(id)s").removesuffix(";")


@pytest.mark.parametrize("character", ["\u200b", "\u00a0", "\ufeff", "\x01", "\u202e"])
def test_a_character_that_is_not_seen_is_refused(folder: Path, character: str) -> None:
    (folder / "a.sql").write_text(
        text("list_notes(id)", f"SELECT id FROM notes{character} WHERE id = :id;", "id  integer")
    )
    with pytest.raises(StatementError, match=rf"U\+{ord(character):04X} .* is in the SQL outside quotes"):
        read_statements(folder, "sqlite")


def test_too_many_optional_lines_are_refused(folder: Path) -> None:
    names = [f"p{number}" for number in range(7)]
    lines = "".join(f"    AND word <> :{name} -- if: {name}\n" for name in names)
    sql = f"SELECT id\nFROM notes\nWHERE\n    id > 0\n{lines}ORDER BY id;"
    (folder / "a.sql").write_text(text(f"list_notes({', '.join(names)})", sql, *(f"{name}  text" for name in names)))
    with pytest.raises(StatementError, match="7 optional parameters; at most 6"):
        read_statements(folder, "sqlite")


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
    assert header.waivers == ("x y",)


def test_a_header_says_more_of_records_indexes_and_types() -> None:
    lines = [
        *GOOD[:3],
        "  with id, at: b",
        "    or c",
        "  with id: d",
        "Rows: 1",
        "Record: Note",
        "Returns: score real, at timestamp?",
        "Allow: a, why",
        "Allow: b, why",
    ]
    header = parse_header(lines, "here", ["id"])
    assert (header.record, header.returns) == ("Note", {"score": "real", "at": "timestamp?"})
    assert header.waivers == ("a, why", "b, why")
    assert [header.index_for(given) for given in ([], ["at"], ["id"], ["at", "id"])] == [
        *["none (a test)"] * 2,
        "d",
        "b or c",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[1:], "no description"),
        ([*GOOD[:2], GOOD[3]], "no 'Index' line"),
        (GOOD[:3], "no 'Rows' line"),
        ([GOOD[0], "  id  uuid  which one", *GOOD[2:]], "type 'uuid'"),
        ([GOOD[0], *GOOD[2:]], "declares"),
        ([*GOOD[:2], "  at  text  when", *GOOD[2:]], "declares"),
        ([GOOD[0], GOOD[1], GOOD[3], GOOD[2]], "out of order"),
        ([*GOOD, "Rows: 2"], "repeated"),
        ([*GOOD, "Speed: high"], "unknown"),
        ([*GOOD, "Returns: score float"], "score float"),
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
    "rows": "[]",
    "match": "[]",
    "words": "[]",
    "blob": b"",
}


#: Every text that can run: a statement's name, the optional parameters that are given, the SQL.
VARIANTS = {
    " ".join([name, *sorted(given)]): (statement, given, sql)
    for name, statement in REAL.items()
    for given, sql in statement.variants()
}


def plan(connection: sqlite3.Connection, statement: Statement, sql: str) -> list[str]:
    values = {p.name: "x" if p.name == "query" else SAMPLES[p.type] for p in statement.header.parameters}
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, empty_database: bytes) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "app.db"
    path.write_bytes(empty_database)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_plan_uses_the_index_that_the_header_promises(variant: str, migrated: sqlite3.Connection) -> None:
    statement, given, sql = VARIANTS[variant]
    steps = plan(migrated, statement, sql)
    index = statement.header.index_for(given)
    promised = re.match(r"\w+", index)
    assert promised is not None
    if promised[0] == "none" or "none (" in index:
        return
    if re.match(r"\w+ primary key", index):
        table = promised[0]
        # "SEARCH table" alone: min() or max() of the row's number, at an end of the table.
        pattern = rf"SEARCH {table}(\b.*(PRIMARY KEY|sqlite_autoindex_{table}_)|$)"
        if "full scan" in index:
            pattern = rf"SCAN {table}$"
    else:
        choices = "|".join([promised[0], *re.findall(r"\bor (\w+_idx|\w+_key)", index)])
        pattern = rf"(INDEX ({choices})\b|\b{promised[0]} VIRTUAL TABLE)"
    # An upsert's index decides the conflict and stands in no plan.
    if "conflict" not in index and "ON CONFLICT" not in statement.sql:
        assert any(re.search(pattern, step) for step in steps), steps
    tables = {row[0] for row in migrated.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not statement.header.waivers and "full scan" not in index:
        scans = [s for s in steps if (found := re.match(r"SCAN (\w+)", s)) and found[1] in tables and "INDEX" not in s]
        assert not [s for s in scans if "VIRTUAL TABLE" not in s], steps


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_no_sort_is_no_sort(variant: str, migrated: sqlite3.Connection) -> None:
    statement, given, sql = VARIANTS[variant]
    if "no sort" in statement.header.index_for(given):
        # SQLite sorts an aggregate's or a list_many's inner part elsewhere; the outer order is what is promised.
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan(migrated, statement, sql)


def test_a_function_named_replace_writes_nothing(tmp_path: Path) -> None:
    header = "-- Index: none (no table)\n-- Rows: 1\n"
    (tmp_path / "a.sql").write_text(
        f"-- name: shorten()$\n-- Shortens.\n{header}WITH one (t) AS (VALUES ('ab')) SELECT replace (t, 'a', '') FROM one;\n"
        f"\n-- name: put()!\n-- Puts.\n{header}WITH one (t) AS (VALUES (1)) REPLACE INTO kept (t) SELECT t FROM one;\n"
    )
    from datastore.statements.loader import read_statements

    read = read_statements(tmp_path, "sqlite")
    assert (read["shorten"].writes, read["put"].writes) == (False, True)
