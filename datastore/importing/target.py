"""The target of one imported file: the store, the report of the current batch, and the check for erased subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from datastore.formats import BadLine
from datastore.importing.report import ImportReport

if TYPE_CHECKING:
    from datastore.records.erasures import SubjectKind
    from datastore.repositories import ImportExportRepository
    from datastore.store import Datastore


@attrs.define(kw_only=True)
class Target:
    """One file that is being imported into a store."""

    store: Datastore
    #: The file's name, for the report.
    file: str
    #: The name of its format.
    kind: str
    #: The version of the sanitization that the text went through, for lines that do not give one.
    sanitization_version: str
    #: Whether to import again what was erased on request.
    include_erased: bool
    #: Whether this only shows what an import would do: no tombstone is lifted.
    dry_run: bool = False
    #: Whether a tombstone was lifted.
    lifted: bool = False
    #: The report of the current batch so far.
    batch: ImportReport = attrs.field(factory=ImportReport)

    @property
    def more(self) -> ImportExportRepository:
        """The repository for exact times, gaps and message keys."""
        return self.store._parts.import_export

    def place(self, line: int) -> str:
        """A line of the file, for the report."""
        return f"{self.file}:{line}"

    def bad(self, bad: BadLine) -> None:
        """Report something that cannot be stored."""
        self.batch.bad_lines += 1
        self.batch.bad.append(bad)

    def differs(self, line: int, what: str) -> None:
        """Report something that is stored with different content."""
        self.batch.differing += 1
        self.batch.differences.append(f"{self.place(line)}: {what}; left as it is stored")

    def is_erased(self, names: dict[SubjectKind, str | None]) -> bool:
        """Whether any of these was erased on request and stays erased; with *include_erased*, lift its tombstone."""
        tombstones = self.store._eraser.tombstones
        if not (keys := tombstones.keys()):
            return False
        given = [(kind, id) for kind, id in names.items() if id is not None]
        found = [(kind, id) for kind, id in given if tombstones.find(kind, id, keys)]
        if not self.include_erased:
            return bool(found)
        for kind, id in found if not self.dry_run else ():
            tombstones.lift(kind, id)
            self.lifted = True
        return False
