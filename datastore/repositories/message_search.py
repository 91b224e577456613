"""Search for messages, ranked or newest first, with filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from datastore.records.search import FoundMessage, Marked, MessageHit, SearchPage
from datastore.records.vectors import Vector
from datastore.repositories.search_index import IndexedRepository
from datastore.repositories.searching import Match, Search, Sort, checked_filters, parsed
from datastore.repositories.vector_search import Mode, Nearest, resolved
from datastore.search.filters import MessageFilters
from datastore.search.marking import Marker
from datastore.search.ranking import Index

if TYPE_CHECKING:
    from datastore.statements.typed.search import SearchStatements


class MessageSearch(IndexedRepository):
    """The search methods of `MessageRepository`."""

    _statements: SearchStatements

    def search(
        self,
        text: str,
        *,
        match: Match = "any",
        sort: Sort = "relevance",
        mode: Mode | None = None,
        vector: Vector | None = None,
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
        **filters: Unpack[MessageFilters],
    ) -> SearchPage[MessageHit]:
        """Messages of conversations that are not deleted, best first.

        Args:
            text: Anything a person types, as for `LearningRepository.search`. Nothing matches "".
            match: "any": one of the words is enough; "all": every word is required.
            sort: "relevance": best first; "recent": newest first.
            mode: "words"; "vectors": the nearest in meaning, at most 500; "hybrid": both rankings fused. None: hybrid if the
                store was opened with *embed*, or *vector* is given; otherwise words.
            vector: The query's vector; None: *embed* makes it of *text*.
            max_rows: 1 to 1000.
            after: Cursor from the previous page's *next*.
            marks: The text before and after a match in the snippet.
            html: Whether to escape the snippet for HTML; the marks are not escaped.
            filters: *conversation_id*, *session_id*, *source*, *role*, *created_from*, *created_before*: see
                `datastore.search.filters.MessageFilters`.

        Returns:
            The hits; none if *text* has nothing to search for. `by_conversation` groups them.

        Raises:
            InvalidValueError: An argument has an invalid value.
            CursorError: *after* is damaged or of another search.
            EmbeddingError: *embed* failed; ``mode="words"`` does not call it.
        """
        do, analyzer = self._statements, self._index.analyzer
        checked = checked_filters(filters, MessageFilters)

        def tested(seqs: Sequence[int], **tests: Any) -> Sequence[Any]:
            return do.list_passing_messages(seqs=seqs, **_times(tests))

        index = Index(
            last_seq=do.get_last_message_seq,
            count=do.count_message_matches,
            rank=do.rank_messages,
            before=do.list_message_matches_before,
            tokens=getattr(do, "list_message_tokens", None),
            found=do.list_found_messages,
            words_like=do.list_message_words_like,
            tested=tested,
            tests=checked.tests(),
        )
        query = parsed(analyzer, text, match)
        mode = resolved(mode, text, sort, vector, self._index.vectors)
        nearest = None if mode == "words" else Nearest(self._index.vectors, "messages", index, text, vector)
        search = Search(index, analyzer, text, query, checked, sort, mode, nearest, Marker(*marks, html), _hit)
        return search.page([match], after, max_rows)


def _times(tests: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tests.items() if name != "min_confidence"}


def _hit(found: FoundMessage, score: float, marked: Marked) -> MessageHit:
    return MessageHit(message=found.message, score=score, marked=marked)
