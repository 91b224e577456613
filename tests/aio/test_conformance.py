"""The conformance suite passes through an asynchronous store too, by one adapter (tests/aio/driving.py), on both engines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


#: Tests of what differs: the adapter enters a block in its own task's context, and the application's function is called on a
#: thread of the store.
OTHERWISE = (
    "test_a_block_that_is_left_in_another_context_says_so",
    "test_a_function_without_a_limit_is_called_in_the_callers_thread",
)


def run_suite(*paths: str, at_least: int) -> None:
    """In a process of its own, whose fixture `store` is an asynchronous one."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({' or '.join(OTHERWISE)})", *paths],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "DATASTORE_TEST_ASYNC": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= at_least
    assert "never awaited" not in ran.stdout


def test_a_part_of_the_suite() -> None:
    run_suite(
        "tests/aio/test_driving.py",
        "tests/repositories/test_messages.py",
        "tests/statements/test_names.py",
        at_least=50,
    )


@pytest.mark.long
def test_the_suite() -> None:
    files = ["holds", "disclosure", "own_tables", "verify_hashes"]
    run_suite(
        "tests/aio/test_driving.py",
        "tests/repositories",
        "tests/statements",
        "tests/search",
        "tests/test_search.py",
        "tests/test_own_words.py",
        *(f"tests/retention/test_{name}.py" for name in files),
        at_least=1800,
    )
