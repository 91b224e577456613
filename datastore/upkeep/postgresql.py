"""The upkeep of a PostgreSQL database: the server does most of it itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from datastore.errors import UnsupportedError
from datastore.upkeep.cleaning import Cleaning, Tell
from datastore.upkeep.verify import Check

if TYPE_CHECKING:
    from datastore.engines.postgresql.engine import PostgreSQLEngine
    from datastore.upkeep.residue import Needles

#: The tables with text, which are vacuumed after an erasure.
_TABLES = (
    "messages",
    "branches",
    "learnings",
    "message_vectors",
    "learning_vectors",
    "learning_tags",
    "conversations",
    "uploads",
    "redactions",
    "job_queue",
    "job_attempts",
    "job_groups",
    "schedules",
)


class PostgreSQLUpkeep:
    """The upkeep of one database on a server."""

    def __init__(self, engine: PostgreSQLEngine) -> None:
        self._engine = engine

    @property
    def backups(self) -> NoReturn:
        """Raises UnsupportedError."""
        raise _unsupported("backups", "pg_dump, pg_basebackup and WAL archiving make and restore them")

    @property
    def maintenance(self) -> NoReturn:
        """Raises UnsupportedError."""
        raise _unsupported("maintenance", "autovacuum and the checkpointer do it")

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """Vacuum. The status is at most "deleted", because this library cannot read the server's files."""
        done = False
        if vacuum:
            tell("vacuuming")
            done = self._engine.vacuum(_TABLES)
        not_scanned = ["the server's files", "its WAL", "its replicas", "its backups"]
        if not done:
            not_scanned.append("dead rows, until autovacuum runs: only the owner of their table may vacuum it")
        facts = {
            "settings": {"postgresql": self._engine.state()["version"]},
            "vacuumed": done,
            "not_scanned": not_scanned,
        }
        return Cleaning(status="deleted", blocked_by=[], facts=facts)

    def checks(self) -> Sequence[Check]:
        """There are none: pg_amcheck and data checksums check the server's files."""
        return ()


def _unsupported(part: str, instead: str) -> UnsupportedError:
    return UnsupportedError(f"{part} of a PostgreSQL database: {instead}; docs/scaling.md")
