"""The sides of a copy: read whole tables of a SQLite or PostgreSQL database in key order, and write them unchanged.

No statement of sql/ can name "every column of every table", so these few are composed here. Triggers are off while a batch is
written, in the same transaction: the values that they would compute (counts, tags, numbers) are copied, and a killed copy
leaves no trigger off.
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

#: Rows in the first page of a table (each row may have a mebibyte), and the number of characters that makes a page large.
_FIRST_ROWS, _PAGE_LENGTH = 64, 8 * 1024 * 1024


@attrs.frozen
class Part:
    """A table on one side."""

    name: str
    #: In the same order on both sides.
    columns: tuple[Column, ...]
    #: The positions of the key's columns in `columns`.
    key: tuple[int, ...]

    @property
    def keys(self) -> list[Column]:
        """The columns of the key."""
        return [self.columns[place] for place in self.key]


class Side:
    """A database as source or target of a copy. Both engines read in the same way, except for the parameter placeholders."""

    #: Whether it is on a PostgreSQL server.
    is_server = False
    #: How the driver marks a parameter.
    mark = "?"
    schema: Schema
    _connection: Any

    def kind(self, type: str) -> str:
        """The kind of values in a column of this type: integer, real, text, blob, ... or a type that only this engine has."""
        raise NotImplementedError

    def write(self, part: Part, rows: Iterable[Row], *, whole: bool) -> None:
        """Write all of the rows or none; they may not be written until `settle` is called.

        Args:
            part: The table.
            rows: The next rows.
            whole: Whether these are all rows of the table; then a row may refer to a later one.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until all pending work is done; raise its error if it failed."""

    def numbers(self) -> dict[str, int]:
        """The last generated number of each table, by the table's lower-case name."""
        raise NotImplementedError

    def finish(self, numbers: Mapping[str, int]) -> None:
        """Start the work that follows the last row, while the rows are read for the digests; `settle` waits for it.

        Args:
            numbers: Each table continues after this number, or after its highest one.
        """
        raise NotImplementedError

    def count(self, name: str) -> int:
        """The number of rows in a table."""
        return int(self._connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0])

    def has_odd_times(self, table: str, column: Column) -> bool:
        """Whether a column has times that the library's text format cannot represent: infinite, before year 1 or after 9999."""
        return False

    def last(self, part: Part) -> Row | None:
        """The greatest key."""
        order = ", ".join(f"{self._ordered(key)} DESC" for key in part.keys)
        sql = f"SELECT {', '.join(map(self._selected, part.keys))} FROM {quoted(part.name)} ORDER BY {order} LIMIT 1"
        found: Row | None = self._connection.execute(sql).fetchone()
        return found

    def pages(self, part: Part, after: Row | None, rows: int) -> Generator[list[Row], None, None]:
        """The rows after a key, in key order, in pages of at most *rows* rows and about 8 MiB."""
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
        """A cursor that fetches on demand, and is closed at the end."""
        raise NotImplementedError

    def _selected(self, column: Column) -> str:
        """The SQL expression of a column's value, in the form that is compared and written on the other side."""
        raise NotImplementedError

    def _ordered(self, column: Column) -> str:
        """The same, with an order that both engines share."""
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()


class Digest:
    """SHA-256 of every value of a table, in key order.

    Args:
        documents: The positions of columns that one side stores as JSON values and the other as text.
    """

    def __init__(self, documents: Sequence[int] = ()) -> None:
        self._found = hashlib.sha256()
        self._documents = documents

    def update(self, rows: Sequence[Row]) -> None:
        """Add the next rows."""
        lines = [encoded(row, self._documents) for row in rows]
        self._found.update("\n".join([*lines, ""]).encode())

    @classmethod
    def of(cls, side: Side, part: Part, documents: Sequence[int] = ()) -> str:
        """The digest of a whole table."""
        found = cls(documents)
        with contextlib.closing(side.pages(part, None, 5000)) as pages:
            for page in pages:
                found.update(page)
        return found.hex

    @property
    def hex(self) -> str:
        """The digest of the rows so far."""
        return self._found.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Decimal):
        # 1.0 and 1e0 are the same JSONB value, and equal to what PostgreSQL writes for them.
        return {"number": str(value.normalize())}
    raise TypeError(f"a row cannot have a value of type {type(value).__name__}")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
_encode_document = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain, sort_keys=True).encode
_decode_document = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal).decode


def encoded(row: Row, documents: Sequence[int] = ()) -> str:
    """Encode a row for the digest; equal rows have equal texts."""
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
    """The rows of the pages, added to the digest as they pass."""
    for page in pages:
        seen.update(page)
        yield from page
