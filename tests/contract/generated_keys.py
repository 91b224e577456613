"""Random tables full of keys, and statements that look rows up, join, group, order and upsert them: for rows and order.

The values are few, so that keys and joins meet. With *portable*, everything runs on SQLite and PostgreSQL alike.
"""

from __future__ import annotations

from random import Random
from typing import Any

import attrs

_VALUES: dict[str, list[Any]] = {
    "INTEGER": [0, 1, 2],
    "TEXT": ["a", "A", "b", "1", "01"],
    "ANY": [1, "1", "01", 1.0, "a", "A", b"a"],
    "REAL": [0.0, 1.0, 1.5],
}
_NAMES = ["a", "b", "c", "d"]
_LITERALS = {"INTEGER": ["1", "0"], "TEXT": ["'a'", "'1'"], "ANY": ["1", "'1'", "1.0"], "REAL": ["1.0"]}


@attrs.frozen
class Column:
    name: str
    type: str
    not_null: bool
    #: Declared COLLATE NOCASE.
    folds: bool = False


@attrs.frozen
class Keyed:
    """One table: how it is made, and what is in it."""

    name: str
    columns: tuple[Column, ...]
    #: The statements that make it, on SQLite and on PostgreSQL.
    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    #: The columns of one unique key that has no predicate.
    key: tuple[str, ...]
    #: The columns of every unique index, partial ones too.
    indexes: tuple[tuple[str, ...], ...]

    def type_of(self, name: str) -> str:
        return next(column.type for column in self.columns if column.name == name)

    @property
    def insert(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"INSERT INTO {self.name} ({names}) VALUES ({', '.join('?' for _ in self.columns)})"


class Keys:
    """Makes tables and statements out of one source of randomness."""

    def __init__(self, random: Random, *, portable: bool) -> None:
        self.random = random
        self.portable = portable
        self.tables = [self._table(f"t{number}") for number in range(3)]

    def pick(self, values: Any) -> Any:
        return self.random.choice(values)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _table(self, name: str) -> Keyed:
        types = ["INTEGER", "TEXT"] if self.portable else ["INTEGER", "TEXT", "TEXT", "ANY", "REAL"]
        names = list(_NAMES)
        if not self.portable and self.chance(0.2):
            names[self.random.randrange(4)] = "rowid"
        key = tuple(self.random.sample(names, self.pick([1, 1, 2])))
        columns = tuple(self._column(one, self.pick(types), 0.8 if one in key else 0.5) for one in names)
        ours = [self._definition(column) for column in columns]
        theirs = [
            f"{column.name} {'BIGINT' if column.type == 'INTEGER' else 'TEXT COLLATE ' + chr(34) + 'C' + chr(34)}"
            f"{' NOT NULL' * column.not_null}"
            for column in columns
        ]
        conflict = "" if self.portable or self.chance(0.7) else " ON CONFLICT IGNORE"
        unique = f"UNIQUE ({', '.join(key)})"
        found, listed = self._indexed(columns)
        indexes = [f"CREATE UNIQUE INDEX {name}_0 ON {name} ({listed})"] if self.chance(0.6) else []
        rows = tuple(tuple(self._value(column) for column in columns) for _ in range(self.random.randint(0, 7)))
        guard = (
            []
            if self.portable or self.chance(0.7)
            else [
                f"CREATE TRIGGER {name}_guard BEFORE INSERT ON {name} WHEN new.{names[0]} = 1 BEGIN SELECT RAISE(IGNORE); END"
            ]
        )
        return Keyed(
            name,
            columns,
            (f"CREATE TABLE {name} ({', '.join([*ours, unique + conflict])}) STRICT", *indexes, *guard),
            (f"CREATE TEMP TABLE {name} ({', '.join([*theirs, unique])})", *indexes),
            rows,
            key,
            (key, found) if indexes else (key,),
        )

    def _column(self, name: str, kind: str, not_null: float) -> Column:
        folds = not self.portable and kind == "TEXT" and self.chance(0.4)
        return Column(name, kind, self.chance(not_null), folds)

    def _definition(self, column: Column) -> str:
        return f"{column.name} {column.type}{' NOT NULL' * column.not_null}{' COLLATE NOCASE' * column.folds}"

    def _indexed(self, columns: tuple[Column, ...]) -> tuple[tuple[str, ...], str]:
        first, other = self.random.sample(columns, 2)
        if (folding := [column for column in columns if column.folds]) and self.chance(0.5):
            return (folding[0].name,), f"{folding[0].name} COLLATE BINARY"  # two rows that a comparison takes for one
        collation = f" COLLATE {self.pick(['NOCASE', 'BINARY'])}" * (not self.portable and first.type == "TEXT")
        names = (first.name, other.name) if self.chance(0.3) else (first.name,)
        listed = f"{first.name}{collation}" + f", {other.name}" * (len(names) - 1)
        condition = f"{other.name} {self.pick(['IS NOT NULL', '= ' + _LITERALS[other.type][0]])}"
        return names, f"{listed}) WHERE ({condition}" if self.chance(0.5) else listed

    def _value(self, column: Column) -> Any:
        return None if not column.not_null and self.chance(0.3) else self.pick(_VALUES[column.type])

    # Statements

    def chained(self) -> tuple[str, str | None]:
        """A look-up by a whole index, and a join from it that may end in a key or keep the missing rows."""
        one, two = self.pick(self.tables), self.pick(self.tables)
        by = self.pick(one.indexes)
        pins = [f"s0.{name} = {self.pick(_LITERALS[one.type_of(name)])}" for name in by]
        left, right = self.pick(one.columns).name, self.pick(two.columns).name
        reached = [f"s1.{name} = s0.{self._alike(one, two.type_of(name))}" for name in self.pick(two.indexes)]
        met = f"s1.{right} = s0.{self._alike(one, two.type_of(right))}"
        listed = ", ".join(f"s0.{column.name} AS o{place}" for place, column in enumerate(one.columns))
        order = ", ".join(f"s0.{name}" for name in one.key)
        joined = f" FROM {one.name} AS s0 {{}} JOIN {two.name} AS s1 ON {{}}"
        kind = self.random.randrange(4)
        if kind == 0:
            return f"SELECT {listed} FROM {one.name} AS s0 WHERE {' AND '.join(pins)}", f"s0.{left}"
        if kind == 1:
            text = joined.format(self.pick(["INNER", "LEFT"]), " AND ".join(reached))
            return f"SELECT {listed}{text} WHERE {' AND '.join(pins)}", order
        if kind == 2:
            text = joined.format("LEFT", met)
            return f"SELECT {listed}{text} WHERE s1.{self.pick(two.columns).name} IS NULL", order
        return f"SELECT {listed}{joined.format('LEFT', ' AND '.join([*pins, *reached]))}", f"s0.{left}"

    def _alike(self, table: Keyed, kind: str) -> str:
        """A column to compare with one of a type: any, where the engine compares any two."""
        fitting = [column.name for column in table.columns if not self.portable or column.type == kind]
        return self.pick(fitting or [column.name for column in table.columns])

    def query(self) -> tuple[str, str | None]:
        """A SELECT, and one that gives the rank of each of its rows in its order; None where it has no ORDER BY."""
        if self.chance(0.5):
            return self.chained()
        tables = [self.pick(self.tables) for _ in range(self.pick([1, 1, 2, 2, 3]))]
        aliases = [f"s{number}" for number in range(len(tables))]
        text = f" FROM {tables[0].name} AS s0"
        for place in range(1, len(tables)):
            kind = self.pick(
                ["INNER JOIN", "LEFT JOIN", "LEFT JOIN", "FULL JOIN" if not self.portable else "INNER JOIN"]
            )
            on = [self._joined(tables, place) for _ in range(self.pick([1, 1, 2]))]
            text += f" {kind} {tables[place].name} AS s{place} ON {' AND '.join(on)}"
        if where := [self._filter(tables) for _ in range(self.pick([0, 1, 1, 2, 3]))]:
            text += f" WHERE {' AND '.join(where)}"
        columns = [
            f"{alias}.{column.name}" for alias, table in zip(aliases, tables, strict=True) for column in table.columns
        ]
        if self.chance(0.3):
            return self._grouped(text, columns)
        listed = ", ".join(f"{name} AS o{place}" for place, name in enumerate(columns))
        return f"SELECT {listed}{text}", None if self.chance(0.3) else self._order(columns)

    def _grouped(self, text: str, columns: list[str]) -> tuple[str, str]:
        keys = self.random.sample(columns, self.pick([1, 2]))
        # An alias that may be a column's name too.
        names = [self.pick(["k", "l", *_NAMES]) if self.chance(0.6) else f"g{place}" for place in range(len(keys))]
        names = names if len({*names}) == len(names) else [f"g{place}" for place in range(len(keys))]
        listed = ", ".join(f"{key} AS {name}" for key, name in zip(keys, names, strict=True))
        group = self.random.sample(names, self.random.randint(1, len(names))) if self.chance(0.7) else keys
        if self.portable:
            group = keys
        grouped = f"SELECT {listed}, count(*) AS n{text} GROUP BY {', '.join(group)}"
        return grouped, self._order(self.random.sample(keys, self.random.randint(1, len(keys))))

    def _order(self, columns: list[str]) -> str:
        terms = self.random.sample(columns, min(len(columns), self.random.randint(1, 3)))
        return ", ".join(f"{term}{self.pick(['', '', ' DESC'])}" for term in terms)

    def _joined(self, tables: list[Keyed], place: int) -> str:
        right, left = self.pick(tables[place].columns), self.random.randrange(place)
        fitting = [column for column in tables[left].columns if not self.portable or column.type == right.type]
        if not fitting:
            return f"s{place}.{right.name} = {self.pick(_LITERALS[right.type])}"
        return f"s{place}.{right.name} = s{left}.{self.pick(fitting).name}"

    def _filter(self, tables: list[Keyed]) -> str:
        place = self.random.randrange(len(tables))
        column = self.pick(tables[place].columns)
        name, literal = f"s{place}.{column.name}", self.pick(_LITERALS[column.type])
        return self.pick(
            [f"{name} = {literal}"] * 3 + [f"{name} IS NULL", f"{name} IS NOT NULL", f"{name} > {literal}"]
        )

    def upsert(self) -> str:
        """An INSERT of one row with RETURNING, which may pass it over."""
        table = self.pick(self.tables)
        names = ", ".join(column.name for column in table.columns)
        values = ", ".join(self.pick(_LITERALS[column.type]) for column in table.columns)
        column = self.pick([one for one in table.columns if one.name not in table.key])
        new = f"DO UPDATE SET {column.name} = excluded.{column.name}"
        where = f" WHERE {table.name}.{column.name} > {self.pick(_LITERALS[column.type])}" * self.chance(0.5)
        conflict = self.pick(
            ["", f" ON CONFLICT ({', '.join(table.key)}) {self.pick(['DO NOTHING', new + where, new])}"]
        )
        ignore = "" if self.portable or self.chance(0.8) else " OR IGNORE"
        return f"INSERT{ignore} INTO {table.name} ({names}) VALUES ({values}){conflict} RETURNING {column.name} AS o0"
