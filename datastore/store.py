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
from datastore.events import Listener, Observation
from datastore.files import sweep, typed, unfinished
from datastore.migrations.steps import own_folders
from datastore.opening import on_file, on_server
from datastore.values import EMBED_TIMEOUT, new_id, utc_now

if TYPE_CHECKING:
    from datastore.opening import Opened
    from datastore.records import Backup, Erasure
    from datastore.records.backups import BackupStatus
    from datastore.records.vectors import Embed
    from datastore.repositories import (
        AuditRepository,
        BranchRepository,
        ConversationRepository,
        JobQueueRepository,
        LearningRepository,
        LegalHoldRepository,
        MessageRepository,
        RedactionRepository,
        Repositories,
        ScheduleRepository,
        UploadRepository,
    )
    from datastore.retention.policies import Retention
    from datastore.retention.subjects import SubjectData
    from datastore.retention.tombstones import Tombstones
    from datastore.search.embedding import Embedder
    from datastore.statements.binding import Statements
    from datastore.upkeep.backups import Backups, Restored
    from datastore.upkeep.base import Upkeep
    from datastore.upkeep.maintenance import Maintenance
    from datastore.upkeep.vectors import Vectors
    from datastore.upkeep.verify import Mark, Problems

Result = TypeVar("Result")


