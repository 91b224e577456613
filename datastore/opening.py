"""Open a database: resolve its path or URL, check its schema, and bind the statements to its engine."""

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

    #: An engine, the package's statements bound to it, and the function that creates its upkeep.
    Opened = tuple[Engine, Statements, Callable[[Repositories], Upkeep]]


def bind_statements(engine: Engine) -> Statements:
    """The package's own statements, as methods that run on *engine*."""
    from datastore.statements.typed import RECORDS

    return engine.bind(_own_statements(engine.name), RECORDS)


@functools.cache
def _own_statements(engine: str) -> dict[str, Statement]:
    # The files are read once per process.
    from datastore.statements.loader import read_statements

    return read_statements(sql_folder(), engine)


def refuse_schema(name: str, applied: Mapping[str, str | None], folders: Sequence[Path], command: str) -> None:
    """Raise SchemaOutOfDateError if steps are pending, unknown or different.

    Args:
        name: The database, as messages name it.
        applied: Its applied steps, as `applied_in_file` returns them.
        folders: The folder of this library's steps, then the application's.
        command: The command that applies the pending ones, for the message.
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
    """The status of the file at a database's path; None if there is no file.

    Raises:
        NotADatastoreError: It is a folder, a device, a pipe or a socket.
        ReadOnlyDatabaseError: One of its parent folders may not be entered.
    """
    # Do not open the file here: closing it would drop the locks of this process's connections.
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


def refuse_foreign(path: Path, *, read_only: bool = False) -> None:
    """Raise the errors of `Datastore.open` that can be found from the file system alone."""
    found = find_file(path)
    refuse_lost(path, found)
    if found is None:
        raise DatabaseMissingError(
            f"there is no database at {path}; create it with datastore import, Datastore.open(..., migrate=True), or:"
            f" {apply_command(path)}"
        )
    if read_only:
        if not os.access(path, os.R_OK):
            raise ReadOnlyDatabaseError(f"{path} cannot be read; change its rights")
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise ReadOnlyDatabaseError(f"{path} cannot be written to; change its rights, or open it with read_only=True")
    if not os.access(path.parent, os.W_OK):
        raise ReadOnlyDatabaseError(
            f"the folder of {path}, which must contain its WAL, cannot be written to; change its rights, or open it with"
            " read_only=True"
        )


def refuse_lost(path: Path, found: os.stat_result | None) -> None:
    """Refuse an empty or missing file with a WAL: SQLite would delete the WAL, and with it committed data.

    An empty file without a WAL is a new database, like a missing file: `touch` and `tempfile` create such files.

    Raises:
        CorruptDatabaseError: The database is gone, but its WAL still exists.
    """
    wal = Path(f"{path}-wal")
    if (found is None or not found.st_size) and wal.exists() and wal.stat().st_size:
        raise CorruptDatabaseError(
            f"{path} is {'missing' if found is None else 'empty'}, but {wal.name} exists: it was a database;"
            " restore a backup, or move the WAL away"
        )


def applied_in_file(engine: SQLiteEngine, statements: Statements) -> dict[str, str | None]:
    """The ids of a database's applied migrations, in order, each with its comment in yoyo's log, which records the checksum.

    Raises:
        NotADatastoreError: It is not a database of this library; nothing was changed.
        CorruptDatabaseError: It is one, but damaged.
    """
    path = engine.path
    try:
        number, pages = engine.pragma("application_id"), engine.pragma("page_count")
    except CorruptDatabaseError as error:
        raise NotADatastoreError(f"{path} is not a SQLite database (or its first page is damaged)") from error
    if number == 0 and pages == 0:
        raise NotADatastoreError(f"{path} is an empty file; create a database in it with: {apply_command(path)}")
    if number not in (0, APPLICATION_ID):
        raise NotADatastoreError(f"{path} is another program's database (application_id {number})")
    foreign = NotADatastoreError(f"{path} is a SQLite database, but not one of this library")
    try:
        applied = dict(statements.list_applied_migrations())
    except DatastoreError as error:
        if number:
            raise  # a database of this library, but damaged
        raise foreign from error
    if number == 0 and set(applied) - set(migration_ids(migrations_folder())):
        raise foreign  # yoyo migrated it too, but for another program
    return applied


def apply_command(path: Path, *folders: Path) -> str:
    """The command that migrates a database to the newest schema."""
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
    read_only: bool,
    clock: Callable[[], datetime],
) -> Opened:
    """Open a database file and check its schema; *opener* opens copies of it."""
    folders = [migrations_folder(), *migrations]
    if migrate:
        found = find_file(path)
        refuse_lost(path, found)
        if found is not None:
            refuse_foreign(path)
            make_beside(Path(f"{path}.gate"), path)
        apply(path, *folders)
    refuse_foreign(path, read_only=read_only)
    engine = SQLiteEngine(path, durability=durability, timeout=timeout, gate=gate, read_only=read_only, clock=clock)
    try:
        statements = bind_statements(engine)
        refuse_schema(str(path), applied_in_file(engine, statements), folders, apply_command(path, *folders))
        if gate and not read_only:
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
    """Check that PostgreSQL's driver is installed.

    Raises:
        DatabaseError: It is not installed; the message says how to install it.
    """
    if not all(map(find_spec, ("psycopg", "psycopg_pool"))):
        raise DatabaseError("PostgreSQL needs psycopg, which is not installed: pip install 'datastore[postgresql]'")


def server_engine(url: str, **options: Any) -> PostgreSQLEngine:
    """The engine of a database on a server, whatever its schema.

    Raises:
        DatabaseError: psycopg is not installed, or the server cannot be reached.
    """
    require_psycopg()
    from datastore.engines.postgresql.engine import PostgreSQLEngine

    return PostgreSQLEngine(server_url(url), **options)


def applied_on_server(engine: PostgreSQLEngine, statements: Statements) -> dict[str, str | None]:
    """The applied migrations of a database on a server, as `applied_in_file` returns them.

    Raises:
        NotADatastoreError: It has none, nor yoyo's tables.
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
    """The command that migrates a database on a server to the newest schema; its URL is not shown."""
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
    read_only: bool,
    clock: Callable[[], datetime] | None,
) -> Opened:
    """Open a database on a server and check its schema."""
    engine = server_engine(
        url,
        durability=durability,
        timeout=timeout,
        pool_size=pool_size,
        replica=replica,
        read_only=read_only,
        clock=clock,
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
