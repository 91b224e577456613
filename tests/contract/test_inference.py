"""What is inferred of result columns, rule by rule; tests/contract/test_falsifier.py tries them all together."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from datastore.contract import metadata
from datastore.contract.inference.parse import MISREAD_TYPES, Node, parse, text_of
from datastore.contract.inference.results import Column, Schema, Unsure, at_most_one_row, result_columns, total_order
from datastore.contract.logical import affinity
from datastore.resources import sql_folder
from datastore.statements.loader import read_statements
from tests.contract.generated_schemas import LITERALS

SCHEMA = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, nick TEXT, age INTEGER, height REAL NOT NULL, weight REAL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)), metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    born_at TEXT CHECK (born_at IS NULL OR born_at GLOB '????-??-??T??:??:??.??????Z'), photo BLOB, boss_id INTEGER
) STRICT;
CREATE UNIQUE INDEX people_name_key ON people (name);
CREATE UNIQUE INDEX people_nick_key ON people (nick);
CREATE UNIQUE INDEX people_boss_key ON people (boss_id) WHERE active = 1;
CREATE TABLE pets (owner_id INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (owner_id, position)) STRICT, WITHOUT ROWID;
CREATE TABLE loose (code TEXT PRIMARY KEY, size INTEGER NOT NULL, flag BOOLEAN NOT NULL CHECK (flag IN (0, 1)),
    kind NOT NULL CHECK (typeof(kind) = 'text'), json TEXT CHECK (json_valid(json)));
CREATE UNIQUE INDEX loose_kind_key ON loose (kind COLLATE NOCASE);
CREATE TABLE real_first (size REAL NOT NULL, count INTEGER NOT NULL) STRICT;
CREATE TABLE computed (a INTEGER NOT NULL, b INTEGER AS (a || 'x'), c TEXT NOT NULL AS (a + 1) STORED) STRICT;
ALTER TABLE computed ADD COLUMN d INTEGER DEFAULT 'abc';
ALTER TABLE computed ADD COLUMN e INTEGER NOT NULL DEFAULT 0;
CREATE VIEW owners AS SELECT people.id, people.name, pets.name AS pet FROM people
    LEFT JOIN pets ON pets.owner_id = people.id;
CREATE VIEW adults (who) AS SELECT name FROM people WHERE age >= 18;
CREATE VIRTUAL TABLE texts USING fts5 (title, body);
"""


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def schema(connection: sqlite3.Connection) -> Schema:
    return Schema(connection)


def said(column: Column) -> str:
    return f"{column.type or 'any'}{'?' if column.nullable else ''}"


