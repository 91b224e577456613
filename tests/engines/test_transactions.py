"""Transactions, snapshots, connections, waiting, the WAL, and forks."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datastore import Conversation, Datastore
from datastore.engines.sqlite import engine as engine_module
from datastore.engines.sqlite.gate import Gate
from datastore.errors import (
    BusyError,
    ClosedError,
    CorruptDatabaseError,
    DatabaseError,
    DatastoreError,
    DiskFullError,
    ForkedError,
    ReadOnlyDatabaseError,
    TransactionError,
    TransactionLostError,
    UniqueError,
)
from datastore.statements.loader import read_statements
from tests.conftest import until


def titles(store: Datastore) -> set[str | None]:
    return {record.title for record in store.conversations.list()}


def add(store: Datastore, title: str) -> None:
    store.conversations.add(sanitization_version="1", title=title)


def in_thread(run: Callable[[], Any]) -> Any:
    """What *run* gives or raises in a thread of its own."""
    result: list[Any] = []

    def target() -> None:
        try:
            result.append(run())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(60)
    return result[0]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_rolls_back(store: Datastore, kind: type[BaseException]) -> None:
    with pytest.raises(kind), store.transaction():
        add(store, "a")
        raise kind
    assert titles(store) == set()
    add(store, "b")
    assert titles(store) == {"b"}


def test_a_transaction_spans_repositories(store: Datastore, conversation: Conversation) -> None:
    with pytest.raises(ValueError), store.transaction():
        store.messages.append(conversation.id, role="user", content="a")
        store.jobs.enqueue("analyze")
        raise ValueError
    assert store.messages.count(conversation.id) == 0
    assert not store.jobs.list().items


def test_savepoints_nest(store: Datastore) -> None:
    with store.transaction():
        add(store, "outer")
        with pytest.raises(ValueError), store.transaction():
            add(store, "middle")
            with store.transaction():
                add(store, "inner")
            raise ValueError
        with store.transaction():
            add(store, "second")
            with pytest.raises(KeyError), store.transaction():
                add(store, "third")
                raise KeyError
    assert titles(store) == {"outer", "second"}


def test_an_error_swallowed_inside_keeps_what_was_before_it(store: Datastore) -> None:
    with store.transaction():
        store.conversations.add(id="x", sanitization_version="1", title="first")
        with pytest.raises(UniqueError):
            store.conversations.add(id="x", sanitization_version="1", title="second")
        add(store, "third")
    assert titles(store) == {"first", "third"}


def test_an_outer_rollback_takes_inner_commits_along(store: Datastore) -> None:
    with pytest.raises(ValueError), store.transaction():
        with store.transaction():
            add(store, "inner")
        raise ValueError
    assert titles(store) == set()


def test_a_transaction_has_one_instant(store: Datastore, clock: Any) -> None:
    with store.transaction():
        first = store.conversations.add(sanitization_version="1")
        clock.advance(60)
        with store.transaction():
            second = store.conversations.add(sanitization_version="1")
    third = store.conversations.add(sanitization_version="1")
    assert first.created_at == second.created_at
    assert (third.created_at - first.created_at).total_seconds() == 60


def test_a_snapshot_sees_one_instant_and_writes_nothing(store: Datastore) -> None:
    add(store, "a")
    with store.snapshot():
        in_thread(lambda: add(store, "early"))  # after the snapshot began, before it has read
        assert titles(store) == {"a"}
        with pytest.raises(TransactionError, match="snapshot"):
            add(store, "b")
        with pytest.raises(TransactionError, match="snapshot"), store.transaction():
            pass
        with store.snapshot():
            in_thread(lambda: add(store, "late"))
        assert titles(store) == {"a"}
    assert titles(store) == {"a", "early", "late"}


def test_a_snapshot_in_a_transaction_reads_what_it_wrote(store: Datastore) -> None:
    with store.transaction():
        add(store, "a")
        with store.snapshot():
            assert titles(store) == {"a"}
        add(store, "b")
    assert titles(store) == {"a", "b"}


def test_others_see_nothing_before_the_commit(store: Datastore) -> None:
    with store.transaction():
        add(store, "a")
        assert in_thread(lambda: titles(store)) == set()
    assert in_thread(lambda: titles(store)) == {"a"}


def test_a_connection_a_thread(store: Datastore) -> None:
    mine = store.engine._thread.connected().connection
    theirs = in_thread(lambda: store.engine._thread.connected().connection)
    assert isinstance(theirs, sqlite3.Connection)
    assert theirs is not mine
    assert store.engine._thread.connected().connection is mine


def test_connections_of_ended_threads_are_closed(store: Datastore) -> None:
    for _ in range(20):
        in_thread(lambda: titles(store))
    assert len(store.engine._sessions) <= 3


def test_close_from_another_thread(path: Path) -> None:
    store = Datastore.open(path)
    connection = store.engine._thread.connected().connection
    assert in_thread(store.close) is None
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    for use in (
        lambda: titles(store),
        lambda: add(store, "a"),
        store.transaction().__enter__,
        store.snapshot().__enter__,
    ):
        with pytest.raises(ClosedError):
            use()
    assert not Path(f"{path}-wal").exists()  # the last connection went, and tidied up


def test_use_after_close(path: Path) -> None:
    store = Datastore.open(path)
    store.close()
    store.close()
    with pytest.raises(ClosedError):
        add(store, "a")
    with Datastore.open(path) as again:
        add(again, "a")


def test_close_inside_a_transaction_is_refused(store: Datastore) -> None:
    with store.transaction():
        with pytest.raises(TransactionError):
            store.close()
        add(store, "a")
    assert titles(store) == {"a"}


@pytest.mark.parametrize("inside", [True, False])
def test_another_writer_is_waited_for_until_the_timeout(path: Path, raw: sqlite3.Connection, inside: bool) -> None:
    with Datastore.open(path, timeout=0.3) as store:
        raw.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(BusyError):
            if inside:
                with store.transaction():
                    pass
            else:
                add(store, "a")
        assert 0.25 < time.monotonic() - began < 15
        assert titles(store) == set()  # readers do not wait
        raw.execute("ROLLBACK")
        add(store, "b")
        assert titles(store) == {"b"}


def test_another_writer_that_ends_in_time_is_no_error(path: Path, raw: sqlite3.Connection) -> None:
    with Datastore.open(path, timeout=10) as store:
        raw.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=lambda: add(store, "a"))
        thread.start()
        time.sleep(0.2)
        raw.execute("COMMIT")
        thread.join(10)
        assert titles(store) == {"a"}


def test_the_gate_is_waited_for_until_the_timeout(path: Path) -> None:
    with Datastore.open(path, timeout=0.2) as store:
        with store.transaction():
            assert isinstance(in_thread(lambda: add(store, "a")), BusyError)
        other = Gate(f"{path}.gate")  # a file description of its own: as another process has
        other.acquire(1)
        with pytest.raises(BusyError, match="gate"):
            add(store, "b")
        other.release()
        other.close()
        add(store, "c")
        assert titles(store) == {"c"}


WAIT = """
import sys
from datastore import Datastore
with Datastore.open(sys.argv[1], timeout=60) as store:
    print("waiting", flush=True)
    try:
        store.conversations.add(sanitization_version="1")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("held", ["gate", "lock"])
