"""Ranks the matches of a query: all of them if they are few, those of its rarest terms if they are many.

docs/search.md explains why, perf/search.py measures the cost. FTS5 finds a match in 0.05 µs and ranks it in 1.5 µs, and its
bm25() first counts every row of every term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from datastore.search.analysis import FORM
from datastore.search.matching import EVERY, FORM_WEIGHT, TITLE_WEIGHT, Leaf, Match, Matches
from datastore.search.query import SearchText, Term

#: Up to this many matches, all are ranked.
RANKED = 5_000

#: In an index of up to this many rows, all matches are ranked without counting first.
SMALL = 20_000

#: If more rows match, those of the rarest terms are ranked, up to about this many.
LEADING = 2_500

#: This many of them, and of the newest rows of the other terms, are scored by all terms.
SCORED = 100

#: How reciprocal rank fusion weighs the first ranks (docs/decisions/0021-vectors.md).
_K = 10

#: FTS5's own constants of BM25.
_K1, _B = 1.2, 0.75

Groups = tuple[tuple[Leaf, ...], ...]


@attrs.frozen(kw_only=True)
class Index:
    """The statements of one full-text index."""

    #: The greatest row number, 0 if there are no rows.
    last_seq: Callable[[], int]
    #: For each query: the number of matching rows, up to a limit, and the row at which counting stopped.
    count: Callable[..., Sequence[Any]]
    #: The matching rows between two row numbers, best first, with scores.
    rank: Callable[..., Sequence[Any]]
    #: The matching rows before a row number, newest first.
    before: Callable[..., Sequence[Any]]
    #: The tokens of some rows. None: the engine itself scores by all terms.
    tokens: Callable[..., Sequence[Any]] | None
    #: The records of some rows, without hidden ones.
    found: Callable[..., Sequence[Any]]
    #: The forms between two bounds, each with its number of rows.
    words_like: Callable[..., Sequence[Any]]
    #: The rows among some that pass *tests*.
    tested: Callable[..., Sequence[Any]]
    #: The filters that the index knows only roughly. None: it knows all filters exactly.
    tests: Mapping[str, Any] | None = None

    def passing(self, seqs: Sequence[int]) -> Sequence[int]:
        """The rows among *seqs*, in their order, that pass the filters which the index does not know exactly."""
        if self.tests is None or not seqs:
            return seqs
        return [row.seq for row in self.tested(seqs=seqs, **self.tests)]

    def newest(self, query: Match, last: int, wanted: int) -> list[int]:
        """The newest rows that match and pass every filter, at most *wanted*."""
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
    #: Whether these are all matches, if they are fewer than asked for.
    whole: bool


def rank(index: Index, text: SearchText, filters: Groups, last: int, wanted: int) -> Ranking:
    """The matches of a query, best first.

    Args:
        index: The index to search.
        text: The query.
        filters: Groups of facets; a row must have one facet of each group.
        last: The last row to consider.
        wanted: The least number of matches to return, if that many rows match.
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
    return _likeliest(index, text, filters, last, frequencies, weights, rows)


def fused(words: Ranking, vectors: Ranking) -> Ranking:
    """Two rankings as one, by reciprocal rank fusion: a row counts 1 / (10 + its rank) in each of them."""
    scores: dict[int, float] = {}
    for ranking in (words, vectors):
        for place, (_, seq) in enumerate(ranking.matches, 1):
            scores[seq] = scores.get(seq, 0.0) + 1 / (_K + place)
    found = sorted(((score, seq) for seq, score in scores.items()), key=lambda match: (-match[0], -match[1]))
    return Ranking(found, exact=words.exact and vectors.exact, whole=words.whole)


def _all(index: Index, query: Match, last: int, wanted: int) -> Ranking:
    found = index.rank(query=query, from_seq=0, to_seq=last, max_rows=min(wanted, SMALL))
    return Ranking([(row.score, row.seq) for row in found], exact=True, whole=len(found) < wanted)


def _likeliest(
    index: Index,
    text: SearchText,
    filters: Groups,
    last: int,
    frequencies: dict[Term, int],
    weights: dict[Leaf, float],
    rows: int,
) -> Ranking:
    """The rows with the rarest terms, and the newest rows with the other terms, scored by all terms."""
    terms = sorted(frequencies, key=lambda term: frequencies[term])
    # A term in more than half of the rows has no weight.
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
    newest += index.newest(text.match(filters), last, SCORED)
    known = {seq for _, seq in best}
    newest = [seq for seq in dict.fromkeys(newest) if seq not in known]
    if index.tokens is None:
        return _by_engine(index, text, filters, last, best, newest, every_weight)
    candidates = [seq for _, seq in best[:SCORED]] + newest[: 2 * SCORED]
    scored = _scores(index.tokens(seqs=candidates), weights)
    done = {seq for _, seq in scored}
    rest = [(0.0, seq) for seq in (*(seq for _, seq in best), *newest) if seq not in done]
    return Ranking(scored + rest, exact=False, whole=False)


def _by_engine(
    index: Index,
    text: SearchText,
    filters: Groups,
    last: int,
    best: list[tuple[float, int]],
    newest: list[int],
    weights: tuple[tuple[Leaf, float], ...],
) -> Ranking:
    """The ranking of an engine that scores by given weights: it also scores the range of the newest rows."""
    if newest:
        query = attrs.evolve(text.match(filters), weights=weights)
        found = index.rank(query=query, from_seq=sorted(newest)[-SCORED:][0], to_seq=last, max_rows=2 * SCORED)
        best = list({seq: (score, seq) for score, seq in [*best, *((row.score, row.seq) for row in found)]}.values())
        best.sort(key=lambda match: (-match[0], -match[1]))
    known = {seq for _, seq in best}
    return Ranking([*best, *((0.0, seq) for seq in newest if seq not in known)], exact=False, whole=False)


def _estimate(count: int, stopped: int | None, last: int) -> int:
    """The estimated number of matching rows: *count* of them come before row *stopped*, where counting stopped."""
    return count if stopped is None else max(count, count * last // stopped)


def _weight(count: int, rows: int) -> float:
    """The weight of a term that *count* of *rows* rows have: BM25's, as FTS5 computes it."""
    weight = math.log((rows - count + 0.5) / (count + 0.5)) if count < rows else 0.0
    return weight if weight > 0 else 1e-6


def _scores(rows: Iterable[Any], weights: dict[Leaf, float]) -> list[tuple[float, int]]:
    """The BM25 scores of some rows, computed from their tokens, best first."""
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
    """The number of occurrences of a leaf in a row; those in the title and in the forms count more."""
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
