"""What a server does of retention itself: the store's parts that work on a database file are not there for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from datastore.errors import UnsupportedError
from datastore.upkeep.cleaning import Cleaning, Tell
from datastore.upkeep.residue import Needles

if TYPE_CHECKING:
    from datastore.engines.postgresql.engine import PostgreSQLEngine

#: Where texts stood; their dead rows are vacuumed behind an erasure.
_TABLES = (
    "messages",
    "learnings",
    "learning_tags",
    "conversations",
    "uploads",
    "redactions",
    "job_queue",
    "job_attempts",
)


class Elsewhere:
    """Stands for a part of the store that PostgreSQL has a tool of its own for; any use says which."""

    def __init__(self, part: str, instead: str) -> None:
        self._said = f"{part} of a PostgreSQL database: {instead}; docs/scaling.md"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedError(self._said)


class ServerCleaner:
    """Behind an erasure on a server: the dead rows are vacuumed, and the receipt says what nobody here can prove."""

    def __init__(self, engine: PostgreSQLEngine) -> None:
        self._engine = engine

    def clean(self, needles: Needles | None, *, vacuum: bool, tell: Tell) -> Cleaning:
        """Vacuum; "deleted" is all that is ever claimed, because the server's files are not this library's to read.

        Args:
            needles: Not looked for: see above.
            vacuum: Whether to vacuum.
            tell: Called with what is being done.
        """
        done = False
        if vacuum:
            tell("vacuuming")
            done = self._engine.vacuum(_TABLES)
        not_scanned = ["the server's files", "its WAL", "its replicas", "its backups"]
        if not done:
            not_scanned.append("dead rows, until autovacuum comes: to vacuum is the owner's")
        facts = {
            "settings": {"postgresql": self._engine.state()["version"]},
            "vacuumed": done,
            "not_scanned": not_scanned,
        }
        return Cleaning(status="deleted", blocked_by=[], facts=facts)
