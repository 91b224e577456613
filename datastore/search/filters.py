"""Filters of a search as tokens of the index: those of a row, and those that a search asks for.

The index has categories, tags, conversations, sessions, sources and roles exactly. It has confidence by tenths, and time by month
and year. A filter that does not end at such a step also tests the rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

import attrs

from datastore.search.matching import EVERY, Leaf, all_of, any_of, facet, plain_facet
from datastore.values import TIME_MAX, TIME_MIN, as_stored, check_number, check_text, distinct_tags

#: The index treats all earlier years as one, and all later years as one.
_FIRST_YEAR, _LAST_YEAR = 1970, 2100

_ROLES = ("user", "assistant", "system", "tool")


def learning_facets(learning: Any) -> str:
    """The tokens of a learning itself, without its conversation's."""
    tags = "".join(f" {facet('t', tag)}" for tag in learning.tags)
    return f"{_facets(learning.conversation_id, learning.created_at)} {facet('c', learning.category)} p:{int(learning.confidence * 10)}{tags}"


def message_facets(conversation_id: str, role: str, created_at: datetime) -> str:
    """The tokens of a message itself, without its conversation's."""
    # The table refuses other roles.
    return _facets(conversation_id, created_at) + (f" r:{role}" if role in _ROLES else "")


def _facets(conversation_id: str, created_at: datetime) -> str:
    instant = as_stored(created_at)
    return _of_month(conversation_id, instant.year, instant.month)


@functools.lru_cache(maxsize=10_000)
def _of_month(conversation_id: str, year: int, month: int) -> str:
    return f"{EVERY} {facet('v', conversation_id)} {_month(year, month)} {_year(year)}"


def _month(year: int, month: int) -> str:
    return f"m:{year:04}{month:02}"


def _year(year: int) -> str:
    return f"y:{min(max(year, _FIRST_YEAR), _LAST_YEAR)}"


class MessageFilters(TypedDict, total=False):
    """The filters of a search for messages."""

    #: Only of this conversation.
    conversation_id: str | None
    #: Only of conversations of this session.
    session_id: str | None
    #: Only of conversations of this source.
    source: str | None
    #: Only by this role.
    role: str | None
    #: The earliest *created_at*, inclusive.
    created_from: datetime | None
    #: The latest *created_at*, exclusive.
    created_before: datetime | None


class LearningFilters(TypedDict, total=False):
    """The filters of a search for learnings."""

    #: Only of this category.
    category: str | None
    #: Only with at least one of these tags.
    tags_any: Sequence[str]
    #: Only with every one of these tags.
    tags_all: Sequence[str]
    #: Only with at least this confidence, 0 to 1.
    min_confidence: float
    #: Only from this conversation.
    conversation_id: str | None
    #: Only from conversations of this session.
    session_id: str | None
    #: Only from conversations of this source.
    source: str | None
    #: The earliest *created_at*, inclusive.
    created_from: datetime | None
    #: The latest *created_at*, exclusive.
    created_before: datetime | None


def _is_text(filters: Filters, field: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None:
        check_text(value, field.name)


_optional_text: Any = attrs.field(default=None, validator=_is_text)


def _distinct(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(distinct_tags(tags))


def _confidence(value: float) -> float:
    return check_number(value, "min_confidence")


_tags: Any = attrs.field(default=(), converter=_distinct)


@attrs.frozen(kw_only=True)
class Filters:
    """The checked values of `LearningFilters` or `MessageFilters`.

    Raises:
        InvalidValueError: A filter has an invalid value (*tags_any* is one string, NaN, a lone surrogate, ...).
    """

    category: str | None = _optional_text
    tags_any: tuple[str, ...] = _tags
    tags_all: tuple[str, ...] = _tags
    min_confidence: float = attrs.field(default=0.0, converter=_confidence)
    conversation_id: str | None = _optional_text
    session_id: str | None = _optional_text
    source: str | None = _optional_text
    role: str | None = _optional_text
    created_from: datetime | None = None
    created_before: datetime | None = None

    def groups(self) -> tuple[tuple[Leaf, ...], ...]:
        """Groups of tokens: a row that passes the filters has at least one token of each group."""
        exact = [("c", self.category, facet), ("v", self.conversation_id, facet)]
        exact += [("s", self.session_id, plain_facet), ("o", self.source, plain_facet)]
        tokens = [token(kind, value) for kind, value, token in exact if value is not None]
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
        """The months and years of the time range; none if it has no bound."""
        if self.created_from is None and self.created_before is None:
            return []
        low, high = as_stored(self.created_from or TIME_MIN), as_stored(self.created_before or TIME_MAX)
        first, last = low.year, high.year
        if first == last:
            return [_month(first, month) for month in range(low.month, high.month + 1)]
        months = [_month(first, month) for month in range(low.month, 13)]
        months += [_month(last, month) for month in range(1, high.month + 1)]
        between = range(max(first + 1, _FIRST_YEAR), min(last - 1, _LAST_YEAR) + 1)
        years = dict.fromkeys(_year(year) for year in (first + 1, *between, last - 1) if first < year < last)
        return [*months, *years]

    def tests(self) -> dict[str, Any] | None:
        """The tests that rows must pass in addition; None if the index decides all filters."""
        tenths = self.min_confidence * 10
        if self.created_from is None and self.created_before is None and tenths == int(tenths):
            return None
        return {
            "min_confidence": self.min_confidence,
            "created_from": self.created_from or TIME_MIN,
            "created_before": self.created_before or TIME_MAX,
        }
