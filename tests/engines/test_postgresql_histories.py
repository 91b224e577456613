"""The history checker on PostgreSQL: serializable transactions are serializable, and the weaker level is seen to be weaker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.migrations import apply
from tests.acid import test_histories
from tests.acid.report import Report
from tests.postgresql import database, empty

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database that nobody else is connected to: who is killed is waited for."""
    with database("histories") as url:
        apply(url)
        yield url


def explore(url: str, folder: Path, seeds: range) -> Report:
    """Several histories, each on an empty database."""
    whole = Report()
    for seed in seeds:
        empty(url)
        place = folder / str(seed)
        place.mkdir(parents=True)
        report = test_histories.play(url, seed=seed, folder=place, seconds=2.0, pause=0.1)
        whole.extend(report.anomalies)
        whole.counts.update(report.counts)
        shutil.rmtree(place)
    return whole


def test_serializable_transactions_are(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_histories, "SERIALIZABLE", True)
    report = explore(url, tmp_path, range(4))
    assert report.anomalies == []
    assert report.counts["committed"] > 100
    assert report.counts["kills"] > 10


def test_read_committed_is_seen_to_lose_updates(url: str, tmp_path: Path) -> None:
    """What docs/scaling.md says of a transaction that does not ask for more; and the checker sees it."""
    report = explore(url, tmp_path, range(2))
    assert "lost update" in {kind for kind, _ in report.anomalies}
