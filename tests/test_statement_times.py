"""perf/statement_times.py: its database keeps every rule, and every statement gets arguments."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore.contract.facts import read_facts
from datastore.contract.project import find_project

ROOT = Path(__file__).resolve().parent.parent
ROWS = 600


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
    perf.fill(path, ROWS, ROOT / "migrations/sqlite")
    return path


def test_the_database_keeps_every_rule_though_none_was_checked(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]  # CHECK constraints too
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for name in ("learnings_fts", "messages_fts"):
            connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
            connection.rollback()
        ended = "SELECT type, status, count(*) FROM job_queue WHERE finished_at <> '' GROUP BY 1, 2 ORDER BY 1, 2"
        counted = connection.execute("SELECT type, status, job_count FROM job_counts ORDER BY 1, 2").fetchall()
        assert connection.execute(ended).fetchall() == counted
        counts = "SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id"
        wrong = f"SELECT id FROM conversations AS c WHERE message_count <> ({counts}) OR last_position <> message_count"
        assert connection.execute(wrong).fetchall() == []
        tags = "SELECT l.id, value FROM learnings AS l, json_each(l.tags) WHERE l.deleted_at IS NULL"
        indexed = connection.execute("SELECT learning_id, tag FROM learning_tags ORDER BY 1, 2").fetchall()
        assert connection.execute(f"{tags} ORDER BY 1, 2").fetchall() == indexed
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (ROWS,)


def test_every_statement_has_arguments_that_run(perf: Any, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "CALLS", 2)
    monkeypatch.setattr(perf, "TRIED", 120)
    with read_facts(find_project(ROOT)) as facts, closing(perf.connect(database)) as connection:
        before = connection.execute("SELECT count(*), max(updated_at) FROM conversations").fetchall()
        every = list(perf.times(connection, facts))
        assert connection.execute("SELECT count(*), max(updated_at) FROM conversations").fetchall() == before
        wanted = {
            name: {variant.which or "always" for variant in one.variants} for name, one in facts.statements.items()
        }
    assert {name: why for name, _, why, _ in every if why} == {}
    assert {name: {*choices} for name, choices, _, _ in every} == wanted
    found = [name for name, _, _, hit in every if hit]
    assert len(found) > 0.9 * len(every)


def test_a_statement_without_arguments_is_told_and_stops_nothing(
    perf: Any, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "CALLS", 1)
    make = perf.Sampler._value

    def value(self: Any, facts: Any, parameter: Any, *rest: Any) -> Any:
        if parameter.name == "after_position":
            raise perf.NoSample("no rule makes a value for after_position (integer)")
        return "no such role" if parameter.name == "role" else make(self, facts, parameter, *rest)

    monkeypatch.setattr(perf.Sampler, "_value", value)
    with read_facts(find_project(ROOT)) as facts, closing(perf.connect(database)) as connection:
        three = {name: facts.statements[name] for name in ("append_message", "get_message", "list_messages_after")}
        every = {name: why for name, _, why, _ in perf.times(connection, attrs.evolve(facts, statements=three))}
    assert every == {
        "append_message": "IntegrityError: CHECK constraint failed: messages_role_check",
        "get_message": "",
        "list_messages_after": "no rule makes a value for after_position (integer)",
    }


def test_the_file_has_a_line_a_statement(perf: Any) -> None:
    result = {"rows": [1], "statements": {"b": {"always": {"1": [1.0, 2.0]}}, "a": {}}, "not_timed": {}}
    text = perf.write(result)
    assert json.loads(text) == result
    assert '    "a": {},\n    "b": {"always": {"1": [1.0, 2.0]}}\n' in text


def test_another_size_is_added_to_a_file_of_the_same_commit_only(perf: Any) -> None:
    before = {"commit": "a", "machine": "m", "versions": {}, "rows": [10], "statements": {"one": {}}}
    now = {"commit": "a", "machine": "m", "versions": {}, "rows": [5, 10], "statements": {}}
    assert perf.kept(before, now) == {**before, "rows": [5, 10]}
    with pytest.raises(SystemExit, match="another commit"):
        perf.kept(before, {**now, "commit": "b"})
