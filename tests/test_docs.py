"""The documents: generated pages are fresh, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

DECISIONS = [
    "0001-sql-files",
    "0002-time-and-ids",
    "0003-write-gate",
    "0004-dedupe-per-conversation",
    "0005-learning-tags",
    "0008-interrupts",
    "0015-fresh-stores-for-tests",
    "0016-queue-goals",
]


def generate(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs/generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_generated_pages_are_fresh() -> None:
    done = generate("--check")
    assert done.returncode == 0, f"run `make docs`:\n{done.stdout}{done.stderr}"


def test_a_drifted_page_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("docs", "sql", "migrations", "datastore", "tests", "perf", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name) if name != "docs" else (tmp_path / name).mkdir()
    (tmp_path / "docs/catalog").mkdir()
    for name in ("generate.py", "schema.md", "statements.md", "contract-checks.md", "catalog/index.html"):
        (tmp_path / "docs" / name).write_bytes((ROOT / "docs" / name).read_bytes())
    page = tmp_path / "docs/schema.md"
    page.write_text(page.read_text(encoding="utf-8") + "by hand\n", encoding="utf-8")

    spec = importlib.util.spec_from_file_location("generate", tmp_path / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setattr(sys, "path", [*sys.path])
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    generated = list(script.pages())  # once, for the three runs
    monkeypatch.setattr(script, "pages", lambda: generated)

    assert script.main(["--check"]) == 1
    assert "-by hand" in capsys.readouterr().out

    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
    assert page.read_bytes() == (ROOT / "docs/schema.md").read_bytes()


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_record_says_what_was_rejected(name: str) -> None:
    text = (ROOT / f"docs/decisions/{name}.md").read_text(encoding="utf-8")
    for heading in ("**Decision.**", "**Why.**", "**Rejected.**"):
        assert heading in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_make_command_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= targets
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        named = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, page.name


def test_the_readme_names_the_two_commands_first() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)[:2] == ["demo", "test"]
