"""A message that arrives piece by piece: an UPDATE that adds text, or a row per piece.

    python perf/streams.py        writes perf/results/streams.json

"update" is what the library does: `begin`, an UPDATE for each piece, `finish`. "rows" inserts each piece into a table of its own,
then appends the whole message and deletes the pieces. On both sides a piece is one statement and one transaction of the same
plain connection; they take turns. The bytes are those that the WAL takes for one message.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from measuring import Spread, finish, folder, interleaved, origin

from datastore import Datastore

PIECE = "and some words of the answer follow here. "
#: extend_message of sql/messages.sql.
EXTEND = "UPDATE messages SET content = content || ?, token_count = token_count + ? WHERE id = ? AND partial = 1"
#: Characters of the whole answer, and of one piece.
ANSWERS = {
    "2 kB in 20 pieces": (2_000, 100),
    "20 kB in 100 pieces": (20_000, 200),
    "200 kB in 200 pieces": (200_000, 1_000),
}


class Sides:
    """Both ways to store an answer, in one file."""

    def __init__(self, place: Path, size: int, piece: int) -> None:
        self.path = place / "app.db"
        self.store = Datastore.open(self.path, migrate=True, durability="relaxed")
        self.conversation = self.store.conversations.add(sanitization_version="1").id
        text = (PIECE * (size // len(PIECE) + 1))[:size]
        self.pieces = [text[at : at + piece] for at in range(0, size, piece)]
        self.own = sqlite3.connect(self.path, isolation_level=None)
        self.own.execute("PRAGMA synchronous = NORMAL")
        self.own.execute("PRAGMA wal_autocheckpoint = 0")
        self.own.execute(
            "CREATE TABLE pieces (id TEXT, number INTEGER, text TEXT, PRIMARY KEY (id, number)) WITHOUT ROWID"
        )

    def update(self, _: int) -> None:
        id = self.store.messages.begin(self.conversation).id
        for piece in self.pieces:
            self.own.execute(EXTEND, (piece, len(piece) // 4, id))
        self.store.messages.finish(id)

    def rows(self, n: int) -> None:
        for number, piece in enumerate(self.pieces):
            self.own.execute("INSERT INTO pieces (id, number, text) VALUES (?, ?, ?)", (str(n), number, piece))
        (text,) = self.own.execute(
            "SELECT group_concat(text, '') FROM (SELECT text FROM pieces WHERE id = ? ORDER BY number)", (str(n),)
        ).fetchone()
        self.store.messages.append(self.conversation, role="assistant", content=text)
        self.own.execute("DELETE FROM pieces WHERE id = ?", (str(n),))

    def wal(self, name: str) -> int:
        """The bytes that one message adds to the WAL."""
        self.store.engine.checkpoint()
        before = Path(f"{self.path}-wal").stat().st_size
        getattr(self, name)(10**6)
        return Path(f"{self.path}-wal").stat().st_size - before

    def close(self) -> None:
        self.own.close()
        self.store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    lines: dict[str, dict[str, object]] = {}
    for name, (size, piece) in ANSWERS.items():
        with folder() as place:
            sides = Sides(place, size, piece)
            times: dict[str, Spread] = interleaved({"update": sides.update, "rows": sides.rows}, rounds=rounds, calls=1)
            wal = {side: sides.wal(side) for side in times}
            sides.close()
        ratio = round(times["update"].median / times["rows"].median, 2)
        lines[name] = {"update / rows": ratio, "WAL bytes": wal}
        print(f"{name}: update takes {ratio} x rows; WAL {wal['update']:,} and {wal['rows']:,} bytes")
    return finish("streams", {**origin("python perf/streams.py"), "missed": [], "answers": lines}, "answers")


if __name__ == "__main__":
    raise SystemExit(main())
