"""Promises that were false on other people's tables, and alarms that were false on their statements; each with its like."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from datastore.contract.inference.results import at_most_one_row, result_columns, total_order
from datastore.contract.plans import read_plan
from datastore.contract.schema import Schema
from datastore.contract.vet.result import gives_one
from tests.contract.falsifier import is_of
from tests.contract.planted import Planted

TABLES = """
CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT NOT NULL UNIQUE, v INTEGER NOT NULL, r REAL NOT NULL, n TEXT) STRICT;
CREATE TABLE child (t_id INTEGER NOT NULL REFERENCES t (id), note TEXT, PRIMARY KEY (t_id, note)) STRICT;
CREATE TABLE ignoring (id INTEGER PRIMARY KEY, k TEXT NOT NULL UNIQUE ON CONFLICT IGNORE) STRICT;
CREATE TABLE guarded (id INTEGER PRIMARY KEY) STRICT;
CREATE TRIGGER guard BEFORE INSERT ON guarded WHEN new.id < 0 BEGIN SELECT RAISE(IGNORE); END;
CREATE TABLE imported (rowid TEXT NOT NULL, v TEXT) STRICT;
CREATE TABLE any_tags (tag ANY NOT NULL PRIMARY KEY, flag ANY NOT NULL CHECK (flag IN (0, 1))) STRICT;
CREATE TABLE times (
    id INTEGER PRIMARY KEY,
    exact TEXT NOT NULL CHECK (exact GLOB '????-??-??T??:??:??.??????Z'),
    digits TEXT NOT NULL
    CHECK (digits GLOB '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].??????Z'),
    seconds TEXT NOT NULL CHECK (seconds GLOB '????-??-??T??:??:??Z'),
    loose TEXT NOT NULL CHECK (loose GLOB '????-??-??T*Z'),
    milli TEXT NOT NULL CHECK (milli GLOB '????-??-??T??:??:??.???Z')
) STRICT;
"""


@pytest.fixture
def schema() -> Iterator[Schema]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    yield Schema(connection)
    connection.close()


UPSERT = "INSERT INTO t (k, v, r) VALUES (:k, :v, 0.5) ON CONFLICT (k)"


@pytest.mark.parametrize(
    ("sql", "always"),
    [
        (f"{UPSERT} DO UPDATE SET v = excluded.v RETURNING v", True),
        (f"{UPSERT} DO UPDATE SET v = excluded.v WHERE excluded.v > t.v RETURNING v", False),
        (f"{UPSERT} DO NOTHING RETURNING v", False),
        (f"{UPSERT} DO UPDATE SET v = 1 ON CONFLICT (id) DO NOTHING RETURNING v", False),
        (f"{UPSERT} WHERE k > '' DO UPDATE SET v = 1 RETURNING v", True),
        ("INSERT OR IGNORE INTO t (k, v, r) VALUES ('a', 1, 0.5) RETURNING v", False),
        ("INSERT INTO ignoring (k) VALUES (:k) RETURNING id", False),
        ("INSERT INTO guarded (id) VALUES (:id) RETURNING id", False),
        ("INSERT INTO times DEFAULT VALUES RETURNING id", True),
        ("SELECT 1 WHERE :n > 0", False),
        ("SELECT :n", True),
        ("SELECT group_concat(k, ', ') FROM t", True),
        ("SELECT json_group_object(k, v) FROM t", True),
        ("SELECT json_group_array(v) FILTER (WHERE v > 1) FROM t", True),
        ("SELECT count(*) FILTER (WHERE v) FROM t", True),
        ("SELECT count(*) FILTER (WHERE v) FROM t HAVING count(*) > 1", False),
        ("SELECT count(*) OVER () FROM t", False),
    ],
)
def test_whether_a_row_is_certain(schema: Schema, sql: str, always: bool) -> None:
    assert gives_one(sql, schema) is always


@pytest.mark.parametrize(
    ("sql", "single"),
    [
        ("SELECT v FROM imported WHERE rowid = :r", False),
        ("SELECT v FROM imported WHERE _rowid_ = :r", True),
        ("SELECT v FROM t WHERE rowid = :r", True),
        ("SELECT t.v FROM t INNER JOIN any_tags AS a ON a.tag = t.r WHERE t.id = :id", False),
        ("SELECT t.v FROM t INNER JOIN any_tags AS a ON a.tag = t.k WHERE t.id = :id", False),
        ("SELECT flag FROM any_tags WHERE tag = :tag", True),
    ],
)
def test_what_pins_a_row(schema: Schema, sql: str, single: bool) -> None:
    assert at_most_one_row(schema, sql)[0] is single


def test_any_of_a_strict_table_keeps_what_it_is_given(schema: Schema) -> None:
    many = schema.connection.execute("SELECT 1 FROM (SELECT 1.0 AS r) AS n, any_tags AS a WHERE a.tag = n.r")
    assert many.fetchall() == []
    (flag,) = result_columns(schema, "SELECT flag FROM any_tags")
    assert (flag.type, flag.nullable) == (None, False)


def test_a_timestamp_is_what_the_loader_writes(schema: Schema) -> None:
    columns = result_columns(schema, "SELECT exact, digits, seconds, loose, milli FROM times")
    assert [column.type for column in columns] == ["timestamp", "timestamp", "text", "text", "text"]


def test_an_instant_that_a_check_refuses_is_told(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.put("schema/0002.times.sql", "-- depends: 0001.notes\n" + TABLES[TABLES.index("CREATE TABLE times") :])
    planted.put("schema/0002.times.rollback.sql", "DROP TABLE times;")
    planted.statements(
        "-- name: add_time(now)!\n-- One.\n--   now  timestamp  the instant\n-- Index: none (an insert)\n-- Rows: 1\n"
        "INSERT INTO times (exact, digits, seconds, loose, milli) VALUES ('a', 'b', :now, 'c', 'd');\n"
    )
    said = planted.said()
    assert 'parameter-type: parameter "now" is timestamp, and its place in the SQL is text of another shape' in said
    assert "hint: write: --   now  text  the instant" in said


@pytest.mark.parametrize(
    ("sql", "total"),
    [
        ("SELECT substr(k, 1, 7) AS month, count(*) AS c FROM t GROUP BY month ORDER BY month LIMIT 5", True),
        ("SELECT substr(k, 1, 7) AS v, count(*) AS c FROM t GROUP BY v ORDER BY v LIMIT 5", False),
        ("SELECT n AS month, count(*) AS c FROM t GROUP BY month, v ORDER BY month LIMIT 5", False),
        ("SELECT t.id FROM t LEFT JOIN child AS c ON c.t_id = t.id WHERE c.t_id IS NULL ORDER BY t.id LIMIT 5", True),
        ("SELECT t.id FROM t LEFT JOIN child AS c ON c.note = t.k WHERE c.t_id IS NULL ORDER BY t.id LIMIT 5", True),
        ("SELECT t.id FROM t LEFT JOIN child AS c ON c.note = t.k WHERE c.note IS NULL ORDER BY t.id LIMIT 5", True),
        ("SELECT t.id FROM t LEFT JOIN t AS o ON o.v = t.v WHERE o.n IS NULL ORDER BY t.id LIMIT 5", False),
        ("SELECT t.id FROM t LEFT JOIN child AS c ON c.t_id = t.id WHERE c.t_id > 0 ORDER BY t.id LIMIT 5", False),
    ],
)
def test_what_orders_rows(schema: Schema, sql: str, total: bool) -> None:
    assert total_order(schema, sql)[0] is total


@pytest.mark.parametrize(
    "sql",
    [
        f"{UPSERT} DO UPDATE SET v = 1 ON CONFLICT (id) DO UPDATE SET v = 2 RETURNING v AS x",
        "UPDATE t SET v = NOT v WHERE id = :id RETURNING v AS x",
        "UPDATE t SET v = v = 1 WHERE id = :id RETURNING v AS x",
        "UPDATE t SET v = v IS NULL, n = NULL WHERE id = :id RETURNING v AS x",
        "SELECT v AS x FROM t WHERE id = :values",
        "SELECT v AS x FROM t WHERE id = :ID",
    ],
)
def test_what_is_understood(schema: Schema, sql: str) -> None:
    (column,) = result_columns(schema, sql)
    assert (column.name, column.type, column.nullable) == ("x", "integer", False)


def test_the_index_of_each_conflict_is_used(schema: Schema) -> None:
    assert read_plan(f"{UPSERT} DO NOTHING ON CONFLICT (id) DO NOTHING", schema).accesses == ()


def test_no_function_gives_what_is_not_claimed_of_it() -> None:
    """Every function of SQLite, with arguments of every class and with edge values."""
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE t (i INTEGER NOT NULL, r REAL NOT NULL, s TEXT NOT NULL, b BLOB NOT NULL, n) STRICT".replace(
            " n)", " n INTEGER)"
        )
    )
    random = Random(1)
    for number in (0, 1, -1, 5, 2**63 - 1, -(2**63)):
        for _ in range(4):
            real, text = (
                random.choice([0.0, -1.5, float("inf"), -float("inf")]),
                random.choice(["", "a", "1", "%", "[1]"]),
            )
            values = number, real, text, random.choice([b"", b"a", b"1"]), random.choice([None, 1])
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", values)
    schema, claims = Schema(connection), 0
    for name, count in itertools.product(sorted(schema.functions), range(4)):
        arguments = ["i", "r", "s", "b", "n", "'x'"] if count < 3 else ["i", "s", "''"]
        for chosen in itertools.product(arguments, repeat=count):
            sql = f"SELECT {name}({', '.join(chosen)}) AS x FROM t"
            try:
                (column,) = result_columns(schema, sql)
                found = [value for (value,) in connection.execute(sql)] if not column.nullable or column.type else []
            except (sqlite3.Error, ValueError):
                continue
            claims += len(found)
            assert column.nullable or None not in found, sql
            assert column.type is None or all(value is None or is_of(column, value) for value in found), sql
    connection.close()
    assert claims > 3000
