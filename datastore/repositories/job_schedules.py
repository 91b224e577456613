"""The slots of schedules: cron expressions in a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from datastore.errors import InvalidValueError

if TYPE_CHECKING:
    from datastore.records.schedules import Schedule
    from datastore.statements.typed.job_queue import JobQueueStatements
    from datastore.statements.typed.schedules import SchedulesStatements

#: Number of schedules, and of slots of each, that one claim enqueues.
_SCHEDULES, _SLOTS = 100, 100

#: The waits after failures, in seconds: the defaults of `JobQueueRepository.enqueue`.
_BACKOFF, _BACKOFF_CAP = 10.0, 3600.0

#: A cron expression has a slot at least every so many days: 29 February may be 8 years away.
_LONGEST = timedelta(days=366 * 9)


def slots_after(cron: str, zone: str, instant: datetime) -> Iterator[datetime]:
    """The slots after *instant*, in UTC.

    A slot in the hour that is skipped in spring is the first minute after it; a slot in the hour that is repeated in autumn
    comes once, unless the expression is for every hour or minute.

    Raises:
        InvalidValueError: There is no such time zone, or *cron* is no cron expression, or never comes.
    """
    import zoneinfo  # only schedules need them

    import cronsim

    try:
        start = instant.astimezone(zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidValueError(
            f"timezone: there is no time zone {zone!r}; give a name such as Europe/Berlin"
        ) from None
    try:
        slots = cronsim.CronSim(cron, start)
        first = next(slots)
    except (cronsim.CronSimError, ValueError) as error:
        raise InvalidValueError(
            f"cron: {cron!r} is no cron expression ({error}); five fields are needed, such as 30 2 * * * for every night at 2:30"
        ) from None
    except StopIteration:
        raise InvalidValueError(f"cron: {cron!r} has no slot in the next years") from None
    yield first.astimezone(timezone.utc)
    for slot in slots:
        yield slot.astimezone(timezone.utc)


def enqueue_due(statements: JobQueueStatements, schedules: SchedulesStatements, now: datetime) -> int:
    """Enqueue a job for each slot up to *now*, and move the schedules on, in the caller's transaction.

    Returns:
        The number of jobs.
    """
    count = 0
    for schedule in schedules.list_due_schedules(now=now, max_rows=_SCHEDULES):
        due, next_at = _due(schedule, now)
        for slot in due:
            statements.add_job(
                type=schedule.type,
                priority=schedule.priority,
                run_at=slot,
                payload={**schedule.payload, "slot": slot.isoformat()},
                dedupe_key=f"schedule:{schedule.name}:{slot.isoformat()}",
                limit_key=None,
                sequence_key=None,
                batch_id=None,
                after_batch=None,
                max_attempts=schedule.max_attempts,
                backoff_seconds=_BACKOFF,
                backoff_cap_seconds=_BACKOFF_CAP,
                now=now,
            )
        schedules.update_schedule_next_at(name=schedule.name, next_at=next_at)
        count += len(due)
    return count


def _due(schedule: Schedule, now: datetime) -> tuple[list[datetime], datetime]:
    """The slots to enqueue now, and the next one."""
    due = [schedule.next_at]
    for slot in slots_after(schedule.cron, schedule.timezone, schedule.next_at):
        if slot > now or (schedule.catch_up and len(due) == _SLOTS):
            return due, slot
        if schedule.catch_up:
            due.append(slot)
        else:
            due = [slot]
    return due, now + _LONGEST  # the expression names a year's end that does not come again
