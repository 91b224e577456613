"""Vectors without a database: checking, packing, dividing into cells, comparing. The only module that imports numpy.

A stored vector is a list of 8-bit integers, of which only the direction counts. Vectors are divided into cells by the nearest of
some centroids (an inverted file), so that a search compares a query with the centroids and with the vectors of the nearest cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from datastore.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datastore.records.vectors import Vector

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Bytes = NDArray[np.int8]

#: The longest vector.
MAX_DIMENSIONS = 8192

#: The number of nearest cells that a search reads first.
PROBES = 24

#: Fewer vectors than this are one cell.
SMALL = 5_000

#: Vectors are divided again when they have become this many times more.
GROWTH = 4

#: The largest number of cells; and the number of vectors for each of them that the centroids are computed from.
_MOST_CELLS, _SAMPLE = 4096, 32

#: A cell of the sample with fewer vectors is dropped: a centroid is never the vector of one text.
_FEWEST = 4

#: Rounds of k-means. More gain nothing that was measured (docs/decisions/0021-vectors.md).
_ROUNDS = 8

#: Vectors that are compared with all centroids at a time.
_TOGETHER = 4096

#: Shorter vectors than this have no direction.
_SHORTEST = 1e-30


def checked(vectors: Iterable[Vector], dimensions: int | None = None) -> tuple[Doubles, Doubles]:
    """Vectors as the rows of a matrix, and the greatest magnitude in each row.

    Args:
        vectors: The vectors.
        dimensions: Their length, or None if it is not known yet.

    Raises:
        InvalidValueError: They are not lists of numbers, differ in length, or one has no direction (zero, NaN, infinite).
    """
    try:
        found: Doubles = np.asarray(vectors if isinstance(vectors, np.ndarray) else list(vectors), dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidValueError("vector: a list of numbers is needed, and the same length for all") from error
    if found.ndim != 2 or not 1 <= found.shape[1] <= MAX_DIMENSIONS:
        raise InvalidValueError(f"vector: a list of 1 to {MAX_DIMENSIONS} numbers is needed")
    if dimensions is not None and found.shape[1] != dimensions:
        raise InvalidValueError(
            f"vector: the vectors of this database have {dimensions} dimensions, this one has {found.shape[1]}"
        )
    peaks: Doubles = np.abs(found).max(axis=1, keepdims=True)
    if not ((peaks > _SHORTEST) & (peaks < np.inf)).all():  # a NaN compares as false
        raise InvalidValueError("vector: NaN, infinite and zero vectors have no direction")
    return found, peaks


def packed(vectors: Iterable[Vector], dimensions: int | None = None) -> Bytes:
    """Vectors as they are stored, one per row.

    Raises:
        InvalidValueError: See `checked`.
    """
    found, peaks = checked(vectors, dimensions)
    result: Bytes = np.rint(found * (127.0 / peaks)).astype(np.int8)
    return result


def unpacked(blobs: Sequence[bytes], dimensions: int) -> Bytes:
    """Stored vectors as the rows of a matrix; those of another length (written by another program) become zeros."""
    if any(len(blob) != dimensions for blob in blobs):
        blobs = [blob if len(blob) == dimensions else bytes(dimensions) for blob in blobs]
    return np.frombuffer(b"".join(blobs), dtype=np.int8).reshape(len(blobs), dimensions)


def direction(vector: Vector, dimensions: int) -> Floats:
    """The vector of a query, of length 1.

    Raises:
        InvalidValueError: See `checked`.
    """
    rows, peaks = checked([vector], dimensions)
    found = rows[0] / peaks[0]
    result: Floats = (found / np.sqrt(found @ found)).astype(np.float32)
    return result


def similarities(query: Floats, blobs: Sequence[bytes]) -> Floats:
    """The cosine of a query's vector with each of some stored vectors."""
    rows = unpacked(blobs, len(query)).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    result: Floats = (rows @ query) / np.maximum(lengths, 1e-9)
    return result


