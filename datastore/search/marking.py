"""Marks what matched in a text, and cuts the telling part out of it; done when a hit's marks are read."""

from __future__ import annotations

import html
from collections.abc import Sequence

import attrs

from datastore.search.analysis import FORM, Analyzer, Entry, composed, signed
from datastore.search.query import Term

#: A snippet has so many words.
SNIPPET_WORDS = 32

#: A snippet is looked for in so many characters at the start of a content.
SEARCHED = 20_000

Span = tuple[int, int, int]


@attrs.frozen
class Marker:
    """How matches are shown.

    Attributes:
        before: What is put before a match.
        after: What is put behind it.
        escape: Whether the text (not the marks) is made safe to stand in HTML.
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
    """The terms of a query, for texts that they were found in."""

    analyzer: Analyzer
    terms: Sequence[Term]
    marker: Marker

    def whole(self, text: str) -> str:
        """The whole of *text*, marked."""
        text = composed(text)
        return self.marker.mark(text, _merged(self.spans(text)))

    def snippet(self, text: str) -> str:
        """The part of *text* with the most different terms, marked, "..." where it is cut."""
        part = composed(text[:SEARCHED])
        spans = self.spans(part)
        words = [(start, start + entry.spans[-1][1]) for start, entry in self.analyzer.runs(part)]
        first = 0 if len(words) <= SNIPPET_WORDS else _best(spans, words)
        behind = min(len(words), first + SNIPPET_WORDS)
        start = words[first][0] if first else 0
        cut = behind < len(words) or len(text) > SEARCHED
        end = words[behind - 1][1] if cut and words else len(part)
        inside = [(low - start, high - start) for low, high in _merged(spans) if low >= start and high <= end]
        return ("..." if start else "") + self.marker.mark(part[start:end], inside) + ("..." if cut else "")

    def found(self, *texts: str) -> tuple[str, ...]:
        """Which terms stand in some texts, as they were typed, in their order."""
        there = {number for text in texts for _, _, number in self.spans(composed(text))}
        return tuple(dict.fromkeys(term.text for number, term in enumerate(self.terms) if number in there))

    def spans(self, text: str) -> list[Span]:
        """Where the terms stand: first character, the one behind the last, which term; in the text's order."""
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
                # Of a pair the first character is meant.
                (start, start + 1, number)
                for begun, number in beginnings
                if not begun.startswith(FORM) and token != begun and token.startswith(begun)
            ]
        return sorted(found)


def _begins(entry: Entry, begun: str) -> bool:
    """Whether a word of *entry* begins as a form does."""
    return any(form.startswith(begun) for form in (*entry.forms, *(FORM + token for token in entry.tokens)))


def _merged(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The characters of some occurrences, ascending, overlapping ones as one."""
    merged: list[tuple[int, int]] = []
    for start, end, _ in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _best(spans: Sequence[Span], words: Sequence[tuple[int, int]]) -> int:
    """The first word of the window with the most different terms; a few words ahead of its first match."""
    starts = {start: number for number, (start, _) in enumerate(words)}
    places = [(starts.get(start, 0), number) for start, _, number in spans[:500]]
    best, most = 0, (0, 0)
    for at, (first, _) in enumerate(places):
        window = [term for place, term in places[at : at + SNIPPET_WORDS] if place < first + SNIPPET_WORDS - 4]
        score = (len(set(window)), len(window))
        if score > most:
            best, most = first, score
    return max(0, best - 4)
