"""The upkeep of a SQLite database: this library does all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datastore.upkeep.backups import Backups, Opener
from datastore.upkeep.cleaning import Cleaner, Cleaning, Tell
from datastore.upkeep.maintenance import Maintenance
from datastore.upkeep.verify import Check

if TYPE_CHECKING:
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.repositories import Repositories
    from datastore.upkeep.residue import Needles


class SQLiteUpkeep:
    """The upkeep of one database file.

    Args:
        engine: The file's engine.
        parts: The file's repositories.
        opener: Opens a copy of the file as a store, to verify it.
    """

    def __init__(self, engine: SQLiteEngine, parts: Repositories, opener: Opener) -> None:
        self._engine = engine
        self._parts = parts
        self.backups = Backups(engine, parts.backups, opener)
        self.maintenance = Maintenance(engine, parts.maintenance, self.backups.sweep)
        self._cleaner = Cleaner(
            engine, parts.maintenance, parts.erasures, self.maintenance, parts.index.rebuild, self.backups.sweep
        )

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """See `Cleaner.clean`."""
        return self._cleaner.clean(needles, vacuum=vacuum, tell=tell)

    def checks(self) -> Sequence[Check]:
        """Checks of the file's pages, its foreign keys and its full-text indexes."""
        checks = [("integrity", self._integrity), ("foreign keys", self._foreign_keys)]
        # FTS5 takes the order to check itself as a row that is inserted.
        return checks if self._engine.read_only else [*checks, ("full-text index", self._full_text)]

    def _integrity(self) -> list[str]:
        return [str(row[0]) for row in self._engine.integrity() if row[0] != "ok"]

    def _foreign_keys(self) -> list[str]:
        rows = self._engine.rows("foreign_key_check")
        return [f"{table}: row {row} refers to nothing in {parent}" for table, row, parent, _ in rows[:100]]

    def _full_text(self) -> list[str]:
        self._parts.derived.check_full_text()
        return []
