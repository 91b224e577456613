"""Everything from SQLite to PostgreSQL and back: nothing is lost, killed copies go on, and a target in use is refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore.copy.tables as module
from datastore import Datastore, ToolResultPart
from datastore.cli.commands import cli
from datastore.copy import copy
from datastore.copy.sqlite import SQLiteSide
from datastore.engines.schema import DERIVED
from datastore.errors import BusyError, CheckError, CopyError
from datastore.importing import import_file
from datastore.resources import sample_folder
from datastore.values import encode_timestamp
from tests import databases
from tests.conftest import REDACTION
from tests.postgresql import database, empty

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def url(migrated_server: str) -> str:
    empty(migrated_server)
    return migrated_server


@pytest.fixture
def full(path: Path) -> Path:
    """A file with something in every table."""
    with Datastore.open(path) as store:
        for name in ("conversations", "learnings"):
            import_file(store, sample_folder() / f"{name}.jsonl", sanitization_version="1")
        first, second, third, *_ = store.conversations.list().items
        store.conversations.soft_delete(first.id, reason="why")
        store.redactions.add(second.id, **REDACTION)
        store.branches.fork(second.id, position=2, label="again")
        store.messages.append(second.id, role="tool", parts=[ToolResultPart(text="ß", call_id="1")], source_id="s1")
        store.branches.fork(second.id, position=3, switch=False)
        store.messages.begin(second.id, content="so far", branch=2)
        learning = next(iter(store.learnings.list().items))
        upload = store.uploads.add(learning_id=learning.id, destination="wiki")
        store.uploads.start(upload.id)
        store.holds.place(second.id, reason="a case")
        for number in range(9):
            store.jobs.enqueue(
                f"t{number % 2}", {"n": 1.0, "ü": [None, 1e300]}, priority=number, dedupe_key=f"k{number}"
            )
        store.jobs.succeed(store.jobs.claim(worker="w"), {"a": 1})  # type: ignore[arg-type]
        store.jobs.fail(store.jobs.claim(worker="w"), "no")  # type: ignore[arg-type]
        store.jobs.fail(store.jobs.claim(worker="w"), "no", permanent=True)  # type: ignore[arg-type]
        store.jobs.pause("t1", reason="r")
        store.jobs.limit("t0", running=3, running_per_key=1, starts=9)
        for number in range(3):
            store.jobs.enqueue("t0", number, limit_key="k", sequence_key="s", batch_id="b")
        store.jobs.enqueue("after", after_batch="b")
        store.jobs.claim_many(["t0"], worker="w", max_rows=9)
        store.schedules.set("night", "30 2 * * *", "t0", {"a": 1}, timezone="Europe/Berlin")
        store.retention.policies.set("old", target="jobs", since="completion", age_days=30.0)
        store.erase(conversation_id=third.id)
        store.vectors.change_model(None, "toy")
        talk = second.id
        store.messages.append(talk, role="user", content="with a vector", vector=[1.0, -2.0])
        store.learnings.add(conversation_id=talk, category="c", title="t", content="x", vector=[0.25, 1.0])
        store._parts.vectors._statements.add_vector_cell(name="learnings", cell=1, generation=1, centroid=b"\0\x3c\0\0")
        store.reindex(language="german")
        store.maintenance.run(budget=1.0)
        store.backups.create(path.with_name("backup.db"))
    return path


def tables_of(path: Path) -> dict[str, tuple[str, ...]]:
    """The tables of a file that are copied, and their keys."""
    side = SQLiteSide(path, target=False)
    try:
        return {name: table.key for name, table in side.schema.items() if not table.is_virtual and name not in DERIVED}
    finally:
        side.close()


def rows(path: Path) -> dict[str, list[Any]]:
    """Every row of a file, but for what is the file's own."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [*tables_of(path), "job_counts", "job_groups"]
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in zip(tables, ["1"] * len(tables), strict=True)
        }


def ordered(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {table: sorted(records, key=repr) for table, records in found.items()}


def test_there_and_back_is_the_same(full: Path, url: str, tmp_path: Path) -> None:
    before = ordered(rows(full))
    assert all(before.values()), [table for table, records in before.items() if not records]
    there = copy(str(full), url)
    assert sum(there.found.values()) == 0
    back = copy(url, str(tmp_path / "back.db"))
    assert back.digests == there.digests
    assert ordered(rows(tmp_path / "back.db")) == before
    with Datastore.open(full) as old, Datastore.open(url) as server, Datastore.open(tmp_path / "back.db") as new:
        assert not any(part for store in (old, server, new) for part in store.verify().values())
        for text in ("write lock", "index", "erasure"):
            found = [
                {hit.learning.id for hit in store.learnings.search(text, max_rows=100)} for store in (old, server, new)
            ]
            assert found[0] == found[1] == found[2]
            assert found[0]
        assert old.jobs.counts() == server.jobs.counts() == new.jobs.counts()
        assert old.conversations.list() == server.conversations.list() == new.conversations.list()


def test_life_goes_on_after_a_copy(full: Path, url: str) -> None:
    copy(str(full), url)
    with Datastore.open(full) as old, Datastore.open(url) as store:
        last = max(entry.id for entry in old.audit.list(max_rows=1000))
        assert store.audit.record("delete", subject_type="job", subject_id="1").id == last + 1
        newest = max(job.id for job in old.jobs.list(max_rows=1000))
        assert store.jobs.enqueue("new").id > newest
        conversation = next(iter(store.conversations.list().items))
        count = conversation.message_count
        last_position = store.branches.get(conversation.id, conversation.active_branch).last_position
        position = store.messages.append(conversation.id, role="user", content="one more").position
        assert position == last_position + 1
        assert store.conversations.get(conversation.id).message_count == count + 1
        assert not any(store.verify().values())


def test_the_planner_knows_the_tables_after_a_copy(full: Path, url: str) -> None:
    copied = copy(str(full), url)
    with psycopg.connect(url) as connection:
        for table in ("messages", "learnings", "job_queue"):
            counted = connection.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table]).fetchone()
            assert counted == (copied.written[table],)


