"""Search for learnings: ranked by text, newest first, within filters; counts of categories and tags."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from datastore.engines.expert import checked
from datastore.engines.highlight import Marker, highlight, snippet
from datastore.engines.match import SearchText, Term, any_of, combine, facet, hexed, parse
from datastore.records.learnings import Learning
from datastore.records.search import Facets, FoundLearning, LearningHit, SearchPage
from datastore.repositories.base import Repository, TimePager, bounds, check_max_rows
from datastore.repositories.ranking import EXACT, CommonTerms, Index, Ranking, rank
from datastore.repositories.searching import (
    LAST,
    LOOKED_AT,
    OF_SOURCE,
    HitPager,
    Match,
    Sort,
    check_sort,
    did_you_mean,
    months,
    parsed,
    spelling,
)
from datastore.values import (
    TEXT_MAX,
    TEXT_MIN,
    TIME_MAX,
    TIME_MIN,
    check_number,
    check_text,
    distinct_tags,
    encode_json,
)

if TYPE_CHECKING:
    from datastore.statements.typed.learnings import LearningsStatements

#: Which of a search's filters is the rarest is counted up to here; beyond, they are equally common.
_COMMON = 10_000


@attrs.frozen(kw_only=True)
class LearningFilters:
    """What a search asks for besides its text."""

    category: str | None
    tags_any: list[str]
    tags_all: list[str]
    min_confidence: float
    source: str | None
    created_from: datetime
    created_before: datetime

    def facets(self) -> str:
        """The same in FTS5's syntax as far as the index has it: what passes the filters matches this too."""
        tags = [facet("t", hexed(encode_json([tag])[2:-2])) for tag in self.tags_all]
        steps = range(int(self.min_confidence * 10), 11) if self.min_confidence > 0 else ()
        parts = [
            "" if self.category is None else facet("c", hexed(self.category)),
            *tags,
            any_of([facet("t", hexed(encode_json([tag])[2:-2])) for tag in self.tags_any]),
            any_of([facet("p", str(step)) for step in steps]),
            months(self.created_from, self.created_before),
        ]
        return combine(parts)

    def tests(self) -> dict[str, Any]:
        """The arguments of the statements that test the rows themselves."""
        return {
            "source": self.source,
            "min_confidence": self.min_confidence,
            "created_from": self.created_from,
            "tags_any": self.tags_any,
            "min_tags_any": min(1, len(self.tags_any)),
            "tags_all": self.tags_all,
            "min_tags_all": len(self.tags_all),
        }

    def scope(self) -> list[Any]:
        """What a cursor belongs to."""
        return list(attrs.astuple(self))


