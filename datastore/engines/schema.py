"""The tables of a database, read from its schema on either engine: this library's and an application's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

import attrs

from datastore.resources import migrations_folder, sql_folder
from datastore.statements.loader import read_texts
from datastore.statements.optional import by_name

#: Tables that this library computes from its others: never copied, recomputed where needed.
DERIVED = frozenset({"job_counts", "job_groups", "audit_log_counter", "learning_words", "message_words"})

_created = re.compile(r"^CREATE (?:VIRTUAL )?TABLE (\w+)", re.MULTILINE)


@attrs.frozen
class Column:
    """A column whose values are stored."""

    name: str
    #: The engine's name for it: INTEGER, timestamp with time zone.
    type: str


@attrs.frozen
class Reference:
    """A foreign key."""

    table: str
    columns: tuple[str, ...]
    parent: str
    #: Empty if the key refers to the parent's primary key.
    parent_columns: tuple[str, ...]
    #: CASCADE, SET NULL, SET DEFAULT, RESTRICT or NO ACTION.
    on_delete: str


@attrs.frozen(kw_only=True)
class Table:
    """One table. Names are compared in lower case: PostgreSQL folds the names in CREATE TABLE, SQLite keeps them."""

    name: str
    is_virtual: bool
    columns: tuple[Column, ...]
    #: The columns of the primary key, in key order.
    key: tuple[str, ...]
    references: tuple[Reference, ...]

    def column(self, name: str) -> Column | None:
        """The column with this name."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


#: The tables by lower-case name.
Schema = Mapping[str, Table]


def read_schema(run: Callable[[str], Iterable[Any]]) -> Schema:
    """Every table of a database except SQLite's and yoyo's own.

    Args:
        run: Returns the rows of a statement in sql/ENGINE/schema.sql, given its name.
    """
    columns: dict[str, list[Any]] = {}
    for row in run("list_stored_columns"):
        columns.setdefault(row[0], []).append(row)
    keys: dict[tuple[str, str], list[Any]] = {}
    for row in run("list_foreign_keys"):
        keys.setdefault((row[0], row[1]), []).append(row)
    tables = {}
    for name, kind in run("list_tables"):
        mine = columns.get(name, [])
        tables[name.lower()] = Table(
            name=name,
            is_virtual=kind == "virtual",
            columns=tuple(Column(row[1], row[2]) for row in mine),
            key=tuple(row[1] for row in sorted(mine, key=lambda row: row[3]) if row[3]),
            references=tuple(_reference(rows) for (table, _), rows in keys.items() if table == name),
        )
    return tables


def _reference(rows: list[Any]) -> Reference:
    table, _, parent, _, _, on_delete = rows[0]
    parents = tuple(row[4] for row in rows if row[4] is not None)
    return Reference(table, tuple(row[3] for row in rows), parent, parents, on_delete)


def schema_sql(engine: str, name: str) -> str:
    """A statement of sql/ENGINE/schema.sql, with the driver's placeholders."""
    return _texts(engine)[name]


@cache
def _texts(engine: str) -> dict[str, str]:
    texts = read_texts(sql_folder() / engine / "schema.sql", f"{engine}/schema.sql")
    return texts if engine == "sqlite" else {name: by_name(text) for name, text in texts.items()}


@cache
def library_tables() -> frozenset[str]:
    """The tables that this library's own migrations create, on either engine."""
    files = [path for engine in ("sqlite", "postgresql") for path in migrations_folder(engine).glob("*.sql")]
    return frozenset(name for path in files for name in _created.findall(path.read_text(encoding="utf-8")))


def in_order(tables: Mapping[str, Iterable[str]]) -> tuple[list[str], list[str]]:
    """Return the tables, each after those that it refers to; and the tables of a cycle, if any.

    Args:
        tables: The tables that each one refers to; a table that refers to itself is not a cycle.
    """
    graph = {name: sorted({*others} & tables.keys() - {name}) for name, others in tables.items()}
    try:
        return list(TopologicalSorter(graph).static_order()), []
    except CycleError as error:
        return [], list(error.args[1][:-1])


def quoted(name: str) -> str:
    """A name quoted for SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'
