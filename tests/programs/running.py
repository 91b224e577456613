"""Runs programs and servers as processes of their own: a crash or a hang is one failed test, with every thread's stack."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

import pytest

from datastore import Datastore
from datastore import errors as typed_errors

ROOT = Path(__file__).resolve().parents[2]

#: How long a program or a server's answer may take: far longer than any of them does, so that only a hang is one.
PATIENCE = 60.0

TYPED = {
    name
    for name, kind in vars(typed_errors).items()
    if isinstance(kind, type) and issubclass(kind, typed_errors.DatastoreError)
}


@dataclass(frozen=True)
class Database:
    """Where the rows of a test go."""

    engine: str
    #: A path or a URL.
    where: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a connection that is not the store's reads."""
        if self.engine == "sqlite":
            import sqlite3

            with closing(sqlite3.connect(self.where)) as connection:
                return connection.execute(sql).fetchall()
        import psycopg

        with psycopg.connect(self.where) as server:
            return server.execute(sql.encode()).fetchall()

    def stored(self) -> Counter[str]:
        """The conversations' keys, each with how often it is stored."""
        return Counter(key for (key,) in self.rows("SELECT session_id FROM conversations"))

    def assert_sound(self) -> None:
        """Every transaction is whole, and the database can be written and verified."""
        pairs = (
            "SELECT c.session_id FROM conversations c LEFT JOIN messages m ON m.conversation_id = c.id "
            "GROUP BY c.id, c.session_id HAVING count(m.id) <> 1"
        )
        assert self.rows(pairs) == [], "half a transaction is stored"
        with Datastore.open(self.where, timeout=5.0) as store, store.transaction():
            conversation = store.conversations.add(sanitization_version="1", session_id="afterwards")
            store.messages.append(conversation.id, role="user", content="afterwards")
        with Datastore.open(self.where, timeout=5.0) as store:
            assert {name: found for name, found in store.verify().items() if found} == {}


@dataclass
class Outcome:
    """What came of the calls of a program, or of a server's requests."""

    acknowledged: list[str] = field(default_factory=list)
    #: The key of a call that failed, and the error's class.
    refused: dict[str, str] = field(default_factory=dict)
    untyped: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def assert_kept(self, database: Database, *, also: Iterable[str] = ()) -> None:
        """What was acknowledged is stored, once; what failed is not; every error is typed; the database is sound."""
        assert self.untyped == []
        stored = database.stored()
        expected = Counter([*self.acknowledged, *also])
        lost, extra = expected - stored, stored - expected
        assert not lost, f"{len(lost)} of {len(expected)} acknowledged rows are lost: {sorted(lost)[:5]}"
        assert not extra, f"{len(extra)} rows are stored that were refused or rolled back: {sorted(extra)[:5]}"
        database.assert_sound()

    @property
    def errors(self) -> set[str]:
        """The classes of the errors of the calls that failed."""
        return set(self.refused.values())


