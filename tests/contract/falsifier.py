"""Runs a statement on real rows and compares every value with what was claimed of its column."""

from __future__ import annotations

import json
import re
import sqlite3
from random import Random
from typing import Any

import attrs

from datastore.contract.inference.results import Column, Schema, at_most_one_row, result_columns, total_order
from tests.contract.generated_queries import Generator
from tests.contract.generated_schemas import VALUES, Database, Relation, make_database

_CLASS = {int: "integer", float: "real", str: "text", bytes: "blob"}
_TIMESTAMP = re.compile(r".{4}-.{2}-.{2}T.{2}:.{2}:.{2}\..{6}Z", re.DOTALL)
#: Steps of SQLite's machine after which a query is given up: a join of everything, a CTE without end.
_STEPS = 200_000


@attrs.define
class Tally:
    """How much was claimed and tested."""

    queries: int = 0
    #: Claims of NOT NULL and of a type that met at least one row, and of at most one row.
    claims: int = 0
    #: Columns of which nothing was claimed.
    unsure: int = 0
    kinds: dict[str, int] = attrs.field(factory=dict)

    def add(self, kind: str) -> None:
        self.claims += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


@attrs.frozen
class Falsified(AssertionError):
    """A claim that a row contradicts."""

    sql: str
    claim: str
    value: Any
    database: Database

    def __str__(self) -> str:
        return "\n".join([self.claim, f"value: {self.value!r}", self.sql, *self.database.script])


def try_to_falsify(random: Random, tally: Tally, queries: int = 6) -> None:
    """One random schema with rows, and some random statements on it.

    Raises:
        Falsified: A claim was wrong.
    """
    database = make_database(random)
    try:
        generator = Generator(random, database)
        _add_views(generator, database)
        schema = Schema(database.connection)
        for _ in range(queries):
            judge(database, schema, generator.statement(), random.choice(VALUES), tally)
        for _ in range(2):
            judge_order(database, schema, *generator.ordered(), random.choice(VALUES), tally)
    finally:
        database.close()


def _add_views(generator: Generator, database: Database) -> None:
    for number in range(generator.random.randint(0, 2)):
        columns = tuple("abc"[: generator.random.randint(1, 3)])
        sql = f"CREATE VIEW v{number} ({', '.join(columns)}) AS {generator.query(2, len(columns))}"
        if ":p" in sql:
            continue
        try:
            database.connection.execute(sql)
            database.connection.execute(f"SELECT 1 FROM v{number} LIMIT 0")
        except sqlite3.Error:
            database.connection.execute(f"DROP VIEW IF EXISTS v{number}")
            continue
        generator.relations += [Relation(f"v{number}", columns, is_table=False)] * 2
        object.__setattr__(database, "script", (*database.script, sql))


def judge_order(database: Database, schema: Schema, sql: str, ranks: str, parameter: Any, tally: Tally) -> None:
    """Raises where two rows tie in an order that is claimed to be total."""
    try:
        claimed = total_order(schema, sql)
        if not claimed[0] or schema.engine is None:
            return
        schema.engine.columns(sql)
        found = [rank for (rank,) in _run(database.connection, ranks, parameter)]
    except sqlite3.Error:
        return
    tally.add("total order")
    if len(found) != len(set(found)):
        raise Falsified(sql, f"a total order, because {claimed[1]}", found, database)


def _run(connection: sqlite3.Connection, sql: str, parameter: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, of which nothing stays.

    Raises:
        sqlite3.Error: It failed (an overflow, malformed JSON, a constraint), or takes too long.
    """
    connection.set_progress_handler(lambda: 1, _STEPS)
    connection.execute("SAVEPOINT s")
    try:
        return connection.execute(sql, {"p": parameter} if ":p" in sql else {}).fetchmany(2000)
    finally:
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK TO s")
        connection.execute("RELEASE s")


def judge(database: Database, schema: Schema, sql: str, parameter: Any, tally: Tally) -> None:
    """Runs *sql* and raises where a row contradicts what is claimed of it."""
    try:
        claimed = result_columns(schema, sql)
        single, why = at_most_one_row(schema, sql)
        rows = _run(database.connection, sql, parameter)
    except sqlite3.Error:
        return  # the engine does not take it, or no row came out
    tally.queries += 1
    if single:
        tally.add("at most one row")
        if len(rows) > 1:
            raise Falsified(sql, f"at most one row, because {why}", rows, database)
    if rows and len(rows[0]) != len(claimed):
        raise Falsified(sql, f"{len(claimed)} columns", rows[0], database)
    for place, column in enumerate(claimed if rows else ()):
        _judge_column(column, [row[place] for row in rows], sql, database, tally)


def _judge_column(column: Column, values: list[Any], sql: str, database: Database, tally: Tally) -> None:
    if not column.nullable:
        tally.add("NOT NULL")
        if None in values:
            raise Falsified(sql, f"{column.name} is NOT NULL, because {column.reason}", None, database)
    if column.type is None:
        tally.unsure += column.nullable
        return
    present = [value for value in values if value is not None]
    if present:
        tally.add(column.type)
    for value in present:
        if not is_of(column, value):
            raise Falsified(sql, f"{column.name} is {column.type} ({', '.join(column.storage)})", value, database)


def is_of(column: Column, value: Any) -> bool:
    """Whether a value that is not NULL is of the type that is claimed."""
    if _CLASS[type(value)] not in column.storage:
        return False
    if column.type == "boolean":
        return value in (0, 1)
    if column.type == "timestamp":
        return _TIMESTAMP.fullmatch(value) is not None
    if column.type == "json":
        return _is_json(value)
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
