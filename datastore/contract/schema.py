"""The schema that statements are checked against: read once, from the database that the migrations made."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from datastore.contract.inference.parse import Node, Unsure, parse
from datastore.contract.logical import OTHER_SHAPE, affinity, column_storage, column_type, promises
from datastore.contract.metadata import Engine, open_engine
from datastore.contract.text import Caseless, listed, tokens
from datastore.statements.loader import read_texts

#: The rowid as a column of a key: no column can have this name, and one may be called rowid.
ROWID = ""

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
    default: str | None
    #: Place in the primary key, from 1; 0 for none.
    key_place: int
    #: Not in ``*``: a virtual table's argument or command column.
    hidden: bool
    generated: bool
    #: The classes that a value which is not NULL may have.
    storage: frozenset[str]
    #: json, timestamp or boolean, from the CHECKs; else None.
    logical: str | None
    #: None where it could not be found out.
    collation: str | None
    #: What SQLite turns a value into that it is compared with: see `logical.affinity`.
    affinity: str
    #: A CHECK refuses each instant that the loader writes.
    refuses_instants: bool = False


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
    """One foreign key."""

    #: As the constraint is named, else "TABLE (COLUMNS)".
    name: str
    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@attrs.frozen
class Index:
    """One index, also that of a constraint."""

    table: str
    name: str
    unique: bool
    #: "c": by CREATE INDEX; "u", "pk": by the constraint.
    origin: str
    partial: bool
    #: Its key columns; None for an expression.
    columns: tuple[str | None, ...]
    collations: tuple[str, ...]

    def leads_with(self, columns: Sequence[str]) -> bool:
        """Whether rows with some values of *columns* are found by it, in whatever order they are in it."""
        return not self.partial and {*columns} == {*self.columns[: len(columns)]}

    def serves(self, key: ForeignKey) -> bool:
        return key.table == self.table and self.leads_with(key.columns)


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
    sql: str

    @property
    def is_fts(self) -> bool:
        return self.kind == "virtual" and "fts5" in self.sql.lower()


class _Declared(NamedTuple):
    """A column as SQLite lists it."""

    name: str
    type: str
    not_null: int
    key_place: int
    hidden: int
    default: str | None


class Schema:
    """What a connection's main database has, by name.

    Attributes:
        kinds: "table", "view", "index" or "trigger".
        sql: The CREATE text of each object.
        roots: The object of each b-tree's root page.
        triggers: Each trigger's table.
        columns: The columns of each table and view, hidden and generated ones too.
        view_facts: What `datastore.contract.inference.queries` found of each view: filled as they are asked for.
        results: The columns that `result_columns` found of each statement, filled likewise.
        table_names: What `datastore.contract.plans.table_names` found of each statement, filled likewise.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.kinds: Caseless[str] = Caseless()
        self.sql: Caseless[str] = Caseless()
        self.roots: dict[int, str] = {}
        self.triggers: dict[str, str] = {}
        self.view_facts: dict[str, Any] = {}
        self.results: dict[tuple[str, frozenset[str]], Any] = {}
        self.table_names: dict[str, dict[str, set[str]]] = {}
        for kind, name, table, sql, root in rows(connection, "list_objects"):
            self.kinds[name] = kind
            self.sql[name] = sql or ""
            if root:
                self.roots[root] = name
            if kind == "trigger":
                self.triggers[name] = table
        for name in ("sqlite_master", _SCHEMA_TABLE):
            self.kinds[name] = "table"
        self._declared: dict[str, list[_Declared]] = {}
        for table, *column in rows(connection, "list_columns"):
            self._declared.setdefault(table, []).append(_Declared(*column))
        self.columns: Caseless[list[str]] = Caseless()
        for table, columns in self._declared.items():
            self.columns[table] = [column.name for column in columns]

    def table(self, name: str) -> Table | None:
        """A table or view by name, in any case; SQLite's own schema table by both of its names."""
        return self.tables.get(_SCHEMA_TABLE if name.lower() == "sqlite_master" else name.lower())

    def is_table(self, name: str) -> bool:
        """Whether rows are stored under this name (a virtual table answers for itself)."""
        return self.kinds.get(name) == "table"

    def is_virtual(self, name: str) -> bool:
        return re.match(r"CREATE\s+VIRTUAL\s", self.sql.get(name, ""), re.IGNORECASE) is not None

    @cached_property
    def engine(self) -> Engine | None:
        """The C library over a copy of the database; None where it cannot be reached."""
        return open_engine(self.connection)

    @cached_property
    def functions(self) -> dict[str, set[str]]:
        """The kinds of each function: "a" and "w" for aggregate and window functions."""
        found: dict[str, set[str]] = {}
        for name, kind in rows(self.connection, "list_functions"):
            found.setdefault(name, set()).add(kind)
        return found

    @cached_property
    def aggregates(self) -> frozenset[str]:
        return frozenset(name.lower() for name, kinds in self.functions.items() if kinds & {"a", "w"})

    @cached_property
    def indexes(self) -> Caseless[Index]:
        """Every index, also those of constraints."""
        found: Caseless[Index] = Caseless()
        for table, name, unique, origin, partial, column, collation in rows(self.connection, "list_index_columns"):
            before = found.get(name) or Index(table, name, bool(unique), origin, bool(partial), (), ())
            columns, collations = (*before.columns, column), (*before.collations, collation.upper())
            found[name] = attrs.evolve(before, columns=columns, collations=collations)
        return found

    @cached_property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        pairs: dict[tuple[str, int], list[tuple[str, ...]]] = {}
        for table, number, *pair in rows(self.connection, "list_foreign_key_columns"):
            pairs.setdefault((table, number), []).append(tuple(pair))
        keys = []
        for (table, _), found in pairs.items():
            parents, columns, parent_columns, on_update, on_delete = zip(*found, strict=True)
            parent = self.kinds.spelled(parents[0])
            given = parent_columns if None not in parent_columns else self.primary_keys.get(parent, ())
            name = _constraint_name(self.sql.get(table, ""), columns) or f"{table} ({', '.join(columns)})"
            keys.append(ForeignKey(name, table, columns, parent, given, on_delete[0], on_update[0]))
        return tuple(sorted(keys, key=lambda key: (key.table, key.columns)))

    @cached_property
    def primary_keys(self) -> Caseless[tuple[str, ...]]:
        keys: Caseless[tuple[str, ...]] = Caseless()
        for table, columns in self._declared.items():
            if key := sorted((column.key_place, column.name) for column in columns if column.key_place):
                keys[table] = tuple(name for _, name in key)
        return keys

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """Tables and views, by name in lower case."""
        return {row[0].lower(): self._table(*row) for row in rows(self.connection, "list_tables")}

    def _table(self, name: str, kind: str, without_rowid: int, strict: int) -> Table:
        declared = self._declared.get(name, [])
        indexes = [index for index in self.indexes.values() if index.table == name]
        alias = _rowid_alias(declared, kind, bool(without_rowid), [index.origin for index in indexes])
        has_rowid = kind in {"table", "virtual"} and not without_rowid
        create = self.sql.get(name, "") if kind == "table" else ""
        columns = self._columns(name, create, declared, bool(strict) or name == _SCHEMA_TABLE, alias)
        keys = [key for index in indexes if (key := self._key(index)) is not None]
        return Table(
            name="sqlite_master" if name == _SCHEMA_TABLE else name,  # as the engine calls it
            kind=kind,
            strict=bool(strict),
            has_rowid=has_rowid,
            rowid_alias=alias,
            columns={column.name.lower(): column for column in columns},
            keys=(*([Key((ROWID,), (None,), "")] if has_rowid else []), *keys),
            sql=self.sql.get(name, ""),
        )

    def _columns(
        self, table: str, create: str, declared: list[_Declared], strict: bool, alias: str
    ) -> Iterator[TableColumn]:
        said = list(promises(create))
        for column in declared:
            is_generated, is_alias = column.hidden in _GENERATED, column.name.lower() == alias
            promised = frozenset(promise.type for promise in said if promise.column == column.name.lower())
            storage = column_storage(column.type, strict and not is_generated, column.default)
            kind = affinity(column.type, strict)
            for one in {"integer"} if is_alias else promised & storage:
                storage = frozenset({one})
            yield TableColumn(
                name=column.name,
                declared=column.type,
                not_null=bool(column.not_null) or is_alias or (table == _SCHEMA_TABLE and column.name != "sql"),
                default=column.default,
                key_place=column.key_place,
                hidden=column.hidden == _HIDDEN,
                generated=is_generated,
                storage=storage,
                logical=None if is_generated else column_type(promised, storage, kind),
                collation=self._collation(table, column.name, create),
                affinity=kind,
                refuses_instants=OTHER_SHAPE in promised,
            )

    def _collation(self, table: str, column: str, create: str) -> str | None:
        # Without CREATE TABLE there is nothing to ask: and of a virtual table that no statement has connected to yet,
        # SQLite 3.53 cannot be asked, it crashes.
        if create and self.engine is not None and (found := self.engine.collation(table, column)):
            return found.upper()
        return None if "COLLATE" in create.upper() else "BINARY"

    def _key(self, index: Index) -> Key | None:
        """The key that a unique index is; None for one of expressions, or with a predicate that is not understood."""
        where = _predicate(self.sql.get(index.name, "")) if index.partial else None
        columns = tuple(column.lower() for column in index.columns if column is not None)
        if not index.unique or len(columns) < len(index.columns) or (index.partial and where is None):
            return None
        return Key(columns, index.collations, index.name, where)


