"""PostgreSQL databases for a check or a test: made on a server, taken back to their template, dropped at the end.

Only `datastore check --server`, `datastore.testing` and the tests load it. What makes and drops a database is written
here, because no statement has a parameter for a name.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from datastore.engines.postgresql.errors import translate
from datastore.statements.loader import read_texts

#: What it asks the server's catalogue.
_OWN = Path(__file__).with_suffix(".sql")

#: How long a row of the test before may stay locked, in milliseconds.
_LOCK_TIMEOUT = 1000


def new_name(purpose: str) -> str:
    """A name for a database that nobody else uses: this process and a random part."""
    return f"datastore_{purpose}_{os.getpid()}_{secrets.token_hex(4)}"


def url_of(server: str, name: str) -> str:
    """The URL of the database *name* on the server of *server*."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def create(server: str, name: str, template: str = "template1") -> str:
    """Make a database, and give its URL. One of this name is dropped first.

    Args:
        server: The URL of any database on the server.
        name: Of the new database, in lower case.
        template: Whose schema and rows it gets; nobody may be connected to it.

    Raises:
        DatabaseError: The server cannot be reached, or the role may not make a database.
    """
    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    except psycopg.Error as error:
        raise translate(error, f"making the database {name}") from error
    return url_of(server, name)


def drop(server: str, name: str) -> None:
    """Drop a database that `create` made, and end its connections."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@contextmanager
def scratch(server: str, purpose: str = "check", template: str = "template1") -> Iterator[str]:
    """The URL of a new database on the server of *server*; dropped at the end.

    Raises:
        DatabaseError: The server cannot be reached, or the role may not make a database.
    """
    name = new_name(purpose)
    url = create(server, name, template)
    try:
        yield url
    finally:
        drop(server, name)


class Template:
    """A database that others are copies of; nobody is connected to it.

    A copy is taken back to it by deleting its rows, which takes a twentieth of the time of another copy. Another copy is
    made where that does not give the template back: the test changed the schema, it left a lock, or the role is no
    superuser.
    """

    def __init__(self, url: str) -> None:
        self.server = url
        self.name = _name_of(url)
        self._own = read_texts(_OWN, _OWN.name)
        with psycopg.connect(url, autocommit=True) as connection:
            self._schema = self._fingerprint(connection)
            clearing = connection.execute(self._own["list_clearing_commands"]).fetchall()
            self._clear = "; ".join(command for (command,) in clearing)
            self._rows = [
                (into, b"".join(_copied(connection, out)))
                for out, into in connection.execute(self._own["list_copy_commands"]).fetchall()
            ]
        self._rows = [(into, rows) for into, rows in self._rows if rows]

    def copy(self, name: str) -> str:
        """Make a database that equals the template, and give its URL. One of this name is dropped first.

        Raises:
            DatabaseError: The server cannot be reached, or the role may not make a database.
        """
        return create(self.server, name, self.name)

    def restore(self, url: str) -> None:
        """Make a copy equal to the template again.

        Raises:
            DatabaseError: The server cannot be reached, or the role may not make a database.
        """
        try:
            cleared = self._cleared(url)
        except psycopg.Error as error:
            raise translate(error, "taking a database back to its template") from error
        if not cleared:
            self.copy(_name_of(url))

    def _cleared(self, url: str) -> bool:
        with psycopg.connect(url) as connection:
            if self._fingerprint(connection) != self._schema:
                return False
            try:
                connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT}".encode())
                connection.execute(
                    "SET LOCAL session_replication_role = replica"
                )  # no trigger fires, no key is checked
                connection.execute(self._clear.encode())
                for into, rows in self._rows:
                    with connection.cursor().copy(into.encode()) as copy:
                        copy.write(rows)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable):
                connection.rollback()
                return False
        return True

    def _fingerprint(self, connection: psycopg.Connection[Any]) -> str:
        (found,) = connection.execute(self._own["get_schema_fingerprint"]).fetchone() or ("",)
        return str(found)


def _name_of(url: str) -> str:
    return unquote(urlsplit(url).path.removeprefix("/"))


def _copied(connection: psycopg.Connection[Any], command: str) -> Iterator[bytes]:
    with connection.cursor().copy(command.encode()) as copy:
        yield from (bytes(part) for part in copy)
