"""Claims of rows and order, tried on tables full of keys, on SQLite and on both engines; and the trial itself, on planted errors.

``make test`` tries for some seconds; ``make test-all`` until 50,000 claims have been tried, and prints their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest

from datastore.contract.inference.parse import parse
from tests.contract.falsifier import Falsified, Tally
from tests.contract.falsifier_keys import try_keys
from tests.contract.mutants import Mutant
from tests.contract.mutants_keys import KEY_MUTANTS
from tests.postgresql import server

#: Claims that the long trial makes at least: three quarters on both engines.
CLAIMS = 50_000
#: Databases after which a planted error counts as not found.
ENOUGH = 1_000


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server()) as connection:
        yield connection


def test_no_claim_of_rows_and_order_is_falsified() -> None:
    tally = Tally()
    for seed in range(8):
        try_keys(Random(seed), tally)
    assert {"at most one row", "exactly one row", "total order"} <= {*tally.kinds}


def test_none_is_falsified_on_both_engines(connection: psycopg.Connection[Any]) -> None:
    tally = Tally()
    for seed in range(4):
        try_keys(Random(seed), tally, connection)
    assert {"at most one row", "exactly one row", "total order", "NOT NULL", "text", "integer"} <= {*tally.kinds}


@pytest.mark.long
def test_no_claim_of_many_is_falsified(connection: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for seed in itertools.count(1_000):
        try_keys(Random(seed), tally, connection if tally.claims < CLAIMS * 3 // 4 else None)
        if tally.claims >= CLAIMS:
            break
    with capsys.disabled():
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items()))
        print(f"\n{tally.claims} claims on {tally.queries} queries, none falsified: {kinds}")


def databases_until_found(mutant: Mutant, patch: pytest.MonkeyPatch) -> int | None:
    """How many databases it takes to falsify a claim with one rule off; None: too many."""
    mutant.plant(patch)
    try:
        for seed in range(ENOUGH):
            try_keys(Random(seed), Tally())
    except Falsified:
        return seed + 1
    finally:
        parse.cache_clear()
    return None


@pytest.mark.long
@pytest.mark.parametrize("mutant", KEY_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_error_is_found(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = databases_until_found(mutant, monkeypatch)
    with capsys.disabled():
        print(f"\n{mutant.name}: found in {found} databases")
    assert found is not None


COARSE = (
    "a unique key has one NULL",
    "an upsert always stores",
    "every order is total",
    "every SELECT is an aggregate",
)


# The ones that take few databases: the trial is shown to work in each run.
@pytest.mark.parametrize("mutant", [one for one in KEY_MUTANTS if one.name in COARSE], ids=lambda mutant: mutant.name)
def test_a_coarse_planted_error_is_found_at_once(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert databases_until_found(mutant, monkeypatch) is not None
