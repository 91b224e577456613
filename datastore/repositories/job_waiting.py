"""Waiting for a job without writing to the database and without a separate thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from datastore.engines.base import Engine
from datastore.errors import ConnectionLostError, InvalidValueError
from datastore.repositories.base import MAX_ROWS, AuditWriter, Repository
from datastore.values import check_number, check_text, decode_timestamp

if TYPE_CHECKING:
    from datastore.statements.typed.job_queue import JobQueueStatements

#: Maximum wait, in seconds.
YEAR = 366 * 24 * 3600.0

#: Poll interval of `wait` for the commit counter, in seconds: minimum, maximum, and fraction of the idle time.
#: One poll takes about 0.1 ms of CPU time, mostly for the sleep: polling every 5 ms forever would take 2 %.
_POLL, _POLL_LONGEST, _POLL_PART = 0.005, 0.02, 0.01

#: Seconds until `wait` tries to reach an unreachable server again: initial and maximum.
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
        #: When `wait` last saw activity; threads may overwrite each other's value, which only changes the poll interval.
        self._news_at = time.monotonic()

    def wait(self, types: Iterable[str] | None = None, *, timeout: float) -> bool:
        """Sleep until a job may be due, at most *timeout* seconds.

        It wakes when a job becomes due and when another connection commits: within 5 ms, or 20 ms after two seconds
        without activity. It writes nothing and blocks no writer. Other workers wake too, so a following `claim` may
        return None.

        Returns:
            Whether a job is due (or a lease has expired).

        Raises:
            TransactionError: It was called inside a transaction, which would prevent others from enqueueing.
            ConnectionLostError, BusyError: PostgreSQL only: the server stayed unreachable for *timeout*.
        """
        pauses = self.waiting(types, timeout=timeout)
        while True:
            try:
                pause = next(pauses)
            except StopIteration as end:
                return bool(end.value)
            time.sleep(pause)

    def waiting(self, types: Iterable[str] | None = None, *, timeout: float) -> Generator[float, None, bool]:
        """The pauses of `wait`, in seconds; it returns what `wait` does. Run it on one thread."""
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
                yield from self._sleep(version, min(deadline, time.monotonic() + due_in))
                if time.monotonic() >= deadline:
                    return self._due_in(wanted) <= 0
                away = _AWAY
            except ConnectionLostError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                yield min(away, left)
                away = min(2 * away, _AWAY_LONGEST)

    def _sleep(self, version: int, until: float) -> Iterator[float]:
        """The pauses until another connection commits, at the latest until *until* (monotonic)."""
        while self._engine.data_version() == version:
            now = time.monotonic()
            if now >= until:
                return
            pause = min(max(_POLL, (now - self._news_at) * _POLL_PART), _POLL_LONGEST)
            yield min(pause, until - now)
        self._news_at = time.monotonic()

    def _queued_types(self) -> list[str]:
        # The jobs of a limited type may all be waiting for a free place; then the type is not in the claim's index.
        types = {row.type for row in self._statements.list_queued_job_types(max_rows=MAX_ROWS)}
        return sorted(types.union(limit.type for limit in self._statements.list_job_limits(max_rows=MAX_ROWS)))

    def _due_in(self, types: list[str] | None) -> float:
        """Seconds until a job may be due; a year if no job is waiting."""
        at = self._statements.find_next_job_time(types=self._queued_types() if types is None else types)
        return YEAR if at is None else (decode_timestamp(at) - self._now()).total_seconds()


def wanted_types(types: Iterable[str] | None) -> list[str] | None:
    """The distinct *types*, sorted; None stays None.

    Raises:
        InvalidValueError: *types* is a single string, or a type is not text.
    """
    if isinstance(types, str):
        raise InvalidValueError("types: expected a list of strings, not one string")
    return None if types is None else sorted({check_text(type, "types") for type in types})
