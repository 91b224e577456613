"""Find or add, read then change: by several threads and processes at once, on both engines; and the mutants that lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acid import races as every
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
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
    pytest.param(0.1, 1, id="threads"),
    pytest.param(0.1, 2, id="processes"),
    pytest.param(1.5, 1, id="threads-long", marks=pytest.mark.long),
    pytest.param(1.5, 3, id="processes-long", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("seconds", "processes"), SIZES)
def test_races_on_a_file(seconds: float, processes: int) -> None:
    assert_healthy("races on SQLite", f"{HERE}:races", seconds=seconds, processes=processes, timeout=300)


@pytest.mark.parametrize(("seconds", "processes"), SIZES)
def test_races_on_a_server(server: str, seconds: float, processes: int) -> None:
    assert_healthy(
        "races on PostgreSQL", f"{HERE}:races", seconds=seconds, processes=processes, url=server, timeout=300
    )


def _at(name: str, anomaly: str, *races: str, server: bool = True) -> Red:
    return Red(name, anomaly, seeds=2, given={"names": [*races], "seconds": 1.0, "server": server})


@reds(
    _at("a live job is looked for behind the addition", "wrong refusal", "a key"),
    _at("keys are stored in the caller's order", "deadlock", "keys in any order"),
    _at("a job's status is read without its row", "lost update", "asked to stop"),
    _at("a purge looks once", "lost job", "a purge"),
    _at("a hold is looked for behind the addition", "wrong refusal", "a hold", server=False),
    _at("a refusal names what is there afterwards", "wrong refusal", "an upload", server=False),
    _at("conversations are read without their rows", "lost update", "fields of a conversation"),
    _at("learnings are read without their rows", "lost update", "fields of a learning"),
    _at("many learnings in the caller's order", "deadlock", "a learning"),
    _at("a message goes before its conversation is locked", "deadlock", "messages of a deleted conversation"),
    slow=True,
)
def test_mutants(red: Red, server: str) -> None:
    given = {**red.given}
    url = server if given.pop("server") else ""
    assert_red("races", f"{HERE}:races", Red(red.mutant, red.anomaly, red.seeds, given), url=url)
