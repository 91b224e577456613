"""The matrix itself: every mutant is in some suite's list, every suite has mutants, and every edit still changes a file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acid import mutants, shim
from tests.acid.child import ROOT, run_body
from tests.acid.matrix import Red
from tests.acid.mutants import MUTANTS, Edit, Mutant, Sql, StaleMutant, edited
from tests.acid.page import mutants_in_words
from tests.acid.report import ANOMALIES, Report

SUITES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_matrix")

#: Their mutants are no edits: another backend, a copy of a live file.
BY_HAND = {"test_backup", "test_migration_crashes"}


def listed(suite: str) -> list[Red]:
    """The mutants in a suite's lists."""
    module = importlib.import_module(f"tests.acid.{suite}")
    marks = [mark for value in vars(module).values() for mark in getattr(value, "pytestmark", []) if callable(value)]
    values = [value for mark in marks if mark.name == "parametrize" for value in mark.args[1]]
    return [value.values[0] for value in values if isinstance(getattr(value, "values", [None])[0], Red)]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_has_mutants(suite: str) -> None:
    assert listed(suite) or suite in BY_HAND


def test_every_mutant_is_listed() -> None:
    assert {red.mutant for suite in SUITES for red in listed(suite)} == set(MUTANTS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_a_tiny_change(name: str) -> None:
    for file, text in edited(name).items():
        assert text != (ROOT / file).read_text(encoding="utf-8")
    for edit in MUTANTS[name].edits:
        assert sum(abs(len(part)) for part in (edit.old, edit.new)) < 1000


def test_the_page_has_the_mutants_as_they_are() -> None:
    """docs/acid.md is written after hours of running; its mutants are not older than those in the code."""
    assert mutants_in_words() in (ROOT / "docs/acid.md").read_text(), "make acid"


def test_a_mutant_that_changes_nothing_any_more_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Mutant("stale", "engine", (Edit("datastore/errors.py", "no such text", "x"),))
    monkeypatch.setitem(MUTANTS, "stale", stale)
    with pytest.raises(StaleMutant, match="0 times"):
        edited("stale")


TWO = """
-- name: claim_two(now)$
-- ORDER BY priority DESC, in the words of a header.
SELECT id
FROM job_queue -- ORDER BY priority DESC
WHERE run_at <= :now AND {condition}
ORDER BY {order}
LIMIT 2;

-- name: claim_three(now)$
SELECT id FROM job_queue WHERE 1 ORDER BY priority DESC LIMIT 3;
"""


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A repository of one .sql file."""
    (tmp_path / "sql").mkdir()
    monkeypatch.setattr("tests.acid.mutants.ROOT", tmp_path)
    mutants._find.cache_clear()
    yield tmp_path / "sql/jobs.sql"
    mutants._find.cache_clear()


@pytest.mark.parametrize(
    ("order", "changed"),
    [
        ("priority DESC, run_at", "priority, run_at"),
        ("run_at,\n    priority\n    DESC", "run_at,\n    priority"),
        ("priority DESC, run_at -- if: now", "priority, run_at -- if: now"),
    ],
)
def test_a_mutant_of_sql_follows_its_clause(two: Path, order: str, changed: str) -> None:
    edit = Sql("claim_two", r"priority DESC", "priority")
    text = TWO.format(order=order, condition="1")
    two.write_text(text)
    assert edit.file == "sql/jobs.sql"
    assert edit.apply(text) == TWO.format(order=changed, condition="1")


def test_a_mutant_of_sql_that_finds_nothing_or_two_places_is_an_error(two: Path) -> None:
    edit = Sql("claim_two", r"priority DESC", "priority")
    nothing = TWO.format(order="run_at", condition="1")
    two.write_text(nothing)
    with pytest.raises(StaleMutant, match="0 times in claim_two of sql/jobs.sql"):
        edit.apply(nothing)
    with pytest.raises(StaleMutant, match="2 times"):
        edit.apply(TWO.format(order="priority DESC", condition="id IN (SELECT 1 ORDER BY priority DESC)"))
    with pytest.raises(StaleMutant, match="0 times in sql/ and migrations/sqlite/"):
        _ = Sql("claim_four", "x", "y").file


def test_a_trigger_is_the_one_that_the_last_step_makes(two: Path) -> None:
    folder = two.parents[1] / "migrations/sqlite"
    folder.mkdir(parents=True)
    made = "CREATE TRIGGER counts AFTER DELETE ON messages\nBEGIN\n    UPDATE c SET n = n - 1;\nEND;\n"
    for name in ("0001.initial", "0002.counts", "0002.counts.rollback"):
        (folder / f"{name}.sql").write_text(
            f"-- n - 1\n{made}CREATE TRIGGER counts_too AFTER INSERT ON m\nBEGIN\n    n - 1;\nEND;\n"
        )
    edit = Sql("trigger counts", r"n - (\d)", r"n - 0 * \1")
    assert edit.file == "migrations/sqlite/0002.counts.sql"
    text = (folder / "0002.counts.sql").read_text()
    assert edit.apply(text) == text.replace("SET n = n - 1", "SET n = n - 0 * 1")
    assert Sql("step counts.rollback", "x", "y").file == "migrations/sqlite/0002.counts.rollback.sql"


def strange(*, seed: int, folder: Path, **given: Any) -> Report:
    """A body that reports what it is told to."""
    report = Report()
    for anomaly in given.get("anomalies", []):
        report.found(anomaly, "as told")
    if given.get("breaks"):
        raise RuntimeError("broken body")
    return report


def test_what_a_body_finds_comes_back() -> None:
    (report,) = run_body("tests.acid.test_matrix:strange", anomalies=["orphan"])
    assert report.classes == {"orphan"} <= set(ANOMALIES)


def test_a_body_that_breaks_is_no_finding() -> None:
    with pytest.raises(AssertionError, match="broken body"):
        run_body("tests.acid.test_matrix:strange", breaks=True)


@pytest.mark.parametrize(("ci", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_a_compiler_ci_fails_and_others_are_told(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(shim.shutil, "which", lambda name: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="C compiler"):
        shim.library.__wrapped__()
