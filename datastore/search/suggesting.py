"""Suggests stored words for misspelt ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from datastore.search.analysis import FORM, Analyzer, form
from datastore.search.query import Term
from datastore.values import TEXT_MAX

#: The number of words of the index that are compared with a misspelt word.
_COMPARED = 5000


def did_you_mean(
    analyzer: Analyzer,
    text: str,
    terms: Iterable[Term],
    is_known: Callable[[Term], bool],
    like: Callable[[str, str, int], Sequence[Any]],
) -> str | None:
    """*text* with each unknown word replaced by the most similar stored word; None if no word was replaced.

    Args:
        analyzer: The analyzer of the index.
        text: The query as it was typed.
        terms: Its terms; phrases and beginnings of words are not replaced.
        is_known: Whether any row has a term.
        like: Returns the index's tokens between two bounds, each with its number of rows.
    """
    better = text
    for term in dict.fromkeys(terms):
        if term.word is None or len(term.word) < 3 or is_known(term):
            continue
        if word := _likest(analyzer, form(term.word)[len(FORM) :], like):
            better = re.sub(re.escape(term.text), lambda _, word=word: word, better, count=1)  # type: ignore[misc]
    return None if better == text else better


def _likest(analyzer: Analyzer, word: str, like: Callable[[str, str, int], Sequence[Any]]) -> str | None:
    limit = 1 if len(word) < 5 else 2
    low = word[:2] if len(word) > 3 else word[:1]
    forms = {row.term[len(FORM) :]: row.row_count for row in like(FORM + low, FORM + low + TEXT_MAX, _COMPARED)}
    best = (limit + 1, 0, "")
    for known, count in [*forms.items(), *((row.term, row.row_count) for row in like(low, low + TEXT_MAX, _COMPARED))]:
        if abs(len(known) - len(word)) <= limit and known.isalnum():
            found = (distance(word, known, limit), -count, known)
            if found < best and (known in forms or count > _rows_with_forms(analyzer, known, forms)):
                best = found
    return best[2] if best[0] <= limit else None


def _rows_with_forms(analyzer: Analyzer, token: str, forms: Mapping[str, int]) -> int:
    """The greatest number of rows in which *token* is only a stem. If more rows have it, it is a word itself."""
    others = [word for word in forms if word.startswith(token[:-1])]
    return sum(forms[word] for word in others if token in analyzer.entries(word)[0].tokens)


def distance(one: str, other: str, limit: int) -> int:
    """The number of insertions, deletions, replacements and swaps of adjacent letters; if above *limit*, any greater number.

    This is the optimal string alignment distance (a restricted Damerau-Levenshtein distance).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        older, before, row = before, row, [place]
        for column, wanted in enumerate(other, 1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != wanted))
            if place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == wanted:
                cost = min(cost, older[column - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
