"""What names a database: paths, links, URLs and connection strings; nothing is made by accident, no secret is shown."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from datastore import Datastore
from datastore.address import database_path, is_server, server_url
from datastore.cli.commands import cli
from datastore.errors import (
    CorruptDatabaseError,
    DatabaseMissingError,
    InvalidValueError,
    NotADatastoreError,
)
from datastore.migrations import apply

SECRET = "swordfish"

CONNECTION_STRINGS = [
    f"host=localhost dbname=app user=u password={SECRET}",
    f"dbname=app password='{SECRET}'",
    f"  password = {SECRET} host=h",
    f"application_name=x host=h password={SECRET} options=://",
    f"postgresql:/u:{SECRET}@h/x",
    f"postgresql:u:{SECRET}@h/x",
    f"postgres:/u:{SECRET}@h/x",
    f"mysql://u:{SECRET}@h/x",
    f"MySQL+pymysql://u:{SECRET}@h/x",
    f"mariadb:u:{SECRET}@h/x",
    f"jdbc:postgresql://h/x?user=u&password={SECRET}",
    f"https://u:{SECRET}@h/x.db",
    f"file:app.db?key={SECRET}",
    f"'postgresql://u:{SECRET}@h/x'",
    f"u:{SECRET}@h/x",
    f"//u:{SECRET}@h/x",
]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", CONNECTION_STRINGS)
def test_a_connection_string_is_no_path_and_is_not_shown(text: str, tmp_path: Path) -> None:
    for use in (
        lambda: Datastore.open(text),
        lambda: Datastore.open(text, migrate=True),
        lambda: Datastore.restore("backup.db", text),
    ):
        with pytest.raises(InvalidValueError) as refused:
            use()
        assert SECRET not in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_a_path_made_of_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="not a Path") as refused:
        Datastore.open(Path(f"postgresql://u:{SECRET}@h/x"), migrate=True)
    assert SECRET not in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_import_makes_no_file_of_a_connection_string(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("")
    for text in CONNECTION_STRINGS:
        ran = CliRunner().invoke(cli, ["import", "in.jsonl", "--sanitization-version", "1", "--database", text])
        assert ran.exit_code == 1, ran.output
        assert SECRET not in ran.output
    assert os.listdir(tmp_path) == ["in.jsonl"]


@pytest.mark.parametrize("url", ["postgresql://h/x", "postgres://h/x", "PostgreSQL://h/x", " POSTGRES://h/x\n"])
def test_a_servers_url_in_any_case(url: str) -> None:
    assert is_server(url)
    assert server_url(url) in ("postgresql://h/x", "postgres://h/x")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app.db", "app.db"),
        ("./password=1.db", "password=1.db"),
        ("notes:2024.db", "notes:2024.db"),
        ("a@b.db", "a@b.db"),
        ("sqlite:///x%20y.db", "x y.db"),
        ("SQLite:///x.db?mode=rw", "x.db"),
        ("data.v1/app.db", "data.v1/app.db"),
    ],
)
def test_what_is_a_path(text: str, name: str, tmp_path: Path) -> None:
    assert database_path(text) == tmp_path / name
    assert database_path(os.fsencode(text) if ":/" not in text else text) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "x" * 240, f"{'y' * 300}/x.db", "~nosuchuser/x.db", "a\x00b", "a\udcffb.db", b"a\xffb.db", "", b""],
)
@pytest.mark.parametrize("migrate", [False, True])
def test_a_name_that_no_database_can_have(name: str | bytes, migrate: bool, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError) as refused:
        Datastore.open(name, migrate=migrate)  # type: ignore[arg-type]
    str(refused.value).encode()
    assert os.listdir(tmp_path) == []


def test_the_longest_name_works(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 233)
    with Datastore.open(path, migrate=True) as store:
        one = store.conversations.add(sanitization_version="1")
        store.erase(conversation_id=one.id)
        store.backups.create(tmp_path / "copy.db")
    Datastore.restore(tmp_path / "copy.db", path)


def _socket(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path.name)
    listener.close()


@pytest.mark.parametrize("make", [os.mkfifo, _socket, lambda path: path.symlink_to("/dev/null"), Path.mkdir])
@pytest.mark.parametrize("migrate", [False, True])
def test_what_is_no_file(make: Callable[[Path], object], migrate: bool, tmp_path: Path) -> None:
    make(tmp_path / "it")
    with pytest.raises(NotADatastoreError):
        Datastore.open("it", migrate=migrate)
    assert os.listdir(tmp_path) == ["it"]


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InvalidValueError, match="itself"):
        Datastore.open("a", migrate=True)


@pytest.mark.parametrize("make", [lambda path: None, Path.touch])
def test_a_database_that_is_gone_while_its_wal_is_there_is_not_made_anew(
    make: Callable[[Path], object], path: Path, tmp_path: Path
) -> None:
    store = Datastore.open(path)
    store.conversations.add(sanitization_version="1")
    wal = Path(f"{path}-wal").read_bytes()
    store.close()
    lost = tmp_path / "lost.db"
    make(lost)
    Path(f"{lost}-wal").write_bytes(wal)
    for migrate in (False, True):
        with pytest.raises(CorruptDatabaseError, match="it was a database"):
            Datastore.open(lost, migrate=migrate)
    assert Path(f"{lost}-wal").read_bytes() == wal


def test_an_empty_file_is_a_new_database_only_when_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    file.touch(0o600)
    with pytest.raises(NotADatastoreError, match="empty"):
        Datastore.open(file)
    Datastore.open(file, migrate=True).close()
    assert file.stat().st_mode & 0o777 == 0o600


# One database has one name.


@pytest.fixture
def link(path: Path, tmp_path: Path) -> Path:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "linked.db"
    link.symlink_to(path)
    return link


def test_a_link_and_the_real_path_are_one_database(path: Path, link: Path) -> None:
    with Datastore.open(link) as by_link, Datastore.open(path) as by_path:
        assert by_link.engine.path == by_path.engine.path == path
        by_link.conversations.add(id="erased", sanitization_version="1", title="a title that is erased")
        by_path.erase(conversation_id="erased")
        by_link.conversations.add(sanitization_version="1")
    assert sorted(os.listdir(link.parent)) == [link.name]
    assert Path(f"{path}.tombstones").exists()


def test_restore_through_a_link_replaces_the_real_file(path: Path, link: Path, tmp_path: Path) -> None:
    with Datastore.open(link) as store:
        store.conversations.add(id="erased", sanitization_version="1", title="a title that is erased")
        store.conversations.add(id="kept", sanitization_version="1")
        store.backups.create(tmp_path / "copy.db")
        store.erase(conversation_id="erased")
        store.conversations.add(id="later", sanitization_version="1")
    for name in (link, path):
        assert Datastore.restore(tmp_path / "copy.db", name).erased == 1
        assert link.is_symlink()
        with Datastore.open(path) as store:
            assert [one.id for one in store.conversations.list()] == ["kept"]
    assert sorted(os.listdir(link.parent)) == [link.name]


def test_migrations_are_applied_under_the_real_name(path: Path, tmp_path: Path) -> None:
    path.unlink()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    apply(link)
    assert path.exists()
    assert not Path(f"{link}.gate").exists()


def test_a_link_to_nothing_makes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("real.db")
    with pytest.raises(DatabaseMissingError):
        Datastore.open("link.db")
    Datastore.open("link.db", migrate=True).close()
    assert (tmp_path / "real.db").exists()
    assert (tmp_path / "link.db").is_symlink()
