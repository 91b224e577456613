"""Whole files: a consistent copy, the full VACUUM, and exclusive access to a database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from datastore.engines.sqlite.engine import SQLiteEngine, write_back
from datastore.engines.sqlite.errors import is_busy, translate
from datastore.errors import BusyError, DatastoreError

#: The number of SQLite virtual-machine steps between two calls of a progress function (some milliseconds).
_STEPS = 100_000


def copy_into(engine: SQLiteEngine, target: Path, progress: Callable[[float], None] | None = None) -> None:
    """Write one consistent state of the database into *target*, which is missing or empty, while others write.

    It uses VACUUM INTO: the backup API would also copy what deleted rows left in free space.

    Args:
        engine: Outside a transaction.
        target: The file.
        progress: Called periodically with the seconds elapsed; it may use the store. An exception that it raises ends the copy.
    """
    engine.reading("a backup")
    # On a separate connection, so that *progress* may use the store.
    with closing(sqlite3.connect(f"{engine.path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(engine.timeout * 1000)}").fetchall()
        try:
            with _watched(connection, progress):
                connection.execute("VACUUM INTO ?", (str(target),)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, "VACUUM INTO") from error


def rebuild(engine: SQLiteEngine, progress: Callable[[float], None] | None = None) -> None:
    """Rebuild the whole database (VACUUM) and truncate the WAL; no other connection can write meanwhile.

    The temporary copy goes to a file (SQLITE_TMPDIR sets the folder), not into memory like this library's other temporary data.

    Raises:
        BusyError: Another connection held the write lock for longer than the timeout.
    """
    with engine.alone("VACUUM") as connection, _watched(connection, progress):
        connection.execute("PRAGMA temp_store = FILE").fetchall()
        try:
            engine.patiently(lambda: connection.execute("VACUUM").fetchall(), "VACUUM")
            write_back(connection, "TRUNCATE", 0.05)
        finally:
            connection.execute("PRAGMA temp_store = MEMORY").fetchall()


def give_back(engine: SQLiteEngine, pages: int) -> None:
    """Return at most *pages* free pages to the file system, in a separate transaction.

    Raises:
        BusyError: Another connection held the write lock for longer than the timeout.
    """
    with engine.alone("giving pages back") as connection:
        # Each step of this PRAGMA frees one page. It returns no columns, so execute() takes one step and stops
        # (fetchall() does not continue); executescript() steps to the end.
        engine.patiently(lambda: connection.executescript(f"PRAGMA incremental_vacuum({pages})"), "incremental_vacuum")
        # Each freed page is replaced by one from the end of the file, and the page that pointed to that one changes too.
        engine.changed(connection, 2 * pages)


@contextmanager
def held_alone(path: Path, timeout: float) -> Iterator[None]:
    """Lock a database that nobody else has open: its WAL is written back and removed, and nobody else can open it.

    Raises:
        BusyError: Another connection has it open (an idle one counts).
        CorruptDatabaseError: It is damaged, so it is unknown whether it is in use.
    """
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0.05, isolation_level=None)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                # Leaving WAL needs every other connection closed; SQLite's own lock then keeps them out.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
                connection.execute("PRAGMA journal_mode = DELETE").fetchall()
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise translate(error, f"opening {path}") from error
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"{path} is in use; stop the processes that have it open (workers, the application) and try again"
                    ) from error
            time.sleep(0.01)
        yield
    finally:
        connection.close()


@contextmanager
def _watched(connection: sqlite3.Connection, progress: Callable[[float], None] | None) -> Iterator[None]:
    if progress is None:
        yield
        return
    begun = time.monotonic()
    raised: list[BaseException] = []

    def tell() -> int:
        try:
            progress(time.monotonic() - begun)
        except BaseException as error:  # the driver would discard it and report "interrupted"
            raised.append(error)
        return len(raised)

    connection.set_progress_handler(tell, _STEPS)
    try:
        yield
    except (sqlite3.Error, DatastoreError):
        if raised:
            raise raised[0] from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