class LearningSearch(Repository):
    """The searching half of `LearningRepository`."""

    _statements: LearningsStatements

    def search(
        self,
        text: str = "",
        *,
        category: str | None = None,
        tags_any: Sequence[str] = (),
        tags_all: Sequence[str] = (),
        min_confidence: float = 0.0,
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
        """The learnings that are not deleted and pass every filter: best first, without text newest first.

        Args:
            text: Anything a person types: words, phrases in double quotes, -words to exclude, beginnings of
                words with a star ("migrat*", three letters at least). A learning matches if it has one of
                them; more, rarer ones and those in the title rank higher. "" is no text.
            category: Only of this category.
            tags_any: Only with one of these tags at least.
            tags_all: Only with every one of these tags.
            min_confidence: Only so certain or more; 0 to 1.
            source: Only from conversations of this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            match: "any": one of the words is enough; "all": every one is needed.
            sort: "relevance": best first; "recent": stored last first.
            max_rows: 1 to 1000.
            after: The *next* of the page before.
            marks: What is put before and behind a match in title and snippet.
            html: Whether title and snippet are made safe to stand in HTML; the marks are left as they are.

        Returns:
            The hits; none where *text* holds nothing that can be searched for.

        Raises:
            InvalidValueError: A filter cannot be right (*tags_any* is one string, NaN, *max_rows* of 0, ...).
            CursorError: *after* is damaged or of another search.
        """
        query = parsed(text, match)
        check_sort(sort)
        filters = self._filters(category, tags_any, tags_all, min_confidence, source, created_from, created_before)
        marker = Marker(*marks, html)
        if not text:
            return self._newest(filters, after, max_rows, marker)
        pager = HitPager(["learnings", text, match, sort, *filters.scope()], after, max_rows)
        if query is None:
            return SearchPage(items=(), next=None, exact=True)
        if sort == "recent":
            page, next, exact = *self._recent(query.expression(filters.facets()), filters, pager), True
        else:
            ranking = rank(self._index(), query, filters.facets(), pager.wanted)
            page, next = self._ranked(ranking, filters, pager)
            if filters.source is not None and not ranking.exact and len(page) < pager.size:
                # The index does not know the source: few of the candidates may be of it.
                rows = self._statements.list_source_learnings(source=filters.source, max_rows=OF_SOURCE)
                ranking = rank(self._index(), query, filters.facets(), LAST, [row.seq for row in rows])
                page, next = self._ranked(ranking, filters, pager)
            exact = ranking.exact
        meant = None if page or after is not None else self._did_you_mean(text, query)
        hits = tuple(_hit(found.learning, score, query.terms, marker) for score, found in page)
        return SearchPage(items=hits, next=next, exact=exact, did_you_mean=meant)

    def search_raw(
        self,
        query: str,
        *,
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
    ) -> SearchPage[LearningHit]:
        """The learnings that match a query in the engine's own syntax (SQLite: FTS5; columns content and title).

        Up to 4,000 matches are ranked; of more, those stored last come first, with *exact* False.

        Raises:
            QuerySyntaxError: The engine does not understand it; *position* says where.
            InvalidValueError, CursorError: As `search`.
        """
        pager = HitPager(["learnings raw", query], after, max_rows)
        count = checked(query, lambda raw: self._statements.count_learning_matches(query=raw, max_rows=EXACT + 1))
        filters = self._filters(None, (), (), 0.0, None, None, None)
        exact = count <= EXACT
        if exact:
            rows = self._statements.rank_learnings(query=query, max_rows=EXACT)
            page, next = self._ranked(Ranking([(row.score, row.seq) for row in rows], exact), filters, pager)
        else:
            page, next = self._recent(query, filters, pager)
        words = parse(query)
        terms = words.terms if words else ()
        hits = tuple(_hit(found.learning, score, terms, Marker(*marks, html)) for score, found in page)
        return SearchPage(items=hits, next=next, exact=exact)

    def facets(
        self,
        text: str,
        *,
        category: str | None = None,
        tags_any: Sequence[str] = (),
        tags_all: Sequence[str] = (),
        min_confidence: float = 0.0,
        source: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        match: Match = "any",
        max_rows: int = 20,
    ) -> Facets:
        """How many matches of a text have which category and which tag; the arguments are those of `search`.

        The first 5,000 matches are counted; *exact* says whether there are more.
        """
        query = parsed(text, match)
        filters = self._filters(category, tags_any, tags_all, min_confidence, source, created_from, created_before)
        size = check_max_rows(max_rows)
        if query is None:
            return Facets(categories=(), tags=(), counted=0, exact=True)
        rows = self._statements.list_learning_matches_before(
            query=query.expression(filters.facets()), before_seq=LAST, max_rows=LOOKED_AT
        )
        seqs = [row.seq for row in rows]
        tests = {**filters.tests(), "created_before": filters.created_before, "category": filters.category}
        categories = self._statements.list_found_categories(seqs=seqs, **tests, max_rows=size)
        tags = self._statements.list_found_tags(seqs=seqs, **tests, max_rows=size)
        return Facets(
            categories=tuple((row.category, row.learning_count) for row in categories),
            tags=tuple((row.tag, row.learning_count) for row in tags),
            counted=len(seqs),
            exact=len(seqs) < LOOKED_AT,
        )

    def _filters(
        self,
        category: str | None,
        tags_any: Sequence[str],
        tags_all: Sequence[str],
        min_confidence: float,
        source: str | None,
        created_from: datetime | None,
        created_before: datetime | None,
    ) -> LearningFilters:
        return LearningFilters(
            category=None if category is None else check_text(category, "category"),
            tags_any=distinct_tags(tags_any),
            tags_all=distinct_tags(tags_all),
            min_confidence=check_number(min_confidence, "min_confidence"),
            source=None if source is None else check_text(source, "source"),
            created_from=created_from or TIME_MIN,
            created_before=created_before or TIME_MAX,
        )

    @functools.cached_property
    def _common(self) -> CommonTerms:
        return CommonTerms()

    def _index(self) -> Index:
        statements = self._statements
        return Index(
            count=statements.count_learning_matches,
            count_between=statements.count_learning_matches_between,
            rank=statements.rank_learnings,
            matches=statements.list_learning_matches,
            titles=True,
            texts=statements.list_learning_texts,
            common=self._common,
            totals=statements.get_learning_index_totals,
        )

    def _found(self, filters: LearningFilters, seqs: list[int]) -> Sequence[FoundLearning]:
        return self._statements.list_found_learnings(
            seqs=seqs,
            category=filters.category,
            created_before=filters.created_before,
            **filters.tests(),
            max_rows=len(seqs),
        )

    def _ranked(
        self, ranking: Ranking, filters: LearningFilters, pager: HitPager
    ) -> tuple[list[tuple[float, FoundLearning]], str | None]:
        return pager.ranked(ranking, lambda seqs: self._found(filters, seqs), lambda found: found.seq)

    def _recent(
        self, query: str, filters: LearningFilters, pager: HitPager
    ) -> tuple[list[tuple[float, FoundLearning]], str | None]:
        return pager.recent(
            lambda before, size: self._statements.list_learning_matches_before(
                query=query, before_seq=before, max_rows=size
            ),
            lambda seqs: self._found(filters, seqs),
            lambda found: found.seq,
        )

    def _did_you_mean(self, text: str, query: SearchText) -> str | None:
        statements = self._statements

        def spelled(stem: str, typed: str) -> str | None:
            rows = statements.list_learning_matches(query=f'"{stem}"', max_rows=5)
            texts = statements.list_learning_texts(seqs=[row.seq for row in rows])
            return spelling(stem, typed, [part for row in texts for part in (row.title, row.content)])

        return did_you_mean(
            text,
            query.terms,
            lambda term: bool(statements.count_learning_matches(query=term.fts(), max_rows=1)),
            lambda low, high, size: statements.list_learning_terms_like(prefix_from=low, prefix_to=high, max_rows=size),
            spelled,
        )

    def _newest(
        self, filters: LearningFilters, after: str | None, max_rows: int, marker: Marker
    ) -> SearchPage[LearningHit]:
        """A search without text."""
        pager = TimePager("learnings newest", [str(part) for part in filters.scope()], after=after, max_rows=max_rows)
        at, id = pager.place(filters.created_before)
        place = {"before_created_at": at, "before_id": id, "max_rows": pager.max_rows}
        page = pager.page_by_time(self._newest_rows(filters, place))
        items = tuple(_hit(learning, 0.0, (), marker) for learning in page.items)
        return SearchPage(items=items, next=page.next, exact=True)

    def _newest_rows(self, filters: LearningFilters, place: dict[str, Any]) -> list[Learning]:
        tests = filters.tests() | place
        if not filters.tags_all and not filters.tags_any and filters.category is None:
            return self._statements.search_learnings_recent(
                source=filters.source,
                created_from=filters.created_from,
                min_confidence=filters.min_confidence,
                **place,
            )
        tags = self._rarest(filters)
        if not tags and filters.category is not None:
            return self._statements.search_learnings_by_category(category=filters.category, **tests)
        low, high = bounds(filters.category, TEXT_MIN, TEXT_MAX)
        # The newest with any of several tags are among the newest of each.
        newest: dict[str, Learning] = {}
        for tag in tags:
            rows = self._statements.search_learnings_by_tag(tag=tag, category_from=low, category_to=high, **tests)
            newest.update((record.id, record) for record in rows)
        ordered = sorted(newest.values(), key=lambda record: (record.created_at, record.id), reverse=True)
        return ordered[: place["max_rows"]]

    def _rarest(self, filters: LearningFilters) -> list[str]:
        """The tags to drive a search by: the rarest of *tags_all*, or all of *tags_any*; none: by category."""
        choices: list[list[str]] = [[tag] for tag in filters.tags_all]
        if filters.tags_any:
            choices.append(filters.tags_any)
        if len(choices) + (filters.category is not None) == 1:
            return choices[0] if choices else []
        counted = [(sum(map(self._frequency, choice)), choice) for choice in choices]
        if filters.category is not None:
            count = self._statements.count_learnings_by_category_up_to(category=filters.category, max_rows=_COMMON)
            counted.append((count, []))
        return min(counted, key=lambda pair: pair[0])[1]

    def _frequency(self, tag: str) -> int:
        return self._statements.count_learnings_by_tag_up_to(tag=tag, max_rows=_COMMON)


def _hit(learning: Learning, score: float, terms: Sequence[Term], marker: Marker) -> LearningHit:
    title, in_title = highlight(learning.title, terms, marker)
    part, in_content = snippet(learning.content, terms, marker)
    matched = in_title | in_content
    return LearningHit(
        learning=learning,
        score=score,
        title=title,
        snippet=part,
        terms=tuple(dict.fromkeys(term.text for number, term in enumerate(terms) if number in matched)),
    )
