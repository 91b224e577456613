"""An application's own tests under pytest-xdist: several workers, one database."""

from __future__ import annotations

import sys

import pytest

from tests.programs.running import Database, Outcome, run_command

BOTH_ENGINES = True

EXPECTED = (
    [f"test-{i}" for i in range(20)]
    + [f"fixture-{i}" for i in range(10)]
    + [f"thread-{i}-{name}" for i in range(4) for name in range(4)]
)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.long)])
def test_workers_share_a_database(database: Database, workers: int) -> None:
    """A fixture that yields inside a transaction has its test inside it."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-c", "/dev/null", "-p", "no:cacheprovider"]
    suite = ["-p", "xdist", "--rootdir", "tests/programs/apps", "tests/programs/apps/xdist_suite.py"]
    run_command([*command, *suite], database, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    Outcome(EXPECTED).assert_kept(database)
