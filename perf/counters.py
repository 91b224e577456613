"""What an append would pay for kept counts: a trigger that adds one to a counter's row, against none, in turn.

python perf/counters.py        docs/decisions/0014-counts-are-counted.md
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from measuring import folder, interleaved
from peers import CONTENT

from datastore import Datastore

COUNTER = """
CREATE TABLE counters (name TEXT PRIMARY KEY, row_count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('messages', 0);
CREATE TRIGGER count_messages AFTER INSERT ON messages
BEGIN
    UPDATE counters SET row_count = row_count + 1 WHERE name = 'messages';
END;
"""


def store(path: Path, durability: Any, *, counted: bool) -> Datastore:
    Datastore.open(path, migrate=True).close()
    if counted:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(COUNTER)
    opened = Datastore.open(path, durability=durability)
    opened.conversations.add(id="c", sanitization_version="1")
    return opened


def main() -> None:
    for durability in ("relaxed", "full"):
        with folder() as place:
            stores = {
                name: store(place / f"{counted}.db", durability, counted=counted)
                for name, counted in (("as it is", False), ("with a counter", True))
            }
            sides = {
                name: lambda n, one=one: one.messages.append("c", role="user", content=CONTENT)
                for name, one in stores.items()
            }
            found = interleaved(sides, rounds=60, calls=50)
            for one in stores.values():
                one.close()
        base = found["as it is"].median
        for name, spread in found.items():
            print(
                f"append, {durability}, {name}: {spread.median:.1f} µs ({spread.low:.1f} to {spread.high:.1f}), {spread.median / base:.3f} x"
            )


if __name__ == "__main__":
    main()
