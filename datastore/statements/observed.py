"""Bound statements that report what they do. They are used only while somebody listens."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from datastore.events import Events, StatementEvent
from datastore.statements.binding import Statements
from datastore.statements.loader import Statement


class Thread(Protocol):
    """The calling thread's state, as an engine keeps it."""

    def observed(self) -> tuple[float, int | None]:
        """The seconds that the last call waited, and the number of the open transaction or snapshot."""


class ObservedStatements:
    """An engine's bound statements: their functions report to its events while these have listeners."""

    def __init__(self, events: Events, thread: Thread) -> None:
        self._events = events
        self._thread = thread
        self._bound: weakref.WeakSet[Statements] = weakref.WeakSet()
        events.on_change = self._change

    def add(self, bound: Statements, statements: Mapping[str, Statement]) -> Statements:
        """Observe some bound statements from now on, whenever somebody listens."""
        bound._wrap(
            lambda name, function: self._reporting(function, statements[name]) if self._events.listeners else function
        )
        self._bound.add(bound)
        return bound

    def _change(self) -> None:
        for bound in list(self._bound):
            bound._forget()

    def _reporting(self, function: Callable[..., Any], statement: Statement) -> Callable[..., Any]:
        name, file, result = statement.name, statement.file, statement.result
        single = result in ("row", "value")
        emit, observed, clock, new = self._events.emit, self._thread.observed, time.perf_counter, StatementEvent

        def run(**parameters: Any) -> Any:
            began = clock()
            try:
                found = function(**parameters)
            except BaseException as error:
                emit(new(name, file, 0, clock() - began, *observed(), type(error).__name__))
                raise
            seconds = clock() - began
            rows = int(found is not None) if single else len(found) if result == "rows" else found
            emit(new(name, file, rows, seconds, *observed(), None))
            return found

        run.__doc__ = function.__doc__
        return run
