"""The documents: generated pages are fresh, links lead somewhere, commands exist."""

from __future__ import annotations

import re
import shutil
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
    "0015-whose-transaction",
    "0017-fresh-stores-for-tests",
    "0016-queue-goals",
    "0019-rooms",
    "0021-vectors",
    "0023-asyncio",
]


def generate(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs/generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_generated_files_are_fresh() -> None:
    done = generate("--check")
    assert done.returncode == 0, f"run `make generate`:\n{done.stdout}{done.stderr}"


#: A file of each kind that is generated, and a part of it.
GENERATED = {
    "README.md": "| `datastore import FILE...` |",
    "datastore/statements/typed/messages.py": "as a type checker sees them",
    "datastore/aio/typed/messages.py": '"""`MessageRepository`, awaited."""',
    "sql/contract.lock.json": "Review the diff",
    "docs/schema.md": "# Schema",
    "docs/statements/README.md": "# Statements",
    "docs/statements/messages.md": "## get_message",
    "docs/catalog/index.html": "<title>",
    "docs/contract-checks.md": "| `no-caller` |",
    "docs/errors.md": "- `DatastoreError`",
}


def test_what_has_drifted_is_noticed_and_restored_byte_for_byte(tmp_path: Path) -> None:
    for name in ("sql", "datastore", "docs", "README.md"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    for name in ("migrations", "tests", "perf", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, part in GENERATED.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert part in text, name
        (tmp_path / name).write_text(text.replace(part, "by hand"), encoding="utf-8")
    stale = tmp_path / "docs/statements/gone.md"
    shutil.copy(tmp_path / "docs/statements/uploads.md", stale)

    done = generate("--check", root=tmp_path)
    assert done.returncode == 1
    for name in (*GENERATED, "docs/statements/gone.md"):
        assert f"--- {name} (as it is)" in done.stdout, name

    assert generate(root=tmp_path).returncode == 0
    for name in GENERATED:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert not stale.exists()


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
