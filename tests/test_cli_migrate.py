"""`datastore migrate`: creates a database, applies what it lacks, says what it would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from datastore import Datastore
from datastore.cli.commands import cli
from datastore.migrations import migration_ids, rollback
from datastore.resources import migrations_folder

IDS = migration_ids(migrations_folder())


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["migrate", *words])
    return done.exit_code, done.output


def test_a_missing_database_is_created(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    assert run("--database", path) == (0, "".join(f"applied {name}\n" for name in IDS))
    with Datastore.open(path) as store:
        assert store.conversations.count() == 0
    assert run("--database", path) == (0, "nothing to apply\n")


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    code, text = run("--dry-run", "--database", str(path))
    assert code == 0
    assert [line for line in text.splitlines() if not line.startswith(" ")] == IDS
    assert text.count("  locks: ") == len(IDS)
    assert "not stated" not in text
    assert not path.exists()
    run("--database", str(path))
    rollback(path, steps=1)
    before = path.read_bytes()
    assert run("--dry-run", "--database", str(path))[1].startswith(IDS[-1])
    assert path.read_bytes() == before
    assert run("--database", str(path)) == (0, f"applied {IDS[-1]}\n")


def test_own_migrations_are_applied_too(tmp_path: Path) -> None:
    own = tmp_path / "schema"
    own.mkdir()
    (own / "app-0001.notes.sql").write_text(
        f"-- depends: {IDS[-1]}\nCREATE TABLE notes (id TEXT PRIMARY KEY) STRICT;\n"
    )
    (own / "app-0001.notes.rollback.sql").write_text("DROP TABLE notes;\n")
    words = ["--migrations", str(own), "--database", str(tmp_path / "app.db")]
    assert "app-0001.notes\n  locks: not stated\n" in run("--dry-run", *words)[1]
    assert run(*words)[1].endswith("applied app-0001.notes\n")


def test_a_server(datastore_server_template: object, tmp_path: Path) -> None:
    from tests import postgresql

    with postgresql.database(f"migrate_{tmp_path.name}".lower().replace("-", "_")[:40]) as url:
        code, text = run("--dry-run", "--database", url)
        assert code == 0
        assert text.count("  locks: ") == len(IDS)
        assert run("--database", url) == (0, "".join(f"applied {name}\n" for name in IDS))
        assert run("--dry-run", "--database", url) == (0, "nothing to apply\n")


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_another_programs_file_is_refused(tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 20)
    code, text = run(*words, "--database", str(path))
    assert code == 1
    assert "not a SQLite database" in text
    assert path.read_bytes().startswith(b"not a database")
