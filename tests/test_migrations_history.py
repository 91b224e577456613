"""A database whose steps are not this version's: it is told what to do, and a newer version's database is told apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datastore import Datastore, migrations
from datastore.cli.commands import cli
from datastore.errors import SchemaOutOfDateError
from datastore.migrations import checksums
from datastore.resources import migrations_folder
from tests.databases import rows

ENGINES = ["sqlite", "postgresql"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(engine: str, tmp_path: Path) -> Iterator[Any]:
    """A database of the test's own: a path or a URL."""
    if engine == "sqlite":
        yield tmp_path / "app.db"
        return
    from tests.postgresql import database

    with database("history") as url:
        yield url


def former_ids(folder: Path) -> None:
    """The ids of a history whose later steps had other names."""
    for old, new in (("0004.search", "0004.job_queue"), ("0005.retention", "0005.search")):
        for end in (".sql", ".rollback.sql"):
            (folder / f"{old}{end}").rename(folder / f"{new}{end}")
    last = folder / "0005.search.sql"
    last.write_text(last.read_text().replace("-- depends: 0004.search", "-- depends: 0004.job_queue"))
    after = folder / "0006.job-flow.sql"
    after.write_text(after.read_text().replace("-- depends: 0005.retention", "-- depends: 0005.search"))


def former_text(folder: Path) -> None:
    """The same ids, and another text of the first step."""
    first = folder / "0001.initial.sql"
    first.write_text(first.read_text().replace("CREATE TABLE uploads", "-- An older comment.\nCREATE TABLE uploads"))


#: What an older commit had, and the steps that the error names.
FORMER = [(former_ids, "0006.job-flow, 0004.job_queue, 0005.search"), (former_text, "0001.initial")]


def made_by_an_older_commit(database: Any, engine: str, tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = Path(shutil.copytree(migrations_folder(engine), tmp_path / "older"))
    change(folder)
    checksums.write_lock(folder)
    migrations.apply(database, folder)


@pytest.mark.parametrize(("change", "named"), FORMER)
def test_a_database_of_an_older_commit_is_told_to_export(
    database: Any, engine: str, tmp_path: Path, change: Any, named: str
) -> None:
    made_by_an_older_commit(database, engine, tmp_path, change)
    with pytest.raises(SchemaOutOfDateError) as caught:
        Datastore.open(database)
    message = str(caught.value)
    assert f"({named})" in message
    assert "datastore export --include-deleted" in message
    assert "datastore import" in message
    assert "newer" not in message
    status = CliRunner().invoke(cli, ["status", "--database", str(database)])
    assert status.exit_code == 0, status.output
    assert "datastore export --include-deleted" in status.stderr
    assert "yoyo apply" not in status.output
    told = CliRunner().invoke(cli, ["status", "--json", "--database", str(database)])
    assert json.loads(told.stdout)["other_history"] == named.split(", ")


def test_a_step_with_another_text_is_neither_continued_nor_undone(database: Any, engine: str, tmp_path: Path) -> None:
    made_by_an_older_commit(database, engine, tmp_path, former_text)
    for call in (migrations.apply, migrations.rollback, lambda where: Datastore.open(where, migrate=True)):
        with pytest.raises(SchemaOutOfDateError, match=r"0001\.initial.*datastore export --include-deleted"):
            call(database)


def test_a_newer_version_has_every_step_and_more(database: Any) -> None:
    with Datastore.open(database, migrate=True) as store:
        rows(
            store,
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('f00', '0006.more', '2026-11-23 09:14:05')",
        )
    with pytest.raises(SchemaOutOfDateError, match=r"0006\.more.*use a newer datastore"):
        Datastore.open(database)


def test_the_commands_that_the_error_names_carry_the_rows_over(database: Any, tmp_path: Path) -> None:
    with Datastore.open(database, migrate=True) as store:
        kept = store.conversations.add(sanitization_version="7", title="kept").id
        store.messages.append(kept, role="user", content="hello")
        hidden = store.conversations.add(sanitization_version="8").id
        store.conversations.soft_delete(hidden)
    file, new = tmp_path / "all.jsonl", tmp_path / "new.db"
    for command in (
        ["export", "--include-deleted", "--output", str(file), "--database", str(database)],
        ["import", "--sanitization-version", "1", str(file), "--database", str(new)],
    ):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
    with Datastore.open(new) as store, Datastore.open(database) as before:
        assert [message.content for message in store.messages.list(kept)] == ["hello"]
        for id in (kept, hidden):
            assert store.conversations.get(id) == before.conversations.get(id)
