"""datastore.testing and its pytest plugin: docs/testing.md runs as it stands, and each database is as the template."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from datastore import Datastore, pytest_plugin
from datastore.errors import DatabaseError, InvalidValueError
from datastore.testing import FileTemplate, ServerTemplate, SettableClock, run_until_idle
from tests import postgresql
from tests.databases import rows
from tests.postgresql import server

BOTH_ENGINES = True

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")

#: A file is a line with its name, a blank line and a block.
FILES = dict(re.findall(r"(?m)^`([\w./-]+)`\n\n```\w+\n((?:.|\n)*?)^```$", PAGE))


def run(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DATASTORE", "CI"))}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=120, env={**kept, **more}
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


# The page.


def test_every_block_of_the_page_is_a_file_but_the_command() -> None:
    assert len(FILES) == len(re.findall(r"(?m)^```\w", PAGE)) - 1
    assert re.findall(r"(?m)^```console\n(.*)", PAGE) == [
        "$ DATASTORE_TEST_POSTGRES_URL=postgresql://postgres@localhost/postgres pytest -q"
    ]


def test_the_pages_tests_pass_on_both_engines(project: Path) -> None:
    done = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", DATASTORE_TEST_POSTGRES_URL=server())
    assert done.stdout.splitlines()[-1].startswith("11 passed"), done.stdout + done.stderr
    with psycopg.connect(server()) as connection:
        left = connection.execute("SELECT datname FROM pg_database").fetchall()
    ours = {int(name.split("_")[2]) for (name,) in left if re.match(r"datastore_(template|test)_\d+_", name)}
    assert ours <= running(), "a test run drops its databases"


def running() -> set[int]:
    """The processes that there are."""
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}


def test_the_page_names_every_fixture() -> None:
    there = {name for name in vars(pytest_plugin) if name.startswith("datastore_")}
    assert "datastore_store" in there
    assert there == set(re.findall(r"`(datastore_\w+)`", PAGE.partition("\n## ")[0]))


def test_without_a_server_tests_on_it_are_skipped_and_ci_fails(project: Path) -> None:
    pytest_run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_notes.py", "-k", "postgresql and log")
    assert run(project, *pytest_run).stdout.splitlines()[-1].startswith("1 skipped, 3 deselected")
    done = run(project, *pytest_run, CI="1")
    assert "set DATASTORE_TEST_POSTGRES_URL, or define the fixture datastore_server" in done.stdout
    assert done.returncode == 1


def test_the_pages_unittest_runs(project: Path) -> None:
    done = run(project, "-m", "unittest", "plain_tests")
    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr


def test_neither_needs_the_other(tmp_path: Path) -> None:
    blocked = run(tmp_path, "-c", "import sys; sys.modules['pytest'] = None; import datastore.testing")
    assert blocked.returncode == 0, blocked.stderr
    late = run(
        tmp_path, "-c", "import sys, datastore.pytest_plugin; print({'datastore.store', 'psycopg'} & {*sys.modules})"
    )
    assert late.stdout == "set()\n", "a test run that uses no fixture pays for none"


# The clock, and the worker.


def test_a_clock_stands_until_it_is_moved() -> None:
    clock = SettableClock()
    begun = clock()
    assert clock() == clock.now == begun
    clock.advance(1.5)
    clock.advance(timedelta(minutes=1))
    assert clock() - begun == timedelta(seconds=61.5)
    clock.now = datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert clock().year == 2030
    with pytest.raises(InvalidValueError, match="aware"):
        SettableClock(datetime(2030, 1, 1))


def test_a_worker_runs_until_idle(store: Datastore, clock: SettableClock) -> None:
    """What a handler enqueues for now runs too, what it enqueues for later does not."""
    store.jobs.enqueue("first")
    handlers = {
        "first": lambda task: (store.jobs.enqueue("second"), store.jobs.enqueue("second", delay=60), None)[-1],
        "second": lambda task: None,
    }
    assert run_until_idle(store, handlers) == 2
    clock.advance(60)
    assert run_until_idle(store, handlers, batch=10) == 1
    assert {(count.type, count.status): count.count for count in store.jobs.counts()} == {
        ("first", "succeeded"): 1,
        ("second", "succeeded"): 2,
    }


# SQLite.


def test_a_fresh_store_takes_at_most_ten_milliseconds(datastore_file_template: FileTemplate, tmp_path: Path) -> None:
    """Of CPU, the best of many: the machine may be busy with something else."""
    took = []
    for number in range(30):
        begun = time.process_time()
        with Datastore.open(datastore_file_template.copy(tmp_path / f"{number}.db"), durability="relaxed"):
            took.append(time.process_time() - begun)
    assert min(took) < 0.010, f"{min(took) * 1000:.1f} ms"


def test_a_copy_of_a_file_replaces_none(datastore_file_template: FileTemplate, tmp_path: Path) -> None:
    path = datastore_file_template.copy(tmp_path / "app.db")
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        datastore_file_template.copy(path)
    assert path.read_text() == "mine"


# PostgreSQL.


@pytest.fixture(scope="module")
def template() -> Iterator[ServerTemplate]:
    """One with a row that a migration has stored."""
    made = ServerTemplate(server())
    yield made
    made.close()


def fill(url: str) -> None:
    with Datastore.open(url, durability="relaxed") as store:
        conversation = store.conversations.add(sanitization_version="1")
        store.messages.append(conversation.id, role="user", content="x")
        store.jobs.enqueue("t")
        store.conversations.soft_delete(conversation.id)  # the audit log refuses deletions


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, and where the numbers go on."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for (name,) in names}
        return found | {
            "": connection.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1").fetchall()
        }


def number(url: str) -> int:
    """The database's own number: another one is another database."""
    with psycopg.connect(url) as connection:
        (found,) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or (
            0,
        )
    return int(found)


