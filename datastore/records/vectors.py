"""Vectors (embeddings): what an application gives, and what the store tells about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol, SupportsFloat

import attrs

#: The tables that have vectors.
VectorTable = Literal["learnings", "messages"]


class Vector(Protocol):
    """A list of numbers: a list, a tuple, a numpy array, a row of a tensor. Only its direction counts."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[SupportsFloat]: ...


#: The application's function: a vector for each text of a list, in order.
Embed = Callable[[list[str]], Iterable[Vector]]


@attrs.frozen(kw_only=True)
class VectorSettings:
    """One row of *vector_indexes*, without its name."""

    #: The application's name for the model that made all vectors.
    model: str
    #: The length of a vector; None until the first one of a new model is stored.
    dimensions: int | None
    #: Counts the divisions into cells and the changes of the model.
    generation: int
    #: Number of vectors when they were last divided; 0: never, or they are just being divided.
    trained_rows: int


@attrs.frozen(kw_only=True)
class StoredVector:
    """The stored vector of a learning or a message, for disclosure."""

    table: VectorTable
    #: The id of the learning or message.
    id: str
    #: 8-bit integers; only their direction counts.
    vector: tuple[int, ...] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class VectorStatus:
    """How far the vectors of a table are."""

    table: VectorTable
    #: None: no vector has been stored.
    model: str | None
    dimensions: int | None
    #: Number of vectors.
    embedded: int
    #: Number of rows that are not hidden and have no vector; a search finds them by words.
    missing: int
    #: Number of cells; a small index has one.
    cells: int
