"""The history checker on PostgreSQL: serializable transactions are serializable, and the weaker level is seen to be weaker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acid import test_histories
from tests.acid.report import Report
from tests.postgresql import empty, migrated

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with migrated() as url:
        yield url


def explore(database: str, folder: Path, seeds: range) -> Report:
    """Several histories, each on an empty database."""
    whole = Report()
    for seed in seeds:
        empty(database)
        place = folder / str(seed)
        place.mkdir(parents=True)
        report = test_histories.play(database, seed=seed, folder=place, seconds=2.0, pause=0.1)
        whole.extend(report.anomalies)
        whole.counts.update(report.counts)
        shutil.rmtree(place)
    return whole


def test_serializable_transactions_are(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_histories, "SERIALIZABLE", True)
    report = explore(database, tmp_path, range(4))
    assert report.anomalies == []
    assert report.counts["committed"] > 100
    assert report.counts["kills"] > 10


def test_read_committed_is_seen_to_lose_updates(database: str, tmp_path: Path) -> None:
    """What docs/scaling.md says of a transaction that does not ask for more; and the checker sees it."""
    report = explore(database, tmp_path, range(2))
    assert "lost update" in {kind for kind, _ in report.anomalies}
