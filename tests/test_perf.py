"""What the measurements share, their budgets, and that the pages say what the results say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from tests.engines.test_postgresql import ONLY_POSTGRESQL

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    """The scripts import their neighbours."""
    sys.path.insert(0, str(ROOT / "perf"))
    yield
    sys.path.remove(str(ROOT / "perf"))


@pytest.fixture
def budgets() -> ModuleType:
    import budgets

    return budgets


@pytest.fixture
def measuring() -> ModuleType:
    import measuring

    return measuring


@pytest.fixture
def page() -> ModuleType:
    import page

    return page


def test_every_side_has_its_turn_in_every_round_and_another_begins(measuring: ModuleType) -> None:
    calls: list[tuple[str, int]] = []
    sides = {name: (lambda n, name=name: calls.append((name, n))) for name in "abc"}
    found = measuring.interleaved(sides, rounds=3, calls=2)
    assert {name: [n for who, n in calls if who == name] for name in "abc"} == {key: [*range(8)] for key in "abc"}
    assert [name for name, _ in calls[::2]] == [*"cab", *"abc", *"bca", *"cab"]
    assert found.keys() == sides.keys()
    assert all(spread.low <= spread.median <= spread.high for spread in found.values())


def test_percentiles_are_of_the_nearest_rank(measuring: ModuleType) -> None:
    assert measuring.percentiles([float(n) for n in range(100)]) == [50, 95, 99]
    assert measuring.percentiles([3.0]) == [3, 3, 3]


def test_a_result_says_where_it_comes_from_and_has_a_line_an_entry(
    measuring: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    written = measuring.write("one", {**measuring.origin("a command"), "lines": {"a": [1, 2], "b": {"c": 3}}}, "lines")
    two = measuring.write("two", {"a": {"x": "@b@"}, "b": {"y": 1}}, "a", "b")
    assert json.loads(two.read_text("utf-8")) == {"a": {"x": "@b@"}, "b": {"y": 1}}
    text = written.read_text("utf-8")
    assert '    "a": [1, 2],\n    "b": {"c": 3}\n' in text
    found = measuring.read("one")
    assert found == json.loads(text)
    assert {"command", "measured", "commit", "machine", "versions", "seed"} <= found.keys()
    assert measuring.read("another") == {}


def test_a_goal_that_a_decision_gave_up_is_listed_and_no_failure(
    measuring: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    without, stands = "8 threads at FULL: 0.79 x one thread, 3 is asked", "append, FULL: 2.00 x, at most 1.25 is asked"
    assert measuring.finish("one", {"missed": [without], "lines": {}}) == 0
    assert measuring.read("one")["missed"] == []
    assert measuring.read("one")["given_up"] == {without: "0013-no-group-commit"}
    assert f"given up (docs/decisions/0013-no-group-commit.md): {without}" in capsys.readouterr().err
    assert measuring.finish("one", {"missed": [without, stands], "lines": {}}) == 1
    assert measuring.read("one")["missed"] == [stands]
    for decision in measuring.GIVEN_UP.values():
        assert (ROOT / f"docs/decisions/{decision}.md").is_file()


@pytest.mark.parametrize(
    ("missed", "code", "said"),
    [
        (
            "8 threads at FULL: 0.79 x one thread, 3 is asked",
            0,
            "given up (docs/decisions/0013-no-group-commit.md): 8 thr",
        ),
        ("append, FULL: 2.00 x, at most 1.25 is asked", 1, "missed: append, FULL"),
    ],
)
def test_the_run_ends_with_an_error_only_for_goals_that_stand(
    measuring: ModuleType, page: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], missed: str, code: int, said: str,
) -> None:  # fmt: skip
    """A part that misses one goal, and nothing else is written."""
    import bench

    script = tmp_path / "part.py"
    script.write_text(
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(ROOT / 'perf')!r})\n"
        "import measuring\n"
        f"measuring.RESULTS = pathlib.Path({str(tmp_path)!r}) / 'results'\n"
        f"raise SystemExit(measuring.finish('part', {{'missed': [{missed!r}]}}))\n"
    )
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench, "PERF", tmp_path)
    monkeypatch.setattr(bench, "PARTS", (bench.Part("part", "part.py", "part"),))
    monkeypatch.setattr(bench, "page", ModuleType("page"))
    for name in ("PAGE", "README"):
        monkeypatch.setattr(bench.page, name, tmp_path / name, raising=False)
    for name in ("page", "readme"):
        monkeypatch.setattr(bench.page, name, lambda: "", raising=False)
    monkeypatch.setitem(sys.modules, "plots", ModuleType("plots"))
    monkeypatch.setattr(sys.modules["plots"], "draw", list, raising=False)
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    assert bench.main() == code
    assert said in capsys.readouterr().out


def test_every_statement_has_a_budget_on_both_engines(budgets: ModuleType) -> None:
    for engine in ("sqlite", "postgresql"):
        named = read_statements(sql_folder(), engine).keys() - ONLY_POSTGRESQL
        found = budgets.read_budgets(engine)
        assert found.ratios.keys() == named, engine
        assert all(len(pair) == len(found.rows) for pair in found.ratios.values())


def test_a_budget_is_broken_by_the_slowest_choice_at_one_size(budgets: ModuleType) -> None:
    held = budgets.Budgets("get", (10, 1000), {"get": (3, 3), "list": (5, 8), "count": (4, 400)})
    statements: dict[str, Any] = {
        "get": {"always": {"10": [10, 11, 12], "1000": [20, 21, 22]}},
        "list": {
            "always": {"10": [30, 30, 30], "1000": [40, 40, 40]},
            "tag": {"10": [50, 50, 50], "1000": [161, 170, 180]},
        },
        "count": {"always": {"10": [39, 40, 41], "1000": [7000, 7001, 7002]}},
    }
    assert budgets.broken(held, statements) == {"list": "list on 1,000 rows: 8.1 x get, its budget is 8"}
    statements["new"] = {"always": {"10": [1, 1, 1]}}
    assert "new has no budget" in budgets.broken(held, statements)["new"]


def test_the_results_keep_their_budgets(budgets: ModuleType, measuring: ModuleType) -> None:
    for engine, name in budgets.RESULTS.items():
        assert budgets.broken(budgets.read_budgets(engine), measuring.read(name)["statements"]) == {}, engine


def test_the_pages_say_what_the_results_say(page: ModuleType) -> None:
    assert page.PAGE.read_text("utf-8") == page.page(), "run `python perf/page.py`"
    assert page.README.read_text("utf-8") == page.readme(), "run `python perf/page.py`"


def test_another_result_is_another_page(page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page.page()
    read = page.read

    def changed(name: str) -> dict[str, Any]:
        found = json.loads(json.dumps(read(name)))
        if name == "records":
            found["lines"]["append, FULL"]["microseconds"]["datastore"][0] *= 10
        return dict(found)

    monkeypatch.setattr(page, "read", changed)
    assert page.page() != before
    assert "**missed**" in next(line for line in page.page().splitlines() if line.startswith("| append, FULL: at most"))
    assert "append, FULL: at most 1.25 x" in page.section()


def test_each_part_of_the_run_is_a_script_that_is_there() -> None:
    import bench

    names = [part.name for part in bench.PARTS]
    assert len({*names}) == len(names)
    for part in bench.PARTS:
        for command in filter(None, (part.command, part.full_command)):
            assert (ROOT / "perf" / command.split()[0]).is_file(), command
