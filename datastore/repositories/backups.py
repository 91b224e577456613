"""The register of this database's backups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from datastore.records.backups import Backup, BackupStatus
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, Repository, TimePager, found
from datastore.values import TIME_MAX

if TYPE_CHECKING:
    from datastore.statements.typed.backups import BackupsStatements


class BackupRepository(Repository):
    """The table *backups*. `datastore.upkeep.backups` makes and deletes the files."""

    _statements: BackupsStatements

    def add(self, path: str) -> str:
        """Record that a copy is being written; returns its id."""
        id = self._new_id()
        self._statements.add_backup(id=id, path=path, created_at=self._now())
        return id

    def finish(self, id: str, *, file_bytes: int, checksum: str, audit_id: int, audit_hash: str) -> Backup:
        """Record that a copy was verified and moved into place.

        Raises:
            NotFoundError: No copy with this id is being written.
        """
        return found(
            self._statements.finish_backup(
                id=id,
                finished_at=self._now(),
                file_bytes=file_bytes,
                checksum=checksum,
                audit_id=audit_id,
                audit_hash=audit_hash,
            ),
            "backup",
        )

    def fail(self, id: str) -> None:
        """Record that a copy was not finished; does nothing if it was."""
        self._statements.fail_backup(id=id)

    def remove(self, id: str) -> None:
        """Record that a copy no longer exists; does nothing if that is already recorded."""
        self._statements.remove_backup(id=id, removed_at=self._now())

    def take_in(self, backups: Iterable[Backup]) -> None:
        """Add the copies that another copy of this database has registered as kept."""
        known = {
            backup.id: backup.status
            for status in ("kept", "writing", "removed", "failed")
            for backup in self.iterate(status)
        }
        for backup in backups:
            if backup.status != "kept" or known.get(backup.id, "writing") != "writing":
                continue
            if backup.id not in known:
                self._statements.add_backup(id=backup.id, path=backup.path, created_at=backup.created_at)
            self._statements.finish_backup(
                id=backup.id,
                finished_at=backup.finished_at or backup.created_at,
                file_bytes=backup.file_bytes or 0,
                checksum=backup.checksum or "",
                audit_id=backup.audit_id or 0,
                audit_hash=backup.audit_hash or "",
            )

    def list(
        self, status: BackupStatus = "kept", *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Backup]:
        """One page of the copies in one status, newest first."""
        pager = TimePager("backups", [status], after=after, max_rows=max_rows)
        at, id = pager.place(TIME_MAX)
        rows = self._statements.list_backups(status=status, before_created_at=at, before_id=id, max_rows=pager.max_rows)
        return pager.page_by_time(rows)

    def iterate(self, status: BackupStatus = "kept") -> Iterator[Backup]:
        """Iterate over each copy in one status, newest first, page by page."""
        return every(self.list, status)

    def audit_hash(self, id: int) -> str | None:
        """The hash of an audit entry, or None if the log has no entry with this id."""
        return self._statements.find_audit_hash(id=id)
