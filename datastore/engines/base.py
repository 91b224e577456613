"""The protocol that both database engines, SQLite and PostgreSQL, implement for the layers above."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from datastore.events import Events

if TYPE_CHECKING:
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement

#: How durable a commit is: "full" survives a power cut; a power cut may undo a "relaxed" one, but the database stays consistent.
Durability = Literal["full", "relaxed"]


class Engine(Protocol):
    """One open database. Safe to share between threads."""

    #: This engine's folder in sql/ and migrations/.
    name: str
    #: How long to wait for another writer, in seconds.
    timeout: float
    #: The source of the current time; returns aware datetimes.
    clock: Callable[[], datetime]
    #: Whether it refuses every change.
    read_only: bool
    #: Who listens to what the engine does.
    events: Events
    #: Whether `close` has been called.
    closed: bool
    #: The maximum number of connections; None: each thread has its own, and one of them writes at a time.
    connections: int | None

    @property
    def database(self) -> str:
        """How messages name the database: a path, or a URL without user, password and options."""

    @property
    def path(self) -> Path | None:
        """The database's file; None if the database is on a server."""

    def bind(
        self, statements: Mapping[str, Statement], records: Mapping[str, type[object]] | None = None
    ) -> Statements:
        """Return the statements as methods that run on the calling thread's connection and return *records*."""

    def now(self) -> datetime:
        """The current time; constant within a transaction."""

    def transaction(self) -> AbstractContextManager[None]:
        """A context manager for internal use: a failed statement inside may end the transaction."""

    def callers_transaction(self, *, serializable: bool = False) -> AbstractContextManager[None]:
        """A context manager: see `datastore.store.Datastore.transaction`. Callers may catch an error inside and continue."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A context manager: see `datastore.store.Datastore.snapshot`."""

    def reading(self, action: str) -> None:
        """Raise TransactionError if the calling thread is inside a transaction; the message names *action*."""

    def lock(self, name: Literal["audit_log"]) -> None:
        """Lock what *name* stands for against other transactions until this one ends."""

    def keep_writers_out(self) -> None:
        """Prevent others from writing until this transaction ends."""

    def data_version(self) -> int:
        """A number that changes when another connection commits.

        Raises:
            TransactionError: Inside a transaction or snapshot.
        """

    def interrupt(self, thread: int) -> None:
        """Interrupt the reading statement that a thread runs, given its number; do nothing if it runs none.

        On PostgreSQL this sends a request to the server, and statements inside a transaction or snapshot are not
        interrupted, because that would end the transaction.
        """

    def checkpoint(self) -> bool:
        """Write the WAL back to the database; False if a reader still needs part of it."""

    def reserve(self) -> AbstractContextManager[None]:
        """Give the calling thread a connection of its own until the block ends, even if all others are in use."""

    def close(self) -> None:
        """Close every thread's connection.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
