"""The queues that are measured side by side, each behind the same three calls.

Every one is set to the same journal (WAL) and the same durability, and does what its own documentation says to do.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Protocol

PAYLOAD = {"conversation_id": "0192e7c5-0000-7000-8000-000000000000", "step": "extract"}

#: PRAGMA synchronous by the name that `Datastore.open` has for it.
SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}


class Queue(Protocol):
    """What a process does with a queue."""

    def put(self) -> None: ...
    def take(self) -> Any:
        """A job, or None."""

    def done(self, job: Any) -> None: ...
    def close(self) -> None: ...


class Ours:
    """This library: history, leases, fences, dedupe and all indexes on."""

    def __init__(self, folder: Path, durability: Any, *, gate: bool = True) -> None:
        from datastore import Datastore

        self.store = Datastore.open(folder / "ours.db", migrate=True, durability=durability, gate=gate)
        self.jobs = self.store.jobs

    def put(self) -> None:
        self.jobs.enqueue("t", PAYLOAD)

    def take(self) -> Any:
        return self.jobs.claim(["t"], worker="w")

    def done(self, job: Any) -> None:
        self.jobs.succeed(job)

    def close(self) -> None:
        self.store.close()


class OursUngated(Ours):
    """The same without the write gate: SQLite's busy handler alone."""

    def __init__(self, folder: Path, durability: Any) -> None:
        super().__init__(folder, durability, gate=False)


class LiteQueue:
    """litequeue 0.9: a table with a lock time; no lease, no retry, no history."""

    def __init__(self, folder: Path, durability: str) -> None:
        from litequeue import LiteQueue as Peer

        self.queue = Peer(folder / "litequeue.db", timeout=30)
        self.queue.conn.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        self.payload = json.dumps(PAYLOAD)

    def put(self) -> None:
        self.queue.put(self.payload)

    def take(self) -> Any:
        return self.queue.pop()

    def done(self, job: Any) -> None:
        self.queue.done(job.message_id)

    def close(self) -> None:
        self.queue.conn.close()


class Huey:
    """huey's SqliteStorage: a claim deletes the row, so there is no ack; two commits a cycle."""

    def __init__(self, folder: Path, durability: str) -> None:
        from huey.storage import SqliteStorage

        self.storage = SqliteStorage(filename=str(folder / "huey.db"), timeout=30, strict_fifo=True)
        self.storage.conn.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        self.payload = json.dumps(PAYLOAD).encode()

    def put(self) -> None:
        self.storage.enqueue(self.payload)

    def take(self) -> Any:
        return self.storage.dequeue()

    def done(self, job: Any) -> None:
        pass

    def close(self) -> None:
        self.storage.close()


class PersistQueue:
    """persist-queue's SQLiteAckQueue: the claim is a read and then a write, so that two may take one job."""

    def __init__(self, folder: Path, durability: str) -> None:
        from persistqueue import SQLiteAckQueue

        self.queue = SQLiteAckQueue(
            str(folder / "persist"), multithreading=True, auto_commit=True, timeout=30, auto_resume=False
        )
        for connection in {id(c): c for c in (self.queue._getter, self.queue._putter)}.values():
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")

    def put(self) -> None:
        self.queue.put(PAYLOAD)

    def take(self) -> Any:
        from persistqueue.exceptions import Empty

        try:
            return self.queue.get(block=False, raw=True)
        except Empty:
            return None

    def done(self, job: Any) -> None:
        self.queue.ack(id=job["pqid"])

    def close(self) -> None:
        self.queue.close()


QUEUES: dict[str, type[Any]] = {
    "datastore": Ours,
    "datastore, no gate": OursUngated,
    "litequeue 0.9": LiteQueue,
    "huey": Huey,
    "persist-queue": PersistQueue,
}


def locked(error: Exception) -> bool:
    """Whether a peer gave up waiting for the write lock."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
