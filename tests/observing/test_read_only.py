"""A store that is opened read-only, and the commands that read, on a file or folder that cannot be written to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.errors import InvalidValueError, ReadOnlyDatabaseError
from tests.conftest import ROOT


def fill(path: Path) -> str:
    with Datastore.open(path, migrate=True) as store:
        conversation = store.conversations.add(source="s", sanitization_version="1", id="c")
        store.messages.append(conversation.id, role="user", content="a word about gardens")
        return conversation.id


WRITES: dict[str, Callable[[Datastore], object]] = {
    "statement": lambda store: store.conversations.add(source="s", sanitization_version="1"),
    "transaction": lambda store: store.transaction().__enter__(),
    "erasure": lambda store: store.erase(conversation_id="c"),
    "checkpoint": lambda store: store.maintenance.run(everything=True),
    "reindex": lambda store: store.reindex(),
    "language": lambda store: store.reindex(language="german"),
    "vacuum": lambda store: store.maintenance.vacuum(),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_change_is_refused(tmp_path: Path, write: str) -> None:
    fill(tmp_path / "app.db")
    before = (tmp_path / "app.db").read_bytes()
    with Datastore.open(tmp_path / "app.db", read_only=True) as store:
        with pytest.raises(ReadOnlyDatabaseError, match="read_only=True"):
            WRITES[write](store)
        assert store.messages.search("gardens").items
        assert not any(store.verify().values())
    assert (tmp_path / "app.db").read_bytes() == before


def test_it_sees_what_others_commit(tmp_path: Path) -> None:
    id = fill(tmp_path / "app.db")
    with Datastore.open(tmp_path / "app.db") as writer, Datastore.open(tmp_path / "app.db", read_only=True) as store:
        writer.messages.append(id, role="user", content="another")
        assert store.messages.count() == 2


def test_it_creates_nothing_and_migrates_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "app.db")
    (tmp_path / "app.db.gate").unlink()
    with pytest.raises(InvalidValueError, match="migrate"):
        Datastore.open(tmp_path / "new.db", read_only=True, migrate=True)
    Datastore.open(tmp_path / "app.db", read_only=True).close()
    assert not (tmp_path / "new.db").exists()
    assert not (tmp_path / "app.db.gate").exists()


def as_nobody(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command without root's right to write everywhere."""
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and setpriv is not here")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups", *command]
    return subprocess.run(
        command, capture_output=True, text=True, cwd="/", env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ["stats", "--json"],
        ["status", "--json"],
        ["show", "c", "--json"],
        ["search", "--messages", "gardens", "--json"],
        ["verify", "--json"],
        ["export"],
        ["metrics"],
        ["jobs", "--json"],
    ],
    ids=lambda words: words[0],
)
def test_commands_that_read_work_in_a_folder_that_cannot_be_written_to(words: list[str]) -> None:
    # pytest's own folders may be entered by their owner only.
    place = Path(os.path.realpath(tempfile.mkdtemp()))
    fill(place / "app.db")
    for path in place.iterdir():
        path.chmod(0o444)
    place.chmod(0o555)
    try:
        done = as_nobody([sys.executable, "-m", "datastore.cli", *words, "--database", str(place / "app.db")])
        assert done.returncode == 0, done.stderr
        assert "gardens" in done.stdout or words[0] not in ("show", "search", "export")
        if "--json" in words:
            json.loads(done.stdout)
        refused = as_nobody(
            [
                sys.executable,
                "-m",
                "datastore.cli",
                "purge",
                "--deleted-before",
                "1d",
                "--database",
                str(place / "app.db"),
            ]
        )
        assert refused.returncode == 1
        assert "read_only" in refused.stderr or "cannot be written to" in refused.stderr
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)


def test_on_a_server_the_server_refuses_too(migrated_server: str) -> None:
    with Datastore.open(migrated_server, read_only=True) as store:
        assert store.conversations.count() == 0
        with pytest.raises(ReadOnlyDatabaseError, match="read_only=True"):
            store.conversations.add(source="s", sanitization_version="1")
        engine = store.engine
        with engine.connection() as connection:  # type: ignore[attr-defined]
            assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
