"""Plans read from SQLite: aliases, views, wordings of other versions, optional lines, statistics."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from datastore.contract import plans
from datastore.contract.schema import Schema
from datastore.engines.sqlite import explain as sqlite_explain
from tests.contract.planted import STEP, Planted

LIST = (Path(__file__).parent / "planted/star.good.sql").read_text()


@pytest.fixture
def schema() -> Schema:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        STEP + "CREATE VIEW recent AS SELECT n.id, n.title FROM notes AS n WHERE n.body IS NULL;"
        "CREATE VIRTUAL TABLE words USING fts5 (title);"
    )
    return Schema(connection)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT id FROM notes", {"notes"}),
        ("SELECT n.id FROM notes AS n", {"notes"}),
        ("SELECT n.id FROM notes n", {"notes"}),
        ("SELECT id FROM recent", {"notes"}),
        ("SELECT r.id FROM recent AS r", {"notes"}),
        # A common table expression hides the table of its name, and is read from memory.
        ("WITH authors AS (SELECT max(id) AS id FROM notes WHERE id = 1) SELECT id FROM authors", set()),
        ("WITH a (id) AS MATERIALIZED (SELECT 1) SELECT id FROM a", set()),
        ("SELECT value FROM json_each('[]')", set()),
        ("SELECT rowid FROM words WHERE words MATCH 'x'", set()),
        ("SELECT id FROM (SELECT id FROM notes LIMIT 1) AS first", {"notes"}),
        ("SELECT (SELECT count(*) FROM authors) AS a FROM notes WHERE id = 1", {"authors"}),
        ("UPDATE notes SET body = NULL", {"notes"}),
        ("DELETE FROM notes WHERE id = 1", set()),
    ],
)
def test_what_is_read_as_a_whole(sql: str, tables: set[str], schema: Schema) -> None:
    plan = plans.read_plan(sql, schema)
    scanned = {one.table for one in plan.accesses if one.how == "SCAN" and "VIRTUAL TABLE" not in one.line}
    assert scanned == tables


@pytest.mark.parametrize(
    ("line", "reduced"),
    [
        # 3.40, 3.35 and before it; the wording of later versions.
        ("SCAN notes", "SCAN notes"),
        ("SCAN TABLE notes", "SCAN notes"),
        ("SEARCH TABLE notes AS n USING INDEX i (a=?)", "SEARCH n USING INDEX i (a=?)"),
        ("USE TEMP B-TREE FOR ORDER BY", "TEMP B-TREE FOR ORDER BY"),
        ("USE TEMP B-TREE FOR RIGHT PART OF ORDER BY", "TEMP B-TREE FOR ORDER BY"),
        ("USE TEMP B-TREE FOR LAST TERM OF ORDER BY", "TEMP B-TREE FOR ORDER BY"),
        ("USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY", "TEMP B-TREE FOR ORDER BY"),
        ("SCAN CONSTANT ROW", ""),
        ("SCAN 10 CONSTANT ROWS", ""),
        ("SCAN 10-ROW VALUES CLAUSE", ""),
        ("CO-ROUTINE x", ""),
        ("LIST SUBQUERY 2", ""),
        ("MULTI-INDEX OR", ""),
    ],
)
def test_every_version_of_sqlite_is_reduced_alike(
    line: str, reduced: str, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_explain, "query_plan", lambda connection, sql: [line])
    assert plans.read_plan("SELECT n.id FROM notes AS n", schema).lines == ((reduced,) if reduced else ())


def test_a_table_that_two_aliases_stand_for_is_one(schema: Schema) -> None:
    names = plans.table_names("SELECT a.id FROM notes AS a JOIN notes AS b JOIN authors b2 ON a.id = b.id", schema)
    assert names == {"notes": {"notes"}, "a": {"notes"}, "b": {"notes"}, "authors": {"authors"}, "b2": {"authors"}}


def test_names_are_as_sqlite_takes_them() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        'CREATE TABLE "Order Lines" (Id INTEGER PRIMARY KEY, [Sold At] TEXT);'
        'CREATE INDEX "Order Lines By Day" ON "Order Lines" ("Sold At");'
    )
    schema = Schema(connection)
    assert (schema.kinds["order lines"], schema.kinds.spelled("ORDER LINES")) == ("table", "Order Lines")
    for sql, how, index in (
        ('SELECT id FROM "order lines"', "SCAN", ""),
        ('SELECT lines.id FROM "ORDER LINES" AS lines', "SCAN", ""),
        ('SELECT id FROM "Order Lines" AS "the lines" WHERE "sold at" = 1', "SEARCH", "Order Lines By Day"),
        ('SELECT id FROM "Order Lines" WHERE id = 1', "SEARCH", ""),
    ):
        (access,) = plans.read_plan(sql, schema).accesses
        assert (access.how, access.table, access.index) == (how, "Order Lines", index), access.line


def test_an_alias_of_two_tables_is_told_apart_by_the_index(schema: Schema) -> None:
    sql = (
        "SELECT (SELECT t.title FROM notes AS t WHERE t.author_id = 1 LIMIT 1), "
        "(SELECT t.name FROM authors AS t WHERE t.id = 1)"
    )
    plan = plans.read_plan(sql, schema)
    assert ("notes", "notes_author_id_idx") in {(one.table, one.index) for one in plan.accesses}
    assert ("authors", "notes_author_id_idx") not in {(one.table, one.index) for one in plan.accesses}


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


OPTIONAL = """\
-- name: list_titles(author_id, max_rows)
-- Titles, by id.
--   author_id  integer  whose, if that is asked for
--   max_rows  integer  1 to 1000
-- Index: notes primary key (read in order, no sort)
--   with author_id: notes_author_id_idx (search); sorts one author's notes
-- Rows: 0 to max_rows
-- Allow: full-scan, LIMIT stops it
SELECT
    id,
    title
