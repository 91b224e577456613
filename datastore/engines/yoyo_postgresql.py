"""yoyo's backend for PostgreSQL, for ``postgresql+datastore://...``: a migration is one transaction.

Stock yoyo (``postgresql+psycopg://...``) applies the same files; it marks a step in another transaction than the one that
makes it, and locks by a row that outlives a crash. Here steps, log and mark are one transaction under an advisory lock,
which the server lets go when the process dies, so that several may apply at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from yoyo import internalmigrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI, parse_uri
from yoyo.migrations import default_migration_table

from datastore import migrations as files
from datastore.engines.postgresql import LOCK_CLASS, MIGRATIONS_LOCK, session_sql
from datastore.engines.postgresql_errors import translate
from datastore.errors import InvalidValueError
from datastore.resources import sql_folder
from datastore.statements.loader import read_file

logger = logging.getLogger("yoyo.migrations")

_PREFIX = "sha256:"


@contextmanager
def open_backend(url: str, timeout: float = 30.0) -> Iterator[DatastoreBackend]:
    """The backend for a ``postgresql://`` URL, with this library's errors instead of the driver's; closed at the end."""
    try:
        backend = DatastoreBackend(parse_uri(_for_yoyo(url)), default_migration_table)
        try:
            backend.connection.execute(session_sql("set_lock_timeout"), {"lock_timeout": f"{int(timeout * 1000)}ms"})
            yield backend
        finally:
            backend.connection.close()
    except psycopg.Error as error:
        raise translate(error, "migrating the database") from error


def _for_yoyo(url: str) -> str:
    return f"postgresql+datastore://{url.partition('://')[2]}"


class DatastoreBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """See the module."""

    _in_transaction: bool = False
    _internal_schema_updated: bool = False

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        if migration_table != default_migration_table:
            raise InvalidValueError(f"migration_table must be {default_migration_table}: the store looks there")
        #: The ids that this object applied or rolled back, in that order.
        self.done: list[str] = []
        super().__init__(dburi, migration_table)
        self.has_transactional_ddl = True

    def init_database(self) -> None:
        """Nothing: no lock table, and PostgreSQL's DDL is known to be transactional."""

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:
        """Nothing: each migration takes an advisory lock, which dies with its session."""
        yield

    def break_lock(self) -> None:
        logger.warning("There is no lock to break: an advisory lock ends with the session that holds it.")

    def ensure_internal_schema_updated(self) -> None:
        if self._internal_schema_updated or not internalmigrations.needs_upgrading(self):
            return
        if self._in_transaction:
            internalmigrations.upgrade(self)
        else:
            with self._writing():
                if internalmigrations.needs_upgrading(self):
                    internalmigrations.upgrade(self)
            self._internal_schema_updated = True

    def get_applied_migration_hashes(self) -> list[str]:
        # Looking writes nothing, not even yoyo's own tables.
        if internalmigrations.get_current_version(self) == 0:
            return []
        hashes: list[str] = super().get_applied_migration_hashes()
        return hashes

    def lacks(self, migrations: Any) -> bool:
        """Whether one of them is not applied; they need not be loaded."""
        self._check(migrations)
        applied = set(self.get_applied_migration_hashes())
        return any(migration.hash not in applied for migration in migrations)

    def to_apply(self, migrations: Any) -> Any:
        self._check(migrations)
        return super().to_apply(migrations)

    def rollback_migrations(self, migrations: Any, force: bool = False) -> None:
        self._check(migrations)
        if migrations:
            super().rollback_migrations(migrations, force)

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        migration.load()
        self._check([migration])
        if not migration.use_transactions:  # CREATE INDEX CONCURRENTLY
            super().apply_one(migration, force, mark)
            self.done.append(migration.id)
            return
        with self._writing():
            self.ensure_internal_schema_updated()
            if mark and self.is_applied(migration):
                return  # by another process, in the meantime
            logger.info("Applying %s", migration.id)
            migration.process_steps(self, "apply", force=force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)
        self.done.append(migration.id)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        migration.load()
        self._check([migration])
        if not migration.use_transactions:
            super().rollback_one(migration, force)
            self.done.append(migration.id)
            return
        with self._writing():
            if not self.is_applied(migration):
                return
            logger.info("Rolling back %s", migration.id)
            migration.process_steps(self, "rollback", force=force)
            self.log_migration(migration, "rollback")
            self.unmark_one(migration, log=False)
        self.done.append(migration.id)

    def log_migration(self, migration: Any, operation: str) -> None:
        data = self.get_log_data(migration, operation)
        self.execute(self.format_sql(self.log_migration_sql), data)
        if operation in ("apply", "mark"):
            comment = _PREFIX + files.checksum(Path(migration.path))
            self.execute(_sql("update_migration_log_comment"), {"id": data["id"], "comment": comment})

    def _check(self, migrations: Any) -> None:
        # The whole folder each time: an older step that was edited makes every later one doubtful.
        folders = {Path(migration.path).parent for migration in migrations}
        for folder in folders:
            files.check_files(folder)
        if internalmigrations.get_current_version(self) < internalmigrations.USE_VERSION_TABLE_FROM:
            return
        for name, recorded in self.execute(_sql("list_applied_migrations")).fetchall():
            if not (recorded or "").startswith(_PREFIX):
                continue  # stock yoyo applied it
            for path in (folder / f"{name}.sql" for folder in folders):
                if path.is_file() and recorded != _PREFIX + files.checksum(path):
                    raise files.changed(path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction that no other process's is beside."""
        self.begin()
        try:
            self.connection.execute(session_sql("take_lock"), {"library": LOCK_CLASS, "lock": MIGRATIONS_LOCK})
            yield
            self.commit()
        except BaseException:
            with suppress(psycopg.Error):
                self.rollback()
            self._in_transaction = False
            raise


@cache
def _statements() -> dict[str, str]:
    path = sql_folder() / "postgresql" / "migrations.sql"
    return {statement.name: statement.sql for statement in read_file(path, "postgresql/migrations.sql")}


def _sql(name: str) -> str:
    return _statements()[name]
