"""Shared by both searches: one page of a ranking or of the newest matches, and "did you mean"."""

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
from datastore.repositories.vector_search import Mode, Nearest
from datastore.search.analysis import Analyzer
from datastore.search.filters import Filters
from datastore.search.marking import Marked, Marker
from datastore.search.matching import EVERY, Leaf, Matches
from datastore.search.matching import Match as Query
from datastore.search.query import SearchText, Term, parse
from datastore.search.ranking import Index, Ranking, fused, rank
from datastore.search.suggesting import did_you_mean
from datastore.values import encode_timestamp

Found = TypeVar("Found")
Hit = TypeVar("Hit")

Match = Literal["any", "all"]
Sort = Literal["relevance", "recent"]

#: Greater than every row number.
LAST = 2**62

#: The number of hits that are ranked and kept in a cursor; the other matches follow, newest first.
KEPT = 500

#: The number of rows of each ranking that a hybrid search fuses, if no page needs more.
_FUSED = 100

#: The number of rows that are read in excess of a page, because some may be hidden.
_SPARE = 5


def parsed(analyzer: Analyzer, text: str, match: Match) -> SearchText | None:
    """The query in *text*; see `datastore.search.query.parse`.

    Raises:
        InvalidValueError: *text* is not a string, or *match* is neither "any" nor "all".
    """
    if not isinstance(text, str):
        raise InvalidValueError(f"text: text is needed, not {type(text).__name__}")
    if match not in ("any", "all"):
        raise InvalidValueError("match is any or all")
    return parse(analyzer, text, every=match == "all")


