"""Files as other people have them: odd encodings, names and characters, merges left half done, steps that cannot run.

Each is a problem with its file, its line and what to do; none is a traceback, and none passes in silence.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datastore.cli.commands import cli
from datastore.contract.check import check
from datastore.contract.project import find_project
from tests.contract.planted import UNDO, Planted

GET = """\
-- name: get_author(id)^
-- One author.
--   id  integer  which one
-- Index: authors primary key
-- Rows: 0 or 1
SELECT name FROM authors WHERE id = :id;
"""
FOLDER = Path(__file__).parent / "planted"
FILE = "queries/authors.sql"
MORE = "schema/0002.more.sql"
TABLE = "CREATE TABLE tags (id INTEGER PRIMARY KEY) STRICT;\n"


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    project = Planted(tmp_path)
    # The tables' index is there for the statements of other tests.
    project.change("schema/0001.notes.sql", "notes (author_id, created_at, id)", "notes (author_id)")
    return project


def put(planted: Planted, name: str, content: bytes) -> None:
    path = planted.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def told(planted: Planted) -> list[tuple[str, int, str]]:
    """The place and the rule of each problem."""
    found = check(find_project(planted.root)).problems
    return [(problem.place.file, problem.place.line, problem.rule) for problem in found]


def test_a_byte_order_mark_and_other_line_ends_change_nothing(planted: Planted) -> None:
    for text in ("\ufeff" + GET, GET.replace("\n", "\r\n"), GET.replace("\n", "\r")):
        put(planted, FILE, text.encode())
        report = check(find_project(planted.root))
        assert (report.problems, report.statements) == ([], 1)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (GET.replace("One", "\xe9").encode("latin-1"), 2, "not UTF-8"),
        (GET.encode("utf-16"), 1, "not UTF-8"),
        (f"{GET}<<<<<<< HEAD\n=======\n>>>>>>> other\n".encode(), 7, "merge mark"),
        (b"SELECT 1;\n", 1, "SQL without a name"),
        (b"-- Nothing yet.\n", 0, "no statement in this file"),
    ],
)
def test_a_file_that_cannot_be_read(planted: Planted, content: bytes, line: int, message: str) -> None:
    put(planted, FILE, content)
    assert told(planted) == [(FILE, line, "file")]
    assert message in planted.said()


@pytest.mark.parametrize("name", ["my-notes", "2fa", "notes.v2", "class", "__init__", "Notes"])
def test_a_file_whose_name_python_cannot_have(planted: Planted, name: str) -> None:
    planted.put(f"queries/{name}.sql", GET + GET.replace("get_author", "find_author"))
    assert told(planted) == [(f"queries/{name}.sql", 0, "file")]


@pytest.mark.parametrize("name", ["values", "when", "on", "where", "like", "select", "limit", "self"])
def test_a_parameter_may_be_named_as_a_keyword(planted: Planted, name: str) -> None:
    planted.put(FILE, GET.replace("(id)", f"({name})").replace("   id ", f"   {name} ").replace(":id", f":{name}"))
    assert planted.said() == ""


@pytest.mark.parametrize("name", ["add_query", "available_queries", "driver_adapter", "load_from_list", "bind"])
def test_a_statement_may_be_named_as_a_method_of_aiosql(planted: Planted, name: str) -> None:
    planted.put(FILE, GET.replace("get_author", name))
    assert planted.said() == ""


@pytest.mark.parametrize("parameter", ["@id", "$id", "?1", "?"])
def test_a_parameter_that_no_call_can_give(planted: Planted, parameter: str) -> None:
    planted.put(FILE, GET.replace(":id", parameter))
    assert told(planted) == [(FILE, 6, "parameters")]
    assert f'"{parameter}" is a parameter that no call can give' in planted.said()


@pytest.mark.parametrize(
    ("character", "name"), [("\u200b", "ZERO WIDTH SPACE"), ("\xa0", "NO-BREAK SPACE"), ("\0", "")]
)
def test_a_character_that_looks_like_nothing(planted: Planted, character: str, name: str) -> None:
    planted.put(FILE, GET.replace("WHERE id", f"WHERE{character} id"))
    assert (FILE, 6, "header") in told(planted)
    assert f"U+{ord(character):04X} ({name}" in planted.said()
    planted.put(FILE, GET.replace("name FROM", "'\u200b' || name AS name FROM"))
    assert planted.said() == ""


def test_a_header_without_sql(planted: Planted) -> None:
    planted.put(FILE, f"{GET}\n{GET.partition('SELECT')[0].replace('get_', 'find_')}")
    assert told(planted) == [(FILE, 8, "header")]
    assert "there is no SQL below its header" in planted.said()


def test_a_name_line_that_is_not_understood(planted: Planted) -> None:
    planted.put(FILE, GET.replace("(id)^", "(id) :one"))
    assert "the name line is not understood; write '-- name: get_author(parameter, ...)'" in planted.said()


def test_a_statement_without_a_header_is_told_what_it_would_be(planted: Planted) -> None:
    planted.put(FILE, "-- name: get-author^\nSELECT name FROM authors WHERE id = :id;\n")
    assert planted.said() + "\n" == (FOLDER / "no-header.txt").read_text()
    drafted = [line.partition("=     ")[2] for line in planted.said().splitlines() if "=     " in line]
    planted.put(FILE, "\n".join([*drafted, "SELECT name FROM authors WHERE id = :id;\n"]))
    assert planted.said() == ""


def test_what_is_wrong_with_a_statement_without_a_header_is_told_with_it(planted: Planted) -> None:
    planted.put(FILE, "-- name: list_authors\n-- All of them.\n\nSELECT * FROM authors;\n")
    assert {(line, rule) for _, line, rule in told(planted)} == {
        (1, "header"),
        (4, "star"),
        (4, "max-rows"),
        (4, "full-scan"),
    }


@pytest.mark.parametrize(
    ("code", "line"),
    [("def use(statements):\n    statements.get_author()\n<<<<<<< HEAD\n", 3), ("match = 1 = 2\nget_author\n", 1)],
)
def test_a_caller_that_python_cannot_read_calls_what_it_names(planted: Planted, code: str, line: int) -> None:
    planted.put(FILE, GET)
    planted.put("notebook/use.py", code)
    assert told(planted) == [("notebook/use.py", line, "file")]
    assert "cannot read this file" in planted.said()


def test_a_records_module_that_raises(planted: Planted) -> None:
    planted.put(FILE, GET.replace("0 or 1\n", "0 or 1\n-- Record: Author\n"))
    planted.put("notebook/__init__.py", "")
    planted.put("notebook/records.py", "import attrs\nraise RuntimeError('no settings')\n")
    planted.put("notebook/use.py", "get_author\n")
    planted.change("pyproject.toml", '"notebook.records"', '"raising.records"')
    (planted.root / "notebook").rename(planted.root / "raising")
    assert told(planted) == [("raising/records.py", 2, "file")]
    assert "RuntimeError('no settings')" in planted.said()


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ({MORE: "-- depends: nothing\n" + TABLE}, (MORE, 1)),
        ({MORE: "-- Tags.\n-- depends: 0002.more\n" + TABLE}, (MORE, 2)),
        ({MORE: TABLE + "BEGIN;\n"}, (MORE, 2)),
        ({MORE: "-- depends: 0001.notes\nCREATE TABLE a (id TEXT, id TEXT) STRICT;\n"}, (MORE, 2)),
        ({MORE: "-- depends: 0001.notes\n" + TABLE + "CREATE TABLE b (id TEXT;\n"}, (MORE, 3)),
        ({MORE: "-- depends: 0001.notes\n<<<<<<< HEAD\n" + TABLE}, (MORE, 2)),
        ({MORE: "\ufeff-- depends: 0001.notes\n" + TABLE}, (MORE, 1)),
        ({"schema/0002.py.py": "import nothing_like_it\n"}, ("schema/0002.py.py", 0)),
    ],
)
def test_a_step_that_cannot_run_is_named(planted: Planted, steps: dict[str, str], place: tuple[str, int]) -> None:
    planted.put(FILE, GET)
    for name, text in steps.items():
        planted.put(name, text)
        planted.put(name.replace(".sql", ".rollback.sql"), "DROP TABLE tags;\n")
    assert told(planted) == [(*place, "migration")]


def test_a_step_that_exists_twice(planted: Planted) -> None:
    planted.put(FILE, GET)
    planted.put("more/0001.notes.sql", TABLE)
    planted.change("pyproject.toml", 'migrations = "schema"', 'migrations = ["schema", "more"]')
    assert [rule for *_, rule in told(planted)] == ["migration"]
    assert "exists twice" in planted.said()


def test_a_step_of_another_encoding(planted: Planted) -> None:
    put(planted, MORE, ("-- \xe9\n" + TABLE).encode("latin-1"))
    put(planted, MORE.replace(".sql", ".rollback.sql"), UNDO.encode())
    planted.put(FILE, GET)
    assert told(planted) == [(MORE, 1, "migration")]


def test_merge_marks_in_the_lock_file_are_mended_by_generate(planted: Planted) -> None:
    planted.put(FILE, GET)
    planted.change("pyproject.toml", 'plans = "plans"', 'plans = "plans"\noutput = "typed"\nlock = "contract.json"')
    planted.put("contract.json", '<<<<<<< HEAD\n{"statements": {}}\n=======\n')
    assert ("contract.json", 0, "generated") in told(planted)
    done = CliRunner().invoke(cli, ["generate", "--project", str(planted.root)])
    assert done.exit_code == 0, done.output
    assert list(json.loads((planted.root / "contract.json").read_text())["statements"]) == ["get_author"]
    assert planted.said() == ""
