"""The schema that statements are judged against: read once, from the database that the migrations made."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from datastore.contract.inference.parse import Node, Unsure, parse_expression
from datastore.contract.logical import affinity, column_storage, column_type, promises
from datastore.contract.metadata import Engine, open_engine
from datastore.statements.loader import read_texts

_HIDDEN = 1
#: Computed columns, virtual and stored: STRICT does not compare their class with the declared type (SQLite 3.40).
_GENERATED = (2, 3)

#: Its columns have the types that they are declared with; nobody but SQLite writes it.
_SCHEMA_TABLE = "sqlite_schema"


@attrs.frozen
class TableColumn:
    """One column of a table or view, as it is declared."""

    name: str
    declared: str
    not_null: bool
    #: Place in the primary key, from 1; 0 for none.
    key_place: int
    #: Not in ``*``: a virtual table's argument or command column.
    hidden: bool
    #: The classes that a value which is not NULL may have.
    storage: frozenset[str]
    #: json, timestamp or boolean, from the CHECKs; else None.
    logical: str | None
    #: None where it could not be found out.
    collation: str | None

    @property
    def affinity(self) -> str:
        return affinity(self.declared)


@attrs.frozen
class Key:
    """Columns of which no two rows of a table have equal values (NULL apart)."""

    columns: tuple[str, ...]
    #: The collation of each column in the index; None for the rowid.
    collations: tuple[str | None, ...]
    #: The index; "" for the rowid.
    index: str
    #: The predicate of a partial index.
    where: Node | None = None


@attrs.frozen
class ForeignKey:
    columns: tuple[str, ...]
    table: str
    #: Empty where the parent's primary key is meant.
    parent_columns: tuple[str, ...]


@attrs.frozen
class Index:
    name: str
    unique: bool
    #: Its key columns; None for an expression.
    columns: tuple[str | None, ...]
    partial: bool
    #: Empty for the index of a UNIQUE or PRIMARY KEY constraint.
    sql: str


@attrs.frozen
class Table:
    """One table, virtual table or view."""

    name: str
    #: "table", "virtual", "shadow" or "view".
    kind: str
    strict: bool
    has_rowid: bool
    #: The INTEGER PRIMARY KEY, in lower case; "" for none.
    rowid_alias: str
    #: By name in lower case, in their order.
    columns: Mapping[str, TableColumn]
    keys: tuple[Key, ...]
    foreign_keys: tuple[ForeignKey, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[str, ...]
    sql: str

    @property
    def is_fts(self) -> bool:
        return self.kind == "virtual" and "fts5" in self.sql.lower()


class Schema:
    """Tables and views of a connection's main database.

    Attributes:
        tables: By name in lower case.
        aggregates: Names of aggregate and window functions.
        engine: The C library over a copy of the database; None where it cannot be reached.
        view_facts: What `datastore.contract.inference.queries` found of each view: filled as they are asked for.
        results: The columns that `result_columns` found of each statement, filled likewise.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.engine: Engine | None = open_engine(connection)
        self.view_facts: dict[str, Any] = {}
        self.results: dict[tuple[str, frozenset[str]], Any] = {}
        self.aggregates = frozenset(name.lower() for (name,) in _run(connection, "list_aggregates"))
        objects = _run(connection, "list_objects")
        self.tables: Mapping[str, Table] = {
            row[0].lower(): self._table(connection, row, objects) for row in _run(connection, "list_tables")
        }

    def table(self, name: str) -> Table | None:
        """A table or view by name, in any case; SQLite's own schema table by both of its names."""
        return self.tables.get(_SCHEMA_TABLE if name.lower() == "sqlite_master" else name.lower())

    def _table(self, connection: sqlite3.Connection, row: tuple[Any, ...], objects: list[Any]) -> Table:
        name, kind, without_rowid, strict = row
        sql = {name_: sql or "" for type_, name_, _, sql in objects if type_ in {"table", "view"}}
        indexes = {name_: sql or "" for type_, name_, _, sql in objects if type_ == "index"}
        rows = _run(connection, "list_columns", table_name=name)
        unique = list(self._indexes(connection, name, indexes))
        alias = _rowid_alias(rows, kind, bool(without_rowid), [origin for origin, _, _ in unique])
        has_rowid = kind in {"table", "virtual"} and not without_rowid
        create = sql.get(name, "") if kind == "table" else ""
        columns = {
            c.name.lower(): c for c in self._columns(name, create, rows, bool(strict) or name == _SCHEMA_TABLE, alias)
        }
        keys = [key for _, _, key in unique if key is not None]
        if has_rowid:
            keys.insert(0, Key(("rowid",), (None,), ""))
        return Table(
            name="sqlite_master" if name == _SCHEMA_TABLE else name,  # as the engine calls it
            kind=kind,
            strict=bool(strict),
            has_rowid=has_rowid,
            rowid_alias=alias,
            columns=columns,
            keys=tuple(keys),
            foreign_keys=tuple(_foreign_keys(_run(connection, "list_foreign_keys", table_name=name))),
            indexes=tuple(index for _, index, _ in unique),
            triggers=tuple(name_ for type_, name_, table, _ in objects if type_ == "trigger" and table == name),
            sql=sql.get(name, ""),
        )

    def _columns(self, table: str, create: str, rows: list[Any], strict: bool, alias: str) -> Iterator[TableColumn]:
        said = list(promises(create))
        for name, declared, not_null, key_place, hidden, default in rows:
            is_generated = hidden in _GENERATED
            promised = frozenset(promise.type for promise in said if promise.column == name.lower())
            is_alias = name.lower() == alias
            storage = column_storage(declared, strict and not is_generated, default)
            for kind in {"integer"} if is_alias else promised & storage:
                storage = frozenset({kind})
            yield TableColumn(
                name=name,
                declared=declared,
                not_null=bool(not_null) or is_alias or (table == _SCHEMA_TABLE and name != "sql"),
                key_place=key_place,
                hidden=hidden == _HIDDEN,
                storage=storage,
                logical=None if is_generated else column_type(promised, storage, declared),
                collation=self._collation(table, name, create),
            )

    def _collation(self, table: str, column: str, create: str) -> str | None:
        # Without CREATE TABLE there is nothing to ask: and of a virtual table that no statement has connected to yet,
        # SQLite 3.53 cannot be asked, it crashes.
        if create and self.engine is not None and (found := self.engine.collation(table, column)):
            return found.upper()
        return None if "COLLATE" in create.upper() else "BINARY"

    @staticmethod
    def _indexes(
        connection: sqlite3.Connection, table: str, texts: Mapping[str, str]
    ) -> Iterator[tuple[str, Index, Key | None]]:
        for name, unique, origin, partial in _run(connection, "list_indexes", table_name=table):
            rows = _run(connection, "list_index_columns", index_name=name)
            columns = tuple(None if column is None else str(column).lower() for column, _ in rows)
            sql = texts.get(name, "")
            index = Index(name, bool(unique), columns, bool(partial), sql)
            where = _predicate(sql) if partial else None
            whole = [column for column in columns if column is not None]
            usable = unique and len(whole) == len(columns) and not (partial and where is None)
            collations = tuple(collation.upper() for _, collation in rows)
            yield origin, index, Key(tuple(whole), collations, name, where) if usable else None


