"""yoyo's backend for PostgreSQL, for ``postgresql+datastore://...``: a migration is one transaction.

Stock yoyo (``postgresql+psycopg://...``) applies the same files, but it marks a step as applied in a second transaction, and
its lock is a row that outlives a crash. Here steps, log and mark are one transaction, and a session-level advisory lock
excludes other processes while steps are applied, including steps without a transaction. The server releases the lock when the
process dies, so several processes may apply migrations at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import Migration, default_migration_table

from datastore.engines.postgresql.engine import LOCK_CLASS, MIGRATIONS_LOCK
from datastore.engines.postgresql.errors import translate
from datastore.engines.postgresql.settings import session_sql
from datastore.errors import BusyError, TransactionLostError
from datastore.migrations.backend import Steps

#: Seconds between two attempts to take the lock. A wait inside the server would hold a snapshot, and a CREATE INDEX CONCURRENTLY
#: of the process that has the lock would wait for it.
_PAUSE = 0.1


@contextmanager
def open_backend(url: str, timeout: float = 30.0) -> Iterator[DatastoreBackend]:
    """The backend for a ``postgresql://`` URL, with this library's errors instead of the driver's; closed at the end."""
    try:
        backend = DatastoreBackend(parse_uri(_for_yoyo(url)), default_migration_table)
        try:
            backend.timeout = timeout
            backend.connection.execute(session_sql("set_lock_timeout"), {"lock_timeout": f"{int(timeout * 1000)}ms"})
            yield backend
        finally:
            backend.connection.close()
    except psycopg.Error as error:
        raise translate(error, "migrating the database") from error


def _for_yoyo(url: str) -> str:
    return f"postgresql+datastore://{url.partition('://')[2]}"


class DatastoreBackend(Steps, PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """See the module."""

    engine = "postgresql"
    #: How long to wait for another process that applies or rolls back migrations, in seconds.
    timeout = math.inf
    _locked = False

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Hold the advisory lock of the session, which is this backend's connection."""
        if self._locked:
            yield
            return
        end = time.monotonic() + self.timeout
        while not self._asked("try_session_lock"):
            if time.monotonic() > end:
                raise BusyError(f"another process has been migrating the database for {self.timeout:g} s; try again")
            time.sleep(_PAUSE)
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            with suppress(psycopg.Error):  # a lost connection has no lock
                self._asked("release_session_lock")

    def _asked(self, name: str) -> bool:
        key = {"library": LOCK_CLASS, "lock": MIGRATIONS_LOCK}
        return bool((self.connection.execute(session_sql(name), key).fetchone() or (0,))[0])

    def _alone(self) -> AbstractContextManager[None]:
        return self._running()

    @contextmanager
    def disable_transactions(self) -> Iterator[None]:
        """Do nothing: the connection is in autocommit mode. It also has the lock, so if the client is killed, the server keeps
        the lock until the running statement ends."""
        yield

    def _run(self, migration: Migration, direction: str, force: bool) -> None:
        before = self._transaction() if migration.use_transactions else ""
        super()._run(migration, direction, force)
        if migration.use_transactions and self._transaction() != before:
            raise TransactionLostError(
                f"migration {migration.id} ended its own transaction; remove commit and rollback from its Python"
            )

    def _transaction(self) -> str:
        return str((self.connection.execute(session_sql("get_transaction_number")).fetchone() or ("",))[0])

    def _translate(self, error: Exception, where: str) -> Exception:
        return translate(error, where)

    def _allow_destroying(self) -> None:
        self.connection.execute(session_sql("set_rollback"), {"allowed": "destroy"})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, while the lock is held."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            with suppress(psycopg.Error):
                self.rollback()
            self._in_transaction = False
            raise
