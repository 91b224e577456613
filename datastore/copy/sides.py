"""Whole tables from one database to another, SQLite or PostgreSQL: read in the order of their keys, written as they are.

No statement of sql/ can say "every column of every table", so those few are composed here. Triggers are off while a batch is
written, in the same transaction: what they would compute (counts, tags, numbers) is copied, and a killed copy leaves none off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs

from datastore.engines.schema import Column, Schema, quoted

Row = tuple[Any, ...]

#: The first page of a table, whose rows may be of a mebibyte each, and the characters that make a page large.
_FIRST_ROWS, _PAGE_LENGTH = 64, 8 * 1024 * 1024


@attrs.frozen
class Part:
    """A table as it is on one side."""

    name: str
    #: In the same order on both sides.
    columns: tuple[Column, ...]
    #: Where the columns of the key are among them.
    key: tuple[int, ...]

    @property
    def keys(self) -> list[Column]:
        """The columns of the key."""
        return [self.columns[place] for place in self.key]


class Side:
    """A database that is copied from or to: how it is read is the same on both engines, but for the marks of parameters."""

    #: Whether it is on a PostgreSQL server.
    is_server = False
    #: How the driver marks a parameter.
    mark = "?"
    schema: Schema
    _connection: Any

    def kind(self, type: str) -> str:
        """Which values a column of this type has: integer, real, text, blob, ... or what only this engine has."""
        raise NotImplementedError

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        """All of the rows, or none; perhaps only when `settle` is called.

        Args:
            part: The table.
            rows: The next rows.
            whole: They are all that the table is to have: one may refer to a later one.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until everything is done that was begun; raises what failed."""

    def numbers(self) -> dict[str, int]:
        """The last number that each table gave out, by the table's name in lower case."""
        raise NotImplementedError

    def finish(self, numbers: Mapping[str, int]) -> None:
        """Begin what the database needs after its last row, while the rows are read again; `settle` waits for it.

        Args:
            numbers: Each table goes on after this number, or after its highest.
        """
        raise NotImplementedError

    def count(self, name: str) -> int:
        """How many rows a table has."""
        return int(self._connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0])

    def has_odd_times(self, table: str, column: Column) -> bool:
        """Whether a column has times that the library's text cannot say: infinite, before the year 1 or after 9999."""
        return False

    def last(self, part: Part) -> Row | None:
        """The greatest key."""
        order = ", ".join(f"{self._ordered(key)} DESC" for key in part.keys)
        sql = f"SELECT {', '.join(map(self._selected, part.keys))} FROM {quoted(part.name)} ORDER BY {order} LIMIT 1"
        found: Row | None = self._connection.execute(sql).fetchone()
        return found

    def pages(self, part: Part, after: Row | None, rows: int) -> Generator[list[Row], None, None]:
        """The rows after a key in its order, *rows* at most at a time and about 8 MiB."""
        columns, order = map(self._selected, part.columns), ", ".join(map(self._ordered, part.keys))
        later = "" if after is None else f"WHERE ({order}) > ({', '.join([self.mark] * len(part.key))})"
        sql = f"SELECT {', '.join(columns)} FROM {quoted(part.name)} {later} ORDER BY {order}"
        size = min(rows, _FIRST_ROWS)
        with self._cursor() as cursor:
            cursor.execute(sql, after or ())
            while page := cursor.fetchmany(size):
                yield page
                length = sum(len(value) for row in page for value in row if isinstance(value, str | bytes))
                if length > _PAGE_LENGTH:
                    size = max(1, size // 2)
                elif length < _PAGE_LENGTH // 4:
                    size = min(rows, size * 2)

    def _cursor(self) -> Any:
        """A cursor that fetches as it is asked, and is closed at the end."""
        raise NotImplementedError

    def _selected(self, column: Column) -> str:
        """A column's value as it is compared and written on the other side."""
        raise NotImplementedError

    def _ordered(self, column: Column) -> str:
        """The same, in an order that is that of both engines."""
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()


class Digest:
    """SHA-256 of every value of a table, in the order of its key.

    Args:
        documents: The places of columns that one side keeps as values of JSON and the other as their text.
    """

    def __init__(self, documents: Sequence[int] = ()) -> None:
        self._found = hashlib.sha256()
        self._documents = documents

    def update(self, rows: Sequence[Row]) -> None:
        """Take in the next rows."""
        lines = [encoded(row, self._documents) for row in rows]
        self._found.update("\n".join([*lines, ""]).encode())

    @classmethod
    def of(cls, side: Side, part: Part, documents: Sequence[int] = ()) -> str:
        """That of a whole table."""
        found = cls(documents)
        with contextlib.closing(side.pages(part, None, 5000)) as pages:
            for page in pages:
                found.update(page)
        return found.hex

    @property
    def hex(self) -> str:
        """What was taken in so far."""
        return self._found.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Decimal):
        # 1.0 and 1e0 are one value of JSONB, and so is what PostgreSQL writes for them.
        return {"number": str(value.normalize())}
    raise TypeError(f"{type(value).__name__} is no value of a row")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
_encode_document = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain, sort_keys=True).encode
_decode_document = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal).decode


def encoded(row: Row, documents: Sequence[int] = ()) -> str:
    """A row as the digest takes it; equal rows are equal texts."""
    if documents:
        values = list(row)
        for place in documents:
            if values[place] is not None:
                values[place] = _document(values[place])
        row = tuple(values)
    return _encode(row)


def _document(text: str) -> str:
    try:
        return _encode_document(_decode_document(text))
    except (ValueError, TypeError, RecursionError):
        return f"no JSON: {text}"


def chained(pages: Iterable[Sequence[Row]], seen: Digest) -> Iterator[Row]:
    """The rows of the pages, which the digest takes in as they go."""
    for page in pages:
        seen.update(page)
        yield from page
