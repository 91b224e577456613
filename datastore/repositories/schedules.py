"""Schedules: a job for each slot of a cron expression, enqueued exactly once by any number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.errors import InvalidValueError
from datastore.records.pages import Page, every
from datastore.records.schedules import Schedule
from datastore.repositories.base import DEFAULT_ROWS, Cursor, Repository, found
from datastore.repositories.job_schedules import slots_after
from datastore.values import check_integer, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.schedules import SchedulesStatements


class ScheduleRepository(Repository):
    """The table *schedules*. Every claim of a job enqueues the slots that have come."""

    _statements: SchedulesStatements

    def set(
        self,
        name: str,
        cron: str,
        type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timezone: str = "UTC",
        priority: int = 0,
        max_attempts: int = 5,
        catch_up: bool = True,
    ) -> Schedule:
        """Store a schedule, or replace the one with this name; applications call it whenever they start.

        Args:
            name: 1 to 100 characters.
            cron: Five fields (minute, hour, day of month, month, day of week), or six with the second first.
            type: The type of its jobs.
            payload: The payload of its jobs, an object; each job has its slot in addition, as *slot* (ISO 8601, UTC).
            timezone: The IANA time zone of *cron*: "Europe/Berlin".
            priority: 0 to 9.
            max_attempts: 1 to 1000.
            catch_up: Whether slots that passed while no worker ran are enqueued later; False: only the latest of them.

        Returns:
            The schedule. If *cron* and *timezone* are unchanged, so is its *next_at*.

        Raises:
            InvalidValueError: *cron* is no cron expression, there is no such time zone, or a value cannot be stored.
            CheckError: A value is outside its range.
        """
        given: object = {} if payload is None else payload
        if not isinstance(given, Mapping):
            raise InvalidValueError(f"payload: an object is needed, not {given.__class__.__name__}")
        now = self._now()
        return self._statements.add_schedule(
            name=check_text(name, "name"),
            cron=check_text(cron, "cron"),
            timezone=check_text(timezone, "timezone"),
            type=check_text(type, "type"),
            payload=dict(given),
            priority=check_integer(priority, "priority"),
            max_attempts=check_integer(max_attempts, "max_attempts"),
            catch_up=catch_up,
            next_at=next(slots_after(cron, timezone, now)),
            now=now,
        )

    def get(self, name: str) -> Schedule:
        """Return one schedule.

        Raises:
            NotFoundError: It does not exist.
        """
        return found(self._statements.get_schedule(name=name), "schedule")

    def list(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Schedule]:
        """One page, by name.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = Cursor("schedules", [], (str,), after=after, max_rows=max_rows)
        after_name = "" if pager.start is None else pager.start[0]
        rows = self._statements.list_schedules(after_name=after_name, max_rows=pager.max_rows)
        return pager.page(rows, lambda schedule: (schedule.name,))

    def iterate(self) -> Iterator[Schedule]:
        """Iterate over all of them, by name, page by page."""
        return every(self.list)

    def delete(self, name: str) -> bool:
        """Delete a schedule; jobs that it has enqueued stay.

        Returns:
            False if it did not exist.
        """
        return bool(self._statements.delete_schedule(name=name))

    def upcoming(self, name: str, count: int = 5) -> Sequence[datetime]:
        """The next slots of a schedule, for a look before they come.

        Raises:
            NotFoundError: It does not exist.
        """
        schedule = self.get(name)
        slots = slots_after(schedule.cron, schedule.timezone, schedule.next_at)
        return [schedule.next_at, *(slot for slot, _ in zip(slots, range(count - 1), strict=False))]