def environment(database: Database, **more: str) -> dict[str, str]:
    """What every program is started with."""
    return {
        **os.environ,
        "DATASTORE_DATABASE": database.where,
        "PYTHONPATH": str(ROOT),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def run(
    program: str, database: Database, *arguments: str, code: int = 0, patience: float = PATIENCE, **more: str
) -> Outcome:
    """Run a program of apps/ to its end; gives the ledger that it printed last.

    Args:
        program: The name of its file, without ".py".
        database: What it opens.
        arguments: What it is called with.
        code: How it has to exit.
        patience: After so many seconds it hangs.
        more: Of its environment.
    """
    out, _ = run_command(
        [sys.executable, "-m", f"tests.programs.apps.{program}", *arguments], database, code, patience, **more
    )
    return Outcome(**json.loads(out.strip().splitlines()[-1]))


def run_command(
    command: Sequence[str], database: Database, code: int = 0, patience: float = PATIENCE, **more: str
) -> tuple[str, str]:
    """Run any command to its end; gives what it printed, and its standard error."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment(database, **more), cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            abort(process)
            pytest.fail(f"{' '.join(command)} hangs; its threads:\n{_text(err)}")
        finally:
            kill_group(process)
        said = _text(err)
        assert process.returncode == code, f"{' '.join(command)} exited {process.returncode}:\n{said}"
        return _text(out), said


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def abort(process: subprocess.Popen[Any]) -> None:
    """End a process that hangs, with the stack of each of its threads on its standard error."""
    process.send_signal(signal.SIGABRT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_group(process: subprocess.Popen[Any]) -> None:
    """End what is left of a program's own process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class Server:
    """A real server on 127.0.0.1, for as long as the ``with`` block lasts; it has to stop in order at SIGTERM."""

    def __init__(self, command: Sequence[str], database: Database, *, port_variable: str = "", **more: str) -> None:
        self.port = free_port()
        self._command = [part.format(port=self.port) for part in command]
        self._environment = environment(database, **more) | ({port_variable: str(self.port)} if port_variable else {})
        self._log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the block

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, env=self._environment, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.get("/health")[0] < 500:
                    return self
            if self._process.poll() is not None or time.monotonic() > end:
                kill_group(self._process)
                pytest.fail(f"the server did not start:\n{self.log}")
            time.sleep(0.02)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE / 2)
            except subprocess.TimeoutExpired:
                abort(self._process)
                pytest.fail(f"the server does not stop:\n{self.log[-8000:]}")
        finally:
            kill_group(self._process)
            log = self.log
            self._log.close()
        if error is None:
            assert "Fatal Python error" not in log, log[-8000:]
            assert self._process.returncode in (0, -signal.SIGTERM), log[-8000:]
        else:
            print(log[-8000:])

    @property
    def log(self) -> str:
        """What it has written."""
        return _text(self._log)

    def raised(self) -> set[str]:
        """The classes of the exceptions whose traceback is in its log."""
        kinds = re.findall(
            r"^(?:  \+ |[ |]*)?([A-Za-z_][\w.]*(?:Error|Exception|Refused|Exit))(?=:|$)", self.log, re.MULTILINE
        )
        return {kind.rpartition(".")[2] for kind in kinds}

    def get(self, path: str) -> tuple[int, str]:
        return self._request(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE), "GET", path)

    def _request(self, connection: http.client.HTTPConnection, method: str, path: str) -> tuple[int, str]:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def load(
        self,
        paths: Sequence[str],
        *,
        requests: int,
        clients: int = 8,
        failing: int = 3,
        patience: float = PATIENCE,
        name: str = "key",
    ) -> Outcome:
        """Post *requests* requests to the paths in turn, by several clients at once; every *failing*th asks to be rolled back.

        A request that was answered with 2xx is acknowledged; the others say in JSON which error it was.
        """
        outcome, lock = Outcome(), threading.Lock()
        left = iter([(f"{paths[i % len(paths)].strip('/')}-{i}", paths[i % len(paths)], i) for i in range(requests)])

        def client() -> None:
            while True:
                with lock:
                    wanted = next(left, None)
                if wanted is None:
                    return
                key, path, i = wanted
                query = urlencode(
                    {name: key} | ({"fail": "true"} if failing and i // len(paths) % failing == 0 else {})
                )
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
                try:
                    status, body = self._request(connection, "POST", f"{path}?{query}")
                    error = None if 200 <= status < 300 else str(json.loads(body)["error"])
                except (OSError, http.client.HTTPException, ValueError, KeyError) as failure:
                    error = f"no answer ({type(failure).__name__}: {failure})"
                finally:
                    connection.close()
                with lock:
                    if error is None:
                        outcome.acknowledged.append(key)
                        continue
                    outcome.refused[key] = error
                    if error not in TYPED | {"Refused"}:
                        outcome.untyped.append(f"{key}: {error}")

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcome
