"""Steps on a PostgreSQL that others use: whose locks they wait for, what waits for them, and what is left if they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datastore import Datastore, migrations
from datastore.errors import BusyError
from datastore.resources import migrations_folder
from tests.conftest import until
from tests.postgresql import database

LIBRARY = migrations_folder("postgresql")
IDS = migrations.migration_ids(LIBRARY)

#: A conversation and an append to it, on the schema of every step, with the locks that the library's own append takes.
CONVERSATION = "INSERT INTO conversations (id, source, sanitization_version, created_at, updated_at) VALUES (%s, 's', '1', now(), now())"
APPEND = """
WITH conversation AS MATERIALIZED (SELECT id, last_position FROM conversations WHERE id = %s FOR UPDATE)
INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, created_at)
SELECT gen_random_uuid()::text, id, last_position + 1, 'user', 'x', repeat('0', 64), 1, now() FROM conversation
"""


@pytest.fixture
def url() -> Iterator[str]:
    with database("load") as made:
        migrations.apply(made)
        yield made


class Clients:
    """Threads that append to a conversation each, and delete one, until they are stopped."""

    def __init__(self, url: str, count: int) -> None:
        self.url = f"{url}&options=-cdeadlock_timeout%3D1s"  # as a server has it; that of the tests is impatient
        self.errors: list[str] = []
        #: The longest time that one transaction took, in seconds.
        self.longest = 0.0
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[f"c{number}"]) for number in range(count)]

    def _run(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for number in range(1_000_000):
                if self._stop.is_set():
                    return
                begun = time.monotonic()
                id = f"{name}-{number // 20}"
                try:
                    if number % 20 == 0:
                        connection.execute(CONVERSATION, [id])
                    with connection.transaction():
                        connection.execute(APPEND, [id])
                        connection.execute(APPEND, [id])
                    if number % 20 == 19:
                        connection.execute("DELETE FROM conversations WHERE id = %s", [id])
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.longest = max(self.longest, time.monotonic() - begun)
                self.done += 1

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        until(lambda: self.done > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("first", range(2, len(IDS)))
def test_no_client_notices_a_step_or_its_rollback(url: str, first: int) -> None:
    with Clients(url, 6) as clients:
        for _ in range(3):
            assert len(migrations.rollback(url, steps=len(IDS) - first, allow_loss=True)) == len(IDS) - first
            assert migrations.apply(url) == IDS[first:]
        before = clients.done
        until(lambda: clients.done > before + 20)
    assert clients.errors == []
    assert clients.longest < 2


def start(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "yoyo", *arguments, "--batch", "--no-config-file", "--database"]
    return subprocess.Popen(
        [*command, url.replace("://", "+datastore://"), str(LIBRARY)], stderr=subprocess.PIPE, text=True
    )


def waiting(url: str) -> list[tuple[Any, ...]]:
    """The migrations that wait for a lock."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'datastore migrations' AND wait_event_type = 'Lock'"
        ).fetchall()


def test_while_a_step_waits_for_an_idle_transaction_the_others_go_on(url: str) -> None:
    migrations.rollback(url, steps=len(IDS) - IDS.index("0004.search"))
    with psycopg.connect(url, application_name="forgotten") as idle, Clients(url, 2) as clients:
        process = idle.info.backend_pid
        idle.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        applying = start(url, "apply")
        until(lambda: waiting(url))
        before = clients.done
        until(lambda: clients.done > before + 200)
        assert applying.poll() is None
        idle.rollback()
        told = applying.communicate(timeout=60)[1]
    assert applying.returncode == 0, told
    assert "applying migration 0004.search: a table is locked; trying again (the oldest transaction is that of" in told
    assert f"server process {process}, forgotten" in told
    assert clients.errors == []
    assert clients.longest < 2.5
    with Datastore.open(url) as store:
        assert store.verify()


def test_a_step_that_never_gets_its_lock_ends_with_an_error(url: str) -> None:
    migrations.rollback(url)
    with psycopg.connect(url) as idle:
        idle.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        with pytest.raises(BusyError, match=rf"applying migration {IDS[-1]}: a table was locked for 0\.5 s"):
            migrations.apply(url, timeout=0.5)
    assert migrations.apply(url) == IDS[-1:]


@pytest.fixture
def steps(tmp_path: Path) -> Callable[..., Path]:
    def make(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"app-{name.replace('_', '.')}.sql").write_text(text, encoding="utf-8")
        return tmp_path

    return make


@pytest.mark.parametrize("kind", ["", "-- transactional: false\n"])
def test_nothing_is_left_of_a_killed_client(url: str, steps: Callable[..., Path], kind: str) -> None:
    """Its statement ends, with the locks that it has: on the table, and against other migrations."""
    begin = kind or "LOCK TABLE messages;\n"
    folder = steps(a=f"{begin}SELECT pg_sleep(300);", b="SELECT 1;")
    code = "import sys; from datastore import migrations; migrations.apply(sys.argv[1], *map(__import__('pathlib').Path, sys.argv[2:]))"
    killed = subprocess.Popen([sys.executable, "-c", code, url, str(LIBRARY), str(folder)])

    def sleeping() -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(
                "SELECT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()"
            ).fetchall()

    until(lambda: sleeping())
    assert sleeping() == [("datastore migrations",)]
    with pytest.raises(BusyError, match="another process has been migrating"):
        migrations.apply(url, LIBRARY, folder, timeout=0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    begun = time.monotonic()
    steps(a="SELECT 1;")
    assert migrations.apply(url, LIBRARY, folder) == ["app-a", "app-b"]
    assert time.monotonic() - begun < 10
    assert sleeping() == []


def test_a_step_without_a_transaction_resumes_after_its_index_failed(url: str, steps: Callable[..., Path]) -> None:
    folder = steps(
        a="-- transactional: false\nCREATE TABLE IF NOT EXISTS facts (n INTEGER);\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS facts_n_idx ON facts (n);\n"
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS facts_n_key ON facts (n);"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE facts (n INTEGER)")
        connection.execute("INSERT INTO facts VALUES (1), (1)")
        with pytest.raises(Exception, match="applying migration app-a"):
            migrations.apply(url, LIBRARY, folder)
        invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        assert connection.execute(invalid).fetchall() == [("facts_n_key",)]
        connection.execute("DELETE FROM facts")
        assert migrations.apply(url, LIBRARY, folder) == ["app-a"]
        assert connection.execute(invalid).fetchall() == []
        found = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'facts' ORDER BY 1").fetchall()
        assert found == [("facts_n_idx",), ("facts_n_key",)]


def test_the_loss_is_told_before_it_happens(url: str) -> None:
    """On yoyo's command line in batch mode too, which asks nothing."""
    done = start(url, "rollback")
    told = done.communicate(timeout=60)[1]
    assert done.returncode == 0
    first = (LIBRARY / f"{IDS[-1]}.rollback.sql").read_text(encoding="utf-8").partition("\n")[0].removeprefix("-- ")
    assert f"rolling back {IDS[-1]} {first}" in told
    assert first.startswith("LOSES DATA")
