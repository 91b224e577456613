"""The rules on a statement's text: what they must not take for a mistake, and mistakes in other clothes."""

from __future__ import annotations

import sqlite3

import pytest

from datastore.contract.schema import Schema
from datastore.contract.sources import split
from datastore.contract.vet.sql import check_sql
from tests.contract.planted import STEP

HEADER = "-- name: get_it()^\n-- Gets it.\n-- Index: none (a test)\n-- Rows: 0 or 1\n"


@pytest.fixture(scope="module")
def schema() -> Schema:
    connection = sqlite3.connect(":memory:")
    connection.executescript(STEP)
    return Schema(connection)


def rules(sql: str, schema: Schema) -> list[str]:
    (source,) = split(HEADER + sql, "notes.sql")
    return sorted(problem.rule for problem in check_sql(source, schema))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n, 2 * id AS twice, id * 3 AS thrice FROM notes",
        "SELECT sum(id) FILTER (WHERE body IS NULL) AS n FROM notes",
        "SELECT date(created_at) AS day, strftime('%Y', created_at) AS year, datetime(:now) AS now FROM notes",
        "SELECT 'current_timestamp, *, REPLACE INTO x' AS words FROM notes -- if: now\n",
        "SELECT replace(title, 'a', 'b') AS title FROM notes",
        "UPDATE notes SET body = NULL, title = replace(title, 'a', 'b') WHERE id = 1",
        "UPDATE notes SET body = (SELECT name FROM authors WHERE id = 1), title = NULL WHERE id = 1",
        "UPDATE notes SET title = CASE WHEN id = 1 THEN 'a' ELSE 'b' END, body = NULL WHERE id = 1",
        "INSERT INTO authors (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = NULL",
        "INSERT INTO authors AS a (id) VALUES (1)",
        "INSERT INTO authors DEFAULT VALUES",
        "UPDATE notes SET body = coalesce(:body, body) WHERE id = 1",
        "SELECT id FROM notes WHERE coalesce(body, :body) = 'x'",
        "SELECT :now IS NULL AS is_null FROM notes",
        "WITH doomed AS (SELECT id FROM notes) DELETE FROM notes WHERE id IN (SELECT id FROM doomed)",
        'WITH "c d" ("n m", "o") AS (SELECT 1, 2) SELECT "n m" AS "x y", "o" FROM "c d"',
        'SELECT id "the id", "title" FROM "notes" AS "n" WHERE "n"."body" IS NULL ORDER BY "the id"',
        'SELECT json_each."key" AS k, "value" AS v FROM json_each(\'[]\')',
        "SELECT `id` AS a, [title] AS b FROM notes",
    ],
)
def test_what_is_right_is_left_alone(sql: str, schema: Schema) -> None:
    assert rules(sql, schema) == []


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT notes.* FROM notes", "star"),
        ("SELECT DISTINCT * FROM notes", "star"),
        ("SELECT id, * FROM notes", "star"),
        ("SELECT id FROM notes WHERE EXISTS (SELECT * FROM authors)", "star"),
        ("DELETE FROM notes WHERE id = 1 RETURNING *", "star"),
        ("WITH c AS (SELECT id FROM notes WHERE id = 1) UPDATE notes SET body = ''", "no-where"),
        ("UPDATE notes SET body = (SELECT name FROM authors WHERE id = 1)", "no-where"),
        ("REPLACE INTO authors (id) VALUES (1)", "replace"),
        ("UPDATE OR REPLACE notes SET id = 1 WHERE id = 2", "replace"),
        ("SELECT id FROM notes WHERE created_at < CURRENT_TIMESTAMP", "clock"),
        ("SELECT datetime('now', :days) AS day", "clock"),
        ("SELECT date() AS day", "clock"),
        ("SELECT unixepoch ( 'NOW' ) AS day", "clock"),
        ("SELECT strftime('%s') AS day", "clock"),
        ("SELECT id FROM notes WHERE (:title IS NULL) OR title = :title", "optional-filter"),
        ("SELECT id FROM notes WHERE title = :title OR ((:title IS NULL))", "optional-filter"),
        ("SELECT id FROM notes WHERE title = coalesce(:title, title)", "optional-filter"),
        ("SELECT id FROM notes WHERE title = ifnull(:title, title)", "optional-filter"),
        ("SELECT id FROM notes WHERE body <> NULL", "null-comparison"),
        ("UPDATE notes SET body = '' WHERE body == NULL", "null-comparison"),
        ("UPDATE notes SET title = CASE WHEN body = NULL THEN 'a' ELSE 'b' END WHERE id = 1", "null-comparison"),
        ('SELECT id FROM notes WHERE title IN ("draft")', "quoted-string"),
        ('SELECT coalesce(body, "none") AS body FROM notes', "quoted-string"),
        ("SELECT id FROM notes ORDER BY id LIMIT 10, 20", "offset"),
    ],
)
def test_a_mistake_in_other_clothes(sql: str, rule: str, schema: Schema) -> None:
    assert rules(sql, schema) == [rule]
