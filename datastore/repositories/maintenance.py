"""The database side of maintenance: the segments of full-text indexes, and when each task last ran."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.engines.base import Engine
from datastore.repositories.base import AuditWriter, Repository

if TYPE_CHECKING:
    from datastore.statements.typed.maintenance import MaintenanceStatements


class MaintenanceRepository(Repository):
    """The table *maintenance_tasks*, and the full-text tables."""

    _statements: MaintenanceStatements

    def __init__(
        self,
        statements: MaintenanceStatements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        audit: AuditWriter | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        #: The statements that merge each full-text table of this library and count its segments.
        self._full_text: dict[str, tuple[Callable[..., int], Callable[[], int]]] = {}
        if hasattr(statements, "merge_learnings_fts_slice"):  # statements that only SQLite has
            self._full_text = {
                "learnings_fts": (statements.merge_learnings_fts_slice, statements.count_learnings_fts_segments),
                "messages_fts": (statements.merge_messages_fts_slice, statements.count_messages_fts_segments),
            }

    def full_text_tables(self) -> list[str]:
        """Every full-text table of the schema; an application merges its own."""
        return [row.name for row in self._statements.list_full_text_tables(max_rows=1000)]

    def segments(self) -> dict[str, int]:
        """The number of segments per full-text table of this library; a search reads each segment."""
        return {table: count() for table, (_, count) in self._full_text.items()}

    def merge(self, table: str, pages: int) -> bool:
        """Merge segments of a full-text table, at most *pages* pages (negative: start merging all into one).

        Returns:
            False if there was nothing to merge.
        """
        with self._engine.transaction():
            before = self._statements.count_changes()
            self._full_text[table][0](pages=pages)
            return self._statements.count_changes() - before >= 2

    def merge_slices(self, pages: int) -> None:
        """Merge *pages* pages of each full-text table, one transaction per table; skips tables with few segments.

        FTS5 would do the same work itself, but all at once, in the commit of the next writer.
        """
        for table in self._full_text:
            self.merge(table, pages)

    def ran(self, task: str) -> None:
        """Record that a task has completed."""
        self._statements.set_maintenance_task(name=task, ran_at=self._now())

    def last_runs(self) -> dict[str, datetime]:
        """When each task last completed; a task that never completed is omitted."""
        return {row.name: row.ran_at for row in self._statements.list_maintenance_tasks(max_rows=100)}
