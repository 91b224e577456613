"""Every claim is tried on random schemas, rows and queries; and the trial itself, on rules that were switched off.

``make test`` tries for some seconds, ``make test-all`` until 20,000 claims have met a row, and prints their number.
A failure prints the schema, the rows and the query: they run in the sqlite3 shell as they stand.
"""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from datastore.contract.inference.parse import parse
from tests.contract.falsifier import Falsified, Tally, try_to_falsify
from tests.contract.mutants import MUTANTS, Mutant

#: Claims that the long trial makes at least.
CLAIMS = 6000
#: Databases after which a planted error counts as not found.
ENOUGH = 4_000

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


# hypothesis hands out the seeds and keeps the one that failed; the random module, ten times as fast, does the rest.
@settings(max_examples=60, suppress_health_check=_slow)
@given(seed=st.integers(0, 2**32))
@example(seed=895595)  # an aggregate whose FILTER alone has a column, of the query outside
def test_no_claim_is_falsified(seed: int) -> None:
    try_to_falsify(Random(seed), Tally())


# Here every choice is hypothesis's own, so that it can make a failure small.
@settings(max_examples=15, suppress_health_check=_slow)
@given(random=st.randoms(use_true_random=False))
def test_no_claim_is_falsified_by_a_small_case(random: Random) -> None:
    try_to_falsify(random, Tally(), queries=2)


@pytest.mark.long
def test_no_claim_of_many_is_falsified(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()

    @settings(max_examples=500, database=None, suppress_health_check=_slow)
    @given(seed=st.integers(0, 2**64))
    def try_some(seed: int) -> None:
        try_to_falsify(Random(seed), tally)

    while tally.claims < CLAIMS:
        try_some()
    with capsys.disabled():
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items()))
        print(f"\n{tally.claims} claims on {tally.queries} queries, none falsified: {kinds}")
    assert all(tally.kinds.get(kind, 0) > 0 for kind in ("NOT NULL", "at most one row", "total order", "timestamp"))


def examples_until_found(mutant: Mutant, patch: pytest.MonkeyPatch) -> int | None:
    """How many databases it takes to falsify a claim of the inference with one rule off; None: too many."""
    mutant.plant(patch)
    try:
        for seed in itertools.islice(itertools.count(), ENOUGH):
            try_to_falsify(Random(seed), Tally())
    except Falsified:
        return seed + 1
    finally:
        parse.cache_clear()  # a tree that was read with the rule off
    return None


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_error_is_found(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examples_until_found(mutant, monkeypatch)
    with capsys.disabled():
        print(f"\n{mutant.name}: found in {found} databases")
    assert found is not None


# The ones that take few databases: the trial is shown to work in each run.
@pytest.mark.parametrize("mutant", MUTANTS[:3], ids=lambda mutant: mutant.name)
def test_a_coarse_planted_error_is_found_at_once(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examples_until_found(mutant, monkeypatch) is not None


def test_there_are_enough_planted_errors() -> None:
    assert len(MUTANTS) >= 12
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
