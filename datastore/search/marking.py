"""Marks the matches in a text and cuts out its most relevant part, when a hit's marks are read."""

from __future__ import annotations

import html
from collections.abc import Sequence

import attrs

from datastore.search.analysis import FORM, Analyzer, Entry, composed, signed
from datastore.search.query import Term

#: Words in a snippet.
SNIPPET_WORDS = 32

#: A snippet comes from this many characters at the start of a content.
SEARCHED = 20_000

Span = tuple[int, int, int]


@attrs.frozen
class Marker:
    """How matches are shown.

    Attributes:
        before: The text before a match.
        after: The text after a match.
        escape: Whether to escape the text (not the marks) for HTML.
    """

    before: str = "**"
    after: str = "**"
    escape: bool = False

    def mark(self, text: str, spans: Sequence[tuple[int, int]]) -> str:
        """*text* with its *spans* marked; they ascend and do not overlap."""
        safe = html.escape if self.escape else str
        parts: list[str] = []
        place = 0
        for start, end in spans:
            parts += [safe(text[place:start]), self.before, safe(text[start:end]), self.after]
            place = end
        return "".join([*parts, safe(text[place:])])


@attrs.frozen
class Marked:
    """Marks the terms of a query in the texts that matched."""

    analyzer: Analyzer
    terms: Sequence[Term]
    marker: Marker

    def whole(self, text: str) -> str:
        """The whole of *text*, marked."""
        text = composed(text)
        return self.marker.mark(text, _merged(self.spans(text)))

    def snippet(self, text: str) -> str:
        """The part of *text* with the most distinct terms, marked, with "..." where it is cut."""
        part = composed(text[:SEARCHED])
        spans = self.spans(part)
        words = [(start, start + entry.spans[-1][1]) for start, entry in self.analyzer.runs(part)]
        first = 0 if len(words) <= SNIPPET_WORDS else _best(spans, words)
        past = min(len(words), first + SNIPPET_WORDS)
        start = words[first][0] if first else 0
        cut = past < len(words) or len(text) > SEARCHED
        end = words[past - 1][1] if cut and words else len(part)
        inside = [(low - start, high - start) for low, high in _merged(spans) if low >= start and high <= end]
        return ("..." if start else "") + self.marker.mark(part[start:end], inside) + ("..." if cut else "")

    def found(self, *texts: str) -> tuple[str, ...]:
        """The terms that occur in some texts, as they were typed, in query order."""
        there = {number for text in texts for _, _, number in self.spans(composed(text))}
        return tuple(dict.fromkeys(term.text for number, term in enumerate(self.terms) if number in there))

    def spans(self, text: str) -> list[Span]:
        """The occurrences of the terms, in text order: start, end (exclusive), number of the term."""
        tokens: list[tuple[int, int, str]] = []
        found: list[Span] = []
        named: dict[str, list[int]] = {}
        for number, term in enumerate(self.terms):
            named.setdefault(term.leaf.tokens[0], []).append(number)
        beginnings = [(term.leaf.tokens[0], number) for number, term in enumerate(self.terms) if term.leaf.prefix]
        for start, entry in self.analyzer.runs(text):
            end = start + entry.spans[-1][1]
            tokens += [
                (start + low, start + high, token) for token, (low, high) in zip(entry.tokens, entry.spans, strict=True)
            ]
            found += [(start, end, number) for part in entry.parts for number in named.get(part, ())]
            found += [
                (start, end, number) for begun, number in beginnings if begun.startswith(FORM) and _begins(entry, begun)
            ]
        found += [(start, end, number) for start, end, form in signed(text) for number in named.get(form, ())]
        for place, (start, _, token) in enumerate(tokens):
            for number in named.get(token, ()):
                wanted = self.terms[number].leaf.tokens
                there = tokens[place : place + len(wanted)]
                if tuple(one for _, _, one in there) == wanted:
                    found.append((start, there[-1][1], number))
            found += [
                # A beginning of a pair is its first character.
                (start, start + 1, number)
                for begun, number in beginnings
                if not begun.startswith(FORM) and token != begun and token.startswith(begun)
            ]
        return sorted(found)


def _begins(entry: Entry, begun: str) -> bool:
    """Whether a word of *entry* begins as a form does."""
    return any(form.startswith(begun) for form in (*entry.forms, *(FORM + token for token in entry.tokens)))


def _merged(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The ranges of some occurrences, ascending; overlapping ones are merged."""
    merged: list[tuple[int, int]] = []
    for start, end, _ in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _best(spans: Sequence[Span], words: Sequence[tuple[int, int]]) -> int:
    """The first word of the window with the most distinct terms; it begins a few words before its first match."""
    starts = {start: number for number, (start, _) in enumerate(words)}
    places = [(starts.get(start, 0), number) for start, _, number in spans[:500]]
    best, most = 0, (0, 0)
    for at, (first, _) in enumerate(places):
        window = [term for place, term in places[at : at + SNIPPET_WORDS] if place < first + SNIPPET_WORDS - 4]
        score = (len(set(window)), len(window))
        if score > most:
            best, most = first, score
    return max(0, best - 4)
