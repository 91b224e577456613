"""The store: one database, its repositories, and the transactions that span them."""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from datastore.address import database_path, is_server, real_path
from datastore.engines.base import Durability, Engine
from datastore.engines.ownership import refuse_green_threads
from datastore.errors import ConflictError, DatastoreError, InvalidValueError, TransactionError
from datastore.files import sweep, typed, unfinished
from datastore.migrations.steps import own_folders
from datastore.opening import on_file, on_server
from datastore.values import new_id, utc_now

if TYPE_CHECKING:
    from datastore.opening import Opened
    from datastore.records import Backup, Erasure
    from datastore.records.backups import BackupStatus
    from datastore.repositories import (
        AuditRepository,
        ConversationRepository,
        JobQueueRepository,
        LearningRepository,
        LegalHoldRepository,
        MessageRepository,
        RedactionRepository,
        Repositories,
        UploadRepository,
    )
    from datastore.retention.policies import Retention
    from datastore.retention.subjects import SubjectData
    from datastore.retention.tombstones import Tombstones
    from datastore.statements.binding import Statements
    from datastore.upkeep.backups import Backups, Restored
    from datastore.upkeep.base import Upkeep
    from datastore.upkeep.maintenance import Maintenance
    from datastore.upkeep.verify import Mark, Problems

Result = TypeVar("Result")