@attrs.frozen(eq=False)
class Cells:
    """The centroids of an index."""

    #: The cells' numbers.
    numbers: NDArray[np.int64]
    #: Their generations.
    generations: NDArray[np.int64]
    #: One centroid per row, each of length 1.
    centroids: Floats
    #: The generation that new vectors belong to.
    generation: int
    #: The numbers and centroids of the present generation.
    present: tuple[NDArray[np.int64], Floats]

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, bytes]], generation: int) -> Cells:
        """The cells with these numbers, generations and centroids."""
        found = [np.frombuffer(row[2], dtype="<f2") for row in rows]
        numbers = np.array([row[0] for row in rows], dtype=np.int64)
        generations = np.array([row[1] for row in rows], dtype=np.int64)
        centroids = np.array(found, dtype=np.float32) if found else np.zeros((0, 1), dtype=np.float32)
        mine = generations == generation
        present = (numbers, centroids) if mine.all() else (numbers[mine], centroids[mine])
        return cls(numbers, generations, centroids, generation, present)

    @property
    def earlier(self) -> list[int]:
        """The cells whose vectors have to move to those of the present generation."""
        if not len(self.present[0]):
            return []
        return [0, *map(int, self.numbers[self.generations < self.generation])]

    def assign(self, rows: Bytes) -> list[int]:
        """The cell of each vector in the present generation; 0 if that is not divided."""
        numbers, centroids = self.present
        if not len(numbers):
            return [0] * len(rows)
        found: list[int] = []
        for first in range(0, len(rows), _TOGETHER):
            found += numbers[_nearest(rows[first : first + _TOGETHER].astype(np.float32), centroids)].tolist()
        return found

    def by_distance(self, query: Floats) -> list[int]:
        """All cells, the nearest first; cell 0 has no centroid and is the first one."""
        if not len(self.numbers):
            return [0]
        return [0, *self.numbers[np.argsort(-(self.centroids @ query), kind="stable")].tolist()]

    def probes(self, share: float) -> int:
        """The number of cells that a search reads first.

        Args:
            share: The share of all rows that pass its filters: the fewer pass, the farther away are the nearest of them.
        """
        return 1 + int(PROBES * len(np.unique(self.generations)) * share**-0.75)


def _nearest(rows: Floats, centroids: Floats) -> NDArray[np.intp]:
    found: NDArray[np.intp] = (
        (centroids @ rows[0]).argmax(keepdims=True) if len(rows) == 1 else (rows @ centroids.T).argmax(axis=1)
    )
    return found


def cell_count(rows: int) -> int:
    """The number of cells for this many vectors."""
    return 0 if rows < SMALL else min(_MOST_CELLS, int(2 * rows**0.5))


def sample_size(rows: int) -> int:
    """The number of vectors that the centroids are computed from."""
    return min(rows, _SAMPLE * cell_count(rows))


def centroids_of(sample: Bytes, count: int) -> list[bytes]:
    """Centroids as they are stored: spherical k-means of a sample.

    Args:
        sample: Stored vectors.
        count: Their number; a few less are returned if some would have hardly any vector.
    """
    pick = np.random.default_rng(len(sample))
    centroids = _unit(sample[pick.choice(len(sample), count, replace=False)].astype(np.float32))
    sizes = np.ones(count, dtype=np.int64)
    for _ in range(_ROUNDS):
        sums, sizes = np.zeros_like(centroids), np.zeros(count, dtype=np.int64)
        for first in range(0, len(sample), _TOGETHER):
            rows = _unit(sample[first : first + _TOGETHER].astype(np.float32))
            nearest = _nearest(rows, centroids)
            order = np.argsort(nearest, kind="stable")
            cells, starts = np.unique(nearest[order], return_index=True)
            sums[cells] += np.add.reduceat(rows[order], starts, axis=0)
            sizes += np.bincount(nearest, minlength=count)
        empty = np.flatnonzero(sizes == 0)
        sums[empty] = sample[pick.choice(len(sample), len(empty))]
        centroids = _unit(sums)
    kept = centroids[sizes >= _FEWEST]
    return [row.astype("<f2").tobytes() for row in kept]


def _unit(rows: Floats) -> Floats:
    result: Floats = rows / np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1e-9)[:, None]
    return result


def best(seqs: Sequence[int], scores: Sequence[Floats]) -> list[tuple[float, int]]:
    """Rows by their score, best first, the newest first among equals."""
    if not seqs:
        return []
    numbers, found = np.array(seqs, dtype=np.int64), np.concatenate(scores)
    order = np.lexsort((-numbers, -found))
    return list(zip(found[order].tolist(), numbers[order].tolist(), strict=True))
