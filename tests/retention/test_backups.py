"""Backups: consistent under writers, verified, registered, rotated; restore is all or nothing; kill -9."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from datastore import Conversation, Datastore, files
from datastore.engines.sqlite import files as sqlite_files
from datastore.errors import (
    BackupError,
    BusyError,
    CorruptDatabaseError,
    DatabaseError,
    DiskFullError,
    InvalidValueError,
    ReadOnlyDatabaseError,
)
from datastore.files import Draft
from datastore.upkeep import backups
from datastore.upkeep.verify import present_mark
from tests.conftest import Clock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def contents(path: Path) -> list[str]:
    with Datastore.open(path) as copy:
        return [conversation.id for conversation in copy.conversations.list(max_rows=1000).items]


def test_a_backup_holds_what_is_committed_and_nothing_of_a_transaction(
    store: Datastore, conversation: Conversation, folder: Path
) -> None:
    done = threading.Event()
    begun = threading.Event()

    def write() -> None:
        with store.transaction():
            store.conversations.add(sanitization_version="1", source="test", id="open")
            begun.set()
            done.wait(10)

    # The register needs the write lock, so only the copy itself runs while the transaction is open.
    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(10)
    backups.copy_into(store.engine, folder / "copy.db")
    done.set()
    writer.join()
    assert contents(folder / "copy.db") == [conversation.id]
    assert len(contents(store.engine.path)) == 2


def test_a_backup_is_registered_with_its_bytes_and_its_mark(
    store: Datastore, conversation: Conversation, folder: Path
) -> None:
    store.conversations.soft_delete(conversation.id)
    made = store.backups.create(folder)
    assert made.status == "kept"
    assert Path(made.path).parent == folder
    assert made.file_bytes == Path(made.path).stat().st_size
    assert made.checksum == backups.checksum(Path(made.path))
    assert (made.audit_id, made.audit_hash) == (1, present_mark(store.audit).audit_hash)
    assert list(store.backups.iterate()) == [made]
    assert Path(made.path).stat().st_mode & 0o077 == 0
    assert sorted(os.listdir(folder)) == [Path(made.path).name]
    assert not any(store.backups.verify(made.path).values())


def test_a_backup_overwrites_nothing(store: Datastore, folder: Path) -> None:
    (folder / "there").write_text("mine")
    with pytest.raises(BackupError):
        store.backups.create(folder / "there")
    with pytest.raises(BackupError):
        store.backups.create(folder / "no" / "folder.db")
    with pytest.raises(BackupError):
        store.backups.create(store.engine.path)
    assert (folder / "there").read_text() == "mine"
    assert list(store.backups.iterate()) == []


def test_rotation_by_count_and_age_keeps_the_newest_and_what_is_not_its_own(
    store: Datastore, clock: Clock, folder: Path, tmp_path: Path
) -> None:
    (folder / "strange.db").write_text("not registered")
    elsewhere = store.backups.create(tmp_path / "elsewhere.db")
    made = []
    for _ in range(4):
        clock.advance(86400)
        made.append(store.backups.create(folder))
    clock.advance(86400)
    made.append(store.backups.create(folder, keep=3))
    assert list(store.backups.iterate()) == [*reversed(made[2:]), elsewhere]
    store.backups.rotate(folder, max_age=timedelta(hours=30))
    assert list(store.backups.iterate()) == [made[4], made[3], elsewhere]
    clock.advance(86400 * 100)
    store.backups.rotate(folder, max_age=timedelta(0))
    assert list(store.backups.iterate()) == [made[4], elsewhere]
    assert sorted(os.listdir(folder)) == sorted([Path(made[4].path).name, "strange.db"])
    assert {backup.id for backup in store._parts.backups.iterate("removed")} == {backup.id for backup in made[:4]}


def test_a_copy_that_somebody_deleted_is_noted_but_an_unmounted_disk_is_not(store: Datastore, folder: Path) -> None:
    made = store.backups.create(folder)
    kept = folder.rename(folder.with_name("unmounted"))
    assert list(store.backups.iterate()) == []
    assert [backup.id for backup in store._parts.backups.iterate()] == [made.id]
    kept.rename(folder)
    Path(made.path).unlink()
    assert list(store.backups.iterate()) == []
    assert [backup.id for backup in store._parts.backups.iterate("removed")] == [made.id]


def test_verify_finds_a_changed_copy(store: Datastore, folder: Path) -> None:
    made = store.backups.create(folder)
    content = bytearray(Path(made.path).read_bytes())
    content[5000] ^= 1
    Path(made.path).write_bytes(content)
    assert store.backups.verify(made.path)["bytes"]
    Path(made.path).unlink()
    assert store.backups.verify(made.path)["bytes"] == ["the file is gone"]
    with pytest.raises(BackupError):
        store.backups.verify(folder / "other.db")


def test_damage_on_arrival_is_noticed_and_nothing_is_left(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(engine: object, target: Path, progress: object = None) -> None:
        real(store.engine, target)
        connection = sqlite3.connect(target)
        connection.execute(
            "INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at, message_count)"
            " VALUES ('x', 's', '1', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', 5)"
        )
        connection.commit()
        connection.close()

    real = backups.copy_into
    monkeypatch.setattr(backups, "copy_into", copy)
    with pytest.raises(BackupError, match="the new copy is damaged"):
        store.backups.create(folder)
    assert os.listdir(folder) == []
    assert len(list(store._parts.backups.iterate("failed"))) == 1


def test_a_full_disk_is_said_before_a_byte_is_written(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFullError):
        store.backups.create(folder)
    assert os.listdir(folder) == []


def test_a_file_that_another_command_writes(store: Datastore, folder: Path) -> None:
    with Draft(folder / "copy.db") as draft:
        with pytest.raises(BusyError, match="another command"):
            store.backups.create(draft.target)
        store.backups.create(folder)
        store._parts.backups.add(str(draft.target))
        store.backups._settle()  # it is being written, not left
        assert len(list(store._parts.backups.iterate("writing"))) == 1
        assert store.maintenance.run().removed == 0
    store.backups._settle()
    assert list(store._parts.backups.iterate("writing")) == []
    store.backups.create(draft.target)


def test_a_backup_that_another_command_settles_before_its_file_is_there(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Draft):
        def __enter__(self) -> Draft:
            with monkeypatch.context() as patch:
                patch.setattr(backups, "Draft", Draft)
                store.backups._settle()
            assert len([*store._parts.backups.iterate("failed")]) == 1
            return super().__enter__()

    monkeypatch.setattr(backups, "Draft", Late)
    made = store.backups.create(folder)
    assert [backup.id for backup in store.backups.list()] == [made.id]
    assert [*store._parts.backups.iterate("writing")] == []


def test_a_progress_function_may_use_the_store(
    store: Datastore, conversation: Conversation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "_STEPS", 10)
    calls: list[float] = []

    def progress(seconds: float) -> None:
        if len(calls) < 20:
            store.messages.append(conversation.id, role="user", content=f"while it is copied {len(calls)}")
            calls.append(seconds)

    made = store.backups.create(folder, on_progress=progress)
    assert len(calls) == 20
    assert store.messages.count() == 20
    assert contents(Path(made.path)) == [conversation.id]


class Stop(BaseException):
    """What a progress function may raise, as Ctrl-C does."""


def test_what_a_progress_function_raises_ends_the_backup(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "_STEPS", 10)

    def progress(seconds: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        store.backups.create(folder, on_progress=progress)
    assert os.listdir(folder) == []
    with pytest.raises(Stop):
        store.maintenance.vacuum(progress)
    store.conversations.add(sanitization_version="1")


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EACCES, ReadOnlyDatabaseError), (errno.EIO, DatabaseError)]
)
@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_what_the_system_refuses_is_typed(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], call: str
) -> None:
    made = store.backups.create(folder / "good.db")

    def fails(*arguments: object, **others: object) -> None:
        raise OSError(code, os.strerror(code))

    path = store.engine.path
    with monkeypatch.context() as patch:
        patch.setattr(*((files.Path, "replace") if call == "replace" else (files.os, call)), fails)
        with pytest.raises(kind):
            store.backups.create(folder / "bad.db")
        with patch.context() as verifying:
            verifying.setattr(backups.shutil, "copyfile", fails)
            with pytest.raises(kind):
                store.backups.verify(made.path)
    assert os.listdir(folder) == ["good.db"]
    store.close()
    monkeypatch.setattr(*((files.Path, "replace") if call == "replace" else (files.os, call)), fails)
    with pytest.raises(kind):
        Datastore.restore(made.path, path)


FULL = """
import os, shutil, sys
from pathlib import Path
from typing import Any
from datastore import Datastore
from datastore.errors import DiskFullError
full, other = map(Path, sys.argv[1:])
path = full / "app.db"
store = Datastore.open(path, migrate=True)
store.conversations.add(id="kept", sanitization_version="1")
with open(full / "filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
try:
    for number in range(10_000):
        store.conversations.add(id=f"n{number}", sanitization_version="1", title="x" * 900)
    raise SystemExit("the disk is not full")
except DiskFullError:
    pass
made = store.backups.create(other)
print(made.status, made.id == "")
(full / "filler").unlink()
print(store.backups.register(made.path).status, [backup.path == made.path for backup in store.backups.iterate()])
store.close()
Datastore.restore(made.path, other / "app.db")
with Datastore.open(other / "app.db") as store:
    print(store.conversations.find("kept") is not None)
"""


def test_a_backup_needs_no_room_beside_its_source(tmp_path: Path) -> None:
    """On a file system of 3 MB that is full."""
    full, other = tmp_path / "full", tmp_path / "other"
    full.mkdir()
    other.mkdir()
    mount = f'mount -t tmpfs -o size=3m tmpfs {full} && exec {sys.executable} -c "$0" {full} {other}'
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small file system")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, FULL], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.returncode) == ("unregistered True\nkept [True]\nTrue\n", 0), done.stderr


def test_restore_brings_back_exactly_what_was_there(store: Datastore, conversation: Conversation, folder: Path) -> None:
    made = store.backups.create(folder)
    path = store.engine.path
    store.conversations.add(sanitization_version="1", source="test")
    store.close()
    Datastore.restore(made.path, path)
    assert contents(path) == [conversation.id]
    assert not list(path.parent.glob("*.unfinished*"))
    path.unlink()
    Datastore.restore(made.path, path)
    assert contents(path) == [conversation.id]


def changed_inside(path: Path) -> None:
    """Change a message as somebody would who knows SQL, its full-text index too; its hash stays."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE messages SET content = 'forged' WHERE content = 'said'")
    connection.commit()
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.close()


