"""What the pages show, gathered once and named as a DBA names it; the pages only lay it out.

The file of measured times is read where a project has one, and never written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal

import attrs

from datastore.contract.catalog.comments import Item, ServerTable
from datastore.contract.facts import StatementFacts
from datastore.contract.project import Project
from datastore.contract.schema import ForeignKey
from datastore.contract.touches import Touch
from datastore.errors import ProjectError
from datastore.statements.loader import Statement

#: (p50, p95, p99) in microseconds, by rows.
Times = Mapping[str, tuple[float, float, float]]


@attrs.frozen
class Measured:
    """What the file says."""

    file: str
    command: str
    commit: str
    machine: str
    versions: str
    rows: tuple[str, ...]
    #: Statement to choice of optional lines ("always" for none) to times.
    times: Mapping[str, Mapping[str, Times]]
    #: Statement to why it has none.
    not_timed: Mapping[str, str]
    #: The statements that were timed with arguments for which there is no row.
    found_nothing: frozenset[str]


def read_times(project: Project) -> Measured | None:
    """The measured times of a project's statements; None where it has no such file.

    Raises:
        ProjectError: The file is none of its kind.
    """
    path = project.root / project.times
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Measured(
            file=project.times,
            **{name: said[name] for name in ("command", "commit", "machine")},
            versions=", ".join(f"{name} {version}" for name, version in said["versions"].items()),
            rows=tuple(map(str, said["rows"])),
            times={
                name: {which: _times(sizes) for which, sizes in choices.items()}
                for name, choices in said["statements"].items()
            },
            not_timed=dict(said["not_timed"]),
            found_nothing=frozenset(said["found_nothing"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"{project.times} is no file of measured times ({type(error).__name__}: {error})") from error


def _times(sizes: Mapping[str, tuple[float, float, float]]) -> Times:
    return {rows: (float(p50), float(p95), float(p99)) for rows, (p50, p95, p99) in sizes.items()}


#: What runs on PostgreSQL: the statement as it is, a text of its own there, or nothing; None for a project without any.
OnServer = Statement | Literal["shared", "none"] | None


@attrs.frozen
class Choice:
    """One text of a statement: with some of its optional lines."""

    #: The optional parameters that are given; "" for none.
    which: str
    #: What the header promises of it.
    index: str
    plan: tuple[str, ...]
    times: Times


@attrs.frozen
class StatementPage:
    facts: StatementFacts
    choices: tuple[Choice, ...]
    touches: tuple[Touch, ...]
    #: The triggers that its program goes into.
    fires: tuple[str, ...]
    callers: tuple[str, ...]
    server: OnServer

    @property
    def name(self) -> str:
        return self.facts.statement.name

    @property
    def of_engine(self) -> bool:
        """Whether it is in the engine's own words."""
        return "/" in self.facts.statement.file

    def tables(self, writes: bool) -> tuple[list[str], list[str]]:
        """The tables that it writes, or reads: in its own words, and through triggers and foreign keys alone."""
        every = [touch for touch in self.touches if touch.writes == writes]
        own = dict.fromkeys(touch.table for touch in every if not touch.by)
        return [*own], [*dict.fromkeys(touch.table for touch in every if touch.table not in own)]


@attrs.frozen
class User:
    """Who touches a column: one line of "what touches messages.content"."""

    #: "statement" or "trigger".
    kind: str
    name: str
    #: "read", "insert", "update" or "delete".
    action: str
    #: Through which triggers, views or foreign keys; "" among them for its own words.
    by: tuple[str, ...]


@attrs.frozen
class ColumnPage:
    #: "TABLE.COLUMN".
    id: str
    name: str
    #: As it is declared.
    type: str
    #: json, timestamp, boolean where the constraints make it one; else "".
    logical: str
    nullable: bool
    default: str
    primary: bool
    meaning: str
    #: The foreign keys that it is a part of.
    refers: tuple[ForeignKey, ...]
    users: tuple[User, ...]

    def used(self, action: str) -> list[User]:
        return [user for user in self.users if user.action == action]


@attrs.frozen
class IndexPage:
    name: str
    table: str
    unique: bool
    #: Columns and predicate as they are written.
    definition: str
    comment: str
    #: The statements whose plan reads it, or whose conflict it decides.
    statements: tuple[str, ...]
    #: The statements whose triggers and cascades look something up in it.
    indirect: tuple[str, ...]
    #: The foreign keys that lead it: a delete of the parent finds the children by it.
    foreign_keys: tuple[str, ...]
    step: str


@attrs.frozen
class TriggerPage:
    name: str
    table: str
    #: "AFTER UPDATE OF deleted_at".
    when: str
    sql: str
    comment: str
    touches: tuple[Touch, ...]
    #: The statements that fire it.
    statements: tuple[str, ...]
    step: str


@attrs.frozen
class TablePage:
    """One table, virtual table or view."""

    name: str
    #: "table", "virtual" or "view".
    kind: str
    sql: str
    #: The comment above its CREATE.
    comment: str
    #: What pyproject.toml adds.
    note: str
    options: tuple[str, ...]
    columns: tuple[ColumnPage, ...]
    #: Without foreign keys.
    constraints: tuple[Item, ...]
    indexes: tuple[IndexPage, ...]
    triggers: tuple[TriggerPage, ...]
    refers: tuple[ForeignKey, ...]
    referred: tuple[ForeignKey, ...]
    #: The step that made it, and those that changed it.
    steps: tuple[str, ...]
    #: The statements that touch it.
    statements: tuple[str, ...]

    @property
    def index_texts(self) -> dict[str, str]:
        """The indexes by name, as PostgreSQL's are written."""
        return {index.name: "UNIQUE " * index.unique + index.definition for index in self.indexes}


@attrs.frozen
class Catalog:
    project: Project
    title: str
    #: Engine and version of the plans.
    engine: str
    statements: tuple[StatementPage, ...]
    tables: tuple[TablePage, ...]
    #: Step id to its file, relative to the project.
    steps: Mapping[str, str]
    measured: Measured | None
    #: The tables on PostgreSQL, by name; empty for a project without steps for it.
    server: Mapping[str, ServerTable]

    def groups(self) -> Iterator[tuple[str, list[StatementPage]]]:
        """The statements by the noun of their file, by name; in their file's order."""
        nouns: dict[str, list[StatementPage]] = {}
        for one in self.statements:
            nouns.setdefault(one.facts.noun, []).append(one)
        yield from sorted(nouns.items())
