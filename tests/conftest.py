"""What every test can ask for: a fresh store, its clock, a conversation, a raw connection."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from datastore import Conversation, Datastore, Learning
from datastore.migrations import apply

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example is judged by what it finds, never by how long it took: a test machine may be busy with something else.
settings.register_profile("datastore", deadline=None)
settings.load_profile("datastore")


#: What `AuditRepository.add_redaction` needs besides the conversation.
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


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database without rows, as bytes: copying it is faster than migrating each time."""
    path = tmp_path_factory.mktemp("template") / "app.db"
    apply(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, empty_database: bytes) -> Path:
    """The file of a migrated, empty database."""
    path = tmp_path / "app.db"
    path.write_bytes(empty_database)
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


@pytest.fixture(scope="session")
def migrated_server() -> Iterator[str]:
    """The URL of a PostgreSQL database with the schema."""
    from tests.postgresql import migrated

    with migrated() as url:
        yield url


@pytest.fixture
def store(engine: str, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Datastore]:
    """An open store; relaxed, because no test here cuts the power."""
    if engine == "sqlite":
        where: str | Path = request.getfixturevalue("path")
    else:
        from tests.postgresql import empty, for_stores

        url = request.getfixturevalue("migrated_server")
        empty(url)
        where = for_stores(url)
    with Datastore.open(where, clock=clock, durability="relaxed") as store:
        yield store


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
