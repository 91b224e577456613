"""Everything that is known of a project: a scratch database that its migrations made, and its statements there."""

from __future__ import annotations

import glob
import io
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from datastore.contract.inference.results import Column, result_columns
from datastore.contract.plans import Plan, read_plan
from datastore.contract.prepare import check_prepares
from datastore.contract.project import Project
from datastore.contract.schema import Schema, rows, statements
from datastore.contract.sources import Source, Variant, read_sources, variants
from datastore.contract.text import normal
from datastore.engines.sqlite import explain as sqlite_explain
from datastore.errors import DatastoreError, ProjectError, StatementError
from datastore.migrations.steps import check_folders
from datastore.statements.loader import Statement, read_sql

#: yoyo's own tables and SQLite's: no migration of the project made them.
OWN_PREFIXES = ("_yoyo", "yoyo_", "sqlite_")

#: Number of rows of each table for plans with statistics.
STATISTIC_ROWS = 1_000_000


@attrs.frozen
class Snapshot:
    """The objects of the schema at one moment."""

    #: (kind, name) to the CREATE text, without layout and comments.
    objects: dict[tuple[str, str], str]
    marks: tuple[int, int]


@attrs.frozen
class Step:
    """One migration, as yoyo read it."""

    id: str
    #: The file in the project.
    path: Path
    #: Whether it is the project's own, not this library's.
    own: bool


@attrs.define(slots=False)
class Migrated:
    """What applying the steps one by one gave."""

    steps: list[Step] = attrs.field(factory=list)
    #: The schema before the first step, after it, ... after the last that applied.
    up: list[Snapshot] = attrs.field(factory=list)
    #: Step id to the schema after its rollback.
    down: dict[str, Snapshot] = attrs.field(factory=dict)
    #: The schema when all was applied a second time.
    again: Snapshot | None = None
    #: The step that failed, and at what: "apply", "roll back" or "apply again".
    failed: tuple[Step, str, Exception] | None = None
    #: Where the statement of the failed step is that failed, in its text; None where that is not known.
    failed_at: int | None = None
    #: The files of all steps, and why they cannot be run at all.
    refused: tuple[list[Path], str] | None = None

    @property
    def has_schema(self) -> bool:
        return self.refused is None and (self.failed is None or self.failed[1] != "apply")


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    every = rows(connection, "list_objects")
    objects = {(one[0], one[1]): normal(one[3] or "") for one in every if not one[1].startswith(OWN_PREFIXES)}
    return Snapshot(objects, sqlite_explain.schema_marks(connection))


def migrate_project(project: Project, path: Path) -> Migrated:
    """Apply every step of a project to a new database, roll each back and apply all again.

    Args:
        project: Whose steps, after this library's where it builds on them.
        path: Where the whole schema is kept. Steps are applied and rolled back next to it, from copies, so that a
            lock file that does not fit stops nothing here.
    """
    result, files = Migrated(), [*_step_files(project.migration_folders)]
    try:
        _migrate(project, path, result)
    except DatastoreError as error:
        result.refused = files, str(error)
    return result


def _step_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((*folder.glob("*.sql"), *folder.glob("*.py")))


def _migrate(project: Project, path: Path, result: Migrated) -> None:
    from yoyo import read_migrations

    from datastore.migrations.sqlite import open_backend

    # It logs the traceback of a step in Python that it cannot import; the error says it.
    logging.getLogger("yoyo").addHandler(logging.NullHandler())
    check_folders(project.migration_folders)
    for file in _step_files(project.own_migrations):
        if file.read_bytes().startswith(b"\xef\xbb\xbf"):
            message = "the file begins with a byte order mark, after which yoyo does not read its first line"
            raise StatementError(f"{file.name}:1: {message}; save it as UTF-8 without one")
        read_sql(file, file.name)
    copies = {}
    for number, folder in enumerate(project.migration_folders):
        copy = path.parent / f"steps{number}"
        copies[copy] = folder
        copy.mkdir()
        for file in _step_files([folder]):
            shutil.copy(file, copy)
    with open_backend(path.with_name("steps.db")) as backend:
        steps = list(backend.to_apply(read_migrations(*(glob.escape(str(copy)) for copy in copies))))
        for step in steps:
            folder = copies[Path(step.path).parent]
            result.steps.append(Step(step.id, folder / Path(step.path).name, folder in project.own_migrations))
        with redirect_stdout(io.StringIO()):  # yoyo prints the rows of a step's SELECT
            _up_down_up(backend, steps, result, path)


