"""The mutants: each a tiny change of one layer, made in a copy of the source tree.

A mutant of Python is text: a file, what is there, what is there instead (`Edit`). A mutant of SQL names a statement, a
trigger or a migration step, and a pattern in it (`Sql`), so that a clause can be moved without a change here. The copy is
then run like the repository itself, through the same body of the same suite, which has to see the anomaly that the change
allows. A suite that stays green on a mutant of its list is broken, and `test_matrix.py` says so; so is a mutant that does
not find what it changes.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import attrs

from tests.acid.child import ROOT

ENGINE = "datastore/engines/sqlite/engine.py"
TRANSACTIONS = "datastore/engines/sqlite/session.py"
SESSIONS = "datastore/engines/sessions.py"
BLOCKS = "datastore/engines/transactions.py"
GATE = "datastore/engines/sqlite/gate.py"
CALLS = "datastore/aio/calls.py"
PINS = "datastore/aio/pins.py"
BINDING = "datastore/statements/binding.py"


class StaleMutant(AssertionError):
    """A mutant does not find what it changes."""

    def __init__(self, sought: str, times: int, where: str) -> None:
        super().__init__(
            f"it is {times} times in {where}, not once; bring the mutant up to date in tests/acid/mutants.py:\n{sought}"
        )


@attrs.frozen
class Edit:
    """*old*, which is in *file* once, becomes *new*."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The file's text with the change."""
        if text.count(self.old) != 1:
            raise StaleMutant(self.old, text.count(self.old), self.file)
        return text.replace(self.old, self.new)


@attrs.frozen
class Sql:
    """In one piece of SQL what *old* finds, once, becomes *new*.

    Comments are not searched. A space of *old* is any white space, so that a line may be broken elsewhere.
    """

    #: "claim_jobs" of sql/ (SQLite's text, where it has its own), "trigger NAME" or "step NAME" of migrations/sqlite/.
    name: str
    #: A regular expression.
    old: str
    #: May name groups of *old*: \\1.
    new: str

    @property
    def file(self) -> str:
        """Where the piece is; of a trigger that several steps create, the last."""
        return _find(self.name)[0]

    def apply(self, text: str) -> str:
        """The file's text with the change."""
        (piece,) = re.finditer(_find(self.name)[1], text)
        code = re.sub(r"--[^\n]*", lambda comment: " " * len(comment[0]), text[: piece.end()])
        found = list(re.compile(self.old.replace(" ", r"\s+")).finditer(code, piece.start()))
        if len(found) != 1:
            raise StaleMutant(self.old, len(found), f"{self.name} of {self.file}")
        return text[: found[0].start()] + found[0].expand(self.new) + text[found[0].end() :]


@functools.cache
def _find(name: str) -> tuple[str, str]:
    """The file of a piece of SQL, and the pattern of the piece in it."""
    kind, _, own = name.rpartition(" ")
    if kind == "step":
        folders, pattern = [f"migrations/sqlite/*.{own}.sql"], r"(?s)\A.*\Z"
    elif kind == "trigger":
        folders, pattern = ["migrations/sqlite/*[0-9].*.sql"], rf"(?ms)^CREATE TRIGGER {own}\b.*?^END;"
    else:
        folders, pattern = ["sql/sqlite/*.sql", "sql/*.sql"], rf"(?ms)^-- name: {own}\(.*?(?=^-- name: |\Z)"
    for folder in folders:
        files = [path for path in sorted(ROOT.glob(folder)) if kind == "step" or ".rollback." not in path.name]
        holding = [path for path in files if re.search(pattern, path.read_text(encoding="utf-8"))]
        if holding:
            return str(holding[-1].relative_to(ROOT)), pattern
    raise StaleMutant(name, 0, "sql/ and migrations/sqlite/")


@attrs.frozen
class Mutant:
    """A name that says what is wrong, and the edits that make it so."""

    name: str
    #: engine, PRAGMA, SQL, trigger, migration, check, statements or caller.
    layer: str
    edits: tuple[Edit | Sql, ...]


class NoGate:
    """A gate that is always open."""

    def __init__(self, path: str, **options: object) -> None: ...

    number = 0
    mine = False

    def acquire(self, timeout: float, refuse: object = None) -> None: ...
    def release(self) -> None: ...
    def reset(self) -> None: ...
    def take_away(self) -> None: ...
    def close(self) -> None: ...
    def forget(self) -> None: ...


