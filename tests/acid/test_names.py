"""The names that users choose: whatever a statement or a parameter is called, a value is a value.

Proves: each name that is anywhere in the scopes of generated code, as the name of a statement and of its parameter,
gives back the text that was handed over, and that text runs as SQL nowhere. `tests/statements/test_names.py` does the
same on both engines, and with names in any combination.
"""

from __future__ import annotations

from pathlib import Path

from datastore import Datastore
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.names import in_scopes, misunderstood
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_names:names"


def names(*, seed: int, folder: Path) -> Report:
    """Every name as a statement and as its parameter; the value would delete what is stored."""
    report = Report()
    with Datastore.open(new_database(folder)) as store:
        kept = store.conversations.add(sanitization_version="1", session_id="session-1", source="test")
        for wrong in misunderstood(store, folder):
            report.found("value as SQL", wrong)
        if store.conversations.count() != 1 or store.conversations.get(kept.id) != kept:
            report.found("value as SQL", "the value of a parameter ran")
    report.counts["names"] = len(in_scopes())
    return report


def test_every_name_is_only_a_name() -> None:
    assert assert_healthy("names", BODY).counts["names"] > 500


@reds(Red("a statement shares its scope with its parameters", "value as SQL"))
def test_a_value_that_runs_is_seen(red: Red) -> None:
    assert_red("names", BODY, red)
