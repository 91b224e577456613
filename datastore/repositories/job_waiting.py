"""What a worker does while there are no jobs: it waits for one, without a write and without a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from datastore.engines.base import Engine
from datastore.errors import ConnectionLostError, InvalidValueError
from datastore.repositories.base import MAX_ROWS, AuditWriter, Repository
from datastore.values import check_number, check_text, decode_timestamp

if TYPE_CHECKING:
    from datastore.statements.typed.job_queue import JobQueueStatements

#: The longest that anything waits, in seconds.
YEAR = 366 * 24 * 3600.0

#: Seconds between two looks of `wait` at the counter of commits: at least, at most, and as a part of how long nothing
#: has happened. A look costs about 0.1 ms of a processor, most of it the sleep: every 5 ms for ever would be 2 %.
_POLL, _POLL_LONGEST, _POLL_PART = 0.005, 0.02, 0.01

#: Seconds until `wait` looks again for a server that is away: at first, and at most.
_AWAY, _AWAY_LONGEST = 0.05, 2.0


class JobWaiting(Repository):
    """The waiting of `JobQueueRepository`."""

    _statements: JobQueueStatements

    def __init__(
        self,
        statements: JobQueueStatements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        #: When `wait` last saw anything happen; threads may overwrite each other's, which changes how often they look.
        self._news_at = time.monotonic()

    def wait(self, types: Iterable[str] | None = None, *, timeout: float) -> bool:
        """Sleep until a job may be due, at most *timeout* seconds.

        The time of a job wakes it, and so does another connection's commit: within 5 ms, or 20 ms where nothing has
        happened for two seconds. Nothing is written meanwhile, and no writer kept waiting. Other workers wake too: what
        `claim` then gives may be nothing.

        Returns:
            Whether something is due (or a lease has expired).

        Raises:
            TransactionError: Inside a transaction, which would keep everybody from enqueueing.
            ConnectionLostError, BusyError: PostgreSQL: the server is away, and did not come back within *timeout*.
        """
        wanted = wanted_types(types)
        deadline = time.monotonic() + check_number(timeout, "timeout")
        away = _AWAY
        while True:
            try:
                version = self._engine.data_version()
                due_in = self._due_in(wanted)
                if due_in <= 0:
                    self._news_at = time.monotonic()
                    return True
                self._sleep(version, min(deadline, time.monotonic() + due_in))
                if time.monotonic() >= deadline:
                    return self._due_in(wanted) <= 0
                away = _AWAY
            except ConnectionLostError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(away, left))
                away = min(2 * away, _AWAY_LONGEST)

    def _sleep(self, version: int, until: float) -> None:
        """Until another connection has committed, at the longest *until* (monotonic)."""
        while self._engine.data_version() == version:
            now = time.monotonic()
            if now >= until:
                return
            pause = min(max(_POLL, (now - self._news_at) * _POLL_PART), _POLL_LONGEST)
            time.sleep(min(pause, until - now))
        self._news_at = time.monotonic()

    def _queued_types(self) -> list[str]:
        return [row.type for row in self._statements.list_queued_job_types(max_rows=MAX_ROWS)]

    def _due_in(self, types: list[str] | None) -> float:
        """Seconds until something may be due; a year where nothing waits."""
        at = self._statements.find_next_job_time(types=self._queued_types() if types is None else types)
        return YEAR if at is None else (decode_timestamp(at) - self._now()).total_seconds()


def wanted_types(types: Iterable[str] | None) -> list[str] | None:
    """*types* without repetition, sorted; None stays None.

    Raises:
        InvalidValueError: They are one string, or one of them is no text.
    """
    if isinstance(types, str):
        raise InvalidValueError("types: a list of strings is needed, not one string")
    return None if types is None else sorted({check_text(type, "types") for type in types})
