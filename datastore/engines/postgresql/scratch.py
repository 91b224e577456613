"""PostgreSQL databases for a check or a test: created on a server, restored to their template, dropped at the end.

Only `datastore check --server`, `datastore.testing` and the tests import it. The statements that create and drop a database
are written here, because a name cannot be a parameter.
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

#: The queries of the server's system catalog.
_OWN = Path(__file__).with_suffix(".sql")

#: How long to wait for rows that the previous test left locked, in milliseconds.
_LOCK_TIMEOUT = 1000


def new_name(purpose: str) -> str:
    """A unique database name: this process's id and a random part."""
    return f"datastore_{purpose}_{os.getpid()}_{secrets.token_hex(4)}"


def url_of(server: str, name: str) -> str:
    """The URL of the database *name* on the server of *server*."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def create(server: str, name: str, template: str = "template1") -> str:
    """Create a database and return its URL. An existing one with this name is dropped first.

    Args:
        server: The URL of any database on the server.
        name: The new database's name, in lower case.
        template: The database whose schema and rows it gets; nobody may be connected to it.

    Raises:
        DatabaseError: The server cannot be reached, or the role may not create databases.
    """
    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    except psycopg.Error as error:
        raise translate(error, f"creating the database {name}") from error
    return url_of(server, name)


def drop(server: str, name: str) -> None:
    """Drop a database that `create` created, and end its connections."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@contextmanager
def scratch(server: str, purpose: str = "check", template: str = "template1") -> Iterator[str]:
    """The URL of a new database on the server of *server*; dropped at the end.

    Raises:
        DatabaseError: The server cannot be reached, or the role may not create databases.
    """
    name = new_name(purpose)
    url = create(server, name, template)
    try:
        yield url
    finally:
        drop(server, name)


class Template:
    """A database to copy; nobody is connected to it.

    A copy is restored by deleting its rows, which takes a twentieth of the time of a new copy. A new copy is made if that
    cannot restore it: the test changed the schema, it left a lock, or the role is not a superuser.
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
        """Create a database equal to the template and return its URL. An existing one with this name is dropped first.

        Raises:
            DatabaseError: The server cannot be reached, or the role may not create databases.
        """
        return create(self.server, name, self.name)

    def restore(self, url: str) -> None:
        """Restore a copy to the template's state.

        Raises:
            DatabaseError: The server cannot be reached, or the role may not create databases.
        """
        try:
            cleared = self._cleared(url)
        except psycopg.Error as error:
            raise translate(error, "restoring a database to its template") from error
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
