"""What mypy and pyright see of the generated code: every planted mistake, and nothing in the code without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_own_tables import INIT, ROOT, datastore

#: A mistake and the line of a method that has it; `statements` is a NotesStatements.
MISTAKES = {
    "an argument that is not there": 'statements.add_note(id="n", conversation_id="c", stars=1, txt="x", now=utc_now())',
    "an argument too many": 'statements.rate_conversation(conversation_id="c", max_rows=1)',
    "a missing argument": 'statements.add_note(id="n", conversation_id="c", stars=1, text="x")',
    "an argument of another type": 'statements.add_note(id="n", conversation_id="c", stars="1", text="x", now=utc_now())',
    "a time as text": 'statements.add_note(id="n", conversation_id="c", stars=1, text="x", now="2026-01-01")',
    "None where NULL is not meant": 'statements.add_note(id="n", conversation_id=None, stars=1, text="x", now=utc_now())',
    "an argument by position": 'statements.rate_conversation("c")',
    "a query that does not exist": 'statements.get_note(id="n")',
    "a field that does not exist": 'statements.list_notes(conversation_id="c", max_rows=1)[0].title',
    "a row class's field that does not exist": 'statements.rate_conversation(conversation_id="c").stars',
    "a None that is not handled": 'round(statements.rate_conversation(conversation_id="c").average_stars)',
    "a record's None that is not handled": 'statements.list_notes(conversation_id="c", max_rows=1)[0].stars + 1',
    "a list taken for a record": 'statements.list_notes(conversation_id="c", max_rows=1).text',
    "a field of another type": 'statements.list_notes(conversation_id="c", max_rows=1)[0].created_at.upper()',
    "a result of another type": 'wants_int(statements.rate_conversation(conversation_id="c").average_stars or 0.5)',
    "an optional filter of another type": 'statements.list_notes(conversation_id="c", max_rows=1, min_stars="2")',
    "a record that is changed": "setattr_of(statements).stars = 3",
}

HEAD = """\
from __future__ import annotations

from datastore.values import utc_now
from notebook.queries.notes import NotesStatements
from notebook.records import Note


def wants_int(value: int) -> None:
    utc_now()


def setattr_of(statements: NotesStatements) -> Note:
    return statements.list_notes(conversation_id="c", max_rows=1)[0]


def use(statements: NotesStatements) -> None:
"""

RIGHT = """\
    note = statements.add_note(id="n", conversation_id="c", stars=None, text="x", now=utc_now())
    for one in statements.list_notes(conversation_id="c", max_rows=1, min_stars=None):
        wants_int(one.stars or len(one.text) + note.created_at.year)
    rating = statements.rate_conversation(conversation_id="c")
    if rating.average_stars is not None:
        wants_int(round(rating.average_stars) + rating.note_count)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook of docs/own-tables.md, with a module for each mistake and one without any."""
    folder = tmp_path_factory.mktemp("mistakes")
    datastore(folder, *INIT)
    datastore(folder, "generate")
    (folder / "planted").mkdir()
    for number, line in enumerate(MISTAKES.values()):
        (folder / "planted" / f"mistake_{number}.py").write_text(f"{HEAD}    {line}\n")
    (folder / "planted" / "right.py").write_text(HEAD + RIGHT)
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def caught(errors: list[str]) -> set[str]:
    """The mistakes in whose module, at their line, a checker found something; nothing else may be found."""
    line = len(HEAD.splitlines()) + 1
    wrong = [error for error in errors if not re.match(rf"planted/mistake_\d+\.py:{line}$", error)]
    assert not wrong, wrong
    return {list(MISTAKES)[int(found[1])] for error in errors if (found := re.search(r"mistake_(\d+)", error))}


def test_mypy_sees_every_planted_mistake(project: Path) -> None:
    command = ["-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path", "planted", "notebook"]
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, timeout=300, env=environment()
    )
    found = re.findall(rf"(?m)^{re.escape(str(project))}/(\S+?:\d+): error:", done.stdout)
    assert found, done.stdout + done.stderr
    assert caught(found) == set(MISTAKES)


@pytest.mark.long
def test_pyright_sees_every_planted_mistake(project: Path) -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    assert pyright is not None, "pyright is not installed: make test-all does it, or pip install 'pyright[nodejs]'"
    settings = {"pythonPath": sys.executable, "extraPaths": [str(ROOT)], "include": ["planted", "notebook"]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [pyright, "--outputjson", "--pythonpath", sys.executable],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )
    report = json.loads(done.stdout)
    found = [
        f"{Path(one['file']).relative_to(project).as_posix()}:{one['range']['start']['line'] + 1}"
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert caught(found) == set(MISTAKES)
