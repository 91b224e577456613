"""A scratch database that the migrations made, step by step, and what each step made."""

from __future__ import annotations

import glob
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from datastore.contract.schema import Schema, rows, statements
from datastore.contract.text import normal
from datastore.engines.sqlite import explain as sqlite_explain
from datastore.migrations.steps import check_folders

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

    @property
    def has_schema(self) -> bool:
        """Whether every step applied."""
        return self.failed is None or self.failed[1] != "apply"


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    """The schema as it is now, without yoyo's tables and SQLite's."""
    return Snapshot(
        {
            (kind, name): normal(sql or "")
            for kind, name, _, sql, _ in rows(connection, "list_objects")
            if not name.startswith(OWN_PREFIXES)
        },
        sqlite_explain.schema_marks(connection),
    )


def migrate(path: Path, folders: list[tuple[Path, bool]]) -> Migrated:
    """Apply every step to a new database, roll each back and apply all again.

    Args:
        path: Where the whole schema is kept. Steps are applied and rolled back next to it, from copies, so that a
            lock file that does not fit stops nothing here.
        folders: The folders of steps, and whether each is the project's own.
    """
    from yoyo import read_migrations

    from datastore.migrations.sqlite import open_backend

    check_folders([folder for folder, _ in folders])
    copies = []
    for number, (folder, own) in enumerate(folders):
        copy = path.parent / f"steps{number}"
        copy.mkdir()
        for file in (*folder.glob("*.sql"), *folder.glob("*.py")):
            shutil.copy(file, copy)
        copies.append((copy, folder, own))
    result = Migrated()
    with open_backend(path.with_name("steps.db")) as backend:
        steps = backend.to_apply(read_migrations(*(glob.escape(str(copy)) for copy, _, _ in copies)))
        for step in steps:
            folder, own = next((folder, own) for copy, folder, own in copies if Path(step.path).parent == copy)
            result.steps.append(Step(step.id, folder / Path(step.path).name, own))
        _up_down_up(backend, list(steps), result, path)
    return result


def _up_down_up(backend: Any, steps: list[Any], result: Migrated, path: Path) -> None:
    result.up.append(snapshot(backend.connection))
    action, number = "apply", 0
    try:
        for number in range(len(steps)):
            backend.apply_one(steps[number])
            result.up.append(snapshot(backend.connection))
        with closing(sqlite3.connect(path)) as whole:
            backend.connection.backup(whole)
        action = "roll back"
        for number in reversed(range(len(steps))):
            backend.rollback_one(steps[number])
            result.down[steps[number].id] = snapshot(backend.connection)
        action = "apply again"
        for number in range(len(steps)):
            backend.apply_one(steps[number])
        result.again = snapshot(backend.connection)
    except Exception as error:
        # Whatever a step raises is what is wrong with it.
        result.failed = (result.steps[number], action, error)


@contextmanager
def with_statistics(schema: Schema) -> Iterator[sqlite3.Connection]:
    """The connection, while the planner believes that every table has a million rows.

    An index's first column leaves a thousandth of them, each further one a hundredth of the rest, and a unique
    one's columns together leave one. A partial index has a tenth of the rows.
    """
    connection = schema.connection
    sqlite_explain.begin(connection)
    try:
        sqlite_explain.create_statistics(connection)
        for index in schema.indexes.values():
            count = STATISTIC_ROWS // 10 if index.partial else STATISTIC_ROWS
            sizes, left = [count], count // 1000
            for number in range(len(index.columns)):
                last = index.unique and number == len(index.columns) - 1
                sizes.append(1 if last else left)
                left = max(1, left // 100)
            text = " ".join(map(str, sizes))
            with closing(connection.cursor()) as cursor:
                values = {"index_table": index.table, "index_name": index.name, "sizes": text}
                cursor.execute(statements()["add_statistics"], values)
        sqlite_explain.reload_statistics(connection)
        yield connection
    finally:
        sqlite_explain.back(connection)
