"""What both engines' yoyo backends do alike: a migration is one transaction, with its log, its mark and its checksum.

Stock yoyo runs a migration's steps in one transaction and marks it as applied in another, and locks by a row that outlives
a crash: kill it at the wrong instant, and the schema can be neither applied nor rolled back.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from yoyo import internalmigrations
from yoyo.backends.base import DatabaseBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from datastore import migrations as files
from datastore.errors import InvalidValueError
from datastore.resources import sql_folder
from datastore.statements.loader import read_texts

logger = logging.getLogger("yoyo.migrations")

_PREFIX = "sha256:"

#: "destroy" lets a rollback destroy legal holds, receipts, tombstones and the audit log: the rollback files look for it.
ROLLBACK = "DATASTORE_ROLLBACK"


class Steps(DatabaseBackend):  # type: ignore[misc]  # yoyo has no types
    """The part of a backend that is the same on both engines; a subclass says how a transaction is made."""

    #: Whose statements of sql/ENGINE/migrations.sql are run.
    engine = ""
    #: The ids that this object applied or rolled back, in that order.
    done: list[str]

    _in_transaction: bool = False
    _internal_schema_updated: bool = False

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        if migration_table != default_migration_table:
            raise InvalidValueError(f"migration_table must be {default_migration_table}: the store looks there")
        self.done = []
        super().__init__(dburi, migration_table)
        self.has_transactional_ddl = True

    def init_database(self) -> None:
        """Nothing: no lock table, and both engines' DDL is known to be transactional."""

    def lock(self, timeout: float = 10) -> AbstractContextManager[None]:
        """Nothing: each migration takes a lock of the database's own, which dies with its process."""
        return nullcontext()

    def break_lock(self) -> None:
        logger.warning("There is no lock to break: the database's own ends with the process that holds it.")

    def _writing(self) -> AbstractContextManager[None]:
        """One transaction that no other process's is beside."""
        raise NotImplementedError

    def _alone(self) -> AbstractContextManager[None]:
        """While a step runs that cannot be in a transaction."""
        return nullcontext()

    def _run(self, migration: Any, direction: str, force: bool) -> None:
        """The steps of a migration, inside its transaction."""
        migration.process_steps(self, direction, force=force)

    def _allow_destroying(self) -> None:
        """Tell the rollback files that they may destroy what must not be lost."""
        raise NotImplementedError

    def _translated(self, error: Exception, where: str) -> Exception:
        """This library's error for the driver's."""
        raise NotImplementedError

    def _refuse_missing(self) -> None:
        """Raise where there is no database to mark anything in."""

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

    def mark_migrations(self, migrations: Any) -> None:
        self._change_marks(migrations, applied=True)

    def unmark_migrations(self, migrations: Any) -> None:
        self._change_marks(migrations, applied=False)

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        migration.load()
        self._check([migration])
        if not migration.use_transactions:
            with self._alone():
                if not mark or not self.is_applied(migration):
                    super().apply_one(migration, force, mark)
                    self.done.append(migration.id)
            return
        with self._writing():
            self.ensure_internal_schema_updated()
            if mark and self.is_applied(migration):
                return  # by another process, in the meantime
            logger.info("Applying %s", migration.id)
            self._run(migration, "apply", force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)
        self.done.append(migration.id)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        migration.load()
        self._check([migration])
        if not migration.use_transactions:
            with self._alone():
                if self.is_applied(migration):
                    super().rollback_one(migration, force)
                    self.done.append(migration.id)
            return
        with self._writing():
            if not self.is_applied(migration):
                return
            logger.info("Rolling back %s", migration.id)
            if os.environ.get(ROLLBACK) == "destroy":
                self._allow_destroying()
            try:
                self._run(migration, "rollback", force)
            except Exception as error:
                raise self._translated(error, f"rolling back {migration.id}") from error
            self.log_migration(migration, "rollback")
            self.unmark_one(migration, log=False)
        self.done.append(migration.id)

    def log_migration(self, migration: Any, operation: str) -> None:
        data = self.get_log_data(migration, operation)
        self.execute(self.format_sql(self.log_migration_sql), data)
        if operation in ("apply", "mark"):
            comment = _PREFIX + files.checksum(Path(migration.path))
            self.execute(sql(self.engine, "update_migration_log_comment"), {"id": data["id"], "comment": comment})

    def _change_marks(self, migrations: Any, *, applied: bool) -> None:
        if not migrations:
            return
        self._refuse_missing()
        self._check(migrations)
        with self._writing():
            self.ensure_internal_schema_updated()
            for migration in migrations:
                if self.is_applied(migration) is not applied:
                    (self.mark_one if applied else self.unmark_one)(migration)

    def _check(self, migrations: Any) -> None:
        # The whole folder each time: an older step that was edited makes every later one doubtful.
        folders = {Path(migration.path).parent for migration in migrations}
        for folder in folders:
            files.check_files(folder)
        if internalmigrations.get_current_version(self) < internalmigrations.USE_VERSION_TABLE_FROM:
            return
        for name, recorded in self.execute(sql(self.engine, "list_applied_migrations")).fetchall():
            if not (recorded or "").startswith(_PREFIX):
                continue  # stock yoyo applied it
            for path in (folder / f"{name}.sql" for folder in folders):
                if path.is_file() and recorded != _PREFIX + files.checksum(path):
                    raise files.changed(path)


@cache
def _statements(engine: str) -> dict[str, str]:
    path = sql_folder() / engine / "migrations.sql"
    return read_texts(path, f"{engine}/migrations.sql")


def sql(engine: str, name: str) -> str:
    """A statement of sql/ENGINE/migrations.sql."""
    return _statements(engine)[name]
