"""What the pages show, gathered once and named as a DBA names it; the pages only lay it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs

from datastore.contract.catalog.comments import Item
from datastore.contract.facts import StatementFacts
from datastore.contract.project import Project
from datastore.contract.schema import ForeignKey
from datastore.contract.text import normal
from datastore.contract.touches import Touch
from datastore.statements.loader import Statement

_type = re.compile(r"\s(?:COLLATE|NOT NULL|NULL|DEFAULT|PRIMARY KEY|UNIQUE|CHECK|REFERENCES|CONSTRAINT)\b.*")

#: (p50, p95, p99) in microseconds, by rows.
Times = Mapping[str, tuple[float, float, float]]

#: What runs on PostgreSQL: the statement as it is, a text of its own there, or nothing; None for a project without any.
OnServer = Statement | Literal["shared", "none"] | None


@attrs.frozen
class Choice:
    """One text that a statement stands for: with some of its optional lines."""

    #: The optional parameters that are given; "" for none.
    which: str
    #: What the header promises of it.
    index: str
    plan: tuple[str, ...]
    times: Times


@attrs.frozen
class StatementPage:
    """One statement."""

    facts: StatementFacts
    choices: tuple[Choice, ...]
    touches: tuple[Touch, ...]
    #: The triggers that its program goes into.
    fires: tuple[str, ...]
    callers: tuple[str, ...]
    server: OnServer = None
    #: Why no time was measured; "" where one was, or where nothing was measured at all.
    not_timed: str = ""
    #: Whether it was timed with arguments for which it finds no row.
    found_nothing: bool = False

    @property
    def name(self) -> str:
        return self.facts.statement.name

    @property
    def group(self) -> str:
        """The noun of its file."""
        return self.facts.source.file.rpartition("/")[2].removesuffix(".sql")

    @property
    def of_engine(self) -> bool:
        """Whether it is in the engine's own words."""
        return "/" in self.facts.statement.file

    def tables(self, writes: bool) -> tuple[list[str], list[str]]:
        """The tables that it writes, or reads: in its own words, and through triggers and foreign keys alone."""
        every = [touch for touch in self.touches if touch.writes == writes]
        own = dict.fromkeys(touch.table for touch in every if not touch.by)
        return [*own], [*dict.fromkeys(touch.table for touch in every if touch.table not in own)]

    @property
    def changes(self) -> tuple[str, ...]:
        """The tables that it writes, triggers and cascades included."""
        return tuple(dict.fromkeys(touch.table for touch in self.touches if touch.writes))


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
    """One column."""

    table: str
    name: str
    #: As it is declared.
    type: str
    #: json, timestamp, boolean where the constraints make it one; "" else.
    logical: str
    nullable: bool
    default: str
    primary: bool
    #: It is in no ``*``: a virtual table's own.
    hidden: bool
    meaning: str
    #: The foreign keys that it is a part of.
    refers: tuple[ForeignKey, ...]
    users: tuple[User, ...]

    @property
    def id(self) -> str:
        return f"{self.table}.{self.name}"

    def used(self, *actions: str) -> list[User]:
        return [user for user in self.users if user.action in actions]


@attrs.frozen
class Constraint:
    """One constraint of a table."""

    name: str
    rule: str
    comment: str


@attrs.frozen
class IndexPage:
    """One index, and what it serves."""

    name: str
    table: str
    unique: bool
    #: Columns and predicate as they were written; "" where a constraint made it.
    definition: str
    comment: str
    #: The statements whose plan reads it, or whose conflict it decides.
    statements: tuple[str, ...]
    #: The statements whose triggers and cascades look something up in it.
    indirect: tuple[str, ...]
    #: The foreign keys that lead it: a delete of the parent finds the children by it.
    foreign_keys: tuple[str, ...]
    step: str

    @property
    def automatic(self) -> bool:
        """Whether a constraint made it, and SQLite named it."""
        return self.name.startswith("sqlite_autoindex_")


@attrs.frozen
class TriggerPage:
    """One trigger."""

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

    def by_action(self) -> dict[str, list[Touch]]:
        """What it touches, by what it does."""
        found: dict[str, list[Touch]] = {}
        for touch in self.touches:
            found.setdefault(touch.action, []).append(touch)
        return found


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
    constraints: tuple[Constraint, ...]
    indexes: tuple[IndexPage, ...]
    triggers: tuple[TriggerPage, ...]
    refers: tuple[ForeignKey, ...]
    referred: tuple[ForeignKey, ...]
    #: The step that made it, and those that changed it.
    steps: tuple[str, ...]
    #: (statement, actions) of every statement that touches it.
    statements: tuple[tuple[str, tuple[str, ...]], ...]


@attrs.frozen
class ServerTrigger:
    """One trigger."""

    name: str
    when: str
    comment: str


@attrs.frozen
class ServerTable:
    """One table or view on PostgreSQL."""

    sql: str
    comment: str
    #: Columns and constraints, in their order.
    items: list[Item] = attrs.field(factory=list)
    #: By name: table, columns and predicate as they are written.
    indexes: dict[str, str] = attrs.field(factory=dict)
    triggers: list[ServerTrigger] = attrs.field(factory=list)

    @property
    def types(self) -> dict[str, str]:
        """The type of each column."""
        return {item.name: _type.sub("", f" {item.text}").strip() for item in self.items if not item.constraint}

    @property
    def comments(self) -> dict[str, str]:
        """What is said of each column."""
        return {item.name: item.comment for item in self.items if not item.constraint}

    def constraints_unlike(self, table: TablePage) -> dict[str, str]:
        """The constraints that are written otherwise than SQLite's of their name."""
        same = {(rule.name, normal(rule.rule)) for rule in table.constraints}
        own = (item for item in self.items if item.constraint)
        return {item.name: item.text for item in own if (item.name, normal(item.text)) not in same}

    def indexes_unlike(self, table: TablePage) -> dict[str, str]:
        """The indexes that SQLite does not have, or not so."""
        same = {(one.name, normal("UNIQUE " * one.unique + one.definition)) for one in table.indexes}
        return {name: text for name, text in self.indexes.items() if (name, normal(text)) not in same}


@attrs.frozen
class Measured:
    """Where the times come from."""

    command: str
    commit: str
    machine: str
    versions: str
    rows: tuple[str, ...]
    file: str


@attrs.frozen
class Catalog:
    """All of it."""

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
            nouns.setdefault(one.group, []).append(one)
        yield from sorted(nouns.items())

    @property
    def not_timed(self) -> list[StatementPage]:
        """The statements for which no time is recorded, though others have one."""
        return [one for one in self.statements if self.measured and not any(choice.times for choice in one.choices)]


def users(touches: Sequence[tuple[str, str, Sequence[Touch]]], table: str, column: str) -> tuple[User, ...]:
    """Who touches a column; a row that is deleted takes it along.

    Args:
        touches: (kind, name, what it touches) of every statement and trigger.
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for kind, name, every in touches:
        for touch in every:
            if touch.table == table and (touch.column == column or touch.action == "delete"):
                found.setdefault((kind, name, touch.action), {})[touch.by] = None
    return tuple(User(*key, tuple(by)) for key, by in found.items())
