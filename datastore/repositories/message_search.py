"""Search for messages: ranked by text, newest first, within filters; grouped by conversation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from datastore.engines.expert import checked
from datastore.engines.highlight import Marker, snippet
from datastore.engines.match import SearchText, Term, combine, facet, hexed, parse
from datastore.records.messages import Message, Role
from datastore.records.search import FoundMessage, MessageHit, SearchPage
from datastore.repositories.base import Repository
from datastore.repositories.ranking import EXACT, CommonTerms, Index, Ranking, rank
from datastore.repositories.searching import (
    LAST,
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
from datastore.values import TIME_MAX, TIME_MIN, check_text

if TYPE_CHECKING:
    from datastore.statements.typed.messages import MessagesStatements


@attrs.frozen(kw_only=True)
class MessageFilters:
    """What a search asks for besides its text."""

    conversation_id: str | None
    role: Role | None
    source: str | None
    created_from: datetime
    created_before: datetime

    def facets(self) -> str:
        """The same in FTS5's syntax as far as the index has it: what passes the filters matches this too."""
        return combine(
            [
                "" if self.conversation_id is None else facet("c", hexed(self.conversation_id)),
                "" if self.role is None else facet("r", self.role),
                months(self.created_from, self.created_before),
            ]
        )


class MessageSearch(Repository):
    """The searching half of `MessageRepository`."""

    _statements: MessagesStatements

    def search(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
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
            role: Only said by this role.
            source: Only from conversations of this source.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            match: "any": one of the words is enough; "all": every one is needed.
            sort: "relevance": best first; "recent": stored last first.
            max_rows: 1 to 1000.
            after: The *next* of the page before.
            marks: What is put before and behind a match in the snippet.
            html: Whether the snippet is made safe to stand in HTML; the marks are left as they are.

        Returns:
            The hits; none where *text* holds nothing that can be searched for. `by_conversation` groups them.

        Raises:
            InvalidValueError: A filter cannot be right.
            CursorError: *after* is damaged or of another search.
        """
        query = parsed(text, match)
        check_sort(sort)
        filters = _filters(conversation_id, role, source, created_from, created_before)
        pager = HitPager(["messages", text, match, sort, *attrs.astuple(filters)], after, max_rows)
        if query is None:
            return SearchPage(items=(), next=None, exact=True)
        if sort == "recent":
            page, next, exact = *self._recent(query.expression(filters.facets()), filters, pager), True
        else:
            ranking = rank(self._index(), query, filters.facets(), pager.wanted)
            page, next = self._ranked(ranking, filters, pager)
            if filters.source is not None and not ranking.exact and len(page) < pager.size:
                # The index does not know the source: few of the candidates may be of it.
                rows = self._statements.list_source_messages(source=filters.source, max_rows=OF_SOURCE)
                ranking = rank(self._index(), query, filters.facets(), LAST, [row.seq for row in rows])
                page, next = self._ranked(ranking, filters, pager)
            exact = ranking.exact
        meant = None if page or after is not None else self._did_you_mean(text, query)
        marker = Marker(*marks, html)
        hits = tuple(_hit(found.message, score, query.terms, marker) for score, found in page)
        return SearchPage(items=hits, next=next, exact=exact, did_you_mean=meant)

    def search_raw(
        self,
        query: str,
        *,
        max_rows: int = 20,
        after: str | None = None,
        marks: tuple[str, str] = ("**", "**"),
        html: bool = False,
    ) -> SearchPage[MessageHit]:
        """The messages that match a query in the engine's own syntax (SQLite: FTS5; column content).

        Up to 4,000 matches are ranked; of more, those stored last come first, with *exact* False.

        Raises:
            QuerySyntaxError: The engine does not understand it; *position* says where.
            InvalidValueError, CursorError: As `search`.
        """
        pager = HitPager(["messages raw", query], after, max_rows)
        count = checked(query, lambda raw: self._statements.count_message_matches(query=raw, max_rows=EXACT + 1))
        filters = _filters(None, None, None, None, None)
        exact = count <= EXACT
        if exact:
            rows = self._statements.rank_messages(query=query, max_rows=EXACT)
            page, next = self._ranked(Ranking([(row.score, row.seq) for row in rows], exact), filters, pager)
        else:
            page, next = self._recent(query, filters, pager)
        words = parse(query)
        terms = words.terms if words else ()
        hits = tuple(_hit(found.message, score, terms, Marker(*marks, html)) for score, found in page)
        return SearchPage(items=hits, next=next, exact=exact)

    @functools.cached_property
    def _common(self) -> CommonTerms:
        return CommonTerms()

    def _index(self) -> Index:
        statements = self._statements
        return Index(
            count=statements.count_message_matches,
            count_between=statements.count_message_matches_between,
            rank=statements.rank_messages,
            # Where too many match to look at them all, what was said last is looked at.
            matches=lambda query, max_rows: statements.list_message_matches_before(
                query=query, before_seq=LAST, max_rows=max_rows
            ),
            titles=False,
            texts=statements.list_message_texts,
            common=self._common,
            totals=statements.get_message_index_totals,
        )

    def _found(self, filters: MessageFilters, seqs: list[int]) -> Sequence[FoundMessage]:
        arguments: dict[str, Any] = attrs.asdict(filters)
        return self._statements.list_found_messages(seqs=seqs, **arguments, max_rows=len(seqs))

    def _ranked(
        self, ranking: Ranking, filters: MessageFilters, pager: HitPager
    ) -> tuple[list[tuple[float, FoundMessage]], str | None]:
        return pager.ranked(ranking, lambda seqs: self._found(filters, seqs), lambda found: found.seq)

    def _recent(
        self, query: str, filters: MessageFilters, pager: HitPager
    ) -> tuple[list[tuple[float, FoundMessage]], str | None]:
        return pager.recent(
            lambda before, size: self._statements.list_message_matches_before(
                query=query, before_seq=before, max_rows=size
            ),
            lambda seqs: self._found(filters, seqs),
            lambda found: found.seq,
        )

    def _did_you_mean(self, text: str, query: SearchText) -> str | None:
        statements = self._statements

        def spelled(stem: str, typed: str) -> str | None:
            rows = statements.list_message_matches(query=f'"{stem}"', max_rows=5)
            return spelling(
                stem, typed, [row.content for row in statements.list_message_texts(seqs=[r.seq for r in rows])]
            )

        return did_you_mean(
            text,
            query.terms,
            lambda term: bool(statements.count_message_matches(query=term.fts(), max_rows=1)),
            lambda low, high, size: statements.list_message_terms_like(prefix_from=low, prefix_to=high, max_rows=size),
            spelled,
        )


def _filters(
    conversation_id: str | None,
    role: Role | None,
    source: str | None,
    created_from: datetime | None,
    created_before: datetime | None,
) -> MessageFilters:
    for name, value in (("conversation_id", conversation_id), ("role", role), ("source", source)):
        if value is not None:
            check_text(value, name)
    return MessageFilters(
        conversation_id=conversation_id,
        role=role,
        source=source,
        created_from=created_from or TIME_MIN,
        created_before=created_before or TIME_MAX,
    )


def _hit(message: Message, score: float, terms: Sequence[Term], marker: Marker) -> MessageHit:
    part, matched = snippet(message.content, terms, marker)
    shown = tuple(dict.fromkeys(term.text for number, term in enumerate(terms) if number in matched))
    return MessageHit(message=message, score=score, snippet=part, terms=shown)
