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
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from datastore.address import database_path, is_server, real_path
from datastore.engines.base import Durability
from datastore.engines.ownership import refuse_green_threads
from datastore.engines.sqlite.engine import SQLiteEngine
from datastore.errors import ConflictError, DatastoreError, InvalidValueError, TransactionError
from datastore.files import typed
from datastore.migrations.steps import own_folders
from datastore.opening import on_file, on_server
from datastore.values import new_id, utc_now

if TYPE_CHECKING:
    from datastore.records import Backup, Erasure
    from datastore.records.backups import BackupStatus
    from datastore.repositories import (
        AuditRepository,
        BackupRepository,
        ConversationRepository,
        ErasureRepository,
        JobQueueRepository,
        LearningRepository,
        LegalHoldRepository,
        MessageRepository,
        RetentionPolicyRepository,
        TransferRepository,
        UploadRepository,
    )
    from datastore.retention.erasure import Eraser
    from datastore.retention.policies import Retention
    from datastore.retention.subjects import Belongings
    from datastore.retention.tombstones import Tombstones
    from datastore.statements.binding import Statements
    from datastore.upkeep.backups import Backups, Restored
    from datastore.upkeep.maintenance import Maintenance
    from datastore.upkeep.verify import Mark

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
        audit: `AuditRepository`.
        transfer: `TransferRepository`, what import, export and verify need beside these.
        backups: `Backups`, copies of the database: made, listed, verified, rotated.
        backup_register: `BackupRepository`, where those are noted.
        maintenance: `Maintenance`, upkeep in bounded slices.
        holds: `LegalHoldRepository`, conversations that nothing may delete or change.
        erasures: `ErasureRepository`, the receipts of what was erased.
        policies: `RetentionPolicyRepository`, how long what is kept.
        retention: `Retention`, looks ahead at what policies would do, and applies them.
        eraser: `Eraser`, what is behind `erase`: resumes one, applies tombstones again.
    """

    engine: SQLiteEngine
    conversations: ConversationRepository
    messages: MessageRepository
    learnings: LearningRepository
    jobs: JobQueueRepository
    uploads: UploadRepository
    audit: AuditRepository
    transfer: TransferRepository
    backups: Backups
    backup_register: BackupRepository
    maintenance: Maintenance
    holds: LegalHoldRepository
    erasures: ErasureRepository
    eraser: Eraser
    policies: RetentionPolicyRepository
    retention: Retention

    def __init__(
        self,
        engine: Any,
        statements: Statements,
        *,
        actor: str = "application",
        ids: Callable[[], str] = new_id,
        rng: random.Random | None = None,
    ) -> None:
        """Use `Datastore.open`; this takes an engine whose schema is known to be right."""
        from datastore import repositories
        from datastore.retention.erasure import Eraser
        from datastore.retention.policies import Retention
        from datastore.upkeep.backups import Backups
        from datastore.upkeep.cleaning import Cleaner
        from datastore.upkeep.maintenance import Maintenance
        from datastore.upkeep.server import Elsewhere, ServerCleaner

        self.engine = engine
        make: dict[str, Any] = {"statements": statements, "engine": engine, "new_id": ids}
        self.audit = repositories.AuditRepository(**make, actor=actor)
        make["audit"] = self.audit.record
        self.conversations = repositories.ConversationRepository(**make)
        self.messages = repositories.MessageRepository(**make)
        self.learnings = repositories.LearningRepository(**make)
        self.jobs = repositories.JobQueueRepository(**make, rng=rng)
        self.uploads = repositories.UploadRepository(**make)
        self.transfer = repositories.TransferRepository(**make)
        self.backup_register = repositories.BackupRepository(**make)
        upkeep = repositories.MaintenanceRepository(**make)
        self.holds = repositories.LegalHoldRepository(**make, actor=actor)
        self.erasures = repositories.ErasureRepository(**make)
        self.policies = repositories.RetentionPolicyRepository(**make)
        self.own_tables = repositories.OwnTableRepository(**make)
        self.retention = Retention(self, upkeep)
        cleaner: Any
        if engine.name == "sqlite":
            self.backups = Backups(engine, self.backup_register, _open_copy)
            sweep = self.backups.sweep
            self.maintenance = Maintenance(engine, upkeep, sweep)
            cleaner = Cleaner(engine, upkeep, self.erasures, self.maintenance, self.transfer.fill_full_text, sweep)
        else:
            elsewhere: Any = Elsewhere
            self.backups = elsewhere("backups", "pg_dump, pg_basebackup and WAL archiving make and restore them")
            self.maintenance = elsewhere("maintenance", "autovacuum and the checkpointer do it")
            cleaner = ServerCleaner(cast(Any, engine))
        self.eraser = Eraser(self, cleaner, actor)

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
        """
        refuse_green_threads()
        folders = own_folders(migrations)
        options: dict[str, Any] = {"durability": durability, "timeout": timeout}
        engine: Any
        if is_server(database):
            options |= {"pool_size": pool_size, "replica": replica, "clock": None if clock is utc_now else clock}
            engine, statements = on_server(str(database), migrate, folders, options)
        elif replica is not None:
            raise InvalidValueError("replica: a file has none; only a PostgreSQL database has")
        else:
            options |= {"gate": gate, "clock": clock}
            engine, statements = on_file(database_path(database), migrate, folders, options)
        try:
            return cls(engine, statements, actor=actor, ids=ids, rng=rng)
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

    def verify(self, marks: Iterable[Mark] = (), *, deep: bool = False) -> dict[str, list[str]]:
        """Check the file, foreign keys, full-text index, audit chain, high-water marks, hashes, counts and the index by tag.

        `TransferRepository.reindex` makes the full-text index, the counts and the index by tag again.

        Args:
            marks: High-water marks of the audit log, that were kept elsewhere.
            deep: Compare every message with its hash, which reads all of them; otherwise a thousand from everywhere. Also search
                for words of the newest messages and learnings: each has to find its own text.

        Returns:
            For each check what is wrong, without content; an empty list where nothing is.
        """
        from datastore.upkeep.verify import verify

        return verify(self, marks, deep=deep)

    def disclose(
        self,
        *,
        conversation: str | None = None,
        session: str | None = None,
        correlation: str | None = None,
        learning: str | None = None,
    ) -> Belongings:
        """Everything that is held of a subject, at one instant: what `erase` with the same argument would take away.

        Reads every job, to find those that name it.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: None is given, or several.
        """
        from datastore.retention.subjects import Subject, belongings

        subject = Subject.of(conversation, session, correlation, learning)
        with self.snapshot():
            return belongings(self, subject)

    def erase(
        self,
        *,
        conversation: str | None = None,
        session: str | None = None,
        correlation: str | None = None,
        learning: str | None = None,
        reason: str | None = None,
        vacuum: bool = True,
        progress: Callable[[str], None] | None = None,
    ) -> Erasure:
        """Delete a subject with everything derived from it, so that its text is in no file of the database any more.

        Give one of *conversation*, *session*, *correlation* and *learning*: their ids. Messages, learnings (those of
        other conversations too that one of its messages is a source of), uploads and redactions go; jobs that name it
        are emptied. Then the full-text indexes are merged, the WAL is cut, the files' bytes are scanned, and only where
        something is left the file is vacuumed. docs/retention.md says what no erasure reaches.

        Args:
            conversation: A conversation's id.
            session: Every conversation of this session.
            correlation: The conversation with this correlation id.
            learning: One learning.
            reason: Why, for the receipt; no content.
            vacuum: Whether the file may be vacuumed, which keeps writers waiting.
            progress: Called with what is being done.

        Returns:
            The receipt, which is stored too: status "verified", "scrubbed", "deleted", or "blocked" and by what.

        Raises:
            NotFoundError: There is no such subject.
            InvalidValueError: None is given, or several.
            TransactionError: Called inside a transaction.
            LegalHoldError: A hold was placed meanwhile; `Eraser.resume` goes on once it is released.
        """
        from datastore.retention.subjects import Subject

        subject = Subject.of(conversation, session, correlation, learning)
        return self.eraser.erase(subject, reason=reason, vacuum=vacuum, progress=progress)

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
            if sha256 is not None:
                sums: list[str] | None = [check_sha256(sha256)]
            else:
                sums = None if unregistered else known_sums(source, register)

        def amend(copy: Datastore, sum: str) -> tuple[int, int]:
            mark = present_mark(copy)
            with copy.transaction():
                copy.backup_register.take_in(register or [])
                for row in copy.backup_register.list("writing"):
                    if row.path == str(source):  # itself: a copy is registered once it is made
                        copy.backup_register.finish(
                            row.id,
                            file_bytes=source.stat().st_size,
                            checksum=sum,
                            audit_id=mark.audit_id,
                            audit_hash=mark.audit_hash,
                        )
            counts = copy.eraser.reapply(carried)
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
                restored.eraser.tombstones.save()
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
            statuses: tuple[BackupStatus, ...] = ("kept", "removed", "writing")
            return old.eraser.tombstones.carried(), [
                row for status in statuses for row in old.backup_register.list(status)
            ]
    return Tombstones(), None


def _open_copy(path: Path) -> Datastore:
    # Nobody else has it open, so no gate. It may be of an older version: what it lacks is applied to the copy.
    return Datastore.open(path, migrate=True, gate=False, durability="relaxed")