def test_a_database_is_cleared_in_place(template: ServerTemplate) -> None:
    url = template.fresh()
    before, first = content(url), number(url)
    for _ in range(2):
        fill(url)
        assert content(url) != before
        assert template.fresh() == url
        assert content(url) == before
    assert number(url) == first


def _new_column(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE conversations ADD COLUMN mine TEXT")


def _no_trigger(connection: psycopg.Connection) -> None:
    (name,) = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND NOT tgisinternal ORDER BY 1 LIMIT 1"
    ).fetchone() or ("",)
    connection.execute(f"DROP TRIGGER {name} ON messages")


def _no_index(connection: psycopg.Connection) -> None:
    connection.execute("CREATE INDEX mine ON messages (content)")


def _other_default(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE conversations ALTER COLUMN title SET DEFAULT 'untitled'")


def _other_function(connection: psycopg.Connection) -> None:
    connection.execute("CREATE FUNCTION mine() RETURNS INTEGER LANGUAGE SQL AS 'SELECT 1'")


def _no_check(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE conversations ADD CONSTRAINT mine CHECK (id <> 'x')")


@pytest.mark.parametrize("change", [_new_column, _no_trigger, _no_index, _other_default, _other_function, _no_check])
def test_another_schema_is_noticed_and_the_database_is_made_again(
    template: ServerTemplate, change: Callable[[psycopg.Connection], None]
) -> None:
    url = template.copy()
    before, first = content(url), number(url)
    with psycopg.connect(url) as connection:
        change(connection)
    template.restore(url)
    assert content(url) == before
    assert number(url) != first
    second = number(url)
    template.restore(url)
    assert number(url) == second


def test_a_lock_that_was_left_is_no_hindrance(template: ServerTemplate) -> None:
    url = template.fresh()
    first = number(url)
    with closing(psycopg.connect(url)) as left:  # its connection is ended
        left.execute("LOCK TABLE messages")
        assert template.fresh() == url
        assert number(url) != first


def test_a_role_that_is_no_superuser(template: ServerTemplate) -> None:
    """It may make databases, and not more: the copy is made again each time."""
    role = f"datastore_test_maker_{os.getpid()}"
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB")
    limited = ServerTemplate(f"{server()}{'&' if '?' in server() else '?'}options=-crole%3D{role}")
    try:
        url = limited.fresh()
        before, first = content(url), number(url)
        fill(url)
        assert limited.fresh() == url
        assert content(url) == before
        assert number(url) != first
    finally:
        limited.close()
        with psycopg.connect(server(), autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}")


def test_rows_that_migrations_store_are_put_back(tmp_path: Path) -> None:
    (tmp_path / "app-0001.kinds.sql").write_text(
        "-- depends: 0001.initial\n"
        "CREATE TABLE kinds (id INTEGER GENERATED ALWAYS AS IDENTITY, name TEXT, upper TEXT GENERATED ALWAYS AS (upper(name)) STORED);\n"
        "INSERT INTO kinds (name) VALUES ('tab\there'), (NULL);\n"
    )
    template = ServerTemplate(server(), [tmp_path])
    try:
        url = template.fresh()
        before, first = content(url), number(url)
        assert [row[1:] for row in before["kinds"]] == [("tab\there", "TAB\tHERE"), (None, None)]
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM kinds WHERE name IS NULL")
            connection.execute("INSERT INTO kinds (name) VALUES ('more')")
        assert template.fresh() == url
        assert content(url) == before
        assert number(url) == first
    finally:
        template.close()


def test_a_server_that_is_not_there_and_a_migration_that_fails(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="creating the database datastore_template_"):
        ServerTemplate("postgresql:///x?host=/nowhere")
    (tmp_path / "app-0001.wrong.sql").write_text("-- depends: 0001.initial\nCREATE TABLE conversations (id TEXT);\n")
    before = templates()
    with pytest.raises(DatabaseError):
        ServerTemplate(server(), [tmp_path])
    assert templates() == before


def templates() -> set[str]:
    with psycopg.connect(server()) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
    return {name for (name,) in found if name.startswith(f"datastore_template_{os.getpid()}_")}


def test_the_rows_of_one_test_are_not_the_next_ones(store: Datastore) -> None:
    assert store.conversations.count() == 0
    assert rows(store, "SELECT count(*) FROM job_queue") == [(0,)]


def test_a_test_run_that_another_one_started_leaves_the_shared_server_running() -> None:
    """Whoever named the folder stops the server; without a test run around it, a process stops its own."""
    program = (
        "import os; from tests import postgresql; postgresql.share(); url = postgresql.server();"
        " folder = os.environ.get(postgresql.FOLDER); postgresql.stop(); print(url, folder)"
    )
    for shared in (True, False):
        environment = {**os.environ}
        if not shared:
            environment.pop(postgresql.FOLDER, None)
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        url, folder = done.stdout.split()
        psycopg.connect(server()).close()
        if not shared:
            assert not Path(folder).exists()
            assert (url == server()) == ("DATASTORE_TEST_POSTGRES_URL" in os.environ)
