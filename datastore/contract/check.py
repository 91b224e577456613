"""`datastore check`: every promise of a project's .sql files, checked against the schema that its migrations make."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import attrs

from datastore.contract import generate, plans, released, schema_checks
from datastore.contract.both_engines import Table, sqlite_tables
from datastore.contract.callers import check_callers
from datastore.contract.draft import needs_header, with_drafts, without_drafted
from datastore.contract.facts import STATISTIC_ROWS, Migrated, gather, migrate_project, with_statistics
from datastore.contract.plans import Plan, check_plans, read_plan
from datastore.contract.prepare import check_prepares
from datastore.contract.problems import SERVER_RULES, Problem, distinct, sort_key
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant, read_sources, variants
from datastore.contract.text import tokens
from datastore.contract.vet.result import Results, check_header
from datastore.contract.vet.sql import check_sql
from datastore.contract.waivers import apply_waivers, project_waivers, read_waivers
from datastore.engines.sqlite import explain as sqlite_explain
from datastore.opening import require_psycopg


@attrs.define(slots=False)
class Report:
    """What a check found."""

    project: Project
    problems: list[Problem] = attrs.field(factory=list)
    #: What was left out, and why; one sentence each.
    notes: list[str] = attrs.field(factory=list)
    #: The files that `--update` wrote.
    written: list[Path] = attrs.field(factory=list)
    statements: int = 0
    steps: int = 0
    #: SQLite's tables, which a server's are compared with.
    tables: Mapping[str, Table] = attrs.field(factory=dict)
    #: "PostgreSQL 18.4 (186 statements)", where a server was asked too.
    server: str = ""

    def on_server(self, url: str, *, update: bool = False) -> None:
        """Check what runs on PostgreSQL on a server, and add what is found.

        Args:
            update: Write the plan snapshot instead of comparing with it.

        Raises:
            DatabaseError: psycopg is not installed, or the server cannot be used.
        """
        require_psycopg()
        from datastore.contract.server import check_server

        found = check_server(self.project, url, self.tables, update=update)
        known = {(problem.rule, problem.place, problem.message) for problem in self.problems}
        new = [one for one in found.problems if (one.rule, one.place, one.message) not in known]
        self.problems = sorted([*self.problems, *new], key=sort_key)
        self.notes += found.notes
        self.written += found.written
        self.server = f"PostgreSQL {found.version} ({found.statements} statements)"

    def summary(self) -> str:
        count = len(self.problems)
        found = "no problems" if not count else f"{count} problem{'s' if count > 1 else ''}"
        engine = f"SQLite {sqlite3.sqlite_version}{', ' * bool(self.server)}{self.server}"
        return f"{self.statements} statements, {self.steps} migration steps, {engine}: {found}"

    def as_json(self) -> dict[str, object]:
        return {
            "ok": not self.problems,
            "engine": f"{self.project.engine} {sqlite3.sqlite_version}",
            "server": self.server,
            "statements": self.statements,
            "steps": self.steps,
            "problems": [problem.as_json() for problem in self.problems],
            "notes": self.notes,
            "written": [self.project.show(path) for path in self.written],
        }


def check(project: Project, *, release: str | None = None, update: bool = False) -> Report:
    """Check a project.

    Args:
        release: A git ref, or a pattern of tags, instead of the project's own setting; "" for none.
        update: Write the plan snapshots and the checksums of new steps, instead of comparing with them.

    Raises:
        ProjectError: The release names no ref, or a module of records cannot be imported.
    """
    report = Report(project)
    wanted = project.release if release is None else release
    ref = released.resolve(project.root, wanted) if wanted else ""
    if wanted and not ref:
        report.notes.append(f"no tag matches {wanted}, so there is no last release to compare with")
    with tempfile.TemporaryDirectory(prefix="datastore-check-") as scratch:
        _Run(project, report, ref, update).everything(Path(scratch))
    report.problems.sort(key=sort_key)
    return report


class _Run:
    """One check: its parts share the sources, the scratch database and the plans."""

    def __init__(self, project: Project, report: Report, ref: str, update: bool) -> None:
        self.project = project
        self.report = report
        self.ref = ref
        self.update = update
        self.sources, self.found = read_sources(project)
        report.statements = len(self.sources)
        #: Each text that prepares, by name.
        self.variants: dict[str, Variant] = {}
        self.plans: dict[str, Plan] = {}

    def everything(self, scratch: Path) -> None:
        if self.update:
            self.report.written += released.update_locks(self.project)
        migrated = migrate_project(self.project, scratch / "schema.db")
        self.report.steps = len(migrated.steps)
        self.found += schema_checks.check_steps(self.project, migrated)
        self.found += released.check_lock(self.project)
        self.found += released.check_same_steps(self.project)
        if self.ref:
            self.found += released.check_migrations_released(self.project, self.ref)
        if not migrated.has_schema:
            self.report.notes.append("a step fails, so the statements were not checked against the schema")
            # Nothing says which waivers are needed, and which headers are to be written.
            new = {(one.file, one.name) for one in self.sources if needs_header(one)}
            left = [one for one in self._left() if one.rule != "waiver" and (one.place.file, one.statement) not in new]
            self.report.problems = left
            return
        with closing(sqlite_explain.open_scratch(scratch / "schema.db")) as connection:
            schema = Schema(connection)
            self.report.tables = sqlite_tables(schema)
            self._statements(schema, migrated)
            self.report.problems = self._left()
            if not self.report.problems:
                # What is generated from statements that are wrong would be wrong too.
                facts = gather(self.project, self.sources, migrated, schema, self.plans)
                self.report.problems += generate.check_generated(facts)

    def _statements(self, schema: Schema, migrated: Migrated) -> None:
        # Of many statements sqlite3 says no more.
        sources = [one for one in self.sources if one.refused != "many-statements" and tokens(one.body)]
        sources, drafted = with_drafts(sources, schema)
        self.found = without_drafted(self.found, drafted) + drafted
        for source in sources:
            self._prepare(source, schema)
        for source in sources:
            self.found += check_sql(source, schema)
            self.found += check_header(source, schema) if source.statement else ()
        self.plans = {name: read_plan(variant.sql, schema) for name, variant in self.variants.items()}
        self._plan_rules(schema)
        self.found += schema_checks.check_indexes(self.project, schema, migrated, self._used_indexes(schema))
        if self.ref:
            self.found += released.check_released(self.project, self.ref, schema, self.sources)
        self._snapshots()
        results = Results(self.project, schema)
        for variant in self.variants.values():
            self.found += results.check(variant)
        self.found += check_callers(self.project, self.sources)

    def _prepare(self, source: Source, schema: Schema) -> None:
        for variant in variants(source):
            if problem := check_prepares(source, variant.sql, schema):
                self.found.append(problem)
                return
            self.variants[variant.name] = variant

    def _plan_rules(self, schema: Schema) -> None:
        read = [variant for variant in self.variants.values() if variant.source.statement]
        under = f"with ANALYZE's statistics of tables of {STATISTIC_ROWS:,} rows"
        with with_statistics(schema):
            large = {one.name: read_plan(one.sql, schema) for one in read}
        self.found += check_plans(read, {"": self.plans, under: large}, schema)

    def _used_indexes(self, schema: Schema) -> set[str] | None:
        if any(problem.rule == "prepare" for problem in self.found):
            self.report.notes.append("some statement does not prepare, so unused indexes were not looked for")
            return None
        used = {access.index for plan in self.plans.values() for access in plan.accesses}
        with sqlite_explain.foreign_keys(schema.connection):
            for variant in self.variants.values():
                pages = sqlite_explain.pages_read(schema.connection, variant.sql)
                used |= {schema.roots[page] for page in pages if page in schema.roots}
        return used

    def _snapshots(self) -> None:
        path = plans.snapshot_file(self.project)
        lines = {name: plan.lines for name, plan in self.plans.items()}
        if self.update:
            self.report.written += plans.write_snapshot(path, lines)
        elif path.is_file():
            sources = {name: variant.source for name, variant in self.variants.items()}
            self.found += plans.check_snapshot(path, self.project.show(path), lines, sources)
        else:
            missing = f"no plans of SQLite {sqlite3.sqlite_version} are kept"
            self.report.notes.append(f"{missing}; `datastore check --update` writes {self.project.show(path)}")

    def _left(self) -> list[Problem]:
        """What nothing waives, and the waivers that nothing needs."""
        waivers, problems = project_waivers(self.project)
        for source in self.sources:
            lines, wrong = read_waivers(source)
            waivers += lines
            problems += wrong
        waivers = [waiver for waiver in waivers if waiver.rule not in SERVER_RULES]  # `check_server` applies those
        return distinct(apply_waivers(self.found, waivers) + problems)
