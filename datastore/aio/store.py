"""The asynchronous store: everything that `datastore.store.Datastore` has, awaited."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from datastore.aio.blocks import AsyncSnapshot, AsyncTransaction
from datastore.aio.statements import AsyncStatements, bind
from datastore.aio.threads import Threads, once
from datastore.aio.typed.audit import AsyncAuditRepository
from datastore.aio.typed.branches import AsyncBranchRepository
from datastore.aio.typed.conversations import AsyncConversationRepository
from datastore.aio.typed.job_queue import AsyncJobQueueRepository
from datastore.aio.typed.learnings import AsyncLearningRepository
from datastore.aio.typed.legal_holds import AsyncLegalHoldRepository
from datastore.aio.typed.messages import AsyncMessageRepository
from datastore.aio.typed.redactions import AsyncRedactionRepository
from datastore.aio.typed.retention import AsyncRetention
from datastore.aio.typed.schedules import AsyncScheduleRepository
from datastore.aio.typed.store import AsyncOperations
from datastore.aio.typed.upkeep import AsyncBackups, AsyncMaintenance
from datastore.aio.typed.uploads import AsyncUploadRepository
from datastore.aio.typed.vectors import AsyncVectors
from datastore.engines.base import Durability
from datastore.errors import TransactionError
from datastore.store import Datastore
from datastore.values import EMBED_TIMEOUT, new_id, utc_now

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from datastore.events import Listener, Observation
    from datastore.records.vectors import Embed
    from datastore.upkeep.backups import Restored

Result = TypeVar("Result")

#: Default number of threads that read a SQLite database.
READERS = 4

#: Default maximum number of calls in flight, for the writing and for the reading threads each.
MAX_CALLS = 100


class AsyncDatastore(AsyncOperations):
    """A `Datastore` for the tasks of one asyncio event loop, which it never blocks.

    Each call runs the synchronous store's method on a thread. Use it in an ``async with`` block, or close it.

    Attributes:
        sync: The synchronous `Datastore`, for code that runs on other threads.
        conversations: `ConversationRepository`, awaited; so are the others.
        branches: `BranchRepository`.
        messages: `MessageRepository`.
        learnings: `LearningRepository`.
        jobs: `JobQueueRepository`.
        schedules: `ScheduleRepository`.
        uploads: `UploadRepository`.
        redactions: `RedactionRepository`.
        audit: `AuditRepository`.
        holds: `LegalHoldRepository`.
        vectors: `Vectors`.
        retention: `Retention`.
        backups: `Backups`.
        maintenance: `Maintenance`.
    """

    def __init__(self, store: Datastore, *, readers: int = READERS, max_calls: int = MAX_CALLS) -> None:
        """Use an open synchronous store from the running event loop; `close` then leaves *store* open.

        Args:
            store: The synchronous store; other threads may use it too.
            readers: SQLite: the maximum number of calls that read at the same time. On PostgreSQL that is the pool's size.
            max_calls: The maximum number of calls in flight: that many calls (on SQLite, reads and writes are counted apart)
                are handed to the threads, and further ones wait in the event loop until one of them ends.

        Raises:
            UnsupportedError: No event loop is running.
            InvalidValueError: *readers* or *max_calls* is less than 1.
        """
        threads = Threads(store.engine, readers=readers, max_calls=max_calls)
        super().__init__(threads, store)
        self.sync = store
        self._owned = False
        self.conversations = AsyncConversationRepository(threads, store.conversations)
        self.branches = AsyncBranchRepository(threads, store.branches)
        self.messages = AsyncMessageRepository(threads, store.messages)
        self.learnings = AsyncLearningRepository(threads, store.learnings)
        self.jobs = AsyncJobQueueRepository(threads, store.jobs)
        self.schedules = AsyncScheduleRepository(threads, store.schedules)
        self.uploads = AsyncUploadRepository(threads, store.uploads)
        self.redactions = AsyncRedactionRepository(threads, store.redactions)
        self.audit = AsyncAuditRepository(threads, store.audit)
        self.holds = AsyncLegalHoldRepository(threads, store.holds)
        self.retention = AsyncRetention(threads, store.retention)
        self.vectors = AsyncVectors(threads, store.vectors)

    @classmethod
    async def open(
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
        readers: int = READERS,
        max_calls: int = MAX_CALLS,
    ) -> AsyncDatastore:
        """Open a database; *readers* and *max_calls* are those of the constructor, everything else is that of `Datastore.open`.

        *timeout* is also how long a call may wait for its turn while no other call ends. *embed*, *clock*, *ids* and *rng* are
        called on threads.
        """
        opened = once(
            partial(
                Datastore.open,
                database,
                migrate=migrate,
                durability=durability,
                timeout=timeout,
                actor=actor,
                gate=gate,
                pool_size=pool_size,
                replica=replica,
                read_only=read_only,
                migrations=migrations,
                language=language,
                embed=embed,
                embed_model=embed_model,
                embed_timeout=embed_timeout,
                clock=clock,
                ids=ids,
                rng=rng,
            )
        )
        try:
            store = await opened.wait()
        except asyncio.CancelledError:
            if opened.result is not None:
                await once(opened.result.close).wait()
            raise
        try:
            made = cls(store, readers=readers, max_calls=max_calls)
        except BaseException:
            await once(store.close).wait()
            raise
        made._owned = True
        return made

    async def bind(
        self, folder: str | os.PathLike[str], records: Mapping[str, type[Any]] | None = None
    ) -> AsyncStatements:
        """Bind an application's own folder of statements to this store, as functions to await; see `Datastore.bind`."""
        return await once(partial(bind, self._threads, self.sync.engine, folder, records)).wait()

    def observe(self, listener: Listener) -> Observation:
        """Call *listener* with every statement, transaction and long operation of this store; see `Datastore.observe`.

        It is called on the threads of this store, not in the event loop, with the context variables of the task that calls.
        """
        return self.sync.observe(listener)

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Record *actor* for everything that the task does in the ``with`` block (not ``async with``); see `Datastore.acting_as`."""
        return self.sync.acting_as(actor)

    @property
    def backups(self) -> AsyncBackups:
        """Make, list, verify and rotate copies of the database.

        Raises:
            UnsupportedError: The database is on a server, whose own tools make backups.
        """
        return AsyncBackups(self._threads, self.sync.backups)

    @property
    def maintenance(self) -> AsyncMaintenance:
        """Maintenance in bounded slices.

        Raises:
            UnsupportedError: The database is on a server, which does this itself.
        """
        return AsyncMaintenance(self._threads, self.sync.maintenance)

    def transaction(self, *, serializable: bool = False) -> AsyncTransaction:
        """A transaction across all repositories: all or nothing. Use it in an ``async with`` block.

        It belongs to the task that enters it: calls of other tasks, also of child tasks, raise TransactionError inside it. It
        keeps a thread until its end; on SQLite other writes wait for that, so do not wait for a model or a network in it.
        Everything else is as in `Datastore.transaction`, and so are the errors.
        """
        threads = self._threads
        return AsyncTransaction(threads, threads.writing, partial(self.sync.transaction, serializable=serializable))

    async def run(
        self, work: Callable[[Datastore], Result], *, serializable: bool = False, attempts: int = 5
    ) -> Result:
        """Call a synchronous function in a transaction on a thread: the fastest way to run many statements.

        Args:
            work: Called with the synchronous store; see `Datastore.run`.
            serializable: As in `transaction`.
            attempts: The maximum number of attempts; 1 or more.

        Raises:
            ConflictError: The last attempt failed too.
            TransactionError: Called inside a transaction, which cannot be retried in part.
        """
        sync = self.sync
        return await self._threads.write(sync.run, partial(work, sync), serializable=serializable, attempts=attempts)

    def snapshot(self) -> AsyncSnapshot:
        """A read-only view of one consistent state; use it in an ``async with`` block. See `Datastore.snapshot`."""
        return AsyncSnapshot(self._threads, self._threads.reading, self.sync.snapshot)

    @staticmethod
    async def restore(
        backup: str | os.PathLike[str],
        database: str | os.PathLike[str],
        *,
        sha256: str | None = None,
        unregistered: bool = False,
        force: bool = False,
        timeout: float = 1.0,
    ) -> Restored:
        """Replace a database that nobody has open with a verified backup: see `Datastore.restore`."""
        return await once(
            partial(
                Datastore.restore,
                backup,
                database,
                sha256=sha256,
                unregistered=unregistered,
                force=force,
                timeout=timeout,
            )
        ).wait()

    async def close(self) -> None:
        """Close the store: calls that wait for their turn, and open transactions, end with ClosedError.

        Raises:
            TransactionError: The calling task is inside a transaction.
        """
        await self._threads.close(self.sync.close if self._owned else _nothing)

    async def __aenter__(self) -> AsyncDatastore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TransactionError(
            "a store cannot be copied or passed to another process; pass its path or URL, and open it there"
        )

    def __repr__(self) -> str:
        return f"AsyncDatastore({self.sync.engine.database!r})"


def _nothing() -> None:
    """Close nothing: the synchronous store belongs to somebody else."""
