"""A PostgreSQL session: its settings, the conversion of values, and the statements that the engine itself runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.types.string import BytesBinaryDumper, TextLoader

from datastore.resources import sql_folder
from datastore.statements.loader import read_texts
from datastore.statements.optional import by_name
from datastore.values import encode_blob

Connection = psycopg.Connection[tuple[Any, ...]]


class _InstantLoader(Loader):
    """Loads timestamptz as the text that SQLite stores: 2026-11-23T09:14:05.000000Z. The session's time zone is UTC."""

    def load(self, data: Any) -> str:
        text = bytes(data).decode()
        day, _, rest = text.partition(" ")
        clock, _, fraction = rest.removesuffix("+00").partition(".")
        return f"{day}T{clock}.{fraction:0<6}Z"


class _FlagDumper(Dumper):
    """Dumps True and False as 1 and 0: flags are integers, so that statements are the same on both engines."""

    oid = psycopg.postgres.types["int2"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _RefusingDumper(Dumper):
    """Refuses types that SQLite's tables would refuse too; psycopg would convert them to text in its own way."""

    def dump(self, obj: object) -> NoReturn:
        raise psycopg.DataError(f"no column has the type {type(obj).__name__}")


class Blob(bytes):
    """The value of a parameter of type blob; other bytes are refused."""

    @classmethod
    def of(cls, value: bytes) -> Blob:
        """Mark a value.

        Raises:
            InvalidValueError: It is not bytes.
        """
        return cls(encode_blob(value))


_REFUSED = (bytes, bytearray, memoryview, Decimal, UUID, list, tuple, date, datetime, clock_time, timedelta)


def set_up(connection: Connection, *, synchronous_commit: str, lock_timeout: float, read_only: bool) -> None:
    """Make values look like SQLite's, and override the settings of the role and the database.

    Args:
        connection: A new connection, in autocommit mode.
        synchronous_commit: "on" or "off".
        lock_timeout: In seconds.
        read_only: Whether the server refuses changes.
    """
    connection.adapters.register_loader("timestamptz", _InstantLoader)
    connection.adapters.register_loader("json", TextLoader)
    connection.adapters.register_dumper(bool, _FlagDumper)
    for kind in _REFUSED:
        connection.adapters.register_dumper(kind, _RefusingDumper)
    connection.adapters.register_dumper(Blob, BytesBinaryDumper)
    settings = {
        "synchronous_commit": synchronous_commit,
        "lock_timeout": f"{int(lock_timeout * 1000)}ms",
        "read_only": "on" if read_only else "off",
    }
    connection.execute(session_sql("set_session"), settings)


@cache
def _session() -> dict[str, str]:
    path = sql_folder() / "postgresql" / "session.sql"
    return {name: by_name(sql) for name, sql in read_texts(path, "postgresql/session.sql").items()}


def session_sql(name: str) -> str:
    """A statement that the engine itself runs, with psycopg's placeholders."""
    return _session()[name]
