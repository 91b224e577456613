"""Ranks the matches of a text: all of them while they are few, and those of its rarest terms where they are many.

docs/search.md says why, perf/search.py what it costs. FTS5 finds a match in 0.05 µs and ranks it in 1.5 µs, and its bm25()
first counts every row of every term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from datastore.search.analysis import FORM
from datastore.search.matching import EVERY, FORM_WEIGHT, TITLE_WEIGHT, Leaf, Match, Matches
from datastore.search.query import SearchText, Term

#: So many matches are all ranked.
RANKED = 5_000

#: In an index of so many rows, all matches are ranked at once.
SMALL = 20_000

#: Where more match: the rows of the rarest terms are ranked, up to about so many.
LEADING = 2_500

#: Of these and of the newest rows of the other terms, so many are scored by all terms.
SCORED = 100

#: FTS5's own constants of BM25.
_K1, _B = 1.2, 0.75

Groups = tuple[tuple[Leaf, ...], ...]


@attrs.frozen(kw_only=True)
class Index:
    """The statements of one full-text index."""

    #: The greatest number of a row, 0 where there is none.
    last_seq: Callable[[], int]
    #: For each query: how many rows match, up to a limit, and the row at which the count stopped.
    count: Callable[..., Sequence[Any]]
    #: The rows that match between two numbers, best first, with scores.
    rank: Callable[..., Sequence[Any]]
    #: The rows that match before a number, the last stored first.
    before: Callable[..., Sequence[Any]]
    #: The tokens of some rows; None: the engine has scored them by all terms already.
    tokens: Callable[..., Sequence[Any]] | None
    #: Some rows that are shown, with their numbers.
    found: Callable[..., Sequence[Any]]
    #: The forms between two bounds, and in how many rows each is.
    words_like: Callable[..., Sequence[Any]]
    #: Those of some rows that pass *tests*.
    tested: Callable[..., Sequence[Any]]
    #: What the index knows only about; None: it knows all filters.
    tests: Mapping[str, Any] | None = None

    def passing(self, seqs: Sequence[int]) -> Sequence[int]:
        """Those of some rows that pass the filters which the index does not know, in their order."""
        if self.tests is None or not seqs:
            return seqs
        return [row.seq for row in self.tested(seqs=seqs, **self.tests)]

    def newest(self, query: Match, last: int, wanted: int) -> list[int]:
        """The last rows stored that match and pass every filter; *wanted* of them, if there are so many."""
        found: list[int] = []
        before, step = last + 1, wanted
        while len(found) < wanted:
            seqs = [row.seq for row in self.before(query=query, before_seq=before, max_rows=step)]
            found += self.passing(seqs)
            if len(seqs) < step:
                break
            before, step = seqs[-1], min(5000, step * 2)
        return found[:wanted]


@attrs.frozen
class Ranking:
    """Matches, best first: (score, row)."""

    matches: list[tuple[float, int]]
    #: Whether these are the best of all matches, in their order.
    exact: bool
    #: Whether these are all matches.
    whole: bool


def rank(index: Index, text: SearchText, filters: Groups, last: int, wanted: int) -> Ranking:
    """The matches of *text*, best first.

    Args:
        index: Where.
        text: What for.
        filters: Groups of facets, of which a row must have one each.
        last: The last row that counts.
        wanted: So many matches at least, if there are so many.
    """
    query = text.match(filters)
    if last <= SMALL and index.tokens is not None:  # FTS5 counts the terms itself
        return _all(index, query, last, wanted)
    terms = list(dict.fromkeys(text.terms))
    asked = [Match(((Leaf((EVERY,)),),)), *(Match(((term.leaf,),)) for term in terms)]
    counted = index.count(queries=Matches(asked), to_seq=last, max_rows=RANKED)
    rows, *counts = (_estimate(row.match_count, row.stopped_seq, last) for row in counted)
    weights = {
        term.leaf: _weight(count, rows) * text.terms.count(term) for term, count in zip(terms, counts, strict=True)
    }
    few = not (filters or text.every or text.excluded) and sum(counts) <= RANKED
    if not few and (filters or text.every or max(counts) <= RANKED):
        few = index.count(queries=Matches([query]), to_seq=last, max_rows=RANKED)[0].match_count <= RANKED
    if few:
        return _all(index, attrs.evolve(query, weights=tuple(weights.items())), last, wanted)
    frequencies = dict(zip(terms, counts, strict=True))
    return _likeliest(index, text, filters, last, max(wanted, SCORED), frequencies, weights, rows)


def _all(index: Index, query: Match, last: int, wanted: int) -> Ranking:
    found = index.rank(query=query, from_seq=0, to_seq=last, max_rows=min(wanted, SMALL))
    return Ranking([(row.score, row.seq) for row in found], exact=True, whole=len(found) < wanted)


def _likeliest(
    index: Index,
    text: SearchText,
    filters: Groups,
    last: int,
    wanted: int,
    frequencies: dict[Term, int],
    weights: dict[Leaf, float],
    rows: int,
) -> Ranking:
    """The rows with the rarest terms, and the newest rows with the others: all terms count for their scores."""
    terms = sorted(frequencies, key=lambda term: frequencies[term])
    # What is in more than half of the rows weighs nothing.
    telling = terms if text.every else [term for term in terms if frequencies[term] <= rows / 2] or terms
    leading: list[Term] = []
    room = RANKED
    for term in () if text.every else telling:
        if frequencies[term] > room:
            break
        leading.append(term)
        room = min(room, LEADING) - frequencies[term]
    best: list[tuple[float, int]] = []
    every_weight = tuple(weights.items())
    if leading:
        query = attrs.evolve(text.match(filters, tuple(leading)), weights=every_weight)
        found = index.rank(query=query, from_seq=0, to_seq=last, max_rows=RANKED)
        best = [(row.score, row.seq) for row in found]
    others = tuple(term for term in telling if term not in leading)
    newest: list[int] = []
    if others:
        newest = index.newest(text.together(filters, others), last, SCORED)
    matching = index.newest(text.match(filters), last, wanted)
    newest, whole = newest + matching, len(matching) < wanted
    known = {seq for _, seq in best}
    newest = [seq for seq in dict.fromkeys(newest) if seq not in known]
    if index.tokens is None:
        return _by_engine(index, text, filters, last, best, newest, every_weight, whole)
    candidates = [seq for _, seq in best[:SCORED]] + newest[: 2 * SCORED]
    scored = _scores(index.tokens(seqs=candidates), weights)
    done = {seq for _, seq in scored}
    rest = [(0.0, seq) for seq in (*(seq for _, seq in best), *newest) if seq not in done]
    return Ranking(scored + rest, exact=False, whole=whole)


def _by_engine(
    index: Index,
    text: SearchText,
    filters: Groups,
    last: int,
    best: list[tuple[float, int]],
    newest: list[int],
    weights: tuple[tuple[Leaf, float], ...],
    whole: bool,
) -> Ranking:
    """Where the engine scores by weights that it is given: the newest rows too, in the range that they are in."""
    if newest:
        query = attrs.evolve(text.match(filters), weights=weights)
        found = index.rank(query=query, from_seq=sorted(newest)[-SCORED:][0], to_seq=last, max_rows=2 * SCORED)
        best = list({seq: (score, seq) for score, seq in [*best, *((row.score, row.seq) for row in found)]}.values())
        best.sort(key=lambda match: (-match[0], -match[1]))
    known = {seq for _, seq in best}
    return Ranking([*best, *((0.0, seq) for seq in newest if seq not in known)], exact=False, whole=whole)


def _estimate(count: int, stopped: int | None, last: int) -> int:
    """How many rows match, where so many of the first ones do, up to the row at which the count stopped."""
    return count if stopped is None else max(count, count * last // stopped)


def _weight(count: int, rows: int) -> float:
    """BM25's weight of a term that so many rows have, as FTS5 computes it."""
    weight = math.log((rows - count + 0.5) / (count + 0.5)) if count < rows else 0.0
    return weight if weight > 0 else 1e-6


