"""Import of a real file against a bare executemany of the same rows: at least a third of its rate.

The bare side has every row and its words ready in memory (read back from the imported database), the same schema, indexes,
triggers and durability, and one transaction. The layer reads gzip, parses, checks, hashes and makes ids, in batches that
survive a crash. Sides alternate; the medians count. Writes perf/results/importing.json; exits 1 where the bar is missed.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import time
from pathlib import Path

from measuring import SHARED, finish, folder, origin

from datastore import Datastore
from datastore.importing import import_file

BAR = 1 / 3
#: The tables and the full-text index, each with the column of its row numbers.
TABLES = {"conversations": "seq", "messages": "seq", "messages_fts": "rowid"}
SOURCE = SHARED / "sgd.chat.jsonl.gz"


def layer(path: Path, source: Path) -> tuple[float, int]:
    """Seconds and rows of an import into a new database."""
    with Datastore.open(path, migrate=True) as store:
        start = time.perf_counter()
        report = import_file(store, source, sanitization_version="1")
        seconds = time.perf_counter() - start
    assert not report.bad_lines
    return seconds, report.conversations + report.messages


def rows_of(path: Path) -> dict[str, tuple[str, list[tuple]]]:
    """Each table's INSERT and its rows, in the order of insertion; triggers maintain the counts."""
    connection = sqlite3.connect(path)
    try:
        found = {}
        for table, number in TABLES.items():
            kept = ("seq", "message_count", "last_position")
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in kept]
            columns = ", ".join(["rowid", *names] if number == "rowid" else names)
            insert = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"
            found[table] = insert, connection.execute(f"SELECT {columns} FROM {table} ORDER BY {number}").fetchall()
        return found
    finally:
        connection.close()


def bare(path: Path, tables: dict[str, tuple[str, list[tuple]]]) -> float:
    """Seconds of one transaction with one executemany a table; foreign keys and FULL as in the layer."""
    Datastore.open(path, migrate=True).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    start = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for insert, rows in tables.values():
        connection.executemany(insert, rows)
    connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not SOURCE.exists():
        print(f"skipped, not measured: there is no {SOURCE}; set DATASTORE_SHARED_DATA", file=sys.stderr)
        return 0
    with folder() as place:
        _, count = layer(place / "first.db", SOURCE)
        tables = rows_of(place / "first.db")
        layers, bares = [], []
        for n in range(arguments.rounds):
            if n % 2:
                bares.append(bare(place / f"b{n}.db", tables))
            layers.append(layer(place / f"l{n}.db", SOURCE)[0])
            if not n % 2:
                bares.append(bare(place / f"b{n}.db", tables))
        assert {t: len(r) for t, (_, r) in rows_of(place / "b0.db").items()} == {
            t: len(r) for t, (_, r) in tables.items()
        }
    ours, theirs = statistics.median(layers), statistics.median(bares)
    part = theirs / ours
    if arguments.markdown:
        print("| | seconds | rows/s |\n|---|---:|---:|")
        print(f"| datastore import | {ours:.3f} | {count / ours:,.0f} |")
        print(f"| bare executemany | {theirs:.3f} | {count / theirs:,.0f} |\n")
    print(
        f"{count:,} rows: {count / ours:,.0f} rows/s against {count / theirs:,.0f}, {part:.2f} of the rate"
        f" (bar {BAR:.2f}){'' if part >= BAR else '  MISSED'}"
    )
    missed = [] if part >= BAR else [f"import: {part:.2f} of a bare executemany's rate, at least {BAR:.2f} is asked"]
    rates = {"datastore import": round(count / ours), "bare executemany": round(count / theirs)}
    result = {**origin("python perf/importing.py"), "rows": count, "missed": missed, "rates": rates}
    return finish("importing", result, "rates")


if __name__ == "__main__":
    raise SystemExit(main())