def test_restore_compares_the_registered_checksum(store: Datastore, conversation: Conversation, folder: Path) -> None:
    made, path = store.backups.create(folder / "copy.db"), store.engine.path
    connection = sqlite3.connect(made.path)  # nothing that a check of the content finds
    connection.execute("UPDATE conversations SET title = 'forged'")
    connection.commit()
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.close()
    assert store.backups.verify(made.path)["bytes"]
    store.close()
    before = path.read_bytes()
    for options in ({}, {"force": True}, {"sha256": made.checksum}):
        with pytest.raises(BackupError, match="SHA-256"):
            Datastore.restore(made.path, path, **options)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert not Datastore.restore(made.path, path, unregistered=True).compared


def test_restore_asks_for_a_registered_backup(store: Datastore, conversation: Conversation, folder: Path) -> None:
    made, path = store.backups.create(folder / "copy.db"), store.engine.path
    moved = folder / "moved.db"
    shutil.copyfile(made.path, moved)
    other = folder / "other.db"
    with Datastore.open(folder / "new.db", migrate=True) as new:
        new.backups.create(other)
    store.close()
    assert Datastore.restore(moved, path).compared  # the same bytes at another path
    assert Datastore.restore(made.path, path, sha256=f" {str(made.checksum).upper()}\n").compared
    with pytest.raises(BackupError, match="--unregistered"):
        Datastore.restore(other, path)
    with pytest.raises(InvalidValueError, match="64"):
        Datastore.restore(other, path, sha256="abc")
    assert not Datastore.restore(other, path, unregistered=True).compared


