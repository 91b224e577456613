"""Legal holds: conversations that must not be deleted or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.engines.base import Engine
from datastore.errors import NotFoundError
from datastore.records.legal_holds import LegalHold
from datastore.records.pages import Page, every
from datastore.repositories.actors import Actor
from datastore.repositories.base import DEFAULT_ROWS, AuditWriter, Cursor, Repository
from datastore.values import TIME_MIN, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.legal_holds import LegalHoldsStatements


class LegalHoldRepository(Repository):
    """The table *legal_holds*. Triggers enforce the holds for every writer."""

    _statements: LegalHoldsStatements

    def __init__(
        self,
        statements: LegalHoldsStatements,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        actor: Actor,
        audit: AuditWriter | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id, audit=audit)
        self._actor = actor

    def place(self, conversation_id: str, *, reason: str) -> LegalHold:
        """Prevent a conversation from being deleted or changed; if it is already held, the first hold stays.

        Args:
            conversation_id: The conversation.
            reason: The reason; 1 to 1000 characters, without content.

        Raises:
            ForeignKeyError: The conversation does not exist.
            CheckError: *reason* is empty or too long.
        """
        return self._statements.add_legal_hold(
            id=self._new_id(),
            conversation_id=conversation_id,
            reason=check_text(reason, "reason"),
            placed_by=self._actor.name,
            placed_at=self._now(),
        )

    def find(self, conversation_id: str) -> LegalHold | None:
        """Return the hold in force on a conversation, or None."""
        return self._statements.find_legal_hold(conversation_id=conversation_id)

    def release(self, conversation_id: str) -> LegalHold:
        """End the hold on a conversation.

        Raises:
            NotFoundError: It is not under legal hold.
        """
        released = self._statements.release_legal_hold(
            conversation_id=conversation_id, released_by=self._actor.name, released_at=self._now()
        )
        if released is None:
            raise NotFoundError("legal hold")
        return released

    def list(self, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[LegalHold]:
        """One page of the holds in force, oldest first (by *placed_at*, then by id).

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = Cursor("legal holds", [], (datetime, str), after=after, max_rows=max_rows)
        at, id = (TIME_MIN, "") if pager.start is None else pager.start
        rows = self._statements.list_legal_holds(after_placed_at=at, after_id=id, max_rows=pager.max_rows)
        return pager.page(rows, lambda hold: (hold.placed_at, hold.id))

    def iterate(self) -> Iterator[LegalHold]:
        """Iterate over each hold in force, oldest first, page by page."""
        return every(self.list)
