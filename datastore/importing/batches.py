"""Batches of an import: one transaction each; if an item is refused, each item of the batch is stored separately."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datastore.errors import ConstraintError, ImportFileError, InvalidValueError, NotFoundError, UniqueError
from datastore.formats import (
    BadLine,
    Ignored,
    ImportedConversation,
    ImportedLearning,
    Item,
    Source,
    TextSource,
    open_sources,
    read_source,
)
from datastore.importing.conversations import ConversationImport
from datastore.importing.learnings import LearningImport
from datastore.importing.report import ImportReport
from datastore.importing.target import Target

if TYPE_CHECKING:
    from datastore.store import Datastore

#: Items, or messages, per transaction; and items that are not stored, until they are reported.
BATCH_ITEMS = 200
BATCH_MESSAGES = 2_000
BATCH_OTHERS = 10_000

#: Errors that make one item bad. All others (a full disk, a lost lock) end the import.
_of_the_item = (ConstraintError, InvalidValueError, NotFoundError)

#: Called after each batch: bytes read, size of the file (of a pipe: bytes read so far), the report so far.
Progress = Callable[[int, int, ImportReport], None]

#: Called with the name of a file and its report, when it is done. An archive and a directory have several.
Done = Callable[[str, ImportReport], None]


class _Undo(Exception):
    """Ends a rehearsal."""


@contextmanager
def rehearsal(store: Datastore) -> Iterator[None]:
    """Undo everything that is stored inside the block, at its end. It is one transaction: others cannot write meanwhile."""
    try:
        with store.transaction():
            yield
            raise _Undo
    except _Undo:
        pass


def import_file(
    store: Datastore,
    path: str | os.PathLike[str] | TextSource,
    *,
    sanitization_version: str,
    format: str = "auto",
    fields: Mapping[str, str] | None = None,
    conversation_id: str | None = None,
    include_erased: bool = False,
    replace_invalid: bool = False,
    dry_run: bool = False,
    on_progress: Progress | None = None,
    on_bad: Callable[[BadLine], None] | None = None,
    on_file: Done | None = None,
) -> ImportReport:
    """Store the conversations and learnings of a file, in batches of one transaction each; importing it twice is a no-op.

    What is stored is left unchanged. Messages that a stored conversation lacks are appended; if the file has another history, it
    becomes a branch, which is then the active one.

    Args:
        store: The store to import into.
        path: A file, a pipe, "-" (standard input), a ZIP archive or a directory; files may be gzip'd. Or the result of
            `open_text`, which is closed at the end.
        sanitization_version: The version of the sanitization that the text went through, for lines that do not give one.
        format: The file's format (docs/import.md); "auto" detects it by the first record that has the shape of one.
        fields: For learnings: field to the file's name for it, ``{"category": "topic"}``.
        conversation_id: The conversation of learnings that name none; None: one is created for the file.
        include_erased: Import again what was erased on request, and lift its tombstones; otherwise it is skipped.
        replace_invalid: Replace bytes that are not text, NUL characters and lone surrogates, instead of refusing what has them.
        dry_run: Only report what would be stored; all of it is undone. Others cannot write meanwhile.
        on_progress: See `Progress`.
        on_bad: Called with each bad line, once its batch is committed.
        on_file: See `Done`.

    Raises:
        ImportFileError: The file cannot be read, or its format is unknown. In an archive or a directory, such a file is a bad line.
        InvalidValueError: *fields* or *format* is wrong.
        TransactionError, DatabaseError: The database failed; earlier batches are kept.
    """
    if not 1 <= len(sanitization_version) <= 100:
        raise InvalidValueError("sanitization_version: 1 to 100 characters are needed")

    def run() -> ImportReport:
        name = path.name if isinstance(path, TextSource) else os.fsdecode(path)
        sources: Iterator[Source] = (
            iter([path]) if isinstance(path, TextSource) else open_sources(path, replace_invalid=replace_invalid)
        )
        total = ImportReport()
        for source in sources:
            target = Target(
                store=store,
                file=source.name,
                kind=format,
                sanitization_version=sanitization_version,
                include_erased=include_erased,
                dry_run=dry_run,
            )
            importing = _Import(target, conversation_id, source, on_progress, on_bad)
            try:
                importing.run(format, fields)
            except ImportFileError as error:
                if source.name == name:
                    raise
                importing.unreadable(error)
            total.add(importing.report)
            if source.name == name:
                total.format, total.reason = importing.report.format, importing.report.reason
            if on_file is not None:
                on_file(source.name, importing.report)
        return total

    try:
        with store.engine.events.operation("import") as counts:
            if dry_run:
                with rehearsal(store):
                    done = [run()]
            else:
                done = [run()]
            counts |= {name: getattr(done[0], name) for name in ("conversations", "messages", "learnings")}
        return done[0]
    finally:
        if isinstance(path, TextSource):
            path.close()


class _Import:
    """One import of a file: its batches and their combined report."""

    def __init__(
        self,
        target: Target,
        conversation_id: str | None,
        source: Source,
        on_progress: Progress | None,
        on_bad: Callable[[BadLine], None] | None,
    ) -> None:
        self.report = ImportReport()
        self._target = target
        self._source = source
        self._on_progress = on_progress
        self._on_bad = on_bad
        self._learnings = LearningImport(target, conversation_id)
        self._conversations = ConversationImport(target, self._learnings)
        self._replaced = 0

    def run(self, format: str, fields: Mapping[str, str] | None) -> None:
        """Read the file and store its items."""
        found, items = read_source(self._source, format, fields)
        self._target.kind = found.format
        self.report.format, self.report.reason = found.format, found.reason
        batch: list[tuple[int, Item]] = []
        messages = stored = 0
        try:
            for line, item in items:
                batch.append((line, item))
                if isinstance(item, ImportedConversation):
                    messages += len(item.messages)
                if not isinstance(item, BadLine | Ignored):
                    stored += 1
                if stored >= BATCH_ITEMS or messages >= BATCH_MESSAGES or len(batch) >= BATCH_OTHERS:
                    self._flush(batch)
                    messages = stored = 0
        except ImportFileError:
            self._flush(batch)
            raise
        self._flush(batch)
        if self._target.lifted:
            self._target.store._eraser.tombstones.save()

    def unreadable(self, error: ImportFileError) -> None:
        """Report a file of an archive or a directory that cannot be read."""
        reason = str(error).removeprefix(f"{self._target.file}: ")
        self._flush([(1, BadLine(self._target.file, 1, reason))])

    def _flush(self, batch: list[tuple[int, Item]]) -> None:
        done = self._store_batch(batch)
        batch.clear()
        if self._on_bad is not None:
            for bad in done.bad:
                self._on_bad(bad)
        if self._on_progress is not None and isinstance(self._source, TextSource):
            position = self._source.position
            self._on_progress(position, self._source.total or position, self.report)

    def _store_batch(self, batch: list[tuple[int, Item]]) -> ImportReport:
        """Store one batch: all items at once, or, if one is refused, each item separately."""
        before = self._marks()
        self._target.batch = ImportReport()
        try:
            self._store_items(batch)
        except _of_the_item:
            self._go_back(before)
            self._target.batch = ImportReport()
            with self._target.store.transaction():
                for line, item in batch:
                    self._store_alone(line, item)
        if isinstance(self._source, TextSource):
            self._target.batch.replaced = self._source.replaced - self._replaced
            self._replaced = self._source.replaced
        self.report.add(self._target.batch)
        return self._target.batch

    def _store_items(self, batch: list[tuple[int, Item]]) -> None:
        if all(isinstance(item, BadLine | Ignored) for _, item in batch):
            for line, item in batch:
                self._store_item(line, item, careful=False)
            return
        with self._target.store.transaction():
            for line, item in batch:
                self._store_item(line, item, careful=False)

    def _store_alone(self, line: int, item: Item) -> None:
        for careful in (False, True):
            counted, self._target.batch = self._target.batch, ImportReport()
            before = self._marks()
            try:
                with self._target.store.transaction():
                    self._store_item(line, item, careful=careful)
            except _of_the_item as error:
                self._target.batch = counted
                self._go_back(before)
                if not careful and isinstance(item, ImportedConversation):
                    continue
                self._target.bad(BadLine(self._target.file, line, _reason(error)))
            else:
                done, self._target.batch = self._target.batch, counted
                self._target.batch.add(done)
            return

    def _store_item(self, line: int, item: Item, *, careful: bool) -> None:
        if isinstance(item, BadLine):
            self._target.bad(item)
        elif isinstance(item, Ignored):
            self._target.batch.ignore(item.kind, self._target.place(line))
        elif isinstance(item, ImportedLearning):
            self._learnings.store(line, item)
        else:
            self._conversations.store(line, item, careful=careful)

    def _marks(self) -> tuple[object, bool]:
        """The state to restore if a batch fails."""
        return self._conversations.marks(), self._learnings.has_own_conversation

    def _go_back(self, marks: tuple[object, bool]) -> None:
        self._conversations.go_back(marks[0])  # type: ignore[arg-type]  # what marks gave
        self._learnings.has_own_conversation = marks[1]


def _reason(error: Exception) -> str:
    if isinstance(error, UniqueError) and "correlation" in error.constraint:
        return f"{error}; another conversation has this correlation_id"
    return str(error)
