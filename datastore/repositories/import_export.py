"""Additional statements for import and export: exact times, gaps between positions, sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.errors import NotFoundError
from datastore.records.learnings import Learning
from datastore.records.messages import Message, MessageKey
from datastore.records.pages import EVERY_ROWS
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

    def messages(self, conversation_id: str) -> Iterator[Message]:
        """Every message of a conversation, branch by branch, each once; pages underneath."""
        branch = position = 0
        while rows := self._statements.list_conversation_messages(
            conversation_id=conversation_id, after_branch=branch, after_position=position, max_rows=EVERY_ROWS
        ):
            yield from rows
            branch, position = rows[-1].branch, rows[-1].position

    def add_branch(
        self,
        conversation_id: str,
        *,
        branch: int,
        parent_branch: int,
        fork_position: int,
        created_at: datetime | None = None,
        label: str | None = None,
    ) -> None:
        """Add a branch under the number that it had when it was exported.

        Raises:
            UniqueError: The conversation has a branch with this number.
            ForeignKeyError: There is no such conversation.
            CheckError: A value is outside its range.
        """
        self._statements.restore_branch(
            conversation_id=conversation_id,
            branch=branch,
            parent_branch=parent_branch,
            fork_position=fork_position,
            created_at=self._now() if created_at is None else created_at,
            label=label,
        )

    def set_branches(self, conversation_id: str, *, active_branch: int, last_branch: int) -> None:
        """Set the active branch; the next branch gets at least the number after *last_branch*.

        Raises:
            NotFoundError: There is no such conversation or branch.
        """
        if not self._statements.set_branches(
            id=conversation_id, active_branch=active_branch, last_branch=max(active_branch, last_branch)
        ):
            raise NotFoundError("branch")

    def skip_positions(self, conversation_id: str, last_position: int, *, branch: int = 0) -> None:
        """Leave a gap: the next message of the branch is stored at the position after *last_position*."""
        if branch:
            self._statements.set_branch_last_position(
                conversation_id=conversation_id, branch=branch, last_position=last_position
            )
        else:
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
