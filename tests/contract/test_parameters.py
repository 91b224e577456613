"""What the SQL expects of its parameters, place by place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.contract.inference.results import Schema, Unsure
from datastore.contract.parameters import parameter_expectations
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from tests.contract.test_inference import SCHEMA


@pytest.fixture(scope="module")
def schema() -> Iterator[Schema]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield Schema(connection)
    connection.close()


def said(schema: Schema, sql: str) -> str:
    """``p text, q integer?``: a ``?`` for NULL that is of use, ``!`` for NULL that is not said anything of."""
    marks = {True: "?", False: "", None: "!"}
    expected = parameter_expectations(schema, sql)
    assert all(expectation.why for expectation in expected.values())
    return ", ".join(f"{name} {one.type or 'any'}{marks[one.nullable]}" for name, one in expected.items())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id FROM people WHERE nick = :p AND :q < height", "p text, q real"),
        ("SELECT id FROM people WHERE active = :p AND born_at >= :q AND metadata = :r", "p boolean, q timestamp, r json"),
        ("SELECT id FROM people WHERE (born_at, id) < (:p, :q)", "p timestamp, q integer"),
        ("SELECT id FROM people WHERE age BETWEEN :p AND :q", "p integer, q integer"),
        ("SELECT id FROM people WHERE name LIKE :p OR name IN (:q, :r)", "p text, q text, r text"),
        ("SELECT id FROM people WHERE age IS :p", "p integer?"),
        ("SELECT id FROM people WHERE :p IS NULL OR age = :p", "p integer?"),
        ("SELECT id FROM people WHERE :p IN (SELECT owner_id FROM pets)", "p integer"),
        ("SELECT id FROM people WHERE (SELECT count(*) FROM pets) > :p", "p integer"),
        ("SELECT id FROM people WHERE coalesce(nick, '') = :p", "p text"),
        ("SELECT coalesce(:p, nick) FROM people", "p text?"),
        ("SELECT CAST(:p AS TEXT)", "p text!"),
        ("SELECT :p", "p any!"),
        ("SELECT id FROM people ORDER BY id LIMIT :p OFFSET :q", "p integer, q integer"),
        ("SELECT value FROM json_each(:p)", "p json"),
        ("SELECT rowid FROM texts WHERE texts MATCH :p", "p text"),
        ("SELECT a.id FROM people AS a LEFT JOIN pets ON pets.name = :p WHERE EXISTS (SELECT 1 FROM people AS b WHERE b.age = :q)", "p text, q integer"),
        ("SELECT x FROM (SELECT id AS x FROM people WHERE nick = :p) WHERE x > :q", "p text, q integer"),
        ("WITH a AS (SELECT id FROM people WHERE nick = :p) SELECT id FROM a UNION SELECT age FROM people WHERE age > :q", "p text, q integer"),
        ("SELECT age, count(*) FROM people GROUP BY age HAVING count(*) > :p", "p integer"),
        ("INSERT INTO people (id, name, nick, active) VALUES (:p, :q, :r, :s)", "p integer?, q text, r text?, s boolean"),
        ("INSERT INTO pets VALUES (:p, :q, :r)", "p integer, q integer, r text"),
        ("INSERT INTO people (name, nick) SELECT :p, nick FROM people WHERE age = :q", "p text, q integer"),
        ("INSERT INTO people (name) VALUES (:p) ON CONFLICT (name) DO UPDATE SET nick = :q WHERE age > :r", "p text, q text?, r integer"),
        ("UPDATE people SET nick = :p, name = :q, height = :r WHERE id = :s", "p text?, q text, r real, s integer"),
        ("UPDATE people SET metadata = coalesce(:p, metadata), (age, weight) = (:q, :r)", "p json?, q integer?, r real?"),
        ("UPDATE people SET born_at = :p, name = :p WHERE id = 1", "p any"),
        ("DELETE FROM people WHERE age = :p RETURNING id = :q", "p integer, q integer"),
        ("SELECT id FROM loose JOIN people ON loose.size = :p", "p any"),
    ],
)  # fmt: skip
def test_expectations(schema: Schema, sql: str, expected: str) -> None:
    assert said(schema, sql) == expected


def test_a_place_that_refuses_null_counts_more_than_one_that_takes_it(schema: Schema) -> None:
    expected = parameter_expectations(schema, "UPDATE people SET nick = :p, name = :p")
    assert expected["p"].nullable is False
    assert "NOT NULL" in expected["p"].why


def test_what_is_not_understood_is_said(schema: Schema) -> None:
    with pytest.raises(Unsure, match="parameters are not understood"):
        parameter_expectations(schema, "SELECT FROM WHERE")


def test_the_headers_of_the_project_agree(path: Path) -> None:
    """A header's type is what the SQL expects, wherever it expects anything."""
    connection = sqlite3.connect(path)
    schema = Schema(connection)
    checked = 0
    for statement in read_statements(sql_folder(), "sqlite").values():
        expected = parameter_expectations(schema, statement.sql)
        assert set(expected) == {parameter.name for parameter in statement.header.parameters}
        for parameter in statement.header.parameters:
            one = expected[parameter.name]
            # learning_tags.created_at and job_attempts.finished_at have no CHECK of their own: triggers copy them
            # from columns that have one.
            copied = any(column in one.why for column in ("learning_tags.created_at", "finished_at;"))
            # A batch, a full-text query and rows of a full-text index are one JSON text (or FTS5's text).
            declared = "json" if parameter.type in ("rows", "match", "words") else parameter.type
            fits = one.type in (None, declared) or (one.type == "text" and parameter.type in ("match", "words"))
            assert fits or copied, (statement.name, parameter.name, one)
            takes = parameter.nullable or parameter.name in statement.optional
            assert not (takes and one.firm), (statement.name, parameter.name, one)
            checked += one.type is not None
    assert checked > 250
    connection.close()
