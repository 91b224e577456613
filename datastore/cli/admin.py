"""stats, status, purge."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datastore.cli.exit_codes import Exit
from datastore.cli.options import age, instant
from datastore.cli.output import (
    database_option,
    json_option,
    one_line,
    open_store,
    print_json,
    print_pairs,
    size,
)

if TYPE_CHECKING:
    from datastore.engines.base import Engine
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.upkeep.maintenance import Condition


@click.command("stats", short_help="Count the stored rows.")
@json_option
@database_option
def stats_command(as_json: bool, database: str) -> None:
    """Count conversations, messages, learnings, jobs, uploads and audit entries."""
    with open_store(database, reading=True) as store, store.snapshot():
        uploads = store.uploads.counts()
        stats: dict[str, Any] = {
            "conversations": store.conversations.count(),
            "deleted_conversations": store.conversations.count(deleted=True),
            "messages": store.messages.count(),
            "learnings": store.learnings.count(),
            "jobs": sum(count.count for count in store.jobs.counts()),
            "uploads": sum(uploads.values()),
            "audit_entries": store.audit.count(),
        }
        categories = store.learnings.categories(10)
    if as_json:
        print_json({**stats, "uploads_by_status": uploads, "categories": dict(categories)})
        return
    print_pairs([(name.replace("_", " "), count) for name, count in stats.items()])
    if categories:
        click.echo(f"categories: {', '.join(f'{one_line(name)} ({count})' for name, count in categories)}")


@click.command("status", short_help="Show the schema version, sizes and the SQLite version.")
@click.option(
    "--check", is_flag=True, help="Exit with 8 if something is beyond its threshold, or a migration is pending."
)
@click.option(
    "--transaction-age", type=age, default="10m", show_default=True, metavar="AGE", help="Of the oldest transaction."
)
@click.option(
    "--queue-age", type=age, default="1h", show_default=True, metavar="AGE", help="Of the longest waiting due job."
)
@click.option(
    "--dead-rows",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    help="Of a table, per live row (PostgreSQL).",
)
@click.option(
    "--replica-lag", type=age, default="30s", show_default=True, metavar="AGE", help="Of the slowest replica."
)
@click.option(
    "--wal-bytes", type=click.IntRange(min=0), default=1 << 30, show_default=True, help="Of the WAL that is kept."
)
@json_option
@database_option
@click.pass_context
def status_command(
    ctx: click.Context,
    check: bool,
    transaction_age: timedelta,
    queue_age: timedelta,
    dead_rows: float,
    replica_lag: timedelta,
    wal_bytes: int,
    as_json: bool,
    database: str,
) -> None:
    """Show the schema version, pending migrations, sizes and the SQLite version; also works on an old schema.

    With --check, each threshold that is exceeded is a line on stderr, and the command exits with 8.
    """
    from datastore.address import is_server
    from datastore.upkeep.health import Thresholds, find_problems

    status = _server_status(database) if is_server(database) else _status(database)
    _show_status(status, as_json)
    limits = Thresholds(
        transaction_age=transaction_age,
        queue_age=queue_age,
        dead_rows=dead_rows,
        replica_lag=replica_lag,
        wal_bytes=wal_bytes,
    )
    problems = list(find_problems(status, limits)) if check else []
    for problem in problems:
        click.echo(f"problem: {one_line(problem)}", err=True)
    if problems:
        ctx.exit(Exit.UNHEALTHY)


def _show_status(status: dict[str, Any], as_json: bool) -> None:
    from datastore.migrations.checksums import other_history

    if as_json:
        print_json(status)
        return
    pending = ", ".join(status["pending"]) or "none"
    pairs = [
        ("database", status["database"]),
        ("schema", status["schema_version"] or "none"),
        ("pending migrations", pending),
        *(_server_pairs(status) if "server" in status else _file_pairs(status)),
    ]
    if status["application"]:
        pairs.insert(3, ("application's migrations", ", ".join(status["application"])))
    if status["unknown"]:
        pairs.insert(3, ("unknown migrations", ", ".join(status["unknown"])))
    print_pairs(pairs)
    if others := status["other_history"]:
        click.echo(f"warning: {one_line(str(other_history(status['database'], others)))}", err=True)
    elif status["pending"]:
        click.echo(f"apply them with: {one_line(status['apply'])}")
    if unindexed := status["unindexed"]:
        click.echo(
            f"warning: search does not find {' and '.join(f'{count} {table}' for table, count in unindexed.items())} that"
            " another program wrote; run: datastore reindex",
            err=True,
        )
    if unembedded := status["unembedded"]:
        click.echo(
            f"warning: {' and '.join(f'{count} {table}' for table, count in unembedded.items())} have no vector, so that search"
            " finds them by words only; run: datastore embed",
            err=True,
        )
    if status.get("sqlite_affected"):
        click.echo(
            f"warning: SQLite {status['sqlite_version']} has the WAL-reset bug (fixed in 3.51.3, 3.50.7 and 3.44.6):"
            " with several processes, a commit may be lost; update SQLite",
            err=True,
        )


def _file_pairs(status: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("file", size(status["file_bytes"])),
        ("WAL", size(status["wal_bytes"])),
        ("free pages", status["free_pages"]),
        *_upkeep_pairs(status["upkeep"]),
        ("SQLite", status["sqlite_version"]),
    ]


def _server_pairs(status: dict[str, Any]) -> list[tuple[str, Any]]:
    server = status["server"]
    return [
        ("size", size(server["bytes"])),
        ("connections", server["connections"]),
        ("oldest transaction", f"{server['oldest_transaction_seconds']:.0f} s"),
        ("PostgreSQL", f"{server['version']}{', a standby' if server['standby'] else ''}"),
    ]


def _schema(applied: dict[str, str | None], engine: str, apply: str) -> dict[str, Any]:
    from datastore import migrations
    from datastore.resources import migrations_folder

    folder = migrations_folder(engine)
    known = set(migrations.migration_ids(folder))
    own = [name for name in applied if name in known]
    return {
        "schema_version": own[-1] if own else None,
        "application": [name for name in applied if name not in known and name not in migrations.unknown(applied)],
        "pending": migrations.pending(applied),
        "unknown": migrations.unknown(applied),
        "other_history": migrations.other_steps(applied, folder),
        "apply": apply,
    }


def _is_current(schema: dict[str, Any]) -> bool:
    """Whether the library's statements run on the schema that `_schema` describes."""
    return not (schema["pending"] or schema["other_history"])


