"""What both searches share: one page of a ranking, or of what was stored last; what is likely meant."""

from __future__ import annotations

import base64
import functools
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import attrs

from datastore.errors import ClosedError, CursorError, InvalidValueError
from datastore.records.pages import decode_cursor, encode_cursor
from datastore.records.search import SearchPage
from datastore.repositories.base import check_max_rows
from datastore.search.analysis import Analyzer
from datastore.search.filters import Filters
from datastore.search.marking import Marked, Marker
from datastore.search.matching import Match as Query
from datastore.search.matching import Matches
from datastore.search.query import SearchText, Term, parse
from datastore.search.ranking import Index, rank
from datastore.search.suggesting import did_you_mean
from datastore.values import encode_timestamp

Found = TypeVar("Found")
Hit = TypeVar("Hit")

Match = Literal["any", "all"]
Sort = Literal["relevance", "recent"]

#: After every row.
LAST = 2**62

#: So many hits after a page are kept in its cursor; after them the ranking is computed again.
_KEPT = 500

#: So many rows of a ranking are read beyond a page.
_SPARE = 5


def parsed(analyzer: Analyzer, text: str, match: Match) -> SearchText | None:
    """The query in *text*; see `datastore.search.query.parse`.

    Raises:
        InvalidValueError: *text* is no text, *match* is neither "any" nor "all".
    """
    if not isinstance(text, str):
        raise InvalidValueError(f"text: text is needed, not {type(text).__name__}")
    if match not in ("any", "all"):
        raise InvalidValueError("match is any or all")
    return parse(analyzer, text, every=match == "all")


def checked_filters(filters: Mapping[str, Any], known: type) -> Filters:
    """The filters of a search.

    Raises:
        TypeError: It knows no filter of a name.
        InvalidValueError: A filter cannot be right.
    """
    if unknown := filters.keys() - known.__annotations__.keys():
        raise TypeError(f"search() got an unexpected keyword argument {min(unknown)!r}")
    return Filters(**filters)


@attrs.frozen
class Search(Generic[Found, Hit]):
    """One search."""

    index: Index
    analyzer: Analyzer
    text: str
    #: None: nothing can be searched for.
    query: SearchText | None
    filters: Filters
    sort: Sort
    marker: Marker
    make_hit: Callable[[Found, float, Marked], Hit]

    def page(self, scope: Sequence[Any], after: str | None, max_rows: int) -> SearchPage[Hit]:
        """One page.

        Args:
            scope: What was searched for and how; a cursor belongs to it.
            after: The *next* of the page before, or None.
            max_rows: The page's size, 1 to 1000.

        Raises:
            CursorError: *after* is damaged or of another search.
            InvalidValueError: *max_rows* is out of range, *sort* is unknown.
        """
        if self.sort not in ("relevance", "recent"):
            raise InvalidValueError("sort is relevance or recent")
        of = [self.make_hit.__module__, self.text, self.sort, *scope, *attrs.astuple(self.filters)]
        sealed = json.dumps(of, default=_plain)
        size = check_max_rows(max_rows)
        if self.query is None:
            if after is not None:
                decode_cursor(sealed, after, ())
            return SearchPage(items=(), exact=True, cursor=lambda: None)
        pager = _Ranked if self.sort == "relevance" else _Recent
        found, cursor, exact = pager(self, self.query, sealed, size).page(after)
        marked = Marked(self.analyzer, self.query.terms, self.marker)
        return SearchPage(
            items=tuple(self.make_hit(record, score, marked) for score, record in found),
            cursor=cursor,
            exact=exact,
            did_you_mean=None if found or after is not None else self._did_you_mean(self.query),
            excluded=tuple(term.text for term in self.query.excluded),
        )

    def newest(self, wanted: int) -> list[int]:
        """The rows that match, the last stored first."""
        if self.query is None:
            return []
        return self.index.newest(self.query.match(self.filters.groups()), LAST, wanted)

    def _did_you_mean(self, query: SearchText) -> str | None:
        def is_known(term: Term) -> bool:
            asked = Matches([Query(((term.leaf,),))])
            return bool(self.index.count(queries=asked, to_seq=LAST, max_rows=1)[0].match_count)

        return did_you_mean(
            self.analyzer,
            self.text,
            query.terms,
            is_known,
            lambda low, high, size: self.index.words_like(prefix_from=low, prefix_to=high, max_rows=size),
        )


def _plain(value: Any) -> Any:
    return encode_timestamp(value) if isinstance(value, datetime) else str(value)


#: Scores and records of a page, what makes its cursor, and whether they are exact.
Paged = tuple[list[tuple[float, Found]], Callable[[], str | None], bool]


class _Pager(Generic[Found, Hit]):
    """Reads a cursor, makes a page and its cursor."""

    def __init__(self, search: Search[Found, Hit], query: SearchText, sealed: str, size: int) -> None:
        self.query = query
        self.groups = search.filters.groups()
        self.index = search.index
        self.sealed = sealed
        self.size = size

    def records(self, seqs: Sequence[int]) -> dict[int, Found]:
        """Those of some rows that are there and pass every filter."""
        passing = self.index.passing(seqs)
        if not passing:
            return {}
        found: Sequence[Any] = self.index.found(seqs=passing, max_rows=len(passing))
        return {record.seq: record for record in found}


