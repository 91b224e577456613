"""Opening a database: what a path or URL leads to, whether its schema is the right one, the statements on its engine."""

from __future__ import annotations

import functools
import os
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from datastore.address import server_url
from datastore.engines.base import Durability, Engine
from datastore.engines.sqlite.engine import APPLICATION_ID, SQLiteEngine
from datastore.errors import (
    CorruptDatabaseError,
    DatabaseError,
    DatabaseMissingError,
    DatastoreError,
    NotADatastoreError,
    ReadOnlyDatabaseError,
    SchemaOutOfDateError,
)
from datastore.files import make_beside
from datastore.migrations import apply, migration_ids, other_steps, pending, unknown
from datastore.migrations.checksums import other_history
from datastore.resources import migrations_folder, sql_folder

if TYPE_CHECKING:
    from datastore.engines.postgresql.engine import PostgreSQLEngine
    from datastore.repositories import Repositories
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement
    from datastore.upkeep.backups import Opener
    from datastore.upkeep.base import Upkeep

    #: An engine, the package's statements on it, and what makes its upkeep.
    Opened = tuple[Engine, Statements, Callable[[Repositories], Upkeep]]


def bind_statements(engine: Engine) -> Statements:
    """The package's own statements, as methods that run on *engine*."""
    from datastore.statements.typed import RECORDS

    return engine.bind(_own_statements(engine.name), RECORDS)


@functools.cache
def _own_statements(engine: str) -> dict[str, Statement]:
    # The files are read once a process.
    from datastore.statements.loader import read_statements

    return read_statements(sql_folder(), engine)


def refuse_schema(name: str, applied: Mapping[str, str | None], folders: Sequence[Path], command: str) -> None:
    """Raise SchemaOutOfDateError where steps are pending, unknown or others; *command* is what to type.

    Args:
        name: The database.
        applied: What it has, as `applied_in_file` gives it.
        folders: This library's steps, and the application's.
        command: What applies the pending ones.
    """
    if others := other_steps(applied, folders[0]):
        raise other_history(name, others)
    if newer := unknown(applied):
        raise SchemaOutOfDateError(
            f"{name} has migrations that this version does not know ({', '.join(newer)}); use a newer datastore"
        )
    if lacking := pending(applied, *folders):
        raise SchemaOutOfDateError(f"{name} lacks {', '.join(lacking)}; back it up, then run: {command}")


# A file.


