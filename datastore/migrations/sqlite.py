"""yoyo's backend for SQLite, for ``sqlite+datastore:///PATH``: a migration is one transaction.

Stock yoyo runs a migration's steps in one transaction and marks it as applied in another, and its lock is
a row that outlives a crash: if it is killed at the wrong instant, the schema can be neither applied nor
rolled back. Here steps, log and mark are one BEGIN IMMEDIATE under the write gate, and there is no lock row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration, default_migration_table

from datastore.address import real_path
from datastore.engines.sqlite.engine import APPLICATION_ID, change_to_wal, try_write_back
from datastore.engines.sqlite.errors import translate
from datastore.engines.sqlite.gate import Gate
from datastore.errors import (
    DatabaseMissingError,
    ForeignKeyError,
    NotADatastoreError,
    TransactionLostError,
)
from datastore.migrations.backend import Steps, sql

_TIMEOUT = 30.0


@contextmanager
def open_backend(path: Path, timeout: float = _TIMEOUT) -> Iterator[DatastoreBackend]:
    """The backend for *path*, with this library's errors instead of the driver's; closed at the end."""
    uri = DatabaseURI(
        "sqlite+datastore", None, None, None, None, quote(str(path.absolute())), {"timeout": f"{timeout}"}
    )
    try:
        backend = DatastoreBackend(uri, default_migration_table)
        try:
            yield backend
        finally:
            backend.connection.close()
            backend.gate.close()
    except sqlite3.Error as error:
        raise translate(error, f"migrating {path}") from error


class DatastoreBackend(Steps):
    """See the module. For a missing or empty file, an in-memory database is used until something is applied."""

    driver_module = "sqlite3"
    engine = "sqlite"

    _connection: sqlite3.Connection
    _in_transaction: bool

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        self.path = real_path(unquote(dburi.database or ""))
        self.timeout = float(dburi.args.get("timeout", _TIMEOUT))
        self.gate = Gate(f"{self.path}.gate")
        self.gate_depth = 0
        self.stand_in = False
        super().__init__(dburi, migration_table)

    @property
    def list_tables_sql(self) -> str:
        return sql(self.engine, "list_table_names")

    def connect(self, dburi: DatabaseURI) -> sqlite3.Connection:
        path = self.path
        if path.is_dir():
            raise NotADatastoreError(f"{path} is a folder, not a database")
        self.stand_in = not path.exists() or path.stat().st_size == 0
        return sqlite3.connect(":memory:", isolation_level=None) if self.stand_in else self._open("rw")

    def execute(self, sql: str, params: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        # Pass datetimes as text: the driver's own conversion is deprecated.
        values = {
            name: value.isoformat(" ") if isinstance(value, datetime) else value
            for name, value in (params or {}).items()
        }
        cursor: sqlite3.Cursor = self.connection.execute(sql, values)
        return cursor

    def begin(self) -> None:
        assert not self._in_transaction
        self.execute("BEGIN IMMEDIATE")
        self._in_transaction = True

    def _run(self, migration: Migration, direction: str, force: bool) -> None:
        if not migration.use_transactions:
            super()._run(migration, direction, force)
            return

        def authorize(action: int, *_: str | None) -> int:
            # This action is BEGIN, COMMIT and ROLLBACK; savepoints are a different one.
            return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

        self.connection.set_authorizer(authorize)
        try:
            migration.process_steps(self, direction, force=force)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_AUTH:
                raise
            raise TransactionLostError(
                f"migration {migration.id} would end its own transaction; remove commit and rollback from its Python"
            ) from error
        finally:
            self.connection.set_authorizer(None)

    def _allow_destroying(self) -> None:
        self.execute(sql(self.engine, "add_rollback_mark"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction under the gate, on the real file; foreign keys are checked at its end."""
        with self._gated():
            self.begin()
            try:
                yield
                self._check_foreign_keys()
                self.commit()
            except BaseException:
                # Report the original error, even if SQLite has already rolled back.
                with suppress(sqlite3.Error):
                    self.rollback()
                self._in_transaction = False
                raise

    def _alone(self) -> AbstractContextManager[None]:
        return self._gated()

    def _translate(self, error: Exception, where: str) -> Exception:
        return translate(error, where)

    def _refuse_missing(self) -> None:
        if self.stand_in:
            raise DatabaseMissingError(f"there is no database at {self.path}; nothing was created")

    @contextmanager
    def _gated(self) -> Iterator[None]:
        if self.gate_depth:
            yield
            return
        if not self.path.parent.is_dir():
            raise DatabaseMissingError(f"there is no folder {self.path.parent}; nothing was created")
        self.gate.acquire(self.timeout)
        self.gate_depth = 1
        try:
            if self.stand_in:
                self._create()
            yield
            try_write_back(self.connection, "TRUNCATE", self.timeout)
        finally:
            self.gate_depth = 0
            self.gate.release()

    def _create(self) -> None:
        connection = self._open("rwc")
        self._connection.close()
        self._connection = connection
        self.stand_in = False
        self._internal_schema_updated = False

    def _open(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode={mode}&cache=private",
            uri=True,
            timeout=self.timeout,
            isolation_level=None,
        )
        try:
            self._check_file(connection)
            # With foreign keys on, a migration that rebuilds a table would delete the rows that refer to it.
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            if mode == "rwc" and not connection.execute("PRAGMA schema_version").fetchone()[0]:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                change_to_wal(connection, self.timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_file(self, connection: sqlite3.Connection) -> None:
        try:
            number = connection.execute("PRAGMA application_id").fetchone()[0]
            foreign = (
                []
                if number
                else connection.execute(sql(self.engine, "list_foreign_tables"), {"max_rows": 1}).fetchall()
            )
            if foreign:  # another process may have applied the first step between the two queries
                number = connection.execute("PRAGMA application_id").fetchone()[0]
                foreign = [] if number else foreign
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
                raise
            raise NotADatastoreError(f"{self.path} is not a SQLite database") from error
        if number not in (0, APPLICATION_ID) or foreign:
            raise NotADatastoreError(f"{self.path} is another program's database; nothing was changed")

    def _check_foreign_keys(self) -> None:
        broken = self.execute("PRAGMA foreign_key_check").fetchmany(100)
        if broken:
            tables = ", ".join(sorted({f"{row[0]} -> {row[2]}" for row in broken}))
            raise ForeignKeyError(f"rows would refer to nothing ({tables}); the migration was rolled back")
