"""A database of so many messages, shaped like life and the same in every run, filled by bulk inserts.

A tenth as many learnings and jobs as messages (a thousand at least), half as many uploads and audit entries; some 20
messages a conversation. Most conversations are short, a few are long, one is very long; they come in bursts. Words are
as frequent as in the sample conversations, a tenth of them from a Zipf tail of 20,000; most messages are short, one in
sixty has 1 to 10 KB, one in a thousand 10 to 100 KB; tags follow Zipf. A few rows are deleted, failed, running,
redacted, imported, not finished.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import sample_jobs
from sample_values import Row, share, stamp, uid

from datastore import Datastore, migrations

CATEGORIES = ("debugging", "testing", "deployment", "writing", "planning", "sql", "python", "security")
SOURCES = ("web", "ide", "api", "import")
DESTINATIONS = ("wiki", "search", "mail")
#: (status, share).
UPLOADS = (("confirmed", 70), ("uploaded", 10), ("uploading", 5), ("pending", 10), ("failed", 5))
MESSAGES = "id, conversation_id, position, role, content, content_hash, token_count, created_at, source_id, partial"
TEXTS = 4000
#: Rare words beside those of the sample, by Zipf's law.
TAIL = 20_000
#: The length of a vector.
DIMENSIONS = 64
#: Conversations that begin within ten minutes of one another, before a pause; one a minute on average.
BURST = 40

#: What slows the filling down; the indexes first, because triggers may read by them.
_DROPPED = "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql <> '' ORDER BY type"

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations/sqlite"


def began(conversation: int) -> int:
    """When a conversation began, in seconds after the first one."""
    return conversation // BURST * BURST * 60 + conversation % BURST * 15


class Filled(NamedTuple):
    """How many rows a database got, in all tables, and what took how many seconds."""

    rows: int
    insert_seconds: float
    index_seconds: float
    full_text_seconds: float


def fill(path: Path, rows: int) -> Filled:
    """Migrate a new database and fill it with *rows* messages and what belongs to them."""
    migrations.apply(path, MIGRATIONS)
    life = Life(rows)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Nothing is checked while it is filled: tests/test_statement_times.py checks a small one.
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "foreign_keys = OFF",
            "ignore_check_constraints = ON",
            "cache_size = -400000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("BEGIN")
        dropped = connection.execute(_DROPPED).fetchall()
        for kind, name, _ in dropped:
            connection.execute(f"DROP {kind} {name}")
        begun, before = time.perf_counter(), connection.total_changes
        life.write(connection)
        inserted, count = time.perf_counter(), connection.total_changes - before
        for _, _, sql in dropped:  # at the end: an index is built by one sort, and no trigger runs for each row
            connection.execute(sql)
        indexed = time.perf_counter()
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    begun_indexing = time.perf_counter()
    with Datastore.open(path, durability="relaxed") as store:
        store.reindex()  # which counts the jobs too
        pick = random.Random(5)
        store.vectors.change_model(
            lambda texts: [[pick.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in texts], "sample", embed_timeout=None
        )
        store.vectors.embed(batch=1000, max_rows=life.learnings + rows // 10)
    return Filled(count, inserted - begun, indexed - inserted, time.perf_counter() - begun_indexing)


def seeded(path: Path, rows: int) -> Filled:
    """Fill a database with this project's schema, unless another part has; what that took stands beside it."""
    beside = path.with_suffix(".filled.json")
    if not path.exists():
        beside.write_text(json.dumps(fill(path, rows)))
    return Filled(*json.loads(beside.read_text()))


