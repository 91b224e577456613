"""kill -9 in the middle of an erasure, a policy or a restore: consistent, resumed, and no receipt claims what is not."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.records.pages import every
from tests.retention.generated import generate, traces

ROOT = Path(__file__).resolve().parents[2]

ERASE = """
import sys
from datastore import Datastore
with Datastore.open(sys.argv[1], durability="relaxed") as store:
    print("ready", flush=True)
    for id in sys.argv[2].split(","):
        if store.conversations.find(id) is not None:
            store.erase(conversation_id=id)
"""
APPLY = """
import sys
from datastore import Datastore
with Datastore.open(sys.argv[1], durability="relaxed") as store:
    print("ready", flush=True)
    for _ in range(2):
        store.retention.apply()
"""
RESTORE = """
import sys
from datastore import Datastore
print("ready", flush=True)
Datastore.restore(sys.argv[2], sys.argv[1])
"""


def killed(program: str, *arguments: str, after: float) -> bool:
    """Run a program and kill it so many seconds after it said that it is ready; False where it had ended by itself."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(after)
        ended = child.poll() is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
    return not ended


def duration(program: str, *arguments: str) -> float:
    """How many seconds a program goes on after it said that it is ready: kills are spread over those."""
    with subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        begun = time.monotonic()
        assert child.wait() == 0
        return time.monotonic() - begun


