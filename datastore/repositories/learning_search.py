"""Search for learnings: ranked by text, or the last stored first, within filters; counts of categories and tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datastore.records.search import Facets, FoundLearning, LearningHit, Marked, SearchPage
from datastore.repositories.base import MAX_ROWS, IndexedRepository, check_max_rows
from datastore.repositories.searching import Match, Search, Sort, Table, parsed
from datastore.search.filters import Filters
from datastore.search.marking import Marker
from datastore.search.matching import EVERY, Leaf
from datastore.search.query import SearchText, Term
from datastore.values import check_number, check_text, distinct_tags

if TYPE_CHECKING:
    from datastore.statements.typed.search import SearchStatements


#: So many matches are counted for facets.
COUNTED = 5000

#: Every learning: a search without text.
_EVERY = SearchText((Term("", Leaf((EVERY,))),))


class LearningSearch(IndexedRepository):
    """The searching half of `LearningRepository`."""

    _statements: SearchStatements

    def search(
        self,
        text: str = "",
        *,
        category: str | None = None,
        tags_any: Sequence[str] = (),
        tags_all: Sequence[str] = (),
        min_confidence: float = 0.0,
        conversation_id: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        match: Match = "any",
        sort: Sort = "relevance",
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
    ) -> SearchPage[LearningHit]:
        """The learnings that are not deleted and pass every filter: best first, without text the last stored first.

        Args:
            text: Anything a person types: words, phrases in double quotes, -words to exclude, beginnings of
                words with a star ("migrat*", three letters at least). A learning matches if it has one of
                them; more, rarer ones and those in the title rank higher. "" is no text.
            category: Only of this category.
            tags_any: Only with one of these tags at least.
            tags_all: Only with every one of these tags.
            min_confidence: Only so certain or more; 0 to 1.
            conversation_id: Only from this conversation.
            session_id: Only from conversations of this session.
            source: Only from conversations of this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            match: "any": one of the words is enough; "all": every one is needed.
            sort: "relevance": best first; "recent": stored last first.
            max_rows: 1 to 1000.
            after: The *next* of the page before.
            marks: What is put before and after a match in title and snippet.
            html: Whether title and snippet are made safe to stand in HTML; the marks are left as they are.

        Returns:
            The hits; none where *text* holds nothing that can be searched for.

        Raises:
            InvalidValueError: A filter cannot be right (*tags_any* is one string, NaN, *max_rows* of 0, ...).
            CursorError: *after* is damaged or of another search.
        """
        filters = _filters(
            category, tags_any, tags_all, min_confidence, conversation_id, session_id, source, created_from, created_before
        )  # fmt: skip
        search = self._search(text, filters, match, sort, Marker(*marks, html))
        return search.page([match], after, max_rows)

    def facets(
        self,
        text: str,
        *,
        category: str | None = None,
        tags_any: Sequence[str] = (),
        tags_all: Sequence[str] = (),
        min_confidence: float = 0.0,
        conversation_id: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        match: Match = "any",
        max_rows: int = 20,
    ) -> Facets:
        """How many matches of a text have which category and which tag; the arguments are those of `search`.

        The 5,000 matches stored last are counted; *exact* says whether these are all.
        """
        filters = _filters(
            category, tags_any, tags_all, min_confidence, conversation_id, session_id, source, created_from, created_before
        )  # fmt: skip
        size = check_max_rows(max_rows)
        seqs = self._search(text, filters, match, "recent", Marker()).newest(COUNTED)
        categories, tags = Counter[str](), Counter[str]()
        for first in range(0, len(seqs), MAX_ROWS):
            part = seqs[first : first + MAX_ROWS]
            for found in self._statements.list_found_learnings(seqs=part, max_rows=len(part)):
                categories[found.learning.category] += 1
                tags.update(found.learning.tags)
        return Facets(
            categories=_most(categories, size), tags=_most(tags, size), counted=len(seqs), exact=len(seqs) < COUNTED
        )

    def _search(
        self, text: str, filters: Filters, match: Match, sort: Sort, marker: Marker
    ) -> Search[FoundLearning, LearningHit]:
        analyzer = self._index.analyzer
        query = _EVERY if text == "" else parsed(analyzer, text, match)
        return Search(
            table=self._table(),
            analyzer=analyzer,
            text=text,
            query=query,
            filters=filters,
            sort="recent" if text == "" and sort == "relevance" else sort,
            marker=marker,
        )

    def _table(self) -> Table[FoundLearning, LearningHit]:
        do = self._statements

        def passing(seqs: Sequence[int], **tests: Any) -> Sequence[Any]:
            return do.list_passing_learnings(seqs=seqs, **tests)

        return Table(
            name="learnings",
            last_seq=do.get_last_learning_seq,
            count=do.count_learning_matches,
            rank=do.rank_learnings,
            before=do.list_learning_matches_before,
            tokens=do.list_learning_tokens if self._engine.fts5 else None,
            passing=passing,
            found=do.list_found_learnings,
            words_like=do.list_learning_words_like,
            hit=_hit,
        )


def _most(counted: Counter[str], size: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:size])


def _hit(found: FoundLearning, score: float, marked: Marked) -> LearningHit:
    return LearningHit(learning=found.learning, score=score, marked=marked)


def _filters(
    category: str | None,
    tags_any: Sequence[str],
    tags_all: Sequence[str],
    min_confidence: float,
    conversation_id: str | None,
    session_id: str | None,
    source: str | None,
    created_from: datetime | None,
    created_before: datetime | None,
) -> Filters:
    return Filters(
        category=None if category is None else check_text(category, "category"),
        tags_any=tuple(distinct_tags(tags_any)),
        tags_all=tuple(distinct_tags(tags_all)),
        min_confidence=check_number(min_confidence, "min_confidence"),
        conversation_id=None if conversation_id is None else check_text(conversation_id, "conversation_id"),
        session_id=None if session_id is None else check_text(session_id, "session_id"),
        source=None if source is None else check_text(source, "source"),
        created_from=created_from,
        created_before=created_before,
    )
