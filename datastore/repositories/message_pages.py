"""Read the messages of a branch: by position in both directions, by time, by learning, within a number of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from datastore.errors import NotFoundError
from datastore.records.branches import Segment
from datastore.records.messages import Message
from datastore.records.pages import Page, every
from datastore.repositories.base import DEFAULT_ROWS, Cursor, TimePager, check_max_rows, found
from datastore.repositories.search_index import IndexedRepository
from datastore.values import TIME_MAX, TIME_MIN, encode_timestamp

if TYPE_CHECKING:
    from typing import Protocol

    from datastore.statements.typed.branches import BranchesStatements
    from datastore.statements.typed.learnings import LearningsStatements
    from datastore.statements.typed.messages import MessagesStatements

    class _Statements(MessagesStatements, BranchesStatements, LearningsStatements, Protocol):
        """The statements that read messages."""


#: In the class, list is its method.
_Messages = list[Message]

#: Larger than every position.
_END = 2**53

#: Messages that `latest` reads at a time.
_CHUNK = 100


class MessagePages(IndexedRepository):
    """The methods of `MessageRepository` that read several messages.

    The messages of a branch are those of its ancestors up to each fork, and its own: one range of the index per segment.
    A conversation without a fork is one range, which one statement reads.
    """

    _statements: _Statements

    def list(
        self,
        conversation_id: str,
        *,
        branch: int | None = None,
        after: str | None = None,
        before: str | None = None,
        last: bool = False,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Message]:
        """One page of a branch by position, oldest first within the page.

        Args:
            conversation_id: Which conversation; a deleted one's messages are still listed.
            branch: Which branch; None: the active one. A cursor stays on its branch when another one becomes active.
            after: Cursor from a page's *next*: return the messages after it.
            before: Cursor from a page's *previous*: return the messages before it.
            last: The last page instead of the first, to read backwards from.
            max_rows: 1 to 1000.

        Raises:
            NotFoundError: There is no such branch.
            CursorError: A cursor is damaged or of another list.
        """
        pager = Cursor("messages", [conversation_id, branch], (int, int), after=after, before=before, max_rows=max_rows)
        if pager.start is not None:
            position, branch = pager.start
        else:
            pager.backwards = last
            position = _END if last else 0
        read = self._before if pager.backwards else self._after
        rows, branch = read(conversation_id, branch, position, pager.max_rows)
        return pager.page(rows, lambda message: (message.position, branch))

    def iterate(self, conversation_id: str, *, branch: int | None = None) -> Iterator[Message]:
        """Each message of a branch by position, page by page; None: of the active branch."""
        return every(self.list, conversation_id, branch=branch)

    def list_by_time(
        self,
        conversation_id: str,
        *,
        branch: int | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        after: str | None = None,
        before: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Message]:
        """One page of a branch by time (then by id), oldest first within the page.

        Args:
            conversation_id: Which conversation.
            branch: Which branch; None: the active one.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            after: A page's *next*.
            before: Cursor from a page's *previous*.
            max_rows: 1 to 1000.

        Raises:
            CursorError: A cursor is damaged or of another list.
        """
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [conversation_id, branch, encode_timestamp(low), encode_timestamp(high)]
        pager = TimePager("messages by time", filters, after=after, before=before, max_rows=max_rows)
        at, id = pager.place(low)
        if pager.backwards:
            rows = self._statements.list_messages_by_time_before(
                conversation_id=conversation_id,
                branch=branch,
                created_from=low,
                created_before=high,
                before_created_at=at,
                before_id=id,
                max_rows=pager.max_rows,
            )
        else:
            rows = self._statements.list_messages_by_time_after(
                conversation_id=conversation_id,
                branch=branch,
                created_from=low,
                created_before=high,
                after_created_at=at,
                after_id=id,
                max_rows=pager.max_rows,
            )
        return pager.page_by_time(rows)

    def iterate_by_time(
        self,
        conversation_id: str,
        *,
        branch: int | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Message]:
        """Each message of a branch by time, page by page; the filters are those of `list_by_time`."""
        return every(
            self.list_by_time,
            conversation_id,
            branch=branch,
            created_from=created_from,
            created_before=created_before,
        )

    def list_by_learning(
        self, learning_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Message]:
        """One page of the messages that a learning came from, by position; empty if there is no such learning.

        Raises:
            CursorError: *after* is damaged or of another list.
        """
        pager = Cursor("messages by learning", [learning_id], (int, str), after=after, max_rows=max_rows)
        position, id = (0, "") if pager.start is None else pager.start
        rows = self._statements.list_learning_messages(
            learning_id=learning_id, after_position=position, after_id=id, max_rows=pager.max_rows
        )
        return pager.page(rows, lambda message: (message.position, message.id))

    def iterate_by_learning(self, learning_id: str) -> Iterator[Message]:
        """Each message that a learning came from, by position, page by page."""
        return every(self.list_by_learning, learning_id)

    def latest(
        self, conversation_id: str, *, max_tokens: int, max_rows: int = DEFAULT_ROWS, branch: int | None = None
    ) -> Sequence[Message]:
        """The latest messages of a branch whose tokens together fit *max_tokens*, oldest first; at most *max_rows*.

        It stops at the first message, going back, that does not fit; nothing is left out in between.
        """
        check_max_rows(max_rows)
        latest: _Messages = []
        position = _END
        while len(latest) < max_rows:
            size = min(max_rows - len(latest), _CHUNK)
            rows, branch = self._before(conversation_id, branch, position, size)
            for message in rows:
                max_tokens -= message.token_count
                if max_tokens < 0:
                    return latest[::-1]
                latest.append(message)
            if len(rows) < size:
                break
            position = rows[-1].position
        return latest[::-1]

    def count(self, conversation_id: str | None = None, *, branch: int | None = None) -> int:
        """The number of messages of a branch, or of all conversations with all branches if none is given.

        Raises:
            NotFoundError: There is no such conversation or branch.
        """
        if conversation_id is None:
            return self._statements.count_all_messages()
        counted = self._statements.count_messages(conversation_id=conversation_id, branch=branch)
        return found(counted, "conversation" if branch is None else "branch")

    def _after(self, conversation_id: str, branch: int | None, position: int, max_rows: int) -> tuple[_Messages, int]:
        """Messages of a branch after a position, oldest first, and the branch."""
        read = self._statements.list_messages_after
        if not branch:
            rows = read(
                conversation_id=conversation_id,
                branch=branch,
                after_position=position,
                to_position=_END,
                max_rows=max_rows,
            )
            if rows or branch == 0:
                return rows, 0
        collected: _Messages = []
        segments = self._segments(conversation_id, branch)
        for segment in reversed(segments):
            if len(collected) < max_rows and segment.to_position > position:
                collected += read(
                    conversation_id=conversation_id,
                    branch=segment.branch,
                    after_position=position,
                    to_position=segment.to_position,
                    max_rows=max_rows - len(collected),
                )
        return collected, segments[0].branch if segments else 0

    def _before(self, conversation_id: str, branch: int | None, position: int, max_rows: int) -> tuple[_Messages, int]:
        """Messages of a branch before a position, newest first, and the branch."""
        read = self._statements.list_messages_before
        rows: _Messages = []
        if not branch:
            rows = read(conversation_id=conversation_id, branch=branch, before_position=position, max_rows=max_rows)
            branch = rows[0].branch if rows else branch
            if branch == 0 or len(rows) == max_rows:
                return rows, branch or 0
        segments = self._segments(conversation_id, branch)
        for segment in segments[bool(rows) :]:
            if len(rows) < max_rows:
                rows += read(
                    conversation_id=conversation_id,
                    branch=segment.branch,
                    before_position=min(position, segment.to_position + 1),
                    max_rows=max_rows - len(rows),
                )
        return rows, segments[0].branch if segments else 0

    def _segments(self, conversation_id: str, branch: int | None) -> Sequence[Segment]:
        """What a branch consists of, the newest part first; empty if there is no such conversation.

        Raises:
            NotFoundError: There is no such branch.
        """
        segments = self._statements.list_branch_segments(conversation_id=conversation_id, branch=branch)
        if not segments and branch is not None:
            raise NotFoundError("branch")
        return segments
