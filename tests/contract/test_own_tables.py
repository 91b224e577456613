"""docs/own-tables.md is a whole project: it is built from the page, generated, checked and run."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-tables.md").read_text(encoding="utf-8")

#: A file is a line with its name, a blank line and a block.
FILES = dict(re.findall(r"(?m)^`([\w./-]+)`\n\n```\w+\n((?:.|\n)*?)^```$", PAGE))


def block(language: str) -> str:
    """The page's only block of a language that no file is."""
    (text,) = re.findall(rf"(?m)^```{language}\n((?:.|\n)*?)^```$", PAGE)
    return str(text).replace("VERSION", sqlite3.sqlite_version)


def build(folder: Path) -> None:
    """Write the page's files, and what makes a package of the notebook."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "notebook" / "__init__.py").write_text("")


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    build(folder)
    said = ""
    for command in ("generate", "check --update"):
        said += f"$ datastore {command}\n{run(folder, '-m', 'datastore.cli', *command.split())}"
    # Without a last release there is a note about that, which depends on where the project lies.
    said = "".join(f"{line}\n" for line in said.splitlines() if not line.startswith("note:"))
    # The library's own steps become more.
    assert re.sub(r"\d+ migration steps", "STEPS", said) == re.sub(r"\d+ migration steps", "STEPS", block("console"))
    return folder


def test_the_page_has_the_files_of_a_project() -> None:
    assert len(FILES) == 8


def test_the_application_runs(project: Path) -> None:
    assert run(project, "main.py") == block("text")


def test_the_asynchronous_application_runs(project: Path) -> None:
    (printed,) = re.findall(r"It prints `(.*)`", PAGE)
    assert run(project, "main_async.py").rstrip("\n") == printed


def test_the_command_line_takes_a_database_with_more_tables(project: Path) -> None:
    run(project, "main.py")
    said = run(project, "-m", "datastore.cli", "status", "--database", "app.db")
    assert "pending migrations none" in re.sub(" +", " ", said)
    assert "app-0001.notes" in said


def test_a_second_generate_writes_nothing(project: Path) -> None:
    assert run(project, "-m", "datastore.cli", "generate") == "3 statements: everything is up to date\n"
