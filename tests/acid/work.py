"""The work that the crash suites interrupt: units, each one transaction over six tables, all of it or nothing."""

from __future__ import annotations

import functools
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from datastore import Datastore, NewMessage, migrations
from datastore.migrations import sqlite as yoyo_sqlite
from datastore.resources import migrations_folder
from tests.acid.child import TEMPLATES
from tests.acid.invariants import violations

#: How many rows of each table a whole unit has.
WHOLE = {"conversations": 1, "messages": 3, "learnings": 1, "uploads": 1, "job_queue": 1, "audit_log": 1}

PARTS = """
SELECT 'conversations', id, count(*) FROM conversations WHERE source = 'unit' GROUP BY id
UNION ALL SELECT 'messages', conversation_id, count(*) FROM messages WHERE conversation_id LIKE 'u%' GROUP BY 2
UNION ALL SELECT 'learnings', conversation_id, count(*) FROM learnings WHERE conversation_id LIKE 'u%' GROUP BY 2
UNION ALL SELECT 'uploads', destination, count(*) FROM uploads GROUP BY 2
UNION ALL SELECT 'job_queue', dedupe_key, count(*) FROM job_queue GROUP BY 2
UNION ALL SELECT 'audit_log', subject_id, count(*) FROM audit_log GROUP BY 2
"""


def new_database(folder: Path, name: str = "app.db") -> Path:
    """A migrated, empty database."""
    path = folder / name
    path.write_bytes(_migrated())
    return path


@functools.cache
def _migrated() -> bytes:
    """Migrated once by whoever needs it first, for all the processes of this run whose tree has the same steps."""
    kept = Path(os.environ.get(TEMPLATES) or tempfile.mkdtemp()) / _steps()
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "app.db"
            migrations.apply(path)
            # Under another name first: somebody else may be making the same one.
            whole = kept.with_name(f"{kept.name}.{os.getpid()}")
            whole.write_bytes(path.read_bytes())
            whole.replace(kept)
    return kept.read_bytes()


def _steps() -> str:
    """A digest of what makes the schema: the steps, and the code that applies them."""
    code = [Path(module.__file__) for module in (migrations, yoyo_sqlite)]
    digest = hashlib.sha256()
    for path in [*sorted(migrations_folder().glob("*.sql")), *code]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_unit(store: Datastore, name: str, acknowledge: Callable[[], object] = int, *, size: int = 1) -> None:
    """One transaction, then *acknowledge*; *size* makes its texts longer (in about 30 bytes)."""
    with store.transaction():
        store.conversations.add(id=name, sanitization_version="1", source="unit")
        messages = [NewMessage(role="user", content=f"{name} message {n} " * size) for n in range(3)]
        store.messages.append_many(name, messages)
        learning = store.learnings.add(
            conversation_id=name, category="unit", title=name, content=f"word {name} " * size, tags=["a", name]
        )
        store.uploads.add(learning.id, name)
        store.jobs.enqueue("unit", {"name": name}, dedupe_key=name)
        store.audit.record("redact", subject_type="conversation", subject_id=name)
    acknowledge()


def units(connection: sqlite3.Connection) -> tuple[set[str], set[str]]:
    """The names of the whole units in a database, and of those that are there in part."""
    found: dict[str, dict[str, int]] = {}
    for table, name, count in connection.execute(PARTS):
        found.setdefault(str(name), {})[table] = count  # in a broken file a name may be anything
    whole = {name for name, parts in found.items() if parts == WHOLE}
    return whole, set(found) - whole


def check_units(path: Path, acknowledged: set[str]) -> tuple[list[tuple[str, str]], set[str]]:
    """The anomalies of a database after a crash, and the names of the units in it.

    Args:
        path: Opened as an outsider would: SQLite recovers the WAL.
        acknowledged: The units whose transaction had returned before the crash.
    """
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            anomalies = list(violations(connection))
            whole, partial = units(connection)
    except sqlite3.Error as error:
        return [("corrupt file", f"{type(error).__name__}: {error}")], set()
    anomalies += [("partial transaction", f"unit {name}") for name in sorted(partial)]
    anomalies += [("lost commit", f"unit {name}") for name in sorted(acknowledged - whole)]
    return anomalies, whole
