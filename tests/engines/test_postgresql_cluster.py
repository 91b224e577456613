"""Servers that are killed: what was acknowledged is there again, a standby is read from, promoted and written to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from datastore.errors import DatabaseError, DatastoreError, InvalidValueError, ReadOnlyDatabaseError
from tests.acid.work import WHOLE, write_unit
from tests.cluster import Cluster, Node, cluster

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@contextmanager
def units(url: str, prefix: str = "u", **options: Any) -> Iterator[list[str]]:
    """The names of the units that a thread has written and that were acknowledged, as they grow; it ends with the server."""
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        try:
            with Datastore.open(url, timeout=5, **options) as store:
                for number in range(100_000):
                    if stop.is_set():
                        return
                    write_unit(store, f"{prefix}{number}")
                    acknowledged.append(f"{prefix}{number}")
        except DatastoreError:
            return  # the server was killed

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        thread.join()


def written(node: Node) -> set[str]:
    """The units that are there; asserts that each is whole, and the database sound."""
    with Datastore.open(node.url()) as store:
        assert not any(store.verify().values())
    parts: dict[str, dict[str, int]] = {}
    for table, column in (
        ("conversations", "id"), ("messages", "conversation_id"), ("learnings", "conversation_id"),
        ("uploads", "destination"), ("job_queue", "dedupe_key"), ("audit_log", "subject_id"),
    ):  # fmt: skip
        counted = node.execute(f"SELECT {column}, count(*)::int FROM {table} WHERE {column} LIKE 'u%' GROUP BY 1")
        parts[table] = dict(counted)  # type: ignore[arg-type]
    for table, found in parts.items():
        assert found == dict.fromkeys(parts["conversations"], WHOLE[table]), table
    return {*parts["conversations"]}


def wait_until(what: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def migrate(node: Node) -> None:
    Datastore.open(node.url(), migrate=True).close()


def test_a_killed_server_has_all_that_it_acknowledged(servers: Cluster) -> None:
    node = servers.primary()
    migrate(node)
    known: set[str] = set()
    for prefix in ("ua", "ub", "uc", "ud"):
        before = len(known)
        with units(node.url(), prefix) as acknowledged:
            wait_until(lambda some=acknowledged: len(some) > 20)
            node.kill()
        node.start()
        known |= {*acknowledged}
        found = written(node)
        assert found >= known
        assert len(found) <= len(known) + 4  # of each round the one that was on its way
        assert len(known) > before + 20


def test_relaxed_durability_loses_the_newest_and_breaks_nothing(servers: Cluster) -> None:
    """The test above can fail: without the wait for the disk, what was acknowledged is gone, as docs/scaling.md says."""
    node = servers.primary(autovacuum="off", bgwriter_lru_maxpages="0")
    migrate(node)
    node.execute("CHECKPOINT")
    with units(node.url(), durability="relaxed") as acknowledged:
        wait_until(lambda: len(acknowledged) > 5)
        (writer,) = node.processes("walwriter")
        os.kill(writer, signal.SIGSTOP)  # nobody else writes the log of a commit that does not wait for it
        seen = len(acknowledged)
        wait_until(lambda: len(acknowledged) > seen + 20)
        node.kill()
    node.start()
    assert len(written(node)) < len(acknowledged)


def test_a_standby_is_read_from(servers: Cluster) -> None:
    primary = servers.primary()
    migrate(primary)
    standby = servers.standby(primary)
    with Datastore.open(primary.url(), replica=standby.url()) as store:
        store.conversations.add(id="c", sanitization_version="1")
        (position,) = primary.execute("SELECT pg_current_wal_lsn()")[0]
        wait_until(lambda: standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0])
        with store.snapshot():
            assert store.conversations.get("c").id == "c"
        standby.execute("SELECT pg_wal_replay_pause()")
        store.messages.append("c", role="user", content="not there yet")
        with store.snapshot():
            assert store.messages.count("c") == 0  # the replica's view: a moment behind
        assert store.messages.count("c") == 1
        with store.transaction():
            store.messages.append("c", role="user", content="in a transaction")
            with store.snapshot():
                assert store.messages.count("c") == 2  # inside a transaction it is that transaction's
        standby.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: standby.execute("SELECT count(*) FROM messages")[0][0] == 2)
    with Datastore.open(standby.url()) as store:
        assert store.messages.count("c") == 2
        assert [hit.message.content for hit in store.messages.search("transaction")] == ["in a transaction"]
        with pytest.raises(ReadOnlyDatabaseError):
            store.messages.append("c", role="user", content="no")
    with pytest.raises(InvalidValueError, match="replica"):
        Datastore.open("app.db", replica=standby.url())
    standby.kill()
    with pytest.raises(DatabaseError, match="opening the replica"):
        Datastore.open(primary.url(), replica=standby.url())


def test_a_promoted_standby_goes_on_and_has_all_that_was_acknowledged(servers: Cluster) -> None:
    primary = servers.primary()
    migrate(primary)
    standby = servers.standby(primary)
    wait_until(lambda: primary.execute("SELECT count(*) FROM pg_stat_replication")[0][0] == 1)
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "postgres")
    primary.execute("SELECT pg_reload_conf()", "postgres")
    wait_until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication")[0][0] == "sync")
    both = (
        f"postgresql:///datastore?host={primary.folder},{standby.folder}&user=postgres&target_session_attrs=read-write"
    )
    with Datastore.open(both, timeout=10) as store:
        store.conversations.add(id="before", sanitization_version="1")
        with units(primary.url()) as acknowledged:
            wait_until(lambda: len(acknowledged) > 40)
            primary.kill()
        standby.promote()
        # The same store goes on with the new primary: the connection that was lost is replaced.
        wait_until(lambda: _works(store))
        store.conversations.add(id="after", sanitization_version="1")
        assert {store.conversations.get(id).id for id in ("before", "after")} == {"before", "after"}
    found = written(standby)
    assert {*acknowledged} <= found


def _works(store: Datastore) -> bool:
    try:
        store.conversations.count()
    except DatastoreError:
        return False
    return True


def test_without_synchronous_replication_a_promotion_loses_commits(servers: Cluster) -> None:
    """The test above can fail: a standby that had stopped listening lacks what was acknowledged meanwhile."""
    primary = servers.primary()
    migrate(primary)
    standby = servers.standby(primary)
    wait_until(lambda: primary.execute("SELECT count(*) FROM pg_stat_replication")[0][0] == 1)
    with units(primary.url()) as acknowledged:
        wait_until(lambda: len(acknowledged) > 5)
        (receiver,) = standby.processes("walreceiver")
        os.kill(receiver, signal.SIGSTOP)
        seen = len(acknowledged)
        wait_until(lambda: len(acknowledged) > seen + 20)
        primary.kill()
        os.kill(receiver, signal.SIGKILL)
    standby.kill()
    standby.start()  # as after a crash of its own
    standby.promote()
    assert not {*acknowledged} <= written(standby)


def test_the_servers_are_where_they_say(servers: Cluster) -> None:
    node = servers.primary()
    assert Path(str(node.execute("SHOW data_directory")[0][0])) == node.data
