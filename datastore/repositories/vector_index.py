"""The vectors of learnings and messages: storing them, finding the rows that lack one, dividing them into cells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from datastore.engines.base import Engine
from datastore.errors import EmbeddingError, InvalidValueError
from datastore.records.learnings import NewLearning
from datastore.records.messages import NewMessage
from datastore.records.vectors import StoredVector, Vector, VectorSettings, VectorStatus, VectorTable
from datastore.repositories.base import Repository
from datastore.repositories.vector_tables import ContentRow, Table, UnembeddedRow, VectorRow, tables_of
from datastore.search.embedding import Embedder, require_numpy, text_hash
from datastore.values import check_text

New = TypeVar("New", bound=NewLearning | NewMessage)

if TYPE_CHECKING:
    from datastore.search.vectors import Bytes, Cells
    from datastore.statements.typed.vectors import VectorsStatements

#: A place is a cell times this, plus a row number.
CELL = 2**40

#: Vectors read per statement, and moved per transaction.
_READ, _MOVED = 5000, 1000

#: Texts compared per statement.
_COMPARED = 500


class VectorIndex(Repository):
    """The tables *vector_indexes*, *vector_cells*, *learning_vectors* and *message_vectors*."""

    _statements: VectorsStatements

    def __init__(
        self,
        statements: Any,
        engine: Engine,
        *,
        new_id: Callable[[], str],
        embedder: Embedder | None = None,
    ) -> None:
        super().__init__(statements, engine, new_id=new_id)
        self.embedder = embedder
        self.tables = tables_of(statements)
        #: By table: the settings that the cells were read with, and the cells.
        self._cells: dict[VectorTable, tuple[VectorSettings, Cells]] = {}

    # The model.

    @property
    def model(self) -> str:
        """The name of the store's model.

        Raises:
            InvalidValueError: The store was opened without one.
        """
        if self.embedder is None:
            raise InvalidValueError("vectors: open the store with embed_model=, the name of the model that makes them")
        return self.embedder.model

    def check_model(self) -> None:
        """Compare the store's model with the database's.

        Raises:
            InvalidValueError: The database has the vectors of another model.
        """
        for name in self.tables:
            self.settings(name)

    def settings(self, name: VectorTable, *, lock: bool = False) -> VectorSettings | None:
        """The settings of a table's vectors; None if there are none yet.

        Raises:
            InvalidValueError: They are of another model than the store's.
        """
        do = self._statements
        found = do.lock_vector_index(name=name) if lock else do.get_vector_index(name=name)
        if found is not None and found.model != self.model:
            raise InvalidValueError(
                f"embed_model: this database has the vectors of {found.model!r}, which cannot be compared with those of"
                f" {self.model!r}; open it with embed_model={found.model!r}, or change the model: datastore embed"
                " --change-model (docs/search.md)"
            )
        return found

    def change_model(self, embedder: Embedder) -> bool:
        """Delete the vectors of another model, in one transaction; returns whether there were any."""
        changed = False
        with self._engine.transaction():
            for table in self.tables.values():
                found = self._statements.get_vector_index(name=table.name)
                if found is None or found.model == embedder.model:
                    continue
                changed = True
                self._statements.change_vector_model(name=table.name, model=embedder.model)
                self._statements.delete_vector_cells(name=table.name, before_generation=found.generation + 1)
                table.clear()
        self.embedder = embedder
        return changed

    # Storing.

    def embedded(self, name: VectorTable, texts: list[str]) -> Sequence[Vector]:
        """The vectors that the application's function makes of some texts; outside a transaction, because it may take long.

        Raises:
            EmbeddingError: The function failed, or made a wrong vector.
            InvalidValueError: The store was opened without a function, or the database has the vectors of another model.
            TransactionError: Inside a transaction, which would make all writers wait for the model.
        """
        from datastore.search.vectors import checked

        self._engine.reading("embedding a text (give its vector instead)")
        if self.embedder is None:
            raise InvalidValueError("embed: open the store with embed= and embed_model=")
        dimensions = self._dimensions(name, self.settings(name))
        found = self.embedder([check_text(text, "content") for text in texts])
        try:
            checked(found, dimensions)
        except InvalidValueError as error:
            raise EmbeddingError(f"embed returned a wrong vector: {error}") from error
        return found

    def with_vectors(self, name: VectorTable, given: Sequence[New], *, every: bool) -> Sequence[New]:
        """New rows with the vectors that the application's function makes for those that ask for it; given vectors stay.

        Args:
            name: Their table.
            given: The rows.
            every: Whether all rows ask for it.

        Raises:
            EmbeddingError, InvalidValueError, TransactionError: See `embedded`; or a message is partial.
        """
        asking = [row for row in given if every or row.embed_now or row.vector is not None]
        if any(isinstance(row, NewMessage) and row.partial for row in asking):
            raise InvalidValueError("vector: a message that is still being written has none; it is made after `finish`")
        lacking = [row for row in asking if row.vector is None and row.embedded_text]
        if not lacking:
            return given
        made = dict(zip(map(id, lacking), self.embedded(name, [row.embedded_text for row in lacking]), strict=True))
        return [attrs.evolve(row, vector=made.get(id(row), row.vector)) for row in given]

    def store(self, name: VectorTable, texts: Sequence[tuple[str, str]], vectors: Sequence[Vector]) -> None:
        """Store the vectors of some texts, in a transaction that has stored or locked their rows.

        Args:
            name: The table.
            texts: The id and the text of each row.
            vectors: A vector for each.

        Raises:
            InvalidValueError: A vector is wrong, or the database has the vectors of another model.
        """
        if not texts:
            return  # before numpy is needed: an installation without it has no vectors
        from datastore.search.vectors import packed

        model, do, table = self.model, self._statements, self.tables[name]
        settings = self.settings(name, lock=True)
        rows = packed(vectors, self._dimensions(name, settings))
        dimensions = rows.shape[1]
        if settings is None or settings.dimensions is None:
            do.add_vector_index(name=name, model=model, dimensions=dimensions)
            settings = self.settings(name, lock=True)
            if settings is None or settings.dimensions != dimensions:
                raise InvalidValueError("vector: another connection has just stored vectors of another length")
        cells = self.cells(name, settings).assign(rows)
        if len(texts) == 1:
            ((id, text),) = texts
            table.add_one(id=id, cell=cells[0], text_hash=text_hash(text), vector=rows.tobytes())
            return
        entries: list[list[str | int]] = [
            [id, cell, text_hash(text)] for (id, text), cell in zip(texts, cells, strict=True)
        ]
        table.add(rows=entries, vectors=rows.tobytes(), dimensions=dimensions)

    def _dimensions(self, name: VectorTable, settings: VectorSettings | None) -> int | None:
        """The length of the model's vectors; None if no table has one yet."""
        if settings is not None and settings.dimensions is not None:
            return settings.dimensions
        others = (self.settings(other) for other in self.tables if other != name)
        return next((found.dimensions for found in others if found is not None), None)

    def store_present(self, name: VectorTable, rows: Sequence[ContentRow], vectors: Sequence[Vector]) -> int:
        """Store the vectors of texts that were read before; not of those that have changed or gone since.

        Returns:
            The number of vectors stored.
        """
        with self._engine.transaction():
            present = {row.id: text_of(row) for row in self.tables[name].lock(ids=[row.id for row in rows])}
            pairs = [
                (row.id, text_of(row), vector)
                for row, vector in zip(rows, vectors, strict=True)
                if present.get(row.id) == text_of(row)
            ]
            self.store(name, [(id, text) for id, text, _ in pairs], [vector for *_, vector in pairs])
            return len(pairs)

    def cells(self, name: VectorTable, settings: VectorSettings) -> Cells:
        """The centroids of a table; read again after they have changed."""
        known = self._cells.get(name)
        if known is not None and known[0] == settings:
            return known[1]
        from datastore.search.vectors import Cells

        rows: list[tuple[int, int, bytes]] = []
        while page := self._statements.list_vector_cells(
            name=name, after_cell=rows[-1][0] if rows else 0, max_rows=1000
        ):
            rows += [(row.cell, row.generation, row.centroid) for row in page]
        found = Cells.of(rows, settings.generation)
        self._cells[name] = (settings, found)
        return found

    # What is missing or wrong.

    def unembedded(self, name: VectorTable, after: int, max_rows: int) -> Sequence[UnembeddedRow]:
        """Rows without a vector, by row number."""
        return self.tables[name].unembedded(after_seq=after, max_rows=max_rows)

    def status(self, name: VectorTable) -> VectorStatus:
        """How far the vectors of a table are."""
        settings = self._statements.get_vector_index(name=name)
        missing, after = 0, 0
        while rows := self.unembedded(name, after, 1000):
            missing, after = missing + len(rows), rows[-1].seq
        cells = self._statements.list_vector_cells(name=name, after_cell=0, max_rows=5000)
        return VectorStatus(
            table=name,
            model=None if settings is None else settings.model,
            dimensions=None if settings is None else settings.dimensions,
            embedded=self.tables[name].count(),
            missing=missing,
            cells=max(1, len(cells)),
        )

    def outdated(self, name: VectorTable) -> Iterator[tuple[int, str]]:
        """The row numbers and ids of vectors of another text than the present one: another program wrote past the triggers."""
        after = 0
        while rows := self.tables[name].texts(after_seq=after, max_rows=_COMPARED):
            yield from ((row.seq, row.id) for row in rows if row.text_hash != text_hash(text_of(row)))
            after = rows[-1].seq

    def strays(self, name: VectorTable) -> Iterator[int]:
        """The row numbers of vectors that no search can use: they are in no cell, or of another length than the model's."""
        after = 0
        while rows := self.tables[name].strays(after_seq=after, max_rows=1000):
            yield from (row.seq for row in rows)
            after = rows[-1].seq

    def stored(self, name: VectorTable, ids: Sequence[str]) -> Iterator[StoredVector]:
        """The vectors of some ids."""
        for first in range(0, len(ids), 1000):
            for row in self.tables[name].by_id(ids=ids[first : first + 1000]):
                yield StoredVector(table=name, id=row.id, vector=tuple(memoryview(row.vector).cast("b")))

    # Dividing.

    def rebuild(self) -> None:
        """Delete the vectors that `verify` reports, and divide the others again; part of `Datastore.reindex`."""
        for name, table in self.tables.items():
            for seq in [*self.strays(name), *(seq for seq, _ in self.outdated(name))]:
                table.delete(seq=seq)
            if table.count():
                require_numpy()
                self.divide(name, again=True)

    def divide(self, name: VectorTable, *, again: bool = False) -> None:
        """Divide the vectors into cells if they have become four times as many, and finish what an earlier call began.

        Each step is a transaction of its own: searches and writers go on, and an interrupted division is continued by the next call.

        Args:
            name: The table.
            again: Divide them in any case.
        """
        from datastore.search.vectors import GROWTH, SMALL, cell_count, centroids_of

        settings = self._statements.get_vector_index(name=name)
        if settings is None or settings.dimensions is None:
            return
        table = self.tables[name]
        self._move(table, settings)
        count = table.count()
        if count < SMALL or not (again or count >= GROWTH * settings.trained_rows):
            return
        centroids = centroids_of(self._sample(table, count, settings.dimensions), cell_count(count))
        with self._engine.transaction():
            present = self._statements.lock_vector_index(name=name)
            if present != settings:
                return  # another process has divided them meanwhile
            numbers = self.cells(name, settings).numbers.tolist()
            first = max(numbers, default=0) + 1
            self._statements.set_vector_generation(name=name, generation=settings.generation + 1, trained_rows=0)
            for number, centroid in enumerate(centroids, first):
                self._statements.add_vector_cell(
                    name=name, cell=number, generation=settings.generation + 1, centroid=centroid
                )
        found = self._statements.get_vector_index(name=name)
        if found is not None:
            self._move(table, found)

    def _move(self, table: Table, settings: VectorSettings) -> None:
        """Move the vectors of earlier generations to the cells of the present one, and delete the earlier cells."""
        cells = self.cells(table.name, settings)
        earlier = cells.earlier if len(cells.numbers) else []
        if settings.trained_rows or not earlier:
            return
        for cell in earlier:
            while True:
                with self._engine.transaction():
                    if self._statements.lock_vector_index(name=table.name) != settings:
                        return
                    rows = table.page(after_place=cell * CELL, before_place=(cell + 1) * CELL, max_rows=_MOVED)
                    if rows:
                        places = cells.assign(self._unpacked(rows, settings))
                        moved = [[row.seq, place] for row, place in zip(rows, places, strict=True)]
                        table.move(rows=moved)
                if len(rows) < _MOVED:
                    break
        with self._engine.transaction():
            if self._statements.lock_vector_index(name=table.name) == settings:
                self._statements.set_vector_generation(
                    name=table.name, generation=settings.generation, trained_rows=max(1, table.count())
                )
                self._statements.delete_vector_cells(name=table.name, before_generation=settings.generation)

    def _unpacked(self, rows: Sequence[VectorRow], settings: VectorSettings) -> Bytes:
        from datastore.search.vectors import unpacked

        return unpacked([row.vector for row in rows], settings.dimensions or 1)

    def _sample(self, table: Table, count: int, dimensions: int) -> Bytes:
        """Vectors spread over all of them."""
        from datastore.search.vectors import sample_size, unpacked

        step = max(1, count // sample_size(count))
        return unpacked([row.vector for row in itertools.islice(self._all(table), 0, None, step)], dimensions)

    def _all(self, table: Table) -> Iterator[VectorRow]:
        for cell in self._numbers(table):
            after = cell * CELL
            while rows := table.page(after_place=after, before_place=(cell + 1) * CELL, max_rows=_READ):
                yield from rows
                after = cell * CELL + rows[-1].seq

    def _numbers(self, table: Table) -> list[int]:
        settings = self._statements.get_vector_index(name=table.name)
        return [0] if settings is None else [0, *self.cells(table.name, settings).numbers.tolist()]


def text_of(row: ContentRow) -> str:
    """The text that a row's vector is of: a learning's title and content, or a message's content."""
    title: str | None = getattr(row, "title", None)
    return row.content if title is None else f"{title}\n{row.content}"