def _up_down_up(backend: Any, steps: list[Any], result: Migrated, path: Path) -> None:
    result.up.append(snapshot(backend.connection))
    numbers = range(len(steps))
    action, number = "apply", 0
    try:
        for number in numbers:
            backend.apply_one(steps[number])
            result.up.append(snapshot(backend.connection))
        with closing(sqlite3.connect(path)) as whole:
            backend.connection.backup(whole)
        action = "roll back"
        for number in reversed(numbers):
            backend.rollback_one(steps[number])
            result.down[steps[number].id] = snapshot(backend.connection)
        action = "apply again"
        for number in numbers:
            backend.apply_one(steps[number])
        result.again = snapshot(backend.connection)
    except Exception as error:
        # Whatever a step raises is what is wrong with it.
        step = result.steps[number]
        result.failed = (step, action, error)
        text = read_sql(step.path, step.path.name) if action == "apply" and step.path.suffix == ".sql" else ""
        result.failed_at = sqlite_explain.first_failure(backend.connection, text)


@contextmanager
def with_statistics(schema: Schema) -> Iterator[None]:
    """The planner believes that every table has a million rows, until the block ends.

    An index's first column leaves a thousandth of them, each further one a hundredth of the rest, and a unique
    one's columns together leave one. A partial index has a tenth of the rows.
    """
    connection = schema.connection
    sqlite_explain.begin(connection)
    try:
        sqlite_explain.create_statistics(connection)
        for index in schema.indexes.values():
            count = STATISTIC_ROWS // 10 if index.partial else STATISTIC_ROWS
            sizes = [count, *(max(1, count // 1000 // 100**number) for number in range(len(index.columns)))]
            if index.unique:
                sizes[-1] = 1
            values = {"index_table": index.table, "index_name": index.name, "sizes": " ".join(map(str, sizes))}
            connection.execute(statements()["add_statistics"], values).close()
        sqlite_explain.reload_statistics(connection)
        yield
    finally:
        sqlite_explain.back(connection)


@attrs.frozen
class StatementFacts:
    """One statement: what its file says, and what the schema makes of it."""

    source: Source
    statement: Statement
    #: Every text that can run, with none of its optional parameters first.
    variants: tuple[Variant, ...]
    #: What it gives back, whichever of its optional lines are there; none for a count of changed rows.
    columns: tuple[Column, ...]
    #: The plan of each of *variants*.
    plans: tuple[Plan, ...]

    @property
    def noun(self) -> str:
        """What its file is named after."""
        return PurePosixPath(self.statement.file).stem


@attrs.frozen
class ProjectFacts:
    """A project: its statements by name, and its schema."""

    project: Project
    statements: Mapping[str, StatementFacts]
    migrated: Migrated
    schema: Schema


@contextmanager
def read_facts(project: Project) -> Iterator[ProjectFacts]:
    """Gather what is known of a project, on a scratch database that is there until the block ends.

    Raises:
        ProjectError: A file or a step is wrong; `datastore check` says what.
    """
    with tempfile.TemporaryDirectory(prefix="datastore-facts-") as scratch:
        path = Path(scratch) / "schema.db"
        migrated = migrate_project(project, path)
        if not migrated.has_schema:
            said = f": {migrated.refused[1]}" if migrated.refused else "; datastore check says which, and why"
            raise ProjectError(f"a migration fails{said}")
        with closing(sqlite_explain.open_scratch(path)) as connection:
            schema = Schema(connection)
            sources, problems = read_sources(project)
            for source in sources:
                problems += filter(None, (check_prepares(source, one.sql, schema) for one in variants(source)))
            if problems:
                raise ProjectError(f"{problems[0].render()}\n(datastore check shows every problem)")
            yield gather(project, sources, migrated, schema, {})


def gather(
    project: Project, sources: Sequence[Source], migrated: Migrated, schema: Schema, plans: Mapping[str, Plan]
) -> ProjectFacts:
    """What is known of statements that all prepare; *plans*, by variant, are those that are known already."""
    statements = {}
    for source in sources:
        if source.statement:
            texts = tuple(variants(source))
            columns = _promised_columns(schema, source.statement, texts)
            found = tuple(plans.get(variant.name) or read_plan(variant.sql, schema) for variant in texts)
            statements[source.name] = StatementFacts(source, source.statement, texts, columns, found)
    return ProjectFacts(project, statements, migrated, schema)


def _promised_columns(schema: Schema, statement: Statement, texts: tuple[Variant, ...]) -> tuple[Column, ...]:
    """What a statement gives back: what is inferred for every choice of its optional lines, or promised in the header."""
    if statement.result == "count":
        return ()
    given = {one.name for one in statement.header.parameters if not one.nullable}
    every = [result_columns(schema, variant.sql, not_null_parameters=given) for variant in texts]
    return tuple(_together(places, statement.header.returns) for places in zip(*every, strict=True))


def _together(places: tuple[Column, ...], promised: Mapping[str, str]) -> Column:
    """One column over every variant: NULL where it can be in one of them, of a type where it is in all."""
    first = places[0]
    if kind := promised.get(first.name):
        nullable, reason = kind.endswith("?"), "the header promises it: Returns"
        return attrs.evolve(first, type=kind.removesuffix("?"), nullable=nullable, reason=reason)
    same = all(place.type == first.type for place in places)
    loosest = next((place for place in places if place.nullable), first)
    return attrs.evolve(loosest, type=first.type if same else None)
