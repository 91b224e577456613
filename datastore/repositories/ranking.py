"""Ranks the matches of a text: exactly while they are few, and the likeliest of them where they are many.

docs/search.md says why, perf/search.py what it costs. In short: FTS5 finds a match in 0.05 µs and ranks it in
1.5 µs, and its bm25() counts every row of every term first. So:

- few matches (of the text, or of the filters): FTS5's own BM25 over all of them, and the result is exact;
- else candidates are taken from the rare terms' matches, from rows with several terms, from titles; and these
  few hundred are scored here, by the same formula from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from datastore.engines.match import FACET, SearchText, Term, any_of, combine
from datastore.repositories.scoring import LIKELIEST, scored, varints

#: So many matches are ranked by FTS5 itself.
EXACT = 4000

#: So many rows of all terms together are counted for bm25(): 0.05 µs each.
COUNTED = 400_000

#: A common term is looked at in so many parts of so many rows, to know about how common it is.
_PARTS, _PART_ROWS = 4, 4096

#: So many terms are remembered.
_KNOWN = 10_000

#: Candidates of each kind.
_FEW, _SOME = 120, 400

#: So many terms lead to candidates; all of them count for the score.
_LEADING = 2

#: The shortest titles are looked for where a query has at most so many terms.
_SHORT = 3

#: Steps of length in a facet of learnings, and the first that a row can have.
_LENGTHS = range(1, 33)
_STEP = 2


class CommonTerms:
    """About how many rows have which common term or phrase, from the searches before.

    Good while the index is about as large. None is ever known to be in no row: one added row would make that wrong.
    """

    def __init__(self) -> None:
        self._counts: dict[Term, tuple[int, int]] = {}

    def get(self, term: Term, rows: int) -> int | None:
        """How many of *rows* rows have it; None: it is not known, or was when there were 2 % more or less."""
        then, count = self._counts.get(term, (0, 0))
        return min(count, rows) if then and abs(rows - then) * 50 <= then else None

    def note(self, term: Term, rows: int, count: int) -> None:
        """Remember what was estimated; all that was known is forgotten where it is too much."""
        if len(self._counts) >= _KNOWN:
            self._counts.clear()
        self._counts[term] = (rows, count)


@attrs.frozen(kw_only=True)
class Index:
    """The statements of one full-text index."""

    count: Callable[..., int]
    count_between: Callable[..., int]
    rank: Callable[..., Sequence[Any]]
    matches: Callable[..., Sequence[Any]]
    #: Whether the facets hold the words of a title.
    titles: bool
    texts: Callable[..., Sequence[Any]]
    totals: Callable[[], Any]
    common: CommonTerms
    #: How often a title's word counts.
    title_weight: float = 5.0


@attrs.frozen
class Ranking:
    """Matches, best first: (score, row)."""

    matches: list[tuple[float, int]]
    exact: bool


def rank(index: Index, text: SearchText, facets: str, wanted: int, also: Sequence[int] = ()) -> Ranking:
    """The matches of *text*, best first.

    Args:
        index: Where.
        text: What for.
        facets: What else a row must have, in FTS5's syntax, or "". Without this the caller filters: an exact
            ranking may hold rows of other facets.
        wanted: So many matches at least, if there are so many; of more than that, only the likeliest are scored.
        also: Rows to score besides, where not every match is.
    """
    rows, average = _totals(index.totals().totals)
    known = {term: index.common.get(term, rows) for term in set(text.terms)}
    counts = {
        term: index.count(query=term.fts(), max_rows=EXACT + 1) if count is None else count
        for term, count in known.items()
    }
    if text.every:
        few = not all(counts.values()) or index.count(query=text.expression(), max_rows=EXACT + 1) <= EXACT
    else:
        few = min(sum(counts.values()), rows) <= EXACT
    for term, count in counts.items():
        if known[term] is None and count > EXACT:
            counts[term] = max(count, _estimate(index, term, rows))
        # A phrase costs a walk through all that its words have, each time that it is counted: it is remembered too.
        if known[term] is None and (count > EXACT or (count and term.tokens[1:])):
            index.common.note(term, rows, counts[term])
    if few and sum(counts.values()) <= COUNTED:
        return _ranked(index, text.expression())
    if facets and sum(counts.values()) <= COUNTED and index.count(query=facets, max_rows=EXACT + 1) <= EXACT:
        return _ranked(index, text.expression(facets))
    weights = {term: _weight(count, rows) * text.terms.count(term) for term, count in counts.items()}
    found = [*dict.fromkeys([*_Candidates(index, text, facets, counts, rows).found(), *also])]
    return Ranking(
        scored(index.texts(seqs=found), text, weights, average, index.title_weight, max(wanted, LIKELIEST)), exact=False
    )


def _ranked(index: Index, query: str) -> Ranking:
    return Ranking([(row.score, row.seq) for row in index.rank(query=query, max_rows=EXACT + 1)], exact=True)


def _totals(data: bytes | str) -> tuple[int, float]:
    """The number of rows, and the average of their words."""
    rows, *sizes = varints(data) or [0]
    return rows, sum(sizes) / rows if rows else 1.0


def _estimate(index: Index, term: Term, rows: int) -> int:
    """About how many rows have a term that very many have."""
    size = min(_PART_ROWS, max(1, rows // _PARTS))
    starts = [1 + part * rows // _PARTS for part in range(_PARTS)]
    seen = sum(index.count_between(query=term.fts(), from_seq=start, to_seq=start + size - 1) for start in starts)
    return min(rows, seen * rows // (size * _PARTS))


def _weight(count: int, rows: int) -> float:
    """BM25's weight of a term that so many rows have, as FTS5 computes it."""
    weight = math.log((rows - count + 0.5) / (count + 0.5)) if count < rows else 0.0
    return weight if weight > 0 else 1e-6