class Datastore:
    """A database of conversations, messages, learnings, jobs, uploads and audit records.

    Safe to share between threads. Close it, or use it in a ``with`` block.

    Attributes:
        conversations: `ConversationRepository`.
        branches: `BranchRepository`.
        messages: `MessageRepository`.
        learnings: `LearningRepository`.
        jobs: `JobQueueRepository`.
        schedules: `ScheduleRepository`: jobs that are enqueued periodically.
        uploads: `UploadRepository`.
        redactions: `RedactionRepository`: the text parts that sanitization replaced.
        audit: `AuditRepository`.
        holds: `LegalHoldRepository`: conversations that nothing may delete or change.
        vectors: `Vectors`: make the vectors that search by meaning needs (docs/search.md).
        retention: `Retention`: retention policies, and the receipts of erasures.
        backups: `Backups`: make, list, verify and rotate copies of the database.
        maintenance: `Maintenance`: maintenance in bounded slices.
    """

    engine: Engine
    conversations: ConversationRepository
    branches: BranchRepository
    messages: MessageRepository
    learnings: LearningRepository
    jobs: JobQueueRepository
    schedules: ScheduleRepository
    uploads: UploadRepository
    redactions: RedactionRepository
    audit: AuditRepository
    holds: LegalHoldRepository
    retention: Retention
    vectors: Vectors

    def __init__(
        self,
        engine: Engine,
        statements: Statements,
        upkeep: Callable[[Repositories], Upkeep],
        *,
        actor: str = "application",
        ids: Callable[[], str] = new_id,
        rng: random.Random | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """Use `Datastore.open` instead; the constructor takes an engine whose schema has been checked."""
        from datastore.repositories import Repositories
        from datastore.retention.erasure import Eraser
        from datastore.retention.policies import Retention
        from datastore.upkeep.vectors import Vectors

        self.engine = engine
        #: For internal use: the repositories below, and those that only verification, import, export, erasure and
        #: backups use.
        self._parts = parts = Repositories.of(engine, statements, actor=actor, new_id=ids, rng=rng, embedder=embedder)
        self.conversations = parts.conversations
        self.branches = parts.branches
        self.messages = parts.messages
        self.learnings = parts.learnings
        self.jobs = parts.jobs
        self.schedules = parts.schedules
        self.uploads = parts.uploads
        self.redactions = parts.redactions
        self.audit = parts.audit
        self.holds = parts.holds
        self._upkeep = upkeep(parts)
        self._eraser = Eraser(parts, self._upkeep)
        self.retention = Retention(parts, self._eraser)
        self.vectors = Vectors(parts)

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
        read_only: bool = False,
        migrations: Iterable[str | os.PathLike[str]] = (),
        language: str | None = None,
        embed: Embed | None = None,
        embed_model: str | None = None,
        embed_timeout: float | None = EMBED_TIMEOUT,
        clock: Callable[[], datetime] = utc_now,
        ids: Callable[[], str] = new_id,
        rng: random.Random | None = None,
    ) -> Datastore:
        """Open a database.

        Args:
            database: A path, or ``sqlite:///relative/path``, ``sqlite:////absolute/path``; or
                ``postgresql://user@host:port/name`` (the extra ``datastore[postgresql]``; docs/scaling.md).
            migrate: Apply pending migrations first; this also creates a missing file, and turns an empty one into a database.
            durability: "full": a commit survives a power cut (PRAGMA synchronous FULL). "relaxed": a
                power cut may undo every commit since the last checkpoint, but never break consistency (NORMAL).
            timeout: How long to wait for another writer, in seconds.
            actor: The actor that the audit log records outside `acting_as`; 1 to 200 characters.
            gate: Queue with the other processes of this library for the write lock
                (docs/decisions/0003-write-gate.md).
            pool_size: PostgreSQL: the maximum number of connections; a thread has one only while it uses it.
            replica: PostgreSQL: the URL of a standby that `snapshot` reads from.
            read_only: Refuse every change with ReadOnlyDatabaseError. A file then need not be writable, nor its folder, as on a
                read-only mount; there it is read as it is when it is opened, so nobody may change it meanwhile.
            migrations: Folders with the application's own steps, for its tables in the same database (docs/own-tables.md);
                their ids begin with a word ("app-0001.notes"), which distinguishes them from this library's.
            language: The language of the texts, for search: "english", "german", ... (Snowball's names). A new
                database stores it, by default English; `reindex` changes it.
            embed: A function that returns a vector for each text of a list, for search by meaning (the extra
                ``datastore[vectors]``; docs/search.md). It is never called inside a transaction of this library.
            embed_model: The name of the model that makes the vectors, given with *embed* or alone; all vectors of a database
                are of one model.
            embed_timeout: Seconds that a call of *embed* may take; None: no limit, and it is called in the caller's thread.
            clock: The source of the current time; returns aware datetimes.
            ids: Generates the ids that callers do not give.
            rng: Randomizes the retry times of jobs; a seeded one makes a test reproducible.

        Raises:
            InvalidValueError: *migrations* is not a list of folders, or a folder is missing, is a file, or has no steps.
            StatementError: A step cannot be run: it exists twice, depends on a missing one, or contains BEGIN or COMMIT.
                Nothing was created.
            DatabaseMissingError: There is no such file (nothing was created).
            InvalidValueError: *database* is not a file name, or it is a connection string.
            NotADatastoreError: It is a folder, a device, an empty file, or another program's database.
            SchemaOutOfDateError: Migrations are pending or unknown; the message says what to run.
            ReadOnlyDatabaseError: The file or its folder cannot be written to, and *read_only* is False.
            CorruptDatabaseError: The file is damaged; or it is empty or missing, but its WAL exists.
            UnsupportedError: gevent or eventlet has patched the process.
            InvalidValueError: The full-text index has another language than *language*, or there is no such language.
            InvalidValueError: The database has the vectors of another model than *embed_model*.
            UnsupportedError: *embed_model* is given, and numpy is not installed.
        """
        refuse_green_threads()
        embedder = None
        if embed is not None or embed_model is not None:
            from datastore.search.embedding import Embedder

            embedder = Embedder.of(embed, embed_model, embed_timeout)
        if read_only and migrate:
            raise InvalidValueError(
                "migrate: a store that is opened read-only cannot be migrated; leave one of the two out"
            )
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
                read_only=read_only,
                clock=None if clock is utc_now else clock,
            )
        elif replica is not None:
            raise InvalidValueError("replica: only a PostgreSQL database can have one; leave it out for a file")
        else:
            opened = on_file(
                database_path(database),
                migrate,
                folders,
                opener=_open_copy,
                durability=durability,
                timeout=timeout,
                gate=gate,
                read_only=read_only,
                clock=clock,
            )
        engine, statements, upkeep = opened
        try:
            store = cls(engine, statements, upkeep, actor=actor, ids=ids, rng=rng, embedder=embedder)
            if embedder is not None:
                store._parts.vectors.check_model()
            if language is not None:
                store._parts.index.open_language(language)
            return store
        except BaseException:
            engine.close()
            raise

    def bind(self, folder: str | os.PathLike[str], records: Mapping[str, type[Any]] | None = None) -> Statements:
        """Bind an application's own folder of statements to this store; they take part in its transactions.

        Args:
            folder: The folder with the .sql files; its subfolder named after the engine is read too.
            records: Record classes by name: the RECORDS that `datastore generate` writes.

        Raises:
            StatementError: A file breaks a rule, or a header names an unknown record.
        """
        from datastore.statements.loader import read_statements

        return self.engine.bind(read_statements(Path(folder), self.engine.name), records)

    def observe(self, listener: Listener) -> Observation:
        """Call *listener* with every statement, transaction and long operation of this store from now on.

        The listener runs in the thread that causes an event, inside the call: it should return quickly, and must not use the
        store. What it raises is logged, not propagated. Without a listener, a statement costs what it costs without this method.

        Args:
            listener: Called with a `StatementEvent`, `TransactionStarted`, `TransactionEnded` or `OperationEvent`. Ready-made
                ones are in `datastore.observing`: logging, OpenTelemetry.

        Returns:
            Call its ``stop()``, or use it in a ``with`` block, to end it. Otherwise it ends with the store.
        """
        return Observation(self.engine.events, listener)

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Record *actor* in the audit log, in receipts and in legal holds, for everything that happens in the ``with`` block.

        It is true of the thread or task that enters the block, and of the tasks that this one starts inside. Blocks may be nested.

        Args:
            actor: Who asked, for example the user of a request; 1 to 200 characters. The audit log keeps it for ever.

        Raises:
            InvalidValueError: *actor* is not text of 1 to 200 characters.
            TransactionError: The block was left in another thread or context.
        """
        return self._parts.actor.acting_as(actor)

    @property
    def backups(self) -> Backups:
        """Make, list, verify and rotate copies of the database.

        Raises:
            UnsupportedError: The database is on a server, whose own tools make backups.
        """
        return self._upkeep.backups

    @property
    def maintenance(self) -> Maintenance:
        """Maintenance in bounded slices.

        Raises:
            UnsupportedError: The database is on a server, which does this itself.
        """
        return self._upkeep.maintenance

    def transaction(self, *, serializable: bool = False) -> AbstractContextManager[None]:
        """A transaction across all repositories: all or nothing. Use it in a ``with`` block.

        It takes the write lock at the start. Inside another transaction it is a savepoint. Any exception (including
        Ctrl-C) rolls it back and propagates. The current time is the same for every call inside.

        Args:
            serializable: PostgreSQL: serializable transactions behave as if they ran one after the other, as they always do on
                SQLite. If two conflict, one fails with ConflictError: use `run`.

        Raises:
            BusyError: The write lock was not free within the timeout.
            ConflictError: PostgreSQL: it conflicted with another transaction.
            TransactionError: Inside a snapshot; or serializable, inside a transaction that is not.
            TransactionLostError: The database already ended it (a full disk, say): nothing was kept.
            CommitOutcomeUnknownError: COMMIT itself failed; check before you repeat.
        """
        return self.engine.callers_transaction(serializable=serializable)

    def run(self, work: Callable[[], Result], *, serializable: bool = False, attempts: int = 5) -> Result:
        """Call *work* in a transaction, retry it on conflicts with other transactions, and return its result.

        Only PostgreSQL has such conflicts (deadlocks, SQLSTATE 40P01 and 40001); each retry begins a new transaction after a
        short random delay.

        Args:
            work: Called once per attempt; anything that it does outside the database is repeated.
            serializable: As in `transaction`.
            attempts: The maximum number of attempts; 1 or more.

        Raises:
            ConflictError: The last attempt failed too.
            TransactionError: Called inside a transaction, which cannot be retried in part.
        """
        self.engine.reading("run")
        for attempt in range(1, attempts + 1):
            try:
                with self.transaction(serializable=serializable):
                    return work()
            except ConflictError:
                if attempt == attempts:
                    raise
                with self.engine.events.operation("retry") as counts:
                    counts["attempt"] = attempt
                    time.sleep(random.uniform(0.0, 0.02 * 2**attempt))
        raise InvalidValueError("attempts: 1 or more are needed")

    def snapshot(self) -> AbstractContextManager[None]:
        """A read-only view of one consistent state, even while others write. Use it in a ``with`` block. Writing is refused.

        On PostgreSQL it reads from the *replica* that the store was opened with, if any, which may lag slightly.
        """
        return self.engine.snapshot()

    def verify(self, marks: Iterable[Mark] = (), *, deep: bool = False) -> Problems:
        """Verify the file, foreign keys, full-text index, audit chain, high-water marks, hashes, counts and the index by tag.

        `reindex` rebuilds the full-text index, the counts and the index by tag.

        Args:
            marks: High-water marks of the audit log that were kept elsewhere.
            deep: Compare every message with its hash, which reads all of them; otherwise compare a sample of a thousand. Also
                search for words of the newest messages and learnings: each word has to find its own text.

        Returns:
            Check name to problems found, without content; an empty list if there are none.
        """
        from datastore.upkeep.verify import verify

        with self.engine.events.operation("verify") as counts:
            problems = verify(self._parts, self._upkeep.checks(), marks, deep=deep)
            counts["problems"] = sum(map(len, problems.values()))
        return problems

    def reindex(
        self, on_progress: Callable[[str, int, int], None] | None = None, *, language: str | None = None
    ) -> None:
        """Rebuild derived data: full-text indexes, the index by tag, the counts of messages and jobs.

        It is one transaction that blocks all writers; until it ends, readers see the previous state. Afterwards, search also
        finds rows that other programs wrote. Vectors are divided again; no vector is made, because only the application has
        the model (`Vectors.embed`).

        Args:
            on_progress: Called with a full-text index's name, the number of rows done and their total.
            language: The new language of the full-text indexes; None: unchanged.

        Raises:
            InvalidValueError: There is no such language.
        """
        with self.engine.events.operation("reindex"):
            self._parts.derived.reindex(on_progress, language=language)

    def disclose(
        self,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        learning_id: str | None = None,
    ) -> SubjectData:
        """Return all data of a subject in one consistent state: exactly what `erase` with the same argument would delete.

        It reads every job, to find those that name the subject.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: No argument is given, or several.
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
        """Delete a subject and everything derived from it, so that no file of the database contains its text any more.

        Give one of *conversation_id*, *session_id*, *correlation_id* and *learning_id*. Messages, learnings (including those of
        other conversations that are derived from its messages), uploads and redactions are deleted; jobs that name it
        are emptied. Then the full-text indexes are merged, the WAL is truncated and the files' bytes are scanned; the file is
        vacuumed only if something is left. docs/retention.md says what erasure cannot reach.

        Args:
            conversation_id: One conversation.
            session_id: Every conversation of this session.
            correlation_id: The conversation with this correlation id.
            learning_id: One learning.
            reason: The reason, for the receipt; without content.
            vacuum: Whether the file may be vacuumed, which makes writers wait.
            on_progress: Called with a description of each step.

        Returns:
            The receipt, which is also stored: status "verified", "scrubbed", "deleted", or "blocked" with what blocks it.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: No argument is given, or several.
            TransactionError: Called inside a transaction.
            LegalHoldError: A hold was placed meanwhile; `Retention.resume` continues once it is released.
        """
        from datastore.retention.subjects import Subject

        subject = Subject.of(
            conversation_id=conversation_id,
            session_id=session_id,
            correlation_id=correlation_id,
            learning_id=learning_id,
        )
        with self.engine.events.operation("erase"):
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
        """Replace a database that nobody has open with a verified backup: see `datastore.upkeep.backups.restore`.

        The backup's SHA-256 must be the one that the database registered. Subjects erased from the database since then are first
        erased from the backup's copy: their tombstones are read from the database and from the file next to it. The
        restored database keeps the old one's owner, group and mode, and its register of backups.

        Args:
            backup: The file.
            database: The path to restore to. It may be missing or damaged: then it has no register, and only the content is
                verified.
            sha256: The SHA-256 that `datastore backup` printed, compared instead of the registered one.
            unregistered: Accept a backup that the database has not registered: only its content is verified.
            force: Replace a database that is too damaged to tell whether it is in use.
            timeout: How long to wait for others to close it, in seconds.

        Raises:
            BackupError: See `datastore.upkeep.backups.restore`; or it is not registered.
            BusyError: The database is in use; nothing was changed.
            CorruptDatabaseError: It is damaged and *force* was not given; nothing was changed.
            DiskFullError: There is no space; nothing was changed.
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
            for row in register or []:  # the restored database does not know all of them
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
                    if row.path == str(source):  # this backup: it was registered as finished only after it was made
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
            # The engine stays open: a repository of this store may still be in use.
            warnings.warn(
                f"{self!r} was not closed: use it in a with block", ResourceWarning, source=self, stacklevel=2
            )

    def __repr__(self) -> str:
        return f"Datastore({self.engine.database!r})"


def _known_to(path: Path) -> tuple[Tombstones, list[Backup] | None]:
    """The tombstones of a database that will be replaced, and its register of backups; None if it cannot be read."""
    from datastore.retention.tombstones import Tombstones

    if path.exists():
        with suppress(DatastoreError, OSError), Datastore.open(path, gate=False) as old:  # fails if too old or damaged
            statuses: tuple[BackupStatus, ...] = ("kept", "removed", "writing", "failed")
            return old._eraser.tombstones.carried(), [
                row for status in statuses for row in old._parts.backups.iterate(status)
            ]
    return Tombstones(), None


def _open_copy(path: Path) -> Datastore:
    # Nobody else has it open, so it needs no gate. It may be from an older version: pending migrations are applied to the copy.
    return Datastore.open(path, migrate=True, gate=False, durability="relaxed")
