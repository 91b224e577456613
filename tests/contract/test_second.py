"""`datastore check` in two processes: what it says is what one process says, and no failure is lost."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from datastore.contract import second
from datastore.contract.vet.result import Results
from datastore.errors import ProjectError
from tests.contract.planted import Planted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one process is used where forking is not safe")

FOLDER = Path(__file__).parent / "planted"
#: About results and callers: the rules that the second process looks at.
RULES = ("uncast", "one-row", "limit-order", "parameter-type", "unaliased", "returning-operator")


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def mistakes(planted: Planted) -> None:
    """Six kinds of mistakes, and a statement that nothing calls."""
    texts = [(FOLDER / f"{rule}.bad.sql").read_text() for rule in RULES]
    renamed = [text.replace("-- name: ", f"-- name: case_{number}_") for number, text in enumerate(texts)]
    planted.statements("\n".join(renamed))
    planted.change("notebook/repository.py", "    statements.case_0_", "    statements.other_")


def test_two_processes_say_what_one_says(planted: Planted) -> None:
    mistakes(planted)
    alone = planted.said()
    assert {*RULES, "no-caller"} <= {problem.rule for problem in planted.check(processes=2).problems}
    assert planted.said(processes=2) == alone


def test_both_do_their_part(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes(planted)
    checked: list[str] = []
    check = Results.check
    monkeypatch.setattr(Results, "check", lambda self, one: (checked.append(one.name), check(self, one))[1])
    planted.check(processes=2)
    here = list(checked)
    planted.check()
    assert 0 < len(here) < len(checked) - len(here), "the others were checked in the second process"


def test_what_the_second_process_raises_is_raised(planted: Planted) -> None:
    text = (FOLDER / "star.good.sql").read_text()
    planted.statements(text.replace("max_rows\nS", "max_rows\n-- Record: Title\nS"))
    planted.put("notebook/records.py", "raise ImportError('no such thing')\n")
    with pytest.raises(ProjectError, match="notebook.records") as alone:
        planted.check()
    with pytest.raises(ProjectError) as both:
        planted.check(processes=2)
    assert str(both.value) == str(alone.value)


def test_what_it_raises_before_there_is_a_schema_is_raised(planted: Planted) -> None:
    mistakes(planted)
    planted.put("notebook/wrong.py", "def find_}_(:\n")
    with pytest.raises(SyntaxError):
        planted.check(processes=2)


def test_a_second_process_that_dies_is_told(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes(planted)

    def die(self: second.Second, connection: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(second.Second, "_check", die)
    with pytest.raises(RuntimeError, match="second process"):
        planted.check(processes=2)


def test_a_step_that_fails_ends_both(planted: Planted) -> None:
    mistakes(planted)
    planted.put("schema/0002.wrong.sql", "CREATE TABLE notes (id INTEGER PRIMARY KEY);\n")
    assert [problem.rule for problem in planted.check(processes=2).problems][:1] == ["migration"]


def test_one_core_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert second.worthwhile() == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert second.worthwhile() == 2
    monkeypatch.setattr(sys, "platform", "darwin")
    assert second.worthwhile() == 1
