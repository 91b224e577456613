"""The mutation matrix: which mutants a suite has to see, as what, and the test that it does.

A suite's file has a body (what is run), a test that the body finds nothing in the layer as it is, and a list of `Red`:
the mutants that the same body has to turn red. What was seen is noted for docs/acid.md where `make acid` asks for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from math import ceil
from typing import Any

import attrs
import pytest

from tests.acid.child import run_body
from tests.acid.mutants import MUTANTS, tree
from tests.acid.report import ANOMALIES, Report

#: A file that gets a line of JSON per result; docs/acid.md is made of it.
EVIDENCE = "DATASTORE_ACID_EVIDENCE"

#: A suite that is a matter of chance has to see its mutant in so many of its seeds.
RATE = 0.9

#: So many seeds at most are run where no page is made of them.
FEW_SEEDS = 3


@attrs.frozen
class Red:
    """A mutant, and the anomaly that a suite must report on it."""

    mutant: str
    anomaly: str
    #: How often it is run, each with another seed; 1 where nothing is left to chance.
    seeds: int = 1
    #: Arguments of the body that differ from the healthy run's.
    given: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.mutant not in MUTANTS or self.anomaly not in ANOMALIES:
            raise KeyError(f"{self.mutant}: {self.anomaly}")

    def __str__(self) -> str:
        return self.mutant


def note(kind: str, **fields: Any) -> None:
    """Keep a result for the page, if one is being made."""
    if path := os.environ.get(EVIDENCE):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}) + "\n")


def assert_healthy(
    suite: str, body: str, *, seeds: Sequence[int] = (0,), timeout: float = 120.0, **given: Any
) -> Report:
    """Run a body on the layer as it is: it finds nothing. Gives back what it counted, all seeds together."""
    total = Report()
    for report in run_body(body, seeds=seeds, timeout=timeout, **given):
        total.anomalies += report.anomalies
        total.counts += report.counts
        total.figures |= report.figures
    note(
        "suite",
        suite=suite,
        seeds=len(seeds),
        counts=dict(total.counts),
        figures=total.figures,
        anomalies=total.anomalies,
    )
    assert not total.anomalies, f"{len(total.anomalies)} anomalies: " + "; ".join(
        f"{anomaly}: {detail}" for anomaly, detail in total.anomalies[:5]
    )
    return total


#: The arguments of a body that say how much it does.
_HOW_LONG = frozenset({"seconds", "kills", "times"})


def assert_red(suite: str, body: str, red: Red, *, timeout: float = 120.0, **given: Any) -> None:
    """Run a body on a mutant: it reports the mutant's anomaly, in nine of ten seeds at least; `make acid` runs all ten, a
    test run three, of which two must see it.

    How often a race is lost depends on how busy the machine is. So where too few seeds see it, all of them run once
    more, and then again, each time for twice as long.
    """
    number = red.seeds if EVIDENCE in os.environ else min(red.seeds, FEW_SEEDS)
    seeds, enough = range(1, number + 1), number - 1 if number == FEW_SEEDS else ceil(RATE * number)
    for longer in (1, 2, 4):
        arguments = {
            key: value * longer if key in _HOW_LONG else value for key, value in {**given, **red.given}.items()
        }
        reports = run_body(body, tree=tree(red.mutant), seeds=seeds, timeout=timeout * longer, **arguments)
        hits = sum(red.anomaly in report.classes for report in reports)
        seen = sorted({anomaly for report in reports for anomaly in report.classes})
        if hits >= enough or number == 1:
            break
    note("red", suite=suite, mutant=red.mutant, anomaly=red.anomaly, hits=hits, seeds=number, seen=seen)
    assert hits >= enough, (
        f"{suite} saw {red.anomaly!r} on mutant {red.mutant!r} in {hits} of {number} runs; it saw {seen}"
    )


def reds(*mutants: Red, slow: bool = False) -> pytest.MarkDecorator:
    """Parametrizes a test over mutants; *slow* ones are run by `make test-all` only."""
    marks = [pytest.mark.long] if slow else []
    return pytest.mark.parametrize("red", [pytest.param(red, id=str(red), marks=marks) for red in mutants])