def _server_status(url: str) -> dict[str, Any]:
    from datastore.opening import applied_on_server, bind_statements, server_apply_command, server_engine

    engine = server_engine(url)
    try:
        schema = _schema(applied_on_server(engine, bind_statements(engine)), "postgresql", server_apply_command())
        return {
            "database": engine.database,
            **schema,
            "server": engine.state(),
            "unindexed": _unindexed(engine) if _is_current(schema) else {},
            "queue_seconds": _queue_age(engine) if _is_current(schema) else 0.0,
            "unembedded": _unembedded(engine) if _is_current(schema) else {},
        }
    finally:
        engine.close()


def _status(database: str) -> dict[str, Any]:
    from datastore.address import database_path
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.opening import applied_in_file, apply_command, bind_statements, refuse_foreign

    path = database_path(database)
    read_only = not all(os.access(place, os.W_OK) for place in (path, path.parent))
    refuse_foreign(path, read_only=read_only)
    engine = SQLiteEngine(path, read_only=read_only)
    try:
        schema = _schema(applied_in_file(engine, bind_statements(engine)), "sqlite", apply_command(path))
        free = engine.pragma("freelist_count")
        upkeep = _condition(engine) if _is_current(schema) else None
        unindexed = _unindexed(engine) if _is_current(schema) else {}
        queue_seconds = _queue_age(engine) if _is_current(schema) else 0.0
        unembedded = _unembedded(engine) if _is_current(schema) else {}
        wal = Path(f"{path}-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
    finally:
        engine.close()
    return {
        "database": str(path),
        **schema,
        "file_bytes": path.stat().st_size,
        "wal_bytes": wal_bytes,
        "free_pages": free,
        "upkeep": upkeep,
        "unindexed": unindexed,
        "queue_seconds": queue_seconds,
        "unembedded": unembedded,
        "sqlite_version": sqlite3.sqlite_version,
        "sqlite_affected": has_wal_reset_bug(sqlite3.sqlite_version_info),
    }


def _condition(engine: SQLiteEngine) -> Condition:
    from datastore.opening import bind_statements
    from datastore.repositories import MaintenanceRepository
    from datastore.upkeep.maintenance import Maintenance
    from datastore.values import new_id

    repository = MaintenanceRepository(bind_statements(engine), engine, new_id=new_id)
    return Maintenance(engine, repository).condition()


def _queue_age(engine: Engine) -> float:
    """For how many seconds the longest waiting job has been due."""
    from datastore.opening import bind_statements
    from datastore.upkeep.health import queue_age

    return queue_age(engine, bind_statements(engine))


def _unindexed(engine: Engine) -> dict[str, int]:
    """The number of rows per table that search does not find; tables without such rows are omitted."""
    from datastore.opening import bind_statements
    from datastore.repositories import SearchIndex, VectorIndex
    from datastore.values import new_id

    statements = bind_statements(engine)
    vectors = VectorIndex(statements, engine, new_id=new_id)
    index = SearchIndex(statements, engine, new_id=new_id, vectors=vectors)
    return {table: count for table, count in index.unindexed().items() if count}


def _unembedded(engine: Engine) -> dict[str, int]:
    """The number of rows per table that lack a vector, although others have one; tables without such rows are omitted."""
    from datastore.opening import bind_statements
    from datastore.repositories import VectorIndex
    from datastore.values import new_id

    index = VectorIndex(bind_statements(engine), engine, new_id=new_id)
    found = [index.status(name) for name in index.tables]
    return {one.table: one.missing for one in found if one.model is not None and one.missing}


def _upkeep_pairs(condition: Condition | None) -> list[tuple[str, Any]]:
    if condition is None:
        return []
    last = max(condition.last_runs.values(), default=None)
    readers = "unknown on this system" if condition.readers is None else ", ".join(map(str, condition.readers))
    return [
        ("full-text segments", ", ".join(f"{table} {count}" for table, count in condition.segments.items())),
        ("last maintenance", f"{last:%Y-%m-%d %H:%M:%S}" if last else "never"),
        ("processes reading now", readers or "none"),
    ]


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the WAL-reset bug: 3.7.0 to 3.51.2, except 3.44.6 and later 3.44 and 3.50.7 and later 3.50."""
    fixed = (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return (3, 7, 0) <= version <= (3, 51, 2) and not fixed


@click.command("purge", short_help="Permanently delete soft-deleted conversations.")
@click.option(
    "--deleted-before",
    type=instant,
    required=True,
    metavar="TIME",
    help="A day (UTC), an ISO 8601 time with a zone (2026-01-31T12:00:00Z), or an age (14d: 14 days ago).",
)
@click.option("--reason", metavar="TEXT", help="The reason; kept in the audit log.")
@database_option
def purge_command(deleted_before: datetime, reason: str | None, database: str) -> None:
    """Permanently delete the conversations that were soft-deleted before a time."""
    total = 0
    with open_store(database) as store:
        while True:
            count = store.conversations.purge(deleted_before=deleted_before, reason=reason, max_rows=100)
            total += count
            if count < 100:
                break
    click.echo(f"{total} conversations purged")
