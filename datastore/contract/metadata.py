"""What SQLite itself says of a statement's columns: prepared, never run, in the library that `sqlite3` uses.

The `sqlite3` module gives a result column's name only after running, and never its origin. The C library has
both after prepare, RETURNING included, so it is asked through ctypes: the very library that the module is
linked to, over a copy of the database in memory. Where that library cannot be reached (hidden symbols, built
without SQLITE_ENABLE_COLUMN_METADATA, another version), `open_engine` gives None and the inference goes on
without its second witness.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sqlite3
import sys
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_int64, c_uint, c_void_p

import attrs

_OK = 0
_DESERIALIZE_READONLY = 4
_FUNCTIONS = {
    "libversion": (c_char_p, []),
    "open": (c_int, [c_char_p, c_void_p]),
    "close_v2": (c_int, [c_void_p]),
    "errmsg": (c_char_p, [c_void_p]),
    "deserialize": (c_int, [c_void_p, c_char_p, c_void_p, c_int64, c_int64, c_uint]),
    "prepare_v2": (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p]),
    "finalize": (c_int, [c_void_p]),
    "column_count": (c_int, [c_void_p]),
    "column_name": (c_char_p, [c_void_p, c_int]),
    "column_table_name": (c_char_p, [c_void_p, c_int]),
    "column_origin_name": (c_char_p, [c_void_p, c_int]),
    "table_column_metadata": (c_int, [c_void_p, *[c_char_p] * 3, *[c_void_p] * 5]),
}


@attrs.frozen
class EngineColumn:
    """One result column, as the engine describes it after prepare."""

    name: str
    #: Table and column that it comes from, through views and subqueries; None for an expression.
    origin: tuple[str, str] | None


class Engine(contextlib.AbstractContextManager["Engine"]):
    """A copy of a database's schema and rows in the C library, to prepare statements on."""

    def __init__(self, library: ctypes.CDLL, image: bytes) -> None:
        # The journal mode is in bytes 18 and 19; a database in memory has no WAL.
        image = image[:18] + b"\x01\x01" + image[20:]
        self._library = library
        self._image = ctypes.create_string_buffer(image, len(image))
        self._handle = c_void_p()
        self._check(library.sqlite3_open(b":memory:", ctypes.byref(self._handle)))
        size = len(image)
        self._check(library.sqlite3_deserialize(self._handle, b"main", self._image, size, size, _DESERIALIZE_READONLY))

    def __exit__(self, *raised: object) -> None:
        self._library.sqlite3_close_v2(self._handle)
        self._handle = c_void_p()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, TypeError):
            self.__exit__()

    def columns(self, sql: str) -> tuple[EngineColumn, ...]:
        """The result columns of *sql*, which is prepared and not run.

        Raises:
            sqlite3.OperationalError: It does not prepare; the message is the engine's.
        """
        library, statement, text = self._library, c_void_p(), sql.encode()
        self._check(library.sqlite3_prepare_v2(self._handle, text, len(text), ctypes.byref(statement), None))
        try:
            return tuple(self._column(statement, i) for i in range(library.sqlite3_column_count(statement)))
        finally:
            library.sqlite3_finalize(statement)

    def collation(self, table: str, column: str) -> str | None:
        """The collation that a column is declared with ("BINARY" without one); None for an unknown column."""
        name = c_char_p()
        status = self._library.sqlite3_table_column_metadata(
            self._handle, None, table.encode(), column.encode(), None, ctypes.byref(name), None, None, None
        )
        return name.value.decode() if status == _OK and name.value else None

    def _column(self, statement: c_void_p, index: int) -> EngineColumn:
        def said(function: Callable[[c_void_p, int], bytes | None]) -> str:
            return (function(statement, index) or b"").decode()

        library = self._library
        table, column = said(library.sqlite3_column_table_name), said(library.sqlite3_column_origin_name)
        return EngineColumn(said(library.sqlite3_column_name), (table, column) if table and column else None)

    def _check(self, status: int) -> None:
        if status != _OK:
            message = self._library.sqlite3_errmsg(self._handle) or b""
            raise sqlite3.OperationalError(message.decode() or f"error {status}")


@functools.cache
def find_library() -> ctypes.CDLL | None:
    """The SQLite library that the `sqlite3` module is linked to; None where it cannot be reached or lacks metadata."""
    import _sqlite3

    # dlsym on the extension module looks into what the module is linked to, whatever its name and place.
    for path in (getattr(_sqlite3, "__file__", None), None if sys.platform != "win32" else "sqlite3.dll"):
        try:
            library = ctypes.CDLL(path)
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, f"sqlite3_{name}")
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError, TypeError):
            continue
        if library.sqlite3_libversion().decode() == sqlite3.sqlite_version:
            return library
    return None


def open_engine(connection: sqlite3.Connection) -> Engine | None:
    """The C library over a copy of *connection*'s main database; None where `find_library` finds none."""
    library = find_library()
    if library is None or not hasattr(connection, "serialize"):
        return None
    try:
        return Engine(library, connection.serialize())
    except sqlite3.OperationalError:
        return None  # a database in memory without a table has no page to serialize
