"""`datastore check --server`: what runs on PostgreSQL, checked against the schema that its migrations make there.

The same files are read as for SQLite, with sql/postgresql/ in the place of sql/sqlite/. A scratch database on the server is
migrated, and each text is prepared on it and never run: the server says what it infers of parameters and columns, and how it
would read the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import attrs
import psycopg

from datastore.contract import lock
from datastore.contract.both_engines import Table, compare, server_tables
from datastore.contract.facts import OWN_PREFIXES, Migrated
from datastore.contract.plans import check_snapshot, write_snapshot
from datastore.contract.problems import SERVER_RULES, Place, Problem, sort_key
from datastore.contract.project import Project
from datastore.contract.promises import check_nulls
from datastore.contract.schema_checks import find_created
from datastore.contract.server_migrations import check_server_keys, check_server_steps, library_tables, migrate_server
from datastore.contract.sources import Source, read_sources, variants
from datastore.contract.text import find_phrase
from datastore.contract.waivers import apply_waivers, project_waivers, read_waivers
from datastore.engines.postgresql import explain
from datastore.engines.postgresql.scratch import scratch
from datastore.errors import ProjectError
from datastore.statements.loader import Statement, read_texts

ENGINE = "postgresql"

#: What it asks the server's catalogue.
_OWN = Path(__file__).with_suffix(".sql")

#: What EXPLAIN takes.
_PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

#: PostgreSQL's types, by what a header calls them. Where no column says otherwise, the server takes it for text.
_PARAMETERS = {
    "text": {"text", "varchar", "name"},
    "integer": {"int2", "int4", "int8", "numeric"},
    "real": {"float8"},
    "timestamp": {"timestamptz"},
    "json": {"json", "text"},
    "rows": {"json", "text"},
    "boolean": {"int2", "int4", "int8"},
    "match": {"text", "json", "tsquery"},
    "words": {"text", "json"},
}

#: The same by what `datastore generate` found for SQLite: an instant or JSON may be a text of the result.
_COLUMNS = {
    "text": {"text", "varchar", "name", "json", "timestamptz", "bytea"},
    "integer": {"int2", "int4", "int8"},
    "real": {"float8"},
    "timestamp": {"timestamptz"},
    "json": {"json", "text"},
    "boolean": {"int2", "int4", "int8"},
    "blob": {"bytea", "text"},
}


@attrs.define
class ServerReport:
    """What was found on a server."""

    #: Of the server, "18.4".
    version: str = ""
    statements: int = 0
    problems: list[Problem] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    #: The files that an update wrote.
    written: list[Path] = attrs.field(factory=list)


def check_server(
    project: Project, url: str, tables: Mapping[str, Table] | None = None, *, update: bool = False
) -> ServerReport:
    """Check a project's statements as they run on the server of *url*, in a database that is made for it and dropped.

    Args:
        tables: SQLite's tables, to compare with; None compares none.
        update: Write the plans instead of comparing them with those that were accepted.

    Raises:
        ProjectError: A folder of `server_migrations` is not there.
        DatabaseError: The server cannot be reached, or no database can be made on it.
    """
    folders = project.server_migration_folders
    for folder in folders:
        if not folder.is_dir():
            raise ProjectError(f"[tool.datastore] server_migrations: there is no folder {folder}")
    report = ServerReport()
    sources, found = read_sources(attrs.evolve(project, engine=ENGINE))
    report.statements = len(sources)
    own = read_texts(_OWN, _OWN.name)
    with scratch(url) as place:
        migrated = migrate_server(project, place, own)
        found += check_server_steps(project, migrated)
        if not migrated.has_schema or migrated.again is None:
            report.notes.append("a step fails on PostgreSQL, so the statements were not checked there")
        else:
            with explain.explaining(place) as connection:
                report.version = connection.info.parameter_status("server_version") or ""
                found += _schema(project, migrated, connection, own, tables or {})
                found += _statements(project, sources, connection, report, update=update)
    found += _contract(sources, read_sources(project)[0])
    lines = [*project_waivers(project)[0], *(waiver for source in sources for waiver in read_waivers(source)[0])]
    if not report.version:
        lines = [waiver for waiver in lines if waiver.rule not in SERVER_RULES]  # a step failed: nobody knows
    # Other waivers may be needed on SQLite only.
    report.problems = sorted(
        (one for one in apply_waivers(found, lines) if one.rule != "waiver" or one.subject in SERVER_RULES),
        key=sort_key,
    )
    return report


def _schema(
    project: Project,
    migrated: Migrated,
    connection: psycopg.Connection[Any],
    own: Mapping[str, str],
    ours: Mapping[str, Table],
) -> Iterator[Problem]:
    """The tables without a key, and the differences between the engines."""
    tables = {
        name: table for name, table in server_tables(connection, own).items() if not name.startswith(OWN_PREFIXES)
    }
    yield from check_server_keys(project, migrated, {name: table.primary_key for name, table in tables.items()})
    if not ours or not project.own_migrations or not project.own_server_migrations:
        return
    library = library_tables(migrated)
    mine, theirs = (
        {name: table for name, table in found.items() if name not in library} for found in (_own(ours), tables)
    )
    for subject, message in compare(mine, theirs):
        place = find_created(project, migrated, subject.partition(".")[0])
        hint = f'correct the steps, or say why they differ: "engines {subject}" = "..."'
        yield Problem("engines", place, message, hint, subject=subject)


def _own(tables: Mapping[str, Table]) -> dict[str, Table]:
    return {name: table for name, table in tables.items() if not name.startswith(OWN_PREFIXES)}


def _statements(
    project: Project,
    sources: list[Source],
    connection: psycopg.Connection[Any],
    report: ServerReport,
    *,
    update: bool,
) -> list[Problem]:
    """The problems of the statements, and of their plans."""
    found: list[Problem] = []
    plans: dict[str, tuple[str, ...]] | None = None
    some_rows: set[str] = set()
    if connection.info.server_version >= explain.GENERIC_PLAN:
        plans = {}
        some_rows = {
            name for (name,) in connection.execute(read_texts(_OWN, _OWN.name)["list_partial_indexes"].encode())
        }
    else:
        report.notes.append("plans need PostgreSQL 16 or newer: not checked")
    locked = lock.read(project.root / project.lock)["statements"]
    for source in (source for source in sources if source.statement):
        problems = _statement(source, connection, locked.get(source.name, {}).get("columns"), some_rows, plans)
        first = {(problem.rule, problem.message): problem for problem in reversed(list(problems))}
        found += reversed(first.values())
    if plans is not None and not any(problem.rule == "prepare" for problem in found):
        path = project.root / project.plans / f"{ENGINE}-{connection.info.server_version // 10000}.txt"
        if update:
            report.written += write_snapshot(path, plans)
        elif path.is_file():
            by_name = {variant.name: source for source in sources for variant in variants(source)}
            found += check_snapshot(path, project.show(path), plans, by_name)
        else:
            version = connection.info.server_version // 10000
            missing = f"no plans of PostgreSQL {version} are kept"
            report.notes.append(f"{missing}; `datastore check --update` writes {project.show(path)}")
    return found


def _statement(
    source: Source,
    connection: psycopg.Connection[Any],
    locked: Mapping[str, str] | None,
    some_rows: Set[str],
    plans: dict[str, tuple[str, ...]] | None,
) -> Iterator[Problem]:
    """The problems of one statement.

    Args:
        some_rows: The partial indexes.
        plans: Where to write the plan of each variant; None if the server cannot plan without values.
    """
    for variant in variants(source):
        try:
            described = explain.describe(connection, variant.sql)
        except explain.Refused as refused:
            yield Problem("prepare", _place(source, variant.sql, refused.position), str(refused), refused.hint)
            return
        yield from _types(source, described)
        if locked is not None:
            yield from _columns(source, described, {name: kind.removesuffix("?") for name, kind in locked.items()})
            never_null = {name for name, kind in locked.items() if not kind.endswith("?")}
            yield from check_nulls(source, variant.sql, never_null)
        if plans is None or not variant.sql.lstrip().upper().startswith(_PLANNED):
            continue
        root = explain.plan(connection, variant.sql)
        plans[variant.name] = tuple(explain.plan_lines(root))
        # A statement without WHERE is meant to read everything; the rule no-where asks for its reason.
        for table in explain.whole_tables(root, some_rows) if find_phrase(variant.sql, "WHERE") else ():
            hint = "filter by an index, or say why it may: -- Allow: full-scan, ..."
            message = f"PostgreSQL's plan reads the whole of {table}"
            yield Problem("full-scan", source.label_place("Index"), message, hint, subject=table)
        for table in sorted(explain.unlocked(root)):
            message = f"rows of {table} are selected up to a LIMIT and then changed, but not locked: two clients may select the same"
            hint = "FOR UPDATE (SKIP LOCKED, if others need not wait) in the query that selects them"
            yield Problem("row-lock", source.name_place, message, hint, subject=table)


def _place(source: Source, sql: str, position: int | None) -> Place:
    """Where the server's position lies in the file: the line is looked for, because optional lines may be left out."""
    if position is None:
        return source.name_place
    begun = sql.rfind("\n", 0, position) + 1
    place = source.body.find(sql[begun:].split("\n", 1)[0])
    return source.at(place + position - begun, 1) if place >= 0 else source.name_place


