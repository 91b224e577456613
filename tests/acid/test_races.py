"""Find or add, read then change: by several threads and processes at once, on both engines; and the mutants that lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acid import races as every
from tests.acid.matrix import assert_healthy
from tests.acid.report import Report
from tests.acid.work import new_database

HERE = "tests.acid.test_races"


@pytest.fixture
def server(migrated_server: str) -> str:
    """An empty database on a server."""
    from tests.postgresql import empty

    empty(migrated_server)
    return migrated_server


def races(*, seed: int, folder: Path, url: str = "", seconds: float, processes: int = 1, names: Any = None) -> Report:
    """On a new file, or on a server's database."""
    database = url or str(new_database(folder))
    return every.races(seed=seed, database=database, seconds=seconds, processes=processes, names=names)


#: How long each race takes, and how many processes; the long ones find what happens once in some thousand calls.
SIZES = [
    pytest.param(0.3, 1, id="threads"),
    pytest.param(0.3, 2, id="processes"),
    pytest.param(5, 1, id="threads-long", marks=pytest.mark.long),
    pytest.param(5, 3, id="processes-long", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("seconds", "processes"), SIZES)
def test_races_on_a_file(seconds: float, processes: int) -> None:
    assert_healthy("races on SQLite", f"{HERE}:races", seconds=seconds, processes=processes, timeout=300)


@pytest.mark.parametrize(("seconds", "processes"), SIZES)
def test_races_on_a_server(server: str, seconds: float, processes: int) -> None:
    assert_healthy(
        "races on PostgreSQL", f"{HERE}:races", seconds=seconds, processes=processes, url=server, timeout=300
    )
