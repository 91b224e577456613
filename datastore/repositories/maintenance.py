"""What upkeep needs of the database: the full-text indexes' segments, and when each task last ran."""

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
        #: How each full-text table of this library is merged, and its segments counted.
        self._full_text: dict[str, tuple[Callable[..., int], Callable[[], int]]] = {}
        if engine.fts5:
            self._full_text = {
                "learnings_fts": (statements.merge_learnings_fts_slice, statements.count_learnings_fts_segments),
                "messages_fts": (statements.merge_messages_fts_slice, statements.count_messages_fts_segments),
            }

    def full_text_tables(self) -> list[str]:
        """Every full-text table of the schema; an application's own are the application's to merge."""
        return [row.name for row in self._statements.list_full_text_tables(max_rows=1000)]

    def segments(self) -> dict[str, int]:
        """How many segments each full-text table of this library has; a search looks into each."""
        return {table: count() for table, (_, count) in self._full_text.items()}

    def merge(self, table: str, pages: int) -> bool:
        """Merge segments of a full-text table, *pages* pages at most (negative: begin to merge all into one).

        Returns:
            False where there was nothing to merge.
        """
        with self._engine.transaction():
            before = self._statements.count_changes()
            self._full_text[table][0](pages=pages)
            return self._statements.count_changes() - before >= 2

    def merge_slices(self, pages: int) -> None:
        """Merge *pages* pages of each full-text table, in a transaction each; nothing where few segments are there.

        FTS5 does as much by itself, but all at once, in the commit of whoever writes the next row.
        """
        for table in self._full_text:
            self.merge(table, pages)

    def ran(self, task: str) -> None:
        """Note that a task ran to its end."""
        self._statements.set_maintenance_task(name=task, ran_at=self._now())

    def last_runs(self) -> dict[str, datetime]:
        """When each task last ran to its end; a task that never did is not there."""
        return {row.name: row.ran_at for row in self._statements.list_maintenance_tasks(max_rows=100)}
