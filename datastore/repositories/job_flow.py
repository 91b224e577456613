"""The limits and the batches of the job queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datastore.errors import InvalidValueError
from datastore.records.job_queue import BatchCounts, Job, JobLimit
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, MAX_ROWS, Cursor
from datastore.repositories.job_leases import JobLeases
from datastore.values import check_integer, check_number, check_text


class JobFlow(JobLeases):
    """The part of `JobQueueRepository` that decides how many jobs run, and what waits for what."""

    def limit(
        self,
        type: str,
        *,
        running: int | None = None,
        running_per_key: int | None = None,
        starts: int | None = None,
        seconds: float = 60.0,
        burst: int | None = None,
    ) -> JobLimit:
        """Limit the jobs of a type, for all workers; it replaces the type's earlier limits and survives restarts.

        Args:
            type: The job type.
            running: At most so many jobs of the type run at once.
            running_per_key: At most so many jobs of the type with the same *limit_key* run at once.
            starts: At most so many jobs of the type start in any interval of *seconds*.
            seconds: The length of the interval.
            burst: How many may start without a pause between them; None: a tenth of *starts*, at least 1. A token bucket of this
                size gets ``starts - burst + 1`` tokens per interval, so that no interval has more than *starts*.

        Raises:
            InvalidValueError: No limit is given.
            CheckError: A value is outside its range.
        """
        if running is None and running_per_key is None and starts is None:
            raise InvalidValueError("give running, running_per_key or starts; unlimit removes the limits of a type")
        if burst is None and starts is not None:
            burst = max(1, check_integer(starts, "starts") // 10)
        return self._statements.add_job_limit(
            type=check_text(type, "type"),
            max_running=None if running is None else check_integer(running, "running"),
            max_running_per_key=None if running_per_key is None else check_integer(running_per_key, "running_per_key"),
            max_starts=starts,
            interval_seconds=None if starts is None else check_number(seconds, "seconds"),
            burst=None if burst is None else check_integer(burst, "burst"),
            now=self._now(),
        )

    def unlimit(self, type: str) -> bool:
        """Remove the limits of a type.

        Returns:
            False if it had none.
        """
        return bool(self._statements.delete_job_limit(type=check_text(type, "type")))

    def limits(self) -> Sequence[JobLimit]:
        """The limits, sorted by type (the first 1000)."""
        return self._statements.list_job_limits(max_rows=MAX_ROWS)

    def batch(self, batch_id: str) -> BatchCounts:
        """The number of stored jobs of a batch per status; all zero if it has none."""
        rows = self._statements.count_batch_jobs(batch_id=check_text(batch_id, "batch_id"))
        return BatchCounts(**{row.status: row.job_count for row in rows})

    def list_by_batch(self, batch_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Job]:
        """One page of the jobs of a batch, newest first (by id).

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = Cursor("jobs of a batch", [batch_id], (int,), after=after, max_rows=max_rows)
        before_id = 2**63 - 1 if pager.start is None else pager.start[0]
        rows = self._statements.list_jobs_by_batch(batch_id=batch_id, before_id=before_id, max_rows=pager.max_rows)
        return pager.page(rows, lambda job: (job.id,))

    def iterate_by_batch(self, batch_id: str) -> Iterator[Job]:
        """Iterate over all jobs of a batch, newest first, page by page."""
        return every(self.list_by_batch, batch_id)
