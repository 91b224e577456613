"""Random schemas and rows for the falsifier: small, and full of the values and declarations that break rules."""

from __future__ import annotations

import sqlite3
from random import Random
from typing import Any

import attrs

#: Values at the edges: of integers and reals, empty, of other cases, looking like numbers, JSON, a timestamp.
VALUES = [
    None,
    0,
    1,
    2,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    1.0,
    2.5,
    1e308,
    float("inf"),
    float("-inf"),
    "",
    "a",
    "A",
    "b",
    "1",
    "01",
    "9e999",
    "{}",
    "[1, null]",
    '{"a": 1}',
    "2026-01-01T00:00:00.000000Z",
    b"",
    b"\x00",
    b"a",
]
#: Values that some comparison takes for equal and another does not.
TWINS = [None, 1, "1", "01", "a", "A", 0, 1.0]
LITERALS = [
    "NULL",
    "0",
    "1",
    "2",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1.0",
    "2.5",
    "9e999",
    "-9e999",
    "''",
    "'a'",
    "'1'",
    "'[1, null]'",
    "x''",
    "x'61'",
]
#: Values that a column takes, by a word of its definition: the first that is in it.
_FITTING: dict[str, list[Any]] = {
    "IN (0": [0, 1, None],
    "GLOB": ["2026-01-01T00:00:00.000000Z", None],
    "json_valid": ["{}", "[1, null]", "null", "a", None],
    "INT": [value for value in VALUES if value is None or isinstance(value, int)],
    "REAL": [value for value in VALUES if value is None or isinstance(value, (int, float))],
    "TEXT": [value for value in VALUES if value is None or isinstance(value, str)],
    "BLOB": [value for value in VALUES if value is None or isinstance(value, bytes)],
}
_STRICT_TYPES = ["INTEGER", "INT", "TEXT", "REAL", "BLOB", "ANY"]
_LOOSE_TYPES = [*_STRICT_TYPES[:5], "", "NUMERIC", "BOOLEAN", "VARCHAR(9)", "DATE"]
#: Columns as a careful schema has them.
_TYPICAL = [
    "TEXT CHECK ({0} GLOB '????-??-??T??:??:??.??????Z')",
    "TEXT CHECK (json_valid({0}) AND 1)",
    "INTEGER CHECK ({0} IN (0, 1))",
    "TEXT CHECK (typeof({0}) = 'text')",
]
_CHECKS = [
    "{0} IN (0, 1)",
    "json_valid({0})",
    "{0} IS NULL OR json_valid({0})",
    "{0} GLOB '????-??-??T??:??:??.??????Z'",
    "typeof({0}) = 'text'",
    "{0} IS NOT NULL OR 1",
    "json_valid({0}) OR {0} IN ('a', 'b')",
]


@attrs.frozen
class Relation:
    """What a query can read from: a name and its columns."""

    name: str
    columns: tuple[str, ...]
    is_table: bool = True
    has_rowid: bool = False
    #: Its columns' definitions, joined by ";".
    definition: str = ""


@attrs.frozen
class Database:
    """A database in memory with random tables and rows, and what is in it."""

    connection: sqlite3.Connection
    relations: tuple[Relation, ...]
    #: The statements that made it, for the message of a failure.
    script: tuple[str, ...]

    def close(self) -> None:
        self.connection.close()


