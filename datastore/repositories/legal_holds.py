"""Legal holds: conversations that nothing may delete or change."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING

from datastore.engines.base import Engine
from datastore.errors import NotFoundError
from datastore.records.legal_holds import LegalHold
from datastore.repositories.base import MAX_ROWS, AuditWriter, Repository
from datastore.values import TIME_MIN, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.legal_holds import LegalHoldsStatements


class LegalHoldRepository(Repository):
    """The table *legal_holds*. Triggers hold what is held, whoever writes."""

    _statements: LegalHoldsStatements

    def __init__(
        self,
        statements: LegalHoldsStatements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        actor: str,
        audit: AuditWriter | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._actor = actor

    def place(self, conversation_id: str, *, reason: str) -> LegalHold:
        """Keep a conversation from being deleted or changed; one that is held keeps its first hold.

        Args:
            conversation_id: Which conversation.
            reason: Why; 1 to 1000 characters, no content.

        Raises:
            ForeignKeyError: There is no such conversation.
            CheckError: *reason* is empty or too long.
        """
        return self._statements.add_legal_hold(
            id=self._new_id(),
            conversation_id=conversation_id,
            reason=check_text(reason, "reason"),
            placed_by=self._actor,
            placed_at=self._now(),
        )

    def find(self, conversation_id: str) -> LegalHold | None:
        """The hold in force on a conversation."""
        return self._statements.find_legal_hold(conversation_id=conversation_id)

    def release(self, conversation_id: str) -> LegalHold:
        """End the hold on a conversation.

        Raises:
            NotFoundError: It is not held.
        """
        released = self._statements.release_legal_hold(
            conversation_id=conversation_id, released_by=self._actor, released_at=self._now()
        )
        if released is None:
            raise NotFoundError("legal hold")
        return released

    def list(self) -> builtins.list[LegalHold]:
        """Every hold in force, oldest first."""
        holds: builtins.list[LegalHold] = []
        at, id = TIME_MIN, ""
        while page := self._statements.list_legal_holds(after_placed_at=at, after_id=id, max_rows=MAX_ROWS):
            holds += page
            at, id = page[-1].placed_at, page[-1].id
        return holds
