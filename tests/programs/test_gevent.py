"""gevent: a store is refused where gevent has patched threads or sockets; where it has not, it works."""

from __future__ import annotations

import pytest

from tests.programs.running import Database, run

BOTH_ENGINES = True


@pytest.mark.parametrize("kind", ["patched", "without-threads"])
def test_patched_threads_are_refused_at_open(database: Database, kind: str) -> None:
    """``patch_all()``, and ``patch_all(thread=False)``, which patches what a driver waits with."""
    outcome = run("green", database, kind)
    assert outcome.untyped == []
    assert outcome.refused == {"open": "UnsupportedError"}
    assert outcome.acknowledged == []
    assert "gevent" in outcome.facts["messages"]["UnsupportedError"][0]


def test_gevent_that_patches_nothing(database: Database) -> None:
    outcome = run("green", database, "imported")
    assert outcome.errors == {"Refused"}
    assert len(outcome.acknowledged) == 32
    outcome.assert_kept(database)
