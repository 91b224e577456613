"""What only a server has: the two engines' statements are one contract, locks, lost connections, wake-up, the clock, roles."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from click.testing import CliRunner

from datastore import Datastore, NewJob
from datastore.cli.commands import cli
from datastore.errors import (
    BusyError,
    CommitOutcomeUnknownError,
    ConflictError,
    DatabaseError,
    ForkedError,
    InvalidValueError,
    LeaseLostError,
    NotADatastoreError,
    SchemaOutOfDateError,
    TransactionError,
    TransactionLostError,
    UniqueError,
    UnsupportedError,
)
from datastore.migrations import apply, migration_ids, rollback
from datastore.migrations.comments import comments
from datastore.migrations.steps import step_files
from datastore.resources import migrations_folder, sample_folder, sql_folder
from datastore.statements.loader import read_statements
from datastore.values import utc_now
from tests.acid.test_isolation import CASES, GOLDEN, play
from tests.conftest import Clock, until
from tests.databases import rows
from tests.postgresql import database, empty, server

ROOT = Path(__file__).resolve().parents[2]

#: FTS5's upkeep, the pages of a file, SQLite's catalogue: PostgreSQL's own tools do it, or nobody has to.
ONLY_SQLITE = {
    "add_rollback_mark", "index_learning",
    "check_learnings_fts", "check_messages_fts", "count_changes", "count_learnings_fts_segments",
    "count_messages_fts_segments", "list_foreign_tables", "list_full_text_tables", "list_known_learning_terms",
    "list_known_message_terms", "list_learning_tokens", "list_message_tokens", "list_table_names", "list_trees",
    "merge_learnings_fts", "merge_learnings_fts_slice", "merge_messages_fts", "merge_messages_fts_slice",
}  # fmt: skip

#: A session's settings, advisory locks, transactions, the server's clock, its sequences and triggers.
ONLY_POSTGRESQL = {
    "set_session",
    "set_setting",
    "find_oldest_transaction",
    "list_invalid_indexes",
    "get_comment_command",
    "set_rollback",
    "take_lock",
    "lock_writers_out",
    "get_clock",
    "get_server_state",
    "count_other_clients",
    "get_transaction_number",
    "list_numbers",
    "list_own_triggers",
    "raise_number",
    "release_session_lock",
    "try_session_lock",
}


@pytest.fixture
def url(migrated_server: str) -> str:
    empty(migrated_server)
    return migrated_server


@pytest.fixture
def store(url: str) -> Iterator[Datastore]:
    with Datastore.open(url, durability="relaxed", timeout=2) as store:
        yield store


# One contract.


def test_the_statements_of_both_engines_are_one_contract() -> None:
    ours, theirs = read_statements(sql_folder(), "postgresql"), read_statements(sql_folder(), "sqlite")
    assert set(theirs) - set(ours) == ONLY_SQLITE
    assert set(ours) - set(theirs) == ONLY_POSTGRESQL
    # Their parameters, records and columns are held equal by `datastore check --server` (tests/contract/test_server.py).
    for name, statement in ours.items():
        if statement.file.startswith("postgresql/"):
            assert "Differs" in statement.header.notes, name


def test_less_than_a_third_is_written_twice() -> None:
    ours = read_statements(sql_folder(), "postgresql")
    own = [name for name, statement in ours.items() if statement.file.startswith("postgresql/")]
    assert len(own) < len(ours) / 3, f"{len(own)} of {len(ours)}"


# Migrations.


def test_each_step_goes_up_and_down_and_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_ROLLBACK", "destroy")
    with database("steps") as url:
        ids = migration_ids(migrations_folder("postgresql"))
        assert ids == migration_ids(migrations_folder("sqlite")), "the same steps as SQLite's"
        assert apply(url) == ids
        assert apply(url) == []
        with Datastore.open(url) as store:
            fill(store)
        whole = catalogue(url)
        for count in range(1, len(ids) + 1):
            assert rollback(url, steps=count) == ids[::-1][:count]
            assert apply(url) == ids[-count:]
            assert catalogue(url) == whole
        rollback(url, all=True)
        assert catalogue(url) == []


def test_a_step_down_and_up_keeps_the_rows() -> None:
    with database("rows") as url:
        apply(url)
        with Datastore.open(url) as store:
            fill(store)
            before = [hit.learning for hit in store.learnings.search("readers")]
            assert before
        later = [name for name in migration_ids(migrations_folder("postgresql")) if name >= "0004"]
        assert rollback(url, steps=len(later)) == later[::-1]  # they have nothing of what was said, except the words
        apply(url)
        with Datastore.open(url) as store:
            assert store._parts.index.unindexed() == {"learnings": 1, "messages": 1}
            store.reindex()
            assert [hit.learning for hit in store.learnings.search("readers")] == before
            checked = store.verify()
            names = [
                "audit chain",
                "high-water mark",
                "content hashes",
                "message counts",
                "branches",
                "job counts",
                "job groups",
                "tags",
                "searchable rows",
                "vectors",
            ]
            assert list(checked) == names
            assert not any(checked.values())


def fill(store: Datastore) -> None:
    conversation = store.conversations.add(sanitization_version="1", source="test")
    store.messages.append(conversation.id, role="user", content="Do readers block writers?")
    store.learnings.add(
        conversation_id=conversation.id, category="db", title="WAL", content="Readers never do.", tags=["wal"]
    )
    store.jobs.enqueue("t")
    store.jobs.succeed(store.jobs.claim(worker="w"))  # type: ignore[arg-type]
    store.audit.record("delete", subject_type="job", subject_id="1")


def catalogue(url: str) -> list[Any]:
    """Everything that the steps make, as the server tells it."""
    sql = (Path(__file__).parent / "catalogue.sql").read_text()
    with psycopg.connect(url) as connection:
        return [row for row in connection.execute(sql).fetchall() if "yoyo" not in row[0]]


def _apply(url: str, start: Any, done: Any) -> None:
    start.wait(60)
    try:
        done.put(apply(url))
    except Exception as error:
        done.put([repr(error)])


def test_several_processes_apply_at_once() -> None:
    context = multiprocessing.get_context("spawn")
    with database("race") as url:
        done: Any = context.Queue()
        start: Any = context.Barrier(4)
        processes = [context.Process(target=_apply, args=(url, start, done)) for _ in range(4)]
        for process in processes:
            process.start()
        applied = sorted(id for _ in processes for id in done.get(timeout=120))
        for process in processes:
            process.join()
        assert applied == migration_ids(migrations_folder("postgresql"))


def test_a_database_without_the_schema_says_what_to_run() -> None:
    with database("none") as url:
        with pytest.raises(NotADatastoreError, match="yoyo apply"):
            Datastore.open(url)
        apply(url)
        rollback(url)
        with pytest.raises(SchemaOutOfDateError, match="0007"):
            Datastore.open(url)


def test_no_message_holds_the_password(url: str) -> None:
    parts = urlsplit(url)
    wrong = urlunsplit(parts._replace(netloc=f"somebody:s3cret@{parts.netloc.rpartition('@')[2]}"))
    assert "s3cret" in wrong
    with pytest.raises(DatabaseError) as raised:
        Datastore.open(f"{wrong}{'&' if parts.query else '?'}sslmode=disable&port=1")
    assert "s3cret" not in str(raised.value)
    with Datastore.open(url) as store:
        assert repr(store).startswith("Datastore('postgresql://")
        assert "postgres:" not in repr(store)


# Transactions.


def test_a_caller_goes_on_after_a_refusal(store: Datastore) -> None:
    with store.transaction():
        first = store.conversations.add(sanitization_version="1", id="c")
        with pytest.raises(UniqueError):
            store.conversations.add(sanitization_version="1", id="c")
        store.messages.append(first.id, role="user", content="after it")
    assert store.messages.count("c") == 1


def test_writers_of_different_rows_do_not_wait(store: Datastore) -> None:
    for name in ("a", "b"):
        store.conversations.add(sanitization_version="1", id=name)
    with store.transaction():
        store.messages.append("a", role="user", content="x")
        other = threading.Thread(target=lambda: store.messages.append("b", role="user", content="x"))
        other.start()
        other.join(10)
        assert not other.is_alive()
        assert store.messages.count("b") == 1


def test_appenders_to_one_conversation_share_no_position(store: Datastore) -> None:
    store.conversations.add(sanitization_version="1", id="c")

    def append() -> None:
        for _ in range(40):
            store.messages.append("c", role="user", content="x")

    threads = [threading.Thread(target=append) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row[0] for row in rows(store, "SELECT position FROM messages ORDER BY position")] == [*range(1, 241)]
    assert store.conversations.get("c").message_count == 240


def test_what_goes_with_a_conversation_is_counted_when_nobody_adds_to_it_any_more(store: Datastore) -> None:
    store.conversations.add(sanitization_version="1", id="c")
    counted: list[dict[str, int]] = []
    with store.transaction():
        store.messages.append("c", role="user", content="not yet committed")
        other = threading.Thread(target=lambda: counted.append(store.conversations.delete("c")))
        other.start()
        other.join(0.3)
    other.join(10)
    assert [parts["messages"] for parts in counted] == [1]


def test_a_lock_lasts_as_long_as_its_transaction(store: Datastore) -> None:
    store.conversations.add(sanitization_version="1", id="c")
    with store.transaction():
        assert store.conversations.lock(["c", "none"]) == ["c"]
        other = threading.Thread(target=lambda: store.conversations.update("c", title="theirs"))
        other.start()
        other.join(0.3)
        assert other.is_alive()
        store.conversations.update("c", title="ours", source="ours")
    other.join(10)
    assert (store.conversations.get("c").title, store.conversations.get("c").source) == ("theirs", "ours")


def test_the_audit_chain_has_one_end(store: Datastore) -> None:
    def record() -> None:
        for number in range(25):
            store.audit.record("delete", subject_type="job", subject_id=str(number))

    threads = [threading.Thread(target=record) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.audit.verify() == []
    assert [row[0] for row in rows(store, "SELECT id FROM audit_log ORDER BY id")] == [*range(1, 151)]


def test_a_lock_is_waited_for_no_longer_than_the_timeout(store: Datastore, url: str) -> None:
    store.conversations.add(sanitization_version="1", id="c")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM conversations WHERE id = 'c' FOR UPDATE")
        begun = time.monotonic()
        waiting = pool.submit(lambda: store.messages.append("c", role="user", content="x"))
        with pytest.raises(BusyError):
            waiting.result(20)
        assert 1.5 < time.monotonic() - begun < 10
    assert store.messages.append("c", role="user", content="x").position == 1


def cross(store: Datastore, meet: threading.Barrier, first: str, second: str) -> int:
    """Change two conversations, the second one when somebody else has changed it too: whoever is killed does it again."""
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        store.conversations.update(first, title=f"{first} by {second}")
        if calls == 1:
            meet.wait(20)
        store.conversations.update(second, title=f"{second} by {first}")

    store.run(work)
    return calls


def test_a_deadlock_is_run_again(store: Datastore) -> None:
    for name in ("a", "b"):
        store.conversations.add(sanitization_version="1", id=name)
    meet = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(cross, store, meet, "a", "b"), pool.submit(cross, store, meet, "b", "a")
        assert sorted((one.result(60), other.result(60))) == [1, 2]
    with pytest.raises(TransactionError), store.transaction():
        store.run(lambda: None)


def test_a_conflict_that_does_not_end_is_told(store: Datastore) -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        raise ConflictError("again")

    with pytest.raises(ConflictError):
        store.run(work, attempts=3)
    assert len(calls) == 3
    assert store.run(lambda: 7) == 7
    with pytest.raises(InvalidValueError):
        store.run(work, attempts=0)


@pytest.mark.parametrize("serializable", [False, True])
def test_the_isolation_cases(url: str, serializable: bool) -> None:
    """Hermitage's: READ COMMITTED allows a lost update and write skew, which SQLite's one writer does not."""
    letters = []
    for case in CASES:
        empty(url)
        letters.append(play(case, url, serializable=serializable))
    assert " ".join(letters) == GOLDEN["the library on PostgreSQL" + ", serializable" * serializable]


def test_a_serializable_transaction_is_the_outermost(store: Datastore) -> None:
    with store.transaction(), pytest.raises(TransactionError, match="begin that one with serializable=True"):
        store.transaction(serializable=True).__enter__()
    with store.transaction(serializable=True), store.transaction(serializable=True), store.transaction():
        store.conversations.add(id="a", sanitization_version="1")
    assert rows(store, "SELECT id FROM conversations") == [("a",)]
    with store.transaction():
        level = store.engine._thread.session.connection.execute("SHOW transaction_isolation").fetchone()  # type: ignore[attr-defined]
    assert level == ("read committed",)


def test_a_write_skew_is_run_again_where_it_is_asked_for(store: Datastore) -> None:
    """Two doctors on call: each may leave only if the other stays."""
    for name in ("one", "two"):
        store.conversations.add(id=name, sanitization_version="1", metadata={"on_call": True})
    together = threading.Barrier(2)
    calls = []

    def leave(name: str) -> bool:
        calls.append(name)
        staying = [key for key in ("one", "two") if store.conversations.get(key).metadata["on_call"]]
        if len(calls) <= 2:
            together.wait()
        if len(staying) < 2:
            return False
        store.conversations.update(name, metadata={"on_call": False})
        return True

    def attempt(name: str) -> bool:
        return store.run(lambda: leave(name), serializable=True)

    with ThreadPoolExecutor() as team:
        assert sorted(team.map(attempt, ("one", "two"))) == [False, True]
    assert len(calls) == 3


def test_a_snapshot_stands_still_and_takes_no_writes(store: Datastore) -> None:
    with store.snapshot():
        assert store.conversations.count() == 0
        other = threading.Thread(target=lambda: store.conversations.add(sanitization_version="1"))
        other.start()
        other.join()
        assert store.conversations.count() == 0
        with pytest.raises(TransactionError):
            store.conversations.add(sanitization_version="1")
    assert store.conversations.count() == 1


def _end_others(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_lost_connection_loses_the_transaction_and_the_next_one_works(store: Datastore, url: str) -> None:
    with pytest.raises((DatabaseError, TransactionLostError)), store.transaction():
        store.conversations.add(sanitization_version="1", id="lost")
        _end_others(url)
        store.conversations.add(sanitization_version="1", id="lost too")
    assert store.conversations.find("lost") is None
    store.conversations.add(sanitization_version="1", id="after")


def test_connections_that_were_lost_while_nobody_used_them_are_not_noticed(store: Datastore, url: str) -> None:
    meet = threading.Barrier(4)

    def use() -> int:
        with store.snapshot():
            meet.wait(20)  # four connections at once
            return store.conversations.count()

    with ThreadPoolExecutor(4) as pool:
        assert [one.result(60) for one in [pool.submit(use) for _ in range(4)]] == [0] * 4
        for number in range(4):
            _end_others(url)
            store.conversations.add(sanitization_version="1", id=f"c{number}")
    assert store.conversations.count() == 4


def test_a_connection_that_is_lost_at_commit_leaves_the_outcome_open(store: Datastore, url: str) -> None:
    with pytest.raises(CommitOutcomeUnknownError), store.transaction():
        store.conversations.add(sanitization_version="1", id="c")
        _end_others(url)


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_connection_that_is_lost_in_a_statement(store: Datastore, url: str, call: str) -> None:
    """A read was lost and nothing else; a write, which is a transaction of its own, may have been committed."""
    store.conversations.add(sanitization_version="1", id="c")
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(
            (lambda: store.conversations.get("c"))
            if call == "read"
            else (lambda: store.conversations.add(sanitization_version="1", id="d"))
        )
        is_waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'conversations'::regclass"
        until(lambda: other.execute(is_waiting).fetchall())
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(DatabaseError if call == "read" else CommitOutcomeUnknownError):
            waiting.result(20)


def test_no_connection_in_time_is_busy(url: str) -> None:
    with Datastore.open(url, pool_size=1, timeout=0.5) as store, ThreadPoolExecutor(1) as pool:
        with store.transaction():
            for call in (store.conversations.count, lambda: store.conversations.add(sanitization_version="1")):
                with pytest.raises(BusyError):
                    pool.submit(call).result(20)
        assert store.conversations.count() == 0


def _use(store: Datastore, said: Any) -> None:
    try:
        store.conversations.count()
    except ForkedError:
        said.put("refused")
    else:
        said.put("used")


def test_a_forked_child_is_refused(store: Datastore) -> None:
    store.conversations.count()
    context = multiprocessing.get_context("fork")
    said: Any = context.Queue()
    child = context.Process(target=_use, args=(store, said))
    child.start()
    assert said.get(timeout=20) == "refused"
    child.join()
    assert store.conversations.count() == 0


# Jobs.


def test_eight_workers_claim_each_job_once(url: str) -> None:
    with Datastore.open(url, durability="relaxed", pool_size=9) as store:
        ids = {job.id for job in store.jobs.enqueue_many(NewJob(type=f"t{n % 3}", priority=n % 4) for n in range(400))}
        done: list[int] = []

        def work(name: str) -> None:
            while batch := store.jobs.claim_many(worker=name, max_rows=3):
                done.extend(job.id for job in batch)
                assert store.jobs.succeed_many(batch) == []

        threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(done), set(done)) == (400, ids)
        assert {(one.status, one.count) for one in store.jobs.counts()} == {
            ("succeeded", 134), ("succeeded", 133),
        }  # fmt: skip


def test_of_expiry_and_acknowledgement_exactly_one_wins(url: str) -> None:
    """At the instant when a lease ends, one store sees it alive and acks, another sees it over and recovers it."""
    clock, late = Clock(), Clock()
    late.advance(10)
    acked = expired = 0
    with Datastore.open(url, clock=clock, durability="relaxed") as holder, Datastore.open(url, clock=late) as reaper:
        for _ in range(60):
            holder.jobs.enqueue("t", max_attempts=1)
            job = holder.jobs.claim(worker="w", lease_seconds=10)
            assert job is not None
            with ThreadPoolExecutor(2) as pool:
                recovered = pool.submit(reaper.jobs.recover_expired)
                try:
                    pool.submit(holder.jobs.succeed, job).result(20)
                    acked += 1
                    assert recovered.result(20) == 0
                except LeaseLostError:
                    expired += 1
                    assert recovered.result(20) == 1
    assert acked + expired == 60


def test_a_job_wakes_whoever_waits(store: Datastore) -> None:
    woken: list[float] = []

    def wait() -> None:
        assert store.jobs.wait(timeout=30)
        woken.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(
        lambda: rows(store, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^LISTEN'")
    )
    store.jobs.enqueue("t")
    sent = time.monotonic()
    waiting.join(30)
    assert woken
    assert woken[0] - sent < 2
    store.jobs.claim(worker="w")
    assert not store.jobs.wait(timeout=0.2)


def test_time_is_the_servers(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    from datastore.engines.postgresql import engine as postgresql

    slow = lambda: utc_now() - timedelta(hours=1)  # noqa: E731
    monkeypatch.setattr(postgresql, "utc_now", slow)
    assert abs(store.engine.now() - utc_now()) < timedelta(seconds=5)


# Search, and what a server does by itself.


def test_what_the_server_does_itself_says_so(store: Datastore) -> None:
    for call in (
        lambda: store.backups.make("/tmp/x"),
        lambda: store.maintenance.run(budget=timedelta(seconds=1)),
    ):
        with pytest.raises(UnsupportedError):
            call()


def test_an_erasure_claims_no_more_than_it_did(store: Datastore) -> None:
    fill(store)
    conversation = store.conversations.list().items[0]
    receipt = store.erase(conversation_id=conversation.id)
    assert receipt.status == "deleted"
    assert receipt.receipt["blocked_by"] == []
    assert receipt.is_complete
    assert "its WAL" in receipt.receipt["not_scanned"]
    assert store._eraser.unfinished() == []
    assert store.retention.resume(receipt.id) == receipt
    assert store.conversations.count() == 0
    assert not store.learnings.search("readers").items


def test_the_server_is_asked_once_for_a_test_run() -> None:
    assert server() == server()


# Roles, and the command lines.


def role_url(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"


def url_name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@pytest.mark.parametrize("scheme", ["postgresql+datastore", "postgresql+psycopg"])
def test_the_yoyo_command_line(scheme: str) -> None:
    folder = str(migrations_folder("postgresql"))
    with database("yoyo") as url:
        for action, pending in (("apply", False), ("rollback", True), ("apply", False)):
            command = [sys.executable, "-m", "yoyo", action, "--batch", "--no-config-file"]
            target = url.replace("postgresql:", f"{scheme}:")
            done = subprocess.run([*command, "--database", target, folder], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            if pending:
                with pytest.raises((SchemaOutOfDateError, NotADatastoreError)):
                    Datastore.open(url)
            else:
                Datastore.open(url).close()


def test_the_datastore_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, prog_name="datastore")
        assert result.exit_code == 0, result.output
        return result.output

    with database("cli") as url:
        monkeypatch.setenv("DATASTORE_DATABASE", url)
        missing = CliRunner().invoke(cli, ["stats"])
        assert (missing.exit_code, "yoyo apply" in missing.output) == (1, True)
        sample = [str(sample_folder() / f"{name}.jsonl") for name in ("conversations", "learnings")]
        assert "444 messages" in run("import", "--sanitization-version", "1", *sample)
        assert "508 unchanged" in run("import", "--sanitization-version", "1", sample[0])
        assert "PostgreSQL" in run("status")
        assert json.loads(run("stats", "--json"))["learnings"] == 116
        assert "databases" in run("search", "write lock")
        assert "audit chain: ok" in run("verify")
        assert len(run("export").splitlines()) == 64
        refused = CliRunner().invoke(cli, ["backup", "/tmp/nothing"])
        assert (refused.exit_code, "pg_dump" in refused.output) == (1, True)


def test_jobs_that_end_in_opposite_order_do_not_wait_for_their_counts() -> None:
    """Two transactions count the ends of two types, each in its own order; the server processes have equal numbers modulo 16."""
    with database("counts") as url:
        with Datastore.open(url, migrate=True) as store:
            jobs = {type: [store.jobs.enqueue(type).id for _ in range(4)] for type in ("a", "b")}
            for type in jobs:
                for _ in range(2):
                    job = store.jobs.claim(worker="w", types=[type])
                    assert job is not None
                    store.jobs.succeed(job)
        end = "UPDATE job_queue SET status = 'failed', finished_at = now() WHERE id = %s"
        connections = [psycopg.connect(f"{url}&options=-clock_timeout%3D2s") for _ in range(17)]
        try:
            numbers = [connection.info.backend_pid % 16 for connection in connections]
            first, second = next(
                (connections[i], connections[j]) for j in range(17) for i in range(j) if numbers[i] == numbers[j]
            )
            first.execute(end, [jobs["a"][2]])
            second.execute(end, [jobs["b"][2]])
            first.execute(end, [jobs["b"][3]])
            second.execute(end, [jobs["a"][3]])
            first.commit()
            second.commit()
        finally:
            for connection in connections:
                connection.close()
        with Datastore.open(url) as store:
            assert {(count.type, count.status): count.count for count in store.jobs.counts() if count.count} == {
                ("a", "succeeded"): 2,
                ("a", "failed"): 2,
                ("b", "succeeded"): 2,
                ("b", "failed"): 2,
            }
            assert not any(store.verify().values())


def test_everything_in_the_schema_has_a_comment() -> None:
    """COMMENT ON, from the comments of the steps, which are the same on both engines; datastore/migrations/comments.py."""
    with database("comments") as url:
        apply(url)
        with psycopg.connect(url) as connection:
            bare = connection.execute("""
                SELECT relname || coalesce('.' || attname, '')
                FROM pg_class
                LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND relkind = 'r'
                WHERE
                    relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND relname NOT LIKE '%yoyo%'
                    AND (
                        col_description(pg_class.oid, attnum) IS NULL AND attnum IS NOT NULL
                        OR obj_description(pg_class.oid) IS NULL
                    )
                UNION ALL
                SELECT CAST(oid AS regprocedure)::text
                FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND obj_description(oid) IS NULL
            """).fetchall()
            position = connection.execute(
                "SELECT col_description(attrelid, attnum) FROM pg_attribute"
                " WHERE attrelid = 'messages'::regclass AND attname = 'position'"
            ).fetchone()
    assert bare == [], "write a comment above the column, table or function in its step"
    assert position is not None
    assert position[0].startswith("Position ")


def test_both_engines_say_the_same_of_a_table_and_a_column() -> None:
    """Except where they differ: counts are kept in shards, and the number of an entry is assigned by a trigger."""
    said = []
    for engine in ("sqlite", "postgresql"):
        steps = step_files(migrations_folder(engine))
        every = dict(pair for step in steps for pair in comments(step.read_text(encoding="utf-8")))
        said.append({target: words for target, words in every.items() if target.startswith(("TABLE", "COLUMN"))})
    ours, server = said
    differ = {target for target in ours if target in server and ours[target] != server[target]}
    assert differ == {"TABLE job_counts", "TABLE audit_log_counter", "COLUMN audit_log.id"}
