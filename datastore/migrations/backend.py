"""The common base of both engines' yoyo backends: a migration is one transaction, with its log, mark and checksum.

Stock yoyo runs a migration's steps in one transaction and marks it as applied in another, and its lock is a row that outlives
a crash: if it is killed at the wrong instant, the schema can be neither applied nor rolled back.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
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
from datastore.migrations.steps import check_rollbacks, check_steps, find_loss, is_library_id, known_ids
from datastore.resources import sql_folder
from datastore.statements.loader import read_texts

logger = logging.getLogger("yoyo.migrations")

#: For yoyo's command line: the value "destroy" does what *allow_loss* does.
ROLLBACK = "DATASTORE_ROLLBACK"


class Steps(DatabaseBackend):  # type: ignore[misc]  # yoyo has no types
    """The part of a backend that both engines share; a subclass defines the transactions and the lock."""

    #: The engine whose sql/ENGINE/migrations.sql is used.
    engine = ""
    #: The ids that this object applied or rolled back, in that order.
    done: list[str]
    #: The ids of all steps in the folders; None on yoyo's command line, which passes a selection of them.
    known: set[str] | None = None
    #: Whether a rollback may destroy legal holds, receipts, tombstones and the audit log; the rollback files check it.
    allow_loss = False

    #: Whether any step was passed.
    _found: bool = False
    _in_transaction: bool = False
    _internal_schema_updated: bool = False

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        if migration_table != default_migration_table:
            raise InvalidValueError(f"migration_table must be {default_migration_table}: the store reads that table")
        self.done = []
        super().__init__(dburi, migration_table)
        self.has_transactional_ddl = True

    def init_database(self) -> None:
        """Do nothing: there is no lock table, and both engines' DDL is known to be transactional."""

    def lock(self, timeout: float = 10) -> AbstractContextManager[None]:
        """Do nothing: yoyo's command line also takes this lock to read. Changes run inside `_running` and `_alone`."""
        return nullcontext()

    def break_lock(self) -> None:
        logger.warning("There is no lock to break: the database's own lock ends with the process that holds it.")

    def _running(self) -> AbstractContextManager[None]:
        """Entered while several steps run; holds the engine's lock if it can be held for that long."""
        return nullcontext()

    def _alone(self) -> AbstractContextManager[None]:
        """Entered while one step runs: no other process applies or rolls back a step. The lock ends with this process."""
        raise NotImplementedError

    def _writing(self) -> AbstractContextManager[None]:
        """One transaction, with no concurrent one in another process."""
        raise NotImplementedError

    def _run(self, migration: Migration, direction: str, force: bool) -> None:
        """Run the steps of a migration, inside its transaction if it has one."""
        migration.process_steps(self, direction, force=force)

    def _allow_destroying(self) -> None:
        """Allow the rollback files to destroy protected data."""
        raise NotImplementedError

    def _say(self, text: str) -> None:
        """Tell whoever runs a migration: yoyo's command line shows no log below errors."""
        if self.known is None:
            print(text, file=sys.stderr)
        else:
            logger.warning(text)

    def _until_free(self, change: Callable[[], None], what: str) -> None:
        """Run *change*; an engine whose clients hold locks runs it again until it gets them."""
        change()

    def _translate(self, error: Exception, where: str) -> Exception:
        """Translate the driver's error to this library's."""
        raise NotImplementedError

    def _refuse_missing(self) -> None:
        """Raise if there is no database in which to mark migrations."""

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
        # Reading creates nothing, not even yoyo's own tables.
        if internalmigrations.get_current_version(self) == 0:
            return []
        hashes: list[str] = super().get_applied_migration_hashes()
        return hashes

    def lacks(self, migrations: MigrationList) -> bool:
        """Whether any of them is not applied; they need not be loaded."""
        self._check(migrations)
        applied = set(self.get_applied_migration_hashes())
        return any(migration.hash not in applied for migration in migrations)

    def to_apply(self, migrations: MigrationList) -> MigrationList:
        self._check_found(migrations)
        return super().to_apply(migrations)

    def to_rollback(self, migrations: MigrationList) -> MigrationList:
        """The applied ones, last applied first; each after every step that depends on it."""
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
                check_rollbacks(migrations)
                for migration in migrations:
                    if loss := find_loss(migration):
                        self._say(f"rolling back {migration.id} {loss}")
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
        """Apply a step or roll it back, unless another process has already done so."""

        def is_due() -> bool:
            return not mark or self.is_applied(migration) is (direction == "rollback")

        def change() -> None:
            if not migration.use_transactions and is_due():
                self._run(migration, direction, force)
            with self._writing():
                if not is_due():
                    return
                self.ensure_internal_schema_updated()
                if migration.use_transactions:
                    if direction == "rollback" and (self.allow_loss or os.environ.get(ROLLBACK) == "destroy"):
                        self._allow_destroying()
                    self._run(migration, direction, force)
                self.log_migration(migration, direction)
                if mark:
                    (self.mark_one if direction == "apply" else self.unmark_one)(migration, log=False)
            self.done.append(migration.id)

        check_steps([migration], complete=False)
        self._check([migration])
        what = f"{'applying' if direction == 'apply' else 'rolling back'} migration {migration.id}"
        logger.info("%s%s", what[0].upper(), what[1:])
        with self._alone(), self._named(what):
            self._until_free(change, what)

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Raise this library's errors for the driver's, naming the step."""
        try:
            yield
        except self.DatabaseError as error:
            raise self._translate(error, what) from error

    def _refuse_newer(self, migrations: Iterable[Migration]) -> None:
        """Refuse to roll back a step if one whose file is missing was applied after it."""
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
        """Refuse if yoyo found no step at all, which it would treat as "nothing to do"."""
        self._found = self._found or bool(migrations) or bool(migrations.post_apply)
        if not self._found:
            raise InvalidValueError(
                "no migration was found: give a folder that has some (and a --match or --revision that matches one of them)"
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
        # Check the whole folder each time: if an older step was edited, no later one can be trusted.
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
