"""The mutants: each a tiny change of one layer, made in a copy of the source tree.

A mutant is text: a file, what stands there, what stands there instead. The copy is then run like the repository
itself, through the same body of the same suite, which has to see the anomaly that the change allows. A suite that
stays green on a mutant of its list is broken, and `test_matrix.py` says so; so is a mutant whose text is no longer in
the file: it changed nothing.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

import attrs

from tests.acid.child import ROOT

ENGINE = "datastore/engines/sqlite.py"
TRANSACTIONS = "datastore/engines/sqlite_transactions.py"
SEARCH = "migrations/sqlite/0005.search.sql"
TABLES = "migrations/sqlite/0001.initial.sql"
RETENTION = "migrations/sqlite/0008.retention.sql"


@attrs.frozen
class Edit:
    """*old*, which stands once in *file*, becomes *new*."""

    file: str
    old: str
    new: str


@attrs.frozen
class Mutant:
    """A name that says what is wrong, and the edits that make it so."""

    name: str
    #: engine, PRAGMA, SQL, trigger, migration, check or caller.
    layer: str
    edits: tuple[Edit, ...]


class NoGate:
    """A gate that is always open."""

    def __init__(self, path: str, **options: object) -> None: ...
    def acquire(self, timeout: float) -> None: ...
    def release(self) -> None: ...
    def close(self) -> None: ...
    def forget(self) -> None: ...


_open_gate = Edit(
    ENGINE, "from datastore.engines.gate import Gate\n", "from tests.acid.mutants import NoGate as Gate\n"
)
_begin = """try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                self.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), "BEGIN")"""
_lost_in_commit = """        if not connection.in_transaction:
            raise _lost()
        try:
            connection.execute("COMMIT")
