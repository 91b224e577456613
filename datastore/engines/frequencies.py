"""How often the terms of a query stand in some hundred texts: what their rank is made of.

The texts are one string to the regular expressions, and a text's words are counted by str.count: a word at a time in
Python costs five times as much (perf/README.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from datastore.engines.match import Term
from datastore.engines.words import BETWEEN, plain, starts_of, stem


class Texts:
    """Some texts.

    Args:
        texts: As they are indexed: with the parts of their camelCase words.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # Two blanks between words, so that each has one on both its sides.
        self._text = BETWEEN.join(f" {text} " for text in plain([*texts])).replace(" ", "  ")
        self._texts = self._text.split(BETWEEN) if texts else []

    def frequencies(self, term: Term) -> list[int]:
        """How often each text has *term*."""
        if len(term.stems) > 1:
            return [self._phrases(term, text) for text in self._texts]
        found = set(_pattern(term.stems).findall(self._text))
        counts = [0] * len(self._texts)
        for form in (f" {word} " for word in found if _is(word, term.stems[0], term.prefix)):
            counts = [count + text.count(form) for count, text in zip(counts, self._texts, strict=True)]
        return counts

    @staticmethod
    def _phrases(term: Term, text: str) -> int:
        return sum(
            _is(words[-1], term.stems[-1], term.prefix)
            and all(_is(word, stemmed, False) for word, stemmed in zip(words[:-1], term.stems[:-1], strict=True))
            for words in _pattern(term.stems).findall(text)
        )


@functools.lru_cache(maxsize=1000)
def _pattern(stems: tuple[str, ...]) -> re.Pattern[str]:
    """Words that may have these stems, in this order; only the first is taken, so that the next match may overlap."""
    first, *others = (f"({re.escape(starts_of([stem])[0])}[^ {BETWEEN}]*)" for stem in stems)
    return re.compile(f" {first}" + (f"(?= +{' +'.join(others)})" if others else ""))


def _is(word: str, stemmed: str, prefix: bool) -> bool:
    return stem(word).startswith(stemmed) if prefix else stem(word) == stemmed
