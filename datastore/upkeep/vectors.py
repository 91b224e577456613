"""``store.vectors``: makes the vectors that rows lack, changes the model, and tells how far the vectors are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from datastore.errors import EmbeddingError, InvalidValueError
from datastore.records.job_queue import Job, NewJob
from datastore.records.vectors import Embed, VectorStatus, VectorTable
from datastore.repositories.vector_index import text_of
from datastore.search.embedding import Embedder, require_numpy
from datastore.values import EMBED_TIMEOUT, check_text

if TYPE_CHECKING:
    from datastore.repositories import Repositories
    from datastore.repositories.vector_tables import UnembeddedRow

#: The type of the jobs that make vectors.
JOB_TYPE = "embed"

#: Texts per call of the application's function, unless the caller says otherwise.
BATCH = 64

#: Characters per call of the application's function, unless a single text is longer.
_CHARACTERS = 200_000

#: Texts in a row that the function refuses one by one before it counts as broken.
_REFUSED = 3

#: Called with a table's name and the number of vectors that this call has made for it.
Progress = Callable[[str, int], None]


class EmbeddingTask(Protocol):
    """What `Vectors.work` needs of a worker's task."""

    @property
    def cancel_requested(self) -> bool: ...

    def report(self, progress: object) -> None: ...


@attrs.frozen(kw_only=True)
class Embedded:
    """What a call of `Vectors.embed` did."""

    #: The number of vectors made, by table.
    made: dict[str, int]
    #: Whether every row had a vector at the end; False if *max_rows* or a cancellation ended the call.
    complete: bool


class _Refusals:
    """Texts that the function refused while it made vectors of others."""

    def __init__(self) -> None:
        self.count = 0
        self.in_a_row = 0
        self.first: EmbeddingError | None = None

    def add(self, error: EmbeddingError) -> None:
        self.count += 1
        self.in_a_row += 1
        self.first = self.first or error
        if error.lasting or self.in_a_row >= _REFUSED:
            raise error


class Vectors:
    """The vectors of learnings and messages.

    Args:
        parts: The repositories of the database.
    """

    def __init__(self, parts: Repositories) -> None:
        self._parts = parts
        self._index = parts.vectors

    def embed(
        self, *, batch: int = BATCH, max_rows: int | None = None, on_progress: Progress | None = None
    ) -> Embedded:
        """Make the vectors that rows lack, with the function that the store was opened with, and divide them if they are many.

        Each batch is a transaction of its own, and the function is called outside of it. So an interrupted call loses at most one
        batch; the next call continues. A text that changes while its vector is made gets none.

        Args:
            batch: Texts per call of the function; 1 to 1000.
            max_rows: Stop after this many texts; None: all.
            on_progress: Called after each batch.

        Raises:
            EmbeddingError: The function failed. If it refuses single texts, the others are embedded first. All vectors made before
                are kept.
            InvalidValueError: The store was opened without a function, or the database has the vectors of another model.
            TransactionError: Inside a transaction.
        """
        return self._embed(batch, max_rows, on_progress or (lambda *_: None), lambda: False)

    def work(self, task: EmbeddingTask) -> dict[str, int]:
        """The handler of the jobs that `enqueue` adds: ``Worker(store, {"embed": store.vectors.work})``.

        Returns:
            The job's result: the number of vectors made, by table.

        Raises:
            EmbeddingError: See `embed`; the job is tried again later.
        """

        def report(table: str, made: int) -> None:
            task.report({table: made})

        return self._embed(BATCH, None, report, lambda: task.cancel_requested).made

    def enqueue(self) -> Job:
        """Add a job that makes the vectors that rows lack, unless one is waiting. Call it after writing, or from time to time."""
        (job,) = self._parts.jobs.enqueue_many([NewJob(type=JOB_TYPE, payload={}, dedupe_key=JOB_TYPE)])
        return job

    def change_model(
        self, embed: Embed | None, embed_model: str, *, embed_timeout: float | None = EMBED_TIMEOUT
    ) -> bool:
        """Delete all vectors of the present model and use another one; then `embed` makes the new vectors.

        Open the store without *embed_model* for it. The deletion is one transaction. Rows are found by words until they have a new
        vector. Vectors of two models are never stored together: other processes that still use the old model get InvalidValueError
        when they search by vectors or store one. If `embed` is interrupted, its next call continues.

        Returns:
            Whether vectors were deleted.

        Raises:
            InvalidValueError: A value is out of range.
            UnsupportedError: numpy is not installed.
        """
        require_numpy()
        return self._index.change_model(Embedder(check_text(embed_model, "embed_model"), embed, embed_timeout))

    def status(self) -> Sequence[VectorStatus]:
        """The model, and the numbers of rows with and without a vector, by table. It reads every row number."""
        return [self._index.status(name) for name in self._index.tables]

    def _embed(self, batch: int, max_rows: int | None, tell: Progress, is_cancelled: Callable[[], bool]) -> Embedded:
        given: object = batch
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 1000:
            raise InvalidValueError("batch must be 1 to 1000")
        self._parts.engine.reading("embedding")
        self._index.check_model()
        made: dict[str, int] = dict.fromkeys(self._index.tables, 0)
        refused = _Refusals()
        done, stopped = 0, False
        for name in self._index.tables:
            after = 0
            while not stopped:
                room = batch if max_rows is None else min(batch, max_rows - done)
                if is_cancelled() or room <= 0:
                    stopped = True
                    break
                rows = _within(self._index.unembedded(name, after, room))
                if not rows:
                    break
                made[name] += self._batch(name, rows, refused)
                after, done = rows[-1].seq, done + len(rows)
                tell(name, made[name])
            if not stopped:
                self._index.divide(name)
        if refused.first is not None:
            raise EmbeddingError(
                f"embed refused {refused.count} of {done} texts; the others have vectors"
            ) from refused.first
        return Embedded(made=made, complete=not stopped)

    def _batch(self, name: VectorTable, rows: Sequence[UnembeddedRow], refused: _Refusals) -> int:
        """Make and store the vectors of some rows; if the function refuses them together, one by one."""
        try:
            stored = self._index.store_present(name, rows, self._index.embedded(name, [text_of(row) for row in rows]))
            refused.in_a_row = 0
            return stored
        except EmbeddingError as error:
            if error.lasting or len(rows) == 1:
                refused.add(error)
                return 0
        return sum(self._batch(name, [row], refused) for row in rows)


def _within(rows: Sequence[UnembeddedRow]) -> Sequence[UnembeddedRow]:
    """The first of some rows whose texts together are not too long for one call; at least one."""
    size = 0
    for place, row in enumerate(rows):
        size += len(row.content)
        if place and size > _CHARACTERS:
            return rows[:place]
    return rows