class _Recent(_Pager[Found, Hit]):
    """The last stored first."""

    def page(self, after: str | None) -> Paged[Found]:
        """Scores and records, the next cursor, and that it is exact."""
        before = LAST if after is None else decode_cursor(self.sealed, after, (int,))[0]
        query = self.query.match(self.groups)
        hits: list[tuple[int, Found]] = []
        step = self.size + _SPARE
        while len(hits) <= self.size:
            seqs = [row.seq for row in self.index.before(query=query, before_seq=before, max_rows=step)]
            hits += self.records(seqs).items()
            if len(seqs) < step:
                break
            before, step = seqs[-1], min(5000, step * 2)
        page = hits[: self.size]
        cursor = functools.partial(self._cursor, page[-1][0] if len(hits) > self.size else None)
        return [(0.0, record) for _, record in page], cursor, True

    def _cursor(self, seq: int | None) -> str | None:
        return None if seq is None else encode_cursor(self.sealed, (seq,))


class _Ranked(_Pager[Found, Hit]):
    """The best first.

    A cursor has the hits that follow, so that the ranking goes on as it began, whatever is written meanwhile.
    """

    def page(self, after: str | None) -> Paged[Found]:
        """Scores and records, the next cursor, and whether they are exact."""
        begun = _Begun(self.index.last_seq(), 0, True, False, []) if after is None else self._read(after)
        hits: list[tuple[int, float, Found]] = []
        used = self._take(begun.matches, 0, hits)
        wanted = self.size + _SPARE
        while len(hits) <= self.size and not begun.ended:
            begun = self._ranked(begun, begun.offset + used + wanted, first=after is None)
            used, wanted = self._take(begun.matches, used, hits), 4 * wanted
        page = hits[: self.size]

        def cursor() -> str | None:
            if len(hits) <= self.size:
                return None
            place = page[-1][0] + 1
            kept = begun
            if not begun.ended and len(begun.matches) - place <= self.size:
                # Of a store that was closed meanwhile the cursor has no hits: the ranking is computed by the next page.
                with suppress(ClosedError):
                    kept = self._ranked(begun, begun.offset + place + _KEPT, first=after is None)
            return self._write(kept, place)

        return [(score, record) for _, score, record in page], cursor, begun.exact

    def _ranked(self, begun: _Begun, wanted: int, *, first: bool) -> _Begun:
        """The same with so many matches, if there are so many; those that are known stay where they are."""
        ranking = rank(self.index, self.query, self.groups, begun.last, wanted)
        known = {seq for _, seq in begun.matches}
        more = [match for match in ranking.matches[begun.offset :] if match[1] not in known]
        return attrs.evolve(
            begun,
            matches=[*begun.matches, *more],
            ended=ranking.whole or not more,
            exact=ranking.exact if first else begun.exact,
        )

    def _take(self, matches: list[tuple[float, int]], used: int, hits: list[tuple[int, float, Found]]) -> int:
        """Add the records of matches to *hits* until there is one more than the page has; gives how many were used."""
        step = self.size + _SPARE
        while used < len(matches) and len(hits) <= self.size:
            part = matches[used : used + step]
            records = self.records([seq for _, seq in part])
            hits += [
                (used + place, _rounded(score), records[seq])
                for place, (score, seq) in enumerate(part)
                if seq in records
            ]
            used, step = used + len(part), min(5000, step * 2)
        return used

    def _write(self, begun: _Begun, place: int) -> str:
        kept = begun.matches[place : place + _KEPT]
        ended = begun.ended and place + len(kept) == len(begun.matches)
        packed = zlib.compress(b"".join(struct.pack("<qf", seq, score) for score, seq in kept))
        text = base64.b64encode(packed).decode()
        return encode_cursor(self.sealed, (begun.last, begun.offset + place, int(begun.exact), int(ended), text))

    def _read(self, after: str) -> _Begun:
        last, offset, exact, ended, text = decode_cursor(self.sealed, after, (int, int, int, int, str))
        try:
            packed = zlib.decompress(base64.b64decode(text))
            kept = [(score, seq) for seq, score in struct.iter_unpack("<qf", packed)]
        except (ValueError, zlib.error, struct.error) as error:
            raise CursorError("this cursor is damaged; use the next of a page from the same search") from error
        return _Begun(last, offset, bool(exact), bool(ended), kept)


@attrs.frozen
class _Begun:
    """A ranking that pages go through."""

    #: The last row that counts.
    last: int
    #: How many of its hits were on earlier pages.
    offset: int
    exact: bool
    #: Whether no match follows *matches*.
    ended: bool
    matches: list[tuple[float, int]]


def _rounded(score: float) -> float:
    """As a cursor keeps it."""
    return float(struct.unpack("<f", struct.pack("<f", score))[0])