def test_a_copy_again_writes_nothing_and_one_that_differs_is_told(full: Path, url: str) -> None:
    copy(str(full), url)
    again = copy(str(full), url)
    assert sum(again.written.values()) == 0
    with Datastore.open(url) as store:
        store.conversations.add(sanitization_version="1")
    with pytest.raises(CopyError, match="conversations"):
        copy(str(full), url)


def test_a_target_in_use_is_refused(full: Path, url: str, tmp_path: Path) -> None:
    with psycopg.connect(url), pytest.raises(BusyError):
        copy(str(full), url)
    with Datastore.open(tmp_path / "back.db", migrate=True) as store, store.transaction(), pytest.raises(BusyError):
        copy(str(full), str(tmp_path / "back.db"))


def assert_beginnings(source: str, target: str, file: Path) -> None:
    """What is in the target is the beginning of each table, no batch in front of another."""
    with Datastore.open(source) as one, Datastore.open(target) as other:
        for table, keys in tables_of(file).items():
            query = f"SELECT {', '.join(keys)} FROM {table}"
            there, whole = (sorted(map(in_text, databases.rows(store, query))) for store in (other, one))
            assert there == whole[: len(there)], table


def in_text(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(encode_timestamp(value) if isinstance(value, datetime) else value for value in row)


def test_batches_side_by_side_are_committed_in_their_order(
    full: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    with closing(sqlite3.connect(full)) as connection:
        places = [seq for (seq,) in connection.execute("SELECT seq FROM messages ORDER BY seq")]
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE messages SET role = 'nobody' WHERE seq = ?", (places[105],))
        connection.commit()
        # The server takes long for the batch that fails, and little for those behind it.
        connection.execute("UPDATE messages SET content = ? WHERE seq = ?", ("word " * 200_000, places[104]))
        connection.commit()
    with pytest.raises(CheckError):
        copy(str(full), url)
    assert_beginnings(str(full), url, full)
    with Datastore.open(url) as store:
        # Batches of 10; the count of the store is that of the conversations, which say what there is to be.
        assert databases.rows(store, "SELECT count(*) FROM messages") == [(100,)]


KILLED = """
import os, signal, sys
import datastore.copy.tables as module
module.BATCH_ROWS = 40
seen = 0
def on_progress(table, done, total):
    global seen
    seen += 1
    if seen == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
module.copy(sys.argv[1], sys.argv[2], on_progress=on_progress)
"""


@pytest.mark.parametrize("direction", ["there", "back"])
def test_a_killed_copy_goes_on(full: Path, tmp_path: Path, direction: str, url: str) -> None:
    back = tmp_path / "back.db"
    if direction == "back":
        copy(str(full), url)
    source, target = (str(full), url) if direction == "there" else (url, str(back))
    for batch in (1, 4, 9, 9, 9):
        done = subprocess.run([sys.executable, "-c", KILLED, source, target, str(batch)], cwd=ROOT)
        assert done.returncode == -9
        assert_beginnings(source, target, full)
    finished = copy(source, target)
    assert sum(finished.found.values()) > 300
    with Datastore.open(target) as store:
        assert not any(store.verify().values())
        # Every trigger is there again.
        conversation = next(iter(store.conversations.list().items))
        store.messages.append(conversation.id, role="user", content="x")
        assert store.conversations.get(conversation.id).message_count == conversation.message_count + 1


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=30)
documents = st.dictionaries(texts, st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3), max_leaves=5,
), max_size=3)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    said=st.lists(st.tuples(texts, documents), min_size=1, max_size=4),
    learned=st.lists(st.tuples(texts, texts, st.lists(texts, max_size=3), st.floats(0, 1)), max_size=3),
)
def test_whatever_was_stored_comes_back(
    empty_database: bytes, url: str, tmp_path_factory: pytest.TempPathFactory, said: list[Any], learned: list[Any]
) -> None:
    empty(url)
    folder = tmp_path_factory.mktemp("copy")
    (folder / "a.db").write_bytes(empty_database)
    with Datastore.open(folder / "a.db", durability="relaxed") as store:
        conversation = store.conversations.add(sanitization_version="1", title=said[0][0], metadata=said[0][1])
        for content, metadata in said:
            store.messages.append(conversation.id, role="user", content=content, metadata=metadata)
        for title, content, tags, confidence in learned:
            store.learnings.add(
                conversation_id=conversation.id,
                category=title,
                title=title,
                content=content,
                tags=tags,
                confidence=confidence,
            )
    copy(str(folder / "a.db"), url)
    copy(url, str(folder / "b.db"))
    assert ordered(rows(folder / "b.db")) == ordered(rows(folder / "a.db"))


def test_the_command(full: Path, tmp_path: Path) -> None:
    with database("copy") as url:
        told = CliRunner().invoke(cli, ["copy", str(full), url])
        assert told.exit_code == 0, told.output
        assert "the two databases contain the same data" in told.output
        told = CliRunner().invoke(cli, ["copy", "--json", url, str(tmp_path / "back.db")])
        assert json.loads(told.output)["written"]["messages"] > 400
        missing = CliRunner().invoke(cli, ["copy", str(tmp_path / "none.db"), url])
        assert (missing.exit_code, "no database" in missing.output) == (1, True)
