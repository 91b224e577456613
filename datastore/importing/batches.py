"""Batches of an import: one transaction each; if a line is refused, each line of the batch is stored separately."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from datastore.errors import ConstraintError, ImportFileError, InvalidValueError, NotFoundError, UniqueError
from datastore.formats import (
    BadLine,
    ImportedConversation,
    ImportedLearning,
    TextSource,
    detect,
    open_text,
    read_items,
)
from datastore.formats.reading import Format
from datastore.importing.conversations import ConversationImport
from datastore.importing.learnings import LearningImport
from datastore.importing.report import ImportReport
from datastore.importing.target import Target

if TYPE_CHECKING:
    from datastore.store import Datastore

#: Lines, or messages, per transaction.
BATCH_LINES = 200
BATCH_MESSAGES = 2_000

#: Errors that make one line bad. All others (a full disk, a lost lock) end the import.
_of_the_line = (ConstraintError, InvalidValueError, NotFoundError)

_Item = ImportedConversation | ImportedLearning | BadLine

#: Called after each batch: bytes read, size of the file (of a pipe: bytes read so far), the report so far.
Progress = Callable[[int, int, ImportReport], None]


def import_file(
    store: Datastore,
    path: str | os.PathLike[str] | TextSource,
    *,
    sanitization_version: str,
    format: Format | Literal["auto"] = "auto",
    fields: Mapping[str, str] | None = None,
    conversation_id: str | None = None,
    include_erased: bool = False,
    on_progress: Progress | None = None,
    on_bad: Callable[[BadLine], None] | None = None,
) -> ImportReport:
    """Store a file's conversations and learnings, in batches of one transaction each; importing it twice is a no-op.

    Stored conversations, messages and learnings are left unchanged, even if the file now differs; messages in
    the file after the last stored one are appended.

    Args:
        store: The store to import into.
        path: Chat JSON lines, a ChatGPT export, a Claude Code transcript or learnings; gzip or plain; a file or a pipe. Or
            the result of `open_text`, which is closed at the end.
        sanitization_version: The version of the sanitization that the text went through, for lines that do not give one.
        format: The file's format; "auto" detects it from the first lines.
        fields: For learnings: field to the file's name for it, ``{"category": "topic"}``.
        conversation_id: The conversation of learnings that name none; None: one is created for the file.
        include_erased: Import again what was erased on request, and lift its tombstones; otherwise it is skipped.
        on_progress: See `Progress`.
        on_bad: Called with each bad line, once its batch is committed.

    Raises:
        ImportFileError: The file cannot be read, or its format is unknown.
        InvalidValueError: *fields* or *format* is wrong.
        TransactionError, DatabaseError: The database failed; earlier batches are kept.
    """
    if not 1 <= len(sanitization_version) <= 100:
        raise InvalidValueError("sanitization_version: 1 to 100 characters are needed")
    with path if isinstance(path, TextSource) else open_text(path) as source:
        kind: Format = detect(source, fields) if format == "auto" else format
        target = Target(
            store=store,
            file=source.name,
            kind=kind,
            sanitization_version=sanitization_version,
            include_erased=include_erased,
        )
        run = _Import(target, conversation_id)
        batch: list[tuple[int, _Item]] = []

        def flush() -> None:
            done = run.store_batch(batch)
            batch.clear()
            if on_bad is not None:
                for bad in done.bad:
                    on_bad(bad)
            if on_progress is not None:
                on_progress(source.position, source.total or source.position, run.report)

        messages = 0
        try:
            for line, item in read_items(source, kind, fields, run.report.skipped):
                batch.append((line, item))
                if isinstance(item, ImportedConversation):
                    messages += len(item.messages)
                if len(batch) >= BATCH_LINES or messages >= BATCH_MESSAGES:
                    flush()
                    messages = 0
        except ImportFileError:
            flush()
            raise
        flush()
    if target.lifted:
        store._eraser.tombstones.save()
    return run.report


class _Import:
    """One import of a file: its batches and their combined report."""

    def __init__(self, target: Target, conversation_id: str | None) -> None:
        self.report = ImportReport()
        self._target = target
        self._learnings = LearningImport(target, conversation_id)
        self._conversations = ConversationImport(target, self._learnings)

    def store_batch(self, batch: list[tuple[int, _Item]]) -> ImportReport:
        """Store one batch: all lines at once, or, if one is refused, each line separately."""
        if not batch:
            return ImportReport()
        before = self._marks()
        self._target.batch = ImportReport()
        try:
            with self._target.store.transaction():
                for line, item in batch:
                    self._store_item(line, item, careful=False)
        except _of_the_line:
            self._go_back(before)
            self._target.batch = ImportReport()
            with self._target.store.transaction():
                for line, item in batch:
                    self._store_alone(line, item)
        self.report.add(self._target.batch)
        return self._target.batch

    def _store_alone(self, line: int, item: _Item) -> None:
        for careful in (False, True):
            counted, self._target.batch = self._target.batch, ImportReport()
            before = self._marks()
            try:
                with self._target.store.transaction():
                    self._store_item(line, item, careful=careful)
            except _of_the_line as error:
                self._target.batch = counted
                self._go_back(before)
                if isinstance(error, UniqueError) and not careful:
                    continue
                self._target.bad(BadLine(self._target.file, line, str(error)))
            else:
                done, self._target.batch = self._target.batch, counted
                self._target.batch.add(done)
            return

    def _store_item(self, line: int, item: _Item, *, careful: bool) -> None:
        if isinstance(item, BadLine):
            self._target.bad(item)
        elif isinstance(item, ImportedLearning):
            self._learnings.store(line, item)
        else:
            self._conversations.store(line, item, careful=careful)

    def _marks(self) -> tuple[dict[str, int], bool]:
        """The state to restore if a batch fails."""
        return dict(self._conversations.last_positions), self._learnings.has_own_conversation

    def _go_back(self, marks: tuple[dict[str, int], bool]) -> None:
        self._conversations.last_positions, self._learnings.has_own_conversation = marks
