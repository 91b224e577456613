"""Events as log records of the loggers ``datastore.statement``, ``datastore.transaction`` and ``datastore.operation``."""

from __future__ import annotations

import logging
import os

import attrs

from datastore.errors import InvalidValueError
from datastore.events import Event, OperationEvent, StatementEvent, TransactionEnded

_statement = logging.getLogger("datastore.statement")
_transaction = logging.getLogger("datastore.transaction")
_operation = logging.getLogger("datastore.operation")

#: Sets the level of the command line's log.
VARIABLE = "DATASTORE_LOG"


@attrs.frozen
class LogEvents:
    """Logs what a store does: ``store.observe(LogEvents(slow_seconds=0.5))``.

    Statements and transactions are logged at DEBUG, long operations at INFO, failed ones at ERROR. Slow statements, slow
    transactions and long waits are logged at WARNING.

    Attributes:
        slow_seconds: A statement is slow if it takes this long; 0 or more.
        slow_transaction_seconds: The same for a transaction: on SQLite it keeps every other writer out.
        long_wait_seconds: A wait for a lock or a connection is long if it takes this long.
    """

    slow_seconds: float = attrs.field(default=0.5, kw_only=True)
    slow_transaction_seconds: float = attrs.field(default=5.0, kw_only=True)
    long_wait_seconds: float = attrs.field(default=1.0, kw_only=True)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementEvent):
            self._log_statement(event)
        elif isinstance(event, TransactionEnded):
            slow = event.kind == "transaction" and event.seconds >= self.slow_transaction_seconds
            _transaction.log(
                logging.WARNING if slow else logging.DEBUG,
                "%s%s %d %s, %.3f ms",
                "slow " if slow else "",
                event.kind,
                event.transaction,
                "committed" if event.committed else "ended" if event.kind == "snapshot" else "rolled back",
                event.seconds * 1000,
            )
        elif isinstance(event, OperationEvent):
            _log_operation(event)
        else:
            long = event.waited >= self.long_wait_seconds
            _transaction.log(
                logging.WARNING if long else logging.DEBUG,
                "%s %d began, waited %.3f ms",
                event.kind,
                event.transaction,
                event.waited * 1000,
            )

    def _log_statement(self, event: StatementEvent) -> None:
        slow = event.seconds >= self.slow_seconds
        level = logging.WARNING if slow or event.waited >= self.long_wait_seconds else logging.DEBUG
        if not _statement.isEnabledFor(level):
            return
        _statement.log(
            level,
            "%s%s (%s): rows %d, %.3f ms%s%s%s",
            "slow statement " if slow else "",
            event.name,
            event.file,
            event.rows,
            event.seconds * 1000,
            f", waited {event.waited * 1000:.3f} ms" if event.waited else "",
            "" if event.transaction is None else f", in transaction {event.transaction}",
            "" if event.error is None else f", failed with {event.error}",
        )


def _log_operation(event: OperationEvent) -> None:
    # Checkpoints are frequent and of interest only while debugging.
    level = logging.ERROR if event.error else logging.DEBUG if event.name == "checkpoint" else logging.INFO
    counts = ", ".join(f"{count} {name}" for name, count in event.counts.items())
    _operation.log(
        level,
        "%s%s: %.3f s%s%s",
        event.name,
        f" {event.detail}" if event.detail else "",
        event.seconds,
        f", {counts}" if counts else "",
        f", failed with {event.error}" if event.error else "",
    )


def log_level() -> int | None:
    """The level that the environment variable DATASTORE_LOG sets, or None.

    Raises:
        InvalidValueError: It is not the name of a level.
    """
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise InvalidValueError(f"{VARIABLE} is debug, info, warning or error")
    return level
