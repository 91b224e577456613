"""A rollback destroys no hold, receipt, tombstone or audit entry unless somebody says so; and a log that was made again is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, migrations
from datastore.errors import RollbackRefusedError
from datastore.resources import migrations_folder
from tests.databases import everything

ENGINES = ["sqlite", "postgresql"]


@pytest.fixture
def database(engine: str, tmp_path: Path) -> Iterator[Any]:
    """A database of the test's own: a path or a URL."""
    if engine == "sqlite":
        yield tmp_path / "app.db"
        return
    from tests.postgresql import database

    with database("rollbacks") as url:
        yield url


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def filled(database: Any, keep: Callable[[Datastore, str], object]) -> list[str]:
    """Something that is to be kept, and the whole database as text."""
    with Datastore.open(database, migrate=True) as store:
        id = store.conversations.add(id="c", sanitization_version="1").id
        store.messages.append(id, role="user", content="something said")
        keep(store, id)
        return kept(store)


def kept(store: Datastore) -> list[str]:
    """The rows that no rollback may destroy, as text."""
    names = ("legal_holds", "erasures", "tombstones", "audit_log")
    rows = [f'INSERT INTO "{name}" ' for name in names] + [f"{name} (" for name in names]
    return [line for line in everything(store) if line.startswith(tuple(rows))]


def hold(store: Datastore, id: str) -> None:
    store.holds.place(id, reason="case 12")


def released(store: Datastore, id: str) -> None:
    store.holds.place(id, reason="case 12")
    store.holds.release(id)


def blocked(store: Datastore, id: str) -> None:
    assert store._parts.erasures.add("session", "0" * 64, status="blocked", actor="a", reason=None, receipt={})


def erased(store: Datastore, id: str) -> None:
    store.erase(conversation_id=id)


def logged(store: Datastore, id: str) -> None:
    store.conversations.soft_delete(id)


#: What is kept, and the step whose rollback would destroy it.
KEPT = [
    (hold, "0005.retention", "legal_holds_rollback_guard"),
    (released, "0005.retention", "legal_holds_rollback_guard"),
    (blocked, "0005.retention", "legal_holds_rollback_guard"),
    (erased, "0005.retention", "legal_holds_rollback_guard"),
    (logged, "0003.audit", "audit_log_rollback_guard"),
]


def steps_to(engine: str, step: str) -> int:
    ids = migrations.migration_ids(migrations_folder(engine))
    return len(ids) - ids.index(step)


@pytest.mark.parametrize(("keep", "step", "guard"), KEPT)
def test_a_rollback_is_refused(database: Any, engine: str, keep: Any, step: str, guard: str) -> None:
    before = filled(database, keep)
    steps = steps_to(engine, step)
    if steps > 1:  # the later steps keep nothing that is there
        migrations.rollback(database, steps=steps - 1)
    with pytest.raises(RollbackRefusedError, match=guard) as caught:
        migrations.rollback(database)
    assert "DATASTORE_ROLLBACK=destroy" in str(caught.value)
    migrations.apply(database)
    with Datastore.open(database) as store:
        assert before
        assert kept(store) == before
        assert not any(store.verify().values())


@pytest.mark.parametrize("scheme", ["datastore", "stock"])
def test_the_yoyo_command_line_refuses_and_is_allowed(
    database: Any, engine: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATASTORE_ROLLBACK", raising=False)
    filled(database, hold)
    kind = {"sqlite": ("sqlite+datastore", "sqlite"), "postgresql": ("postgresql+datastore", "postgresql+psycopg")}
    place = f"///{database.absolute()}" if engine == "sqlite" else f"//{str(database).partition('://')[2]}"
    uri = f"{kind[engine][scheme == 'stock']}:{place}"
    command = [sys.executable, "-m", "yoyo", "rollback", "--batch", "--no-config-file", "--database", uri]
    command += ["--revision", "0005.retention", str(migrations_folder(engine))]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "legal_holds_rollback_guard" in refused.stderr
    migrations.apply(database)  # the later steps were rolled back
    with Datastore.open(database) as store:
        assert len(list(store.holds.iterate())) == 1
    if scheme == "stock":
        return  # it knows of no environment variable
    monkeypatch.setenv("DATASTORE_ROLLBACK", "destroy")
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    ids = migrations.migration_ids(migrations_folder(engine))
    assert migrations.apply(database) == ids[ids.index("0005.retention") :]
    with Datastore.open(database) as store:
        assert list(store.holds.iterate()) == []


def test_another_word_allows_nothing(database: Any, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_ROLLBACK", "yes")
    filled(database, hold)
    with pytest.raises(RollbackRefusedError):
        migrations.rollback(database, steps=steps_to(engine, "0005.retention"))


def test_a_database_that_keeps_nothing_is_rolled_back(database: Any, engine: str) -> None:
    filled(database, lambda *_: None)
    assert len(migrations.rollback(database, all=True)) == len(migrations.migration_ids(migrations_folder(engine)))


@pytest.mark.parametrize("entries", [0, 1, 4])
def test_verify_tells_a_log_that_was_made_again(
    database: Any, engine: str, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(database, lambda store, id: [store.audit.record("purge", subject_type="job", subject_id="1") for _ in "123"])
    monkeypatch.setenv("DATASTORE_ROLLBACK", "destroy")
    migrations.rollback(database, steps=steps_to(engine, "0003.audit"))
    migrations.apply(database)
    with Datastore.open(database) as store:
        for number in range(entries):
            store.audit.record("purge", subject_type="job", subject_id=f"{number}")
        assert store.audit.count() == entries
        (problem, *_) = store.verify()["audit chain"]
        assert "missing" in problem


def test_the_number_of_the_log_only_grows(database: Any) -> None:
    from tests.databases import rows

    filled(database, logged)
    with Datastore.open(database) as store:
        for forged in (
            "UPDATE audit_log_counter SET last_id = 0",
            "DELETE FROM audit_log_counter",
            "INSERT OR REPLACE INTO audit_log_counter VALUES ('audit_log', 0)"
            if store.engine.name == "sqlite"
            else "TRUNCATE audit_log_counter",
        ):
            with pytest.raises(Exception, match="audit_log_counter_forward"):
                rows(store, forged)
        assert store.audit.high_water() == 1
