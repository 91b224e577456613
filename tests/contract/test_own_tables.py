"""docs/own-tables.md shows the project that `datastore init` writes: it is written, generated, checked and run."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgresql
from tests.conftest import until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-tables.md").read_text(encoding="utf-8")

#: A file is a line with its name, a blank line and a block.
FILES = dict(re.findall(r"(?m)^`([\w./-]+)`\n\n```\w+\n((?:.|\n)*?)^```$", PAGE))

INIT = ("init", ".", "--package", "notebook", "--postgresql")


def block(language: str) -> str:
    """The page's only block of a language that no file is."""
    (text,) = re.findall(rf"(?m)^```{language}\n((?:.|\n)*?)^```$", PAGE)
    return str(text).replace("VERSION", sqlite3.sqlite_version)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(folder: Path, *command: str, code: int = 0, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=120, env=environment(**more)
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr * bool(code)


def datastore(folder: Path, *command: str, code: int = 0) -> str:
    return run(folder, "-m", "datastore.cli", *command, code=code)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    said = ""
    for command in (" ".join(INIT), "generate", "check --update --no-server"):
        said += f"$ datastore {command}\n{datastore(folder, *command.split())}"
    # Without a last release there is a note about that, which depends on where the project lies.
    # Where a PostgreSQL can be started, the check asks it too.
    left_out = ("note:", "wrote plans/postgresql-")
    said = "".join(f"{line}\n" for line in said.splitlines() if not line.startswith(left_out))
    said = re.sub(r", PostgreSQL [^:\n]*", "", said)
    # The library's own steps become more.
    assert re.sub(r"\d+ migration steps", "STEPS", said) == re.sub(r"\d+ migration steps", "STEPS", block("console"))
    return folder


def test_the_page_has_every_file_as_it_is_written(project: Path) -> None:
    written = {
        path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    generated = {"schema/sqlite/SHA256SUMS", "schema/postgresql/SHA256SUMS", "queries/contract.lock.json"}
    left = {name for name in written - generated if not name.startswith(("notebook/queries/", "plans/"))}
    left = {name for name in left if "__pycache__" not in name}
    assert left == set(FILES)
    assert {name: (project / name).read_text(encoding="utf-8") for name in FILES} == FILES


def test_the_application_runs(project: Path) -> None:
    assert run(project, "main.py") == block("text")


def test_the_asynchronous_application_runs(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "asynchronous"
    shutil.copytree(project, folder)
    settings = folder / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.datastore]\n", "[tool.datastore]\nasynchronous = true\n"))
    datastore(folder, "generate")
    ((printed, program),) = re.findall(r"(?s)then prints `([^`]+)`:\n\n```python\n(.*?)```", PAGE)
    (folder / "main_async.py").write_text(program)
    assert run(folder, "main_async.py").rstrip("\n") == printed


def test_the_application_runs_on_postgresql_and_is_checked_there(project: Path) -> None:
    with postgresql.database(f"own_tables_{os.getpid()}") as url:
        assert run(project, "main.py", DATASTORE_DATABASE=url) == block("text")
        assert datastore(project, "check", "--server", url).splitlines()[-1].endswith("(3 statements): no problems")


def test_the_command_line_takes_a_database_with_more_tables(project: Path) -> None:
    run(project, "main.py")
    said = datastore(project, "status", "--database", "app.db")
    assert "pending migrations none" in re.sub(" +", " ", said)
    assert "app-0001.notes" in said


def test_a_second_generate_writes_nothing(project: Path) -> None:
    assert datastore(project, "generate") == "3 statements: everything is up to date\n"


def test_a_project_for_sqlite_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "2"\n')
    said = datastore(tmp_path, "init", str(tmp_path))
    assert "postgresql" not in said
    assert (tmp_path / "pyproject.toml").read_text().startswith('[project]\nname = "mine"\nversion = "2"\n\n[tool.data')
    datastore(tmp_path, "generate")
    assert "no problems" in datastore(tmp_path, "check")
    assert run(tmp_path, "main.py") == block("text")


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('mine')\n")
    assert "is there already; nothing was written" in datastore(tmp_path, "init", str(tmp_path), code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["main.py"]
    (tmp_path / "main.py").unlink()
    assert "'my-app' is not a valid name" in datastore(tmp_path, "init", str(tmp_path), "--package", "my-app", code=1)
    datastore(tmp_path, "init", str(tmp_path))
    assert "has [tool.datastore] already" in datastore(tmp_path, "init", str(tmp_path), code=1)


def test_generate_watches(tmp_path: Path) -> None:
    datastore(tmp_path, "init", str(tmp_path))
    queries, module = tmp_path / "queries" / "notes.sql", tmp_path / "app" / "queries" / "notes.py"
    text = queries.read_text()
    command = [sys.executable, "-m", "datastore.cli", "generate", "--watch"]
    with (tmp_path / "said.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, env=environment(PYTHONUNBUFFERED="1"))
    try:
        until(lambda: module.is_file() and "def add_note(" in module.read_text())
        queries.write_text(text.replace("FROM notes", "FORM notes"))
        until(lambda: "syntax error" in (tmp_path / "said.txt").read_text())
        queries.write_text(text.replace("add_note", "keep_note"))
        until(lambda: "def keep_note(" in module.read_text())
    finally:
        process.terminate()
        process.wait(10)
