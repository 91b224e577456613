"""Search by vectors: the nearest rows that pass every filter, and how they join the ranking by words."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import attrs

from datastore.errors import EmbeddingError, InvalidValueError
from datastore.records.vectors import Vector, VectorSettings, VectorTable
from datastore.repositories.vector_index import CELL, VectorIndex
from datastore.search.matching import Match, Matches
from datastore.search.ranking import Index, Ranking

if TYPE_CHECKING:
    from datastore.search.vectors import Floats

Mode = Literal["words", "vectors", "hybrid"]

#: If at most this many rows pass the filters, all of them are compared.
FEW = 4_000

#: Vectors read per statement.
_READ = 1_000

#: The least number of rows that are tested at a time.
_TESTED = 50

#: If the nearest cells have too few rows that pass, this many times as many are read next.
_MORE = 4


def resolved(mode: Mode | None, text: str, sort: str, vector: Vector | None, index: VectorIndex) -> Mode:
    """The mode of a search.

    Raises:
        InvalidValueError: *mode* is unknown, or the search lacks what it needs.
    """
    if mode not in (None, "words", "vectors", "hybrid"):
        raise InvalidValueError("mode is words, vectors or hybrid")
    if sort == "recent":
        if mode in ("vectors", "hybrid") or vector is not None:
            raise InvalidValueError("sort: vectors rank by meaning; sort by relevance, or search by words")
        return "words"
    if mode == "words" and vector is not None:
        raise InvalidValueError("vector: a search by words needs none; leave out mode or vector")
    if vector is not None and not text:
        return "vectors"
    if mode is None:
        has_function = index.embedder is not None and index.embedder.function is not None
        return "hybrid" if text and (vector is not None or has_function) else "words"
    if mode != "words" and not text:
        raise InvalidValueError(f"text: mode {mode!r} needs a text or a vector")
    return mode


@attrs.define(slots=False)
class Nearest:
    """The vector part of one search."""

    vectors: VectorIndex
    name: VectorTable
    index: Index
    text: str
    #: None: the application's function makes it of the text, when it is first needed.
    given: Vector | None

    @property
    def digest(self) -> str:
        """What a cursor of this search belongs to."""
        if self.given is None:
            return self.vectors.model
        try:
            numbers = [float(number) for number in self.given]
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidValueError("vector: a list of numbers is needed") from error
        packed = struct.pack(f"<{len(numbers)}d", *numbers)
        return f"{self.vectors.model} {hashlib.blake2b(packed, digest_size=16).hexdigest()}"

    @cached_property
    def _settings(self) -> VectorSettings | None:
        return self.vectors.settings(self.name)

    @cached_property
    def _query(self) -> Floats:
        from datastore.search.vectors import direction

        assert self._settings is not None
        dimensions = self._settings.dimensions or 0
        if self.given is not None:
            return direction(self.given, dimensions)
        assert self.vectors.embedder is not None
        (made,) = self.vectors.embedder([self.text])
        try:
            return direction(made, dimensions)
        except InvalidValueError as error:
            raise EmbeddingError(f"embed returned a wrong vector: {error}") from error

    def rank(self, required: Match, last: int, wanted: int) -> Ranking:
        """The nearest rows that match *required* and pass every filter, the nearest first.

        Args:
            required: The filters, as the index of words knows them.
            last: The last row to consider.
            wanted: The least number of rows to return, if that many pass.
        """
        if self._settings is None or self._settings.dimensions is None:
            return Ranking([], exact=True, whole=True)
        (counted,) = self.index.count(queries=Matches([required]), to_seq=last, max_rows=FEW)
        if counted.match_count <= FEW:
            found = self._compared(required, last)
            return Ranking(found[:wanted], exact=True, whole=len(found) <= wanted)
        share = min(1.0, counted.match_count / max(1, counted.stopped_seq or last))
        return self._probed(required, last, wanted, share)

    def _compared(self, required: Match, last: int) -> list[tuple[float, int]]:
        """Every row that passes, compared with the query."""
        from datastore.search.vectors import best, similarities

        passing = self.index.newest(required, last, FEW)
        seqs: list[int] = []
        scores: list[Floats] = []
        for first in range(0, len(passing), _READ):
            if rows := self.vectors.tables[self.name].of(seqs=passing[first : first + _READ]):
                seqs += [row.seq for row in rows]
                scores.append(similarities(self._query, [row.vector for row in rows]))
        return best(seqs, scores)

    def _probed(self, required: Match, last: int, wanted: int, share: float) -> Ranking:
        """The rows of the nearest cells, and of further ones until enough of them pass."""
        from datastore.search.vectors import best

        assert self._settings is not None
        cells = self.vectors.cells(self.name, self._settings)
        order = cells.by_distance(self._query)
        seqs: list[int] = []
        scores: list[Floats] = []
        passed: dict[int, bool] = {}
        done, wanted_cells = 0, cells.probes(share)
        while True:
            for cell in order[done:wanted_cells]:
                self._read(cell, seqs, scores)
            done = min(wanted_cells, len(order))
            found = self._passing(required, [pair for pair in best(seqs, scores) if pair[1] <= last], wanted, passed)
            if len(found) >= wanted or done == len(order):
                is_all = done == len(order)
                return Ranking(found, exact=is_all, whole=is_all and len(found) < wanted)
            wanted_cells *= _MORE

    def _read(self, cell: int, seqs: list[int], scores: list[Floats]) -> None:
        from datastore.search.vectors import similarities

        after, end = cell * CELL, (cell + 1) * CELL
        while rows := self.vectors.tables[self.name].page(after_place=after, before_place=end, max_rows=_READ):
            seqs += [row.seq for row in rows]
            scores.append(similarities(self._query, [row.vector for row in rows]))
            if len(rows) < _READ:
                break
            after = cell * CELL + rows[-1].seq

    def _passing(
        self, required: Match, ranked: Sequence[tuple[float, int]], wanted: int, passed: dict[int, bool]
    ) -> list[tuple[float, int]]:
        """The best *wanted* rows that pass; *passed* has those that were tested before."""
        found: list[tuple[float, int]] = []
        place = 0
        while place < len(ranked) and len(found) < wanted:
            part = ranked[place : place + max(_TESTED, wanted - len(found))]
            unknown = [seq for _, seq in part if seq not in passed]
            if unknown:
                matching = [row.seq for row in self.vectors.tables[self.name].matching(query=required, seqs=unknown)]
                passed.update(dict.fromkeys(unknown, False) | dict.fromkeys(self.index.passing(matching), True))
            found += [pair for pair in part if passed[pair[1]]]
            place += len(part)
        return found[:wanted]
