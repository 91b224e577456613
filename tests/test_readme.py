"""README.md's Python example runs as it stands, and its table names the commands that there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_every_example_has_its_output() -> None:
    assert len(EXAMPLES) == README.count("```python\n") == 2


@pytest.mark.parametrize(("example", "printed"), EXAMPLES, ids=["threads", "asyncio"])
def test_an_example_runs(tmp_path: Path, example: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
    assert (tmp_path / "app.db").exists()


def test_the_table_names_every_command_and_no_other() -> None:
    from datastore.cli import main

    # Read from --help, which is what a reader can try.
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from datastore.cli import main; sys.exit(main())", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert callable(main)
    commands = re.findall(r"^  ([a-z]+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert commands, done.stdout + done.stderr
    assert sorted(re.findall(r"^\| `datastore ([a-z]+)", README, re.MULTILINE)) == sorted(commands)
