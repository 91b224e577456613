"""Exit codes: one list in the code, all of it in README and --help, no number anywhere else, and each is really given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datastore import Datastore
from datastore.cli.commands import cli
from datastore.cli.exit_codes import Exit

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str, database: str | Path) -> Result:
    return CliRunner().invoke(cli, list(arguments), env={"DATASTORE_DATABASE": str(database)}, prog_name="datastore")


def test_readme_and_help_list_every_code_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("Exit codes:\n")[2].partition("\n\n`check`")[0]
    listed = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE)}
    assert listed == {int(code): code.meaning for code in Exit}
    shown = run("--help", database="").stdout
    assert [
        code for code in Exit if not re.search(rf"^\s+{int(code)}\s+{re.escape(code.meaning)}$", shown, re.MULTILINE)
    ] == []


def exits() -> Iterator[tuple[str, ast.expr]]:
    """What each call of ``exit`` in the command line is given."""
    for path in sorted((ROOT / "datastore/cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "exit":
                yield path.name, node.args[0]


def test_no_code_is_written_as_a_number() -> None:
    found = list(exits())
    assert len(found) > 8
    assert [(name, ast.unparse(code)) for name, code in found if not ast.unparse(code).startswith("Exit.")] == []
    used = {ast.unparse(code).removeprefix("Exit.") for _, code in found}
    # click gives 0 and 2 by itself.
    assert used | {"DONE", "WRONG_USE"} == {code.name for code in Exit}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return str(request.getfixturevalue("path"))
    from tests.postgresql import empty

    url = str(request.getfixturevalue("migrated_server"))
    empty(url)
    return url


def test_an_erasure_that_is_complete_exits_with_0_and_a_blocked_one_with_6(database: str) -> None:
    with Datastore.open(database) as store:
        for name in ("held", "other"):
            store.conversations.add(id=name, sanitization_version="1", session_id=name)
            store.messages.append(name, role="user", content=f"{name} said something")
        store.holds.place("held", reason="case 12")
    done = run("erase", "--session-id", "other", database=database)
    assert (done.exit_code, done.stderr) == (Exit.DONE, "")
    assert "blocked by" not in done.stdout
    assert ("not scanned" in done.stdout) == database.startswith("postgresql")
    receipt = done.stdout.split()[1]
    assert run("erase", "--resume", receipt, database=database).exit_code == Exit.DONE
    blocked = run("erase", "--session-id", "held", database=database)
    assert blocked.exit_code == Exit.ERASURE_INCOMPLETE
    assert "legal hold" in blocked.stdout
    assert run("erase", "--session-id", "nobody", database=database).exit_code == Exit.ERROR
    assert run("erase", database=database).exit_code == Exit.WRONG_USE