class _Candidates:
    """Which rows are likely to rank first, where too many match to rank them all."""

    def __init__(self, index: Index, text: SearchText, facets: str, counts: dict[Term, int], rows: int) -> None:
        self._index = index
        self._text = text
        self._facets = facets
        ordered = sorted(counts, key=lambda term: counts[term])
        self._rare: list[Term] = []
        room = EXACT
        for term in ordered:
            if not text.every and counts[term] <= room:
                self._rare.append(term)
                room -= counts[term]
        common = [term for term in ordered if term not in self._rare]
        # What is in more than half of the rows weighs nothing, where there is anything else.
        telling = [term for term in common if counts[term] < rows / 2]
        self._leading = (telling or ([] if self._rare else common[:1]))[:_LEADING]
        self._all = common if text.every else self._leading
        self._seqs: dict[int, None] = {}

    def found(self) -> list[int]:
        """Their rows, each once.

        Each way to find some gives no more than so many. Where it gave fewer, those are all there are, and a narrower way
        would find them again: it is left out.
        """
        if self._text.every:
            if not self._of_rows([term.fts() for term in self._all], _SOME):
                self._of_titles([term.in_title() for term in self._all], _SOME)
        else:
            if self._rare:
                self._of_rare()
            every_title = self._of_one()
            if len(self._leading) > 1:
                self._of_several(every_title)
            if len(self._seqs) < _FEW:
                # Whatever matches: a page is to be full where there is enough.
                self._of_rows([any_of([term.fts() for term in dict.fromkeys(self._text.terms)])], _SOME)
        return list(self._seqs)

    def _of_rare(self) -> None:
        """Rows with a rare term: the best of them, and those with a common one too."""
        rare = any_of([term.fts() for term in self._rare])
        if self._facets:
            all_of_them = self._of_rows([rare], _SOME)
        else:
            limit = _FEW + _FEW // 2
            ranked = self._index.rank(query=combine([rare], self._text.excluded), max_rows=limit)
            self._take(row.seq for row in ranked)
            all_of_them = len(ranked) < limit
        if self._leading and not all_of_them:
            self._of_rows([rare, *(term.fts() for term in self._leading)], _FEW)

    def _of_several(self, every_title: set[Term]) -> None:
        """Rows with both of the common terms that lead: anywhere, in the title and anywhere, in the title."""
        one, other = self._leading
        if self._of_rows([one.fts(), other.fts()], _FEW) or one in every_title or not self._index.titles:
            return
        if not self._of_rows([one.in_title(), other.fts()], _FEW) and other not in every_title:
            self._of_titles([one.in_title(), other.in_title()], _FEW)

    def _of_one(self) -> set[Term]:
        """Rows with a common term in their titles, the shortest first; and some with it anywhere.

        Gives the terms of which every row was found that has them in its title.
        """
        terms = len(set(self._text.terms))
        every = set()
        for term in self._leading:
            if self._of_titles([term.in_title()], _SOME if terms == 1 else _FEW, shortest=terms <= _SHORT):
                every.add(term)
        if not self._index.titles and self._leading and not self._rare:
            self._of_rows([self._leading[0].fts()], _SOME)
        return every

    def _of_rows(self, parts: list[str], limit: int) -> bool:
        query = combine([*parts, self._facets], self._text.excluded)
        seqs = [row.seq for row in self._index.matches(query=query, max_rows=limit)]
        self._take(seqs)
        return len(seqs) < limit

    def _of_titles(self, parts: list[str], limit: int, *, shortest: bool = False) -> bool:
        if not self._index.titles:
            return False
        titles = self._index.matches
        seqs = [row.seq for row in titles(query=combine([*parts, self._facets]), max_rows=limit + 1)]
        every = len(seqs) <= limit
        if shortest and not every:
            seqs = []
            for first in range(_LENGTHS.start, _LENGTHS.stop, _STEP):
                lengths = any_of([f'"{FACET}l{length}x"' for length in range(first, first + _STEP)])
                query = combine([*parts, lengths, self._facets])
                seqs += [row.seq for row in titles(query=query, max_rows=limit - len(seqs))]
                if len(seqs) >= limit:
                    break
        self._take(seqs)
        return every

    def _take(self, seqs: Iterable[int]) -> None:
        self._seqs.update(dict.fromkeys(seqs))
