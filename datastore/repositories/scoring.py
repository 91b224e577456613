"""Scores candidates by BM25, as FTS5 computes it, from the same numbers."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from datastore.engines.frequencies import Texts
from datastore.engines.match import SearchText, Term
from datastore.engines.words import BETWEEN, has_parts, parts, starts_of

#: So many candidates at least are scored word by word.
LIKELIEST = 60

#: FTS5's own constants of BM25.
_K1, _B = 1.2, 0.75


class Text(Protocol):
    """What a candidate's score is made of."""

    @property
    def seq(self) -> int: ...
    @property
    def content(self) -> str: ...
    @property
    def sizes(self) -> bytes | str: ...


def varints(data: bytes | str) -> list[int]:
    """The numbers that FTS5 keeps in a blob: seven bits a byte, the highest bit set in all but the last. Of a text: its own."""
    if isinstance(data, str):
        return [*map(int, data.split())]
    if data.isascii():
        return [*data]
    numbers, value = [], 0
    for byte in data:
        value = value << 7 | byte & 127
        if byte < 128:
            numbers.append(value)
            value = 0
    return numbers


def _sum(sizes: bytes | str) -> int:
    # Of columns of up to 127 words, as nearly all are, each byte is a number.
    return sum(sizes if isinstance(sizes, bytes) and sizes.isascii() else varints(sizes))


def scored(
    rows: Sequence[Text],
    text: SearchText,
    weights: dict[Term, float],
    average: float,
    title_weight: float,
    most: int,
) -> list[tuple[float, int]]:
    """Candidates with their BM25, best first; those that do not match after all are left out.

    Args:
        rows: The candidates.
        text: What they are to have.
        weights: How much each term counts.
        average: How many words a row has.
        title_weight: How often a title's word counts.
        most: Of more than so many, only those are scored that could score most.
    """
    if len(rows) > most:
        rows = _likeliest(rows, weights, average, title_weight, most)
    frequencies = _frequencies([*weights, *text.excluded], rows, title_weight)
    scores = _bm25(weights, frequencies, rows, average)
    least = len(weights) if text.every else 1
    ranked = [
        (scores[place], row.seq)
        for place, row in enumerate(rows)
        if sum(frequencies[term][place] > 0 for term in weights) >= least
        and not any(frequencies[term][place] for term in text.excluded)
    ]
    ranked.sort(key=lambda match: (-match[0], match[1]))
    return ranked


def _bm25(
    weights: dict[Term, float], frequencies: Mapping[Term, Sequence[float]], rows: Sequence[Text], average: float
) -> list[float]:
    scores = [0.0] * len(rows)
    lengths = [_K1 * (1 - _B + _B * _sum(row.sizes) / average) for row in rows]
    for term, weight in weights.items():
        factor = weight * (_K1 + 1)
        scores = [
            score + factor * frequency / (frequency + length) if frequency else score
            for score, frequency, length in zip(scores, frequencies[term], lengths, strict=True)
        ]
    return scores


def _likeliest(
    rows: Sequence[Text], weights: dict[Term, float], average: float, title_weight: float, most: int
) -> Sequence[Text]:
    """Those that could score most: a letter sequence is counted, which is never less often than the word is there."""
    contents = BETWEEN.join(row.content for row in rows)
    titles = BETWEEN.join(getattr(row, "title", "") for row in rows)
    if not (contents.isascii() and titles.isascii()):
        return rows
    contents, titles = contents.lower(), titles.lower()
    written, named = contents.split(BETWEEN), titles.split(BETWEEN)
    counts = {}
    for term in weights:
        (start,) = starts_of(term.stems[:1])
        # Many a term is in none of the titles, which one look at all of them tells.
        above = (title.count(start) for title in named) if start in titles else itertools.repeat(0)
        counts[term] = [
            content.count(start) + title_weight * titled for content, titled in zip(written, above, strict=False)
        ]
    scores = _bm25(weights, counts, rows, average)
    return [rows[place] for place in heapq.nlargest(most, range(len(rows)), key=scores.__getitem__)]


def _frequencies(terms: Iterable[Term], rows: Sequence[Text], title_weight: float) -> dict[Term, list[float]]:
    """How often each term stands in which row; in a title it counts more."""
    titles = [getattr(row, "title", "") for row in rows]
    written = [row.content for row in rows]
    # What the index has behind a content: most texts have none, and one look at all of them is cheap.
    if has_parts(" ".join([*titles, *written])):
        inner = [parts(f"{title} {content}") for title, content in zip(titles, written, strict=True)]
        written = [f"{content} {words}" if words else content for content, words in zip(written, inner, strict=True)]
    contents, names = Texts(written), Texts(titles)
    return {
        term: [
            count + title_weight * titled
            for count, titled in zip(contents.frequencies(term), names.frequencies(term), strict=True)
        ]
        for term in terms
    }