@pytest.mark.parametrize(
    ("sql", "claims"),
    [
        # Columns: NOT NULL, the INTEGER PRIMARY KEY, the CHECKs; what STRICT does not say, nobody says.
        ("SELECT id, name, nick, height, weight FROM people", "integer text text? real real?"),
        ("SELECT active, metadata, born_at, photo FROM people", "boolean json timestamp? blob?"),
        ("SELECT code, size, flag, kind, json FROM loose", "any? any boolean text any?"),
        ("SELECT a, b, c, d, e FROM computed", "integer any? any any? integer"),
        ("SELECT rowid, oid, people.rowid FROM people", "integer integer integer"),
        ("SELECT rowid, title, rank FROM texts WHERE texts MATCH 'a'", "integer any? any?"),
        ("SELECT name, sql FROM sqlite_master", "text text?"),
        ("SELECT missing.a FROM pragma_table_info('people') AS missing(a)", None),
        # Outer joins, views, subqueries.
        ("SELECT a.name, b.name FROM people AS a LEFT JOIN people AS b ON b.id = a.boss_id", "text text?"),
        ("SELECT a.name, b.name FROM people AS a RIGHT JOIN people AS b ON b.id = a.boss_id", "text? text"),
        ("SELECT a.name, b.name FROM people AS a FULL JOIN people AS b ON b.id = a.boss_id", "text? text?"),
        ("SELECT a.name, b.name FROM people AS a, people AS b", "text text"),
        ("SELECT b.id, c.id FROM people AS a LEFT JOIN (people AS b JOIN pets AS c USING (name)) ON 1", None),
        ("SELECT a.id, b.id FROM people AS a LEFT JOIN people AS b ON 1 WHERE b.age > 3", "integer integer"),
        ("SELECT a.id, b.id FROM people AS a LEFT JOIN people AS b ON b.age > 3", "integer integer?"),
        ("SELECT b.id FROM people AS a LEFT JOIN people AS b ON 1 JOIN pets ON pets.owner_id = b.id", "integer"),
        ("SELECT b.id FROM people a LEFT JOIN people b ON 1 JOIN pets c ON c.owner_id = b.id RIGHT JOIN pets ON 1", "integer?"),
        ("SELECT id, name, pet FROM owners", "integer text text?"),
        ("SELECT who FROM adults", "text"),
        ("SELECT name FROM people LEFT JOIN pets USING (name)", "text"),
        ("SELECT name FROM people RIGHT JOIN pets USING (name)", "any?"),
        ("SELECT people.name FROM people RIGHT JOIN pets USING (name)", "text?"),
        ("SELECT pets.* FROM people RIGHT JOIN pets USING (name)", "integer integer any?"),
        ("SELECT * FROM pets NATURAL JOIN (SELECT 1 AS position) AS one", "integer integer text"),
        ("SELECT x FROM (SELECT nick AS x FROM people WHERE nick = :p)", "text"),
        # Filters.
        ("SELECT nick, age FROM people WHERE nick IS NOT NULL OR age IS NOT NULL", "text? integer?"),
        ("SELECT nick FROM people WHERE nick = 'a' OR nick > :p", "text"),
        ("SELECT nick, age FROM people WHERE NOT (nick IS NULL OR age IS NULL)", "text integer"),
        ("SELECT nick, age FROM people WHERE (nick, age) > (:a, :b)", "text integer?"),
        ("SELECT nick, age FROM people WHERE (nick, age) = (:a, :b)", "text integer"),
        ("SELECT age FROM people WHERE age NOT IN (SELECT owner_id FROM pets)", "integer?"),
        ("SELECT age FROM people WHERE age NOT IN (1, 2)", "integer"),
        ("SELECT age FROM people WHERE age IS :p", "integer?"),
        ("SELECT age, weight FROM people WHERE 1 BETWEEN age AND weight", "integer real"),
        ("SELECT age, weight FROM people WHERE NOT (1 BETWEEN age AND weight)", "integer? real?"),
        # Compounds and WITH.
        ("SELECT name FROM people UNION ALL SELECT nick FROM people", "text?"),
        ("SELECT name FROM people UNION SELECT id FROM people", "any"),
        ("SELECT nick FROM people EXCEPT SELECT NULL", "text?"),
        ("VALUES (1, 'a'), (2, NULL)", "integer text?"),
        ("WITH a (x) AS (SELECT 1 UNION ALL SELECT nullif(x, 1) FROM a LIMIT 3) SELECT x FROM a", "integer?"),
        ("WITH a (x) AS (SELECT 1 UNION ALL SELECT CAST(x + 1 AS INTEGER) FROM a LIMIT 3) SELECT x FROM a", "integer"),
        ("WITH people AS (SELECT 1.5 AS id) SELECT id FROM people", "real"),
        # Aggregates.
        ("SELECT count(*), count(nick), max(id), sum(id), total(id), avg(id) FROM people", "integer integer integer? integer? real real?"),
        ("SELECT name, max(id), sum(id), max(nick) FROM people GROUP BY name", "text integer integer text?"),
        ("SELECT max(id) FILTER (WHERE age > 1), total(height), sum(height) FROM people GROUP BY age", "integer? real? real?"),
        ("SELECT name, count(*) FROM people", "text? integer"),
        ("SELECT name, max(age) FROM people HAVING count(*) > 0", "text? integer?"),
        ("SELECT name FROM people GROUP BY age HAVING count(*) > 0", "text"),
        ("SELECT (SELECT count(people.id)) FROM people", "any?"),
        ("SELECT (SELECT count(*) FILTER (WHERE people.id > 0)), name FROM people", "any? any?"),
        ("SELECT min(age, 1), max(name, 'a') FROM people", "integer? text"),
        ("SELECT json_group_array(id), json_group_array(height) FROM people", "json text"),
        ("SELECT row_number() OVER (ORDER BY id), lag(id) OVER (ORDER BY id) FROM people", "integer integer?"),
        ("SELECT sum(id) OVER (ORDER BY id), count(*) OVER () FROM people", "integer? integer"),
        # Expressions.
        ("SELECT age + 1, id + 1, id / 2, id / age, id % 2, id % :p FROM people", "any? any any any? integer any?"),
        ("SELECT height + weight, height * 2, -id, -1 FROM people", "real? real? any integer"),
        ("SELECT CASE WHEN age > 1 THEN 1 END, CASE WHEN age > 1 THEN 1 ELSE 2 END FROM people", "integer? integer"),
        ("SELECT CASE WHEN age IS NOT NULL THEN age ELSE 0 END, iif(age > 1, age, 0) FROM people", "integer integer"),
        ("SELECT CASE age WHEN nick THEN age ELSE 0 END FROM people", "integer?"),
        ("SELECT coalesce(nick, name), coalesce(nick, :p), nullif(name, 'a') FROM people", "text any? text?"),
        ("SELECT EXISTS (SELECT 1), age IN (1, 2), id IN (1, 2), id IN (SELECT age FROM people) FROM people", "boolean boolean? boolean boolean?"),
        ("SELECT age = 1, id = 1, age IS 1, age IS NULL, NOT age, id AND age FROM people", "boolean? boolean boolean boolean boolean? boolean?"),
        ("SELECT (SELECT name FROM people), (SELECT count(*) FROM pets), (SELECT 1), (SELECT 1 LIMIT 0)", "text? integer integer integer?"),
        ("SELECT CAST(age AS TEXT), CAST(id AS REAL), CAST(photo AS BLOB), CAST(id AS NUMERIC) FROM people", "text? real blob? any"),
        ("SELECT CAST(EXISTS (SELECT 1) AS BOOLEAN), CAST(EXISTS (SELECT 1) AS INTEGER)", "boolean integer"),
        ("SELECT CAST(name AS STRING) FROM people", "any?"),
        ("SELECT length(name), lower(nick), substr(name, 1), typeof(age), abs(id), hex(NULL) FROM people", "integer text? any? text integer text"),
        ("SELECT json_extract(metadata, '$.a'), metadata ->> '$.a', json(nick), strftime('%s', nick) FROM people", "any? any? json? any?"),
        ("SELECT json_array(id), json_array(9e999), json_object('a', metadata), json_array(json_array(9e999)) FROM people", "json text json text"),
        ("SELECT 9223372036854775807, 9223372036854775808, 1e3, x'00', 'a', NULL, TRUE", "integer any real blob text any? boolean"),
        ("SELECT key, value, type, atom, id, fullkey FROM json_each('[]')", "any? any? text any? integer text"),
        ("SELECT CAST(-bm25(texts, 1.0) AS REAL), bm25(texts, :w) FROM texts WHERE texts MATCH 'a'", "real any?"),
        # RETURNING.
        ("INSERT INTO people (name) VALUES ('a') RETURNING id, name, nick, height", "integer text text? real"),
        ("UPDATE people SET nick = NULL WHERE nick IS NOT NULL RETURNING nick", "text?"),
        ("DELETE FROM people WHERE nick IS NOT NULL RETURNING nick, metadata", "text? json"),
        ("UPDATE OR IGNORE people SET age = 1 RETURNING id", "integer"),
        ("REPLACE INTO people (name) VALUES ('a') RETURNING id", "integer"),
        ("INSERT INTO real_first VALUES (1, 1) RETURNING size, count, rowid", "real any any"),
        ("DELETE FROM people", ""),
        # IN (SELECT ...) leaves its left side in another class.
        ("SELECT id IN (SELECT name FROM pets), id, age FROM people", "boolean integer integer?"),
        ("SELECT sum(id) IN (SELECT name FROM pets), sum(id), count(*) FROM people", "boolean? any? any"),
        ("SELECT sum(id) IN (1, 2), sum(id), count(*) FROM people", "boolean? integer? integer"),
        ("UPDATE people SET age = 1 RETURNING id IN (SELECT 'a'), id, name", "boolean any text"),
    ],
)  # fmt: skip
def test_claims(connection: sqlite3.Connection, schema: Schema, sql: str, claims: str | None) -> None:
    if claims is None:
        with pytest.raises(sqlite3.OperationalError):
            result_columns(schema, sql)
        return
    columns = result_columns(schema, sql)
    assert " ".join(said(column) for column in columns) == claims, [column.reason for column in columns]
    assert all(column.reason for column in columns)


