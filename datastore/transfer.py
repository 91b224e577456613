"""Files into the store and back: import in batches that can be repeated, export that loses nothing."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import attrs

from datastore.errors import ConstraintError, ImportFileError, InvalidValueError, NotFoundError, UniqueError
from datastore.formats import (
    BadLine,
    ImportedConversation,
    ImportedLearning,
    ImportedMessage,
    TextSource,
    detect,
    open_text,
    read_items,
    write_chat,
)
from datastore.formats.reading import Format
from datastore.records import Conversation, Learning, NewMessage
from datastore.values import new_id

if TYPE_CHECKING:
    from datastore.records.erasures import SubjectKind
    from datastore.store import Datastore

#: A transaction holds about so many lines, or so many messages.
BATCH_LINES = 200
BATCH_MESSAGES = 2_000

#: A report keeps so many bad lines and differences; the rest are only counted.
MAX_KEPT = 1_000

#: What makes one line bad. Everything else (a full disk, a lost lock) ends the import.
_of_the_line = (ConstraintError, InvalidValueError, NotFoundError)

_Item = ImportedConversation | ImportedLearning | BadLine


@attrs.define(kw_only=True)
class ImportReport:
    """What an import did. Everything counted here is committed."""

    #: Stored now.
    conversations: int = 0
    messages: int = 0
    learnings: int = 0
    #: Conversations, messages and learnings that were stored already, as they are in the file.
    unchanged: int = 0
    #: Stored already under the same id with other content; left as they are.
    differing: int = 0
    #: Left out on purpose, by reason.
    skipped: Counter[str] = attrs.field(factory=Counter)
    #: Lines that could not be stored.
    bad_lines: int = 0
    #: The first 1,000 of them.
    bad: list[BadLine] = attrs.field(factory=list)
    #: The first 1,000 differences, as "FILE:LINE: what".
    differences: list[str] = attrs.field(factory=list)

    def add(self, other: ImportReport) -> None:
        """Count what *other* counted."""
        for name in ("conversations", "messages", "learnings", "unchanged", "differing", "bad_lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.update(other.skipped)
        self.bad.extend(other.bad[: MAX_KEPT - len(self.bad)])
        self.differences.extend(other.differences[: MAX_KEPT - len(self.differences)])


#: Called after each batch: bytes of the file read, bytes of the file (of a pipe: read so far), the report so far.
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
    """Store what a file holds, in batches of one transaction each; again changes nothing.

    A stored conversation, message or learning is left as it is, whatever the file says now; messages that
    the file has behind the last stored one are appended.

    Args:
        store: Where to.
        path: Chat JSON lines, a ChatGPT export, a Claude Code transcript or learnings; gzip or plain; a file or a pipe. Or
            what `open_text` gives, which is closed at the end.
        sanitization_version: Which sanitization the text went through; a line's own goes before it.
        format: "auto": by the file's first lines.
        fields: For learnings: field to the file's name for it, ``{"category": "topic"}``.
        conversation_id: Where learnings go that name no conversation; None makes one for the file.
        include_erased: Take in again what was erased on request, and lift its tombstones; otherwise it is skipped.
        on_progress: See `Progress`.
        on_bad: Called with each bad line, once the batch around it is committed.

    Raises:
        ImportFileError: The file cannot be read, or is of no known format.
        InvalidValueError: *fields* or *format* is wrong.
        TransactionError, DatabaseError: The database failed; the batches before stay.
    """
    if not 1 <= len(sanitization_version) <= 100:
        raise InvalidValueError("sanitization_version: 1 to 100 characters are needed")
    with path if isinstance(path, TextSource) else open_text(path) as source:
        kind: Format = detect(source, fields) if format == "auto" else format
        run = _Import(store, source.name, kind, sanitization_version, conversation_id, include_erased=include_erased)
        items = read_items(source, kind, fields, run.report.skipped)
        batch: list[tuple[int, _Item]] = []
        messages = 0

        def flush() -> None:
            nonlocal messages
            done = run.store_batch(batch)
            batch.clear()
            messages = 0
            if on_bad is not None:
                for bad in done.bad:
                    on_bad(bad)
            if on_progress is not None:
                on_progress(source.position, source.total or source.position, run.report)

        try:
            for line, item in items:
                batch.append((line, item))
                if isinstance(item, ImportedConversation):
                    messages += len(item.messages)
                if len(batch) >= BATCH_LINES or messages >= BATCH_MESSAGES:
                    flush()
        except ImportFileError:
            flush()
            raise
        flush()
    if run.lifted:
        store._eraser.tombstones.save()
    return run.report


class _Import:
    """One file on its way into a store."""

    def __init__(
        self,
        store: Datastore,
        file: str,
        kind: Format,
        sanitization_version: str,
        conversation_id: str | None,
        *,
        include_erased: bool,
    ) -> None:
        self._include_erased = include_erased
        #: Whether something came back that was erased.
        self.lifted = False
        self.report = ImportReport()
        self._store = store
        self._more = store._parts.import_export
        self._file = file
        self._kind = kind
        self._version = sanitization_version
        self._conversation_id = conversation_id
        self._own_conversation = False
        #: Where the next piece of a conversation goes on; only transcripts come in pieces.
        self._last_positions: dict[str, int] = {}
        self._batch = ImportReport()

    def store_batch(self, batch: list[tuple[int, _Item]]) -> ImportReport:
        """Store one batch: all lines at once, or, where one is refused, each for itself."""
        if not batch:
            return ImportReport()
        before = dict(self._last_positions), self._own_conversation
        self._batch = ImportReport()
        try:
            with self._store.transaction():
                for line, item in batch:
                    self._store_item(line, item, careful=False)
        except _of_the_line:
            self._last_positions, self._own_conversation = before
            self._batch = ImportReport()
            with self._store.transaction():
                for line, item in batch:
                    self._store_alone(line, item)
        self.report.add(self._batch)
        return self._batch

    def _store_alone(self, line: int, item: _Item) -> None:
        for careful in (False, True):
            counted, self._batch = self._batch, ImportReport()
            before = dict(self._last_positions), self._own_conversation
            try:
                with self._store.transaction():
                    self._store_item(line, item, careful=careful)
            except _of_the_line as error:
                self._batch = counted
                self._last_positions, self._own_conversation = before
                if isinstance(error, UniqueError) and not careful:
                    continue
                self._bad(BadLine(self._file, line, str(error)))
            else:
                done, self._batch = self._batch, counted
                self._batch.add(done)
            return

    def _store_item(self, line: int, item: _Item, *, careful: bool) -> None:
        if isinstance(item, BadLine):
            self._bad(item)
        elif isinstance(item, ImportedLearning):
            self._store_learning(line, item, item.conversation_id or self._conversation_for_learnings())
        else:
            self._store_conversation(line, item, careful=careful)

    def _bad(self, bad: BadLine) -> None:
        self._batch.bad_lines += 1
        self._batch.bad.append(bad)

    def _differs(self, line: int, what: str) -> None:
        self._batch.differing += 1
        self._batch.differences.append(f"{self._file}:{line}: {what}; left as it is stored")

    def _store_conversation(self, line: int, item: ImportedConversation, *, careful: bool) -> None:
        there = self._store.conversations.lock([item.id])  # nobody appends behind the comparison
        stored = self._store.conversations.get(item.id) if there else None
        base = self._last_positions.get(item.id, 0) if item.continued else 0
        messages = _placed(item, base)
        if self._kind == "claude-code" and messages:
            self._last_positions[item.id] = messages[-1][0]
        names: dict[SubjectKind, str | None] = {
            "conversation": item.id,
            "session": item.session_id,
            "correlation": item.correlation_id,
        }
        if stored is None and self._erased(names):
            self._batch.skipped["conversation that was erased"] += 1
            return
        if stored is None:
            stored = self._add_conversation(item)
        new = stored is None
        if stored is None:
            if careful:
                messages = self._without_taken(line, messages)
            self._append(item.id, 0, messages, item.created_at)
            if item.last_position:
                self._more.skip_positions(item.id, item.last_position)
        else:
            if item.continued:
                pass
            elif _same_row(item, stored):
                self._batch.unchanged += 1
            else:
                self._differs(line, f"conversation {item.id} is stored with another row")
            fresh = self._compare(line, stored, messages)
            if fresh and stored.deleted_at is not None:
                self._batch.skipped["message of a deleted conversation"] += len(fresh)
            elif fresh:
                if careful:
                    fresh = self._without_taken(line, fresh)
                self._append(item.id, stored.last_position, fresh, item.created_at)
        for learning in item.learnings:
            self._store_learning(line, learning, learning.conversation_id or item.id)
        if new and (item.updated_at is not None or item.deleted_at is not None):
            self._more.set_conversation_times(item.id, updated_at=item.updated_at, deleted_at=item.deleted_at)

    def _add_conversation(self, item: ImportedConversation) -> Conversation | None:
        """Add it; gives the stored one where somebody else has added it since it was looked for."""
        created = item.created_at
        if created is None:
            created = next((message.created_at for message in item.messages if message.created_at is not None), None)
        conversations = self._store.conversations
        try:
            conversations.add(
                id=item.id,
                session_id=item.session_id,
                correlation_id=item.correlation_id,
                source=item.source or self._kind,
                title=item.title,
                sanitization_version=item.sanitization_version or self._version,
                metadata=item.metadata,
                created_at=created,
                updated_at=item.updated_at,
                completed_at=item.completed_at,
            )
        except UniqueError as error:
            if conversations.lock([item.id]):
                return conversations.get(item.id)
            if "correlation" in error.constraint:
                raise
            return self._add_conversation(item)  # who had added it has deleted it
        self._batch.conversations += 1
        return None

    def _compare(
        self, line: int, stored: Conversation, messages: list[tuple[int, str, ImportedMessage]]
    ) -> list[tuple[int, str, ImportedMessage]]:
        """The messages that are behind the last stored one; the others are counted."""
        if not messages:
            return []
        keys = self._more.message_keys(stored.id, messages[0][0], messages[-1][0])
        by_id = {key.id: key for key in keys}
        taken = {key.position for key in keys}
        fresh = []
        for position, id, message in messages:
            key = by_id.get(id)
            if key is not None:
                same = key.role == message.role and key.content_hash == _hash(message.content)
            elif (other := self._store.messages.find(id)) is not None:
                same = other.conversation_id == stored.id and (other.role, other.content) == (
                    message.role,
                    message.content,
                )
            elif position > stored.last_position:
                fresh.append((position, id, message))
                continue
            elif position in taken:
                same = False
            else:
                self._batch.skipped["message that was deleted"] += 1
                continue
            if same:
                self._batch.unchanged += 1
            else:
                self._differs(line, f"message {id} is stored with other content")
        return fresh

    def _without_taken(
        self, line: int, messages: list[tuple[int, str, ImportedMessage]]
    ) -> list[tuple[int, str, ImportedMessage]]:
        free = []
        for position, id, message in messages:
            if self._store.messages.find(id) is None:
                free.append((position, id, message))
            else:
                self._differs(line, f"message {id} is stored in another conversation")
        return free

    def _append(
        self,
        conversation_id: str,
        last: int,
        messages: list[tuple[int, str, ImportedMessage]],
        created_at: datetime | None,
    ) -> None:
        run: list[NewMessage] = []
        append_many = self._store.messages.append_many
        for position, id, message in messages:
            if position != last + 1:
                append_many(conversation_id, run)
                run = []
                self._more.skip_positions(conversation_id, position - 1)
            last = position
            run.append(
                NewMessage(
                    role=message.role,
                    content=message.content,
                    id=id,
                    token_count=message.token_count,
                    metadata=message.metadata,
                    created_at=message.created_at or created_at,
                )
            )
        append_many(conversation_id, run)
        self._batch.messages += len(messages)

    def _conversation_for_learnings(self) -> str:
        if self._conversation_id is not None:
            return self._conversation_id
        name = os.fsencode(Path(self._file).name).decode("utf-8", "backslashreplace")
        id = f"learnings:{name}"[:200]
        if not self._own_conversation:
            if self._store.conversations.find(id) is None:
                self._store.conversations.add(
                    id=id, source="learnings", title=name[:1000], sanitization_version=self._version
                )
                self._batch.conversations += 1
            self._own_conversation = True
        return id

    def _erased(self, names: dict[SubjectKind, str | None]) -> bool:
        """Whether one of these was erased on request and is not to come back; lifts that where it is."""
        tombstones = self._store._eraser.tombstones
        if not (keys := tombstones.keys()):
            return False
        given = [(kind, id) for kind, id in names.items() if id is not None]
        found = [(kind, id) for kind, id in given if tombstones.find(kind, id, keys)]
        if self._include_erased:
            for kind, id in found:
                tombstones.lift(kind, id)
                self.lifted = True
            return False
        return bool(found)

    def _store_learning(self, line: int, item: ImportedLearning, conversation_id: str) -> None:
        if item.id is not None and (present := self._store.learnings.find(item.id)) is not None:
            if _same_learning(item, present, conversation_id):
                self._batch.unchanged += 1
            else:
                self._differs(line, f"learning {item.id} is stored with other content")
            return
        gone: dict[SubjectKind, str | None] = {"learning": item.id}
        if self._store.conversations.find(conversation_id) is None:
            gone["conversation"] = conversation_id
        if self._erased(gone):
            self._batch.skipped["learning that was erased"] += 1
            return
        conversation = self._store.conversations.get(conversation_id)
        if conversation.deleted_at is not None:
            self._batch.skipped["learning of a deleted conversation"] += 1
            return
        id = item.id or new_id()
        learning = self._store.learnings.add(
            conversation_id=conversation_id,
            category=item.category,
            title=item.title,
            content=item.content,
            confidence=item.confidence,
            tags=item.tags,
            message_ids=[*item.message_ids, *self._ids_at(conversation_id, item.message_positions)],
            dedupe_key=item.dedupe_key,
            metadata=item.metadata,
            id=id,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )
        if learning.id != id:
            self._batch.unchanged += 1
            return
        self._batch.learnings += 1

    def _ids_at(self, conversation_id: str, positions: tuple[int, ...]) -> list[str]:
        ids = []
        for position in positions:
            keys = self._more.message_keys(conversation_id, position, position)
            if not keys:
                raise InvalidValueError(f"message_positions: the conversation has no message {position}")
            ids.append(keys[0].id)
        return ids


def _placed(item: ImportedConversation, base: int) -> list[tuple[int, str, ImportedMessage]]:
    """Each message with its position and its id."""
    placed = []
    position = base
    for message in item.messages:
        position = position + 1 if message.position is None else message.position
        placed.append((position, message.id or _message_id(item.id, position), message))
    return placed


def _message_id(conversation_id: str, position: int) -> str:
    id = f"{conversation_id}:{position}"
    # Too long for a column: the hash stands for the conversation, the same one each time.
    return id if len(id) <= 200 else f"sha256:{_hash(conversation_id)}:{position}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _same_row(item: ImportedConversation, stored: Conversation) -> bool:
    """Whether the stored row has what the file says, as far as it says something."""
    given = {
        "session_id": item.session_id,
        "correlation_id": item.correlation_id,
        "source": item.source,
        "title": item.title,
        "created_at": item.created_at,
        "metadata": item.metadata or None,
    }
    return all(value is None or getattr(stored, name) == value for name, value in given.items())


def _same_learning(item: ImportedLearning, stored: Learning, conversation_id: str) -> bool:
    return (stored.conversation_id, stored.category, stored.title, stored.content, stored.confidence, stored.tags) == (
        conversation_id,
        item.category,
        item.title,
        item.content,
        item.confidence,
        item.tags,
    )


def export(
    store: Datastore,
    stream: TextIO,
    *,
    session_id: str | None = None,
    source: str | None = None,
    include_deleted: bool = False,
) -> int:
    """Write conversations as chat JSON lines, newest first, as they were at one instant.

    Args:
        store: Where from.
        stream: Where to, as UTF-8 text.
        session_id: Only of this session.
        source: Only of this source.
        include_deleted: The soft-deleted ones too, with their *deleted_at*.

    Returns:
        How many conversations were written.
    """
    sources = store._parts.import_export
    count = 0
    with store.snapshot():
        for deleted in (False, True) if include_deleted else (False,):
            for conversation in store.conversations.iterate(session_id=session_id, source=source, deleted=deleted):
                messages = list(store.messages.iterate(conversation.id))
                stream.write(write_chat(conversation, messages, sources.learnings(conversation.id)) + "\n")
                count += 1
    return count
