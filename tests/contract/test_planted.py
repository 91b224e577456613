"""Each rule on a small project: a planted mistake with the whole message, and the same without it.

``planted/RULE.bad.sql`` breaks the rule, ``RULE.txt`` is what the check says of it, ``RULE.good.sql`` keeps it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datastore.contract.problems import RULES, SERVER_RULES
from tests.contract.planted import Planted

FOLDER = Path(__file__).parent / "planted"
CASES = sorted(path.name.removesuffix(".bad.sql") for path in FOLDER.glob("*.bad.sql"))

#: Rules about something else than one statement's text: test_schema.py, test_generate.py, ...
ELSEWHERE = {
    "configuration",
    "engines",
    "file",
    "foreign-key-index",
    "generated",
    "migration",
    "migration-changed",
    "no-caller",
    "not-strict",
    "plan",
    "primary-key",
    "record",
    "released",
    "rollback",
    "unused-index",
}


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def test_every_rule_has_a_planted_mistake() -> None:
    assert set(CASES) | ELSEWHERE | SERVER_RULES == set(RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_planted_mistake_is_told(rule: str, planted: Planted) -> None:
    planted.statements((FOLDER / f"{rule}.bad.sql").read_text())
    said = planted.said()
    assert said + "\n" == (FOLDER / f"{rule}.txt").read_text()
    assert f": {rule}: " in said


@pytest.mark.parametrize("rule", CASES)
def test_the_same_without_the_mistake_passes(rule: str, planted: Planted) -> None:
    planted.statements((FOLDER / f"{rule}.good.sql").read_text())
    # The table's index is there for the statements of other cases.
    planted.put("pyproject.toml", (planted.root / "pyproject.toml").read_text())
    assert planted.said() == ""


@pytest.mark.parametrize("rule", [rule for rule in CASES if RULES[rule].waivable])
def test_a_rule_that_may_be_waived_is_waived_by_a_reason(rule: str, planted: Planted) -> None:
    text = (FOLDER / f"{rule}.bad.sql").read_text()
    planted.statements(text)
    others = {problem.rule for problem in planted.check().problems}
    lines = "".join(f"-- Allow: {name}, a reason\n" for name in sorted(others))
    planted.statements(re.sub(r"(?m)^(-- Rows: .*\n)", rf"\1{lines}", text))
    left = {(problem.rule, problem.message) for problem in planted.check().problems if problem.rule != "waiver"}
    assert left == set()