def test_a_restored_database_knows_the_registered_backups(store: Datastore, folder: Path) -> None:
    first, path = store.backups.create(folder / "first.db"), store.engine.path
    second = store.backups.create(folder / "second.db")
    store.close()
    for _ in range(2):  # and again, from what was restored
        assert Datastore.restore(first.path, path).compared
        with Datastore.open(path) as restored:
            assert {backup.id for backup in restored.backups.iterate()} == {first.id, second.id}
            assert list(restored._parts.backups.iterate("writing")) == []
            assert not any(restored.backups.verify(first.path).values())
    path.unlink()
    assert not Datastore.restore(first.path, path).compared  # nothing there to compare with
    assert Datastore.restore(first.path, path).compared


def test_restore_finds_a_message_that_is_not_what_it_was(
    store: Datastore, conversation: Conversation, folder: Path
) -> None:
    store.messages.append(conversation.id, role="user", content="said")
    made, path = store.backups.create(folder / "copy.db"), store.engine.path
    store.close()
    changed_inside(Path(made.path))
    with pytest.raises(BackupError, match="does not match its hash"):
        Datastore.restore(made.path, path, unregistered=True)


def test_a_restored_database_has_the_old_ones_rights(store: Datastore, folder: Path) -> None:
    made, path = store.backups.create(folder), store.engine.path
    store.close()
    assert Path(made.path).stat().st_mode & 0o777 == 0o600
    for mode in (0o600, 0o640, 0o664):
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, 1234, 2345)
        owner = path.stat().st_uid, path.stat().st_gid
        Datastore.restore(made.path, path)
        now = path.stat()
        assert (now.st_mode & 0o777, (now.st_uid, now.st_gid)) == (mode, owner)
        assert Path(made.path).stat().st_mode & 0o777 == 0o600
    path.unlink()
    Datastore.restore(made.path, path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_erasure_while_a_backup_is_being_restored_is_not_lost(
    store: Datastore, conversation: Conversation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = store.backups.create(folder), store.engine.path
    store.close()
    real = Datastore.verify

    def meanwhile(copy: Datastore, **options: Any) -> object:
        monkeypatch.setattr(Datastore, "verify", real)
        with Datastore.open(path) as other:
            assert other.erase(conversation_id=conversation.id).status == "verified"
        return real(copy, **options)

    monkeypatch.setattr(Datastore, "verify", meanwhile)
    with pytest.raises(BusyError, match="erased from .* meanwhile"):
        Datastore.restore(made.path, path)
    assert contents(path) == []
    assert Datastore.restore(made.path, path).erased == 1
    assert contents(path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from datastore import Datastore
command, path, backup = sys.argv[1:]
real = Datastore.verify
def verify(*arguments, **options):
    real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
Datastore.verify = verify
os.umask(0)
if command == "restore":
    Datastore.restore(backup, path)
with Datastore.open(path) as store:
    store.backups.verify(backup) if command == "verify" else store.backups.create(f"{backup}.second")
"""


@pytest.mark.parametrize("command", ["restore", "verify", "backup"])
@pytest.mark.parametrize("by", ["the same command", "maintain", "erase", "restore"])
def test_what_a_killed_command_leaves_is_private_and_goes(
    store: Datastore, conversation: Conversation, folder: Path, command: str, by: str
) -> None:
    text = "a sentence that only this conversation has, and that is erased"
    store.messages.append(conversation.id, role="user", content=text)
    made, path = store.backups.create(folder / "copy.db"), store.engine.path
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, command, str(path), made.path], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL

    def left() -> list[Path]:
        return [file for place in (path.parent, folder) for file in place.glob("*.unfinished*")]

    assert left()
    # SQLite gives the files beside a database the mode of the database.
    assert all(file.stat().st_mode & 0o077 == 0 for file in left() if not file.name.endswith(".gate")), left()
    assert text.encode() in b"".join(file.read_bytes() for file in left())
    if by == "restore" or (by == "the same command" and command == "restore"):
        Datastore.restore(made.path, path)
    with Datastore.open(path) as again:
        if by == "maintain":
            assert again.maintenance.run().removed == 1
        elif by == "erase":
            assert again.erase(conversation_id=conversation.id).status == "verified"
        elif by != "restore" and command == "verify":
            assert not any(again.backups.verify(made.path).values())
        elif by != "restore" and command == "backup":
            again.backups.create(folder)
    assert left() == []


def test_an_erasure_looks_into_a_file_that_another_command_writes(
    store: Datastore, conversation: Conversation, folder: Path
) -> None:
    text = "a sentence that only this conversation has, and that is erased"
    store.messages.append(conversation.id, role="user", content=text)
    made = store.backups.create(folder / "copy.db")
    with Draft(store.engine.path) as draft:
        draft.path.write_bytes(Path(made.path).read_bytes())
        receipt = store.erase(conversation_id=conversation.id)
        assert receipt.status != "verified"
        assert any(draft.path.name in reason for reason in receipt.receipt["blocked_by"])


def test_restore_refuses_a_store_in_use_even_an_idle_one(store: Datastore, path: Path, folder: Path) -> None:
    made = store.backups.create(folder)
    program = (
        "import sys; from datastore import Datastore; s = Datastore.open(sys.argv[1]); s.conversations.count();"
        "print('open', flush=True); sys.stdin.read()"
    )
    store.conversations.add(sanitization_version="1", source="test", id="later")
    store.close()
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(BusyError, match="in use"):
        Datastore.restore(made.path, path, timeout=0.2)
    other.communicate("")
    assert contents(path) == ["later"]
    Datastore.restore(made.path, path)
    assert contents(path) == []


def test_restore_refuses_what_is_no_backup_and_changes_nothing(store: Datastore, path: Path, tmp_path: Path) -> None:
    made = store.backups.create(tmp_path / "good.db")
    store.conversations.add(sanitization_version="1", source="test", id="kept")
    with pytest.raises(BackupError, match="WAL"):
        Datastore.restore(path, tmp_path / "new.db")
    store.close()
    bad = tmp_path / "bad.db"
    content = bytearray(Path(made.path).read_bytes())
    content[4096 * 3 : 4096 * 9] = os.urandom(4096 * 6)
    bad.write_bytes(content)
    for wrong in (bad, tmp_path / "none.db", path):
        with pytest.raises(BackupError):
            Datastore.restore(wrong, path)
    assert contents(path) == ["kept"]


def test_a_destroyed_database_is_replaced_only_by_force(store: Datastore, path: Path, tmp_path: Path) -> None:
    made = store.backups.create(tmp_path / "good.db")
    store.close()
    path.write_bytes(os.urandom(20000))
    with pytest.raises(CorruptDatabaseError, match="force"):
        Datastore.restore(made.path, path)
    Datastore.restore(made.path, path, force=True)
    assert contents(path) == []


def test_the_mark_shows_an_audit_log_that_was_cut(
    store: Datastore, conversation: Conversation, raw: sqlite3.Connection
) -> None:
    store.conversations.soft_delete(conversation.id)
    store.conversations.restore(conversation.id)
    mark = present_mark(store.audit)
    assert not any(store.verify([mark]).values())
    raw.execute("DROP TRIGGER audit_log_append_only_delete")
    raw.execute("DELETE FROM audit_log WHERE id = 2")
    raw.execute("DROP TRIGGER audit_log_counter_forward")
    raw.execute("UPDATE audit_log_counter SET last_id = 1")
    assert not any(store.verify().values())  # from inside, the shorter log is whole
    assert store.verify([mark])["high-water mark"]
    store.conversations.soft_delete(conversation.id, reason="another")
    assert store.verify([mark])["high-water mark"]


CHILD = """
import sys
from pathlib import Path
from typing import Any
from datastore import Datastore
path, folder = map(Path, sys.argv[1:])
print("go", flush=True)
while True:
    with Datastore.open(path, durability="relaxed") as store:
        made = store.backups.create(folder, keep=2)
    Datastore.restore(made.path, path)
    print("round", flush=True)
"""


@contextmanager
def _backing_up(path: Path, folder: Path) -> Iterator[IO[bytes]]:
    """What a process says that makes backups and restores them, until it is killed."""
    command = [sys.executable, "-c", CHILD, str(path), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        yield child.stdout
        child.send_signal(signal.SIGKILL)


@pytest.mark.long
def test_killed_at_any_point_nothing_is_inconsistent(path: Path, folder: Path) -> None:
    with Datastore.open(path, durability="relaxed") as store:
        conversation = store.conversations.add(sanitization_version="1", source="test", id="kept")
        for number in range(200):
            store.messages.append(conversation_id=conversation.id, role="user", content=f"message {number} " * 20)
    chance = random.Random(6)
    kept_seen = 0
    with _backing_up(path, folder) as said:
        begun = time.monotonic()
        assert said.readline() == b"round\n"
        took = time.monotonic() - begun
    for _ in range(40):
        with _backing_up(path, folder):
            time.sleep(chance.uniform(0.0, 4 * took))
        with Datastore.open(path, durability="relaxed") as store:
            assert not any(store.verify().values())
            assert store.messages.count("kept") == 200
            store.backups._settle()
            assert list(store._parts.backups.iterate("writing")) == []
            kept = [backup for backup in store.backups.iterate() if Path(backup.path).exists()]
            kept_seen += bool(kept)
            for backup in kept[:1]:
                assert not any(store.backups.verify(backup.path).values())
            assert not list(folder.glob("*.unfinished*"))
    assert kept_seen > 2


def _killed_at(number: int, at: Path, run: Callable[[], object]) -> bool:
    """Run it in a child that kills itself before its step of that number: one that names a file below *at*. False: it ended."""
    child = os.fork()
    if not child:
        steps = itertools.count()

        def before(event: str, arguments: tuple[object, ...]) -> None:
            if any(str(at) in str(argument) for argument in arguments) and next(steps) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(before)
            run()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("command", ["create", "register", "verify", "restore"])
def test_killed_at_each_step_no_file_is_left(path: Path, folder: Path, command: str) -> None:
    with Datastore.open(path) as store:
        store.conversations.add(sanitization_version="1", id="kept")
        first = store.backups.create(folder).path

    def run() -> None:
        if command == "restore":
            Datastore.restore(first, path)
            return
        with Datastore.open(path) as store:
            if command == "create":
                store.backups.create(folder)
            elif command == "verify":
                assert not any(store.backups.verify(first).values())
            else:
                moved = folder / f"moved-{time.monotonic_ns()}.db"
                shutil.copyfile(first, moved)
                store.backups.register(moved)

    for number in itertools.count():
        killed = _killed_at(number, path.parent, run)
        with Datastore.open(path) as store:
            store.backups._settle()
            assert [*store._parts.backups.iterate("writing")] == []
        assert (number, sorted(path.parent.rglob("*.unfinished*"))) == (number, [])
        if not killed:
            break
    assert number > 10
    assert contents(path) == ["kept"]