def killed_erasures(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Erase conversations of a generated store, killed at *kills* random points; what the receipts said."""
    folder.mkdir()
    (folder / "made").mkdir()
    made = generate(folder / "made" / "app.db", seed, conversations=8, messages=15)
    chance, seen = random.Random(seed), Counter[str]()
    chosen = list(made.markers)[:3]
    shutil.copytree(folder / "made", folder / "timed")
    whole = duration(ERASE, str(folder / "timed" / "app.db"), ",".join(chosen))
    for point in itertools.count():
        if seen["killed"] == kills:
            break
        place = folder / str(point)
        shutil.copytree(folder / "made", place)
        seen["killed"] += killed(ERASE, str(place / "app.db"), ",".join(chosen), after=chance.uniform(0.0, whole))
        with Datastore.open(place / "app.db", durability="relaxed") as store:
            assert not any(store.verify().values())
            receipts = list(store.retention.receipts.iterate())
            seen.update(receipt.status for receipt in receipts)
            verified = sum(receipt.status == "verified" for receipt in receipts)
            # They are erased in turn, so the first so many are the verified ones.
            assert [traces(place, made.markers[id]) for id in chosen[:verified]] == [[]] * verified
            for receipt in store._eraser.unfinished():
                assert store.retention.resume(receipt.id).status == "scrubbed"
            for id in chosen[: len(receipts)]:
                assert store.conversations.find(id) is None
                assert traces(place, made.markers[id]) == []
            for id in chosen[len(receipts) :]:
                assert store.conversations.get(id).deleted_at is None
                assert store.conversations.get(id).message_count == len(store.messages.list(id, max_rows=1000).items)
            assert not any(store.verify().values())
        shutil.rmtree(place)
    return seen


def assert_said_once(store: Datastore, conversations: int, messages: int) -> None:
    """The audit log has each hiding and each deletion once, and every message in one deletion."""
    entries = list(every(store.audit.list, max_rows=1000))
    for action in ("soft_delete", "purge"):
        said = [entry.subject_id for entry in entries if entry.action == action and "part" not in entry.details]
        assert (len(said), len(set(said))) == (conversations, conversations), action
    assert sum(entry.details["messages"] for entry in entries if entry.action == "purge") == conversations * messages


def killed_policies(folder: Path, kills: int) -> Counter[str]:
    """Apply a policy, killed at *kills* random points; how often it was not done by then."""
    folder.mkdir()
    made = folder / "made.db"
    with Datastore.open(made, migrate=True, durability="relaxed") as store:
        begun = store.engine.now() - timedelta(days=100)
        for number in range(120):
            one = store.conversations.add(
                id=f"c{number}", sanitization_version="1", created_at=begun, source="old" if number % 4 else "kept"
            )
            for place in range(12):
                store.messages.append(one.id, role="user", content=f"said {place} in {number}", created_at=begun)
        store.retention.policies.set(
            "old", "conversations", age_days=30, since="activity", scope="source", scope_value="old"
        )
    chance, seen = random.Random(5), Counter[str]()
    path = folder / "app.db"
    shutil.copyfile(made, path)
    whole = duration(APPLY, str(path))
    for point in itertools.count():
        if seen["killed"] >= kills and point % 3 == 0:
            break
        if point % 3 == 0:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(made, path)
        seen["killed"] += killed(APPLY, str(path), after=chance.uniform(0.0, 0.7 * whole))
        with Datastore.open(path, durability="relaxed") as store:
            assert not any(store.verify().values())
            assert store.conversations.count(source="kept") == 30
            seen["unfinished"] += (
                store.conversations.count(source="old") > 0 or store.conversations.count(deleted=True) > 0
            )
            # What is gone was said to be gone.
            gone = 120 - store.conversations.count() - store.conversations.count(deleted=True)
            said = {
                entry.subject_id
                for entry in every(store.audit.list, max_rows=1000)
                if entry.action == "purge" and "part" not in entry.details
            }
            assert len(said) == gone
            if point % 3 == 2:
                store.retention.apply()
                store.retention.apply()
                assert (store.conversations.count(), store.conversations.count(deleted=True)) == (30, 0)
                assert_said_once(store, 90, 12)
    return seen


def killed_restores(folder: Path, kills: int) -> Counter[str]:
    """Restore a backup, killed at *kills* random points; how often it was there by then."""
    folder.mkdir()
    made = generate(folder / "app.db", 3, conversations=8, messages=10)
    erased, *kept = made.markers
    chance, seen = random.Random(7), Counter[str]()
    with Datastore.open(made.path, durability="relaxed") as store:
        backup = store.backups.create(folder / "copy.backup").path
        assert store.erase(conversation_id=erased).status == "verified"
        store.conversations.delete(kept[0])
    whole = duration(RESTORE, str(made.path), backup)
    while seen["killed"] < kills:
        seen["killed"] += killed(RESTORE, str(made.path), backup, after=chance.uniform(0.0, 1.1 * whole))
        with Datastore.open(made.path, durability="relaxed") as store:
            assert not any(store.verify().values())
            # What it was, or the whole backup without what was erased: the one that was deleted is back then.
            there = {one.id for one in store.conversations.list(max_rows=1000).items}
            assert there in (set(kept), set(kept[1:]))
            seen["restored"] += there == set(kept)
            if there == set(kept):
                store.conversations.delete(kept[0])
            assert store._eraser.unfinished() == []
    assert Datastore.restore(backup, made.path).erased == 1
    assert not [trace for trace in traces(folder, made.markers[erased]) if not trace.startswith("copy.backup")]
    return seen


def test_killed_a_few_times(tmp_path: Path) -> None:
    assert killed_erasures(tmp_path / "erase", 2, 4)["killed"] == 2
    assert killed_policies(tmp_path / "apply", 3)["killed"] >= 3


@pytest.mark.long
def test_killed_erasures(tmp_path: Path) -> None:
    seen = Counter[str]()
    for seed in range(5):
        seen += killed_erasures(tmp_path / str(seed), 10, seed)
    assert seen["killed"] == 50
    assert len({"deleting", "deleted", "verified"} & seen.keys()) >= 2, seen


@pytest.mark.long
def test_killed_policies(tmp_path: Path) -> None:
    seen = killed_policies(tmp_path / "apply", 50)
    assert seen["killed"] >= 50
    assert seen["unfinished"] >= 7


@pytest.mark.long
def test_killed_restores(tmp_path: Path) -> None:
    seen = killed_restores(tmp_path / "restore", 50)
    assert seen["killed"] >= 50
    assert seen["restored"] >= 1
