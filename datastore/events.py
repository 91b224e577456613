"""What a store does, as events: its statements, transactions and long operations.

`Datastore.observe` calls a function with each of them. No event contains a parameter, a text or an id. They are named tuples,
which are made in a third of the time of an attrs class.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

log = logging.getLogger("datastore")


class StatementEvent(NamedTuple):
    """A statement that ran.

    Attributes:
        name: Its name in the .sql file.
        file: The file, relative to the folder of statements.
        rows: The number of rows that it returned or changed; 0 if it failed.
        seconds: How long it took, waiting included.
        waited: The part of *seconds* spent waiting: on SQLite for the write lock, on PostgreSQL for a connection of the pool.
        transaction: The number of the transaction or snapshot that it ran in; None if it ran alone.
        error: The class of the error that it raised, or None.
    """

    name: str
    file: str
    rows: int
    seconds: float
    waited: float
    transaction: int | None
    error: str | None


class TransactionStarted(NamedTuple):
    """A transaction or snapshot began. Savepoints are not events.

    Attributes:
        transaction: Its number, unique in this process.
        kind: "transaction" or "snapshot".
        waited: How long it waited, in seconds, as in `StatementEvent`.
    """

    transaction: int
    kind: str
    waited: float


class TransactionEnded(NamedTuple):
    """A transaction or snapshot ended.

    Attributes:
        transaction: Its number.
        kind: "transaction" or "snapshot".
        committed: Whether its changes are stored; False for a snapshot.
        seconds: How long it was open.
    """

    transaction: int
    kind: str
    committed: bool
    seconds: float


class OperationEvent(NamedTuple):
    """A longer operation ended.

    Attributes:
        name: "import", "erase", "checkpoint", ...
        detail: A name that is not personal data, for example a retention policy's; empty if there is none.
        seconds: How long it took.
        counts: What it did, by name.
        error: The class of the error that ended it, or None.
    """

    name: str
    detail: str
    seconds: float
    counts: dict[str, int]
    error: str | None


Event: TypeAlias = StatementEvent | TransactionStarted | TransactionEnded | OperationEvent

Listener: TypeAlias = Callable[[Event], None]


_changing = threading.Lock()


class Events:
    """The listeners of one engine."""

    def __init__(self) -> None:
        #: Empty almost always: check it before an event is created.
        self.listeners: tuple[Listener, ...] = ()
        #: Called whenever the listeners have changed.
        self.on_change: Callable[[], None] = lambda: None

    def change(self, listeners: tuple[Listener, ...]) -> None:
        """Call exactly these listeners from now on."""
        self.listeners = listeners
        self.on_change()

    def emit(self, event: Event) -> None:
        """Call every listener. A listener that raises does not harm the store: its error is logged."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed")

    @contextmanager
    def operation(self, name: str, detail: str = "") -> Iterator[dict[str, int]]:
        """Emit an `OperationEvent` when the block ends; the block fills the counts."""
        counts: dict[str, int] = {}
        began, error = time.perf_counter(), None
        try:
            yield counts
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            if self.listeners:
                self.emit(OperationEvent(name, detail, time.perf_counter() - began, counts, error))


class Observation:
    """A listener that is called until `stop`, or until the end of the ``with`` block."""

    def __init__(self, events: Events, listener: Listener) -> None:
        self._events = events
        # An object of its own: the same function may listen twice.
        self._call: Listener = functools.partial(listener)
        with _changing:
            events.change((*events.listeners, self._call))

    def stop(self) -> None:
        """Call the listener no more. Calling this twice is harmless."""
        with _changing:
            self._events.change(tuple(one for one in self._events.listeners if one is not self._call))

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
