"""Bad input: each is a typed error that tells no value, and the store is usable afterwards."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore, Learning, NewMessage
from datastore.errors import (
    CheckError,
    ConstraintError,
    CorruptDatabaseError,
    CursorError,
    DatabaseMissingError,
    DatastoreError,
    DiskFullError,
    InvalidValueError,
    NotADatastoreError,
    NotFoundError,
    SchemaOutOfDateError,
    UniqueError,
)
from datastore.migrations import apply, rollback
from datastore.records import pages
from datastore.repositories import base, searching

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

SECRET = "swordfish"


def refused(store: Datastore, error: type[Exception], use: Callable[[], Any]) -> None:
    """*use* raises exactly *error*, without a value in its message, and changes nothing that is there."""
    before = store.conversations.count(), store.messages.count()
    with pytest.raises(error) as caught:
        use()
    assert SECRET not in str(caught.value)
    assert (store.conversations.count(), store.messages.count()) == before
    added = store.conversations.add(sanitization_version="1")
    store.messages.append(added.id, role="user", content="the store is usable")
    store.conversations.delete(added.id)


@pytest.mark.parametrize("id", ["nobody", "", SECRET, "x" * 100_000, "' OR 1 = 1 --"])
def test_unknown_ids(store: Datastore, id: str) -> None:
    for use in (
        store.conversations.get,
        store.messages.get,
        store.learnings.get,
        store.uploads.get,
        store.messages.delete,
        lambda id: store.messages.append(id, role="user", content="a"),
    ):
        refused(store, NotFoundError, lambda use=use: use(id))


@pytest.mark.parametrize("id", [None, 1.5, b"\xff", object(), ["a"], 2**70, "\ud800"])
def test_ids_of_another_type(store: Datastore, id: Any) -> None:
    refused(store, DatastoreError, lambda: store.conversations.get(id))


def test_duplicate_ids(store: Datastore, conversation: Conversation) -> None:
    store.conversations.add(id=SECRET, correlation_id=SECRET, sanitization_version="1")
    refused(store, UniqueError, lambda: store.conversations.add(id=SECRET, sanitization_version="1"))
    refused(store, UniqueError, lambda: store.conversations.add(correlation_id=SECRET, sanitization_version="1"))
    store.messages.append(conversation.id, id=SECRET, role="user", content="a")
    refused(store, UniqueError, lambda: store.messages.append(conversation.id, id=SECRET, role="user", content="a"))


TEXTS: list[tuple[str, type[Exception]]] = [
    ("", CheckError),
    (SECRET * 1_200_000, CheckError),
    (SECRET + "\x00", (ConstraintError, InvalidValueError)),  # type: ignore[list-item]
    ("\x00", (ConstraintError, InvalidValueError)),  # type: ignore[list-item]
    (SECRET + "\ud800", InvalidValueError),
]


@pytest.mark.parametrize(("content", "error"), TEXTS, ids=["empty", "10 MB", "NUL behind", "NUL", "surrogate"])
def test_content_that_cannot_be_kept(
    store: Datastore, conversation: Conversation, content: str, error: type[Exception]
) -> None:
    first = store.messages.append(conversation.id, role="user", content="a")
    refused(store, error, lambda: store.messages.append(conversation.id, role="user", content=content))
    refused(
        store, error, lambda: store.messages.append_many(conversation.id, [NewMessage(role="user", content=content)])
    )
    refused(store, error, lambda: store.messages.redact(first.id, content=content))
    refused(
        store,
        error,
        lambda: store.learnings.add(conversation_id=conversation.id, category="c", title="t", content=content),
    )
    assert store.messages.append(conversation.id, role="user", content="b").position == 2


@pytest.mark.parametrize("text", [f"{SECRET}\x00", f"{SECRET}\ud800", b"bytes", object()])
@pytest.mark.parametrize("field", ["id", "session_id", "correlation_id", "source", "title", "sanitization_version"])
def test_text_that_cannot_be_kept(store: Datastore, field: str, text: Any) -> None:
    refused(store, DatastoreError, lambda: store.conversations.add(**{"sanitization_version": "1", field: text}))


def test_a_naive_datetime(store: Datastore, conversation: Conversation) -> None:
    naive = datetime(2026, 1, 1)
    for use in (
        lambda: store.conversations.add(sanitization_version="1", created_at=naive),
        lambda: store.messages.append(conversation.id, role="user", content="a", created_at=naive),
        lambda: store.conversations.list(created_from=naive),
        lambda: store.messages.list_by_time(conversation.id, created_before=naive),
        lambda: store.conversations.purge(deleted_before=naive),
    ):
        refused(store, InvalidValueError, use)


@pytest.mark.parametrize("confidence", [math.nan, math.inf, -math.inf, "0.5", None, True, -0.1, 1.1])
def test_confidence_is_0_to_1(store: Datastore, learning: Learning, confidence: Any) -> None:
    refused(store, DatastoreError, lambda: store.learnings.update(learning.id, confidence=confidence))
    refused(
        store,
        DatastoreError,
        lambda: store.learnings.add(
            conversation_id=learning.conversation_id, category="c", title="t", content="x", confidence=confidence
        ),
    )
    assert store.learnings.get(learning.id) == learning


def test_metadata_that_is_no_json(store: Datastore, conversation: Conversation) -> None:
    for metadata in ({"a": math.nan}, {"a": {1}}, {1: 1}, {"a": f"{SECRET}\x00"}, {"a": f"{SECRET}\ud800"}):
        refused(store, InvalidValueError, lambda m=metadata: store.conversations.update(conversation.id, metadata=m))
    assert store.conversations.get(conversation.id).metadata == {}


# Cursors.


@pytest.fixture
def cursor(store: Datastore, conversation: Conversation) -> str:
    for content in "abc":
        store.messages.append(conversation.id, role="user", content=content)
    page = store.messages.list(conversation.id, max_rows=1)
    assert page.next is not None
    return page.next


def test_a_cursor_survives_json(store: Datastore, conversation: Conversation, cursor: str) -> None:
    again = json.loads(json.dumps({"after": cursor}))
    assert [message.content for message in store.messages.list(conversation.id, **again)] == ["b", "c"]


@pytest.mark.parametrize("cursor", ["", "x", "ä", "=", "AAAA", "A" * 100_000, "\x00", "\ud800", 1, b"AAAA", ["a"]])
def test_what_is_no_cursor(store: Datastore, conversation: Conversation, cursor: Any) -> None:
    refused(store, CursorError, lambda: store.messages.list(conversation.id, after=cursor))
    refused(store, CursorError, lambda: store.conversations.list(after=cursor))


def test_a_cursor_of_another_list(store: Datastore, conversation: Conversation, cursor: str) -> None:
    other = store.conversations.add(sanitization_version="1")
    refused(store, CursorError, lambda: store.messages.list(other.id, after=cursor))
    refused(store, CursorError, lambda: store.messages.list_by_time(conversation.id, after=cursor))
    refused(store, CursorError, lambda: store.conversations.list(after=cursor))


#: Sort keys that no page gives out; whoever knows how a cursor is sealed can seal them.
FORGED: list[tuple[str, Any]] = [
    ("deep nesting", "[" * 100_000 + "]" * 100_000),
    ("no list", 7),
    ("an object", {"a": 1}),
    ("too few", []),
    ("too many", [1, 2, 3]),
    ("another type", ["x"]),
    ("true", [True]),
    ("null", [None]),
    ("a fraction", [1.5]),
    ("more than 64 bits", [2**63]),
    ("less than 64 bits", [-(2**63) - 1]),
    ("thousands of digits", "[" + "9" * 5000 + "]"),
    ("no time", ["yesterday", "id"]),
    ("a time without a zone", ["2026-01-01T00:00:00", "id"]),
    ("a time of another form", ["2026-01-01T00:00:00+02:00", "id"]),
    ("a NUL", ["2026-01-01T00:00:00.000000Z", "a\x00b"]),
    ("a lone surrogate", '["2026-01-01T00:00:00.000000Z", "\\ud800"]'),
    ("no float", ["score", 1]),
    ("infinite", ["inf", 1]),
    ("NaN", ["nan", 1]),
    ("a float beyond all", ["0x1p99999", 1]),
    ("a rank and too large a place", ["0x1.0p+0", 2**64]),
]


@pytest.mark.parametrize("key", [key for _, key in FORGED], ids=[name for name, _ in FORGED])
def test_a_forged_cursor(
    store: Datastore, conversation: Conversation, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    lists: list[Callable[[str], Any]] = [
        lambda after: store.messages.list(conversation.id, after=after),
        lambda after: store.messages.list(conversation.id, before=after),
        lambda after: store.messages.list_by_time(conversation.id, after=after),
        lambda after: store.conversations.list(after=after),
        lambda after: store.learnings.list(after=after),
        lambda after: store.learnings.search("word", after=after),
        lambda after: store.messages.search("word", after=after),
        lambda after: store.jobs.list(after=after),
        lambda after: store.audit.list(after=after),
    ]
    body = (key if isinstance(key, str) else json.dumps(key)).encode()
    scopes: list[str] = []
    real = pages.decode_cursor

    def noted(scope: str, *rest: Any) -> Any:
        scopes.append(scope)
        return real(scope, *rest)

    for module in (base, searching):
        monkeypatch.setattr(module, "decode_cursor", noted)
    for use in lists:
        with pytest.raises(CursorError):
            use("AAAA")
        forged = base64.urlsafe_b64encode(pages._seal(scopes[-1], body) + body).decode()
        refused(store, CursorError, lambda use=use, forged=forged: use(forged))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 100), put=st.text(max_size=3), cut=st.integers(0, 3))
def test_a_changed_cursor_is_refused(
    store: Datastore, conversation: Conversation, cursor: str, place: int, put: str, cut: int
) -> None:
    place %= len(cursor)
    changed = cursor[:place] + put + cursor[place + cut :]
    try:
        page = store.messages.list(conversation.id, after=changed)
    except CursorError:
        return
    # Base64 leaves some last bits unused: the same place in other letters is the same place.
    assert [message.content for message in page] == ["b", "c"]
    assert changed.rstrip("=")[:-1] == cursor[:-1]


# Files.


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    for name in ("no.db", "no/folder/no.db"):
        with pytest.raises(DatabaseMissingError, match="migrate=True"):
            Datastore.open(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("database", ["", ":memory:", "a\x00b", "oracle://localhost/app", "mysql:///x"])
def test_what_names_no_file(database: str) -> None:
    with pytest.raises(InvalidValueError):
        Datastore.open(database)


def test_a_folder(tmp_path: Path) -> None:
    for migrate in (False, True):
        with pytest.raises(NotADatastoreError, match="folder"):
            Datastore.open(tmp_path, migrate=migrate)


@pytest.mark.parametrize("migrate", [False, True])
def test_a_file_that_is_no_database(tmp_path: Path, migrate: bool) -> None:
    file = tmp_path / "letter.txt"
    file.write_bytes(b"Dear reader,\n" * 1000)
    with pytest.raises((NotADatastoreError, CorruptDatabaseError)):
        Datastore.open(file, migrate=migrate)
    assert file.read_bytes() == b"Dear reader,\n" * 1000


def test_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    with pytest.raises(NotADatastoreError, match="empty"):
        Datastore.open(file)
    assert file.stat().st_size == 0


@pytest.mark.parametrize("make", [lambda file: None, Path.touch, apply])
def test_what_a_message_says_to_type_is_typed(tmp_path: Path, make: Callable[[Path], object]) -> None:
    folder = tmp_path / "a b%41?c'd"
    folder.mkdir()
    file = folder / "app's.db"
    make(file)
    if file.exists() and file.stat().st_size:
        rollback(file)
    with pytest.raises(DatastoreError) as refused:
        Datastore.open(file)
    command = str(refused.value)[str(refused.value).index("yoyo apply") :]
    ran = subprocess.run(f"{Path(sys.executable).parent}/{command}", shell=True, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    Datastore.open(file).close()


@pytest.mark.parametrize("application_id", [0, 252006673])
@pytest.mark.parametrize("migrate", [False, True])
def test_another_programs_database(tmp_path: Path, application_id: int, migrate: bool) -> None:
    file = tmp_path / "places.sqlite"
    connection = sqlite3.connect(file)
    connection.executescript(f"PRAGMA application_id = {application_id}; CREATE TABLE bookmarks (url TEXT);")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(NotADatastoreError):
        Datastore.open(file, migrate=migrate)
    assert file.read_bytes() == before


def test_an_old_schema_names_the_command(path: Path) -> None:
    [undone] = rollback(path)
    with pytest.raises(SchemaOutOfDateError, match=f"{undone}.*yoyo apply"):
        Datastore.open(path)
    with Datastore.open(path, migrate=True) as store:
        store.conversations.add(sanitization_version="1")


def test_a_newer_schema(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _yoyo_migration SELECT 'f00', '9999.future', applied_at_utc FROM _yoyo_migration LIMIT 1"
    )
    connection.commit()
    connection.close()
    with pytest.raises(SchemaOutOfDateError, match=r"9999\.future.*newer"):
        Datastore.open(path)


READ_ONLY = """
import os, sys
from datastore import Datastore
from datastore.errors import ReadOnlyDatabaseError
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    Datastore.open(sys.argv[1])
except ReadOnlyDatabaseError:
    print("refused")
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users on this system")
@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o777, 0o444), (0o555, 0o666)])
def test_a_file_or_folder_that_is_read_only(path: Path, folder_mode: int, file_mode: int) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        copy = Path(shutil.copy(path, folder))
        copy.chmod(file_mode)
        folder.chmod(folder_mode)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, str(copy)], capture_output=True, text=True, check=False)
        if "PermissionError" in done.stderr or "ModuleNotFoundError" in done.stderr:
            pytest.skip("the unprivileged user cannot read Python or the package here")
        assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr
        assert [file.name for file in folder.iterdir()] == [copy.name]
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.sqlite
def test_a_full_disk(store: Datastore, conversation: Conversation) -> None:
    store.engine.pragma(f"max_page_count({store.engine.pragma('page_count') + 3})")
    for _ in range(2):
        with pytest.raises(DiskFullError) as caught:
            store.messages.append(conversation.id, role="user", content=SECRET * 10_000)
        assert SECRET not in str(caught.value)
    assert store.messages.count(conversation.id) == 0
    store.engine.pragma("max_page_count(1000000)")
    assert store.messages.append(conversation.id, role="user", content=SECRET * 10_000).position == 1
    assert store.engine.pragma("integrity_check") == "ok"


def test_an_unknown_durability_is_refused(path: Path) -> None:
    with pytest.raises(InvalidValueError, match="full or relaxed"):
        Datastore.open(path, durability="none")  # type: ignore[arg-type]