def _types(source: Source, described: explain.Described) -> Iterator[Problem]:
    assert source.statement
    for parameter in source.statement.header.parameters:
        kind = described.parameters.get(parameter.name)
        if kind is not None and kind not in _PARAMETERS.get(parameter.type, {kind}):
            place = source.header_place(parameter.name, 1) or source.name_place
            message = f"the header says {parameter.type}, and PostgreSQL takes :{parameter.name} for {kind}"
            yield Problem("parameter-type", place, message, "CAST it to what is meant")


def _columns(source: Source, described: explain.Described, wanted: Mapping[str, str]) -> Iterator[Problem]:
    names = [name for name, _ in described.columns]
    if names != list(wanted):
        message = f"PostgreSQL gives {', '.join(names) or 'no columns'}; SQLite {', '.join(wanted) or 'none'}"
        yield Problem("record", source.name_place, message, "the same columns in the same order")
        return
    for name, kind in described.columns:
        if kind not in _COLUMNS.get(wanted[name], {kind}):
            message = f"PostgreSQL gives {name} as {kind}; SQLite as {wanted[name]}"
            yield Problem("record", source.name_place, message, "CAST it")


def _contract(sources: list[Source], others: list[Source]) -> Iterator[Problem]:
    """What the two engines' statements of one name do not have in common."""
    known = {source.name: source.statement for source in others if source.statement}
    for source in sources:
        ours, other = source.statement, known.get(source.name)
        if ours is None or other is None:
            continue
        if _taken(ours) != _taken(other):
            yield Problem("parameters", source.name_place, f"{other.file} has other parameters")
        if _given(ours) != _given(other):
            message = f"{other.file} gives something else: another operator, record or optional parameter"
            yield Problem("operator", source.name_place, message)


def _taken(statement: Statement) -> list[tuple[str, str, bool]]:
    return [(one.name, one.type, one.nullable) for one in statement.header.parameters]


def _given(statement: Statement) -> tuple[object, ...]:
    return statement.result, statement.writes, statement.optional, statement.header.record