def insert(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Insert rows that all have the columns of the first one."""
    every = iter(rows)
    first = next(every, None)
    if first is None:
        return
    columns, marks = ", ".join(first), ", ".join("?" * len(first))
    values = (tuple(row.values()) for rows in ((first,), every) for row in rows)
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)


class Life:
    """The rows of every table, from one seed."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.learnings = self.jobs = max(1000, rows // 10)
        self.uploads = self.audits = self.learnings // 2
        self.random = random.Random(7)
        words = [line for line in _words() if line]
        self.words = [*words, *(f"{words[n % 97]}{n:x}" for n in range(TAIL))]
        often = 9 / len(words)
        weights = [often] * len(words) + [
            1 / (n + 1) / 10 for n in range(TAIL)
        ]  # a tenth of all, as the sum is about 10
        self._weights = list(itertools.accumulate(weights))
        self.texts = [self._text(number) for number in range(TEXTS)]
        self.hashes = [hashlib.sha256(text.encode()).hexdigest() for text in self.texts]
        self.titles = [" ".join(text.split()[:6]) for text in self.texts]
        self.tags = [f"{word}-{number}" for number, word in enumerate(words[:200])]
        self.sizes = list(self._sizes())
        self.conversations = len(self.sizes)
        #: So many of the last conversations are held, or were.
        self.held = min(40, self.conversations // 10)

    def _sizes(self) -> Iterator[int]:
        """Messages of each conversation: one has a fiftieth of all (of 500 if it can), others 2 to 400, 20 on average."""
        long = max(self.rows // 50, min(500, self.rows // 2))
        left = self.rows - long
        yield long
        while left > 0:
            size = min(left, 2 + int(self.random.paretovariate(1.16) * 4) % 400)
            yield size
            left -= size

    def _text(self, number: int) -> str:
        """A short text; one in sixty is longer, one in a thousand very long."""
        size = self.random.randint(8, 90)
        if number % 60 == 59:
            size = int(180 * 10 ** self.random.random())
        if number % 1000 == 999:
            size = int(1800 * 10 ** self.random.random())
        return " ".join(self.random.choices(self.words, cum_weights=self._weights, k=size))

    def write(self, connection: sqlite3.Connection) -> None:
        insert(connection, "conversations", self.conversation_rows())
        marks = ", ".join("?" * (MESSAGES.count(",") + 1))
        connection.executemany(f"INSERT INTO messages ({MESSAGES}) VALUES ({marks})", self.message_rows())
        insert(connection, "branches", self.branch_rows())
        connection.execute(
            "UPDATE conversations SET last_branch = 1 WHERE id IN (SELECT conversation_id FROM branches)"
        )
        insert(connection, "learnings", self.learning_rows())
        insert(connection, "learning_tags", self.tag_rows())
        insert(connection, "learning_messages", self.source_rows())
        self.write_jobs(connection)
        insert(connection, "uploads", self.upload_rows())
        insert(connection, "audit_log", self.audit_rows())
        connection.execute("UPDATE audit_log_counter SET last_id = (SELECT count(*) FROM audit_log)")
        insert(connection, "redactions", self.redaction_rows())
        insert(connection, "backups", self.backup_rows())
        insert(connection, "erasures", self.erasure_rows())
        insert(connection, "erasure_keys", [{"id": uid(7, 0), "secret": "0" * 64, "created_at": stamp(0)}])
        policy = {"name": "conversations", "target": "conversations", "since": "activity", "age_days": 30.0}
        insert(connection, "retention_policies", [{**policy, "created_at": stamp(0), "updated_at": stamp(0)}])
        insert(connection, "tombstones", self.tombstone_rows())
        insert(connection, "legal_holds", self.hold_rows())
        tasks = ("free_pages", "full_text", "checkpoint", "optimize", "vacuum")
        insert(connection, "maintenance_tasks", [{"name": name, "ran_at": stamp(0)} for name in tasks])

    def write_jobs(self, connection: sqlite3.Connection) -> None:
        """Jobs and what belongs to them; `fill` counts them."""
        jobs = list(sample_jobs.job_rows(self.jobs))
        insert(connection, "job_queue", jobs)
        insert(connection, "job_attempts", sample_jobs.attempt_rows(jobs))
        insert(connection, "job_limits", sample_jobs.limit_rows())
        insert(connection, "schedules", sample_jobs.schedule_rows())
        insert(connection, "job_pauses", sample_jobs.pause_rows())

    def deleted(self, conversation: int) -> str | None:
        return stamp(began(conversation) + 90_000) if conversation % 50 == 7 else None

    def conversation_rows(self) -> Iterator[Row]:
        for number in range(self.conversations):
            yield {
                "id": uid(1, number),
                "session_id": f"session-{number % max(1, self.conversations // 20)}",
                "correlation_id": f"chat-{number}" if number % 3 else None,
                "source": SOURCES[min(3, int(self.random.expovariate(1.2)))],
                "title": self.titles[number % TEXTS],
                "sanitization_version": "1",
                "message_count": self.sizes[number],
                "last_position": self.sizes[number],
                "created_at": stamp(began(number)),
                "updated_at": stamp(began(number) + 60),
                "completed_at": stamp(began(number) + 60) if number % 5 < 3 else None,
                "deleted_at": self.deleted(number),
            }

    def branch_rows(self) -> Iterator[Row]:
        """A fork of every tenth conversation, after its first message."""
        for conversation in range(0, len(self.sizes), 10):
            places = {"parent_branch": 0, "fork_position": 1, "last_position": 1}
            at = {"created_at": stamp(began(conversation)), "label": "again"}
            yield {"conversation_id": uid(1, conversation), "branch": 1, **places, **at}

    def message_rows(self) -> Iterator[tuple[Any, ...]]:
        """Tuples, in the order of MESSAGES: most of all rows are these.

        A tenth of the conversations was imported; of another tenth the last message is still being written.
        """
        number, tenths = 0, [f"{n / 10:.6f}"[1:] for n in range(10)]
        roles = ("user", "assistant", "user", "assistant", "tool")
        tokens = [len(text) // 4 for text in self.texts]
        for conversation, size in enumerate(self.sizes):
            id, begun, second = uid(1, conversation), began(conversation), ""
            is_imported, is_open = conversation % 10 == 1, conversation % 10 == 4
            for position in range(1, size + 1):
                text = number * 7919 % TEXTS
                if position % 10 == 0 or not second:
                    second = stamp(begun + position // 10)[:19]
                yield (
                    uid(2, number), id, position, roles[position % 5], self.texts[text], self.hashes[text], tokens[text],
                    f"{second}{tenths[position % 10]}Z",
                    f"source-{position}" if is_imported else None, int(is_open and position == size),
                )  # fmt: skip
                number += 1

    def learning_rows(self) -> Iterator[Row]:
        for number in range(self.learnings):
            conversation = number * 7 % self.conversations
            yield {
                "id": uid(3, number),
                "conversation_id": uid(1, conversation),
                "category": CATEGORIES[min(7, int(self.random.expovariate(0.5)))],
                "title": self.titles[number % TEXTS],
                "content": self.texts[number * 31 % TEXTS],
                "confidence": round(self.random.random(), 3),
                "tags": json.dumps(self.tags_of(number)),
                "dedupe_key": f"learning-{number}",
                "created_at": stamp(number * 30),
                "updated_at": stamp(number * 30),
                "deleted_at": self.deleted(conversation),
            }

    def tags_of(self, learning: int) -> list[str]:
        """Three tags at most, by Zipf's law: the n-th is as frequent as one over n."""
        return sorted({self.tags[int(200 ** (learning * prime % 997 / 997)) - 1] for prime in (5, 13, 199)})

    def tag_rows(self) -> Iterator[Row]:
        for number in range(self.learnings):
            if self.deleted(number * 7 % self.conversations) is None:
                for tag in self.tags_of(number):
                    yield {"tag": tag, "created_at": stamp(number * 30), "learning_id": uid(3, number)}

    def source_rows(self) -> Iterator[Row]:
        """Two messages of a learning's own conversation, or the one that there is."""
        firsts = [0, *itertools.accumulate(self.sizes)]
        for number in range(self.learnings):
            conversation = number * 7 % self.conversations
            size = self.sizes[conversation]
            for place in sorted({number % size, (number + 3) % size}):
                yield {"learning_id": uid(3, number), "message_id": uid(2, firsts[conversation] + place)}

    def upload_rows(self) -> Iterator[Row]:
        for number in range(self.uploads):
            status = share(UPLOADS, number)
            there = status in ("uploaded", "confirmed")
            yield {
                "id": uid(4, number),
                "learning_id": uid(3, number * 2),
                "destination": DESTINATIONS[number % 3],
                "status": status,
                "remote_id": f"remote-{number}" if there else None,
                "attempts": int(status != "pending"),
                "created_at": stamp(number * 60),
                "updated_at": stamp(number * 60 + 9),
                "uploaded_at": stamp(number * 60 + 5) if there else None,
                "confirmed_at": stamp(number * 60 + 9) if status == "confirmed" else None,
            }

    def audit_rows(self) -> Iterator[Row]:
        before = "0" * 64
        for number in range(self.audits):
            own = hashlib.sha256(f"{before}{number}".encode()).hexdigest()
            yield {
                "action": ("soft_delete", "restore", "delete", "redact")[number % 4],
                "subject_type": "conversation",
                "subject_id": uid(1, number % self.conversations),
                "actor": "operator",
                "created_at": stamp(number * 60),
                "previous_hash": before,
                "hash": own,
            }
            before = own

    def redaction_rows(self) -> Iterator[Row]:
        for number in range(max(20, self.rows // 50)):
            yield {
                "id": uid(5, number),
                "conversation_id": uid(1, 0),
                "message_id": uid(2, number % max(1, self.sizes[0])),
                "category": ("email", "phone", "name")[number % 3],
                "rule": "pattern",
                "detector": "sanitizer",
                "original_hash": self.hashes[number % TEXTS],
                "replacement": "[REDACTED]",
                "confidence": 0.9,
                "created_at": stamp(number),
            }

    def backup_rows(self) -> Iterator[Row]:
        for number in range(20):
            kept = number % 4 > 0
            yield {
                "id": uid(8, number),
                "path": f"/backups/{number}.db",
                "status": "kept" if kept else "writing",
                "created_at": stamp(number * 60),
                "finished_at": stamp(number * 60 + 5) if kept else None,
                "file_bytes": 1_000_000 if kept else None,
                "checksum": "0" * 64 if kept else None,
                "audit_id": 1 if kept else None,
                "audit_hash": "0" * 64 if kept else None,
            }

    def hold_rows(self) -> Iterator[Row]:
        """Of the last conversations every other one is held, and the others were."""
        for number in range(self.held):
            over = number % 2 == 1
            yield {
                "id": uid(9, number),
                "conversation_id": uid(1, self.conversations - 1 - number),
                "reason": "a case",
                "placed_by": "operator",
                "placed_at": stamp(number * 60),
                "released_by": "operator" if over else None,
                "released_at": stamp(number * 60 + 30) if over else None,
            }

    def erasure_rows(self) -> Iterator[Row]:
        for number in range(max(10, self.rows // 100)):
            yield {
                "id": uid(6, number),
                "subject_kind": "conversation",
                "subject_hash": hashlib.sha256(str(number).encode()).hexdigest(),
                "status": "verified",
                "actor": "operator",
                "created_at": stamp(number * 60),
                "updated_at": stamp(number * 60 + 5),
            }

    def tombstone_rows(self) -> Iterator[Row]:
        for erasure in self.erasure_rows():
            yield {
                "kind": erasure["subject_kind"],
                "subject_hash": erasure["subject_hash"],
                "erasure_id": erasure["id"],
                "created_at": erasure["created_at"],
            }


def _words() -> list[str]:
    """The words of the conversations that the package ships, as frequent as there."""
    folder = Path(__file__).resolve().parent.parent / "datastore/sample"
    text = " ".join(path.read_text("utf-8") for path in sorted(folder.glob("*.jsonl")))
    return [word for word in "".join(char if char.isalpha() else " " for char in text).lower().split() if len(word) > 1]
