"""docs/threads.md: every sentence names tests that exist and run. Its recipes, and those of docs/how-to/, are files that run.

A sentence is followed by a comment ``<!-- test_tasks.py::test_name, ... -->`` (files of this folder); a block of code comes
after ``<!-- recipe: FILE, test_recipes.py::test_name -->`` and is that file, word for word.
``python -m tests.programs.test_page`` writes the recipes into the pages.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/threads.md"
#: Pages with recipes whose sentences need not name their tests.
HOW_TO = sorted((HERE.parents[1] / "docs/how-to").glob("*.md"))

_CODE = re.compile(r"<!-- recipe: (?P<file>[\w.]+), (?P<test>[\w.:]+) -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)
_MARK = re.compile(r"<!--(.*?)-->", re.DOTALL)
#: Where a sentence ends and another one begins.
_NEXT = re.compile(r"[.?!]\)?\s+(?=[A-Z`*])")


@cache
def functions_of(file: str) -> dict[str, list[str]]:
    """The test functions of a file of this folder, each with its decorators."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    return {
        node.name: [ast.unparse(decorator) for decorator in node.decorator_list]
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def wrong_with_test(name: str) -> str | None:
    """Why a sentence cannot rest on this test, or None."""
    file, _, function = name.partition("::")
    if not file.startswith("test_") or not (HERE / file).is_file():
        return f"{name}: there is no such file"
    if function not in functions_of(file):
        return f"{name}: there is no such test"
    skipped = [decorator for decorator in functions_of(file)[function] if "skip" in decorator or "xfail" in decorator]
    return f"{name}: is not run ({skipped[0]})" if skipped else None


def sentences(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """Each sentence of a page with the tests that it names, and what is wrong with the page's form."""
    found: dict[str, list[str]] = {}
    problems = []
    prose = "\n".join(line for line in _CODE.sub("\n", text).splitlines() if not line.startswith("#"))
    if "```" in prose:
        problems.append("a block of code is no recipe")
    # The text before each comment, and the comment, in turn.
    *pairs, rest = _MARK.split(prose)
    for said, mark in zip(pairs[::2], pairs[1::2], strict=True):
        sentence = " ".join(said.split()).removeprefix("- ")
        if not sentence:
            problems.append(f"a comment without a sentence: {mark.strip()}")
        elif not sentence.endswith((".", ":")) or _NEXT.search(sentence):
            problems.append(f"not one sentence: {sentence}")
        found[sentence] = [name.strip() for name in mark.split(",")]
    if rest.strip():
        problems.append(f"no test is named: {' '.join(rest.split())}")
    return found, problems


def problems_of(text: str) -> list[str]:
    """What is wrong with a page: its form, its tests, its recipes."""
    found, problems = sentences(text)
    named = [name for names in found.values() for name in names]
    return (
        problems
        + wrong_with_recipes(text)
        + [problem for name in dict.fromkeys(named) if (problem := wrong_with_test(name))]
    )


def wrong_with_recipes(text: str) -> list[str]:
    """What is wrong with the recipes of a page."""
    problems, named = [], []
    for recipe in _CODE.finditer(text):
        named.append(recipe["test"])
        if recipe["code"] != (HERE / "recipes" / recipe["file"]).read_text(encoding="utf-8"):
            problems.append(f"recipes/{recipe['file']} is another: run python -m tests.programs.test_page")
    return problems + [problem for name in dict.fromkeys(named) if (problem := wrong_with_test(name))]


def test_every_sentence_names_its_tests() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert problems_of(text) == []
    assert len(sentences(text)[0]) > 50


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_recipes_of_a_how_to_page_are_files_that_run(page: Path) -> None:
    assert wrong_with_recipes(page.read_text(encoding="utf-8")) == []


def test_every_recipe_is_on_the_page() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (PAGE, *HOW_TO)]
    shown = {recipe["file"] for page in pages for recipe in _CODE.finditer(page)}
    assert shown == {path.name for path in (HERE / "recipes").glob("*.py")}


def test_programs_run_on_both_engines() -> None:
    for file in HERE.glob("test_*.py"):
        if file.name != "test_page.py":
            assert "\nBOTH_ENGINES = True\n" in file.read_text(encoding="utf-8"), file.name


GOOD = "Threads may share a store. <!-- test_threads.py::test_bursts_of_fresh_threads -->\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD + "And so may tasks.\n", "no test is named: And so may tasks."),
        ("One. " + GOOD, "not one sentence: One. Threads may share a store."),
        (GOOD.replace(".", "", 1), "not one sentence: Threads may share a store"),
        (GOOD.replace("bursts", "burst"), "test_threads.py::test_burst_of_fresh_threads: there is no such test"),
        (GOOD.replace("threads.py", "x.py"), "test_x.py::test_bursts_of_fresh_threads: there is no such file"),
        (GOOD + "<!-- test_threads.py::test_bursts_of_fresh_threads -->", "a comment without a sentence"),
        (GOOD + "```sh\nls\n```\n", "a block of code is no recipe"),
        ("<!-- recipe: flask_app.py, test_recipes.py::test_flask -->\n```python\nx\n```\n", "recipes/flask_app.py is another"),
    ],
)  # fmt: skip
def test_a_page_that_breaks_the_rules_is_noticed(text: str, problem: str) -> None:
    assert problems_of(GOOD) == []
    assert any(found.startswith(problem) for found in problems_of(text)), problems_of(text)


def write() -> None:
    """Write the recipes into the page."""

    def filled(match: re.Match[str]) -> str:
        code = (HERE / "recipes" / match["file"]).read_text(encoding="utf-8")
        return f"<!-- recipe: {match['file']}, {match['test']} -->\n```python\n{code}```\n"

    for page in (PAGE, *HOW_TO):
        page.write_text(_CODE.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