def test_a_real_column_is_told_apart_where_returning_shows_integers(
    connection: sqlite3.Connection, schema: Schema
) -> None:
    sql = "INSERT INTO people (name, height, active, metadata) VALUES ('a', 2, 1, '{}') RETURNING height"
    (column,) = result_columns(schema, sql)
    assert (column.type, column.storage) == ("real", {"real", "integer"})


def test_parameters_that_the_header_keeps_from_null(connection: sqlite3.Connection, schema: Schema) -> None:
    sql = "SELECT coalesce(nick, :p) FROM people"
    (column,) = result_columns(schema, sql, not_null_parameters={"p"})
    assert not column.nullable


def test_origins(connection: sqlite3.Connection, schema: Schema) -> None:
    columns = result_columns(schema, "SELECT pet, id, length(name) AS size FROM owners")
    assert [column.origin for column in columns] == [("pets", "name"), ("people", "id"), None]


def test_reasons_are_sentences_for_a_dba(connection: sqlite3.Connection, schema: Schema) -> None:
    sql = "SELECT pet, CASE WHEN id = 1 THEN 2 END AS two, (SELECT nick FROM people LIMIT 1) AS one FROM owners"
    assert [column.reason for column in result_columns(schema, sql)] == [
        "pets is outer-joined: without a match its columns are NULL",
        "a CASE without ELSE is NULL where no WHEN is true",
        "the subquery may find no row",
    ]


