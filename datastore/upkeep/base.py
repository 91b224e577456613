"""What each engine does for its own databases: backups, maintenance, cleaning after an erasure, checks of the storage."""

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
            UnsupportedError: The server's own tools make them.
        """

    @property
    def maintenance(self) -> Maintenance:
        """Upkeep in bounded slices.

        Raises:
            UnsupportedError: The server does it by itself.
        """

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """Remove what a deletion left in the storage, and tell what is left.

        Args:
            needles: What was erased. None: it is no longer known, so that nothing can be proved.
            vacuum: Whether the database may be vacuumed.
            tell: Called with what is being done.
        """

    def checks(self) -> Sequence[Check]:
        """The checks of the storage itself, for `datastore.upkeep.verify`."""
