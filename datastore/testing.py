"""Support for an application's tests: a fresh store for each test, a settable clock, a worker that runs until idle.

The pytest fixtures of `datastore.pytest_plugin` are built on these; other test runners use them directly (docs/testing.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datastore.errors import InvalidValueError
from datastore.store import Datastore
from datastore.worker import Handler, Worker

if TYPE_CHECKING:
    from datastore.engines.postgresql.scratch import Template

__all__ = ["FileTemplate", "ServerTemplate", "SettableClock", "run_until_idle"]


class SettableClock:
    """A clock that does not advance until it is set: ``Datastore.open(..., clock=SettableClock())``.

    Args:
        now: The initial time; an aware datetime.
    """

    def __init__(self, now: datetime = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)) -> None:
        self.now = now

    @property
    def now(self) -> datetime:
        """The current time of the clock; assign to it to set the clock.

        Raises:
            InvalidValueError: The new time has no time zone.
        """
        return self._now

    @now.setter
    def now(self, instant: datetime) -> None:
        if instant.tzinfo is None:
            raise InvalidValueError("now: an aware datetime is needed, datetime(..., tzinfo=timezone.utc)")
        self._now = instant

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta | float) -> None:
        """Advance the clock by a timedelta, or by this many seconds."""
        self.now += by if isinstance(by, timedelta) else timedelta(seconds=by)


class FileTemplate:
    """A migrated SQLite database without rows, copied for each test: a copy is faster than a migration.

    Args:
        folder: An empty folder, in which the template is created.
        migrations: Folders with the application's own steps, as for `Datastore.open`.
    """

    def __init__(self, folder: Path, migrations: Iterable[str | os.PathLike[str]] = ()) -> None:
        path = folder / "template.db"
        # A closed store leaves one file, in WAL mode: opening a copy need not change the mode.
        Datastore.open(path, migrate=True, migrations=migrations).close()
        self._content = path.read_bytes()

    def copy(self, path: Path) -> Path:
        """Create a database at *path* and return the path.

        Raises:
            FileExistsError: *path* already exists.
        """
        with path.open("xb") as file:
            file.write(self._content)
        return path


class ServerTemplate:
    """A migrated PostgreSQL database without rows, and its copies. `close` drops all of them.

    Args:
        server: The URL of any database on the server; its role must be allowed to create databases.
        migrations: Folders with the application's own steps, as for `Datastore.open`.

    Raises:
        DatabaseError: The server cannot be reached, or the role may not create databases.
    """

    def __init__(self, server: str, migrations: Iterable[str | os.PathLike[str]] = ()) -> None:
        from datastore.opening import require_psycopg

        require_psycopg()
        from datastore.engines.postgresql import scratch as postgresql_scratch

        self._scratch = postgresql_scratch
        self._server = server
        #: For CREATE DATABASE ... TEMPLATE.
        self.name = postgresql_scratch.new_name("template")
        self._names = [self.name]
        self._fresh = ""
        url = postgresql_scratch.create(server, self.name)
        try:
            Datastore.open(url, migrate=True, migrations=migrations).close()
            self._template: Template = postgresql_scratch.Template(url)
        except BaseException:
            self.close()
            raise

    def copy(self) -> str:
        """Create a database equal to the template and return its URL."""
        self._names.append(self._scratch.new_name("test"))
        return self._template.copy(self._names[-1])

    def restore(self, url: str) -> None:
        """Restore a copy to the template's state, which is faster than a new copy; close the stores on it first."""
        self._template.restore(url)

    def fresh(self) -> str:
        """The URL of a copy, always the same one, restored to the template's state; close the stores on it first."""
        if self._fresh:
            self.restore(self._fresh)
        else:
            self._fresh = self.copy()
        return self._fresh

    def close(self) -> None:
        """Drop the template and its copies."""
        for name in self._names:
            self._scratch.drop(self._server, name)


def run_until_idle(store: Datastore, handlers: Mapping[str, Handler], **options: Any) -> int:
    """Run the jobs that are due, and those that become due meanwhile, in this thread.

    Args:
        store: The store with the jobs.
        handlers: Handlers by job type, as for `Worker`.
        options: Further arguments of `Worker`.

    Returns:
        The number of jobs that ran to an end, good or bad.
    """
    return Worker(store, handlers, **options).run(until_idle=True)
