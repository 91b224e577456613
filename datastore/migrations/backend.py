"""What both engines' yoyo backends do alike: a migration is one transaction, with its log, its mark and its checksum.

Stock yoyo runs a migration's steps in one transaction and marks it as applied in another, and locks by a row that outlives
a crash: kill it at the wrong instant, and the schema can be neither applied nor rolled back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

from yoyo import internalmigrations
from yoyo.backends.base import DatabaseBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import (
    Migration,
    MigrationList,
    default_migration_table,
    get_migration_hash,
    topological_sort,
)

from datastore.errors import InvalidValueError, SchemaOutOfDateError
from datastore.migrations.checksums import changed, check_files, checksum, other_history, record, recorded
from datastore.migrations.steps import check_steps, is_library_id, known_ids
from datastore.resources import sql_folder
from datastore.statements.loader import read_texts

logger = logging.getLogger("yoyo.migrations")

#: "destroy" lets a rollback destroy legal holds, receipts, tombstones and the audit log: the rollback files look for it.
ROLLBACK = "DATASTORE_ROLLBACK"


class Steps(DatabaseBackend):  # type: ignore[misc]  # yoyo has no types
    """The part of a backend that is the same on both engines; a subclass says how a transaction is made."""

    #: Whose statements of sql/ENGINE/migrations.sql are run.
    engine = ""
    #: The ids that this object applied or rolled back, in that order.
    done: list[str]
    #: The ids of all steps in the folders; None on yoyo's command line, which hands over a selection of them.
    known: set[str] | None = None

    #: Whether any step was handed over.
    _found: bool = False
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
        """Nothing: yoyo's command line takes it to look, too. What changes something is inside `_running` and `_alone`."""
        return nullcontext()

    def break_lock(self) -> None:
        logger.warning("There is no lock to break: the database's own ends with the process that holds it.")

    def _running(self) -> AbstractContextManager[None]:
        """While several steps run, where the engine's lock can be kept for that long."""
        return nullcontext()

    def _alone(self) -> AbstractContextManager[None]:
        """While one step runs: no other process applies or rolls back one. The lock ends with this process."""
        raise NotImplementedError

    def _writing(self) -> AbstractContextManager[None]:
        """One transaction that no other process's is beside."""
        raise NotImplementedError

    def _run(self, migration: Migration, direction: str, force: bool) -> None:
        """The steps of a migration, inside its transaction where it has one."""
        migration.process_steps(self, direction, force=force)

    def _allow_destroying(self) -> None:
        """Tell the rollback files that they may destroy what must not be lost."""
        raise NotImplementedError

    def _translate(self, error: Exception, where: str) -> Exception:
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

    def lacks(self, migrations: MigrationList) -> bool:
        """Whether one of them is not applied; they need not be loaded."""
        self._check(migrations)
        applied = set(self.get_applied_migration_hashes())
        return any(migration.hash not in applied for migration in migrations)

    def to_apply(self, migrations: MigrationList) -> MigrationList:
        self._check_found(migrations)
        return super().to_apply(migrations)

    def to_rollback(self, migrations: MigrationList) -> MigrationList:
        """Those that are applied, the last applied first; none before one that depends on it."""
        self._check_found(migrations)
        places = {hash: place for place, hash in enumerate(self.get_applied_migration_hashes())}
        applied = sorted((one for one in migrations if one.hash in places), key=lambda one: places[one.hash])
        return migrations.replace(reversed(list(topological_sort(applied))))

    def apply_migrations(self, migrations: MigrationList, force: bool = False) -> None:
        with self._running():
            super().apply_migrations(migrations, force)

    def rollback_migrations(self, migrations: MigrationList, force: bool = False) -> None:
        self._check(migrations)
        if migrations:
            with self._running():
                self._refuse_newer(migrations)
                super().rollback_migrations(migrations, force)

    def mark_migrations(self, migrations: MigrationList) -> None:
        self._change_marks(migrations, applied=True)

    def unmark_migrations(self, migrations: MigrationList) -> None:
        self._change_marks(migrations, applied=False)

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        self._change(migration, "apply", force, mark)

    def rollback_one(self, migration: Migration, force: bool = False) -> None:
        self._change(migration, "rollback", force, mark=True)

    def _change(self, migration: Migration, direction: str, force: bool, mark: bool) -> None:
        """Apply a step or roll it back, unless another process has done so in the meantime."""

        def is_due() -> bool:
            return not mark or self.is_applied(migration) is (direction == "rollback")

        check_steps([migration], complete=False)
        self._check([migration])
        with self._alone(), self._named(migration, direction):
            if not migration.use_transactions and is_due():
                self._run(migration, direction, force)
            with self._writing():
                if not is_due():
                    return
                self.ensure_internal_schema_updated()
                if migration.use_transactions:
                    if direction == "rollback" and os.environ.get(ROLLBACK) == "destroy":
                        self._allow_destroying()
                    self._run(migration, direction, force)
                self.log_migration(migration, direction)
                if mark:
                    (self.mark_one if direction == "apply" else self.unmark_one)(migration, log=False)
        self.done.append(migration.id)

    @contextmanager
    def _named(self, migration: Migration, direction: str) -> Iterator[None]:
        """This library's error for the driver's, which names the step."""
        logger.info("%s %s", "Applying" if direction == "apply" else "Rolling back", migration.id)
        try:
            yield
        except self.DatabaseError as error:
            action = "applying" if direction == "apply" else "rolling back"
            raise self._translate(error, f"{action} migration {migration.id}") from error

    def _refuse_newer(self, migrations: Iterable[Migration]) -> None:
        """Refuse to undo a step under one that was applied after it and whose file is not there."""
        places = {hash: place for place, hash in enumerate(self.get_applied_migration_hashes())}
        first = min((one for one in migrations if one.hash in places), key=lambda one: places[one.hash], default=None)
        if first is None:
            return
        known = known_ids() if self.known is None else self.known
        names = {row[0] for row in self.execute(sql(self.engine, "list_applied_migrations")).fetchall()}
        newer = sorted(name for name in names - known if places.get(get_migration_hash(name), -1) > places[first.hash])
        if newer:
            raise SchemaOutOfDateError(
                f"{', '.join(newer)} was applied after {first.id} and is in none of the folders; nothing was rolled back."
                " Use the version (and give the folders) that has all applied steps"
            )

    def _check_found(self, migrations: MigrationList) -> None:
        """Refuse where yoyo found no step at all, which it would take for "nothing to do"."""
        self._found = self._found or bool(migrations) or bool(migrations.post_apply)
        if not self._found:
            raise InvalidValueError(
                "no migration was found: give a folder that has some (and a --match or --revision that one of them fits)"
            )
        check_steps([*migrations, *migrations.post_apply], complete=self.known is not None)
        self._check(migrations)

    def log_migration(self, migration: Migration, operation: str) -> None:
        data = self.get_log_data(migration, operation)
        self.execute(self.format_sql(self.log_migration_sql), data)
        if operation in ("apply", "mark"):
            comment = record(checksum(Path(migration.path)))
            self.execute(sql(self.engine, "update_migration_log_comment"), {"id": data["id"], "comment": comment})

    def _change_marks(self, migrations: MigrationList, *, applied: bool) -> None:
        if not migrations:
            return
        self._refuse_missing()
        self._check(migrations)
        with self._alone(), self._writing():
            self.ensure_internal_schema_updated()
            for migration in migrations:
                if self.is_applied(migration) is not applied:
                    (self.mark_one if applied else self.unmark_one)(migration)

    def _check(self, migrations: MigrationList) -> None:
        # The whole folder each time: an older step that was edited makes every later one doubtful.
        folders = {Path(migration.path).parent for migration in migrations}
        for folder in folders:
            check_files(folder)
        if internalmigrations.get_current_version(self) < internalmigrations.USE_VERSION_TABLE_FROM:
            return
        for name, comment in self.execute(sql(self.engine, "list_applied_migrations")).fetchall():
            applied = recorded(comment)
            for path in (folder / f"{name}.sql" for folder in folders if applied):
                if path.is_file() and applied != checksum(path):
                    raise other_history("the database", [name]) if is_library_id(name) else changed(path)


@cache
def _statements(engine: str) -> dict[str, str]:
    path = sql_folder() / engine / "migrations.sql"
    return read_texts(path, f"{engine}/migrations.sql")


def sql(engine: str, name: str) -> str:
    """A statement of sql/ENGINE/migrations.sql."""
    return _statements(engine)[name]