@pytest.mark.parametrize(
    ("sql", "single"),
    [
        ("SELECT name FROM people WHERE id = :id", True),
        ("SELECT name FROM people WHERE rowid = :id", True),
        ("SELECT id FROM people WHERE name = :name AND age > 3", True),
        ("SELECT id FROM people WHERE nick = :nick", True),
        ("SELECT id FROM people WHERE nick IS :nick", False),  # several are NULL
        ("SELECT id FROM people WHERE name = :name COLLATE NOCASE", False),
        ("SELECT id FROM people WHERE name > :name", False),
        ("SELECT id FROM people WHERE name = :name OR id = 1", False),
        ("SELECT id FROM people WHERE id IN (:a, :b)", False),
        ("SELECT id FROM people WHERE id IN (SELECT max(id) FROM people)", True),
        ("SELECT id FROM people WHERE id = abs(random() % 9)", False),
        ("SELECT id FROM people WHERE boss_id = 1", False),
        ("SELECT id FROM people WHERE boss_id = 1 AND active = 1", True),
        ("SELECT size FROM loose WHERE code = :code", True),
        ("SELECT size FROM loose WHERE code = 1", True),
        ("SELECT size FROM loose JOIN people ON people.id = 1 WHERE code = people.age", False),  # '1' and '01'
        ("SELECT size FROM loose WHERE kind = :kind", False),  # the key's collation is another
        ("SELECT name FROM pets WHERE owner_id = 1", False),
        ("SELECT name FROM pets WHERE owner_id = 1 AND position = 2", True),
        ("SELECT name FROM pets WHERE (owner_id, position) = (1, 2)", True),
        ("SELECT a.id FROM people AS a JOIN people AS b ON b.id = a.boss_id WHERE a.id = 1", True),
        ("SELECT a.id FROM people AS a LEFT JOIN people AS b ON b.id = a.boss_id WHERE a.id = 1", True),
        ("SELECT a.id FROM people AS a LEFT JOIN people AS b ON a.id = 1 AND b.id = 1", False),
        ("SELECT a.id FROM people AS a RIGHT JOIN people AS b ON b.id = 1 WHERE a.id = 1", False),
        ("SELECT a.id FROM people AS a JOIN pets ON pets.owner_id = a.id WHERE a.id = 1", False),
        ("SELECT name FROM owners WHERE id = 1", False),
        ("SELECT who FROM adults WHERE who = :name", True),
        ("SELECT count(*) FROM people", True),
        ("SELECT count(*) FROM people GROUP BY age", False),
        ("SELECT age FROM people WHERE age = 1 GROUP BY age", True),
        ("SELECT id FROM people LIMIT 1", True),
        ("SELECT id FROM people LIMIT 2", False),
        ("SELECT 1", True),
        ("VALUES (1)", True),
        ("VALUES (1), (2)", False),
        ("SELECT 1 UNION SELECT 2", False),
        ("SELECT value FROM json_each(:list)", False),
        ("INSERT INTO people (name) VALUES (:name) RETURNING id", True),
        ("INSERT INTO people (name) VALUES ('a'), ('b') RETURNING id", False),
        ("INSERT INTO people (name) SELECT name FROM pets RETURNING id", False),
        ("INSERT INTO people DEFAULT VALUES RETURNING id", True),
        ("UPDATE people SET age = 1 WHERE name = :name RETURNING id", True),
        ("UPDATE people SET age = 1 WHERE id = (SELECT id FROM people LIMIT 1) RETURNING id", True),
        ("UPDATE people SET age = 1 FROM pets WHERE people.id = pets.owner_id RETURNING id", False),
        ("DELETE FROM people WHERE age = 1 RETURNING id", False),
        ("DELETE FROM people WHERE id IN (SELECT id FROM people ORDER BY id LIMIT :n) RETURNING id", False),
    ],
)
def test_at_most_one_row(schema: Schema, sql: str, single: bool) -> None:
    found, why = at_most_one_row(schema, sql)
    assert found == single, why
    assert why


