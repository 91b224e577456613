"""Arguments for any statement, made from its parameters' names and types and from rows of the database.

A parameter is the column that it is named like, its ``after_``, ``before_``, ``_from``, ``_to`` ... taken off: its value
is that column's in a row that is there. A key of a new row is a new one. What no rule fits is in SPECIAL, or is told.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from datastore.contract.facts import StatementFacts
from datastore.contract.touches import Touch
from datastore.search.analysis import Document
from datastore.search.matching import Indexed, Leaf, Match, Matches, Rows, Words
from datastore.statements.headers import Parameter

FIRST, LAST = "2026-01-01T00:00:00.000000Z", "2029-01-01T00:00:00.000000Z"

_vectors = re.compile("(?P<verb>add|move)_(?P<noun>learning|message)_vectors")

#: The length of a sample vector.
DIMENSIONS = 64

#: What names and types do not say: by parameter, or by "statement.parameter".
SPECIAL: dict[str, Any] = {
    "max_rows": 50,
    "max_tokens": 4000,
    "min_confidence": 0.5,
    "min_tags_any": 1,
    "min_tags_all": 1,
    "prefix_from": "=ind",
    "prefix_to": "=ine",
    "language": "english",
    "get_search_setting.name": "language",
    "from_seq": 0,
    "cell": 0,
    "after_place": 0,
    "before_place": 2**62,
    "dimensions": DIMENSIONS,
    "vectors": bytes(range(1, DIMENSIONS + 1)) * 10,
    "after_cell": 0,
    "add_vector_index.name": "learnings",
    "add_vector_cell.name": "learnings",
    "add_vector_cell.cell": 4_000_000,
    "add_vector_cell.generation": 1,
    "centroid": b"\0\x3c" * DIMENSIONS,
    "to_seq": 2**62,
    "before_seq": 2**62,
    "patch": '{"reviewed": true}',
    "from_position": 1,
    "branch": 0,
    "update_branch.branch": 1,
    "delete_branch.branch": 1,
    "count_branch_uses.branch": 1,
    "set_branch_last_position.branch": 1,
    "last_branch": 1,
    "set_branch_last_position.last_position": 9,
    "active_branch": 0,
    "parent_branch": 0,
    "restore_branch.branch": 2**40,
    "fork_position": 1,
    "file_bytes": 1_000_000,
    "pages": 64,
    "removed_at": LAST,
    "ran_at": LAST,
    "audit_id": 1,
    "audit_hash": "0" * 64,
    "set_maintenance_task.name": "vacuum",
    "subject_kind": "conversation",
    "add_erasure.subject_hash": "0" * 64,
    "secret": "0" * 64,
    "placed_at": LAST,
    "after_placed_at": FIRST,
    "placed_by": "statement times",
    "released_at": LAST,
    "released_by": "statement times",
    "lifted_at": LAST,
    "add_erasure.status": "deleting",
    "update_erasure.status": "verified",
    "receipt": "{}",
    "names": '["00000000-0000-7000-8000-000000000000"]',
    "parts": '["00000000-0000-7000-8000-000000000000"]',
    "terms": '["index", "lock", "nowhere"]',
    "after_rootpage": 0,
    "target": "conversations",
    "scope": "all",
    "scope_value": None,
    "since": "activity",
    "age_days": 30.0,
    "grace_days": 7.0,
    "set_retention_policy.name": "statement times",
    "delete_retention_policy.name": "conversations",
    "session_from": "session-0",
    "session_to": "session-2",
    "after_kind": "",
    "after_subject_hash": "",
    "to_position": 100,
    "finish_job.status": "succeeded",
    "finish_job.last_outcome": "succeeded",
    "retry_job.last_outcome": "failed",
    "heartbeat_job.now": FIRST,
    "succeed_job.now": FIRST,
    "heartbeat_jobs.now": FIRST,
    "succeed_jobs.now": FIRST,
    "add_job_limit.max_running": 4,
    "add_job_limit.max_running_per_key": 2,
    "add_job_limit.max_starts": 100,
    "add_job_limit.interval_seconds": 60.0,
    "add_job_limit.burst": 10,
    "full_keys": '["tenant-0"]',
    "set_last_position.last_position": 1_000_000,
    "raise_audit_high_water.id": 2**40,
}

_PARTIAL, _RUNNING = {"messages": "partial = 1"}, {"job_queue": "status = 'running'"}

#: The condition of the rows of a table that a statement's values come from, where few of its rows serve.
PICKED = {
    "find_message_by_source": {"messages": "source_id IS NOT NULL"},
    "extend_message": _PARTIAL,
    "finish_message": _PARTIAL,
    "heartbeat_job": _RUNNING,
    "heartbeat_jobs": _RUNNING,
    "succeed_job": _RUNNING,
    "succeed_jobs": _RUNNING,
    "limit_jobs": {"job_queue": "status = 'queued' AND waits_for IS NULL AND limit_key IS NOT NULL"},
    "list_limited_jobs": {"job_queue": "waits_for = 'limit'"},
}

_affix = re.compile(r"^(?:after|before|from|to|min|max|old|new)_|_(?:from|to|before|after|any|all)$")
_numbers = itertools.count(1)

Arguments = dict[str, Any]


class NoSample(Exception):
    """A parameter for which no rule has a value."""


class Sampler:
    """Makes arguments from one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.random = random.Random(11)
        self._picked: dict[str, str] = {}
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        query = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
        names = [name for (name,) in connection.execute(query)]
        self.tables = [name for name in names if not name.startswith(("_yoyo", "yoyo", "sqlite"))]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows from all over a table, as many of each status where it has one; or of those that the statement asks for."""
        key = table, condition = table, self._picked.get(table, "1")
        if key not in self._rows:
            self._rows[key] = list(self._pick(table, condition))
            self.random.shuffle(self._rows[key])
        return self._rows[key]

    def _pick(self, table: str, condition: str) -> Iterator[dict[str, Any]]:
        names = [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]
        kind = next((column for column in ("status", "deleted_at IS NULL") if column.split()[0] in names), "1")
        key = "rowid" if self._has_rowid(table) else names[0]
        by_kind: dict[Any, list[Any]] = {}
        for place, value in self.connection.execute(
            f"SELECT {key}, {kind} FROM {table} WHERE {condition} ORDER BY {key}"
        ):
            by_kind.setdefault(value, []).append(place)
        for places in by_kind.values():
            for place in self.random.sample(places, min(60, len(places))):
                found = self.connection.execute(f"SELECT * FROM {table} WHERE {key} = ? LIMIT 1", (place,)).fetchone()
                yield dict(zip(names, found, strict=False))

    def _has_rowid(self, table: str) -> bool:
        query = "SELECT wr = 0 AND type = 'table' FROM pragma_table_list WHERE schema = 'main' AND name = ?"
        return bool(self.connection.execute(query, (table,)).fetchone()[0])

    def arguments(self, facts: StatementFacts, touches: Sequence[Touch], number: int) -> Arguments:
        """The n-th arguments for a statement.

        Raises:
            NoSample: For one of its parameters there is no rule.
        """
        own = [touch for touch in touches if not touch.by]
        inserted = next((touch.table for touch in own if touch.action == "insert"), "")
        tables = [table for table in dict.fromkeys(touch.table for touch in own) if self._is_filled(table)]
        # The table of the file first: a parameter "id" of a statement in uploads.sql is an upload's.
        noun = facts.statement.file.rpartition("/")[2].removesuffix(".sql")
        tables.sort(key=lambda table: (table != inserted, table != noun))
        self._picked = PICKED.get(facts.statement.name, {})
        base = {table: self.rows(table)[number % len(self.rows(table))] for table in tables}
        found = {}
        for parameter in facts.statement.header.parameters:
            found[parameter.name] = self._value(facts, parameter, base, inserted, number)
        return found

    def _is_filled(self, table: str) -> bool:
        kind = self.connection.execute("SELECT type FROM pragma_table_list WHERE name = ?", (table,)).fetchone()
        return kind == ("table",) and bool(self.rows(table))  # yoyo's too: some statements read them

    def _value(
        self, facts: StatementFacts, parameter: Parameter, base: dict[str, dict[str, Any]], inserted: str, number: int
    ) -> Any:
        name = parameter.name
        for key in (f"{facts.statement.name}.{name}", name):
            if key in SPECIAL:
                return SPECIAL[key]
        if parameter.type == "match":
            leaf = Leaf((self._word(),))
            query = Match(((leaf,),), weights=((leaf, 1.0),))
            return query if name == "query" else Matches([query] * 3)
        if parameter.type == "words":
            document = Document(" ".join(self._word() for _ in range(50)), "", "")
            row = Indexed(document, "in:index")
            return Words(document) if name == "words" else Rows({f"nowhere-{next(_numbers)}": row for _ in range(10)})
        if parameter.type == "rows" and (found := _vectors.match(facts.statement.name)):
            rows = self.rows(f"{found['noun']}s")
            some = [rows[(number + step) % len(rows)] for step in range(10)]
            is_move = found["verb"] == "move"
            return json.dumps([[row["seq"], 0] if is_move else [row["id"], 0, "0" * 32] for row in some])
        if parameter.type == "rows" and inserted == "learnings":
            conversation = self.rows("conversations")[number % len(self.rows("conversations"))]["id"]
            return json.dumps([_new_learning(conversation) for _ in range(10)])
        if parameter.type == "rows" and facts.statement.name == "add_jobs":
            return json.dumps([["sample", 0, FIRST, "{}", 5, 10.0, 3600.0, *[None] * 5]] * 10)
        if parameter.type == "rows" and facts.statement.name in ("succeed_jobs", "heartbeat_jobs"):
            result = [None] if facts.statement.name == "succeed_jobs" else []
            held = self.rows("job_queue")[:10]
            return json.dumps([[row["id"], row["lease_token"], *result] for row in held])
        if parameter.type == "rows":
            return json.dumps([_new_message() for _ in range(10)])
        if facts.statement.name == "add_learning_messages" and name == "message_ids":
            return self._unlinked(base["learning_messages"]["learning_id"])
        if parameter.type == "json":
            return self._json(name, base, number)
        if name == "now" and number % 3 == 0:
            return FIRST  # before every lease ends: who holds one is found too
        if parameter.type == "timestamp" and (bound := _instant(name)):
            return bound
        if number % 2 and (first := _first_page(parameter)) is not None:
            return first
        if name == "read_length":
            return len(base["messages"]["content"])
        column = _affix.sub("", name)
        if name.startswith("to_") and parameter.type == "integer":
            from_ = attrs.evolve(parameter, name=f"from_{column}")
            return self._value(facts, from_, base, inserted, number) + 1000  # a range of a thousand rows
        for table, row in base.items():
            if table == inserted and name == column and self._is_key(table, column):
                if parameter.type != "text":
                    return row[column]
                return f"{next(_numbers):064x}" if column.endswith("hash") else f"new-{next(_numbers)}"
            if column in row and (row[column] is not None or parameter.nullable):
                return row[column]
            if f"{column}s" in row and row[f"{column}s"] not in (None, "[]"):
                return json.loads(row[f"{column}s"])[0]  # a tag of its tags
        return self._elsewhere(parameter, column, number)

    def _elsewhere(self, parameter: Parameter, column: str, number: int) -> Any:
        """From another row, or from a table that the statement does not name; else by type."""
        for table in self.tables:
            given = [row[column] for row in self.rows(table) if row.get(column) is not None]
            if given:
                return given[number % len(given)]
        if parameter.nullable or parameter.type == "text":
            return None if parameter.nullable else "sample"
        raise NoSample(f"no rule makes a value for {parameter.name} ({parameter.type})")

    def _is_key(self, table: str, column: str) -> bool:
        """Whether a new row needs a value of its own there: the last column of a unique index, no foreign key."""
        if column.endswith("_id") and column != "correlation_id":
            return False
        query = """
            SELECT 1 FROM pragma_index_list(:table) AS indexes
            WHERE indexes."unique"
            AND (SELECT name FROM pragma_index_info(indexes.name) ORDER BY seqno DESC LIMIT 1) = :column
        """
        return self.connection.execute(query, {"table": table, "column": column}).fetchone() is not None

    def _json(self, name: str, base: dict[str, dict[str, Any]], number: int) -> str:
        """A list of keys for a name in the plural; else what the column holds, or an object."""
        column = _affix.sub("", name)
        for row in base.values():
            if column in row:
                return row[column] if row[column] is not None else "{}"
        if column == "tags":
            return json.dumps([self.rows("learning_tags")[number % 50]["tag"]])
        one = column.removesuffix("s")
        for key, tables in ((one, [*base, *self.tables]), ("id", [f"{one.removesuffix('_id')}s"])):
            for table in tables:
                rows = [row for row in self.rows(table) if row.get(key) is not None] if table in self.tables else []
                if rows and one != column:
                    return json.dumps(sorted({rows[(number + step) % len(rows)][key] for step in range(3)}))
        return "{}"

    def _unlinked(self, learning_id: str) -> str:
        """A list of messages of a learning's conversation that it has no link to."""
        query = """
            SELECT messages.id FROM learnings JOIN messages USING (conversation_id)
            WHERE learnings.id = :id AND messages.id NOT IN (SELECT message_id FROM learning_messages WHERE learning_id = :id)
            ORDER BY messages.seq LIMIT 3
        """
        return json.dumps([id for (id,) in self.connection.execute(query, {"id": learning_id})])

    def _word(self) -> str:
        text = self.random.choice(self.rows("learnings"))["title"]
        return str(self.random.choice(text.split()))


def _instant(name: str) -> str:
    """The ends of all time for a range, the end for now; "" for a column's own."""
    if name == "now" or name.endswith("_before"):
        return LAST
    return FIRST if name.endswith("_from") or name == "lease_after" else ""


def _first_page(parameter: Parameter) -> Any:
    """Where a list begins: half of the samples are first pages, half are pages in the middle."""
    if parameter.name.startswith("before_"):
        return {"timestamp": LAST, "integer": 2**53, "text": "~"}.get(parameter.type)
    if parameter.name.startswith("after_"):
        return {"timestamp": FIRST, "integer": 0, "text": ""}.get(parameter.type)
    return None


def _new_learning(conversation_id: str) -> list[Any]:
    key = f"new-{next(_numbers)}"
    return [key, conversation_id, "sample", "a title", "a content", 0.5, '["sample"]', key, "{}", LAST, LAST]


def _new_message() -> list[Any]:
    return [f"new-{next(_numbers)}", "user", "a new message of some length", "0" * 64, 7, None, "{}", FIRST, None, 0]
