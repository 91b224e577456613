"""What both searches share: the text, pages of a ranking, what is likely meant by a word that is not stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from datastore.engines.match import FACET, SearchText, Term, parse
from datastore.engines.words import fold, words
from datastore.errors import InvalidValueError
from datastore.records.pages import decode_cursor, encode_cursor
from datastore.repositories.base import check_max_rows
from datastore.repositories.ranking import Ranking
from datastore.values import encode_timestamp

Found = TypeVar("Found")

Match = Literal["any", "all"]
Sort = Literal["relevance", "recent"]

#: Behind every row.
LAST = 2**62

#: So many matches are looked at for one page of those newest first, and for the counts of facets.
LOOKED_AT = 5000

#: So many rows of a source are looked at where a page would be short.
OF_SOURCE = 2000

#: So many rows of a ranking are read beyond a page, and so many at least where the filters took too many of them out.
_SPARE, _MORE = 5, 50

#: Words between two bounds of the index that are compared with a misspelt one.
_COMPARED = 5000


def parsed(text: str, match: Match) -> SearchText | None:
    """The query in *text*; see `datastore.engines.match.parse`.

    Raises:
        InvalidValueError: *text* is no text, *match* is neither "any" nor "all".
    """
    if not isinstance(text, str):
        raise InvalidValueError(f"text: text is needed, not {type(text).__name__}")
    if match not in ("any", "all"):
        raise InvalidValueError("match is any or all")
    return parse(text, every=match == "all")


def check_sort(sort: Sort) -> None:
    if sort not in ("relevance", "recent"):
        raise InvalidValueError("sort is relevance or recent")


def months(created_from: datetime, created_before: datetime) -> str:
    """The months of a time range as facets, in FTS5's syntax; "" where there are too many."""
    first = created_from.year * 12 + created_from.month - 1
    last = created_before.year * 12 + created_before.month - 1
    if last - first > 60:
        return ""
    return " OR ".join(f'"{FACET}m{month // 12:04}{month % 12 + 1:02}x"' for month in range(first, last + 1))


class HitPager:
    """One page of a ranking, or of the matches newest first.

    Args:
        scope: What was searched for and how; a cursor belongs to it.
        after: The *next* of the page before, or None.
        max_rows: The page's size, 1 to 1000.

    Raises:
        CursorError: *after* is damaged or of another search.
        InvalidValueError: *max_rows* is out of range.
    """

    def __init__(self, scope: Sequence[Any], after: str | None, max_rows: int) -> None:
        self._scope = json.dumps(["search", *scope], default=_plain)
        self.size = check_max_rows(max_rows)
        self._place: tuple[float, int] | None = None
        if after is not None:
            score, seq = decode_cursor(self._scope, after, (float, int))
            self._place = (score, seq)

    @property
    def wanted(self) -> int:
        """How many matches to rank: some pages of them for the first page, all for those behind it."""
        return self.size * 3 if self._place is None else LAST

    def ranked(
        self, ranking: Ranking, fetch: Callable[[list[int]], Sequence[Found]], seq_of: Callable[[Found], int]
    ) -> tuple[list[tuple[float, Found]], str | None]:
        """The page and its cursor; *fetch* gives those of some rows that pass the filters."""
        matches = [match for match in ranking.matches if self._behind(match)]
        scores = {seq: score for score, seq in matches}
        found: list[Found] = []
        # The filters pass most as a rule: one page and a little; where they do not, more and more at a time.
        first, step = 0, self.size + _SPARE
        while first < len(matches) and len(found) <= self.size:
            found += fetch([seq for _, seq in matches[first : first + step]])
            first, step = first + step, max(_MORE, step * 2)
        return self._cut([(scores[seq_of(record)], record) for record in found], seq_of)

    def recent(
        self,
        list_before: Callable[[int, int], Sequence[Any]],
        fetch: Callable[[list[int]], Sequence[Found]],
        seq_of: Callable[[Found], int],
    ) -> tuple[list[tuple[float, Found]], str | None]:
        """The page of what was stored last, and its cursor."""
        before = LAST if self._place is None else self._place[1]
        found: list[Found] = []
        while len(found) <= self.size:
            seqs = [row.seq for row in list_before(before, 500)]
            if not seqs:
                break
            found += fetch(seqs)
            before = seqs[-1]
        return self._cut([(0.0, record) for record in found], seq_of)

    def _behind(self, match: tuple[float, int]) -> bool:
        return self._place is None or (-match[0], match[1]) > (-self._place[0], self._place[1])

    def _cut(
        self, hits: list[tuple[float, Found]], seq_of: Callable[[Found], int]
    ) -> tuple[list[tuple[float, Found]], str | None]:
        page = hits[: self.size]
        if len(hits) <= self.size:
            return page, None
        score, record = page[-1]
        return page, encode_cursor(self._scope, (score, seq_of(record)))


def _plain(value: Any) -> Any:
    return encode_timestamp(value) if isinstance(value, datetime) else str(value)


def did_you_mean(
    text: str,
    terms: Iterable[Term],
    is_known: Callable[[Term], bool],
    like: Callable[[str, str, int], Sequence[Any]],
    spelled: Callable[[str, str], str | None],
) -> str | None:
    """*text* with each word that is stored nowhere replaced by the likest one that is; None if there is none.

    Args:
        text: What was typed.
        terms: Its terms; phrases and beginnings of words are left as they are.
        is_known: Whether a term is stored.
        like: The index's words between two bounds, and in how many rows each is.
        spelled: How a stem is spelt in a text that has it, as like as may be to what was typed.
    """
    better = text
    for term in dict.fromkeys(terms):
        if len(term.stems) > 1 or term.prefix or len(term.tokens[0]) < 3 or is_known(term):
            continue
        stem = _likest(term.stems[0], term.tokens[0], like)
        word = None if stem is None else spelled(stem, term.tokens[0])
        if word is not None:
            better = re.sub(re.escape(term.text), lambda _, word=word: word, better, count=1)  # type: ignore[misc]
    return None if better == text else better


def _likest(stem: str, token: str, like: Callable[[str, str, int], Sequence[Any]]) -> str | None:
    limit = 1 if len(stem) < 5 else 2
    low = stem[:2] if len(stem) > 3 else stem[:1]
    best = (limit + 1, 0, "")
    for row in like(low, low + "\U0010ffff", _COMPARED):
        term = row.term
        if term.startswith(FACET) or len(term) > len(token) + limit:
            continue
        # A misspelt ending is not cut off as a right one is: then the beginnings are compared.
        cut = distance(token[: len(term)], term, limit) + 1 if len(term) > 4 else limit + 1
        best = min(best, (min(distance(stem, term, limit), cut), -row.row_count, term))
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


def spelling(stem: str, typed: str, texts: Iterable[str]) -> str | None:
    """The word of *texts* that has this stem and is likest to what was typed, in lower case."""
    found = {fold(text[start:end]) for text in texts for start, end, of in words(text) if of == stem}
    return min(found, key=lambda word: (distance(typed, word, 10), word), default=None)
