"""Cleaning after a deletion: merge full-text indexes, truncate the WAL, scan the files' bytes, vacuum if anything is left."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from datastore.engines.sqlite.readers import reader_processes
from datastore.errors import BusyError, DiskFullError
from datastore.upkeep.residue import TERMS, Needles, Residue, found_in, scan, tree_kinds

if TYPE_CHECKING:
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.repositories import ErasureRepository, MaintenanceRepository
    from datastore.upkeep.maintenance import Maintenance, Sweep

#: Full-text index pages per merge, which holds the write lock for tens of milliseconds.
MERGE_PAGES = 128
#: Number of merges after which the WAL is written back. Writers wait for that too, so it is done in small portions.
_WRITTEN_BACK = 8


Tell = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Cleaning:
    """The result of cleaning after a deletion."""

    status: Literal["deleted", "scrubbed", "verified"]
    #: The reasons why the status is not "verified".
    blocked_by: list[str]
    #: For the receipt: settings, counts, no content.
    facts: dict[str, Any]


class Cleaner:
    """Cleans one database.

    Args:
        engine: The database's engine.
        repository: Merges the full-text indexes.
        erasures: Returns the root pages of the trees, and the words that other rows have.
        maintenance: Vacuums.
        rebuild: Rebuilds the full-text indexes.
        sweep: Removes the unfinished files of killed commands, and returns those in use.
    """

    def __init__(
        self,
        engine: SQLiteEngine,
        repository: MaintenanceRepository,
        erasures: ErasureRepository,
        maintenance: Maintenance,
        rebuild: Callable[[], None],
        sweep: Sweep,
    ) -> None:
        self._engine = engine
        self._repository = repository
        self._erasures = erasures
        self._maintenance = maintenance
        self._rebuild = rebuild
        self._sweep = sweep

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """Merge, truncate and scan; vacuum if anything is left; if it still is, rebuild the full-text indexes.

        Args:
            needles: The erased texts. None: they are no longer known, so nothing is proved and the file is vacuumed.
            vacuum: Whether the file may be vacuumed, which makes writers wait.
            tell: Called with a description of each step.
        """
        blocked: list[str] = []
        tell("merging the full-text indexes")
        facts: dict[str, Any] = {"settings": self._settings(), "merges": self._merge()}
        if not facts["settings"]["secure_delete"]:
            blocked.append("secure_delete is off")
        facts["removed_drafts"], drafts = self._sweep()
        tell("truncating the WAL")
        cut = self._cut()
        facts["scans"] = []
        facts["vacuumed"] = facts["rebuilt"] = False
        if needles is not None:
            needles.only(self._erasures.known_terms(needles.stems))
        left = self._scan(needles, facts, tell)
        if vacuum and (left is None or left.hits) and self._vacuum(blocked, tell):
            facts["vacuumed"] = True
            cut = self._cut()
            left = self._scan(needles, facts, tell)
            if left is not None and left.hits:
                # Merges of a small index may keep the delete markers, including the words (seen on SQLite 3.53.2).
                tell("rebuilding the full-text indexes")
                self._rebuild()
                facts["rebuilt"] = True
                if self._vacuum(blocked, tell):
                    cut = self._cut()
                    left = self._scan(needles, facts, tell)
        facts["wal_cut"] = not cut
        if needles is not None:
            blocked += [
                f"{draft}, which another command is writing, contains it"
                for draft in drafts
                if found_in(draft, needles)
            ]
        if cut:
            blocked.append(cut)
        if left is not None and left.elsewhere:
            blocked.append("rows of other tables contain pieces of it")
        if left is not None and left.hits:
            blocked.append("pieces of it are left in the files")
        clean = not cut and (left is None or not left.hits) and (left is not None or facts["vacuumed"])
        proved = clean and left is not None and not left.elsewhere and not blocked
        return Cleaning(
            status="verified" if proved else "scrubbed" if clean else "deleted", blocked_by=blocked, facts=facts
        )

    def _settings(self) -> dict[str, Any]:
        names = ("secure_delete", "auto_vacuum", "journal_mode", "page_size")
        return {name: self._engine.pragma(name) for name in names} | {"sqlite": sqlite3.sqlite_version}

    def _merge(self) -> dict[str, int]:
        slices = {}
        for table in self._repository.segments():
            more, slices[table] = self._repository.merge(table, -MERGE_PAGES), 1
            while more:
                more = self._repository.merge(table, MERGE_PAGES)
                slices[table] += 1
                if slices[table] % _WRITTEN_BACK == 0:
                    self._engine.checkpoint()
        return slices

    def _cut(self) -> str:
        """Truncate the WAL; return what prevents it, "" if nothing does."""
        end = time.monotonic() + min(self._engine.timeout, 10.0)
        while not self._engine.checkpoint():
            if time.monotonic() > end:
                readers = reader_processes(self._engine.path)
                named = "a reader" if not readers else f"a reader (process {', '.join(map(str, readers))})"
                return f"{named} keeps the WAL"
            time.sleep(0.01)
        return ""

    def _scan(self, needles: Needles | None, facts: dict[str, Any], tell: Tell) -> Residue | None:
        """What is left in the files; None if the erased texts are not known."""
        if needles is None:
            return None
        tell("scanning the files")
        with self._engine.snapshot():
            trees = tree_kinds(self._erasures.trees(), self._repository.full_text_tables())
            found = scan(self._engine.path, trees, needles)
        sampled = needles.sampled or len(needles.stems) > TERMS
        facts["scans"].append({**attrs.asdict(found), "sampled": sampled})
        return found

    def _vacuum(self, blocked: list[str], tell: Tell) -> bool:
        tell("vacuuming")
        try:
            self._maintenance.vacuum()
        except (BusyError, DiskFullError) as error:
            blocked.append(f"VACUUM: {type(error).__name__}")
            return False
        return True