@pytest.mark.parametrize(
    ("sql", "total"),
    [
        ("SELECT id FROM people ORDER BY id LIMIT :n", True),
        ("SELECT id FROM people ORDER BY age, id DESC LIMIT :n", True),
        ("SELECT id AS age, age AS id FROM people ORDER BY id", False),  # the alias is meant
        ("SELECT id FROM people ORDER BY name", True),
        ("SELECT id FROM people ORDER BY name COLLATE NOCASE", False),
        ("SELECT id FROM people ORDER BY nick", False),  # NULL ties with NULL
        ("SELECT id FROM people WHERE nick IS NOT NULL ORDER BY nick", True),
        ("SELECT id FROM people ORDER BY age", False),
        ("SELECT id FROM people", False),
        ("SELECT name FROM pets WHERE owner_id = :id ORDER BY position", True),
        ("SELECT name FROM pets ORDER BY position", False),
        ("SELECT people.id FROM people JOIN pets ON pets.owner_id = people.id ORDER BY people.id", False),
        ("SELECT 1 FROM people JOIN pets ON pets.owner_id = people.id ORDER BY people.id, position", True),
        ("SELECT 1 FROM pets LEFT JOIN people ON people.id = owner_id ORDER BY owner_id, position", True),
        ("SELECT age, count(*) FROM people GROUP BY age ORDER BY age", True),
        ("SELECT age, count(*) AS n FROM people GROUP BY age ORDER BY n, age", True),
        ("SELECT age, count(*) AS n FROM people GROUP BY age ORDER BY n", False),
        ("SELECT DISTINCT age FROM people ORDER BY age", True),
        ("SELECT age FROM people UNION SELECT 1 ORDER BY 1", True),
        ("SELECT age FROM people UNION ALL SELECT 1 ORDER BY 1", False),
        ("SELECT x.id FROM (SELECT id FROM people) AS x ORDER BY x.id", True),
        ("SELECT who FROM adults ORDER BY who", True),
        ("SELECT count(*) FROM people ORDER BY 1", True),
        ("DELETE FROM people WHERE age = 1 RETURNING id", False),
    ],
)
def test_total_order(schema: Schema, sql: str, total: bool) -> None:
    found, why = total_order(schema, sql)
    assert found == total, why
    assert why