def checked_filters(filters: Mapping[str, Any], known: type) -> Filters:
    """The filters of a search.

    Raises:
        TypeError: There is no filter of this name.
        InvalidValueError: A filter has an invalid value.
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
    #: None: the text has nothing to search for.
    query: SearchText | None
    filters: Filters
    sort: Sort
    mode: Mode
    #: None: the search is by words only.
    nearest: Nearest | None
    marker: Marker
    make_hit: Callable[[Found, float, Marked], Hit]

    def page(self, scope: Sequence[Any], after: str | None, max_rows: int) -> SearchPage[Hit]:
        """One page.

        Args:
            scope: Further arguments of the search, which its cursors belong to.
            after: The *next* of the previous page, or None.
            max_rows: The page's size, 1 to 1000.

        Raises:
            CursorError: *after* is damaged or of another search.
            InvalidValueError: *max_rows* is out of range, *sort* is unknown.
        """
        if self.sort not in ("relevance", "recent"):
            raise InvalidValueError("sort is relevance or recent")
        of = [self.make_hit.__module__, self.text, self.sort, *scope, *attrs.astuple(self.filters)]
        if self.nearest is not None:
            of += [self.mode, self.nearest.digest]
        sealed = json.dumps(of, default=_plain)
        size = check_max_rows(max_rows)
        if self.query is None and self.nearest is None:
            if after is not None:
                decode_cursor(sealed, after, ())
            return SearchPage(items=(), exact=True, mode=self.mode, cursor=lambda: None)
        pager = _Ranked if self.sort == "relevance" else _Recent
        found, cursor, exact = pager(self, sealed, size).page(after)
        marked = Marked(self.analyzer, () if self.query is None else self.query.terms, self.marker)
        return SearchPage(
            items=tuple(self.make_hit(record, score, marked) for score, record in found),
            cursor=cursor,
            exact=exact,
            mode=self.mode,
            did_you_mean=None if found or after is not None or not self.query else self._did_you_mean(self.query),
            excluded=() if self.query is None else tuple(term.text for term in self.query.excluded),
        )

    def rank(self, last: int, wanted: int) -> Ranking:
        """The matches, best first: by words, by vectors, or by both."""
        words, groups = None, self.filters.groups()
        if self.mode == "hybrid":
            wanted = max(wanted, _FUSED)
        if self.query is not None and self.mode != "vectors":
            words = rank(self.index, self.query, groups, last, wanted)
        if self.nearest is None:
            assert words is not None
            return words
        vectors = self.nearest.rank(self._required(groups), last, wanted)
        if words is None:
            return vectors
        passing = set(self.index.passing([seq for _, seq in words.matches]))
        words = attrs.evolve(words, matches=[match for match in words.matches if match[1] in passing])
        return fused(words, vectors)

    def _required(self, groups: tuple[tuple[Leaf, ...], ...]) -> Query:
        """What a row must have whatever its vector is: the filters, no excluded word, and with match="all" every word."""
        shown = ((Leaf((EVERY,)),), *groups)
        if self.query is None:
            return Query(shown)
        return self.query.match(shown) if self.query.every else attrs.evolve(self.query.match(), groups=shown)

    def newest(self, wanted: int) -> list[int]:
        """The matching rows, newest first."""
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


#: Scores and records of a page, a function that makes its cursor, and whether the ranking is exact.
Paged = tuple[list[tuple[float, Found]], Callable[[], str | None], bool]


class _Pager(Generic[Found, Hit]):
    """Reads a cursor and makes the page after it."""

    def __init__(self, search: Search[Found, Hit], sealed: str, size: int) -> None:
        self.search = search
        self.index = search.index
        self.sealed = sealed
        self.size = size

    def records(self, seqs: Sequence[int]) -> dict[int, Found]:
        """The records of those rows that still exist, are not hidden and pass every filter."""
        passing = self.index.passing(seqs)
        if not passing:
            return {}
        found: Sequence[Any] = self.index.found(seqs=passing, max_rows=len(passing))
        return {record.seq: record for record in found}


class _Recent(_Pager[Found, Hit]):
    """Pages of matches, newest first."""

    def page(self, after: str | None) -> Paged[Found]:
        """Returns scores and records, a function that makes the next cursor, and True."""
        before = LAST if after is None else decode_cursor(self.sealed, after, (int,))[0]
        assert self.search.query is not None
        query = self.search.query.match(self.search.filters.groups())
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
    """Pages of matches, best first up to `KEPT` of them, then the others, newest first.

    A cursor contains the ranking, so that later pages continue it whatever is written meanwhile. The other matches come in the
    order of their row numbers, which never change. So every match is on exactly one page.
    """

    def page(self, after: str | None) -> Paged[Found]:
        """Returns scores and records, a function that makes the next cursor, and whether the ranking is exact."""
        begun = _Begun(last=self.index.last_seq()) if after is None else self._read(after)
        if after is None:
            begun = self._ranked(begun, self.size + _SPARE)
        hits: list[_Place[Found]] = []
        self._take_ranked(begun, hits)
        while len(hits) <= self.size and not begun.complete:
            begun = self._ranked(begun, max(KEPT, 4 * len(begun.matches)))
            self._take_ranked(begun, hits)
        if len(hits) <= self.size and not begun.whole and self.search.mode != "vectors":
            self._take_newest(begun, hits)
        page = hits[: self.size]
        exact = begun.exact and all(hit.before is None for hit in page)
        at = page[-1] if len(hits) > self.size else None
        return [(hit.score, hit.record) for hit in page], functools.partial(self._cursor, begun, at), exact

    def _cursor(self, begun: _Begun, at: _Place[Found] | None) -> str | None:
        if at is None:
            return None
        if not begun.complete:
            # If the store was closed meanwhile, the cursor has a part of the ranking, and the next page completes it.
            with suppress(ClosedError):
                begun = self._ranked(begun, max(KEPT, len(begun.matches)))
        return self._write(attrs.evolve(begun, place=at.place, before=at.before))

    def _ranked(self, begun: _Begun, wanted: int) -> _Begun:
        """The ranking extended to *wanted* matches that pass every filter; known matches keep their places."""
        known = {seq for _, seq in begun.matches}
        asked, ended, matches = wanted, False, begun.matches
        while len(matches) < wanted and not ended:
            ranking = self.search.rank(begun.last, asked)
            passing = set(self.index.passing([seq for _, seq in ranking.matches])) - known
            matches = [*begun.matches, *(match for match in ranking.matches if match[1] in passing)]
            exact, whole = ranking.exact, ranking.whole
            ended, asked = len(ranking.matches) < asked, 4 * asked
        kept = matches[: max(wanted, KEPT)]
        return attrs.evolve(
            begun,
            matches=kept,
            complete=ended or len(kept) >= KEPT,
            whole=ended and whole and len(kept) == len(matches),
            exact=exact,
        )

    def _take_ranked(self, begun: _Begun, hits: list[_Place[Found]]) -> None:
        """Append matches of the ranking to *hits* until there is one more than fits on the page."""
        place = hits[-1].place if hits else begun.place
        step = self.size + _SPARE
        while place < len(begun.matches) and len(hits) <= self.size:
            part = begun.matches[place : place + step]
            records = self.records([seq for _, seq in part])
            hits += [
                _Place(_rounded(score), records[seq], number)
                for number, (score, seq) in enumerate(part, place + 1)
                if seq in records
            ]
            place, step = place + len(part), min(5000, step * 2)

    def _take_newest(self, begun: _Begun, hits: list[_Place[Found]]) -> None:
        """Append matches outside the ranking to *hits* until there is one more than fits on the page."""
        if self.search.query is None:
            return
        query, ranked = self.search.query.match(self.search.filters.groups()), {seq for _, seq in begun.matches}
        before, step = begun.before or begun.last + 1, self.size + _SPARE
        while len(hits) <= self.size:
            seqs = [row.seq for row in self.index.before(query=query, before_seq=before, max_rows=step)]
            records = self.records([seq for seq in seqs if seq not in ranked])
            hits += [_Place(0.0, record, len(begun.matches), seq) for seq, record in records.items()]
            if len(seqs) < step:
                break
            before, step = seqs[-1], min(5000, step * 2)

    def _write(self, begun: _Begun) -> str:
        packed = zlib.compress(b"".join(struct.pack("<qf", seq, score) for score, seq in begun.matches))
        state = (begun.last, begun.place, begun.before or 0, int(begun.complete), int(begun.whole), int(begun.exact))
        return encode_cursor(self.sealed, (*state, base64.b64encode(packed).decode()))

    def _read(self, after: str) -> _Begun:
        last, place, before, complete, whole, exact, text = decode_cursor(self.sealed, after, (int,) * 6 + (str,))
        try:
            packed = zlib.decompress(base64.b64decode(text))
            matches = [(score, seq) for seq, score in struct.iter_unpack("<qf", packed)]
        except (ValueError, zlib.error, struct.error) as error:
            raise CursorError("this cursor is damaged; use the next of a page from the same search") from error
        return _Begun(last, matches, place, before or None, bool(complete), bool(whole), bool(exact))


@attrs.frozen
class _Place(Generic[Found]):
    """A hit, and where the next page begins if it is the last one of its page."""

    score: float
    record: Found
    #: The number of matches of the ranking up to and including it.
    place: int
    #: Its row number, if it is outside the ranking.
    before: int | None = None


@attrs.frozen
class _Begun:
    """The ranking that the pages of one search walk through."""

    #: The last row to consider.
    last: int
    #: The best matches, best first.
    matches: Sequence[tuple[float, int]] = ()
    #: How many of them were on earlier pages.
    place: int = 0
    #: The row number before which the other matches continue, once the ranking is exhausted.
    before: int | None = None
    #: Whether the ranking is not extended any further.
    complete: bool = False
    #: Whether no row outside the ranking matches.
    whole: bool = False
    exact: bool = True


def _rounded(score: float) -> float:
    """A score as a cursor stores it."""
    return float(struct.unpack("<f", struct.pack("<f", score))[0])