"""
_lost_in_nested = """            if not connection.in_transaction:
                raise _lost()
            connection.execute(f"SAVEPOINT"""
_no_begin = (
    _open_gate,
    Edit(ENGINE, _begin, "pass"),
    Edit(TRANSACTIONS, _lost_in_commit, _lost_in_commit.replace("raise _lost()", "return")),
    Edit(TRANSACTIONS, _lost_in_nested, _lost_in_nested.replace("raise _lost()", "pass")),
)
_change_runner = "lambda sql, parameters: execute(sql, parameters).rowcount,"
_write_runner = "lambda sql, parameters: execute(sql, parameters).fetchall(),"
_release = 'connection.execute(f"RELEASE {savepoint}")'


def _then_commit(runner: str) -> str:
    return (
        runner.removesuffix(",")
        + ' if not connection.in_transaction else (execute(sql, parameters).fetchall(), execute("COMMIT"), execute("BEGIN IMMEDIATE"))[0],'
    )


_mutants = (
    # --- transactions -------------------------------------------------------------------------------------------
    Mutant("autocommit: no BEGIN", "engine", (*_no_begin, Edit(TRANSACTIONS, 'connection.execute("BEGIN DEFERRED")', "pass"))),
    Mutant("reads before BEGIN", "engine", (*_no_begin, Edit(
        TRANSACTIONS,
        "        self.__dict__.update(self._inside)\n",
        "        connection, (read, write, change) = self._connection, self._inside.values()\n"
        "        late = lambda run: lambda sql, p: (connection.in_transaction or connection.execute('BEGIN IMMEDIATE'), run(sql, p))[1]\n"
        "        self._use(read, late(write), late(change))\n",
    ))),
    Mutant("BEGIN DEFERRED", "engine", (_open_gate, Edit(ENGINE, _begin, _begin.replace("IMMEDIATE", "DEFERRED")))),
    Mutant("snapshots without BEGIN", "engine", (Edit(TRANSACTIONS, 'connection.execute("BEGIN DEFERRED")', "pass"),)),
    Mutant("commit between statements", "engine", (
        Edit(TRANSACTIONS, _write_runner, _then_commit(_write_runner)),
        Edit(TRANSACTIONS, _release, "pass"),
    )),
    Mutant("inner commit", "engine", (Edit(TRANSACTIONS,
        _release,
        'connection.execute("COMMIT"); connection.execute("BEGIN IMMEDIATE");'
        ' [connection.execute(f"SAVEPOINT s{outer}") for outer in range(1, thread.depth)]',
    ),)),
    Mutant("inner rollback forgotten", "engine", (Edit(TRANSACTIONS, 'connection.execute(f"ROLLBACK TO {savepoint}")', "pass"),)),
    Mutant("except Exception", "engine", (Edit(
        TRANSACTIONS,
        "            if error is None:\n                self._commit(connection)",
        "            if error is None or not isinstance(error, Exception):\n                self._commit(connection)",
    ),)),
    Mutant("an exception commits", "engine", (Edit(
        TRANSACTIONS,
        "            elif connection.in_transaction:\n                connection.rollback()",
        '            elif connection.in_transaction:\n                connection.execute("COMMIT")',
    ),)),
    Mutant("COMMIT's error swallowed", "engine", (Edit(
        TRANSACTIONS, '            raise translate(error, "COMMIT", committing=True) from error', "            return",
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
        ENGINE, 'execute("PRAGMA temp_store = MEMORY")', 'execute("PRAGMA journal_mode = OFF").fetchall(); execute("PRAGMA cache_size = 10")',
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
        Edit(ENGINE, "Turn(Gate(f\"{path}.gate\", across_processes=gate))", "Gate(f\"{path}.gate\", across_processes=gate)"),
        Edit(ENGINE, "            self._gate.reset()\n", "            pass\n"),
        Edit(ENGINE, "        return self._gate.number\n", "        return 0\n"),
        Edit(ENGINE, "        if number not in (None, self._gate.number):", "        if False:"),
    )),
    Mutant("an interrupted block is never ended", "engine", (Edit(
        TRANSACTIONS, "        if self._depth == 1 and (self._process", "        if False and (self._process",
    ),)),
    Mutant("a child may use what it inherited", "engine", (
        Edit("datastore/engines/sqlite_fork.py", "    if path in _inherited_paths:", "    if False:"),
    )),
    # --- SQL and triggers ---------------------------------------------------------------------------------------
    Mutant("no full-text delete trigger", "trigger", (Edit(
        SEARCH, "CREATE TRIGGER learnings_fts_delete AFTER DELETE ON learnings\n",
        "CREATE TRIGGER learnings_fts_delete AFTER DELETE ON learnings\nWHEN old.deleted_at = 'never'\n",
    ),)),
    Mutant("the full-text index follows half of an update", "repository", (Edit(
        "datastore/repositories/messages.py", "            self._index.add_messages([message])\n            if merge", "            if merge",
    ),)),
    Mutant("a restored conversation is not indexed", "repository", (Edit(
        "datastore/repositories/conversations.py", "            self._index.fill(id)\n", "",
    ),)),
    Mutant("full-text index not filled again", "repository", (Edit(
        "datastore/repositories/search_index.py", "            self.fill(on_progress=on_progress)\n", "",
    ),)),
    Mutant("messages not counted on deletion", "trigger", (Edit(TABLES, "SET message_count = message_count - 1", "SET message_count = message_count"),)),
    Mutant("learnings not hidden with their conversation", "trigger", (Edit(
        TABLES, "    SET deleted_at = new.deleted_at\n", "    SET deleted_at = NULL\n",
    ),)),
    Mutant("tags not replaced", "trigger", (Edit(TABLES, "    DELETE FROM learning_tags WHERE learning_id = new.id;\n", "    DELETE FROM learning_tags WHERE learning_id = new.id AND tag IN (SELECT value FROM json_each(new.tags));\n"),)),
    Mutant("positions used twice", "SQL", (Edit("sql/sqlite/messages.sql", "    conversations.last_position + 1,\n", "    conversations.message_count + 1,\n"),)),
    Mutant("purge takes what was never hidden", "SQL", (Edit(
        "sql/conversations.sql", "WHERE\n    deleted_at IS NOT NULL\n    AND deleted_at < :deleted_before", "WHERE\n    coalesce(deleted_at, '') < :deleted_before",
    ), Edit(
        "sql/sqlite/conversations.sql", "    AND deleted_at IS NOT NULL\n    AND NOT EXISTS", "    AND NOT EXISTS",
    ), Edit(
        "sql/sqlite/conversations.sql", "    AND deleted_at IS NOT NULL\nRETURNING id", "RETURNING id",
    ))),
    Mutant("a lease that has ended counts", "SQL", (Edit(
        "sql/job_queue.sql",
        "    finished_at = :now\nWHERE\n    id = :id\n    AND lease_token = :lease_token\n    AND status = 'running'\n    AND lease_expires_at > :lease_after",
        "    finished_at = :now\nWHERE\n    id = :id\n    AND lease_token = :lease_token\n    AND status = 'running'\n    AND :lease_after <> ''",
    ),)),
    Mutant("the lowest priority first", "SQL", (Edit(
        "sql/sqlite/job_queue.sql", "ORDER BY candidates.priority DESC, candidates.run_at", "ORDER BY candidates.priority, candidates.run_at",
    ),)),
    Mutant("a hold that keeps nothing", "trigger", (Edit(
        RETENTION, "CREATE TRIGGER learnings_legal_hold_delete BEFORE DELETE ON learnings\nWHEN EXISTS",
        "CREATE TRIGGER learnings_legal_hold_delete BEFORE DELETE ON learnings\nWHEN NOT EXISTS (SELECT 1) AND EXISTS",
    ),)),
    Mutant("a policy that knows no holds", "SQL", (Edit(
        "sql/retention_policies.sql",
        "    AND (created_at, id) > (:after_created_at, :after_id)\n    AND NOT EXISTS (\n        SELECT 1\n        FROM legal_holds\n"
        "        WHERE\n            legal_holds.conversation_id = conversations.id",
        "    AND (created_at, id) > (:after_created_at, :after_id)\n    AND NOT EXISTS (\n        SELECT 1\n        FROM legal_holds\n"
        "        WHERE\n            legal_holds.id = conversations.id",
    ),)),
    Mutant("a grace that nobody waits for", "engine", (Edit(
        "datastore/retention/policies.py", "            grace = self._before(policy.grace_days)\n", "            grace = self._before(0)\n",
    ),)),
    Mutant("an erasure that nobody remembers", "engine", (Edit(
        "datastore/retention/erasure.py", "                    self._bury(receipt, kind, id)\n", "                    pass\n",
    ),)),
    # --- migrations ---------------------------------------------------------------------------------------------
    Mutant("migrations with foreign keys on", "migration", (Edit(
        "datastore/engines/yoyo_sqlite.py", 'connection.execute("PRAGMA foreign_keys = OFF")', 'connection.execute("PRAGMA foreign_keys = ON")',
    ),)),
    # --- checks -------------------------------------------------------------------------------------------------
    Mutant("verify without integrity check", "check", (Edit("datastore/retention/verify.py", 'if row[0] != "ok"]', 'if row[0] == "never"]'),)),
    Mutant("verify without foreign keys", "check", (Edit("datastore/retention/verify.py", "for table, row, parent, _ in rows[:100]]", "for table, row, parent, _ in rows[:0]]"),)),
    Mutant("verify without full-text index", "check", (Edit("datastore/retention/verify.py", "        store.transfer.check_full_text()\n", ""),)),
    Mutant("verify without audit chain", "check", (Edit("datastore/retention/verify.py", '("audit chain", store.audit.verify)', '("audit chain", lambda: [])'),)),
    Mutant("verify without message counts", "check", (Edit("datastore/retention/verify.py", '("message counts", counts)', '("message counts", lambda: [])'),)),
    Mutant("verify without job counts", "check", (Edit("datastore/retention/verify.py", '("job counts", job_counts)', '("job counts", lambda: [])'),)),
    Mutant("verify without tags", "check", (Edit("datastore/retention/verify.py", '("tags", tags)', '("tags", lambda: [])'),)),
    Mutant("a missing file is made", "check", (
        Edit(ENGINE, "?mode=rw", "?mode=rwc"),
        Edit("datastore/opening.py", "    if not path.exists():\n        raise DatabaseMissingError(", "    if not path.exists():\n        return\n        raise DatabaseMissingError("),
    )),
    Mutant("foreign files not refused", "check", (
        Edit("datastore/opening.py", "    if number not in (0, APPLICATION_ID):\n", "    if False:\n"),
        Edit(ENGINE, "!= APPLICATION_ID:\n            return", "== -1:\n            return"),
    )),
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
        AssertionError: One of its texts stands no longer in its file, or more than once: it would change nothing.
    """
    texts: dict[str, str] = {}
    for edit in MUTANTS[name].edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise AssertionError(
                f"mutant {name!r}: its text stands {text.count(edit.old)} times in {edit.file}, not once;"
                f" bring the mutant up to date in tests/acid/mutants.py:\n{edit.old}"
            )
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


@functools.cache
def tree(name: str) -> Path:
    """The root of a copy of the repository with the mutant's edits in it, made once a process."""
    texts = edited(name)
    root = Path(tempfile.mkdtemp(prefix="acid-mutant-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for part in ("datastore", "sql", "migrations", "tests/acid"):
        shutil.copytree(ROOT / part, root / part)
    for file, text in texts.items():
        (root / file).write_text(text, encoding="utf-8")
    _lock_migrations(root / "migrations/sqlite")
    return root


def _lock_migrations(folder: Path) -> None:
    # An edited migration would be refused by its checksum, which is another suite's matter.
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.sql"))]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
