"""Search for messages: ranked by text, or the last stored first, within filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.records.messages import Role
from datastore.records.search import FoundMessage, Marked, MessageHit, SearchPage
from datastore.repositories.base import IndexedRepository
from datastore.repositories.searching import Match, Search, Sort, Table, parsed
from datastore.search.filters import Filters
from datastore.search.marking import Marker
from datastore.values import check_text

if TYPE_CHECKING:
    from datastore.statements.typed.search import SearchStatements


class MessageSearch(IndexedRepository):
    """The searching half of `MessageRepository`."""

    _statements: SearchStatements

    def search(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        role: Role | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        match: Match = "any",
        sort: Sort = "relevance",
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
    ) -> SearchPage[MessageHit]:
        """The messages of conversations that are not deleted, best first.

        Args:
            text: Anything a person types: words, phrases in double quotes, -words to exclude, beginnings of
                words with a star; see `LearningRepository.search`. Nothing matches "".
            conversation_id: Only of this conversation.
            session_id: Only of conversations of this session.
            role: Only said by this role.
            source: Only from conversations of this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            match: "any": one of the words is enough; "all": every one is needed.
            sort: "relevance": best first; "recent": stored last first.
            max_rows: 1 to 1000.
            after: The *next* of the page before.
            marks: What is put before and after a match in the snippet.
            html: Whether the snippet is made safe to stand in HTML; the marks are left as they are.

        Returns:
            The hits; none where *text* holds nothing that can be searched for. `by_conversation` groups them.

        Raises:
            InvalidValueError: A filter cannot be right.
            CursorError: *after* is damaged or of another search.
        """
        for name, value in (
            ("conversation_id", conversation_id),
            ("session_id", session_id),
            ("role", role),
            ("source", source),
        ):
            if value is not None:
                check_text(value, name)
        analyzer = self._index.analyzer
        search = Search(
            table=self._table(),
            analyzer=analyzer,
            text=text,
            query=parsed(analyzer, text, match),
            filters=Filters(
                conversation_id=conversation_id,
                session_id=session_id,
                role=role,
                source=source,
                created_from=created_from,
                created_before=created_before,
            ),
            sort=sort,
            marker=Marker(*marks, html),
        )
        return search.page([match], after, max_rows)

    def _table(self) -> Table[FoundMessage, MessageHit]:
        do = self._statements

        def passing(
            seqs: Sequence[int], min_confidence: float, created_from: datetime, created_before: datetime
        ) -> Sequence[Any]:
            return do.list_passing_messages(seqs=seqs, created_from=created_from, created_before=created_before)

        return Table(
            name="messages",
            last_seq=do.get_last_message_seq,
            count=do.count_message_matches,
            rank=do.rank_messages,
            before=do.list_message_matches_before,
            tokens=do.list_message_tokens if self._engine.fts5 else None,
            passing=passing,
            found=do.list_found_messages,
            words_like=do.list_message_words_like,
            hit=_hit,
        )


def _hit(found: FoundMessage, score: float, marked: Marked) -> MessageHit:
    return MessageHit(message=found.message, score=score, marked=marked)
