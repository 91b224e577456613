"""What a person types, as a full-text query that no text can break."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import attrs

from datastore.engines.words import apart, fold, is_wide, stem, words
from datastore.engines.words import parts as inner_words

#: Longer text is cut before anything else; nobody types so much.
MAX_LENGTH = 10_000

#: A query has at most this many terms; the first ones count.
MAX_TERMS = 32

#: ``term*`` finds every word that begins so from this many letters and digits; shorter ones are plain words.
MIN_PREFIX = 3

_english = """
    a about an and are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its me my no not of on or our she should so some such than that the their them then there these
    they this to was we were what when where which who why will with would you your
"""

#: English words that say nothing about what is looked for. They are looked for all the same where
#: nothing else was typed ("to be or not to be").
STOP_WORDS = frozenset(_english.split())

#: A facet's word in the index begins so; no query of a person can hold it.
FACET = "\ue000"

# A NUL ends FTS5's text, a lone surrogate is no UTF-8, U+E000 begins the index's own words.
_unstorable = re.compile("[\x00\ud800-\udfff\ue000]")
_part = re.compile(r'(?P<minus>-(?=["\w])(?<!\S-))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')


@attrs.frozen
class Term:
    """One word, ``word*`` or quoted phrase of a query."""

    #: As it was typed, without its quotes and its star.
    text: str
    #: The words in it, folded: "snake_case" has two.
    tokens: tuple[str, ...]
    #: Their stems, as the index has them.
    stems: tuple[str, ...]
    prefix: bool = False

    def parts(self) -> list[Term]:
        """Each of its words as a term, and the parts of camelCase words; of Chinese, Japanese and Korean every two."""
        found: list[Term] = []
        run: list[int] = []
        places = words(self.text)
        for number, (start, end, _) in enumerate(places):
            run.append(number)
            if is_wide(self.tokens[number]):
                after = places[number + 1][0] if number + 1 < len(places) else -1
                if after == end and is_wide(self.tokens[number + 1]):
                    continue
                pairs = [*itertools.pairwise(run)] or [(number, number)]
                found += [self._between(first, last + 1) for first, last in pairs]
            else:
                found.append(self if len(places) == 1 else self._between(number, number + 1))
                inner = inner_words(self.text[start:end])
                found += [Term(token, (token,), (stem(token),)) for token in map(fold, inner.split())]
            run = []
        return found

    def _between(self, first: int, behind: int) -> Term:
        return Term("".join(self.tokens[first:behind]), self.tokens[first:behind], self.stems[first:behind])

    def fts(self) -> str:
        """In FTS5's syntax: its words in this order, next to each other."""
        return f'"{apart(self.text)}"' + ("*" if self.prefix else "")

    def in_title(self) -> str:
        """In FTS5's syntax: its words in any order, as facets have those of a title."""
        words = [f'"{FACET}w{token}"' for token in self.tokens]
        return f"({' AND '.join(words)}{'*' if self.prefix else ''})"


@attrs.frozen
class SearchText:
    """A person's query: what a row has one of (or all of), and what it must not have."""

    #: Repeated ones count twice, as they do in BM25.
    terms: tuple[Term, ...]
    excluded: tuple[Term, ...] = ()
    #: Whether a row has to have every term.
    every: bool = False

    def expression(self, facets: str = "") -> str:
        """The whole query in FTS5's syntax, and *facets* (in the same) as well."""
        return combine(
            [(" AND " if self.every else " OR ").join(term.fts() for term in self.terms), facets], self.excluded
        )


def combine(parts: Iterable[str], excluded: Sequence[Term] = ()) -> str:
    """All of *parts* and none of *excluded*, in FTS5's syntax; empty parts are left out."""
    query = " AND ".join(f"({part})" for part in parts if part)
    return f"({query}) NOT ({' OR '.join(term.fts() for term in excluded)})" if excluded else query


def parse(text: str, *, every: bool = False) -> SearchText | None:
    """The query in *text*: words, "quoted phrases", -excluded ones, and beginnings of words with a star.

    Terms without a letter or digit are dropped, and so are stop words outside phrases, if anything else is
    left. A double quote that is never closed is a blank.

    Args:
        text: Anything at all; what is behind its first 10,000 characters or 32 terms is ignored.
        every: A row has to have every term, not one of them.

    Returns:
        The query, or None if nothing in *text* can be searched for.
    """
    terms: list[Term] = []
    telling: list[Term] = []
    excluded: list[Term] = []
    for found in _part.finditer(_unstorable.sub(" ", text[:MAX_LENGTH])):
        phrase, word = found["phrase"], found["word"]
        term = _term(word if phrase is None else " ".join(phrase.split()), star=phrase is None)
        if term is None:
            continue
        if found["minus"]:
            excluded.append(term)
            continue
        # Typed bare, snake_case is its words: what has it whole has them all, and ranks first.
        parts = [term] if phrase is not None or term.prefix or every else term.parts()
        terms += parts
        telling += [
            part
            for part in parts
            if phrase is not None or part.tokens[1:] or part.prefix or part.tokens[0] not in STOP_WORDS
        ]
    if not terms:
        return None
    return SearchText(tuple((telling or terms)[:MAX_TERMS]), tuple(excluded[:MAX_TERMS]), every)


def _term(text: str, *, star: bool) -> Term | None:
    found = words(text)
    if not found:
        return None
    tokens = tuple(fold(text[start:end]) for start, end, _ in found)
    # The star belongs to the last word: nothing may stand between the two.
    prefix = star and text.endswith("*") and text[found[-1][1] :] == "*" and len(tokens[-1]) >= MIN_PREFIX
    return Term(text.rstrip("*") if prefix else text, tokens, tuple(stem for _, _, stem in found), prefix)


def facet(kind: str, value: str) -> str:
    """A category (c), tag (t), role (r), ... as the index's own word, quoted for FTS5."""
    return f'"{FACET}{kind}{value}x"'


def hexed(text: str) -> str:
    """*text* as the index's own words have it: SQLite's hex()."""
    return text.encode().hex().upper()


def any_of(parts: Sequence[str]) -> str:
    """One of *parts*, in FTS5's syntax."""
    return " OR ".join(parts)
