"""Additional statements for import and export: exact times, gaps between positions, sources."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.records.learnings import Learning
from datastore.records.messages import MessageKey
from datastore.repositories.base import Repository

if TYPE_CHECKING:
    from datastore.statements.typed.import_export import ImportExportStatements


class ImportExportRepository(Repository):
    """Statements over conversations, messages and learnings that only import, export and erasure need."""

    _statements: ImportExportStatements

    def message_keys(
        self, conversation_id: str, from_position: int, to_position: int, *, branch: int = 0
    ) -> list[MessageKey]:
        """The keys of a branch's own messages between two positions, both inclusive, by position."""
        return self._statements.list_message_keys(
            conversation_id=conversation_id, branch=branch, from_position=from_position, to_position=to_position
        )

    def skip_positions(self, conversation_id: str, last_position: int) -> None:
        """Leave a gap: the next message is stored at the position after *last_position*."""
        self._statements.set_last_position(id=conversation_id, last_position=last_position)

    def set_conversation_times(
        self, id: str, *, updated_at: datetime | None = None, deleted_at: datetime | None = None
    ) -> None:
        """Restore an imported conversation's original times; *updated_at* None keeps the stored one."""
        self._statements.set_conversation_times(id=id, updated_at=updated_at, deleted_at=deleted_at)

    def learnings(self, conversation_id: str) -> list[tuple[Learning, list[str]]]:
        """Every learning of a conversation, deleted or not, with the ids of its source messages."""
        records = self._statements.list_conversation_learnings(conversation_id=conversation_id)
        if not records:
            return []
        sources: dict[str, list[str]] = defaultdict(list)
        for source in self._statements.list_conversation_sources(conversation_id=conversation_id):
            sources[source.learning_id].append(source.message_id)
        return [(record, sources.get(record.id, [])) for record in records]