class Datastore:
    """A database of conversations, messages, learnings, jobs, uploads and audit records.

    Safe to share between threads. Close it, or use it in a ``with`` block.

    Attributes:
        conversations: `ConversationRepository`.
        messages: `MessageRepository`.
        learnings: `LearningRepository`.
        jobs: `JobQueueRepository`.
        uploads: `UploadRepository`.
        redactions: `RedactionRepository`, what sanitization replaced.
        audit: `AuditRepository`.
        holds: `LegalHoldRepository`, conversations that nothing may delete or change.
        retention: `Retention`, how long what is kept, and the receipts of what was erased.
        backups: `Backups`, copies of the database: made, listed, verified, rotated.
        maintenance: `Maintenance`, upkeep in bounded slices.
    """

    engine: Engine
    conversations: ConversationRepository
    messages: MessageRepository
    learnings: LearningRepository
    jobs: JobQueueRepository
    uploads: UploadRepository
    redactions: RedactionRepository
    audit: AuditRepository
    holds: LegalHoldRepository
    retention: Retention

    def __init__(
        self,
        engine: Engine,
        statements: Statements,
        upkeep: Callable[[Repositories], Upkeep],
        *,
        actor: str = "application",
        ids: Callable[[], str] = new_id,
        rng: random.Random | None = None,
    ) -> None:
        """Use `Datastore.open`; this takes an engine whose schema is known to be right."""
        from datastore.repositories import Repositories
        from datastore.retention.erasure import Eraser
        from datastore.retention.policies import Retention

        self.engine = engine
        #: For this library alone: the repositories below, and those that only verification, import, export, erasure and
        #: backups call.
        self._parts = parts = Repositories.of(engine, statements, actor=actor, new_id=ids, rng=rng)
        self.conversations = parts.conversations
        self.messages = parts.messages
        self.learnings = parts.learnings
        self.jobs = parts.jobs
        self.uploads = parts.uploads
        self.redactions = parts.redactions
        self.audit = parts.audit
        self.holds = parts.holds
        self._upkeep = upkeep(parts)
        self._eraser = Eraser(parts, self._upkeep)
        self.retention = Retention(parts, self._eraser)

    @classmethod
    def open(
        cls,
        database: str | os.PathLike[str],
        *,
        migrate: bool = False,
        durability: Durability = "full",
        timeout: float = 30.0,
        actor: str = "application",
        gate: bool = True,
        pool_size: int = 10,
        replica: str | None = None,
        migrations: Iterable[str | os.PathLike[str]] = (),
        language: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        ids: Callable[[], str] = new_id,
        rng: random.Random | None = None,
    ) -> Datastore:
        """Open a database.

        Args:
            database: A path, or ``sqlite:///relative/path``, ``sqlite:////absolute/path``; or
                ``postgresql://user@host:port/name`` (the extra ``datastore[postgresql]``; docs/scaling.md).
            migrate: Apply pending migrations first; this also creates a missing file, and makes a database of an empty one.
            durability: "full": a commit survives a power cut (PRAGMA synchronous FULL). "relaxed": a
                power cut may undo every commit since the last checkpoint, never break consistency (NORMAL).
            timeout: How long to wait for another writer, in seconds.
            actor: Who the audit log says it was; 1 to 200 characters.
            gate: Queue with the other processes of this library for the write lock
                (docs/decisions/0003-write-gate.md).
            pool_size: PostgreSQL: connections at most; a thread has one while it uses it.
            replica: PostgreSQL: the URL of a standby, where `snapshot` reads.
            migrations: Folders with the application's own steps, for tables beside this library's (docs/own-tables.md);
                their ids begin with a word ("app-0001.notes"), so that they are told apart.
            language: Of which the words of the texts are, for search: "english", "german", ... (Snowball's names). A new
                database keeps it, English where none is given; `reindex` changes it.
            clock: Where the time comes from; returns aware datetimes.
            ids: Makes the ids that callers do not give.
            rng: Spreads the retries of jobs; a seeded one makes a test's run the same each time.

        Raises:
            InvalidValueError: *migrations* is no list of folders, or one of them is missing, is a file, or has no steps.
            StatementError: A step cannot be run: it is there twice, depends on one that is not there, or has BEGIN or COMMIT
                in it. Nothing was created.
            DatabaseMissingError: There is no such file (nothing was created).
            InvalidValueError: It is no name of a file, or a connection string.
            NotADatastoreError: It is a folder, a device, an empty file, or another program's database.
            SchemaOutOfDateError: Migrations are pending or unknown; the message says what to run.
            ReadOnlyDatabaseError: The file or its folder cannot be written to.
            CorruptDatabaseError: The file is damaged; or it is empty or missing, and its WAL is there.
            UnsupportedError: gevent or eventlet has patched the process.
            InvalidValueError: The full-text index is of another language than *language*, or there is no such language.
        """
        refuse_green_threads()
        folders = own_folders(migrations)
        opened: Opened
        if is_server(database):
            opened = on_server(
                str(database),
                migrate,
                folders,
                durability=durability,
                timeout=timeout,
                pool_size=pool_size,
                replica=replica,
                clock=None if clock is utc_now else clock,
            )
        elif replica is not None:
            raise InvalidValueError("replica: a file has none; only a PostgreSQL database has")
        else:
            opened = on_file(
                database_path(database),
                migrate,
                folders,
                opener=_open_copy,
                durability=durability,
                timeout=timeout,
                gate=gate,
                clock=clock,
            )
        engine, statements, upkeep = opened
        try:
            store = cls(engine, statements, upkeep, actor=actor, ids=ids, rng=rng)
            if language is not None:
                store._parts.index.open_language(language)
            return store
        except BaseException:
            engine.close()
            raise

    def bind(self, folder: str | os.PathLike[str], records: Mapping[str, type[Any]] | None = None) -> Statements:
        """The statements of a folder of the application's own, on this store: they share its transactions.

        Args:
            folder: Where the .sql files are; those of its subfolder "sqlite" count too.
            records: The classes that rows become, by name: the RECORDS that `datastore generate` writes.

        Raises:
            StatementError: A file breaks a rule, or a header names a record that is not there.
        """
        from datastore.statements.loader import read_statements

        return self.engine.bind(read_statements(Path(folder), self.engine.name), records)

    @property
    def backups(self) -> Backups:
        """Copies of the database: made, listed, verified, rotated.

        Raises:
            UnsupportedError: It is on a server, whose own tools make them.
        """
        return self._upkeep.backups

    @property
    def maintenance(self) -> Maintenance:
        """Upkeep in bounded slices.

        Raises:
            UnsupportedError: It is on a server, which does it by itself.
        """
        return self._upkeep.maintenance

    def transaction(self, *, serializable: bool = False) -> AbstractContextManager[None]:
        """All or nothing, across repositories; ``with`` it.

        Takes the write lock at its start. Inside another one it is a savepoint. Any exception (Ctrl-C
        too) rolls it back and goes on up. Every call inside has the same instant as its present.

        Args:
            serializable: PostgreSQL: as if the serializable transactions ran one after the other, as they always do on
                SQLite. One of two that are in each other's way fails with ConflictError: `run` them.

        Raises:
            BusyError: The write lock was not free within the timeout.
            ConflictError: PostgreSQL: another transaction was in its way.
            TransactionError: Inside a snapshot; or serializable, inside a transaction that is not.
            TransactionLostError: The database ended it before (a full disk, say): nothing was kept.
            CommitOutcomeUnknownError: COMMIT itself failed; look before you repeat.
        """
        return self.engine.callers_transaction(serializable=serializable)

    def run(self, work: Callable[[], Result], *, serializable: bool = False, attempts: int = 5) -> Result:
        """Call *work* in a transaction, again where another transaction was in its way; gives what it gives.

        Only PostgreSQL has such conflicts (deadlocks, SQLSTATE 40P01 and 40001); each attempt begins anew, a little later.

        Args:
            work: Called once an attempt: what it does outside the database is done again.
            serializable: As in `transaction`.
            attempts: How often at most; 1 or more.

        Raises:
            ConflictError: The last attempt failed too.
            TransactionError: Called inside a transaction, of which a part cannot be run again.
        """
        self.engine.reading("run")
        for attempt in range(1, attempts + 1):
            try:
                with self.transaction(serializable=serializable):
                    return work()
            except ConflictError:
                if attempt == attempts:
                    raise
                time.sleep(random.uniform(0.0, 0.02 * 2**attempt))
        raise InvalidValueError("attempts: 1 or more are needed")

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one instant, whoever writes meanwhile; ``with`` it. Writing is refused.

        On PostgreSQL it is read at the *replica* that the store was opened with, if any: a moment behind what was written.
        """
        return self.engine.snapshot()

    def verify(self, marks: Iterable[Mark] = (), *, deep: bool = False) -> Problems:
        """Check the file, foreign keys, full-text index, audit chain, high-water marks, hashes, counts and the index by tag.

        `reindex` rebuilds the full-text index, the counts and the index by tag.

        Args:
            marks: High-water marks of the audit log, that were kept elsewhere.
            deep: Compare every message with its hash, which reads all of them; otherwise a thousand from everywhere. Also search
                for words of the newest messages and learnings: each has to find its own text.

        Returns:
            For each check what is wrong, without content; an empty list where nothing is.
        """
        from datastore.upkeep.verify import verify

        return verify(self._parts, self._upkeep.checks(), marks, deep=deep)

    def reindex(
        self, on_progress: Callable[[str, int, int], None] | None = None, *, language: str | None = None
    ) -> None:
        """Rebuild derived data: full-text indexes, the index by tag, the counts of messages and jobs.

        In one transaction, with all writers kept out: until it ends, readers see the previous state. Rows that other programs
        wrote are found afterwards.

        Args:
            on_progress: Called with a full-text index's name, how far it is and how far it goes.
            language: The language of the full-text indexes from now on; None keeps it.

        Raises:
            InvalidValueError: There is no such language.
        """
        self._parts.derived.reindex(on_progress, language=language)

    def disclose(
        self,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        learning_id: str | None = None,
    ) -> SubjectData:
        """Everything that is held of a subject, at one instant: what `erase` with the same argument would take away.

        Reads every job, to find those that name it.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: None is given, or several.
        """
        from datastore.retention.subjects import Subject, subject_data

        subject = Subject.of(
            conversation_id=conversation_id,
            session_id=session_id,
            correlation_id=correlation_id,
            learning_id=learning_id,
        )
        with self.snapshot():
            return subject_data(self._parts, subject)

    def erase(
        self,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        learning_id: str | None = None,
        reason: str | None = None,
        vacuum: bool = True,
        on_progress: Callable[[str], None] | None = None,
    ) -> Erasure:
        """Delete a subject with everything derived from it, so that its text is in no file of the database any more.

        Give one of *conversation_id*, *session_id*, *correlation_id* and *learning_id*. Messages, learnings (those of
        other conversations too that one of its messages is a source of), uploads and redactions go; jobs that name it
        are emptied. Then the full-text indexes are merged, the WAL is cut, the files' bytes are scanned, and only where
        something is left the file is vacuumed. docs/retention.md says what no erasure reaches.

        Args:
            conversation_id: One conversation.
            session_id: Every conversation of this session.
            correlation_id: The conversation with this correlation id.
            learning_id: One learning.
            reason: Why, for the receipt; no content.
            vacuum: Whether the file may be vacuumed, which keeps writers waiting.
            on_progress: Called with what is being done.

        Returns:
            The receipt, which is stored too: status "verified", "scrubbed", "deleted", or "blocked" and by what.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: None is given, or several.
            TransactionError: Called inside a transaction.
            LegalHoldError: A hold was placed meanwhile; `Retention.resume` goes on once it is released.
        """
        from datastore.retention.subjects import Subject

        subject = Subject.of(
            conversation_id=conversation_id,
            session_id=session_id,
            correlation_id=correlation_id,
            learning_id=learning_id,
        )
        return self._eraser.erase(subject, reason=reason, vacuum=vacuum, on_progress=on_progress)

    @staticmethod
    def restore(
        backup: str | os.PathLike[str],
        database: str | os.PathLike[str],
        *,
        sha256: str | None = None,
        unregistered: bool = False,
        force: bool = False,
        timeout: float = 1.0,
    ) -> Restored:
        """Put a backup, once verified, in the place of a database that nobody has open: `datastore.upkeep.backups.restore`.

        The backup's SHA-256 has to be the one that the database registered. What was erased from the database since is erased
        from the backup's copy first: the tombstones are read from the database, and from the file that is kept beside it. The
        restored database keeps the old one's owner, group and mode, and knows the backups that were registered in it.

        Args:
            backup: The file.
            database: Where to; it may be missing or damaged: then it has no register, and the content alone is verified.
            sha256: What `datastore backup` printed: compared instead of what is registered.
            unregistered: Take a backup that the database has not registered: its content alone is verified.
            force: Replace a database that is too damaged to tell whether it is in use.
            timeout: How long to wait for others to close it, in seconds.

        Raises:
            BackupError: See `datastore.upkeep.backups.restore`; or it is not registered.
            BusyError: The database is in use; nothing was changed.
            CorruptDatabaseError: It is damaged and *force* was not given; nothing was changed.
            DiskFullError: There is no room; nothing was changed.
        """
        from datastore.retention.tombstones import beside, read_beside, together
        from datastore.upkeep.backups import check_sha256, known_sums, refuse_no_backup, restore
        from datastore.upkeep.verify import present_mark

        path, source = database_path(database), real_path(backup)
        with typed(f"restoring {source}"):
            refuse_no_backup(source)
            noted = read_beside(beside(path))
            stones, register = _known_to(path)
            carried = together([noted, stones])
            for row in register or []:  # the restored database does not know of each
                sweep(unfinished(Path(row.path)))
            if sha256 is not None:
                sums: list[str] | None = [check_sha256(sha256)]
            else:
                sums = None if unregistered else known_sums(source, register)

        def amend(copy: Datastore, sum: str) -> tuple[int, int]:
            mark, backups = present_mark(copy.audit), copy._parts.backups
            with copy.transaction():
                backups.take_in(register or [])
                for row in backups.iterate("writing"):
                    if row.path == str(source):  # itself: a copy is registered once it is made
                        backups.finish(
                            row.id,
                            file_bytes=source.stat().st_size,
                            checksum=sum,
                            audit_id=mark.audit_id,
                            audit_hash=mark.audit_hash,
                        )
            counts = copy._eraser.reapply(carried)
            return counts["erased"], counts["held"]

        done = restore(
            source,
            path,
            opener=_open_copy,
            sums=sums,
            amend=amend,
            settled=lambda: read_beside(beside(path)) == noted,
            force=force,
            timeout=timeout,
        )
        if carried.stones:
            with _open_copy(path) as restored:
                restored._eraser.tombstones.save()
        return done

    def close(self) -> None:
        """Close every thread's connection."""
        self.engine.close()

    def __enter__(self) -> Datastore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TransactionError(
            "a store cannot be copied or passed to another process; pass its path or URL, and open it there"
        )

    def __del__(self) -> None:
        engine = getattr(self, "engine", None)
        if engine is not None and not engine.closed:
            # The engine goes on: a repository of this store may still be in use.
            warnings.warn(
                f"{self!r} was not closed: use it in a with block", ResourceWarning, source=self, stacklevel=2
            )

    def __repr__(self) -> str:
        return f"Datastore({self.engine.database!r})"


def _known_to(path: Path) -> tuple[Tombstones, list[Backup] | None]:
    """What a database that is about to be replaced had erased, and its register of backups; None where it cannot be read."""
    from datastore.retention.tombstones import Tombstones

    if path.exists():
        with suppress(DatastoreError, OSError), Datastore.open(path, gate=False) as old:  # else too old, or damaged
            statuses: tuple[BackupStatus, ...] = ("kept", "removed", "writing", "failed")
            return old._eraser.tombstones.carried(), [
                row for status in statuses for row in old._parts.backups.iterate(status)
            ]
    return Tombstones(), None


def _open_copy(path: Path) -> Datastore:
    # Nobody else has it open, so no gate. It may be of an older version: what it lacks is applied to the copy.
    return Datastore.open(path, migrate=True, gate=False, durability="relaxed")