_open_gate = Edit(
    ENGINE, "from datastore.engines.sqlite.gate import Gate\n", "from tests.acid.mutants import NoGate as Gate\n"
)
_begin = 'engine.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), "BEGIN")'
_begin_snapshot = 'self._do("BEGIN DEFERRED")'
_commit = '        self._do("COMMIT", committing=True)\n'
_in_a_block = "            return self._execute(sql, parameters).fetchall()\n        finally:\n            self.at_work = False\n\n    def change"
_no_begin = (
    _open_gate,
    Edit(TRANSACTIONS, _begin, "pass"),
    Edit(TRANSACTIONS, _commit, "        if not connection.in_transaction:\n            return\n" + _commit),
    Edit(
        TRANSACTIONS,
        "        return self._turn is not None and not self.connection.in_transaction",
        "        return False",
    ),
)
_release = 'self._do(f"RELEASE s{number}")'


_mutants = (
    # --- transactions -------------------------------------------------------------------------------------------
    Mutant("autocommit: no BEGIN", "engine", (*_no_begin, Edit(TRANSACTIONS, _begin_snapshot, "pass"))),
    Mutant("reads before BEGIN", "engine", (*_no_begin, Edit(
        TRANSACTIONS, _in_a_block,
        '            self.connection.in_transaction or self.connection.execute("BEGIN IMMEDIATE")\n' + _in_a_block,
    ))),
    Mutant("BEGIN DEFERRED", "engine", (_open_gate, Edit(TRANSACTIONS, _begin, _begin.replace("IMMEDIATE", "DEFERRED")))),
    Mutant("snapshots without BEGIN", "engine", (Edit(TRANSACTIONS, _begin_snapshot, "pass"),)),
    Mutant("commit between statements", "engine", (
        Edit(TRANSACTIONS, _in_a_block, _in_a_block.replace(
            "return self._execute(sql, parameters).fetchall()",
            'rows = self._execute(sql, parameters).fetchall()\n            self.connection.execute("COMMIT")\n'
            '            self.connection.execute("BEGIN IMMEDIATE")\n            return rows',
        )),
        Edit(TRANSACTIONS, _release, "pass"),
    )),
    Mutant("inner commit", "engine", (Edit(TRANSACTIONS,
        _release,
        'self._do("COMMIT"); self._do("BEGIN IMMEDIATE"); [self._do(f"SAVEPOINT s{outer}") for outer in range(1, number)]',
    ),)),
    Mutant("inner rollback forgotten", "engine", (Edit(TRANSACTIONS, 'self._do(f"ROLLBACK TO s{number}")', "pass"),)),
    Mutant("except Exception", "engine", (Edit(
        SESSIONS,
        "        elif error is None:\n            self._commit()",
        "        elif error is None or not isinstance(error, Exception):\n            self._commit()",
    ),)),
    Mutant("an exception commits", "engine", (Edit(
        TRANSACTIONS, "                self.connection.rollback()", '                self.connection.execute("COMMIT")',
    ),)),
    Mutant("COMMIT's error swallowed", "engine", (Edit(
        TRANSACTIONS,
        "            raise self.engine.translated(error, sql, committing=committing) from error",
        '            if sql != "COMMIT":\n                raise self.engine.translated(error, sql, committing=committing) from error',
    ),)),
    Mutant("the driver's errors let through", "engine", (Edit(
        TRANSACTIONS, "        if translated is error:\n            raise error\n        raise translated from error", "        raise error",
    ),)),
    # --- settings -----------------------------------------------------------------------------------------------
    Mutant("foreign keys off", "PRAGMA", (
        Edit(ENGINE, 'execute("PRAGMA foreign_keys = ON")', 'execute("PRAGMA foreign_keys = OFF")'),
        Edit(ENGINE, '("foreign_keys", 1)', '("foreign_keys", 0)'),
    )),
    Mutant("synchronous NORMAL where FULL was asked", "PRAGMA", (Edit(ENGINE, '_synchronous = {"full": 2,', '_synchronous = {"full": 1,'),)),
    Mutant("synchronous OFF", "PRAGMA", (Edit(ENGINE, '_synchronous = {"full": 2, "relaxed": 1}', '_synchronous = {"full": 0, "relaxed": 0}'),)),
    Mutant("journal OFF", "PRAGMA", (Edit(
        ENGINE, 'execute("PRAGMA temp_store = MEMORY")\n        for pragma', 'execute("PRAGMA journal_mode = OFF").fetchall(); execute("PRAGMA cache_size = 10")\n        for pragma',
    ),)),
    # --- the gate and the WAL -----------------------------------------------------------------------------------
    Mutant("gate off", "engine", (_open_gate,)),
    Mutant("PASSIVE checkpoints outside the gate", "engine", (
        _open_gate,
        Edit(ENGINE, 'return write_back(connection, "TRUNCATE", _SLICE)', 'return write_back(connection, "PASSIVE", _SLICE)'),
    )),
    Mutant("no checkpoints", "engine", (
        Edit(ENGINE, "CHECKPOINT_ROWS = 400", "CHECKPOINT_ROWS = 10**9"),
        Edit(ENGINE, "CHECKPOINT_BYTES = 16 * 1024 * 1024", "CHECKPOINT_BYTES = 10**15"),
    )),
    Mutant("readers take the write lock", "engine", (Edit(TRANSACTIONS, "BEGIN DEFERRED", "BEGIN IMMEDIATE"),)),
    Mutant("one long wait inside SQLite", "engine", (Edit(ENGINE, "_SLICE = 0.05", "_SLICE = 8.0"),)),
    Mutant("an interrupt leaves the gate shut", "engine", (
        Edit(TRANSACTIONS, "            engine.gate.reset()\n", "            pass\n"),
        Edit(GATE, "        self.reset()\n        try:\n            waited = 0.0", "        try:\n            waited = 0.0"),
    )),
    Mutant("an interrupted block is never ended", "engine", (
        Edit(BLOCKS, "        if block is not None and block.open and", "        if False and"),
        Edit(BLOCKS, "            except BaseException:\n                session.end(block)\n", "            except BaseException:\n"),
    )),
    # --- whose it is --------------------------------------------------------------------------------------------
    Mutant("a connection of a thread that threading does not know is closed", "engine", (Edit(
        ENGINE, "        session = SQLiteSession(self, connection)\n",
        "        session = SQLiteSession(self, connection)\n        session.ident = threading.get_ident()\n"
        "        known = {one.ident for one in threading.enumerate()}\n"
        "        [one.connection.close() for one in list(self._sessions) if one.ident not in known]\n",
    ),)),
    Mutant("a thread's transaction is anybody's who runs in it", "engine", (
        Edit(SESSIONS, "        if not self.owner.is_here():\n            raise TransactionError(FOREIGN)\n", ""),
        Edit(BLOCKS, "        elif not block.owner.is_here():", "        elif False:"),
    )),
    Mutant("a block that is left elsewhere stays open", "engine", (
        Edit(BLOCKS, "        session.end_for_another(block, LEFT_ELSEWHERE)\n", ""),
        Edit(BLOCKS, "        if block is not None and block.open and", "        if False and"),
    )),
    Mutant("a thread that ends leaves its transaction open", "engine", (
        Edit(TRANSACTIONS, "        elif self.block is not None:\n", "        elif False:\n"),
    )),
    Mutant("a connection that an interrupt dropped is lost", "engine", (
        Edit("datastore/engines/postgresql/engine.py", "            self.dropped.append(self)\n", "            pass\n"),
    )),
    Mutant("a child may use what it inherited", "engine", (
        Edit("datastore/engines/fork.py", "    if path in _inherited_paths:", "    if False:"),
    )),
    # --- the asynchronous store ---------------------------------------------------------------------------------
    Mutant("a task's transaction is its child tasks' too", "asyncio", (
        Edit(PINS, "            if not inside.pin.is_mine:\n", "            if False:\n"),
    )),
    Mutant("a cancelled call is not waited for", "asyncio", (
        Edit(CALLS, "                cancelled = error\n                self._cancel()\n", "                raise\n"),
    )),
    Mutant("a cancelled COMMIT is abandoned", "asyncio", (
        Edit(PINS, "        return Call(self._loop, self._context, leave, firm=True,", "        return Call(self._loop, self._context, leave, firm=False,"),
    )),
    Mutant("a task that ends leaves its transaction open", "asyncio", (
        Edit(PINS, "    def _task_ended(self, task: asyncio.Task[Any]) -> None:\n", "    def _task_ended(self, task: asyncio.Task[Any]) -> None:\n        return\n"),
    )),
    Mutant("a cancelled call runs when it is its turn", "asyncio", (
        Edit(CALLS, '        if not self.waits or not self._take("withdrawn"):', "        if not self.waits:"),
        Edit(CALLS, "        self._function, self.error = None, error\n", "        self.error = error\n"),
    )),
    # --- SQL and triggers ---------------------------------------------------------------------------------------
    Mutant("no full-text delete trigger", "trigger", (
        Sql("trigger learnings_fts_delete", r"AFTER DELETE ON learnings", r"AFTER DELETE ON learnings WHEN old.deleted_at = 'never'"),
    )),
    Mutant("the full-text index follows half of an update", "repository", (Edit(
        "datastore/repositories/messages.py", "            self._index.add_messages([message])\n            if merge", "            if merge",
    ),)),
    Mutant("a restored conversation is not indexed", "repository", (Edit(
        "datastore/repositories/conversations.py", "            self._index.fill(id)\n", "",
    ),)),
    Mutant("full-text index not filled again", "repository", (Edit(
        "datastore/repositories/search_index.py", "            self.fill(on_progress=on_progress)\n", "",
    ),)),
    Mutant("messages not counted on deletion", "trigger", (
        Sql("trigger messages_count_delete", r"message_count = message_count - 1", "message_count = message_count"),
    )),
    Mutant("learnings not hidden with their conversation", "trigger", (
        Sql("trigger conversations_deleted_at_update", r"WHERE conversation_id = new\.id", "WHERE FALSE"),
    )),
    Mutant("tags not replaced", "trigger", (
        Sql(
            "trigger learnings_tags_update", r"(DELETE FROM learning_tags WHERE [^;]+);",
            r"\1 AND tag IN (SELECT value FROM json_each(new.tags));",
        ),
    )),
    Mutant("positions used twice", "SQL", (
        Sql("append_message", r"WHEN 0 THEN conversations\.last_position", "WHEN 0 THEN conversations.message_count"),
    )),
    Mutant("positions of a branch used twice", "trigger", (
        Sql("trigger messages_branch_insert", r"last_position = max\(last_position, new\.position\)", "last_position = last_position"),
    )),
    Mutant("a branch hears what its parent says after the fork", "SQL", (
        Sql("list_branch_segments", r"SELECT branches\.fork_position", "SELECT branches.fork_position + 1000"),
    )),
    Mutant("purge takes what was never hidden", "SQL", (
        Sql("list_purgeable_conversations", r"deleted_at IS NOT NULL AND deleted_at <", "coalesce(deleted_at, '') <"),
        Sql("list_purgeable_parts", r"AND deleted_at IS NOT NULL", ""),
        Sql("delete_hidden_conversations", r"AND deleted_at IS NOT NULL", ""),
    )),
    Mutant("a lease that has ended counts", "SQL", (
        Sql("finish_job", r"lease_expires_at > :lease_after", ":lease_after <> ''"),
    )),
    Mutant("the lowest priority first", "SQL", (Sql("claim_jobs", r"candidates\.priority DESC", "candidates.priority"),)),
    Mutant("a hold that keeps nothing", "trigger", (
        Sql("trigger learnings_legal_hold_delete", r"WHEN EXISTS", "WHEN NOT EXISTS (SELECT 1) AND EXISTS"),
    )),
    Mutant("a policy that knows no holds", "SQL", (
        Sql(
            "list_expired_conversations", r"legal_holds\.conversation_id = conversations\.id",
            "legal_holds.id = conversations.id",
        ),
    )),
    Mutant("a grace that nobody waits for", "engine", (Edit(
        "datastore/retention/policies.py", "            grace = self._before(policy.grace_days)\n", "            grace = self._before(0)\n",
    ),)),
    Mutant("an erasure that nobody remembers", "engine", (Edit(
        "datastore/retention/erasure.py", "                    self.tombstones.bury(kind, id, receipt.id, receipt.created_at)\n", "                    pass\n",
    ),)),
    # --- holds, erasure ------------------------------------------------------------------------------------------
    Mutant("a held title that changes", "trigger", (Sql("trigger conversations_legal_hold_update", "source, title,", "source,"),)),
    Mutant("a hold that is rewritten", "trigger", (Sql(
        "trigger legal_holds_legal_hold_update", r"new\.reason", "old.reason",
    ),)),
    Mutant("REPLACE in the place of what is held", "trigger", (Sql(
        "trigger messages_replace_insert", "WHEN EXISTS", "WHEN NOT EXISTS",
    ),)),
    Mutant("a rollback that destroys holds", "migration", (Edit(
        "migrations/sqlite/0005.retention.rollback.sql", "CHECK (found = 0)", "CHECK (found >= 0)",
    ),)),
    Mutant("a log that is made again unseen", "migration", (Sql(
        "trigger audit_log_count", "WHERE name = 'audit_log'", "WHERE name = 'nothing'",
    ), Edit(
        "datastore/repositories/audit.py", "            high_water = self.high_water()\n", "            high_water = self.count()\n",
    ))),
    Mutant("the last instant is stored", "migration", (
        Sql("step initial", r"(messages_created_at_check CHECK \([^)]*) AND created_at < '9999[^']*'", r"\1"),
        Sql("step initial", r"(conversations_updated_at_check CHECK \([^)]*) AND updated_at < '9999[^']*'", r"\1"),
    )),
    Mutant("tombstones without the lock", "engine", (Edit(
        "datastore/retention/tombstones.py", "            with self._engine.transaction():\n                write_beside(", "            if True:\n                write_beside(",
    ),)),
    Mutant("ids as they are written", "engine", (Edit(
        "datastore/retention/names.py", 'return id.lower().replace("-", "")', "return id",
    ),)),
    Mutant("resuming sees its own tombstones only", "engine", (Edit(
        "datastore/retention/erasure.py", "if receipt.id in by or (by and any(asked in one for one in hashes)):", "if receipt.id in by:",
    ),)),
    Mutant("a restore that finishes what a hold blocked", "engine", (Edit(
        "datastore/retention/erasure.py", '                counts["held"] += 1\n', '                counts["held"] += 1\n                begun.append(receipt)\n',
    ),)),
    Mutant("temporary tables first", "migration", (Edit(
        "migrations/postgresql/0003.audit.sql", "quote_ident(current_schema()) || ', pg_temp'", "quote_ident(current_schema())",
    ),)),
    # --- races --------------------------------------------------------------------------------------------------
    Mutant("a live job is looked for behind the addition", "SQL", (
        Edit("sql/job_queue.sql", "-- Rows: 1\n-- Record: Job\n-- Locks: the DO UPDATE", "-- Rows: 0 or 1\n-- Record: Job\n-- Locks: the DO UPDATE"),
        Edit("sql/job_queue.sql", "DO UPDATE\nSET dedupe_key = excluded.dedupe_key\n", "DO NOTHING\n"),
        Edit("datastore/repositories/job_queue.py", "return self._statements.add_job(**_values(self._now(), new))", 'return self._statements.add_job(**_values(self._now(), new)) or found(self.find(dedupe_key=dedupe_key), "job")'),
    )),
    Mutant("keys are stored in the caller's order", "SQL", (Edit(
        "sql/postgresql/job_queue.sql", 'ORDER BY absent.dedupe_key COLLATE "C", absent.id', "ORDER BY absent.id",
    ),)),
    Mutant("a job's status is read without its row", "SQL", (Edit(
        "sql/postgresql/job_queue.sql", "WHERE id = :id\nFOR UPDATE;", "WHERE id = :id;",
    ),)),
    Mutant("a purge looks once", "SQL", (Edit("sql/job_queue.sql", "    AND finished_at < :finished_before\nRETURNING id;", "RETURNING id;"),)),
    Mutant("a hold is looked for behind the addition", "SQL", (
        Edit("sql/legal_holds.sql", "-- Rows: 1\n", "-- Rows: 0 or 1\n"),
        Edit("sql/legal_holds.sql", "DO UPDATE\nSET released_at = legal_holds.released_at\n", "DO NOTHING\n"),
        Edit("datastore/repositories/legal_holds.py", "        return self._statements.add_legal_hold(", "        return next(iter([self._statements.add_legal_hold("),
        Edit("datastore/repositories/legal_holds.py", "            placed_at=self._now(),\n        )\n", "            placed_at=self._now(),\n        )])) or self._found(conversation_id)\n\n    def _found(self, id: str) -> LegalHold:\n        if hold := self.find(id):\n            return hold\n        raise NotFoundError('legal hold')\n"),
    )),
    Mutant("a refusal names what is there afterwards", "engine", (Edit(
        "datastore/repositories/uploads.py", "            if (upload := change()) is not None:\n                return upload\n        raise", "        raise",
    ),)),
    Mutant("conversations are read without their rows", "SQL", (Edit("sql/postgresql/conversations.sql", "ORDER BY id\nFOR UPDATE;", "ORDER BY id;"),)),
    Mutant("learnings are read without their rows", "SQL", (Edit("sql/postgresql/learnings.sql", "ORDER BY id\nFOR UPDATE;", "ORDER BY id;"),)),
    Mutant("many learnings in the caller's order", "SQL", (Edit("sql/postgresql/learnings.sql", "ORDER BY id\nFOR NO KEY UPDATE;", "ORDER BY id;"),)),
    Mutant("a message goes before its conversation is locked", "engine", (Edit(
        "datastore/repositories/messages.py", "            self._statements.lock_conversations(ids=[conversation_id])\n", "",
    ),)),
    # --- the worker ---------------------------------------------------------------------------------------------
    Mutant("only an Exception is a failed attempt", "engine", (Edit(
        "datastore/worker/inline.py", "        except BaseException as error:\n            if (interrupt :=", "        except Exception as error:\n            if (interrupt :=",
    ),)),
    Mutant("a succeed is a flag", "engine", (Edit("datastore/worker/tasks.py", "        if not self.called_succeed:\n            return False\n", "        return self.called_succeed\n"),)),
    Mutant("generators are taken", "check", (Edit("datastore/worker/handlers.py", "if inspect.isgeneratorfunction(part) or inspect.isasyncgenfunction(part):", "if False:"),)),
    Mutant("an erased job runs on", "SQL", (
        Sql("erase_job_texts", r"status = CASE WHEN status IN \('queued', 'running'\) THEN 'cancelled' ELSE status END, lease_expires_at = NULL, ", ""),
        Sql("erase_job_texts", r"finished_at = coalesce\(finished_at, :now\)", "finished_at = finished_at"),
    )),
    Mutant("a busy database ends the worker", "engine", (Edit(
        "datastore/worker/claims.py", "PASSING = (BusyError, ConnectionLostError, ", "PASSING = (",
    ),)),
    Mutant("running jobs are not counted", "engine", (Edit(
        "datastore/repositories/job_limits.py", "running[row.type][row.limit_key] = row.job_count", "running[row.type][row.limit_key] = 0",
    ),)),
    Mutant("jobs of a key are not counted", "engine", (Edit(
        "datastore/repositories/job_limits.py", "and counts[job.limit_key] >= per_key", "and counts[job.limit_key] > per_key + 1",
    ),)),
    Mutant("a bucket that stays full", "engine", (Edit(
        "datastore/repositories/job_limits.py", "    if limit.burst is None or not starts:\n", "    if True:\n",
    ),)),
    Mutant("jobs without a place are forgotten", "engine", (Edit(
        "datastore/repositories/job_limits.py", "[*limited, *due]", "[*due]",
    ),)),
    Mutant("limits without a lock", "SQL", (Edit("sql/postgresql/job_queue.sql", "ORDER BY type\nFOR UPDATE;", "ORDER BY type;"),)),
    Mutant("a sequence that does not wait", "SQL", (Sql("trigger job_queue_groups_insert", r"live > 1\)", "live > 99)"),)),
    Mutant("a batch that is not waited for", "SQL", (Sql("trigger job_queue_groups_insert", r"name = new.after_batch\)", "name = new.after_batch AND job_groups.live > 99)"),)),
    Mutant("a sequence that stops", "SQL", (Sql("trigger job_queue_groups_end", r"old.waits_for IS NOT 'sequence' AND id", "old.waits_for IS 'sequence' AND id"),)),
    Mutant("a batch that never ends", "SQL", (Sql("trigger job_queue_groups_end", r"waits_for = 'batch' AND after_batch = old.batch_id", "waits_for = 'batch' AND after_batch = old.sequence_key"),)),
    # --- migrations ---------------------------------------------------------------------------------------------
    Mutant("migrations with foreign keys on", "migration", (Edit(
        "datastore/migrations/sqlite.py", 'connection.execute("PRAGMA foreign_keys = OFF")', 'connection.execute("PRAGMA foreign_keys = ON")',
    ),)),
    Mutant("a missing folder accepted", "migration", (
        Edit("datastore/migrations/steps.py", "    check_folders(folders)\n    for folder", "    for folder"),
        Edit("datastore/migrations/steps.py", "in folder.iterdir()\n        if path.suffix in", "in (folder.iterdir() if folder.is_dir() else ())\n        if path.suffix in"),
        Edit("datastore/migrations/runner.py", "    check_folders(places)\n", ""),
        Edit("datastore/migrations/backend.py", "        if not self._found:\n", "        if False:\n"),
    )),
    Mutant("a rollback under newer steps", "migration", (Edit("datastore/migrations/backend.py", "        if newer:\n", "        if False:\n"),)),
    Mutant("appliers without the gate", "migration", (Edit(
        "datastore/migrations/sqlite.py",
        "    def _alone(self) -> AbstractContextManager[None]:\n        return self._gated()",
        "    def _alone(self) -> AbstractContextManager[None]:\n        return suppress()",
    ),)),
    Mutant("appliers without a lock", "migration", (Edit(
        "datastore/migrations/postgresql.py", 'while not self._asked("try_session_lock"):', "while False:",
    ),)),
    Mutant("a copy that leaves own tables out", "migration", (
        Edit("datastore/copy/tables.py", "        own = here.schema.keys() - library_tables() - {*skipped}\n", "        own = set()\n"),
        Edit("datastore/copy/tables.py", "sorted(here.schema.keys() - left_out)", "sorted((here.schema.keys() & library_tables()) - left_out)"),
    )),
    Mutant("own rows that nobody counts", "engine", (Edit(
        "datastore/repositories/own_tables.py", "        if not followed:\n", "        if True:\n",
    ),)),
    # --- checks -------------------------------------------------------------------------------------------------
    Mutant("verify without integrity check", "check", (Edit("datastore/upkeep/sqlite.py", 'if row[0] != "ok"]', 'if row[0] == "never"]'),)),
    Mutant("verify without foreign keys", "check", (Edit("datastore/upkeep/sqlite.py", "for table, row, parent, _ in rows[:100]]", "for table, row, parent, _ in rows[:0]]"),)),
    Mutant("verify without full-text index", "check", (Edit("datastore/upkeep/sqlite.py", "        self._parts.derived.check_full_text()\n", ""),)),
    Mutant("verify without audit chain", "check", (Edit("datastore/upkeep/verify.py", '("audit chain", lambda: list(parts.audit.verify()))', '("audit chain", lambda: [])'),)),
    Mutant("verify without content hashes", "check", (Edit("datastore/upkeep/verify.py", '("content hashes", hashes)', '("content hashes", lambda: [])'),)),
    Mutant("verify without message counts", "check", (Edit("datastore/upkeep/verify.py", '("message counts", counts)', '("message counts", lambda: [])'),)),
    Mutant("verify without job counts", "check", (Edit("datastore/upkeep/verify.py", '("job counts", job_counts)', '("job counts", lambda: [])'),)),
    Mutant("verify without tags", "check", (Edit("datastore/upkeep/verify.py", '("tags", tags)', '("tags", lambda: [])'),)),
    Mutant("a missing file is made", "check", (
        Edit(ENGINE, "?mode=rw", "?mode=rwc"),
        Edit("datastore/opening.py", "    if found is None:\n        raise DatabaseMissingError(", "    if found is None:\n        return\n        raise DatabaseMissingError("),
    )),
    Mutant("foreign files not refused", "check", (
        Edit("datastore/opening.py", "    if number not in (0, APPLICATION_ID):\n", "    if False:\n"),
        Edit(ENGINE, "!= APPLICATION_ID:\n            return", "== -1:\n            return"),
    )),
    # --- statements ---------------------------------------------------------------------------------------------
    Mutant("a statement shares its scope with its parameters", "statements", (
        Edit(BINDING, '"_sql": by_position', '"sql": by_position'),
        Edit(BINDING, 'sql = "_sql"', 'sql = "sql"'),
    )),
    # --- around the database ------------------------------------------------------------------------------------
    Mutant("a connection string is a path", "check", (Edit("datastore/address.py", '    if "://" in text or _conninfo.search(text) or _credentials.search(text):', "    if False:"),)),
    Mutant("links are not resolved", "check", (Edit("datastore/address.py", "real = Path(os.path.realpath(absolute))", "real = absolute"), Edit("datastore/address.py", "    if real.is_symlink():\n", "    if False:\n"))),
    Mutant("a lost database is made anew", "check", (Edit("datastore/opening.py", "    if (found is None or not found.st_size) and wal.exists()", "    if False and wal.exists()"),)),
    Mutant("unfinished files for everybody", "engine", (Edit("datastore/files.py", "os.O_RDWR | _NOFOLLOW, 0o600)", "os.O_RDWR | _NOFOLLOW, 0o666)"),)),
    Mutant("nobody sweeps", "engine", (Edit("datastore/upkeep/cleaning.py", 'facts["removed_drafts"], drafts = self._sweep()', 'facts["removed_drafts"], drafts = 0, []'),)),
    Mutant("restore without the registered SHA-256", "check", (Edit("datastore/upkeep/backups.py", "if sums is not None and sum not in sums:", "if False:"),)),
    Mutant("a backup needs its register", "engine", (Edit("datastore/upkeep/backups.py", "        except DiskFullError:\n            return None", "        except DiskFullError:\n            raise"),)),
    Mutant("a cursor's parts are believed", "check", (Edit("datastore/records/pages.py", "except (TypeError, ValueError, AttributeError, RecursionError, OverflowError):", "except UnicodeError:"),)),
    Mutant("padding is a part of a line", "check", (Edit("datastore/formats/records.py", "\\ufffd\\0]*", "\\ufffd]*"),)),
    Mutant("stored text as it is", "check", (Edit("datastore/cli/output.py", 'return _unsafe.sub(_escape, text.replace("\\r\\n", "\\n"))', "return text"),)),
    # --- the caller ---------------------------------------------------------------------------------------------
    Mutant("read and write in two transactions", "caller", (Edit(
        "tests/acid/test_histories.py", "        for key, value in appends:\n            store", "    with store.transaction():\n        for key, value in appends:\n            store",
    ),)),
    Mutant("result logged before COMMIT", "caller", (
        Edit("tests/acid/test_histories.py", "        for key, value in appends:\n            store", "        fails or logged(seen)\n        for key, value in appends:\n            store"),
        Edit("tests/acid/test_histories.py", "fails: bool) ->", "fails: bool, logged: Any) ->"),
        Edit("tests/acid/test_histories.py", "chance.random() < 0.15)", "chance.random() < 0.15, lambda seen: note(number, outcome='ok', reads=seen))"),
        Edit("tests/acid/test_histories.py", "                note(number, outcome=\"ok\", reads=seen)\n", "                pass\n"),
    )),
    Mutant("blind retry", "caller", (Edit("tests/acid/test_histories.py", "unfinished(before, blindly=False)", "unfinished(before, blindly=True)"),)),
    Mutant("acknowledged before COMMIT", "caller", (
        Edit("tests/acid/work.py", "    with store.transaction():\n        store.conversations.add(id=name", "    acknowledge()\n    with store.transaction():\n        store.conversations.add(id=name"),
        Edit("tests/acid/work.py", "subject_id=name)\n    acknowledge()\n", "subject_id=name)\n"),
    )),
)  # fmt: skip

