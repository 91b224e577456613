"""What must hold in every database of this library, whatever happened to it; asked with raw SQL.

Nothing of the library's own checks is used here: a check that is broken along with the layer would prove nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from datastore.search.analysis import analyzer

#: Table and column that must refer to something, and to what.
REFERENCES = (
    ("messages", "conversation_id", "conversations"),
    ("branches", "conversation_id", "conversations"),
    ("learnings", "conversation_id", "conversations"),
    ("learning_tags", "learning_id", "learnings"),
    ("learning_messages", "learning_id", "learnings"),
    ("learning_messages", "message_id", "messages"),
    ("job_attempts", "job_id", "job_queue"),
    ("uploads", "learning_id", "learnings"),
    ("redactions", "conversation_id", "conversations"),
)

MISCOUNTED = """
SELECT id FROM conversations WHERE
    message_count <> (SELECT count(*) FROM messages WHERE conversation_id = conversations.id)
    OR last_position < (SELECT coalesce(max(position), 0) FROM messages WHERE conversation_id = conversations.id AND branch = 0)
    OR last_branch < (SELECT coalesce(max(branch), 0) FROM branches WHERE conversation_id = conversations.id)
    OR active_branch NOT IN (SELECT 0 UNION SELECT branch FROM branches WHERE conversation_id = conversations.id)
"""

MISBRANCHED = """
SELECT conversation_id, branch FROM branches WHERE last_position < (
    SELECT coalesce(max(position), 0) FROM messages AS own
    WHERE own.conversation_id = branches.conversation_id AND own.branch = branches.branch
) OR EXISTS (
    SELECT 1 FROM messages AS own
    WHERE own.conversation_id = branches.conversation_id AND own.branch = branches.branch AND position <= fork_position
) OR parent_branch <> 0 AND NOT EXISTS (
    SELECT 1 FROM branches AS parents
    WHERE parents.conversation_id = branches.conversation_id AND parents.branch = branches.parent_branch
    AND parents.fork_position < branches.fork_position
)
UNION ALL
SELECT conversation_id, branch FROM messages WHERE branch <> 0 AND NOT EXISTS (
    SELECT 1 FROM branches WHERE branches.conversation_id = messages.conversation_id AND branches.branch = messages.branch
)
"""

UNTAGGED = """
SELECT value AS tag, learnings.created_at, learnings.id FROM learnings, json_each(learnings.tags)
WHERE learnings.deleted_at IS NULL
"""

HIDDEN_APART = """
SELECT learnings.id FROM learnings JOIN conversations ON conversations.id = learnings.conversation_id
WHERE learnings.deleted_at IS NOT conversations.deleted_at
"""

#: Every claim raises the token, and has its line in the history.
ATTEMPTS = """
SELECT id FROM job_queue WHERE lease_token <> (SELECT count(*) FROM job_history WHERE job_id = job_queue.id)
"""

KEPT = "SELECT type, status, job_count FROM job_counts WHERE job_count <> 0"

COUNTS = """
SELECT type, 'stored', count(*) FROM job_queue GROUP BY type
UNION ALL SELECT type, status, count(*) FROM job_queue WHERE finished_at IS NOT NULL GROUP BY type, status
"""

AUDIT = """
SELECT id, previous_hash, action, subject_type, subject_id, actor, reason, details, created_at, hash
FROM audit_log ORDER BY id
"""


FULL_TEXT = (
    "INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1)",
    "INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)",
)


SHOWN = {
    "learnings": "SELECT seq, content, title FROM learnings WHERE deleted_at IS NULL",
    "messages": "SELECT seq, content, '' FROM messages"
    " WHERE partial = 0 AND conversation_id IN (SELECT id FROM conversations WHERE deleted_at IS NULL)",
}
INDEXED = {
    "learnings": "SELECT rowid, content, title, forms FROM learnings_fts",
    "messages": "SELECT rowid, content, '', forms FROM messages_fts",
}


def examine(path: Path) -> list[tuple[str, str]]:
    """The anomalies of a database file, opened as an outsider would (SQLite recovers its WAL)."""
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            return list(violations(connection))
    except sqlite3.Error as error:
        return [("corrupt file", f"{type(error).__name__}: {error}")]


def violations(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Everything that is wrong, as pairs of a class and a line."""
    try:
        # On a connection that has not searched: since SQLite 3.44 this looks at full-text indexes by what a connection remembers.
        (file,) = (row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main")
        with closing(sqlite3.connect(f"{Path(file).as_uri()}?mode=ro", uri=True)) as fresh:
            for (line,) in fresh.execute("PRAGMA integrity_check(5)"):
                if line != "ok":
                    yield "corrupt file", line
        yield from _relations(connection)
        yield from _full_text(connection)
        yield from _audit_chain(connection)
    except sqlite3.DatabaseError as error:
        yield "corrupt file", f"{type(error).__name__}: {error}"


def _relations(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    ids = connection.execute
    for table, column, target in REFERENCES:
        query = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {target})"
        for (value,) in ids(query).fetchmany(3):
            yield "orphan", f"{table}.{column} {value}"
    for (id,) in ids(MISCOUNTED).fetchmany(3):
        yield "partial transaction", f"conversation {id}: message_count or last_position"
    for id, branch in ids(MISBRANCHED).fetchmany(3):
        yield "partial transaction", f"conversation {id}: branch {branch}"
    for (id,) in ids(HIDDEN_APART).fetchmany(3):
        yield "partial transaction", f"learning {id}: hidden apart from its conversation"
    for (id,) in ids(ATTEMPTS).fetchmany(3):
        yield "partial transaction", f"job {id}: its history"
    for type, status, count in sorted(set(ids(KEPT)) ^ set(ids(COUNTS)))[:3]:
        yield "partial transaction", f"job_counts: {count} {status} of {type}"
    wanted = set(ids(UNTAGGED).fetchall())
    stored = set(ids("SELECT tag, created_at, learning_id FROM learning_tags").fetchall())
    for tag in sorted(wanted ^ stored)[:3]:
        yield "partial transaction", f"learning_tags {tag[0]} of {tag[2]}"


def _full_text(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    made = analyzer("english")
    for table, shown in SHOWN.items():
        kept = {seq: words for seq, *words in connection.execute(INDEXED[table])}
        for seq, content, title in connection.execute(shown):
            document = made.document(content, title)
            if kept.pop(seq, None) != list(document):
                yield "full-text drift", f"{table}: row {seq} is not indexed as it is"
        for seq in kept:
            yield "full-text drift", f"{table}: row {seq} is indexed and not there, or hidden"
    # SQLite's integrity_check does not compare a full-text index with the tokens that it was given; rank = 1 does.
    for check in FULL_TEXT:
        try:
            connection.execute(check)
        except sqlite3.DatabaseError as error:
            # It asks for the write lock, which nobody should hold any more.
            locked = error.sqlite_errorname.startswith("SQLITE_BUSY")
            yield ("deadlock" if locked else "full-text drift"), f"{check.split()[2]}: {error}"


def _audit_chain(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    last = "0" * 64
    for id, previous, *parts, stored in connection.execute(AUDIT):
        parts[5] = json.loads(parts[5])
        text = json.dumps([previous, *parts], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        if previous != last or hashlib.sha256(text.encode()).hexdigest() != stored:
            yield "partial transaction", f"audit entry {id} breaks the chain"
        last = stored
