"""PgBouncer in transaction mode before a server of a test's own.

The program is `pgbouncer` on PATH, or DATASTORE_TEST_PGBOUNCER; from 1.21 on it keeps prepared statements.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import WAIT, Node, system_user
from tests.postgresql import POOLER_PORT

#: Fewer connections to the server than the tests have threads, so that a session is another client's at each transaction.
SETTINGS = """\
[databases]
* = host={server} port=5432 user=postgres

[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_idle_timeout = 2
max_client_conn = 500
max_prepared_statements = {prepared}
logfile = {folder}/log
"""


@functools.cache
def binary() -> str:
    """The path of PgBouncer; skips the test where there is none that is new enough."""
    program = (
        os.environ.get("DATASTORE_TEST_PGBOUNCER") or shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    )
    if program is None:
        pytest.skip("PgBouncer is not installed; set DATASTORE_TEST_PGBOUNCER")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < (1, 21):
        pytest.skip(f"PgBouncer 1.21 or newer is needed, and {program} is older; set DATASTORE_TEST_PGBOUNCER")
    return program


@contextmanager
def pooler(server: Node, prepared: int = 200) -> Iterator[str]:
    """The URL of the server's database through PgBouncer, which is killed at the end."""
    program, folder = binary(), server.folder / "pooler"
    folder.mkdir()
    settings = folder / "pgbouncer.ini"
    settings.write_text(SETTINGS.format(server=server.folder, port=POOLER_PORT, folder=folder, prepared=prepared))
    if user := system_user():  # it refuses to run as root, as the server does
        shutil.chown(folder, user)
    with subprocess.Popen([program, str(settings)], user=user, stderr=subprocess.DEVNULL) as running:
        try:
            end = time.monotonic() + WAIT
            while not (folder / f".s.PGSQL.{POOLER_PORT}").exists():
                assert running.poll() is None, _log(folder)
                assert time.monotonic() < end, _log(folder)
                time.sleep(0.02)
            yield server.url().replace(str(server.folder), str(folder)) + f"&port={POOLER_PORT}"
        finally:
            running.kill()
    shutil.rmtree(folder)


def _log(folder: Path) -> str:
    log = folder / "log"
    return log.read_text() if log.exists() else "PgBouncer said nothing"
