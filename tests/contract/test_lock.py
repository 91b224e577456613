"""The lock file, and what `datastore diff` says of a change: what breaks callers, and what does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datastore.cli.commands import cli
from datastore.contract.facts import read_facts
from datastore.contract.generate import drift, write
from datastore.contract.project import find_project
from tests.contract.planted import Planted
from tests.contract.test_generate import NOTES, planted  # noqa: F401 - a fixture


def git(root: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *settings, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def released(planted: Planted) -> Planted:  # noqa: F811
    """The project, generated and committed."""
    generate(planted)
    git(planted.root, "init", "-q")
    git(planted.root, "add", "-A")
    git(planted.root, "commit", "-qm", "first")
    return planted


def generate(project: Planted) -> None:
    with read_facts(find_project(project.root)) as facts:
        write(drift(facts))


def diff(project: Planted, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["diff", "--project", str(project.root), *arguments], prog_name="datastore")


def test_nothing_changed(released: Planted) -> None:
    result = diff(released, "HEAD")
    assert (result.exit_code, result.stdout) == (0, "nothing changed since HEAD\n")


BREAKING = [
    ("count_notes", "count_all_notes", "count_notes: is gone"),
    ("SELECT\n    id,\n    body,", "SELECT\n    id,", "list_notes: column body is gone"),
    (
        "    id,\n    body,\n",
        "    body,\n    id,\n",
        "list_notes: its columns have another order: body, id, created_at",
    ),
    (
        "    created_at\nFROM",
        "    nullif(created_at, '') AS created_at\nFROM",
        "list_notes: column created_at may be NULL, and could not be",
    ),
    (
        "    body,\n",
        "    length(title) AS body,\n",
        "list_notes: column body is integer, and was text or NULL",
    ),
    (" -- if: title", "", "list_notes: parameter title is text, and was text, optional"),
    ("--   id  integer  which note", "--   id  real  which note", "find_title: parameter id is real, and was integer"),
    (
        "find_title(id)$\n-- The title of a note.\n--   id  integer  which note\n",
        "find_title(id, author_id)$\n-- The title of a note.\n--   id  integer  which note\n--   author_id  integer  whose\n",
        "find_title: parameter author_id (integer) is asked for, and was not",
    ),
    ("find_title(id)$", "find_title(id)^", "find_title: gives one row or none, and gave one value"),
    ("-- Rows: 1\n", "-- Rows: 0 or 1\n", 'count_notes: may give nothing ("Rows: 0 or 1"), and always gave a row'),
]


@pytest.mark.parametrize(("old", "new", "said"), BREAKING)
def test_what_breaks_callers_is_said_in_words(old: str, new: str, said: str, released: Planted) -> None:
    text = NOTES.replace(old, new, 1)
    if "author_id  integer  whose" in new:
        text = text.replace("WHERE id = :id;", "WHERE id = :id AND author_id = :author_id;")
    assert text != NOTES
    released.statements(text)
    result = diff(released, "HEAD")
    assert result.exit_code == 5, result.stdout + result.stderr
    assert result.stdout.startswith("breaks callers (")
    breaking = json.loads(diff(released, "HEAD", "--json").stdout)["breaking"]
    assert said in breaking


OTHERS = [
    (
        "    AND title = :title -- if: title\n",
        "    AND title = :title -- if: title\n    AND body = :body -- if: body\n",
        "list_notes: takes body (text, optional)",
    ),
    ("    created_at\nFROM", "    created_at,\n    title\nFROM", "list_notes: column title (text) is new"),
    ("    body,\n", "    coalesce(body, '') AS body,\n", "list_notes: column body can no longer be NULL"),
    (
        "--   title  text  only",
        "--   title  text?  only",
        "list_notes: parameter title is text or NULL, optional, and was",
    ),
    (
        "ORDER BY created_at, id",
        "ORDER BY id",
        "list_notes: its plan is SEARCH notes USING INDEX notes_author_id_idx (author_id=?); TEMP B-TREE FOR ORDER BY",
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), OTHERS)
def test_other_changes_break_nobody(old: str, new: str, said: str, released: Planted) -> None:
    text = NOTES.replace(old, new, 1)
    if "body = :body" in new:
        text = text.replace("(author_id, title, max_rows)", "(author_id, title, body, max_rows)").replace(
            "--   max_rows", "--   body  text  only this\n--   max_rows"
        )
    assert text != NOTES
    released.statements(text)
    result = json.loads(diff(released, "HEAD", "--json").stdout)
    assert result["breaking"] == []
    assert any(change.startswith(said) for change in result["others"]), result


def test_the_whole_of_what_is_said(released: Planted) -> None:
    released.change("schema/0001.notes.sql", "created_at TEXT NOT NULL", "created_at TEXT")
    text = NOTES.replace(" -- if: title", "").replace("count_notes", "count_notes_of")
    released.statements(text.replace("    created_at\nFROM", "    created_at,\n    title\nFROM"))
    said = diff(released, "HEAD").stdout
    assert said == (Path(__file__).parent / "planted" / "diff.txt").read_text()


def test_a_column_that_becomes_nullable_is_one_line_of_the_lock_file(released: Planted) -> None:
    released.change("schema/0001.notes.sql", "created_at TEXT NOT NULL", "created_at TEXT")
    generate(released)
    shown = subprocess.run(
        ["git", "diff", "-U0", "contract.json"], cwd=released.root, capture_output=True, text=True, check=True
    ).stdout
    changed = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ['-        "created_at": "text"', '+        "created_at": "text?"']


def test_a_ref_without_a_lock_file_is_an_error_that_says_so(released: Planted) -> None:
    git(released.root, "rm", "-q", "contract.json")
    git(released.root, "commit", "-qm", "without")
    result = diff(released, "HEAD")
    assert result.exit_code == 1
    assert "HEAD has no contract.json" in result.stderr
    assert diff(released, "nowhere").exit_code == 1
    assert diff(released, "HEAD~1").exit_code == 0


def test_a_damaged_lock_file_is_an_error_that_says_so(released: Planted) -> None:
    released.put("contract.json", "[]")
    git(released.root, "commit", "-qam", "damaged")
    assert "is damaged, or has merge marks" in diff(released, "HEAD").stderr
