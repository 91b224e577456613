"""`datastore check` as a whole: this project is clean, somebody else's is checked, exit codes, JSON, what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datastore.cli import check as command
from datastore.cli.commands import cli
from datastore.contract.check import check
from datastore.contract.problems import RULES
from datastore.contract.project import find_project
from tests.contract.planted import Planted

ROOT = Path(__file__).resolve().parents[2]
LIST = (Path(__file__).parent / "planted/star.good.sql").read_text()
STAR = (Path(__file__).parent / "planted/star.bad.sql").read_text()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments], prog_name="datastore")


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    project = Planted(tmp_path)
    project.statements(LIST)
    return project


def test_this_project_keeps_every_promise() -> None:
    report = check(find_project(ROOT))
    assert "\n\n".join(problem.render() for problem in report.problems) == ""
    assert report.statements > 100
    assert report.steps >= 3


def test_the_command_prints_problems_and_exits_with_5(planted: Planted) -> None:
    clean = run("--project", str(planted.root), "--update")
    assert (clean.exit_code, clean.stderr) == (0, "")
    assert clean.stdout.splitlines()[-1].endswith(": no problems")
    assert [line for line in clean.stdout.splitlines() if line.startswith("wrote ")] != []

    planted.statements(STAR)
    wrong = run("--project", str(planted.root / "queries"))
    assert wrong.exit_code == 5
    expected = (Path(__file__).parent / "planted/star.txt").read_text()
    assert wrong.stdout.startswith(expected)
    assert wrong.stdout.splitlines()[-1].endswith(": 1 problem")


def test_the_command_as_json(planted: Planted) -> None:
    planted.statements(STAR)
    result = run("--project", str(planted.root), "--json")
    assert result.exit_code == 5
    report = json.loads(result.stdout)
    assert (report["ok"], report["statements"], report["steps"]) == (False, 1, 1)
    assert report["problems"] == [
        {
            "rule": "star",
            "file": "queries/notes.sql",
            "line": 8,
            "column": 5,
            "length": 1,
            "message": "columns are spelled out, never *",
            "hint": "name the columns: a migration that adds one must not change what is returned",
            "notes": [],
            "statement": "list_titles",
            "subject": "",
        }
    ]


def test_a_project_that_cannot_be_checked_exits_with_1(planted: Planted) -> None:
    planted.change("pyproject.toml", '"queries"', '"query"')
    result = run("--project", str(planted.root))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "statements: there is no folder" in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_the_parser_it_says_how_to_install_it(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    result = run("--project", str(planted.root))
    assert result.exit_code == 1
    assert result.stderr == (
        "datastore: sqlglot and jinja2 must be installed for this: pip install 'datastore[check]'\n"
    )


def test_only_the_check_loads_what_the_check_needs() -> None:
    program = (
        "import sys; from datastore.cli.commands import cli; "
        "print(sorted({'sqlglot', 'yoyo', 'datastore.contract'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_nothing_is_written_without_update(planted: Planted) -> None:
    before = sorted(planted.root.rglob("*"))
    run("--project", str(planted.root))
    assert sorted(path for path in planted.root.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_project_that_builds_on_this_library(tmp_path: Path) -> None:
    """One migration, one .sql file: a table beside the library's own, in the same database."""
    project = Planted(tmp_path)
    project.change("pyproject.toml", 'migrations = "schema"', 'migrations = ["datastore", "schema"]')
    step = """\
-- depends: 0003.audit
CREATE TABLE ratings (
    message_id TEXT NOT NULL,
    stars INTEGER NOT NULL,
    CONSTRAINT ratings_pkey PRIMARY KEY (message_id),
    CONSTRAINT ratings_message_id_fkey FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""
    for name in ("0001.notes.sql", "0001.notes.rollback.sql"):
        (tmp_path / "schema" / name).unlink()
    project.put("schema/0900.ratings.sql", step)
    project.put("schema/0900.ratings.rollback.sql", "DROP TABLE ratings;\n")
    statement = """\
-- name: list_ratings(conversation_id, after_position, max_rows)
-- The ratings of one page of a conversation, oldest message first.
--   conversation_id  text  which conversation
--   after_position  integer  0 for the first page
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_branch_position_key (range scan; sorts), ratings primary key
-- Rows: 0 to max_rows
SELECT
    messages.id,
    messages.position,
    ratings.stars
FROM messages
CROSS JOIN ratings
WHERE
    messages.conversation_id = :conversation_id
    AND messages.position > :after_position
    AND ratings.message_id = messages.id
ORDER BY messages.position, messages.id
LIMIT :max_rows;
"""
    project.statements(statement)
    report = project.check()
    assert project.said() == ""  # nor does it say anything of the library's own indexes, which others use
    assert report.steps > 3
    project.statements(statement.replace("ratings.stars", "ratings.star"))
    assert 'did you mean "stars"?' in project.said()


def test_every_rule_is_documented() -> None:
    text = (ROOT / "docs/contract-checks.md").read_text(encoding="utf-8")
    assert [name for name in RULES if f"| `{name}` |" not in text] == []
