"""Backups: consistent under writers, verified, registered, rotated; restore is all or nothing; kill -9."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from datastore import Conversation, Datastore
from datastore.errors import BackupError, BusyError, CorruptDatabaseError, DiskFullError
from datastore.retention import backups
from datastore.retention.verify import present_mark
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
    assert (made.audit_id, made.audit_hash) == (1, present_mark(store).audit_hash)
    assert store.backups.list() == [made]
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
    assert store.backups.list() == []


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
    assert store.backups.list() == [*reversed(made[2:]), elsewhere]
    store.backups.rotate(folder, max_age=timedelta(hours=30))
    assert store.backups.list() == [made[4], made[3], elsewhere]
    clock.advance(86400 * 100)
    store.backups.rotate(folder, max_age=timedelta(0))
    assert store.backups.list() == [made[4], elsewhere]
    assert sorted(os.listdir(folder)) == sorted([Path(made[4].path).name, "strange.db"])
    assert {backup.id for backup in store.backup_register.list("removed")} == {backup.id for backup in made[:4]}


def test_a_copy_that_somebody_deleted_is_noted_but_an_unmounted_disk_is_not(store: Datastore, folder: Path) -> None:
    made = store.backups.create(folder)
    kept = folder.rename(folder.with_name("unmounted"))
    assert store.backups.list() == []
    assert [backup.id for backup in store.backup_register.list()] == [made.id]
    kept.rename(folder)
    Path(made.path).unlink()
    assert store.backups.list() == []
    assert [backup.id for backup in store.backup_register.list("removed")] == [made.id]


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
    with pytest.raises(BackupError, match="damaged on arrival"):
        store.backups.create(folder)
    assert os.listdir(folder) == []
    assert len(store.backup_register.list("failed")) == 1


def test_a_full_disk_is_said_before_a_byte_is_written(
    store: Datastore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFullError):
        store.backups.create(folder)
    assert os.listdir(folder) == []


def test_one_backup_at_a_time(store: Datastore, folder: Path) -> None:
    gate = backups.Gate(f"{store.engine.path}.backup")
    gate.acquire(1)
    try:
        with pytest.raises(BusyError):
            store.backups.create(folder)
    finally:
        gate.release()
        gate.close()
    store.backups.create(folder)


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
    mark = present_mark(store)
    assert not any(store.verify([mark]).values())
    raw.execute("DROP TRIGGER audit_log_append_only_delete")
    raw.execute("DELETE FROM audit_log WHERE id = 2")
    raw.execute("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'audit_log'")
    assert not any(store.verify().values())  # from inside, the shorter log is whole
    assert store.verify([mark])["high-water mark"]
    store.conversations.soft_delete(conversation.id, reason="another")
    assert store.verify([mark])["high-water mark"]


CHILD = """
import sys
from pathlib import Path
from datastore import Datastore
path, folder = map(Path, sys.argv[1:])
print("go", flush=True)
while True:
    with Datastore.open(path, durability="relaxed") as store:
        made = store.backups.create(folder, keep=2)
    Datastore.restore(made.path, path)
"""


@pytest.mark.long
def test_killed_at_any_point_nothing_is_inconsistent(path: Path, folder: Path) -> None:
    with Datastore.open(path, durability="relaxed") as store:
        conversation = store.conversations.add(sanitization_version="1", source="test", id="kept")
        for number in range(200):
            store.messages.append(conversation_id=conversation.id, role="user", content=f"message {number} " * 20)
    chance = random.Random(6)
    kept_seen = 0
    for _ in range(100):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.0, 2.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with Datastore.open(path, durability="relaxed") as store:
            assert not any(store.verify().values())
            assert store.messages.count("kept") == 200
            store.backups.settle()
            assert store.backup_register.list("writing") == []
            kept = [backup for backup in store.backups.list() if Path(backup.path).exists()]
            kept_seen += bool(kept)
            for backup in kept[:1]:
                assert not any(store.backups.verify(backup.path).values())
            assert not list(folder.glob("*.unfinished*"))
    assert kept_seen > 5
