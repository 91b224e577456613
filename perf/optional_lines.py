"""A list with optional filters: optional lines, against the two ways that were rejected, side by side in one run.

``:p IS NULL OR column = :p`` is one statement for every choice of filters; a range that holds one value or everything
(``column BETWEEN :low AND :high``) is another. Optional lines are a static statement for each choice. The page is the
same each time (asserted). Prints the median time of a page of 50 and how many times the optional lines' that is.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from datastore import migrations
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements

ROWS = 200_000
LIST = read_statements(sql_folder(), "sqlite")["list_conversations"]

INSERT = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
INSERT INTO conversations (id, session_id, source, sanitization_version, created_at, updated_at)
SELECT
    printf('c%08d', n), printf('s%d', n % 20000), CASE n % 1000 WHEN 0 THEN 'rare' ELSE 'web' END, '1',
    strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + n, 'unixepoch') || '.000000Z',
    strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + n, 'unixepoch') || '.000000Z'
FROM numbers
"""


def rewritten(session: str, source: str) -> str:
    """The list's SQL with two conditions instead of its optional lines."""
    sql = LIST.texts[0]
    assert "    deleted_at IS NULL\n" in sql
    return sql.replace("    deleted_at IS NULL\n", f"    deleted_at IS NULL\n    AND {session}\n    AND {source}\n")


NULL_OR = rewritten("(:session_id IS NULL OR session_id = :session_id)", "(:source IS NULL OR source = :source)")
RANGES = rewritten(
    "coalesce(session_id, '') BETWEEN :session_from AND :session_to", "source BETWEEN :source_from AND :source_to"
)


def arguments(session_id: str | None, source: str | None) -> dict[str, object]:
    everything = ("", "\U0010ffff")
    session_range = everything if session_id is None else (session_id, session_id)
    source_range = everything if source is None else (source, source)
    return {
        "session_id": session_id,
        "source": source,
        "session_from": session_range[0],
        "session_to": session_range[1],
        "source_from": source_range[0],
        "source_to": source_range[1],
        "created_from": "0001-01-01T00:00:00.000000Z",
        "before_created_at": "9999-12-31T23:59:59.999999Z",
        "before_id": "",
        "max_rows": 50,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    texts = {"".join(sorted(given)): sql for given, sql in LIST.variants()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.db"
        migrations.apply(path)
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(INSERT, {"rows": ROWS})
        print(f"{ROWS:,} conversations, a page of 50, SQLite {sqlite3.sqlite_version}, medians of {rounds} rounds\n")
        print("| filters | optional lines, ms | `:p IS NULL OR` | ranges |\n|---|---:|---:|---:|")
        for session_id, source in ((None, None), ("s77", None), (None, "rare"), ("s77", "web")):
            values = arguments(session_id, source)
            key = "".join(name for name, value in (("session_id", session_id), ("source", source)) if value)
            ways = {"lines": texts[key], "null or": NULL_OR, "ranges": RANGES}
            pages = [connection.execute(sql, values).fetchall() for sql in ways.values()]
            assert pages[0] == pages[1] == pages[2]
            assert pages[0]
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, sql in ways.items():
                    start = time.perf_counter()
                    connection.execute(sql, values).fetchall()
                    seconds[name].append(time.perf_counter() - start)
            lines, *others = (statistics.median(times) for times in seconds.values())
            shown = (
                "session and source"
                if session_id and source
                else "session"
                if session_id
                else "source"
                if source
                else "none"
            )
            print(f"| {shown} | {lines * 1000:.3f} | {' | '.join(f'{other / lines:.1f} x' for other in others)} |")
        connection.close()


if __name__ == "__main__":
    main()
