"""The statements of the vectors of one table: learnings and messages have the same ones under other names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from datastore.records.vectors import VectorTable
from datastore.search.matching import Match

if TYPE_CHECKING:
    from datastore.statements.typed.vectors import VectorsStatements


class SeqRow(Protocol):
    """A row number."""

    @property
    def seq(self) -> int: ...


class VectorRow(SeqRow, Protocol):
    """A row number and its vector."""

    @property
    def vector(self) -> bytes: ...


class IdVectorRow(Protocol):
    """An id and its vector."""

    @property
    def id(self) -> str: ...

    @property
    def vector(self) -> bytes: ...


class ContentRow(Protocol):
    """A text."""

    @property
    def id(self) -> str: ...

    @property
    def content(self) -> str: ...


class UnembeddedRow(ContentRow, SeqRow, Protocol):
    """A text without a vector."""


class HashedRow(UnembeddedRow, Protocol):
    """A text, and the hash of the text that its vector is of."""

    @property
    def text_hash(self) -> str: ...


class _Page(Protocol):
    def __call__(self, *, after_place: int, before_place: int, max_rows: int) -> Sequence[VectorRow]: ...


class _After(Protocol):
    def __call__(self, *, after_seq: int, max_rows: int) -> Sequence[UnembeddedRow]: ...


class _Strays(Protocol):
    def __call__(self, *, after_seq: int, max_rows: int) -> Sequence[SeqRow]: ...


class _Texts(Protocol):
    def __call__(self, *, after_seq: int, max_rows: int) -> Sequence[HashedRow]: ...


class _Add(Protocol):
    def __call__(self, *, rows: list[list[str | int]], vectors: bytes, dimensions: int) -> int: ...


class _AddOne(Protocol):
    def __call__(self, *, id: str, cell: int, text_hash: str, vector: bytes) -> int: ...


class _Move(Protocol):
    def __call__(self, *, rows: list[list[int]]) -> int: ...


class _OfSeqs(Protocol):
    def __call__(self, *, seqs: Sequence[int]) -> Sequence[VectorRow]: ...


class _ByIds(Protocol):
    def __call__(self, *, ids: Sequence[str]) -> Sequence[IdVectorRow]: ...


class _Matching(Protocol):
    def __call__(self, *, query: Match, seqs: Sequence[int]) -> Sequence[SeqRow]: ...


class _Lock(Protocol):
    def __call__(self, *, ids: Sequence[str]) -> Sequence[ContentRow]: ...


class _Delete(Protocol):
    def __call__(self, *, seq: int) -> int: ...


@attrs.frozen(kw_only=True)
class Table:
    """The statements of one table."""

    name: VectorTable
    add: _Add
    #: The same for one row, which is faster.
    add_one: _AddOne
    move: _Move
    #: Vectors between two places.
    page: _Page
    #: The vectors of some rows.
    of: _OfSeqs
    #: The vectors of some ids.
    by_id: _ByIds
    #: The rows of a list that match a query.
    matching: _Matching
    unembedded: _After
    #: The texts with a vector, each with the hash of the text that the vector is of.
    texts: _Texts
    #: The present texts of some ids, locked.
    lock: _Lock
    count: Callable[[], int]
    #: The rows whose vectors are in no cell or of another length.
    strays: _Strays
    delete: _Delete
    clear: Callable[[], int]


def tables_of(do: VectorsStatements) -> dict[VectorTable, Table]:
    """The statements of each table."""
    learnings = Table(
        name="learnings",
        add=do.add_learning_vectors,
        add_one=do.add_learning_vector,
        move=do.move_learning_vectors,
        page=do.list_learning_vectors,
        of=do.list_vectors_of_learnings,
        by_id=do.list_vectors_by_learning_id,
        matching=do.list_matching_learnings,
        unembedded=do.list_unembedded_learnings,
        texts=do.list_embedded_learnings,
        lock=do.lock_learning_texts,
        count=do.count_learning_vectors,
        strays=do.list_stray_learning_vectors,
        delete=do.delete_learning_vector,
        clear=do.clear_learning_vectors,
    )
    messages = Table(
        name="messages",
        add=do.add_message_vectors,
        add_one=do.add_message_vector,
        move=do.move_message_vectors,
        page=do.list_message_vectors,
        of=do.list_vectors_of_messages,
        by_id=do.list_vectors_by_message_id,
        matching=do.list_matching_messages,
        unembedded=do.list_unembedded_messages,
        texts=do.list_embedded_messages,
        lock=do.lock_message_texts,
        count=do.count_message_vectors,
        strays=do.list_stray_message_vectors,
        delete=do.delete_message_vector,
        clear=do.clear_message_vectors,
    )
    return {"learnings": learnings, "messages": messages}
