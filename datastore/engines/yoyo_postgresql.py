"""yoyo's backend for PostgreSQL, for ``postgresql+datastore://...``: a migration is one transaction.

Stock yoyo (``postgresql+psycopg://...``) applies the same files; it marks a step in another transaction than the one that
makes it, and locks by a row that outlives a crash. Here steps, log and mark are one transaction under an advisory lock,
which the server lets go when the process dies, so that several may apply at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from datastore.engines.postgresql import LOCK_CLASS, MIGRATIONS_LOCK
from datastore.engines.postgresql_errors import translate
from datastore.engines.postgresql_session import session_sql
from datastore.engines.yoyo_steps import Steps


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


class DatastoreBackend(Steps, PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """See the module."""

    engine = "postgresql"

    def _allow_destroying(self) -> None:
        self.connection.execute(session_sql("set_rollback"), {"allowed": "destroy"})

    def _translated(self, error: Exception, where: str) -> Exception:
        return translate(error, where)

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
