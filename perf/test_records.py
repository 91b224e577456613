"""The lines of perf/records.py under pytest-benchmark: `PYTHONPATH=perf python -m pytest perf --benchmark-group-by=group`.

perf/records.py has all sides take turns and holds the bars; this prints the whole distribution of the layer and of the
floor, one after the other, on a new file each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peers import ByHand, Layer

ROUNDS = 300


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("call", ["get", "page", "append"])
@pytest.mark.parametrize("kind", [ByHand, Layer])
def test_records(benchmark: Any, tmp_path: Path, kind: type[Any], call: str, durability: Any) -> None:
    benchmark.group = f"{call}, {durability}"
    side = kind(tmp_path / "messages.db", durability)
    if isinstance(side, ByHand):
        side.prepare(ROUNDS)
    try:
        benchmark.pedantic(getattr(side, call), args=(7,), rounds=ROUNDS)
    finally:
        side.close()
