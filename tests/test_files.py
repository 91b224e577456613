"""Drafts: private, locked, never through a planted link, removed at the end or by the next sweep."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.errors import BackupError, BusyError
from datastore.files import Draft, give_rights, in_use, is_left, sweep, unfinished

ROOT = Path(__file__).resolve().parents[1]

HOLDS = """
import sys
from pathlib import Path
from datastore.files import Draft
with Draft(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


def test_a_draft_is_private_whatever_the_umask_is_and_is_gone_at_the_end(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with Draft(tmp_path / "it") as draft:
            assert draft.path.stat().st_mode & 0o777 == 0o600
            Path(f"{draft.path}-wal").touch()
    finally:
        os.umask(mask)
    assert os.listdir(tmp_path) == []


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "it"
    for leads_to in (victim, tmp_path / "nowhere"):
        unfinished(target).symlink_to(leads_to)
        with Draft(target) as draft:
            draft.path.write_text("new")
            assert not draft.path.is_symlink()
            draft.put_in_place()
        assert victim.read_text() == "precious"
        assert sorted(os.listdir(tmp_path)) == ["it", "victim"]
    unfinished(target).symlink_to(victim)
    assert sweep(unfinished(target))
    assert sorted(os.listdir(tmp_path)) == ["it", "victim"]


def test_a_planted_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(unfinished(tmp_path / "it"))
    with Draft(tmp_path / "it"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_draft_of_another_process_is_left_alone_and_one_of_a_dead_process_goes(tmp_path: Path) -> None:
    target = tmp_path / "it"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(target)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "has it\n"
    assert in_use(unfinished(target))
    assert not sweep(unfinished(target))
    with pytest.raises(BusyError), Draft(target):
        pass
    child.kill()
    child.communicate()
    for suffix in ("-wal", "-shm", "-journal", ".gate"):
        Path(f"{unfinished(target)}{suffix}").touch()
    assert not in_use(unfinished(target))
    assert sweep(unfinished(target))
    assert os.listdir(tmp_path) == []


def test_what_is_left_beside_a_draft_goes_too(tmp_path: Path) -> None:
    path = unfinished(tmp_path / "it")
    for suffix in ("-wal", "-shm", "-journal", ".gate"):
        Path(f"{path}{suffix}").touch()
        assert is_left(path)
        assert sweep(path)
        assert os.listdir(tmp_path) == []
    assert not is_left(path)


def test_a_sweep_takes_no_draft_that_is_made_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw only a file beside it; then the draft came."""
    target = tmp_path / "it"
    Path(f"{unfinished(target)}-wal").touch()
    real = os.open
    children = []

    def late(path: Path, flags: int, mode: int = 0o777) -> int:
        monkeypatch.setattr(os, "open", real)
        child = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(target)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "has it\n"
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", late)
    assert not sweep(unfinished(target))
    assert unfinished(target).exists()
    children[0].communicate("")
    assert os.listdir(tmp_path) == []


def test_a_draft_that_has_its_name_takes_no_other_away(tmp_path: Path) -> None:
    with Draft(tmp_path / "it") as draft:
        Path(f"{draft.path}-shm").touch()
        draft.put_in_place()
        assert os.listdir(tmp_path) == ["it"]
        draft.path.write_text("another command's")
    assert sorted(os.listdir(tmp_path)) == ["it", "it.unfinished"]


def test_a_draft_of_another_thread_is_left_alone(tmp_path: Path) -> None:
    with Draft(tmp_path / "it") as draft:
        assert not sweep(draft.path)
        assert in_use(draft.path)
        with pytest.raises(BusyError), Draft(tmp_path / "it"):
            pass
        draft.put_in_place()
        assert in_use(tmp_path / "it")
    assert not in_use(tmp_path / "it")


def test_a_draft_with_a_wal_is_not_put_in_place(tmp_path: Path) -> None:
    with Draft(tmp_path / "it") as draft:
        Path(f"{draft.path}-wal").write_text("the rest of it")
        with pytest.raises(BackupError, match="WAL"):
            draft.put_in_place()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_rights_are_never_wider_than_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, file = tmp_path / "model", tmp_path / "file"
    model.touch()
    model.chmod(0o664)
    os.chown(model, 1234, 2345)
    with file.open("w") as stream:
        give_rights(stream.fileno(), model.stat())
        now = file.stat()
        assert (now.st_uid, now.st_gid, now.st_mode & 0o777) == (1234, 2345, 0o664)
        os.chown(file, 0, 0)

        def refused(*arguments: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "fchown", refused)
        give_rights(stream.fileno(), model.stat())
        assert file.stat().st_mode & 0o777 == 0o604  # another group gets nothing of it


ROOTS = """
import sys
from pathlib import Path
from datastore import Datastore
command, path, backup = sys.argv[1:]
if command == "restore":
    Datastore.restore(backup, path)
with Datastore.open(path, migrate=True) as store:
    if command == "maintain":
        store.maintenance.run(everything=True)
    elif command == "erase":
        store.erase(conversation_id=store.conversations.add(sanitization_version="1").id)
"""

APPLICATIONS = """
import os, sys
from datastore import Datastore
from datastore.errors import ReadOnlyDatabaseError
def use(path):
    with Datastore.open(path) as store:
        store.erase(conversation_id=store.conversations.add(sanitization_version="1").id)
use(sys.argv[2])  # whoever it becomes may not be able to read Python's own modules
os.setgroups([])
os.setgid(2345)
os.setuid(1234)
try:
    use(sys.argv[1])
    print("works")
except ReadOnlyDatabaseError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root and somebody else")
@pytest.mark.parametrize("command", ["maintain", "restore", "erase", "open"])
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_what_root_did_leaves_a_database_that_the_application_can_use(
    command: str, mode: int, empty_database: bytes, tmp_path: Path
) -> None:
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        path = place / "app.db"
        path.write_bytes(empty_database)
        with Datastore.open(path) as store:
            backup = store.backups.create(place / "copy.backup").path
        for file in place.iterdir():
            if file.name != "app.db" and file.name != "copy.backup":
                file.unlink()
        warm = tmp_path / "warm.db"
        warm.write_bytes(empty_database)
        path.chmod(mode)
        place.chmod(0o770)
        for file in (place, path):
            os.chown(file, 1234, 2345)
        subprocess.run([sys.executable, "-c", ROOTS, command, str(path), backup], cwd=ROOT, check=True, timeout=60)
        for file in place.glob("app.db*"):
            now = file.stat()
            assert (now.st_uid, now.st_gid, now.st_mode & 0o777) == (1234, 2345, mode), file.name
        done = subprocess.run(
            [sys.executable, "-c", APPLICATIONS, str(path), str(warm)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stdout == "works\n", done.stderr
        os.chown(f"{path}.gate", 0, 0)
        Path(f"{path}.gate").chmod(0o644)
        done = subprocess.run(
            [sys.executable, "-c", APPLICATIONS, str(path), str(warm)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "app.db.gate" in done.stdout, done.stderr
        assert "belongs to another user" in done.stdout
    finally:
        shutil.rmtree(place)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_store_that_nobody_closed_is_told_and_leaves_no_file_open(path: Path) -> None:
    def used(threads: int) -> None:
        store = Datastore.open(path)
        for _ in range(threads):
            thread = threading.Thread(target=lambda: store.conversations.add(sanitization_version="1"))
            thread.start()
            thread.join()
        store.conversations.count()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        used(1)
        told.clear()  # a warning that was recorded keeps the store that it is about
        gc.collect()
        before = open_files()
        for number in range(20):
            used(number % 3)
    assert sum(issubclass(one.category, ResourceWarning) and "Datastore" in str(one.message) for one in told) == 20
    told.clear()
    gc.collect()
    assert open_files() == before


def test_a_store_that_was_closed_is_not_told_of(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with Datastore.open(path) as store:
            store.conversations.count()
        del store
        gc.collect()