def find_file(path: Path) -> os.stat_result | None:
    """What is at the path of a database; None where nothing is.

    Raises:
        NotADatastoreError: It is a folder, a device, a pipe or a socket.
        ReadOnlyDatabaseError: A folder above it may not be entered.
    """
    # The file is not read here: opening and closing it would drop the locks of this process's connections.
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ReadOnlyDatabaseError(
            f"{path} cannot be reached: {error.strerror}; change the rights of its folders"
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise NotADatastoreError(f"{path} is a folder; give the path of a database file in it")
    if not stat.S_ISREG(found.st_mode):
        raise NotADatastoreError(f"{path} is a device, a pipe or a socket; give the path of a database file")
    return found


def refuse_foreign(path: Path) -> None:
    """Raise what `Datastore.open` raises where the file system alone tells that it cannot be opened."""
    found = find_file(path)
    refuse_lost(path, found)
    if found is None:
        raise DatabaseMissingError(
            f"there is no database at {path}; create it with datastore import, Datastore.open(..., migrate=True), or:"
            f" {apply_command(path)}"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise ReadOnlyDatabaseError(f"{path} cannot be written to; change its rights, or copy it")
    if not os.access(path.parent, os.W_OK):
        raise ReadOnlyDatabaseError(
            f"the folder of {path} cannot be written to, where the WAL has to be; change its rights"
        )


def refuse_lost(path: Path, found: os.stat_result | None) -> None:
    """Refuse an empty or missing file with a WAL: SQLite would delete the WAL, and with it what was committed.

    An empty file without one is a new database, as a missing one is: `touch` and `tempfile` make such files.

    Raises:
        CorruptDatabaseError: The database is gone, and its WAL is there.
    """
    wal = Path(f"{path}-wal")
    if (found is None or not found.st_size) and wal.exists() and wal.stat().st_size:
        raise CorruptDatabaseError(
            f"{path} is {'missing' if found is None else 'empty'}, and {wal.name} is there: it was a database;"
            " restore a backup, or move the WAL away"
        )


def applied_in_file(engine: SQLiteEngine, statements: Statements) -> dict[str, str | None]:
    """The ids of the migrations that a database has, in their order, each with what yoyo's log says of its text.

    Raises:
        NotADatastoreError: It is not one of this library; nothing was changed.
        CorruptDatabaseError: It is one, and damaged.
    """
    path = engine.path
    try:
        number, pages = engine.pragma("application_id"), engine.pragma("page_count")
    except CorruptDatabaseError as error:
        raise NotADatastoreError(f"{path} is no SQLite database (or its first page is damaged)") from error
    if number == 0 and pages == 0:
        raise NotADatastoreError(f"{path} is an empty file; make a database of it with: {apply_command(path)}")
    if number not in (0, APPLICATION_ID):
        raise NotADatastoreError(f"{path} is another program's database (application_id {number})")
    foreign = NotADatastoreError(f"{path} is a SQLite database, but not one of this library")
    try:
        applied = dict(statements.list_applied_migrations())
    except DatastoreError as error:
        if number:
            raise  # ours, and damaged
        raise foreign from error
    if number == 0 and set(applied) - set(migration_ids(migrations_folder())):
        raise foreign  # migrated by yoyo too, but for another program
    return applied


def apply_command(path: Path, *folders: Path) -> str:
    """What to type to bring a database to the newest schema."""
    return _yoyo_apply(f"sqlite+datastore:///{quote(str(path))}", folders or [migrations_folder()])


def _yoyo_apply(url: str, folders: Sequence[Path]) -> str:
    return shlex.join(["yoyo", "apply", "--database", url, *map(str, folders)])


def on_file(
    path: Path,
    migrate: bool,
    migrations: list[Path],
    *,
    opener: Opener,
    durability: Durability,
    timeout: float,
    gate: bool,
    clock: Callable[[], datetime],
) -> Opened:
    """A database in a file, whose schema is known to be right; *opener* opens copies of it."""
    folders = [migrations_folder(), *migrations]
    if migrate:
        found = find_file(path)
        refuse_lost(path, found)
        if found is not None:
            refuse_foreign(path)
            make_beside(Path(f"{path}.gate"), path)
        apply(path, *folders)
    refuse_foreign(path)
    engine = SQLiteEngine(path, durability=durability, timeout=timeout, gate=gate, clock=clock)
    try:
        statements = bind_statements(engine)
        refuse_schema(str(path), applied_in_file(engine, statements), folders, apply_command(path, *folders))
        if gate:
            make_beside(Path(f"{path}.gate"), path)
    except BaseException:
        engine.close()
        raise

    def upkeep(parts: Repositories) -> Upkeep:
        from datastore.upkeep.sqlite import SQLiteUpkeep

        return SQLiteUpkeep(engine, parts, opener)

    return engine, statements, upkeep


# A server.


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
    from datastore.engines.postgresql.engine import PostgreSQLEngine

    return PostgreSQLEngine(server_url(url), **options)


def applied_on_server(engine: PostgreSQLEngine, statements: Statements) -> dict[str, str | None]:
    """The ids of the migrations that a database on a server has, as `applied_in_file` gives them.

    Raises:
        NotADatastoreError: It has none, not even yoyo's tables.
    """
    try:
        return dict(statements.list_applied_migrations())
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != "42P01":
            raise
        raise NotADatastoreError(
            f"{engine.database} is not a database of this library (yet); run: {server_apply_command()}"
        ) from error


def server_apply_command(*folders: Path) -> str:
    """What to type to bring a database on a server to the newest schema; its URL is not shown."""
    return _yoyo_apply("postgresql+datastore://...", folders or [migrations_folder("postgresql")])


def on_server(
    url: str,
    migrate: bool,
    migrations: list[Path],
    *,
    durability: Durability,
    timeout: float,
    pool_size: int,
    replica: str | None,
    clock: Callable[[], datetime] | None,
) -> Opened:
    """A database on a server, whose schema is known to be right."""
    engine = server_engine(
        url, durability=durability, timeout=timeout, pool_size=pool_size, replica=replica, clock=clock
    )
    try:
        folders = [migrations_folder("postgresql"), *migrations]
        if migrate:
            apply(server_url(url), *folders)
        statements = bind_statements(engine)
        refuse_schema(engine.database, applied_on_server(engine, statements), folders, server_apply_command(*folders))
    except BaseException:
        engine.close()
        raise

    def upkeep(parts: Repositories) -> Upkeep:
        from datastore.upkeep.postgresql import PostgreSQLUpkeep

        return PostgreSQLUpkeep(engine)

    return engine, statements, upkeep
