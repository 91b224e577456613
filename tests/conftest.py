"""What every test can ask for: a fresh store, its clock, a conversation, a raw connection."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from datastore import Conversation, Datastore, Learning
from datastore.testing import FileTemplate, ServerTemplate, SettableClock
from tests.memory import in_memory

if TYPE_CHECKING:
    from datastore.contract.facts import ProjectFacts

ROOT = Path(__file__).resolve().parents[1]

# Hundreds of programs are started here: each would compile the package again where the environment forbids bytecode files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """The workers of pytest-xdist, which this process starts, use one PostgreSQL server."""
    from tests.postgresql import share

    if memory := in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)  # of tmp_path
    share()
    if not hasattr(config, "workerinput") and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _end_in_order_at_sigterm()


def _end_in_order_at_sigterm() -> None:
    """As at Ctrl-C: what ends a run, `timeout` for one, must not leave a server in memory."""
    me = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() == me:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a fork of this process
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many workers ``-n logical`` starts: one more than processors, because many tests wait for a process or a lock."""
    return min((os.cpu_count() or 1) + 1, 8)


def pytest_unconfigure(config: pytest.Config) -> None:
    from tests.postgresql import stop

    stop()


# An example is judged by what it finds, never by how long it took: a test machine may be busy with something else.
settings.register_profile("datastore", deadline=None)
settings.load_profile("datastore")


#: What `RedactionRepository.add` needs besides the conversation.
REDACTION: dict[str, Any] = {
    "category": "email",
    "rule": "r",
    "detector": "d",
    "original_hash": "0" * 64,
    "replacement": "[EMAIL]",
    "confidence": 1.0,
}


def until(true: Callable[[], Any]) -> None:
    """Returns once it is *true*: what other threads and processes do is waited for, never timed."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


Clock = SettableClock


@pytest.fixture(scope="session")
def empty_database(datastore_file_template: FileTemplate, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database without rows, as bytes."""
    return datastore_file_template.copy(tmp_path_factory.mktemp("template") / "app.db").read_bytes()


@pytest.fixture
def path(datastore_database: Path) -> Path:
    """The file of a migrated, empty database."""
    return datastore_database


@pytest.fixture
def clock(datastore_clock: Clock) -> Clock:
    return datastore_clock


#: What only a file has: tests that ask for one of them are SQLite's.
FILES = {"path", "raw", "empty_database"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One conformance suite: in the modules that say so, each test of a store runs on both engines."""
    if getattr(metafunc.module, "BOTH_ENGINES", False) and "engine" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        both = not FILES & set(metafunc.fixturenames) and "sqlite" not in marks
        metafunc.parametrize("engine", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test runs on."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def datastore_engine(engine: str) -> str:
    return engine


@pytest.fixture(scope="session")
def datastore_server() -> str:
    from tests.postgresql import server

    return server()


@pytest.fixture(scope="session")
def datastore_server_template(datastore_server: str) -> ServerTemplate:
    from tests.postgresql import template

    return template()


@pytest.fixture
def datastore_database(datastore_database: Path | str) -> Path | str:
    if isinstance(datastore_database, Path):
        return datastore_database
    from tests.postgresql import for_stores

    return for_stores(datastore_database)


@pytest.fixture(scope="session")
def migrated_server(datastore_server_template: ServerTemplate) -> str:
    """The URL of a PostgreSQL database with the schema."""
    return datastore_server_template.fresh()


@pytest.fixture
def asynchronous(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the store of the tests is an asynchronous one; its calls that read are then watched."""
    if not os.environ.get("DATASTORE_TEST_ASYNC"):
        return False
    from tests.aio.driving import watch_reads

    watch_reads(monkeypatch)
    return True


@pytest.fixture
def store(asynchronous: bool, datastore_store: Datastore) -> Iterator[Datastore]:
    """An open store; relaxed, because no test here cuts the power. With DATASTORE_TEST_ASYNC, an asynchronous one."""
    if not asynchronous:
        yield datastore_store
        return
    from tests.aio.driving import DrivenStore

    driven = DrivenStore(datastore_store)
    yield driven  # type: ignore[misc]  # a test calls it like a synchronous one
    driven.shut_down()


@pytest.fixture(scope="session")
def facts() -> Iterator[ProjectFacts]:
    """What `datastore generate` and `datastore catalog` know of this project: read once, for nobody to change."""
    from datastore.contract.facts import read_facts
    from datastore.contract.project import find_project

    with read_facts(find_project(ROOT)) as facts:
        yield facts


@pytest.fixture
def conversation(store: Datastore) -> Conversation:
    return store.conversations.add(sanitization_version="1", session_id="session-1", source="test")


@pytest.fixture
def learning(store: Datastore, conversation: Conversation) -> Learning:
    return store.learnings.add(
        conversation_id=conversation.id, category="databases", title="WAL", content="Readers do not block writers."
    )


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of nobody's: what a person with the sqlite3 shell could do."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()
