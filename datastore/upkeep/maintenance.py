"""Maintenance in bounded slices: free pages, full-text segments, the WAL, statistics; and the full VACUUM."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from datastore.engines.sqlite.files import give_back, rebuild
from datastore.engines.sqlite.readers import reader_processes
from datastore.upkeep.backups import refuse_full

if TYPE_CHECKING:
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.repositories import MaintenanceRepository

#: See `datastore.upkeep.backups.Backups.sweep`.
Sweep = Callable[[], tuple[int, Sequence[Path]]]

#: One slice holds the write lock for about 20 ms at most.
SLICE_PAGES = 256
MERGE_PAGES = 64


@attrs.frozen(kw_only=True)
class Thresholds:
    """Limits above which maintenance is due; below them, free space is simply reused."""

    #: The share of the file that may be free pages, 0 to 1, ...
    free_ratio: float = 0.05
    #: ... and the bytes that may be free in any case.
    free_bytes: int = 16 * 1024 * 1024
    #: Maximum number of segments per full-text table. Fewer than eight of one size are not merged, so a few dozen are normal.
    segments: int = 40
    #: Maximum size of the WAL, in bytes.
    wal_bytes: int = 4 * 1024 * 1024
    #: Maximum age of the planner's statistics.
    optimize_every: timedelta = timedelta(days=1)


@attrs.frozen(kw_only=True)
class Condition:
    """The current state of everything that maintenance handles."""

    file_bytes: int
    wal_bytes: int
    page_bytes: int
    free_pages: int
    #: The number of segments by full-text table.
    segments: dict[str, int]
    #: When each task last ran to completion.
    last_runs: dict[str, datetime]
    #: Processes that are reading an old state, so the WAL cannot be truncated. None: this system does not report them.
    readers: list[int] | None


@attrs.frozen(kw_only=True)
class Upkeep:
    """The result of one run."""

    #: Pages returned to the file system.
    pages_freed: int
    #: Slices of full-text merges that found something to merge.
    merges: int
    #: Whether the whole WAL was written back and truncated; None: it was small, and nothing was tried.
    checkpointed: bool | None
    optimized: bool
    #: Total number of slices, and the longest one, in seconds.
    slices: int
    longest: float
    #: Whether everything above the thresholds was done; False: the budget ran out, or a reader blocked the WAL.
    finished: bool
    #: Processes that prevented the WAL from being truncated. None: this system does not report them.
    blocked_by: list[int] | None
    #: Number of removed files that killed commands had left unfinished.
    removed: int = 0


class Maintenance:
    """``store.maintenance``: a long-running program or cron calls it periodically."""

    def __init__(self, engine: SQLiteEngine, repository: MaintenanceRepository, sweep: Sweep = lambda: (0, [])) -> None:
        self._engine = engine
        self._repository = repository
        self._sweep = sweep

    def condition(self) -> Condition:
        """Sizes, free pages, segments, last runs and readers."""
        pragma, path = self._engine.pragma, self._engine.path
        return Condition(
            file_bytes=pragma("page_count") * pragma("page_size"),
            wal_bytes=_bytes(Path(f"{path}-wal")),
            page_bytes=pragma("page_size"),
            free_pages=pragma("freelist_count"),
            segments=self._repository.segments(),
            last_runs=self._repository.last_runs(),
            readers=reader_processes(path),
        )

    def due(self, *, interval: timedelta = timedelta(hours=1), thresholds: Thresholds | None = None) -> bool:
        """Whether `run` should be called: a threshold is exceeded, or the last run was at least *interval* ago."""
        limits, condition = thresholds or Thresholds(), self.condition()
        last = condition.last_runs.get("free_pages")
        return (
            last is None
            or self._engine.now() - last >= interval
            or condition.free_pages > _spare_pages(condition, limits)
            or max(condition.segments.values(), default=0) > limits.segments
            or condition.wal_bytes > limits.wal_bytes
        )

    def run(self, *, budget: float = 1.0, everything: bool = False, thresholds: Thresholds | None = None) -> Upkeep:
        """Do what is due for about *budget* seconds, in slices between which other writers can write.

        Args:
            budget: Seconds; a slice that has begun is always finished, and at least one useful slice is run.
            everything: Act as if every threshold were 0.
            thresholds: Limits above which maintenance is due.

        Raises:
            TransactionError: Called inside a transaction.
            BusyError: Another writer held the write lock for longer than the store's timeout.
        """
        limits = thresholds or Thresholds()
        if everything:
            limits = Thresholds(free_ratio=0, free_bytes=0, segments=0, wal_bytes=0, optimize_every=timedelta(0))
        with self._engine.events.operation("maintenance"):
            removed, _ = self._sweep()
            done = _Run(self._engine, self._repository, self.condition(), limits, budget).go()
        return attrs.evolve(done, removed=removed)

    def vacuum(self, on_progress: Callable[[float], None] | None = None) -> int:
        """Rebuild the whole database. Use it in a maintenance window: no other connection can write meanwhile.

        Args:
            on_progress: Called periodically with the seconds elapsed.

        Returns:
            The number of bytes by which the file shrank.

        Raises:
            DiskFullError: There is no space for the temporary copy, or for the WAL, which becomes as large as the database.
            BusyError: Another connection held the write lock for longer than the timeout.
        """
        before = self.condition()
        folders = {self._engine.path.parent, temporary_folder()}
        same_disk = len({folder.stat().st_dev for folder in folders}) == 1
        for folder in folders:
            refuse_full(folder, before.file_bytes * (2 if same_disk else 1), "a full VACUUM")
        rebuild(self._engine, on_progress)
        self._repository.ran("vacuum")
        return before.file_bytes - self.condition().file_bytes


class _Run:
    """One call of `Maintenance.run`."""

    def __init__(
        self,
        engine: SQLiteEngine,
        repository: MaintenanceRepository,
        condition: Condition,
        limits: Thresholds,
        budget: float,
    ) -> None:
        self._engine = engine
        self._repository = repository
        self._condition = condition
        self._limits = limits
        self._end = time.monotonic() + budget
        self._slices = 0
        self._worked = False
        self._longest = 0.0
        self._merges = 0

    def go(self) -> Upkeep:
        # In this order: merging frees pages, and all of it goes through the WAL.
        merged = self._merge()
        freed = self._free_pages()
        optimized = self._optimize()
        whole = self._checkpoint()
        left = self._engine.pragma("freelist_count") > _spare_pages(self._condition, self._limits)
        return Upkeep(
            pages_freed=freed,
            merges=self._merges,
            checkpointed=whole,
            optimized=optimized,
            slices=self._slices,
            longest=self._longest,
            finished=merged and not left and whole is not False and not self._optimize_due(optimized),
            blocked_by=reader_processes(self._engine.path) if whole is False else [],
        )

    def _free_pages(self) -> int:
        spare = _spare_pages(self._condition, self._limits)
        before = left = self._engine.pragma("freelist_count")
        while left > spare and self._time_left():
            self._slice(partial(self._vacuum_slice, min(SLICE_PAGES, left - spare)))
            now = self._engine.pragma("freelist_count")
            if now >= left:
                break  # others delete faster than this frees, or this file does not have auto_vacuum = INCREMENTAL
            left = now
        if left <= spare:
            self._repository.ran("free_pages")
        return int(max(0, before - left))

    def _vacuum_slice(self, pages: int) -> bool:
        give_back(self._engine, pages)
        return True

    def _merge(self) -> bool:
        done = True
        for table, segments in self._condition.segments.items():
            more = segments > max(1, self._limits.segments)
            while more and self._time_left():
                more = self._slice(partial(self._repository.merge, table, MERGE_PAGES))
                self._merges += more
            done = done and not more
        if done:
            self._repository.ran("full_text")
        return done

    def _checkpoint(self) -> bool | None:
        if _bytes(Path(f"{self._engine.path}-wal")) <= self._limits.wal_bytes:
            return None
        whole = self._slice(self._engine.checkpoint)
        if whole:
            self._repository.ran("checkpoint")
        return whole

    def _optimize_due(self, done: bool = False) -> bool:
        last = self._condition.last_runs.get("optimize")
        return not done and (last is None or self._engine.now() - last >= self._limits.optimize_every)

    def _optimize(self) -> bool:
        if not self._optimize_due() or not self._time_left():
            return False
        self._slice(self._optimize_slice)
        self._repository.ran("optimize")
        return True

    def _optimize_slice(self) -> bool:
        self._engine.rows("analysis_limit = 400")
        with self._engine.transaction():
            self._engine.rows("optimize")
        return True

    def _time_left(self) -> bool:
        # At least one slice with work is always run, so that even tiny budgets make progress.
        return not self._worked or time.monotonic() < self._end

    def _slice(self, work: Callable[[], bool]) -> bool:
        begun = time.monotonic()
        result = work()
        self._slices += 1
        self._worked = self._worked or result
        self._longest = max(self._longest, time.monotonic() - begun)
        return result


def temporary_folder() -> Path:
    """The folder in which SQLite writes VACUUM's temporary copy."""
    for folder in (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp"):  # noqa: S108
        if folder and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return Path(tempfile.gettempdir())


def _spare_pages(condition: Condition, limits: Thresholds) -> int:
    pages = condition.file_bytes // condition.page_bytes
    return int(max(pages * limits.free_ratio, limits.free_bytes / condition.page_bytes))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
