"""What is likely meant by a word that is stored nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from datastore.search.analysis import FORM, form
from datastore.search.query import Term

#: Words between two bounds of the index that are compared with a misspelt one.
_COMPARED = 5000


def did_you_mean(
    text: str,
    terms: Iterable[Term],
    is_known: Callable[[Term], bool],
    like: Callable[[str, str, int], Sequence[Any]],
) -> str | None:
    """*text* with each word that is stored nowhere replaced by the likest one that is; None if there is none.

    Args:
        text: What was typed.
        terms: Its terms; phrases and beginnings of words are left as they are.
        is_known: Whether a term is stored.
        like: The index's forms between two bounds, and in how many rows each is.
    """
    better = text
    for term in dict.fromkeys(terms):
        if term.word is None or len(term.word) < 3 or is_known(term):
            continue
        if word := _likest(form(term.word)[len(FORM) :], like):
            better = re.sub(re.escape(term.text), lambda _, word=word: word, better, count=1)  # type: ignore[misc]
    return None if better == text else better


def _likest(word: str, like: Callable[[str, str, int], Sequence[Any]]) -> str | None:
    limit = 1 if len(word) < 5 else 2
    low = FORM + (word[:2] if len(word) > 3 else word[:1])
    best = (limit + 1, 0, "")
    for row in like(low, low + "\U0010ffff", _COMPARED):
        known = row.term[len(FORM) :]
        if abs(len(known) - len(word)) <= limit and known.isalnum():
            best = min(best, (distance(word, known, limit), -row.row_count, known))
    return best[2] if best[0] <= limit else None


def distance(one: str, other: str, limit: int) -> int:
    """How many letters have to be put in, left out, changed or swapped with the next; above *limit* any number."""
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
