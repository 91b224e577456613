"""The pairs of perf/records.py under pytest-benchmark: `python -m pytest perf --benchmark-group-by=group`.

perf/records.py alternates the two sides and holds the bars; this prints each side's whole distribution, side by side.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from records import CONTENT, GET, INSERT, PAGE, bare_connection, make_database, message

from datastore.values import encode_timestamp, new_id


@pytest.fixture(params=["full", "relaxed"])
def durability(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sides(tmp_path: Path, durability: str) -> Iterator[tuple[Any, Any]]:
    """The store, and a bare connection to another file of the same content."""
    make_database(tmp_path / "bare.db", durability).close()
    with make_database(tmp_path / "layer.db", durability) as store:
        connection = bare_connection(tmp_path / "bare.db", durability)
        yield store, connection
        connection.close()


@pytest.mark.parametrize("side", ["bare", "layer"])
def test_one_record(benchmark: Any, sides: Any, side: str, durability: str) -> None:
    store, connection = sides
    benchmark.group = f"a record by id, {durability}"
    if side == "layer":
        found = benchmark(store.messages.get, "m500")
    else:
        found = benchmark(lambda: message(connection.execute(GET, {"id": "m500"}).fetchone()))
    assert found == store.messages.get("m500")


@pytest.mark.parametrize("side", ["bare", "layer"])
def test_hundred_records(benchmark: Any, sides: Any, side: str, durability: str) -> None:
    store, connection = sides
    benchmark.group = f"100 records, {durability}"
    values = {"conversation_id": "c", "after_position": 0, "max_rows": 100}
    if side == "layer":
        found = benchmark(lambda: list(store.messages.list("c", max_rows=100)))
    else:
        found = benchmark(lambda: [message(row) for row in connection.execute(PAGE, values).fetchall()])
    assert found == list(store.messages.list("c", max_rows=100))


@pytest.mark.parametrize("side", ["bare", "layer"])
def test_append(benchmark: Any, sides: Any, side: str, durability: str) -> None:
    store, connection = sides
    benchmark.group = f"append, {durability}"
    digest, positions = hashlib.sha256(CONTENT.encode()).hexdigest(), itertools.count(1001)

    def prepare() -> tuple[tuple[Any, ...], dict[str, Any]]:
        now = encode_timestamp(datetime.now(timezone.utc))
        row = (new_id(), "c", next(positions), "user", CONTENT, digest, (len(CONTENT) + 3) // 4, "{}", now)
        return (row,), {}

    if side == "layer":
        benchmark.pedantic(
            lambda row: store.messages.append("c", role="user", content=CONTENT), setup=prepare, rounds=500
        )
    else:
        benchmark.pedantic(lambda row: connection.execute(INSERT, row), setup=prepare, rounds=500)
