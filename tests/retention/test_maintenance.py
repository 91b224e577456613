"""Upkeep: bounded slices, thresholds, who is in the way, a schedule, the full VACUUM."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from datastore import Conversation, Datastore
from datastore.engines.sqlite import engine as sqlite_engine
from datastore.errors import BusyError, DiskFullError, TransactionError
from datastore.opening import bind_statements
from datastore.repositories import MaintenanceRepository
from datastore.upkeep import backups, maintenance
from datastore.upkeep.maintenance import Thresholds
from tests.conftest import Clock
from tests.retention.test_commands import run

ROOT = Path(__file__).resolve().parents[2]


def fill(store: Datastore, count: int = 40) -> None:
    """Some 4 MB of messages, and one full-text segment a learning."""
    conversation = store.conversations.add(sanitization_version="1", source="test")
    for number in range(count):
        store.messages.append(conversation.id, role="user", content=f"{number} " + "x" * 100_000)
    for number in range(count):
        store.learnings.add(
            conversation_id=conversation.id, category="c", title=f"title {number}", content=f"words {number} " * 30
        )


def repository(store: Datastore) -> MaintenanceRepository:
    return MaintenanceRepository(bind_statements(store.engine), store.engine, new_id=str)


def test_every_full_text_table_of_the_schema_is_kept_up(store: Datastore) -> None:
    assert list(repository(store).segments()) == repository(store).full_text_tables()
    assert repository(store).full_text_tables()


def test_a_run_gives_pages_back_merges_and_cuts_the_wal(store: Datastore, path: Path) -> None:
    fill(store)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    fill(store)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    before = store.maintenance.condition()
    assert before.free_pages > 500
    done = store.maintenance.run(budget=60, everything=True)
    after = store.maintenance.condition()
    assert after.free_pages == 0
    assert after.wal_bytes < 50_000  # that this was done is noted behind the cut
    assert done.pages_freed >= before.free_pages - 10  # the statistics take some
    assert done.finished
    assert done.checkpointed
    assert done.optimized
    # Several slices, and not one a page, which is what execute() makes of this PRAGMA.
    assert before.free_pages / maintenance.SLICE_PAGES <= done.slices < 20
    assert path.stat().st_size == after.file_bytes < before.file_bytes / 3
    assert set(after.last_runs) == {"free_pages", "full_text", "checkpoint", "optimize"}
    assert not any(store.verify().values())


def test_segments_are_merged_and_search_finds_the_same(store: Datastore) -> None:
    fill(store, 60)
    before = store.maintenance.condition().segments["learnings_fts"]
    found = [hit.learning.id for hit in store.learnings.search("words", max_rows=100)]
    assert len(found) == 60
    assert before > 1
    done = store.maintenance.run(budget=60, everything=True)
    assert store.maintenance.condition().segments["learnings_fts"] <= before
    assert sorted(found) == sorted(hit.learning.id for hit in store.learnings.search("words", max_rows=100))
    assert done.finished
    assert not any(store.verify().values())


def test_who_gives_pages_back_writes_them_back(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the next writer finds the WAL of all slices, and keeps everybody waiting while it is written back.
    fill(store)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    calls = []
    write_back = sqlite_engine.try_write_back
    monkeypatch.setattr(sqlite_engine, "try_write_back", lambda *given: calls.append(given) or write_back(*given))
    slices = -(-store.maintenance.condition().free_pages // maintenance.SLICE_PAGES)
    thresholds = Thresholds(free_ratio=0, free_bytes=0)
    store.maintenance.run(budget=60, thresholds=thresholds)
    assert len(calls) >= slices > 1


def test_below_the_thresholds_nothing_is_done(store: Datastore) -> None:
    fill(store, 5)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    store.maintenance.run()  # the statistics
    free = store.maintenance.condition().free_pages
    assert free
    done = store.maintenance.run()
    assert (done.pages_freed, done.merges, done.checkpointed, done.optimized, done.slices) == (0, 0, None, False, 0)
    assert done.finished
    assert store.maintenance.condition().free_pages == free


def test_a_budget_bounds_a_run_and_the_next_goes_on(store: Datastore) -> None:
    fill(store)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    first = store.maintenance.run(budget=0.0, everything=True)
    assert first.slices <= 3  # one that does something, one that looked for something to merge, and the checkpoint
    assert not first.finished
    runs = 0
    while not store.maintenance.run(budget=0.0, everything=True).finished and runs < 200:
        runs += 1
    assert store.maintenance.condition().free_pages == 0
    assert 1 <= runs < 200


def test_who_reads_is_named(store: Datastore, path: Path) -> None:
    fill(store, 3)
    program = (
        "import sys; from datastore import Datastore; s = Datastore.open(sys.argv[1])\n"
        "with s.snapshot(): s.conversations.count(); print('reading', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "reading\n"
    store.conversations.add(sanitization_version="1")
    done = store.maintenance.run(everything=True, budget=5)
    condition = store.maintenance.condition()
    other.communicate("")
    assert done.checkpointed is False
    assert not done.finished
    if condition.readers is None:
        pytest.skip("this system does not tell which processes lock a file")
    assert other.pid in condition.readers
    assert other.pid in (done.blocked_by or [])
    assert store.maintenance.run(everything=True, budget=5).checkpointed
    assert store.maintenance.condition().readers == []


def test_due_by_interval_and_by_threshold(store: Datastore, clock: Clock) -> None:
    assert store.maintenance.due()
    store.maintenance.run()
    assert not store.maintenance.due()
    clock.advance(3599)
    assert not store.maintenance.due()
    clock.advance(1)
    assert store.maintenance.due()
    store.maintenance.run()
    fill(store, 3)
    store.engine.checkpoint()
    assert not store.maintenance.due()
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    store.engine.checkpoint()
    assert store.maintenance.due(thresholds=Thresholds(free_bytes=100_000))
    assert store.maintenance.due(thresholds=Thresholds(segments=0))


def test_a_full_vacuum_shrinks_the_file_and_cuts_the_wal(
    store: Datastore, conversation: Conversation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    for other in store.conversations.list().items:
        if other.id != conversation.id:
            store.conversations.delete(other.id)
    assert store.maintenance.vacuum() > 3_000_000
    wal_bytes = store.maintenance.condition().wal_bytes
    assert store.maintenance.condition().free_pages == 0
    assert wal_bytes < 50_000
    assert path.stat().st_size == store.maintenance.condition().file_bytes
    assert store.engine.pragma("temp_store") == 2
    assert store.conversations.get(conversation.id) == conversation
    assert "vacuum" in store.maintenance.condition().last_runs
    with store.transaction(), pytest.raises(TransactionError):
        store.maintenance.vacuum()
    monkeypatch.setattr(backups, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFullError):
        store.maintenance.vacuum()


def test_a_vacuum_waits_for_a_writer_at_most_the_timeout(path: Path, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA journal_mode = WAL").fetchall()
    with Datastore.open(path, timeout=0.2, durability="relaxed") as store:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError):
            store.maintenance.vacuum()
        raw.execute("ROLLBACK")
        store.maintenance.vacuum()


def test_the_commands(store: Datastore, path: Path) -> None:
    fill(store, 10)
    for conversation in store.conversations.list().items:
        store.conversations.delete(conversation.id)
    done = json.loads(run("maintain", "--everything", "--json", database=path).stdout)
    assert done["pages_freed"] > 100
    assert "0 pages released" in run("maintain", database=path).stdout
    assert run("vacuum", "--full", database=path).stdout.startswith("rewritten")
    status = json.loads(run("status", "--json", database=path).stdout)
    assert status["upkeep"]["segments"]
    assert status["upkeep"]["last_runs"]["vacuum"]
    assert "full-text segments" in run("status", database=path).stdout


def test_watch_runs_until_it_is_told_to_stop(store: Datastore, path: Path) -> None:
    fill(store, 2)
    watching = subprocess.Popen(
        [sys.executable, "-m", "datastore.cli", "maintain", "--watch", "--every", "0.1", "--interval", "0s"],
        cwd=ROOT,
        env={**os.environ, "DATASTORE_DATABASE": str(path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(10) == 0
    watching.stdout.close()
    assert all("pages released" in line for line in lines)
    assert store.maintenance.condition().last_runs["free_pages"]
