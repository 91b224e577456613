"""Runs statements on tables full of keys, on SQLite or on both engines, and compares rows and order with what is claimed."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import psycopg

from datastore.contract.inference.results import Column, at_most_one_row, result_columns, total_order
from datastore.contract.schema import Schema
from datastore.contract.vet.result import gives_one
from tests.contract.falsifier import Falsified, Tally
from tests.contract.generated_keys import Keys
from tests.contract.generated_schemas import Database

_Row: TypeAlias = tuple[Any, ...]
#: Runs a statement of which nothing stays; None where the engine refuses it.
_Run: TypeAlias = Callable[[str], list[_Row] | None]


def try_keys(random: Random, tally: Tally, server: psycopg.Connection[Any] | None = None, queries: int = 40) -> None:
    """Some tables and statements, on SQLite, and on *server* too where there is one.

    Raises:
        Falsified: A claim was wrong.
    """
    keys = Keys(random, portable=server is not None)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(connection):
        script = [sql for table in keys.tables for sql in table.sqlite]
        for sql in script:
            connection.execute(sql)
        for table in keys.tables:
            for row in table.rows:
                with contextlib.suppress(sqlite3.IntegrityError):
                    connection.execute(table.insert, row)
        database = Database(connection, (), (*script, *(repr(table.rows) for table in keys.tables)))
        runs = [_on_sqlite(connection)]
        if server is not None:
            _fill(server, keys, connection)
            runs.append(_on_server(server))
        schema = Schema(connection)
        for _ in range(queries):
            sql, order = keys.query() if random.random() < 0.8 else (keys.upsert(), None)
            _judge(schema, sql, order, runs, database, tally)
        if server is not None:
            server.rollback()


def _fill(server: psycopg.Connection[Any], keys: Keys, connection: sqlite3.Connection) -> None:
    """The same tables, with the rows that SQLite took."""
    for table in keys.tables:
        for sql in table.postgresql:
            server.execute(sql.encode())
        names = ", ".join(column.name for column in table.columns)
        for row in connection.execute(f"SELECT {names} FROM {table.name}"):
            server.execute(table.insert.replace("?", "%s").encode(), row)


def _on_sqlite(connection: sqlite3.Connection) -> _Run:
    def run(sql: str) -> list[_Row] | None:
        connection.execute("SAVEPOINT s")
        try:
            return connection.execute(sql).fetchmany(2000)
        except sqlite3.Error:
            return None
        finally:
            connection.execute("ROLLBACK TO s")
            connection.execute("RELEASE s")

    return run


def _on_server(server: psycopg.Connection[Any]) -> _Run:
    def run(sql: str) -> list[_Row] | None:
        server.execute("SAVEPOINT s")
        try:
            return server.execute(sql.encode()).fetchall()
        except psycopg.Error:
            return None
        finally:
            server.execute("ROLLBACK TO SAVEPOINT s")

    return run


def _judge(schema: Schema, sql: str, order: str | None, runs: list[_Run], database: Database, tally: Tally) -> None:
    try:
        columns = result_columns(schema, sql)
    except sqlite3.Error:
        return
    single, why = at_most_one_row(schema, sql)
    always = gives_one(sql, schema)
    ordered, reason = total_order(schema, f"{sql} ORDER BY {order}") if order else (False, "")
    for engine, run in zip(("SQLite", "PostgreSQL"), runs, strict=False):
        rows = run(sql)
        if rows is None:
            continue
        tally.queries += 1
        _claim(
            single,
            "at most one row",
            len(rows) <= 1,
            f"{engine}: at most one row, because {why}",
            sql,
            rows,
            database,
            tally,
        )
        _claim(always, "exactly one row", len(rows) == 1, f"{engine}: exactly one row", sql, rows, database, tally)
        if ordered and not single and (ranks := run(_ranks(sql, str(order)))) is not None:
            told = f"{engine}: ORDER BY {order} is total, because {reason}"
            _claim(True, "total order", len(ranks) == len({row[0] for row in ranks}), told, sql, ranks, database, tally)
        if engine == "PostgreSQL":
            _judge_nulls(columns, rows, sql, database, tally)


def _ranks(sql: str, order: str) -> str:
    """The same rows as the rank of each in the order: a number that two rows share where they tie."""
    listed, rest = sql.removeprefix("SELECT ").split(" FROM ", 1)
    if " GROUP BY " in rest:  # which may name an alias
        return f"SELECT rank() OVER (ORDER BY {order}), {listed} FROM {rest}"
    return f"SELECT rank() OVER (ORDER BY {order}) FROM {rest}"


def _judge_nulls(columns: tuple[Column, ...], rows: list[_Row], sql: str, database: Database, tally: Tally) -> None:
    for place, column in enumerate(columns if rows else ()):
        values = [row[place] for row in rows]
        told = f"PostgreSQL: {column.name} is NOT NULL, because {column.reason}"
        _claim(not column.nullable, "NOT NULL", None not in values, told, sql, values, database, tally)
        present = [type(value).__name__ for value in values if value is not None]
        expected = {"integer": "int", "text": "str", "real": "float"}.get(column.type or "")
        if expected and present:
            told = f"PostgreSQL: {column.name} is {column.type}"
            _claim(True, str(column.type), {*present} == {expected}, told, sql, values, database, tally)


def _claim(
    claimed: bool, kind: str, holds: bool, told: str, sql: str, value: object, database: Database, tally: Tally
) -> None:
    if claimed:
        tally.add(kind)
        if not holds:
            raise Falsified(sql, told, value, database)
