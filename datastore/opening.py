"""Opening a database: the statements on an engine, whether its schema is the right one, what the URL of a server leads to."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datastore.errors import DatabaseError, NotADatastoreError, SchemaOutOfDateError
from datastore.migrations import apply, pending, unknown
from datastore.resources import migrations_folder, sql_folder

if TYPE_CHECKING:
    from datastore.engines.postgresql import PostgreSQLEngine
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement


def bind_statements(engine: Any) -> Statements:
    """The package's own statements, as methods that run on *engine*."""
    from datastore.statements.typed import RECORDS

    bound: Statements = engine.bind(_own_statements(engine.name), RECORDS)
    return bound


@functools.cache
def _own_statements(engine: str) -> dict[str, Statement]:
    # The files are read once a process.
    from datastore.statements.loader import read_statements

    return read_statements(sql_folder(), engine)


def refuse_schema(name: str, applied: list[str], folders: Sequence[Path], command: str) -> None:
    """Raise SchemaOutOfDateError where steps are pending or unknown; *command* is what to type."""
    if newer := unknown(applied):
        raise SchemaOutOfDateError(
            f"{name} has migrations that this version does not know ({', '.join(newer)}); use a newer datastore"
        )
    if lacking := pending(applied, *folders):
        raise SchemaOutOfDateError(f"{name} lacks {', '.join(lacking)}; back it up, then run: {command}")


def is_server(database: str | os.PathLike[str]) -> bool:
    """Whether this is the URL of a PostgreSQL database."""
    return isinstance(database, str) and database.startswith(("postgresql://", "postgres://"))


def require_psycopg() -> None:
    """Refuse where PostgreSQL's driver is not installed.

    Raises:
        DatabaseError: It is not; the message says how to install it.
    """
    if not all(map(find_spec, ("psycopg", "psycopg_pool"))):
        raise DatabaseError("PostgreSQL needs psycopg, which is not installed: pip install 'datastore[postgresql]'")


def server_engine(url: str, **options: Any) -> PostgreSQLEngine:
    """The engine of a database on a server, whatever its schema is.

    Raises:
        DatabaseError: psycopg is not installed, or the server cannot be reached.
    """
    require_psycopg()
    from datastore.engines.postgresql import PostgreSQLEngine

    return PostgreSQLEngine(url, **options)


def applied_on_server(engine: PostgreSQLEngine, statements: Statements) -> list[str]:
    """The ids of the migrations that a database on a server has, in their order.

    Raises:
        NotADatastoreError: It has none, not even yoyo's tables.
    """
    try:
        return [row[0] for row in statements.list_applied_migrations()]
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != "42P01":
            raise
        raise NotADatastoreError(
            f"{engine.database} is not a database of this library (yet); run: {server_apply_command()}"
        ) from error


def server_apply_command(*folders: Path) -> str:
    """What to type to bring a database on a server to the newest schema; its URL is not shown."""
    places = folders or (migrations_folder("postgresql"),)
    return " ".join(["yoyo apply --database postgresql+datastore://...", *map(str, places)])


def on_server(
    url: str, migrate: bool, migrations: list[Path], options: dict[str, Any]
) -> tuple[PostgreSQLEngine, Statements]:
    """The engine of a database on a server, whose schema is known to be right, and the statements on it."""
    engine = server_engine(url, **options)
    try:
        folders = [migrations_folder("postgresql"), *migrations]
        if migrate:
            apply(url, *folders)
        statements = bind_statements(engine)
        refuse_schema(engine.database, applied_on_server(engine, statements), folders, server_apply_command(*folders))
    except BaseException:
        engine.close()
        raise
    return engine, statements
