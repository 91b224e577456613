"""Everything that is known of a project's statements, gathered once: for the generated code, the lock file, the catalogue."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

import attrs

from datastore.contract.database import Migrated, migrate_project
from datastore.contract.inference.results import Column, result_columns
from datastore.contract.plans import Plan, read_plan
from datastore.contract.prepare import check_prepares
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, Variant, read_sources, variants
from datastore.engines import sqlite_explain
from datastore.errors import ProjectError
from datastore.statements.loader import Statement


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
            raise ProjectError("a migration fails; datastore check says which, and why")
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
        return attrs.evolve(
            first, type=kind.removesuffix("?"), nullable=kind.endswith("?"), reason="the header promises it: Returns"
        )
    same = all(place.type == first.type for place in places)
    loosest = next((place for place in places if place.nullable), first)
    return attrs.evolve(loosest, type=first.type if same else None)
