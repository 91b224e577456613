"""gevent: a store is refused where threads are greenlets; where they are threads it works."""

from __future__ import annotations

import pytest

from tests.programs.running import Database, run

BOTH_ENGINES = True


def test_patched_threads_are_refused_at_open(database: Database) -> None:
    outcome = run("green", database, "patched")
    assert outcome.untyped == []
    assert set(outcome.refused) == {"open"}
    assert outcome.acknowledged == []
    ((message,),) = outcome.facts["messages"].values()
    assert "gevent" in message


@pytest.mark.parametrize("kind", ["without-threads", "imported"])
def test_threads_that_are_threads_work(database: Database, kind: str) -> None:
    """``patch_all(thread=False)``, and gevent that is imported and patches nothing."""
    outcome = run("green", database, kind)
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) == 32
    outcome.assert_kept(database)
