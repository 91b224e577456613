"""A second process for a share of the check, where the machine has a second core.

The reading of statements (`vet.result`) takes most of a check's time, and each statement is read by itself. The
second process is forked as soon as the files are read, and reads the SQL of its share while the first one migrates the
scratch database. Each opens that database for itself: SQLite forbids taking a connection across a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from datastore.contract.database import Catalogue
from datastore.contract.inference.parse import Unsure, parse
from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source, Variant
from datastore.contract.vet.callers import check_callers
from datastore.contract.vet.result import Results
from datastore.engines import sqlite_explain

#: The second process's part of the statements: it has no steps to apply and no plans to read meanwhile. (Measured at
#: two fifths to three quarters: the differences are below the noise, three fifths lead.)
_SHARE = 3
_OF = 5


def worthwhile() -> Literal[1, 2]:
    """How many processes to check with: 2 where there is a second core and forking is safe (Linux), else 1."""
    return 2 if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1 else 1


class Second:
    """What the second process does: finds the callers, and checks the results of its share of the statements."""

    def __init__(self, project: Project, sources: Sequence[Source], variants: Sequence[Variant]) -> None:
        self.project = project
        self.sources = sources
        self.share = {one.name: one for number, one in enumerate(variants) if number % _OF < _SHARE}
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self._process = context.Process(target=self._run, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> Second:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._here.close()
        self._process.terminate()
        self._process.join()

    def start(self, schema: Path, names: set[str]) -> None:
        """Have it check those of its share that are in *names*, on the database that the migrations made."""
        with suppress(BrokenPipeError):  # it failed before, and `problems` says with what
            self._here.send((schema, names))

    def problems(self, results: dict[Any, Any]) -> list[Problem]:
        """What it found, once it has ended; *results* takes the columns that it inferred, for later use.

        Raises:
            Exception: What it raised.
        """
        try:
            problems, columns, error = self._here.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError("the second process of the check was killed") from None
        if error is not None:
            raise error
        results.update(columns)
        found: list[Problem] = problems
        return found

    def _run(self, connection: Connection) -> None:
        self._here.close()
        answer: tuple[list[Problem], Mapping[Any, Any], Exception | None]
        try:
            answer = (*self._check(connection), None)
        except EOFError:
            return  # the first process gave up before there was a schema
        except Exception as error:
            answer = ([], {}, error)
        with suppress(BrokenPipeError):
            connection.send(answer)

    def _check(self, connection: Connection) -> tuple[list[Problem], Mapping[Any, Any]]:
        found = list(check_callers(self.project, self.sources))
        for variant in self.share.values():
            with suppress(Unsure, RecursionError):
                parse(variant.sql)  # is kept; what is not understood is told of below
        path, names = connection.recv()
        with closing(sqlite_explain.open_scratch(path)) as database:
            results = Results(self.project, Catalogue(database))
            for name, variant in self.share.items():
                if name in names:
                    found += results.check(variant)
            return found, results.schema.results