#: Tables that other programs made.
NOT_STRICT = {"sqlite_sequence", "_yoyo_migration", "_yoyo_log"}

#: Every form of a value, for the functions that are believed.
_EDGES = [*LITERALS, "'A b'", "'{}'", "zeroblob(3)", "1e308", "-0.0", "char(0)", "'9e999'"]


@pytest.mark.parametrize("function", ["count", "typeof", "hex", "quote", "json_array", "json_group_array"])
def test_functions_believed_never_to_be_null(connection: sqlite3.Connection, function: str) -> None:
    for edge in _EDGES:
        try:
            rows = connection.execute(f"SELECT {function}({edge})").fetchall()
        except sqlite3.OperationalError:
            assert function.startswith("json")  # JSON cannot hold a blob
            continue
        assert rows[0][0] is not None, edge


@pytest.mark.parametrize(
    "expression",
    ["length({0})", "lower({0})", "upper({0})", "abs({0})", "CAST({0} AS TEXT)", "CAST({0} AS REAL)", "-{0}", "~{0}",
     "CAST({0} AS INTEGER)", "CAST({0} AS BLOB)", "{0} || {0}", "{0} & {0}", "{0} << {0}", "{0} = {0}", "{0} < 'a'",
     "{0} LIKE {0}", "{0} GLOB {0}", "{0} BETWEEN {0} AND 1", "NOT {0}", "min({0}, 1)", "json_valid({0})"],
)  # fmt: skip
def test_functions_believed_null_for_null_only(connection: sqlite3.Connection, expression: str) -> None:
    tried, failed = 0, []
    for edge in _EDGES:
        if edge != "NULL":
            try:
                rows = connection.execute(f"SELECT {expression.format(f'({edge})')}").fetchall()
            except sqlite3.OperationalError:
                failed.append(edge)
                continue
            assert rows[0][0] is not None, edge
            tried += 1
    assert tried > 15
    assert failed == (["-9223372036854775808"] if expression.startswith("abs") else [])


def test_type_names_that_the_parser_reads_otherwise_than_sqlite() -> None:
    read = {"text": "TEXT", "varchar": "TEXT", "char": "TEXT", "nchar": "TEXT", "nvarchar": "TEXT", "int": "INTEGER"}
    read |= dict.fromkeys(["bigint", "smallint", "tinyint", "mediumint"], "INTEGER")
    read |= {"float": "REAL", "double": "REAL", "varbinary": "BLOB", "blob": "BLOB"}
    misread = set()
    for word in sqlglot.Dialect.get_or_raise("sqlite").tokenizer_class.KEYWORDS:
        if word.replace("_", "").replace(" ", "").isalpha():
            try:
                cast = sqlglot.parse_one(f"CAST(a AS {word})", read="sqlite")
            except sqlglot.ParseError:
                continue
            kind = read.get(str(getattr(cast.args["to"].this, "name", "")).lower())
            if kind is not None and affinity(kind) != affinity(word):
                misread.add(word)
    assert misread <= MISREAD_TYPES
    assert "BLOB" not in MISREAD_TYPES


def test_operators_bind_as_they_do_in_sqlite(connection: sqlite3.Connection) -> None:
    """The tree, written with all its parentheses, has the value of the flat text; or the text is refused."""
    chooser = random.Random(3)
    read, differ = 0, []
    operators = ["+", "-", "*", "/", "%", "||", "&", "|", "<<", "=", "<>", "<", ">=", "IS", "IS NOT", "AND", "OR"]
    operators += ["LIKE", "GLOB", "NOT LIKE", "NOT IN (1) =", "IS NULL <", "NOTNULL =", "BETWEEN 0 AND 2 ="]
    for _ in range(3000):
        flat = "".join(
            f"{chooser.choice(['', '', '', '-', 'NOT ', '~'])}{chooser.randint(0, 3)} {chooser.choice(operators)} "
            for _ in range(chooser.randint(1, 3))
        ) + str(chooser.randint(0, 3))
        try:
            full = _parenthesized(parse(flat))
        except Unsure:
            continue
        read += 1
        if connection.execute(f"SELECT {flat}").fetchall() != connection.execute(f"SELECT {full}").fetchall():
            differ.append((flat, full))
    assert not differ, f"{len(differ)} of {read}: {differ[:5]}"
    assert read > 1000


