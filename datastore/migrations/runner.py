"""Apply and roll back migrations, as ``yoyo apply`` and ``yoyo rollback`` do; find pending and unknown ones.

Only the calls that need yoyo import it.
"""

from __future__ import annotations

import functools
import glob
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from datastore.address import database_path, is_server
from datastore.errors import DatabaseMissingError
from datastore.migrations.checksums import checksum, read_lock, recorded
from datastore.migrations.steps import check_folders, is_library_id, load, step_files
from datastore.resources import migrations_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from yoyo.migrations import MigrationList

    from datastore.migrations.backend import Steps

# yoyo keeps every migration that it has read in one dictionary by id.
_reading = threading.RLock()


def migration_ids(folder: Path) -> list[str]:
    """The ids of the migrations in *folder*, in order."""
    return [path.stem for path in step_files(folder)]


def pending(applied: Iterable[str], *folders: Path) -> list[str]:
    """The ids that are in the folders (by default this library's) but not in *applied*."""
    done = set(applied)
    return [name for folder in folders or [migrations_folder()] for name in migration_ids(folder) if name not in done]


def unknown(applied: Iterable[str]) -> list[str]:
    """The ids in *applied* that look like this library's own (``0007.name``) but that it does not have.

    Every other id belongs to an application with its own tables in the same database.
    """
    known = set(migration_ids(migrations_folder()))
    return sorted(name for name in applied if is_library_id(name) and name not in known)


def other_steps(applied: Mapping[str, str | None], folder: Path) -> list[str]:
    """The ids in *applied* which show that a version with different steps made the database; empty if there are none.

    Until version 0.1.0 a step may be changed in place, and its text then differs. Unknown steps come from a newer version only
    if no step of *folder* is missing.

    Args:
        applied: Id to the comment of yoyo's log, which records the checksum.
        folder: This library's own steps.
    """
    ids, texts = migration_ids(folder), read_lock(folder)
    sums = {name: recorded(comment) for name, comment in applied.items()}
    others = [name for name in ids if sums.get(name) not in (None, texts.get(f"{name}.sql"))]
    return others + unknown(applied) if others or pending(applied, folder) else []


def apply(database: Path | str, *folders: Path, timeout: float = 30.0) -> list[str]:
    """Migrate the database to the newest schema; a missing file is created.

    Each migration is one transaction, and several processes may call this at once.

    Args:
        database: A path, or a URL: ``sqlite:///path``, ``postgresql://...``.
        folders: The folders with the migrations; by default this library's own.
        timeout: How long to wait for another writer, in seconds.

    Returns:
        The ids that this call applied, in order.

    Raises:
        InvalidValueError: A folder is missing, is a file, or has no steps; nothing was created.
        StatementError: A step cannot be run: it exists twice, depends on a missing one, or begins its own transaction.
            Nothing was created.
        SchemaOutOfDateError: A migration was changed after its release, or a version with other migrations made the database.
        NotADatastoreError: The path is not a database of this library.
        BusyError: Another writer held the database for longer than *timeout* seconds.
        DatabaseMissingError: The folder in which to create the file does not exist.
    """
    database = _named(database)
    places = _places(database, folders)
    with _open_backend(database, timeout) as backend:
        if not backend.lacks(_find(places)):
            return []
        steps = _read(places)
        backend.known = {step.id for step in steps}
        backend.apply_migrations(backend.to_apply(steps))
        return list(backend.done)


def _places(database: Path | str, folders: Sequence[Path]) -> list[Path]:
    """The folders, each checked to have steps; by default this library's own."""
    places = [Path(folder) for folder in folders] or [
        migrations_folder("postgresql" if isinstance(database, str) else "sqlite")
    ]
    check_folders(places)
    return places


def _named(database: Path | str) -> Path | str:
    """A file's path, or a server's URL: a string may name either."""
    return database if isinstance(database, Path) or is_server(database) else database_path(database)


def _open_backend(database: Path | str, timeout: float) -> AbstractContextManager[Steps]:
    if isinstance(database, str):
        from datastore.migrations import postgresql

        return postgresql.open_backend(database, timeout)
    from datastore.migrations import sqlite

    return sqlite.open_backend(database, timeout)


def rollback(
    database: Path | str,
    *folders: Path,
    all: bool = False,
    steps: int = 1,
    allow_loss: bool = False,
    timeout: float = 30.0,
) -> list[str]:
    """Roll back the last *steps* migrations, or all of them. This may lose data: a warning says so, with the first line of the
    rollback file.

    Args:
        database: A path, or a URL: ``sqlite:///path``, ``postgresql://...``.
        folders: The folders with the migrations; by default this library's own.
        all: Roll back every step.
        steps: How many to roll back, newest first.
        allow_loss: Also roll back steps that destroy legal holds, receipts, tombstones or entries of the audit log.
        timeout: How long to wait for another writer, in seconds.

    Give every folder whose steps the database has. A step is not rolled back if a later one is in none of the folders, because
    that step's dependencies are unknown.

    Returns:
        The ids that this call rolled back, newest first.

    Raises:
        DatabaseMissingError: There is no such file.
        InvalidValueError: A folder is missing, is a file, or has no steps.
        SchemaOutOfDateError: A migration was changed after its release or after it was applied; or the database has newer
            ones than the folders. Nothing was rolled back.
        RollbackRefusedError: A step has no rollback (nothing was rolled back), or it would destroy what must be kept.
        BusyError: Another writer held the database for longer than *timeout* seconds.
    """
    database = _named(database)
    places = _places(database, folders)
    if isinstance(database, Path) and not database.exists():
        raise DatabaseMissingError(f"there is no database at {database}; nothing was created")
    with _open_backend(database, timeout) as backend:
        every = _read(places)
        backend.allow_loss = allow_loss
        backend.known = {step.id for step in every}
        applied = backend.to_rollback(every)
        backend.rollback_migrations(applied if all else applied[: max(0, steps)])
        return list(backend.done)


def _find(folders: Sequence[Path]) -> MigrationList:
    """The migrations in the folders, not loaded: yoyo needs a third of a second to parse this library's own."""
    from yoyo import read_migrations

    with _reading:
        return read_migrations(*(glob.escape(str(folder)) for folder in folders))


def _read(folders: Sequence[Path]) -> MigrationList:
    """The same, loaded; once per process for the same texts."""
    places = tuple(folders)
    texts = tuple((str(path), checksum(path)) for place in places for path in sorted(place.glob("*.*")))
    return _load(places, texts)


@functools.lru_cache(maxsize=8)
def _load(folders: tuple[Path, ...], texts: tuple[tuple[str, str], ...]) -> MigrationList:
    with _reading:
        migrations = _find(folders)
        for migration in migrations:
            load(migration)
    return migrations
