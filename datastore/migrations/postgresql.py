"""yoyo's backend for PostgreSQL, for ``postgresql+datastore://...``: a migration is one transaction.

Stock yoyo (``postgresql+psycopg://...``) applies the same files, but it marks a step as applied in a second transaction, and
its lock is a row that outlives a crash. Here steps, log and mark are one transaction, and a session-level advisory lock
excludes other processes while steps are applied, including steps without a transaction. The server releases the lock when the
process dies, so several processes may apply migrations at once.

While a step waits for the lock of a table, every later statement on that table waits for the step. So a step waits for a tenth of
a second, rolls back, lets the others go on, and tries again with more patience. It never waits for a second, after which PostgreSQL
looks for a deadlock: the step gives way before a client is cancelled. For that, a step that locks several tables that are in use
locks them in one LOCK TABLE, whose time is limited as a whole.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI, parse_uri
from yoyo.migrations import Migration, default_migration_table

from datastore.engines.postgresql.engine import LOCK_CLASS, MIGRATIONS_LOCK
from datastore.engines.postgresql.errors import translate
from datastore.engines.postgresql.settings import session_sql
from datastore.errors import BusyError, TransactionLostError
from datastore.migrations.backend import Steps
from datastore.migrations.comments import comments
from datastore.migrations.steps import ROLLBACK, is_library_id

#: Seconds between two attempts to take the lock. A wait inside the server would hold a snapshot, and a CREATE INDEX CONCURRENTLY
#: of the process that has the lock would wait for it.
_PAUSE = 0.1

#: Seconds that a step waits for its locks: at first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 0.8

#: The statement of a step that locks the tables which the step changes.
_lock_table = re.compile(r"^LOCK TABLE [^;]+;", re.MULTILINE)
_concurrently = re.compile(r"^(?:CREATE|DROP)\b[^;]* CONCURRENTLY ", re.MULTILINE)

#: Errors after which a step is tried again: nothing of it was done.
_GAVE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

#: How soon the server notices that the client was killed. Otherwise it finishes the statement, and keeps its locks.
_CHECK_CONNECTION = "1s"


@contextmanager
def open_backend(url: str, timeout: float = 30.0) -> Iterator[DatastoreBackend]:
    """The backend for a ``postgresql://`` URL, with this library's errors instead of the driver's; closed at the end."""
    try:
        backend = DatastoreBackend(parse_uri(_for_yoyo(url)), default_migration_table)
        try:
            backend.timeout = timeout
            yield backend
        finally:
            backend.connection.close()
    except psycopg.Error as error:
        raise translate(error, "migrating the database") from error


def _set(connection: psycopg.Connection[tuple[Any, ...]], name: str, value: str) -> None:
    connection.execute(session_sql("set_setting"), {"name": name, "value": value})


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _for_yoyo(url: str) -> str:
    return f"postgresql+datastore://{url.partition('://')[2]}"


def _text(migration: Migration, direction: str) -> str:
    """The text of a step or of its rollback; "" if there is none."""
    path = Path(migration.path)
    if direction == "rollback" and migration.is_raw_sql():
        path = path.with_name(f"{migration.id}{ROLLBACK}")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


class DatastoreBackend(Steps, PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """See the module."""

    engine = "postgresql"
    #: How long to wait for another process that applies or rolls back migrations, in seconds.
    timeout = math.inf
    _locked = False
    #: How long the step waits for its locks, in seconds.
    _wait = _FIRST_WAIT

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection[tuple[Any, ...]]:
        named = dburi._replace(args={"fallback_application_name": "datastore migrations", **dburi.args})
        connection: psycopg.Connection[tuple[Any, ...]] = super().connect(named)
        for name in (
            "statement_timeout",
            "idle_in_transaction_session_timeout",
        ):  # of a role whose transactions are short
            _set(connection, name, "0")
        # A server on an operating system that cannot check its connections refuses the setting.
        with suppress(psycopg.errors.InvalidParameterValue):
            _set(connection, "client_connection_check_interval", _CHECK_CONNECTION)
        return connection

    def _until_free(self, change: Callable[[], None], what: str) -> None:
        end = time.monotonic() + self.timeout
        while True:
            _set(self.connection, "lock_timeout", _milliseconds(self._wait))
            try:
                return change()
            except _GAVE_WAY as error:
                if time.monotonic() > end:
                    raise BusyError(f"{what}: a table was locked for {self.timeout:g} s{self._oldest()}") from error
                self._say(f"{what}: a table is locked; trying again{self._oldest()}")
            time.sleep(2 * self._wait)
            self._wait = min(2 * self._wait, _LONGEST_WAIT)

    def _oldest(self) -> str:
        """The oldest transaction, which usually has the lock; "" if there is none."""
        found = self.connection.execute(session_sql("find_oldest_transaction")).fetchone()
        if found is None:
            return ""
        process, name, seconds = found
        return f" (the oldest transaction is that of server process {process}, {name or 'unnamed'}: {seconds:.0f} s)"

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
        if not migration.use_transactions:
            text = _text(migration, direction)
            self._drop_invalid_indexes(text)
            if _concurrently.search(text):  # waits for transactions, but lets nobody wait for it
                _set(self.connection, "lock_timeout", "0")
            super()._run(migration, direction, force)
            self._comment(migration, direction)
            return
        self._lock_tables(migration, direction)
        before = self._transaction()
        super()._run(migration, direction, force)
        self._comment(migration, direction)
        if self._transaction() != before:
            raise TransactionLostError(
                f"migration {migration.id} ended its own transaction; remove commit and rollback from its Python"
            )

    def _lock_tables(self, migration: Migration, direction: str) -> None:
        """Run the step's LOCK TABLE in limited time; the step then has the locks."""
        found = _lock_table.search(_text(migration, direction)) if migration.is_raw_sql() else None
        if found is None:
            return
        _set(self.connection, "statement_timeout", _milliseconds(self._wait))
        try:
            self.connection.execute(found[0].encode())
        except psycopg.errors.QueryCanceled as error:
            raise psycopg.errors.LockNotAvailable from error
        _set(self.connection, "statement_timeout", "0")

    def _drop_invalid_indexes(self, text: str) -> None:
        """Drop what a CREATE INDEX CONCURRENTLY of this step left when it failed; IF NOT EXISTS would take it for the index."""
        for name, command in self.connection.execute(session_sql("list_invalid_indexes"), {}).fetchall():
            if re.search(rf"\b{re.escape(name)}\b", text):
                self.connection.execute(command.encode())

    def _comment(self, migration: Migration, direction: str) -> None:
        """Store the comments in a step of this library with the objects that it made."""
        if direction != "apply" or not is_library_id(migration.id):
            return
        for target, words in comments(_text(migration, direction)):
            values = {"target": target, "words": words}
            (command,) = self.connection.execute(session_sql("get_comment_command"), values).fetchone() or ("",)
            self.connection.execute(command.encode())

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
