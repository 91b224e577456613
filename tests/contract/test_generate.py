"""Generated code: what the Protocols say is what the loaded functions take; drift is told; an override counts."""

from __future__ import annotations

import importlib
import inspect
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datastore.cli.commands import cli
from datastore.contract.facts import read_facts
from datastore.contract.generate import drift, protocol_name, write
from datastore.contract.project import find_project
from datastore.errors import ProjectError
from datastore.resources import sql_folder
from datastore.statements import typed
from datastore.statements.binding import signature
from datastore.statements.loader import read_statements
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


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_protocol_is_the_loaded_function(name: str) -> None:
    statement = STATEMENTS[name]
    noun = Path(statement.file).stem
    module = importlib.import_module(f"datastore.statements.typed.{noun}")
    written = inspect.signature(getattr(getattr(module, protocol_name(noun)), name))
    loaded = signature(statement)
    assert list(written.parameters) == list(loaded.parameters)
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
    assert "    id: int\n    body: Any\n    created_at: datetime | None\n" in text
    assert "from datetime import datetime\n" in text


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
    assert run(planted, "generate", "--check").stdout == "3 statements: everything is as generated\n"


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
        "notebook/queries/pages.py: generated: no .sql file stands behind this module any more",
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