MUTANTS = {mutant.name: mutant for mutant in _mutants}


def edited(name: str) -> dict[str, str]:
    """The files that the mutant changes, as it leaves them.

    Raises:
        StaleMutant: It does not find what it changes, or finds it more than once.
    """
    texts: dict[str, str] = {}
    for edit in MUTANTS[name].edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
        try:
            texts[edit.file] = edit.apply(text)
        except StaleMutant as error:
            error.add_note(f"mutant {name!r}")
            raise
    return texts


@functools.cache
def tree(name: str) -> Path:
    """The root of a copy of the repository with the mutant's edits in it, made once a process."""
    texts = edited(name)
    root = Path(tempfile.mkdtemp(prefix="acid-mutant-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for part in ("datastore", "sql", "migrations", "tests/acid"):
        # With the bytecode, but without the names under which another process is writing some.
        ignored = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / part, root / part, ignore=ignored, copy_function=_link)
    for file, text in texts.items():
        _write(root / file, text)
    for engine in ("sqlite", "postgresql"):
        _lock_migrations(root / "migrations" / engine)
    return root


def _link(source: str, target: str) -> None:
    """Most of a tree is the repository's: links take a fifth of the time of a copy."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _write(path: Path, text: str) -> None:
    path.unlink()  # a link: writing through it would change the repository
    path.write_text(text, encoding="utf-8")


def _lock_migrations(folder: Path) -> None:
    # An edited migration would be refused by its checksum, which is another suite's matter.
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.sql"))]
    _write(folder / "SHA256SUMS", "".join(lines))
