"""Branches: list, fork, switch, label, delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from datastore.errors import InvalidValueError, NotFoundError, TransitionError
from datastore.records.branches import Branch
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, Cursor, Repository, found
from datastore.values import check_integer

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.branches import BranchesStatements
    from datastore.statements.typed.conversations import ConversationsStatements

    class _Statements(BranchesStatements, ConversationsStatements, Protocol):
        """The statements that the repository calls."""


class BranchRepository(Repository):
    """The table *branches*: alternatives to what follows a message.

    Every conversation has branch 0. A branch shares the messages of its parent up to the fork, without a copy.
    Calls without a branch read and append to the active branch.
    """

    _statements: _Statements

    def list(self, conversation_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS) -> Page[Branch]:
        """One page of the branches of a conversation by number; branch 0 is the first.

        Args:
            conversation_id: Which conversation; there are no branches if it does not exist.
            after: The *next* of the previous page.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or of another list.
        """
        pager = Cursor("branches", [conversation_id], (int,), after=after, max_rows=max_rows)
        rows = self._statements.list_branches(
            conversation_id=conversation_id,
            after_branch=-1 if pager.start is None else pager.start[0],
            max_rows=pager.max_rows,
        )
        return pager.page(rows, lambda branch: (branch.branch,))

    def iterate(self, conversation_id: str) -> Iterator[Branch]:
        """Each branch of a conversation by number, page by page."""
        return every(self.list, conversation_id)

    def get(self, conversation_id: str, branch: int) -> Branch:
        """One branch.

        Raises:
            NotFoundError: There is none.
        """
        rows = self._statements.list_branches(
            conversation_id=conversation_id, after_branch=check_integer(branch, "branch") - 1, max_rows=1
        )
        if not rows or rows[0].branch != branch:
            raise NotFoundError("branch")
        return rows[0]

    def fork(
        self,
        conversation_id: str,
        *,
        position: int,
        branch: int | None = None,
        label: str | None = None,
        switch: bool = True,
    ) -> Branch:
        """Begin a branch after a position: one row, whatever the number of messages before it.

        Args:
            conversation_id: A conversation that is not deleted.
            position: The last position that the new branch shares; 0 shares none.
            branch: The branch to fork from; None: the active one.
            label: 1 to 200 characters.
            switch: Whether the new branch becomes the active one.

        Raises:
            NotFoundError: There is no such conversation or branch, or the conversation is deleted.
            InvalidValueError: The branch has no such position.
        """
        position = check_integer(position, "position")
        do = self._statements
        with self._engine.transaction():
            do.lock_conversations(ids=[conversation_id])  # nobody deletes the branch, or appends to it
            segments = do.list_branch_segments(conversation_id=conversation_id, branch=branch)
            if not segments:
                raise NotFoundError("conversation" if branch is None else "branch")
            if not 0 <= position <= self.get(conversation_id, segments[0].branch).last_position:
                raise InvalidValueError("position: must be 0 to the last position of the branch")
            owners = [segment.branch for segment in segments if segment.to_position >= position]
            record = found(
                do.add_branch(
                    conversation_id=conversation_id,
                    # Nothing is shared at 0, so the branch has no other parent than 0.
                    parent_branch=owners[-1] if position else 0,
                    fork_position=position,
                    created_at=self._now(),
                    label=label,
                ),
                "conversation",
            )
            if switch:
                self.switch(conversation_id, record.branch)
            return record

    def switch(self, conversation_id: str, branch: int) -> None:
        """Make a branch the active one.

        Raises:
            NotFoundError: There is no such conversation or branch, or the conversation is deleted.
        """
        if not self._statements.activate_branch(
            conversation_id=conversation_id, branch=check_integer(branch, "branch"), now=self._now()
        ):
            raise NotFoundError("branch")

    def update(self, conversation_id: str, branch: int, *, label: str | None) -> Branch:
        """Replace a branch's label; None removes it.

        Raises:
            NotFoundError: There is none; branch 0 cannot have a label.
            CheckError: *label* is not 1 to 200 characters.
        """
        changed = self._statements.update_branch(conversation_id=conversation_id, branch=branch, label=label)
        return found(changed, "branch")

    def delete(self, conversation_id: str, branch: int, *, reason: str | None = None) -> int:
        """Delete a branch permanently with its own messages; those that it shares stay. Its number is not reused.

        Returns:
            The number of messages that were deleted with it.

        Raises:
            NotFoundError: There is none; branch 0 is deleted with its conversation.
            TransitionError: It is the active branch, or another branch forks from it.
            LegalHoldError: The conversation is on legal hold.
        """
        with self._engine.transaction():
            self._statements.lock_conversations(ids=[conversation_id])
            uses = found(self._statements.count_branch_uses(conversation_id=conversation_id, branch=branch), "branch")
            if uses.active:
                raise TransitionError("the branch is active; switch to another one first", "branches_active")
            if uses.forks:
                raise TransitionError("other branches fork from this one; delete them first", "branches_forks")
            self._statements.delete_branch(conversation_id=conversation_id, branch=branch)
            self._audit("delete", "branch", conversation_id, reason, branch=branch, messages=uses.messages)
            return uses.messages
