"""perf/statement_times.py: its database keeps every rule, and every statement gets arguments, on both engines."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore.contract.facts import ProjectFacts
from datastore.copy import copy
from tests import postgresql
from tests.acid.invariants import COUNTS

ROOT = Path(__file__).resolve().parent.parent
ROWS = 600

#: The live jobs of each batch and sequence, as job_groups has them.
GROUPS = """
SELECT 'batch', batch_id, count(*) FROM job_queue WHERE batch_id <> '' AND finished_at IS NULL GROUP BY batch_id
UNION ALL
SELECT 'sequence', sequence_key, count(*) FROM job_queue WHERE sequence_key <> '' AND finished_at IS NULL GROUP BY sequence_key
"""

#: How many live jobs of each sequence do not wait for another one.
HEADS = """
SELECT sequence_key, count(*) FROM job_queue
WHERE sequence_key <> '' AND finished_at IS NULL AND waits_for IS NOT 'sequence' GROUP BY sequence_key
"""

#: Messages of another conversation than the learning that they are the source of.
FOREIGN_SOURCES = """
SELECT learning_id, message_id FROM learning_messages
JOIN learnings ON learnings.id = learning_id JOIN messages ON messages.id = message_id
WHERE messages.conversation_id <> learnings.conversation_id
"""


@pytest.fixture(scope="module")
def perf() -> Iterator[Any]:
    """The script as a module; its neighbours are found beside it."""
    sys.path.insert(0, str(ROOT / "perf"))
    try:
        import statement_times

        yield statement_times
    finally:
        sys.path.remove(str(ROOT / "perf"))


@pytest.fixture(scope="module")
def database(perf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("times") / "small.db"
    perf.seeded(path, ROWS)
    return path


def test_the_database_keeps_every_rule_though_none_was_checked(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]  # CHECK constraints too
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for name in ("learnings_fts", "messages_fts"):
            connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
            connection.rollback()
        counted = connection.execute("SELECT type, status, job_count FROM job_counts ORDER BY 1, 2").fetchall()
        assert sorted(connection.execute(COUNTS)) == counted
        grouped = connection.execute("SELECT kind, name, live FROM job_groups ORDER BY 1, 2").fetchall()
        assert connection.execute(f"{GROUPS} ORDER BY 1, 2").fetchall() == grouped
        assert connection.execute(f"{HEADS} ORDER BY 1").fetchall() == [
            (name, 1) for kind, name, _ in grouped if kind == "sequence"
        ]
        assert connection.execute(FOREIGN_SOURCES).fetchall() == []
        counts = "SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id"
        wrong = f"SELECT id FROM conversations AS c WHERE message_count <> ({counts}) OR last_position <> message_count"
        assert connection.execute(wrong).fetchall() == []
        tags = "SELECT l.id, value FROM learnings AS l, json_each(l.tags) WHERE l.deleted_at IS NULL"
        indexed = connection.execute("SELECT learning_id, tag FROM learning_tags ORDER BY 1, 2").fetchall()
        assert connection.execute(f"{tags} ORDER BY 1, 2").fetchall() == indexed
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (ROWS,)


def test_every_statement_has_arguments_that_run(
    perf: Any, database: Path, facts: ProjectFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "CALLS", 2)
    monkeypatch.setattr(perf, "TRIED", 120)
    with closing(perf.Sqlite(database)) as engine:
        before = engine.connection.execute("SELECT count(*), max(updated_at) FROM conversations").fetchall()
        every = dict(perf.times(engine, engine.connection, facts))
        assert engine.connection.execute("SELECT count(*), max(updated_at) FROM conversations").fetchall() == before
        wanted = {
            name: {variant.which or "always" for variant in one.variants} for name, one in facts.statements.items()
        }
    assert {name: found.why for name, found in every.items() if found.why} == {}
    assert {name: {*found.times} for name, found in every.items()} == wanted
    assert sum(found.hit for found in every.values()) > 0.9 * len(every)


def test_postgresql_has_a_time_for_each_statement_that_it_shares(
    perf: Any, database: Path, facts: ProjectFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "CALLS", 1)
    monkeypatch.setattr(perf, "TRIED", 20)
    with postgresql.database("times") as url:
        copy(str(database), url)
        with (
            closing(perf.Sqlite(database)) as here,
            closing(perf.Postgresql(url)) as engine,
        ):
            every = dict(perf.times(engine, here.connection, facts))
            shared = facts.statements.keys() & engine.statements.keys()
    assert {name: found.why for name, found in every.items() if found.why} == {}
    assert every.keys() == shared
    assert sum(found.hit for found in every.values()) > 0.85 * len(every)


def test_a_statement_without_arguments_is_told_and_stops_nothing(
    perf: Any, database: Path, facts: ProjectFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "CALLS", 1)
    make = perf.Sampler._value

    def value(self: Any, facts: Any, parameter: Any, *rest: Any) -> Any:
        if parameter.name == "after_position":
            raise perf.NoSample("no rule makes a value for after_position (integer)")
        return "" if parameter.name == "sanitization_version" else make(self, facts, parameter, *rest)

    monkeypatch.setattr(perf.Sampler, "_value", value)
    with closing(perf.Sqlite(database)) as engine:
        three = {name: facts.statements[name] for name in ("add_conversation", "get_message", "list_messages_after")}
        found = perf.times(engine, engine.connection, attrs.evolve(facts, statements=three))
        every = {name: one.why for name, one in found}
    assert every == {
        "add_conversation": "IntegrityError: CHECK constraint failed: conversations_sanitization_version_check",
        "get_message": "",
        "list_messages_after": "no rule makes a value for after_position (integer)",
    }