FROM notes
WHERE
    title <> ''
    AND author_id = :author_id -- if: author_id
ORDER BY id
LIMIT :max_rows;
"""


def test_each_choice_of_optional_lines_has_its_own_plan(planted: Planted) -> None:
    planted.statements(OPTIONAL)
    assert planted.check(update=True).problems == []
    (kept,) = planted.root.glob("plans/*.txt")
    assert (
        kept.read_text().partition("\n\n")[2]
        == """\
list_titles
    SCAN notes

list_titles [author_id]
    SEARCH notes USING INDEX notes_author_id_idx (author_id=?)
    TEMP B-TREE FOR ORDER BY
"""
    )
    planted.statements(OPTIONAL.replace("; sorts one author's notes", ""))
    assert (
        planted.said()
        == """\
queries/notes.sql:16:1: sort: the plan sorts for ORDER BY, and the header does not say so
    |
 16 | ORDER BY id
    | ^^^^^^^^
    = plan: SEARCH notes USING INDEX notes_author_id_idx (author_id=?)
    = plan: TEMP B-TREE FOR ORDER BY
    = (where author_id is given)
    = hint: an index that ends in the order sorts nothing; or say how much is sorted: Index: ...; sorts at most ..."""
    )


MANY = """\
-- name: find_many(author_id, created_after, title, body, max_rows)
-- Notes by any of these.
--   author_id  integer  whose
--   created_after  timestamp  from when on
--   title  text  called so
--   body  text  saying so
--   max_rows  integer  1 to 1000
-- Index: {index}
-- Rows: 0 to max_rows
SELECT
    id,
    title
FROM notes
WHERE
    id > 0
    AND author_id = :author_id -- if: author_id
    AND title = :title -- if: title
    AND body = :body -- if: body
    AND created_at > :created_after -- if: created_after
ORDER BY created_at, id
LIMIT :max_rows;
"""


def test_one_line_says_the_plans_of_many_optional_filters(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.change(
        "schema/0001.notes.sql",
        "ON notes (author_id, created_at, id);",
        "ON notes (author_id, created_at, id);\nCREATE INDEX notes_title_idx ON notes (title);",
    )
    planted.statements(
        MANY.format(index="notes_author_id_idx or notes_title_idx or notes primary key; sorts at most ...")
    )
    assert planted.said() == ""
    planted.statements(MANY.format(index="notes_author_id_idx or notes primary key; sorts at most ..."))
    said = planted.said()
    assert said.count('index: the plan does not use "notes_author_id_idx" or "notes"') == 1
    planted.statements(MANY.format(index="notes_author_id_idx or notes_title_idx or notes primary key"))
    assert planted.said().count("sort: the plan sorts for") == 1


def test_none_may_be_one_of_several(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    text = MANY.replace("    id > 0\n    AND author_id", "    body <> ''\n    AND author_id").replace(
        "ORDER BY created_at, id", "ORDER BY author_id, id"
    )
    planted.statements(text.format(index="notes_author_id_idx or none (a scan); sorts at most ..."))
    assert "index:" not in planted.said()


def test_a_plan_that_statistics_turn_is_told(planted: Planted) -> None:
    """The planner takes the smaller table first once it knows which one that is; CROSS JOIN fixes the order."""
    step = """\
-- depends: 0001.notes
CREATE TABLE tags (
    note_id INTEGER NOT NULL,
    tag TEXT NOT NULL,
    CONSTRAINT tags_pkey PRIMARY KEY (note_id, tag),
    CONSTRAINT tags_note_id_fkey FOREIGN KEY (note_id) REFERENCES notes (id)
) STRICT, WITHOUT ROWID;
"""
    statement = """\
-- name: list_tags(author_id, max_rows)
-- The tags of an author's notes.
--   author_id  integer  whose
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan), tags primary key; sorts
-- Rows: 0 to max_rows
SELECT
    tags.note_id,
    tags.tag
FROM notes
INNER JOIN tags ON notes.id = tags.note_id
WHERE notes.author_id = :author_id
ORDER BY tags.note_id, tags.tag
LIMIT :max_rows;
"""
    planted.put("schema/0002.tags.sql", step)
    planted.put("schema/0002.tags.rollback.sql", "DROP TABLE tags;\n")
    planted.statements(statement)
    found = {problem.rule: problem.notes[-1] for problem in planted.check().problems}
    if not found:
        pytest.skip(f"the planner of SQLite {sqlite3.sqlite_version} is not turned by these sizes")
    assert set(found) <= {"index", "full-scan", "sort"}
    assert set(found.values()) == {"(with ANALYZE's statistics of tables of 1,000,000 rows)"}
    planted.statements(
        statement.replace(
            "INNER JOIN tags ON notes.id = tags.note_id\nWHERE notes",
            "CROSS JOIN tags\nWHERE notes.id = tags.note_id AND notes",
        )
    )
    assert planted.said() == ""


def test_a_line_ends_where_the_file_says(planted: Planted) -> None:
    """With CRLF, and with characters that Python, too, takes for the end of a line."""
    text = LIST.replace("An author's", "An\u2028author's").replace("    title\n", "    titel\n")
    expected = """\
queries/notes.sql:9:5: prepare: no such column: titel
   |
 9 |     titel
   |     ^^^^^
   = hint: did you mean "title"?"""
    for ends in ("\n", "\r\n"):
        planted.statements("")
        (planted.root / "queries/notes.sql").write_bytes(text.replace("\n", ends).encode())
        planted.put("notebook/repository.py", "statements.list_titles()")
        assert planted.said() == expected
