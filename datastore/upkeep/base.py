"""The protocol of an engine's upkeep: backups, maintenance, cleaning after an erasure, checks of the storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from datastore.upkeep.cleaning import Cleaning, Tell
from datastore.upkeep.verify import Check

if TYPE_CHECKING:
    from datastore.upkeep.backups import Backups
    from datastore.upkeep.maintenance import Maintenance
    from datastore.upkeep.residue import Needles


class Upkeep(Protocol):
    """The upkeep of one database."""

    @property
    def backups(self) -> Backups:
        """Copies of the database.

        Raises:
            UnsupportedError: The database is on a server, whose own tools make them.
        """

    @property
    def maintenance(self) -> Maintenance:
        """Upkeep in bounded slices.

        Raises:
            UnsupportedError: The database is on a server, which does this itself.
        """

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """Remove what a deletion left in the storage, and report what remains.

        Args:
            needles: The erased texts. None: they are no longer known, so nothing can be proved.
            vacuum: Whether the database may be vacuumed.
            tell: Called with a description of each step.
        """

    def checks(self) -> Sequence[Check]:
        """The checks of the storage itself, for `datastore.upkeep.verify`."""