def _rowid_alias(rows: list[Any], kind: str, without_rowid: bool, origins: list[str]) -> str:
    """The INTEGER PRIMARY KEY: the one primary key that needs no index of its own."""
    primary = [name.lower() for name, _, _, place, *_ in rows if place]
    return primary[0] if kind == "table" and len(primary) == 1 and not without_rowid and "pk" not in origins else ""


def _predicate(sql: str) -> Node | None:
    """The WHERE of a CREATE INDEX; None where it is not understood."""
    found = re.split(r"\sWHERE\s", sql, flags=re.IGNORECASE)
    try:
        return parse_expression(found[1]) if len(found) == 2 else None
    except Unsure:
        return None


def _foreign_keys(rows: list[Any]) -> Iterator[ForeignKey]:
    for number in dict.fromkeys(row[0] for row in rows):
        pairs = [(child, parent) for id_, _, child, parent in rows if id_ == number]
        table = next(row[1] for row in rows if row[0] == number)
        parents = tuple(parent.lower() for _, parent in pairs if parent is not None)
        yield ForeignKey(tuple(child.lower() for child, _ in pairs), table, parents)


@functools.cache
def _statements() -> Mapping[str, str]:
    path = Path(__file__).with_suffix(".sql")
    return read_texts(path, f"contract/{path.name}")


def _run(connection: sqlite3.Connection, name: str, **parameters: str) -> list[Any]:
    return list(connection.cursor().execute(_statements()[name], parameters).fetchall())
