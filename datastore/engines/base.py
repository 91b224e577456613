"""What the layers above may ask of a database engine: the protocol that SQLite's and PostgreSQL's engines meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from datastore.statements.binding import Statements
    from datastore.statements.loader import Statement

#: How sure a commit is: "full" survives a power cut, "relaxed" may be undone by one, but breaks no consistency.
Durability = Literal["full", "relaxed"]


class Engine(Protocol):
    """One open database. Safe to share between threads."""

    #: The folder of sql/ and migrations/ that is this engine's.
    name: str
    #: How long to wait for another writer, in seconds.
    timeout: float
    #: Where the time comes from; returns aware datetimes.
    clock: Callable[[], datetime]
    #: Whether full text is in tables of FTS5.
    fts5: bool
    #: Whether `close` was called.
    closed: bool

    @property
    def database(self) -> str:
        """How messages name the database: a path, or a URL without user, password and options."""

    @property
    def path(self) -> Path | None:
        """The database's file; None where it is on a server."""

    def bind(
        self, statements: Mapping[str, Statement], records: Mapping[str, type[object]] | None = None
    ) -> Statements:
        """The statements as methods that run on the calling thread's connection and return *records*."""

    def now(self) -> datetime:
        """The present instant; inside a transaction always the same one."""

    def transaction(self) -> AbstractContextManager[None]:
        """A context manager for this library's own use: a statement that fails inside may end it."""

    def callers_transaction(self, *, serializable: bool = False) -> AbstractContextManager[None]:
        """A context manager: see `datastore.store.Datastore.transaction`. A caller may catch an error inside and go on."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A context manager: see `datastore.store.Datastore.snapshot`."""

    def reading(self, action: str) -> None:
        """Raise TransactionError where the calling thread is inside a transaction; *action* is named in the message."""

    def lock(self, name: Literal["audit_log"]) -> None:
        """Keep other transactions out of what *name* stands for until this one ends."""

    def keep_writers_out(self) -> None:
        """Keep others from writing until this transaction ends."""

    def data_version(self) -> int:
        """A number that changes when another connection has committed.

        Raises:
            TransactionError: Inside a transaction or snapshot.
        """

    def checkpoint(self) -> bool:
        """Write the WAL back to the database; False where a reader still needs a part of it."""

    def close(self) -> None:
        """Close every thread's connection.

        Raises:
            TransactionError: The calling thread is inside a transaction.
        """
