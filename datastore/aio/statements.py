"""An application's own statements, awaited."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datastore.aio.threads import Threads
from datastore.engines.base import Engine


class AsyncStatements:
    """As `datastore.statements.binding.Statements`; each function is awaited."""

    def __init__(self, functions: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
        self.__dict__.update(functions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a statement's function; the names are known once the files are read."""


def bind(
    threads: Threads,
    engine: Engine,
    folder: str | os.PathLike[str],
    records: Mapping[str, type[Any]] | None = None,
) -> AsyncStatements:
    """Bind a folder of statements as functions that run on *threads*.

    Raises:
        StatementError: A file breaks a rule, or a header names an unknown record.
    """
    from datastore.statements.loader import read_statements

    statements = read_statements(Path(folder), engine.name)
    bound = engine.bind(statements, records)
    return AsyncStatements(
        {
            name: _awaited(threads.write if statement.writes else threads.read, getattr(bound, name))
            for name, statement in statements.items()
        }
    )


def _awaited(call: Callable[..., Awaitable[Any]], function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    def awaited(**arguments: Any) -> Awaitable[Any]:
        return call(function, **arguments)

    awaited.__name__, awaited.__doc__ = function.__name__, function.__doc__
    return awaited
