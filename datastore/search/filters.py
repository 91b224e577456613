"""What a search filters by, as tokens of the index: of a row, and of a search.

Categories, tags, conversations, sessions, sources and roles are known to the index exactly. Of confidence it knows the tenth, of
time the month and the year: where a filter does not end with one, the rows are tested besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from datastore.search.matching import EVERY, Leaf, all_of, any_of, facet
from datastore.values import TIME_MAX, TIME_MIN, encode_timestamp

#: Earlier years, and later ones, are one to the index.
_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def learning_facets(
    conversation_id: str,
    session_id: str | None,
    source: str,
    category: str,
    tags: Sequence[str],
    confidence: float,
    created_at: str,
) -> list[str]:
    """The tokens of a learning; *created_at* as it is stored."""
    return [
        *_facets(conversation_id, session_id, source, created_at),
        facet("c", category),
        f"p:{int(confidence * 10)}",
        *(facet("t", tag) for tag in tags),
    ]


def message_facets(conversation_id: str, session_id: str | None, source: str, role: str, created_at: str) -> list[str]:
    """The tokens of a message; *created_at* as it is stored."""
    return [*_facets(conversation_id, session_id, source, created_at), f"r:{role}"]


def _facets(conversation_id: str, session_id: str | None, source: str, created_at: str) -> list[str]:
    found = [EVERY, facet("v", conversation_id), facet("o", source)]
    if session_id is not None:
        found.append(facet("s", session_id))
    return [*found, _month(created_at[:4], created_at[5:7]), _year(int(created_at[:4]))]


def _month(year: str, month: str) -> str:
    return f"m:{year}{month}"


def _year(year: int) -> str:
    return f"y:{min(max(year, _FIRST_YEAR), _LAST_YEAR)}"


@attrs.frozen(kw_only=True)
class Filters:
    """What a search asks for besides its text."""

    category: str | None = None
    tags_any: Sequence[str] = ()
    tags_all: Sequence[str] = ()
    min_confidence: float = 0.0
    conversation_id: str | None = None
    session_id: str | None = None
    source: str | None = None
    role: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    def groups(self) -> tuple[tuple[Leaf, ...], ...]:
        """What passes the filters has a token of each group."""
        exact = {"c": self.category, "v": self.conversation_id, "s": self.session_id, "o": self.source}
        tokens = [facet(kind, value) for kind, value in exact.items() if value is not None]
        tokens += [facet("t", tag) for tag in self.tags_all]
        if self.role is not None:
            tokens.append(f"r:{self.role}")
        steps = range(int(self.min_confidence * 10), 11) if self.min_confidence > 0 else ()
        return (
            *all_of(tokens),
            *any_of(facet("t", tag) for tag in self.tags_any),
            *any_of(f"p:{step}" for step in steps),
            *any_of(self._times()),
        )

    def _times(self) -> list[str]:
        """The months and years of the time range; none where it has no bound."""
        if self.created_from is None and self.created_before is None:
            return []
        low = encode_timestamp(self.created_from or TIME_MIN)
        high = encode_timestamp(self.created_before or TIME_MAX)
        first, begin, last, end = int(low[:4]), int(low[5:7]), int(high[:4]), int(high[5:7])
        if first == last:
            return [_month(low[:4], f"{month:02}") for month in range(begin, end + 1)]
        months = [_month(low[:4], f"{month:02}") for month in range(begin, 13)]
        months += [_month(high[:4], f"{month:02}") for month in range(1, end + 1)]
        between = range(max(first + 1, _FIRST_YEAR), min(last - 1, _LAST_YEAR) + 1)
        years = dict.fromkeys(_year(year) for year in (first + 1, *between, last - 1) if first < year < last)
        return [*months, *years]

    def tests(self) -> dict[str, Any] | None:
        """What the rows are to be tested by besides; None where the index knows all."""
        tenths = self.min_confidence * 10
        if self.created_from is None and self.created_before is None and tenths == int(tenths):
            return None
        return {
            "min_confidence": self.min_confidence,
            "created_from": self.created_from or TIME_MIN,
            "created_before": self.created_before or TIME_MAX,
        }

    def scope(self) -> list[Any]:
        """What a cursor belongs to."""
        return list(attrs.astuple(self))