def _parenthesized(tree: Node) -> str:
    tree = exp.Paren(this=tree.copy())
    for node in reversed(list(tree.walk())):
        is_operator = isinstance(node, (exp.Binary, exp.Unary, exp.In, exp.Between))
        if is_operator and not isinstance(node, exp.Paren) and not isinstance(node.parent, exp.Paren):
            node.replace(exp.Paren(this=node.copy()))
    return text_of(tree)


@pytest.mark.parametrize("sql", ["SELECT nick <> 1 LIKE 2 FROM people", "SELECT 1 FROM people WHERE nick < 1 LIKE 2"])
def test_what_the_parser_binds_otherwise_is_refused(connection: sqlite3.Connection, schema: Schema, sql: str) -> None:
    (column,) = result_columns(schema, sql)
    assert column.nullable
    assert column.type is None
    assert "parentheses" in column.reason


def test_every_statement_of_the_project_is_understood(path: Path) -> None:
    connection = sqlite3.connect(path)
    schema = Schema(connection)
    texts = [(s, text) for s in read_statements(sql_folder(), "sqlite").values() for _, text in s.variants()]
    assert len(texts) > 100
    for statement, text in texts:
        for column in result_columns(schema, text):
            # What a view gives back is what was handed in: the header promises its type.
            assert "understood" not in column.reason or "RETURNING of a view" in column.reason, text
            # The tables of SQLite and of yoyo are not STRICT: nothing checks the types that they declare. What a PRAGMA gives has
            # no table at all; the header promises its type.
            table = column.origin[0] if column.origin else "a pragma" if statement.header.returns else ""
            assert column.type is not None or table in (*NOT_STRICT, "a pragma"), (column, text)
        assert "understood" not in at_most_one_row(schema, text)[1]
        assert "understood" not in total_order(schema, text)[1]
    connection.close()


def test_without_the_library_the_walk_goes_on_alone(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "find_library", lambda: None)
    schema = Schema(connection)
    assert schema.engine is None
    columns = result_columns(schema, "SELECT id, pet, length(name) AS size FROM owners")
    assert [(column.name, said(column)) for column in columns] == [
        ("id", "integer"),
        ("pet", "text?"),
        ("size", "integer"),
    ]
    assert at_most_one_row(schema, "SELECT nick FROM people WHERE name = :name")[0]
    # pets has a COLLATE somewhere: which collation its key's columns have is not known.
    assert not at_most_one_row(schema, "SELECT name FROM pets WHERE owner_id = 1 AND position = 2")[0]


def test_the_library_is_the_one_that_python_uses() -> None:
    library = metadata.find_library()
    if library is None:
        pytest.skip("libsqlite3 of this Python has no column metadata, or cannot be reached")
    assert library.sqlite3_libversion().decode() == sqlite3.sqlite_version


def test_the_engine_answers_without_running(connection: sqlite3.Connection) -> None:
    engine = metadata.open_engine(connection)
    if engine is None:
        pytest.skip("libsqlite3 of this Python has no column metadata, or cannot be reached")
    with engine:
        sql = "INSERT INTO people (name) VALUES (:name) RETURNING id, upper(name) AS shout"
        assert [(column.name, column.origin) for column in engine.columns(sql)] == [
            ("id", ("people", "id")),
            ("shout", None),
        ]
        assert engine.collation("pets", "name") == "NOCASE"
        assert engine.collation("pets", "missing") is None
        with pytest.raises(sqlite3.OperationalError, match="no such column: missing"):
            engine.columns("SELECT missing FROM people")


def test_a_database_in_wal_mode_and_an_empty_one(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    assert Schema(connection).table("MESSAGES") is not None
    connection.close()
    assert Schema(sqlite3.connect(":memory:")).table("messages") is None


def test_the_store_loads_no_parser() -> None:
    program = (
        "import sys, datastore, datastore.cli; print('sqlglot' in sys.modules, 'datastore.contract' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == ["False", "False"]
