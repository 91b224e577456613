"""A database whose rows arrived without its migrations: docs/after-restore.sql, run with psql, makes it work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.cluster import NAME, binaries, cluster
from tests.conftest import until
from tests.engines.test_roles import psql
from tests.postgresql import database, migrated

SCRIPT = Path(__file__).resolve().parents[2] / "docs/after-restore.sql"


def fill(url: str) -> str:
    """Rows that need triggers and sequences; the id of their conversation."""
    with Datastore.open(url) as store:
        id = store.conversations.add(sanitization_version="1", source="bot").id
        for number in range(3):
            store.messages.append(id, role="user", content=f"readers block nobody {number}")
        store.learnings.add(conversation_id=id, category="c", title="t", content="writers queue", tags=["a"])
        store.jobs.enqueue("t")
        job = store.jobs.claim(worker="w")
        assert job is not None
        store.jobs.succeed(job)
        other = store.conversations.add(sanitization_version="1").id
        store.conversations.soft_delete(other)
    return id


def use(url: str, id: str) -> None:
    """Everything that a wrong sequence or a function that looks into another schema would break."""
    with Datastore.open(url) as store:
        assert store.messages.append(id, role="user", content="after the restore").position == 4
        assert store.conversations.get(id).message_count == 4
        learned = store.learnings.add(conversation_id=id, category="c", title="u", content="later", tags=["b"])
        assert [one.id for one in store.learnings.list(tag="b").items] == [learned.id]
        assert [hit.message.content for hit in store.messages.search("restore").items] == ["after the restore"]
        before = store.audit.high_water()
        store.messages.delete(store.messages.list(id).items[0].id)
        assert store.audit.high_water() == before + 1
        store.jobs.enqueue("t")
        job = store.jobs.claim(worker="w")
        assert job is not None
        store.jobs.succeed(job)
        store.holds.place(id, reason="case")
        store.holds.release(id)
        assert not any(store.verify().values())


def complete(url: str, schema: str) -> None:
    head = SCRIPT.read_text(encoding="utf-8")
    assert "psql -v schema=public -f docs/after-restore.sql DATABASE" in head
    for _ in range(2):
        command = [psql(), "-X", "-q", "-v", f"schema={schema}", "-f", str(SCRIPT), url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def pg_dump(url: str) -> Path:
    """The pg_dump of the server's version: another one refuses, or writes settings that the server does not know."""
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10000
    found = sorted(binaries().parent.parent.glob("pginstall*/bin/pg_dump"))
    for path in found:
        if f" {major}." in subprocess.run([str(path), "--version"], capture_output=True, text=True).stdout:
            return path
    pytest.skip(f"no pg_dump of version {major}")


def dump(url: str, *options: str) -> str:
    command = [str(pg_dump(url)), "--no-owner", *options, "-d", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(url: str, text: str) -> None:
    command = [psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_restore_into_another_schema() -> None:
    with migrated() as source, database("restored") as target:
        id = fill(source)
        load(target, dump(source))
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute("ALTER SCHEMA public RENAME TO elsewhere")
        there = f"{target}&options=-csearch_path%3Delsewhere"
        with pytest.raises(DatastoreError):
            use(there, id)  # its functions look into public
        complete(target, "elsewhere")
        use(there, id)


def test_a_restore_into_the_same_schema_needs_nothing() -> None:
    with migrated() as source, database("restored") as target:
        id = fill(source)
        load(target, dump(source))
        use(target, id)
        complete(target, "public")


def test_logical_replication() -> None:
    with cluster() as servers:
        primary = servers.primary(wal_level="logical")
        primary.execute("CREATE DATABASE second", "postgres")
        first, second = primary.url(), primary.url("second")
        Datastore.open(first, migrate=True).close()
        id = fill(first)
        load(second, dump(first, "--schema-only"))
        primary.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        primary.execute("SELECT pg_create_logical_replication_slot('moving', 'pgoutput')")
        options = "create_slot = false, slot_name = 'moving'"
        source = f"host={primary.folder} user=postgres dbname={NAME}"
        primary.execute(
            f"CREATE SUBSCRIPTION moving CONNECTION '{source}' PUBLICATION everything WITH ({options})", "second"
        )
        with Datastore.open(first) as store:
            store.messages.delete(store.messages.list(id).items[1].id)
            last = store.messages.append(id, role="user", content="streamed").id
        until(lambda: primary.execute(f"SELECT 1 FROM messages WHERE id = '{last}'", "second"))
        synchronized = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_subscription_rel WHERE srsubstate <> 'r')"
        until(lambda: primary.execute(synchronized, "second"))
        for text in ("DISABLE", "SET (slot_name = NONE)"):
            primary.execute(f"ALTER SUBSCRIPTION moving {text}", "second")
        primary.execute("DROP SUBSCRIPTION moving", "second")
        with pytest.raises(DatastoreError), Datastore.open(second) as store:
            store.conversations.add(sanitization_version="1")  # its sequence begins at 1
        complete(second, "public")
        with Datastore.open(second) as store:
            assert [message.content[-8:] for message in store.messages.list(id).items] == [
                "nobody 0",
                "nobody 2",
                "streamed",
            ]
            assert store.messages.append(id, role="user", content="more").position == 5
            assert store.conversations.add(sanitization_version="1")
            store.jobs.enqueue("t")
            assert not any(store.verify().values())
