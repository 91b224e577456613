"""Marks what matched in a text, and cuts the telling part out of it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import attrs

from datastore.engines.match import Term
from datastore.engines.words import Word, has_parts, parts, starts_of, words

#: A snippet has so many words.
SNIPPET_WORDS = 32

#: A snippet is looked for in so many characters at the start of a content.
SEARCHED = 20_000


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


def occurrences(text: str, found: Sequence[Word], terms: Sequence[Term]) -> list[tuple[int, int, int]]:
    """Where *terms* stand in a text: the first word, the one behind the last, which term; in the text's order.

    A part of a camelCase word stands for the whole of it.
    """
    firsts: dict[str, list[int]] = {}
    prefixes = []
    for number, term in enumerate(terms):
        if term.prefix and len(term.stems) == 1:
            prefixes.append((term.stems[0], number))
        else:
            firsts.setdefault(term.stems[0], []).append(number)
    places = []
    camel = has_parts(text)
    for place, (start, end, stem) in enumerate(found):
        if camel and has_parts(text[start:end]):
            inner = {stem for _, _, stem in words(parts(text[start:end]))}
            places += [(place, place + 1, n) for n, term in enumerate(terms) if _is_one_of(term, inner - {stem})]
        if stem in firsts:
            places += [
                (place, place + len(terms[number].stems), number)
                for number in firsts[stem]
                if stands_at(found, place, terms[number])
            ]
        if prefixes:
            places += [(place, place + 1, number) for begun, number in prefixes if stem.startswith(begun)]
    return places


def _is_one_of(term: Term, stems: Iterable[str]) -> bool:
    if len(term.stems) > 1:
        return False
    return any(stem.startswith(term.stems[0]) if term.prefix else stem == term.stems[0] for stem in stems)


def stands_at(found: Sequence[Word], place: int, term: Term) -> bool:
    """Whether a phrase stands at this word of a text."""
    last = len(term.stems) - 1
    if place + last >= len(found):
        return False
    for offset, wanted in enumerate(term.stems):
        stem = found[place + offset][2]
        if stem != wanted and not (term.prefix and offset == last and stem.startswith(wanted)):
            return False
    return True


def spans_of(found: Sequence[Word], places: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """The characters of some occurrences, ascending, overlapping ones as one."""
    spans: list[tuple[int, int]] = []
    for first, behind, _ in sorted(places):
        start, end = found[first][0], found[behind - 1][1]
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def highlight(text: str, terms: Sequence[Term], marker: Marker) -> tuple[str, set[int]]:
    """The whole of *text*, marked, and which of *terms* stand in it."""
    found = words(text, _starts(terms))
    places = occurrences(text, found, terms)
    return marker.mark(text, spans_of(found, places)), {number for _, _, number in places}


def snippet(text: str, terms: Sequence[Term], marker: Marker) -> tuple[str, set[int]]:
    """The part of *text* with the most different terms, marked, "..." where it is cut; and which terms stand in all."""
    part = text[:SEARCHED]
    found = words(part, _starts(terms))
    places = occurrences(part, found, terms)
    first = 0 if len(found) <= SNIPPET_WORDS else _best(places)
    behind = min(len(found), first + SNIPPET_WORDS)
    start = 0 if first == 0 else found[first][0]
    end = (
        len(text) if behind == len(found) and len(part) == len(text) else (found[behind - 1][1] if found else len(part))
    )
    inside = [(low - start, high - start) for low, high in spans_of(found, places) if low >= start and high <= end]
    marked = marker.mark(part[start:end] if end <= len(part) else text[start:end], inside)
    return ("..." if start else "") + marked + ("..." if end < len(text) else ""), {n for _, _, n in places}


def _starts(terms: Sequence[Term]) -> tuple[str, ...]:
    return starts_of(stem for term in terms for stem in term.stems)


def _best(places: Sequence[tuple[int, int, int]]) -> int:
    """The first word of the window with the most different terms; a few words ahead of its first match."""
    best, most = 0, (0, 0)
    for number, (first, _, _) in enumerate(places[:500]):
        window = [place for place in places[number : number + SNIPPET_WORDS] if place[1] <= first + SNIPPET_WORDS - 4]
        score = (len({place[2] for place in window}), len(window))
        if score > most:
            best, most = first, score
    return max(0, best - 4)