def _rowid_alias(declared: list[_Declared], kind: str, without_rowid: bool, origins: list[str]) -> str:
    """The INTEGER PRIMARY KEY: the one primary key that needs no index of its own."""
    primary = [column.name.lower() for column in declared if column.key_place]
    return primary[0] if kind == "table" and len(primary) == 1 and not without_rowid and "pk" not in origins else ""


def _predicate(sql: str) -> Node | None:
    """The WHERE of a CREATE INDEX; None where it is not understood."""
    found = re.split(r"\sWHERE\s", sql, flags=re.IGNORECASE)
    try:
        return parse(found[1]) if len(found) == 2 else None
    except Unsure:
        return None


def _constraint_name(sql: str, columns: Sequence[str]) -> str:
    """The name of CONSTRAINT name FOREIGN KEY (columns), "" for none."""
    every = tokens(sql)
    for number, token in enumerate(every[:-4]):
        if [one.upper or one.text for one in every[number + 2 : number + 5]] == ["FOREIGN", "KEY", "("]:
            name = every[number + 1]
            if token.upper == "CONSTRAINT" and listed(every, number + 5) == [column.lower() for column in columns]:
                return sql[name.start : name.end].strip('"`[]')
    return ""


@cache
def statements() -> Mapping[str, str]:
    path = Path(__file__).with_suffix(".sql")
    return read_texts(path, path.name)


def rows(connection: sqlite3.Connection, name: str) -> list[tuple[Any, ...]]:
    return connection.cursor().execute(statements()[name]).fetchall()
