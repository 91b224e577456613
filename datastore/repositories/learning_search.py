"""Search for learnings, ranked or newest first, with filters; counts of categories and tags."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Unpack

from datastore.records.search import Facets, FoundLearning, LearningHit, Marked, SearchPage
from datastore.records.vectors import Vector
from datastore.repositories.base import MAX_ROWS, check_max_rows
from datastore.repositories.search_index import IndexedRepository
from datastore.repositories.searching import Match, Search, Sort, checked_filters, parsed
from datastore.repositories.vector_search import Mode, Nearest, resolved
from datastore.search.filters import LearningFilters
from datastore.search.marking import Marker
from datastore.search.matching import EVERY, Leaf
from datastore.search.query import SearchText, Term
from datastore.search.ranking import Index

if TYPE_CHECKING:
    from datastore.statements.typed.search import SearchStatements

#: The number of matches that facets count.
COUNTED = 5000

#: Every learning: a search without text.
_EVERY = SearchText((Term("", Leaf((EVERY,))),))


class LearningSearch(IndexedRepository):
    """The search methods of `LearningRepository`."""

    _statements: SearchStatements

    def search(
        self,
        text: str = "",
        *,
        match: Match = "any",
        sort: Sort = "relevance",
        mode: Mode | None = None,
        vector: Vector | None = None,
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
        **filters: Unpack[LearningFilters],
    ) -> SearchPage[LearningHit]:
        """Learnings that are not deleted and pass every filter: best first, or newest first without text.

        Args:
            text: Anything a person types: words, phrases in double quotes, -words to exclude, beginnings of
                words with a star ("migrat*", three letters at least). A learning matches if it has one of
                them; more words, rarer words and words in the title rank higher. "" searches without text.
            match: "any": one of the words is enough; "all": every word is required.
            sort: "relevance": best first; "recent": newest first.
            mode: "words"; "vectors": the nearest in meaning, at most 500; "hybrid": both rankings fused. None: hybrid if the
                store was opened with *embed*, or *vector* is given; otherwise words.
            vector: The query's vector; None: *embed* makes it of *text*.
            max_rows: 1 to 1000.
            after: Cursor from the previous page's *next*.
            marks: The text before and after a match in title and snippet.
            html: Whether to escape title and snippet for HTML; the marks are not escaped.
            filters: *category*, *tags_any*, *tags_all*, *min_confidence*, *conversation_id*, *session_id*, *source*,
                *created_from*, *created_before*: see `datastore.search.filters.LearningFilters`.

        Returns:
            The hits; none if *text* has nothing to search for.

        Raises:
            InvalidValueError: An argument has an invalid value (*tags_any* is one string, NaN, *max_rows* of 0, ...).
            CursorError: *after* is damaged or of another search.
            EmbeddingError: *embed* failed; ``mode="words"`` does not call it.
        """
        sort = "recent" if text == "" and sort == "relevance" and mode is None and vector is None else sort
        mode = resolved(mode, text, sort, vector, self._index.vectors)
        search = self._search(text, match, filters, sort, Marker(*marks, html), mode, vector)
        return search.page([match], after, max_rows)

    def facets(
        self, text: str, *, match: Match = "any", max_rows: int = 20, **filters: Unpack[LearningFilters]
    ) -> Facets:
        """Count the matches of a text by category and by tag; the arguments are those of `search`.

        Only the 5,000 newest matches are counted; *exact* tells whether these are all.
        """
        size = check_max_rows(max_rows)
        seqs = self._search(text, match, filters, "recent", Marker()).newest(COUNTED)
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
        self,
        text: str,
        match: Match,
        filters: LearningFilters,
        sort: Sort,
        marker: Marker,
        mode: Mode = "words",
        vector: Vector | None = None,
    ) -> Search[FoundLearning, LearningHit]:
        do, analyzer = self._statements, self._index.analyzer
        checked = checked_filters(filters, LearningFilters)
        index = Index(
            last_seq=do.get_last_learning_seq,
            count=do.count_learning_matches,
            rank=do.rank_learnings,
            before=do.list_learning_matches_before,
            tokens=getattr(do, "list_learning_tokens", None),
            found=do.list_found_learnings,
            words_like=do.list_learning_words_like,
            tested=do.list_passing_learnings,
            tests=checked.tests(),
        )
        query = _EVERY if text == "" else parsed(analyzer, text, match)
        nearest = None if mode == "words" else Nearest(self._index.vectors, "learnings", index, text, vector)
        return Search(index, analyzer, text, query, checked, sort, mode, nearest, marker, _hit)


def _most(counted: Counter[str], size: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:size])


def _hit(found: FoundLearning, score: float, marked: Marked) -> LearningHit:
    return LearningHit(learning=found.learning, score=score, marked=marked)