def make_database(random: Random) -> Database:
    """Two or three tables, rows in most of them, a full-text table, and views that a query generator may add to."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    script: list[str] = []
    relations = []
    for number in range(random.randint(2, 3)):
        sql, relation = _table(random, f"t{number}")
        connection.execute(sql)
        script.append(sql)
        relations.append(relation)
    if random.random() < 0.2:
        script.append("CREATE VIRTUAL TABLE f USING fts5 (a, b)")
        connection.execute(script[-1])
        relations.append(Relation("f", ("a", "b"), is_table=False, has_rowid=True))
    for relation in relations:
        _index(random, connection, relation, script)
        _fill(random, connection, relation, script)
    for place, relation in enumerate(relations):
        if relation.name != "f" and random.random() < 0.15 and _add_column(random, connection, relation, script):
            relations[place] = attrs.evolve(relation, columns=(*relation.columns, "e"))
    return Database(connection, tuple(relations), tuple(script))


def _table(random: Random, name: str) -> tuple[str, Relation]:
    strict = random.random() < 0.6
    columns = ["a", "b", "c", "d"][: random.randint(2, 4)]
    definitions = [_column(random, column, strict) for column in columns]
    key = random.choice(["", "", "rowid", "rowid", "desc", "int", "text", "two", "without"])
    if key in {"rowid", "desc"}:
        definitions[0] = f"a INTEGER PRIMARY KEY{' DESC' if key == 'desc' else ''}"
    elif key in {"int", "text"}:
        definitions[0] = f"a {key.upper()} PRIMARY KEY"
    elif key in {"two", "without"}:
        definitions.append("PRIMARY KEY (a, b)")
    if random.random() < 0.2:
        columns.append("g")
        text = random.choice(["length(a)", "a || 'x'", "a", "typeof(a)", "1"])
        kind = random.choice(_STRICT_TYPES if strict else _LOOSE_TYPES)
        definitions.append(f"g {kind} AS ({text}) {random.choice(['', 'STORED', 'NOT NULL'])}")
        definitions.sort(key=lambda text: text.startswith("PRIMARY"))
    options = [word for word, on in (("STRICT", strict), ("WITHOUT ROWID", key == "without")) if on]
    sql = f"CREATE TABLE {name} ({', '.join(definitions)}) {', '.join(options)}"
    return sql, Relation(name, tuple(columns), has_rowid=key != "without", definition=";".join(definitions))


def _index(random: Random, connection: sqlite3.Connection, relation: Relation, script: list[str]) -> None:
    """Sometimes a unique index: of several columns, of another collation, of some of the rows."""
    if random.random() < 0.6 or relation.name == "f":
        return
    columns = random.sample(relation.columns, random.choice([1, 1, 2]))
    keys = [f"{column}{random.choice(['', '', '', ' COLLATE NOCASE', ' COLLATE BINARY'])}" for column in columns]
    predicates = [f"{random.choice(relation.columns)} {test}" for test in ("IS NOT NULL", "= 1", "IN (0, 1)", "> 'a'")]
    where = f" WHERE {random.choice(predicates)}" if random.random() < 0.5 else ""
    script.append(f"CREATE UNIQUE INDEX i_{relation.name} ON {relation.name} ({', '.join(keys)}){where}")
    connection.execute(script[-1])


def _add_column(random: Random, connection: sqlite3.Connection, relation: Relation, script: list[str]) -> bool:
    """A column that comes later, with a default that the rows which are there have."""
    default = random.choice([*LITERALS, "0", "1", "'a'", "(x'61')"])
    kind = random.choice(_STRICT_TYPES)
    sql = f"ALTER TABLE {relation.name} ADD COLUMN e {kind} {random.choice(['', 'NOT NULL'])} DEFAULT {default}"
    try:
        connection.execute(sql)
    except sqlite3.Error:
        return False  # NOT NULL with a default of NULL
    script.append(sql)
    return True


def _column(random: Random, name: str, strict: bool) -> str:
    parts = [name, random.choice(_STRICT_TYPES if strict else _LOOSE_TYPES)]
    if random.random() < 0.15:
        return f"{name} {random.choice(_TYPICAL).format(name)} {random.choice(['', 'NOT NULL'])}"
    if random.random() < 0.45:
        parts.append("NOT NULL")
    if random.random() < 0.1:
        parts.append("UNIQUE")
    if random.random() < 0.1:
        parts.append("COLLATE NOCASE")
    if random.random() < 0.3:
        parts.append(f"CHECK ({random.choice(_CHECKS).format(name)})")
    return " ".join(parts)


def _fill(random: Random, connection: sqlite3.Connection, relation: Relation, script: list[str]) -> None:
    """Rows that the constraints let in; some tables stay empty."""
    columns = [column for column in relation.columns if column != "g"]
    texts = dict(zip(columns, _definition_texts(relation), strict=False))
    marks = ", ".join("?" for _ in columns)
    pool = random.choice([VALUES, random.sample(VALUES, 5), TWINS])
    for _ in range(random.choice([0, 4, 6, 9])):
        values = [_value(random, texts.get(column, ""), pool) for column in columns]
        sql = f"INSERT OR IGNORE INTO {relation.name} ({', '.join(columns)}) VALUES ({marks})"
        try:
            connection.execute(sql, values)
        except sqlite3.Error:
            continue  # a datatype that STRICT refuses, or a key: another row then
        script.append(f"{sql} -- {values!r}")


def _definition_texts(relation: Relation) -> list[str]:
    return [text.strip() for text in relation.definition.split(";")]


def _value(random: Random, definition: str, pool: list[Any]) -> Any:
    """A value, mostly of the kind that the column takes."""
    for word, values in _FITTING.items():
        if word in definition and random.random() < 0.85:
            return random.choice([value for value in pool if value in values] or values)
    return random.choice(pool)
