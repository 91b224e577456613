"""Legal holds, rollbacks and erasures: what must stay stays, and what a receipt says is so; each rule with its mutant."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, migrations
from datastore.errors import CheckError, DatabaseError, LeaseLostError
from datastore.retention import tombstones
from datastore.retention.erasure import Eraser
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_holds:explore"
SERVER = "tests.acid.test_holds:attack"

ID = "0192f5a0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"


class Interrupted(BaseException):
    """Somebody pressed Ctrl-C."""


def said(store: Datastore, id: str = ID, session: str = "s") -> None:
    store.conversations.add(id=id, sanitization_version="1", session_id=session, title="title")
    store.messages.append(id, id=f"{id}-m", role="user", content=f"said in {id}")


def _held(folder: Path, report: Report) -> None:
    path = new_database(folder, "held.db")
    with Datastore.open(path) as store:
        said(store)
        store.holds.place(ID, reason="case 12")
        before = store.conversations.get(ID), store.messages.list(ID), list(store.holds.iterate())
    for sql in (
        "UPDATE conversations SET title = 'another'",
        "UPDATE legal_holds SET reason = 'another'",
        "INSERT OR REPLACE INTO messages (seq, id, conversation_id, position, role, content, content_hash, token_count,"
        " created_at) SELECT seq, id, conversation_id, position, role, 'another', content_hash, token_count, created_at"
        " FROM messages",
    ):
        with closing(sqlite3.connect(path)) as connection, connection, suppress(sqlite3.IntegrityError):
            connection.execute(sql)
        with Datastore.open(path) as store:
            if (store.conversations.get(ID), store.messages.list(ID), list(store.holds.iterate())) != before:
                report.found("model mismatch", f"changed under a hold by {sql}")


def _rolled_back(folder: Path, report: Report) -> None:
    path = new_database(folder, "back.db")
    with Datastore.open(path) as store:
        said(store)
        store.holds.place(ID, reason="case 12")
        store.conversations.soft_delete(ID)
    later = [name for name in migrations.migration_ids(Path("migrations/sqlite")) if name > "0005"]
    with suppress(DatabaseError):
        migrations.rollback(path, steps=len(later))
    migrations.apply(path)
    with Datastore.open(path) as store:
        if not list(store.holds.iterate()):
            report.found("lost rows", "a rollback destroyed a legal hold")
    os.environ["DATASTORE_ROLLBACK"] = "destroy"
    try:
        migrations.rollback(path, steps=len(migrations.migration_ids(Path("migrations/sqlite"))) - 2)
    finally:
        del os.environ["DATASTORE_ROLLBACK"]
    migrations.apply(path)
    with Datastore.open(path) as store:
        if not store.verify()["audit chain"]:
            report.found("undetected damage", "verify says nothing of a log that was made again")


def _named(folder: Path, report: Report) -> None:
    with Datastore.open(new_database(folder, "named.db")) as store:
        said(store)
        spelled = store.jobs.enqueue("t", {"id": ID.replace("-", "").upper()})
        store.jobs.enqueue("u", {"id": ID})
        running = store.jobs.claim(["u"], worker="w")
        assert running is not None
        receipt = store.erase(conversation_id=ID)
        if store.jobs.get(spelled.id).payload != {"erased": True}:
            report.found("model mismatch", f"{receipt.status}, and a job has the id in upper case")
        with suppress(LeaseLostError):
            store.jobs.succeed(running, {"said": "the subject's text"})
        if store.jobs.get(running.id).result is not None:
            report.found("model mismatch", f"{receipt.status}, and a job stored its result afterwards")


def _interrupted(folder: Path, report: Report) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted

    delete: Callable[..., Any] = Eraser._delete
    with Datastore.open(new_database(folder, "interrupted.db")) as store:
        said(store)
        for _ in range(2):
            Eraser._delete = stop  # type: ignore[method-assign, assignment]
            try:
                with suppress(Interrupted):
                    store.erase(session_id="s")
            finally:
                Eraser._delete = delete  # type: ignore[method-assign]
        first = store._eraser.unfinished()[-1]
        done = store.retention.resume(first.id)
        if store.conversations.find(ID) is not None:
            report.found("model mismatch", f"a resumed erasure says {done.status}, and the text is stored")


def _restored(folder: Path, report: Report) -> None:
    path = new_database(folder, "restored.db")
    with Datastore.open(path) as store:
        said(store)
        store.holds.place(ID, reason="case 12")
        copy = store.backups.create(folder / "copy.db").path
        store.holds.release(ID)
        store.erase(conversation_id=ID)
    with suppress(DatabaseError):
        Datastore.restore(copy, path)
    with Datastore.open(path) as store:
        if store.conversations.find(ID) is None or [one.status for one in list(store.retention.receipts.iterate())] != [
            "blocked"
        ]:
            report.found(
                "model mismatch", f"restored: {[one.status for one in list(store.retention.receipts.iterate())]}"
            )


def _at_once(folder: Path, report: Report) -> None:
    write, read, go = tombstones.write_beside, threading.Event(), threading.Event()

    def slowly(path: Path, carried: tombstones.Tombstones) -> None:
        if threading.current_thread().name == "first":
            read.set()
            go.wait(1)
        write(path, carried)

    path = new_database(folder, "twice.db")
    with Datastore.open(path) as store:
        for name in ("first", "second"):
            said(store, name)
        tombstones.write_beside = slowly
        try:
            threads = [
                threading.Thread(target=lambda n=n: store.erase(conversation_id=n), name=n) for n in ("first", "second")
            ]  # type: ignore[misc]
            threads[0].start()
            read.wait(30)
            threads[1].start()
            threads[1].join(0.5)
            go.set()
            for thread in threads:
                thread.join(60)
        finally:
            tombstones.write_beside = write
        kept = {stone.subject_hash for stone in store._parts.erasures.tombstones()}
        if {stone.subject_hash for stone in tombstones.read_beside(tombstones.beside(path)).stones} != kept:
            report.found("lost update", "a tombstone is not in the file beside the database")


def _last_instant(folder: Path, report: Report) -> None:
    at = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)
    with Datastore.open(new_database(folder, "last.db")) as store:
        said(store)
        with suppress(CheckError):
            store.messages.append(ID, role="user", content="unseen", created_at=at)
        if store.messages.count(ID) != len(store.messages.list_by_time(ID).items):
            report.found("model mismatch", "a message is counted and not listed")


RULES = (_held, _rolled_back, _named, _interrupted, _restored, _at_once, _last_instant)


def explore(*, seed: int, folder: Path, rule: str = "") -> Report:
    """Each rule on a database of its own; or only one, by the name of its function."""
    report = Report()
    for one in RULES:
        if rule in ("", one.__name__):
            one(folder, report)
            report.counts["rules"] += 1
    return report


def attack(*, seed: int, folder: Path) -> Report:
    """On PostgreSQL: a temporary table of the session's own with the name of the log's counter."""
    import psycopg

    from tests.postgresql import database

    report = Report()
    with database("attack") as url:
        migrations.apply(url)
        with Datastore.open(url) as store:
            store.audit.record("purge", subject_type="job", subject_id="1")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE TEMP TABLE audit_log_counter (name TEXT PRIMARY KEY, last_id BIGINT)")
                connection.execute("INSERT INTO pg_temp.audit_log_counter VALUES ('audit_log', 41)")
                (id,) = connection.execute(
                    "INSERT INTO audit_log (action, subject_type, subject_id, actor, created_at, previous_hash, hash)"
                    " VALUES ('purge', 'job', 'x', 'attacker', now(), repeat('1', 64), repeat('2', 64)) RETURNING id"
                ).fetchone()  # type: ignore[misc]
            if id != 2:
                report.found("model mismatch", f"an entry was numbered {id} by a table of somebody's own")
    report.counts["attacks"] += 1
    return report


def test_what_must_stay_stays() -> None:
    assert assert_healthy("holds and erasures", BODY).counts["rules"] == 7


@reds(
    Red("a held title that changes", "model mismatch", given={"rule": "_held"}),
    Red("a hold that is rewritten", "model mismatch", given={"rule": "_held"}),
    Red("REPLACE in the place of what is held", "model mismatch", given={"rule": "_held"}),
    Red("a rollback that destroys holds", "lost rows", given={"rule": "_rolled_back"}),
    Red("a log that is made again unseen", "undetected damage", given={"rule": "_rolled_back"}),
    Red("the last instant is stored", "model mismatch", given={"rule": "_last_instant"}),
    Red("tombstones without the lock", "lost update", given={"rule": "_at_once"}),
    Red("ids as they are written", "model mismatch", given={"rule": "_named"}),
    Red("resuming sees its own tombstones only", "model mismatch", given={"rule": "_interrupted"}),
    Red("a restore that finishes what a hold blocked", "model mismatch", given={"rule": "_restored"}),
    Red("an erased job runs on", "model mismatch", given={"rule": "_named"}),
)
def test_mutants_of_holds_and_erasures(red: Red) -> None:
    assert_red("holds and erasures", BODY, red)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' server, for the process in which the body runs."""
    from tests.postgresql import server

    monkeypatch.setenv("DATASTORE_TEST_POSTGRES_URL", server())


def test_what_runs_with_the_owners_rights(server: None) -> None:
    assert assert_healthy("the owner's rights", SERVER).counts["attacks"] == 1


@reds(Red("temporary tables first", "model mismatch"))
def test_mutants_of_the_owners_rights(server: None, red: Red) -> None:
    assert_red("the owner's rights", SERVER, red)