def _scores(rows: Iterable[Any], weights: dict[Leaf, float]) -> list[tuple[float, int]]:
    """BM25 of some rows by their tokens, best first."""
    texts = [(row.seq, row.content.split(), row.title.split(), row.forms.split()) for row in rows]
    average = sum(len(text) for _, *parts in texts for text in parts) / max(1, len(texts))
    found = []
    for seq, content, title, forms in texts:
        size = len(content) + len(title) + len(forms)
        length = _K1 * (1 - _B + _B * size / max(1.0, average))
        score = 0.0
        for leaf, weight in weights.items():
            frequency = _frequency(leaf, content, title, forms)
            score += weight * frequency * (_K1 + 1) / (frequency + length)
        found.append((score, seq))
    found.sort(key=lambda match: (-match[0], -match[1]))
    return found


def _frequency(leaf: Leaf, content: list[str], title: list[str], forms: list[str]) -> float:
    """How often a row has a leaf; in a title and as a form it counts more."""
    first = leaf.tokens[0]
    if leaf.prefix:
        found = FORM_WEIGHT * sum(form.startswith(first) for form in forms)
        first = first.removeprefix(FORM)
        return (
            found
            + sum(TITLE_WEIGHT * token.startswith(first) for token in title)
            + sum(token.startswith(first) for token in content)
        )
    if first.startswith(FORM):
        return FORM_WEIGHT * forms.count(first)
    if len(leaf.tokens) == 1:
        return content.count(first) + TITLE_WEIGHT * title.count(first)
    return _together(leaf.tokens, content) + TITLE_WEIGHT * _together(leaf.tokens, title)


def _together(tokens: tuple[str, ...], text: list[str]) -> int:
    size = len(tokens)
    return sum(text[place] == tokens[0] and tuple(text[place : place + size]) == tokens for place in range(len(text)))
