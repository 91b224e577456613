"""A SQLite database as the source or target of a copy."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from datastore.copy.sides import Part, Row, Side
from datastore.engines.schema import Column, quoted, read_schema, schema_sql
from datastore.engines.sqlite.errors import translate

#: Kinds of values, each with the words in a SQLite column's type that select it; the first match wins.
_KINDS = {
    "integer": "INT|BOOL",
    "text": "CHAR|CLOB|TEXT|DATE|TIME|JSON|UUID",
    "blob": "BLOB",
    "real": "REAL|FLOA|DOUB",
}


class SQLiteSide(Side):
    """A database file.

    Raises:
        BusyError: Another process is writing to it.
    """

    def __init__(self, path: Path, *, target: bool) -> None:
        # The other side may read a batch from this connection in the thread that writes it, while this thread waits.
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
        try:
            if target:
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("ROLLBACK")
            else:
                self._connection.execute("BEGIN")  # one consistent state, even while others write
                self.count("sqlite_master")
            self.schema = read_schema(lambda name: self._connection.execute(schema_sql("sqlite", name)).fetchall())
        except sqlite3.Error as error:
            self._connection.close()
            raise translate(error, "copying") from error

    def kind(self, type: str) -> str:
        # By the words that determine SQLite's type affinity, and by type names that are common in non-STRICT tables.
        for kind, words in _KINDS.items():
            if re.search(words, type, re.IGNORECASE):
                return kind
        return f"{type or 'no type'}"

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        execute = self._connection.execute
        names, marks = ", ".join(quoted(column.name) for column in part.columns), ", ".join("?" * len(part.columns))
        try:
            execute("BEGIN IMMEDIATE")
            if whole:
                execute("PRAGMA defer_foreign_keys = ON")
            triggers = execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
                (part.name,),
            ).fetchall()
            for name, _ in triggers:
                execute(f"DROP TRIGGER {quoted(name)}")
            self._connection.executemany(f"INSERT INTO {quoted(part.name)} ({names}) VALUES ({marks})", rows)
            for _, text in triggers:
                execute(text)
            execute("COMMIT")
        except BaseException as error:
            self._connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise translate(error, f"copying {part.name}") from error
            raise

    def numbers(self) -> dict[str, int]:
        return {name.lower(): last for name, last in self._connection.execute("SELECT name, seq FROM sqlite_sequence")}

    def finish(self, numbers: Mapping[str, int]) -> None:
        execute, given = self._connection.execute, self.numbers()
        for name, text in execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            last = numbers.get(name.lower(), 0)
            if re.search(r"\bAUTOINCREMENT\b", text or "", re.IGNORECASE) and last > given.get(name.lower(), 0):
                changed = execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, name)).rowcount
                if not changed:
                    execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))

    def _cursor(self) -> AbstractContextManager[sqlite3.Cursor]:
        return contextlib.closing(self._connection.cursor())

    def _selected(self, column: Column) -> str:
        return quoted(column.name)

    def _ordered(self, column: Column) -> str:
        return f"{quoted(column.name)} COLLATE BINARY" if self.kind(column.type) == "text" else quoted(column.name)