def test_ctrl_c_arrives_while_waiting(path: Path, raw: sqlite3.Connection, held: str) -> None:
    gate = Gate(f"{path}.gate")
    if held == "gate":
        gate.acquire(1)
    else:
        Datastore.open(path).close()  # changes to WAL, which another's lock would hold up
        raw.execute("BEGIN IMMEDIATE")
    process = subprocess.Popen([sys.executable, "-c", WAIT, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 30
    assert process.stdout.read() == "interrupted\n"


#: Without RETURNING and triggers SQLite keeps no way back for the statement alone: a full disk ends all.
PLAIN_INSERT = """-- name: add_big(metadata, now)!
-- Adds a receipt.
--   metadata  json  much
--   now  timestamp  now
-- Index: none (an insert)
-- Rows: 1
INSERT INTO erasures (id, subject_kind, subject_hash, actor, receipt, created_at, updated_at)
VALUES ('big', 'session', printf('%064d', 0), 'test', :metadata, :now, :now);
"""


def test_a_full_disk_that_ends_the_transaction_says_so(store: Datastore, tmp_path: Path, clock: Any) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "big.sql").write_text(PLAIN_INSERT)
    statements = store.engine.bind(read_statements(tmp_path / "sql", "sqlite"))
    add(store, "before")
    store.engine.pragma(f"max_page_count({store.engine.pragma('page_count') + 2})")
    with pytest.raises(TransactionLostError), store.transaction():
        add(store, "a")
        with pytest.raises(DiskFullError, match="add_big"):
            statements.add_big(metadata={"a": "x" * 50_000}, now=clock())
        with pytest.raises(TransactionLostError):
            titles(store)
        with pytest.raises(TransactionLostError):
            add(store, "b")
        with pytest.raises(TransactionLostError), store.transaction():
            pass
    assert titles(store) == {"before"}
    store.engine.pragma("max_page_count(1000000)")
    add(store, "after")
    assert titles(store) == {"before", "after"}


def test_a_full_disk_that_undoes_the_statement_only(store: Datastore, conversation: Conversation) -> None:
    store.engine.pragma(f"max_page_count({store.engine.pragma('page_count') + 2})")
    with store.transaction():
        add(store, "a")
        with pytest.raises(DiskFullError):
            store.messages.append(conversation.id, role="user", content="x" * 50_000)
    assert titles(store) == {None, "a"}
    assert store.conversations.get(conversation.id).message_count == 0


def test_a_transaction_that_the_database_ended_is_not_committed(store: Datastore) -> None:
    with pytest.raises(TransactionLostError), store.transaction():
        add(store, "a")
        store.engine._thread.connected().connection.rollback()
    assert titles(store) == set()
    add(store, "b")
    assert titles(store) == {"b"}


APPEND = """
import sys
from datastore import Datastore
with Datastore.open(sys.argv[1], durability="relaxed") as store:
    for number in range(int(sys.argv[3])):
        store.messages.append(sys.argv[2], role="user", content=str(number))
"""


def test_concurrent_appenders_share_no_position(store: Datastore, path: Path, conversation: Conversation) -> None:
    def append() -> None:
        for number in range(40):
            store.messages.append(conversation.id, role="user", content=str(number))

    command = [sys.executable, "-c", APPEND, str(path), conversation.id, "40"]
    processes = [subprocess.Popen(command) for _ in range(3)]
    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    messages = store.messages.list(conversation.id, max_rows=1000).items
    assert [message.position for message in messages] == list(range(1, 281))
    assert store.conversations.get(conversation.id).message_count == 280


def test_the_wal_does_not_grow_without_bound(
    store: Datastore, path: Path, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(engine_module, "TRUNCATE_BYTES", 400_000)
    store.engine._checkpoint_at = 200_000
    wal = Path(f"{path}-wal")
    largest = 0
    for _ in range(90):
        with store.transaction():
            store.messages.append(conversation.id, role="user", content="x" * 20_000)
        largest = max(largest, wal.stat().st_size)
    assert 20_000 < largest < 700_000  # of more than 2 MB written
    assert store.engine.checkpoint()
    assert wal.stat().st_size == 0


def test_a_checkpoint_waits_for_no_reader(store: Datastore, conversation: Conversation) -> None:
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with store.snapshot():
            store.conversations.count()
            reading.set()
            done.wait(10)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait(10)
    add(store, "a")
    assert not store.engine.checkpoint()
    done.set()
    thread.join()
    assert store.engine.checkpoint()
    with store.transaction(), pytest.raises(TransactionError):
        store.engine.checkpoint()


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
def test_connections_are_set_up_as_promised(path: Path, durability: Any, synchronous: int) -> None:
    with Datastore.open(path, durability=durability) as store:
        pragma = store.engine.pragma
        for read in (pragma, lambda name: in_thread(lambda: pragma(name))):
            assert read("foreign_keys") == 1
            assert read("synchronous") == synchronous
            assert read("journal_mode") == "wal"
            assert read("wal_autocheckpoint") == 0


def in_child(run: Callable[[], Any]) -> Any:
    """What *run* gives in a forked child, through JSON; the child leaves at once."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            result = run()
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        with os.fdopen(write, "w") as file:
            file.write(json.dumps(result))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        result = file.read()
    os.waitpid(child, 0)
    return json.loads(result)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@needs_fork
def test_a_forked_child_has_a_connection_of_its_own(store: Datastore) -> None:
    add(store, "parent")

    def child() -> Any:
        inherited = len(store.engine._sessions)
        add(store, "child")
        return [inherited, len(store.engine._sessions), sorted(map(str, titles(store)))]

    assert in_child(child) == [0, 1, ["child", "parent"]]
    add(store, "after")
    assert titles(store) == {"parent", "child", "after"}


@needs_fork
def test_a_fork_inside_a_transaction_is_refused_in_the_child_only(store: Datastore, path: Path) -> None:
    def child() -> Any:
        try:
            add(store, "child")
        except ForkedError:
            pass
        else:
            return "a write was let in"
        try:
            Datastore.open(path)
        except ForkedError:
            return "refused"

    def leave() -> None:
        with store.transaction():
            add(store, "outer")
            assert in_child(child) == "refused"
            add(store, "parent")

    leave()
    assert titles(store) == {"outer", "parent"}
    with store.transaction():
        block = store.transaction()
        block.__enter__()
        assert in_child(lambda: block.__exit__(None, None, None)).startswith("ForkedError")
        add(store, "still")
        block.__exit__(None, None, None)
    assert titles(store) == {"outer", "parent", "still"}


@needs_fork
def test_a_fork_while_another_thread_is_connected_is_refused_in_the_child(store: Datastore) -> None:
    connected, done = threading.Event(), threading.Event()

    def hold() -> None:
        titles(store)
        connected.set()
        done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    connected.wait(10)
    assert in_child(lambda: add(store, "child")).startswith("ForkedError")
    done.set()
    thread.join()
    add(store, "parent")
    assert titles(store) == {"parent"}


def _work(path: Path, name: str) -> None:
    with Datastore.open(path) as store:
        add(store, name)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(store: Datastore, path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    add(store, "parent")
    if method == "spawn":
        command = [sys.executable, "-c", APPEND, str(path), store.conversations.list().items[0].id, "1"]
        assert subprocess.run(command, check=False).returncode == 0
        assert store.messages.count() == 1
        return
    processes = [multiprocessing.get_context(method).Process(target=_work, args=(path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert titles(store) == {"parent", "a", "b"}


def test_a_checkpoint_that_fails_behind_a_commit_is_not_the_commits_failure(
    store: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A read error in the WAL comes out of SQLite's checkpoint as "database disk image is malformed".
    def fail(*arguments: Any) -> bool:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(engine_module, "write_back", fail)
    monkeypatch.setattr(engine_module, "CHECKPOINT_ROWS", 0)
    with store.transaction():
        add(store, "a")
    assert titles(store) == {"a"}
    with pytest.raises(DatabaseError, match="checkpoint"):
        store.engine.checkpoint()
    monkeypatch.undo()
    assert store.engine.checkpoint()


def test_a_connection_that_came_out_read_only_is_refused_at_once(
    path: Path, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What SQLite does without a word where opening to write fails, for want of file descriptors, say.
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **options: connect(name.replace("=rw", "=ro"), **options))
    with pytest.raises(ReadOnlyDatabaseError):
        Datastore.open(path)
    monkeypatch.undo()
    with Datastore.open(path) as store:
        add(store, "a")
        raw.execute("BEGIN IMMEDIATE")
        assert in_thread(lambda: titles(store)) == {"a"}  # a new connection, beside a writer
        raw.execute("ROLLBACK")


def test_a_block_whose_exit_was_interrupted_ends_with_its_object(store: Datastore) -> None:
    # What is left where Ctrl-C comes at the first instruction of __exit__: nobody calls it again.
    block = store.transaction()
    block.__enter__()
    add(store, "a")
    del block
    assert in_thread(lambda: add(store, "b")) is None  # the gate is free
    add(store, "c")
    assert titles(store) == {"b", "c"}
    snapshot = store.snapshot()
    snapshot.__enter__()
    del snapshot
    add(store, "d")
    assert titles(store) == {"b", "c", "d"}


def test_an_inner_block_that_did_not_end_takes_the_outer_one_along(store: Datastore) -> None:
    with pytest.raises(TransactionLostError, match="interrupted"), store.transaction():
        inner = store.transaction()
        inner.__enter__()
        add(store, "a")
    add(store, "b")
    assert titles(store) == {"b"}


@pytest.mark.parametrize("place", ["acquire", "release"])
def test_an_interrupt_inside_the_gate_leaves_it_free(
    store: Datastore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    real = getattr(Gate, place)

    def interrupted(self: Gate, *arguments: Any) -> None:
        if place == "acquire":
            self._threads.acquire()  # taken, and nobody has noted it
        raise KeyboardInterrupt

    monkeypatch.setattr(Gate, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        if place == "acquire":
            with store.transaction():
                pass
        else:
            add(store, "interrupted")  # after its commit
    monkeypatch.setattr(Gate, place, real)
    add(store, "a")
    assert in_thread(lambda: add(store, "b")) is None
    assert titles(store) - {"interrupted"} == {"a", "b"}


def test_a_stored_value_that_cannot_be_read_is_damage(
    store: Datastore, conversation: Conversation, raw: sqlite3.Connection
) -> None:
    raw.execute("PRAGMA ignore_check_constraints = ON")
    for column, value in (("created_at", "r026-01-01T00:00:00.000000Z"), ("metadata", "{")):
        (kept,) = raw.execute(f"SELECT {column} FROM conversations").fetchone()
        raw.execute(f"UPDATE conversations SET {column} = ?", (value,))
        with pytest.raises(CorruptDatabaseError, match="Conversation"):
            store.conversations.get(conversation.id)
        raw.execute(f"UPDATE conversations SET {column} = ?", (kept,))
    assert store.conversations.get(conversation.id) == conversation


def test_a_schema_that_is_no_text_is_damage(path: Path) -> None:
    data = path.read_bytes()
    # Every copy: the first may lie in what a migration's rewriting of the schema has left free.
    path.write_bytes(data.replace(b"CREATE TABLE conversations (", b"CREATE TABLE conversations \xa0"))
    with pytest.raises(DatastoreError) as caught:
        Datastore.open(path)
    assert CorruptDatabaseError in (type(caught.value), type(caught.value.__cause__))


def _use_everything(store: Datastore, acknowledged: list[str]) -> None:
    """A call of each kind; notes what is stored once it returns."""

    def note(key: str) -> None:
        add(store, key)
        done.append(key)

    done: list[str] = []
    with store.transaction():
        note("outer")
        with store.transaction():
            note("inner")
        with suppress(KeyError), store.transaction():
            add(store, "undone")
            raise KeyError
        titles(store)
    acknowledged += done
    with suppress(KeyError), store.transaction():
        add(store, "undone")
        raise KeyError
    add(store, "alone")
    acknowledged.append("alone")
    with store.snapshot():
        titles(store)
    store.engine.pragma("page_count")
    store.engine.data_version()
    store.engine.checkpoint()
    titles(store)


def _close_at(store: Datastore, number: int) -> Callable[[], bool]:
    """Another thread closes the store at this thread's statement of that number, and interrupts it; whether it came to that."""
    session = store.engine._thread.connected()
    closer = threading.Thread(target=store.close)
    seen = itertools.count()

    def trace(statement: str) -> None:
        if next(seen) == number:
            closer.start()
            until(lambda: session.closing)
            session.connection.interrupt()

    session.connection.set_trace_callback(trace)

    def came() -> bool:
        if closer.ident is None:
            session.connection.set_trace_callback(None)
            return False
        closer.join(60)
        return True

    return came


def test_a_close_that_interrupts_any_statement_is_told_as_one(path: Path) -> None:
    for number in itertools.count():
        acknowledged: list[str] = []
        store = Datastore.open(path, durability="relaxed")
        came = _close_at(store, number)
        try:
            _use_everything(store, acknowledged)
        except Exception as error:
            kind: type[Exception] | None = type(error)
        else:
            kind = None
        if not came():
            break
        with pytest.raises(ClosedError):
            titles(store)
        with Datastore.open(path, durability="relaxed") as again:
            assert (number, kind, titles(again)) == (number, ClosedError, {*acknowledged})
            with again.transaction():
                for record in again.conversations.list():
                    again.conversations.soft_delete(record.id)
    assert kind is None
    assert number > 25
    store.close()


def test_a_wait_for_another_process_ends_when_the_store_is_closed(path: Path) -> None:
    """And whoever waits for the gate never has its file closed under it."""
    holder = Gate(f"{path}.gate")
    for waits in (lambda store: add(store, "a"), lambda store: store.engine.checkpoint()):
        store = Datastore.open(path, timeout=30)
        holder.acquire(10)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(waits, store)
            until(lambda store=store: any(session.at_work for session in store.engine._sessions))
            store.close()
            assert type(waiting.exception(20)) is ClosedError
        holder.release()
    holder.close()


def test_the_gate_is_not_closed_under_whoever_is_in_it(path: Path) -> None:
    store, other = Datastore.open(path), Gate(f"{path}.gate")
    entered, closed = threading.Event(), threading.Event()

    def work() -> None:
        with store.transaction():
            entered.set()
            assert closed.wait(60)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert entered.wait(60)
        store.close()
        with pytest.raises(BusyError):
            other.acquire(0.05)
        closed.set()
        assert type(working.exception(20)) is ClosedError
    other.acquire(10)
    other.release()
    other.close()
    assert store.engine.gate._file is None
