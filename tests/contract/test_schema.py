"""The rules about migrations, indexes, the last release and the project, each with its whole message."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.contract.project import find_project
from datastore.errors import ProjectError
from tests.contract.planted import Planted

LIST = (Path(__file__).parent / "planted/star.good.sql").read_text()
MORE = "schema/0002.more.sql"
UNDO = "schema/0002.more.rollback.sql"


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """A project without a mistake."""
    project = Planted(tmp_path)
    project.statements(LIST)
    assert project.said() == ""
    return project


@pytest.fixture
def records(planted: Planted) -> Iterator[Planted]:
    """The same, with a module of records that nobody has imported yet."""
    planted.put("notebook/__init__.py", "")
    yield planted
    for name in ("notebook", "notebook.records"):
        sys.modules.pop(name, None)


def golden(name: str) -> str:
    """What the check says, as docs/contract-checks.md shows it too."""
    text = (Path(__file__).parent / f"planted/{name}.txt").read_text()
    return text.rstrip("\n").replace("sqlite-3.40.1", f"sqlite-{sqlite3.sqlite_version}")


def commit(planted: Planted, tag: str) -> None:
    """Release the project as it is."""
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "release"], ["tag", tag]):
        identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=planted.root, check=True, capture_output=True)


def test_a_step_that_does_not_apply(planted: Planted) -> None:
    planted.put(MORE, "-- depends: 0001.notes\nALTER TABLE nots ADD COLUMN colour TEXT;\n")
    report = planted.check()
    assert [problem.render() for problem in report.problems] == [
        """\
schema/0002.more.sql:2:13: migration: this step does not apply: no such table: nots
   |
 2 | ALTER TABLE nots ADD COLUMN colour TEXT;
   |             ^^^^
   = hint: did you mean "notes"?"""
    ]
    assert report.notes == ["a step fails, so the statements were not checked against the schema"]


def test_a_step_without_rollback_and_an_index_that_nothing_uses(planted: Planted) -> None:
    planted.put(MORE, "-- depends: 0001.notes\nCREATE INDEX notes_title_idx ON notes (title);\n")
    said = """\
schema/0002.more.sql: rollback: this step has no rollback
   = + index notes_title_idx
   = hint: write schema/0002.more.rollback.sql: + is what it would take away, - what it would bring back

schema/0002.more.sql:2:14: unused-index: no statement's plan uses the index "notes_title_idx"
   |
 2 | CREATE INDEX notes_title_idx ON notes (title);
   |              ^^^^^^^^^^^^^^^
   = hint: drop it in a new step, or say in pyproject.toml why it stays: "unused-index notes_title_idx" = "..."\
"""
    assert planted.said() == said
    planted.put(UNDO, "DROP INDEX notes_title_idx;\n")
    assert planted.said() == said.partition("\n\n")[2]
    # A statement that the index serves ...
    planted.statements(
        LIST
        + LIST.replace("list_titles", "list_same")
        .replace("author_id", "title")
        .replace("integer  whose", "text  which")
        .replace("notes_title_idx (range scan, no sort)", "notes_title_idx (search); sorts")
    )
    assert planted.said() == ""
    # ... or a reason.
    planted.statements(LIST)
    planted.allow("unused-index notes_title_idx", "a report of the auditors uses it")
    assert planted.said() == ""


def test_a_unique_index_is_a_rule_and_needs_no_statement(planted: Planted) -> None:
    planted.put(MORE, "-- depends: 0001.notes\nCREATE UNIQUE INDEX authors_name_key ON authors (name);\n")
    planted.put(UNDO, "DROP INDEX authors_name_key;\n")
    assert planted.said() == ""


def test_an_index_that_a_trigger_uses_is_used(planted: Planted) -> None:
    trigger = """\
-- depends: 0001.notes
CREATE INDEX authors_name_idx ON authors (name);

CREATE TRIGGER authors_name_insert BEFORE INSERT ON authors
WHEN EXISTS (SELECT 1 FROM authors WHERE name = new.name)
BEGIN
    SELECT raise(ABORT, 'authors_name');
END;
"""
    planted.put(MORE, trigger)
    planted.put(UNDO, "DROP TRIGGER authors_name_insert;\n\nDROP INDEX authors_name_idx;\n")
    assert 'unused-index: no statement\'s plan uses the index "authors_name_idx"' in planted.said()
    add = (Path(__file__).parent / "planted/insert-columns.good.sql").read_text()
    planted.statements(f"{LIST}\n{add}")
    assert planted.said() == ""


def test_a_rollback_that_leaves_something(planted: Planted) -> None:
    planted.put(
        MORE,
        "-- depends: 0001.notes\nCREATE UNIQUE INDEX notes_title_key ON notes (title);\nPRAGMA user_version = 2;\n",
    )
    planted.put(UNDO, "-- Nothing.\n")
    assert planted.said() == golden("rollback")
    planted.put(UNDO, "DROP INDEX notes_title_key;\n\nPRAGMA user_version = 0;\n")
    assert planted.said() == ""


def test_a_rollback_that_restores_another_table(planted: Planted) -> None:
    planted.put(MORE, "-- depends: 0001.notes\nALTER TABLE authors DROP COLUMN name;\n")
    planted.put(UNDO, "ALTER TABLE authors ADD COLUMN name TEXT;\n")
    assert (
        planted.said()
        == """\
schema/0002.more.rollback.sql: rollback: this rollback does not restore the schema that was there before 0002.more
   = - table authors: ... INTEGER PRIMARY KEY , name TEXT NOT NULL ) STRICT
   = + table authors: ... INTEGER PRIMARY KEY , name TEXT ) STRICT
   = hint: - is missing after the rollback, + is left over"""
    )


def test_a_table_without_a_primary_key(planted: Planted) -> None:
    step = "-- depends: 0001.notes\nCREATE TABLE visits (\n    at TEXT NOT NULL\n) STRICT;\n"
    planted.put(MORE, step)
    planted.put(UNDO, "DROP TABLE visits;\n")
    assert (
        planted.said()
        == """\
schema/0002.more.sql:2:14: primary-key: the table "visits" has no primary key
   |
 2 | CREATE TABLE visits (
   |              ^^^^^^
   = hint: CONSTRAINT visits_pkey PRIMARY KEY (...): without one, nothing tells two equal rows apart"""
    )
    planted.put(MORE, step.replace("    at TEXT NOT NULL", "    at TEXT NOT NULL PRIMARY KEY"))
    assert planted.said() == ""
    # The rows of a virtual table are not the project's to name.
    planted.put(MORE, "-- depends: 0001.notes\nCREATE VIRTUAL TABLE visits USING fts5 (text);\n")
    assert planted.said() == ""


LOOSE = """\
-- depends: 0001.notes
CREATE TABLE tags (
    name VARCHAR(20) PRIMARY KEY,
    weight INTEGER
);
CREATE TABLE labels (
    name TEXT NOT NULL PRIMARY KEY
);
"""

TAGS = """\
-- name: list_tags(max_rows)
-- Tags.
--   max_rows  integer  1 to 1000
-- Index: tags primary key
-- Rows: 0 to max_rows
-- Record: Tag
-- Allow: full-scan, there are few
SELECT
    name,
    weight
FROM tags
ORDER BY name
LIMIT :max_rows;

-- name: weigh_tags(name)^
-- The weight of a tag.
--   name  text  which one
-- Index: tags primary key
-- Rows: 1
SELECT sum(weight) AS weight
FROM tags
WHERE name = :name;
"""


def test_tables_that_are_not_strict_are_one_problem(planted: Planted) -> None:
    planted.put(MORE, LOOSE)
    planted.put(UNDO, "DROP TABLE labels;\n\nDROP TABLE tags;\n")
    planted.put(
        "notebook/records.py",
        RECORDS.format(field="title: str") + "\n\n@attrs.frozen\nclass Tag:\n    name: str\n    weight: int | None\n",
    )
    planted.put("notebook/__init__.py", "")
    planted.change("pyproject.toml", "notebook.records", "loose.records")
    planted.change("pyproject.toml", 'repositories = "notebook"', 'repositories = "loose"')
    planted.put("queries/tags.sql", TAGS)
    (planted.root / "notebook").rename(planted.root / "loose")
    planted.put("loose/use.py", "list_tags, weigh_tags\n")
    assert (
        planted.said()
        == """\
schema/0002.more.sql:6:14: not-strict: the table is not STRICT: its columns take values of any type, and a primary key but INTEGER's takes NULL
   |
 6 | CREATE TABLE labels (
   |              ^^^^^^
   = also: schema/0002.more.sql:2: tags
   = hint: write STRICT after its last parenthesis (types are then INTEGER, REAL, TEXT, BLOB and ANY), or say in pyproject.toml why not: "not-strict TABLE" = "..."\
"""
    )
    # Where it stays as it is, what is not sure is told where it matters: columns as they are need no CAST.
    planted.allow("not-strict tags", "another program makes it")
    planted.allow("not-strict labels", "another program makes it")
    assert [(problem.rule, problem.place.line) for problem in planted.check().problems] == [
        ("record", 6),
        ("limit-order", 13),
        ("uncast", 20),
    ]
    planted.put(MORE, LOOSE.replace(");", ") STRICT;").replace("VARCHAR(20)", "TEXT"))
    planted.put("pyproject.toml", (planted.root / "pyproject.toml").read_text().partition("[tool.datastore.allow]")[0])
    assert planted.said() == ""


def test_a_foreign_key_without_an_index(planted: Planted) -> None:
    step = """\
-- depends: 0001.notes
CREATE TABLE tags (
    note_id INTEGER NOT NULL,
    tag TEXT NOT NULL,
    CONSTRAINT tags_pkey PRIMARY KEY (tag, note_id),
    CONSTRAINT tags_note_id_fkey FOREIGN KEY (note_id) REFERENCES notes (id)
) STRICT;
"""
    planted.put(MORE, step)
    planted.put(UNDO, "DROP TABLE tags;\n")
    assert planted.said() == golden("foreign-key-index")
    # A partial index does not find every row; a primary key that leads with the column does.
    planted.put(MORE, f"{step}\nCREATE INDEX tags_note_id_idx ON tags (note_id) WHERE tag <> '';\n")
    assert "foreign-key-index" in planted.said()
    planted.put(MORE, step.replace("(tag, note_id)", "(note_id, tag)"))
    assert planted.said() == ""
    # So does an index, which then serves the key and no statement.
    planted.put(MORE, f"{step}\nCREATE INDEX tags_note_id_idx ON tags (note_id, tag);\n")
    assert planted.said() == ""


def test_a_step_that_is_not_what_the_lock_file_says(planted: Planted) -> None:
    assert planted.check(update=True).written == [
        planted.root / "schema/SHA256SUMS",
        *planted.root.glob("plans/*.txt"),
    ]
    assert planted.said() == ""
    planted.change("schema/0001.notes.sql", "body TEXT", "contents TEXT")
    (planted.root / "schema/0001.notes.rollback.sql").unlink()
    planted.put(MORE, "-- depends: 0001.notes\n")
    planted.check(update=True)  # adds what is new, changes nothing
    assert (
        planted.said()
        == """\
schema/0001.notes.rollback.sql: migration-changed: this step is in schema/SHA256SUMS, and its file is gone
   = hint: restore it

schema/0001.notes.sql: migration-changed: this step has changed since its checksum was written to schema/SHA256SUMS
   = hint: restore it and write a new step; if it was never released, take its line out of the lock file

schema/0001.notes.sql: rollback: this step has no rollback
   = + index notes_author_id_idx
   = + table authors
   = + table notes
   = hint: write schema/0001.notes.rollback.sql: + is what it would take away, - what it would bring back"""
    )


def test_a_step_that_stands_in_no_lock_file(planted: Planted) -> None:
    planted.check(update=True)
    planted.put(MORE, "-- depends: 0001.notes\n")
    assert (
        planted.said()
        == """\
schema/0002.more.sql: migration-changed: this step is not in schema/SHA256SUMS
   = hint: `datastore check --update` adds it"""
    )


def test_a_step_that_was_released_and_has_changed(planted: Planted) -> None:
    commit(planted, "v1.0")
    assert planted.said(release="v*") == ""
    planted.change("schema/0001.notes.sql", "body TEXT,", "body TEXT, -- what it says")
    assert planted.said(release="v*") == golden("migration-changed")


def test_a_released_statement_that_no_longer_prepares(planted: Planted) -> None:
    commit(planted, "v1.0")
    planted.put(MORE, "-- depends: 0001.notes\nALTER TABLE notes RENAME COLUMN title TO heading;\n")
    planted.put(UNDO, "ALTER TABLE notes RENAME COLUMN heading TO title;\n")
    planted.statements(LIST.replace("    title\n", "    heading\n"))
    said = golden("released")
    assert planted.said(release="v1.0") == said
    assert planted.said(release="") == ""
    planted.statements(
        LIST.replace("    title\n", "    heading\n").replace(
            "max_rows\nS", "max_rows\n-- Allow: released, we stop it to migrate\nS"
        )
    )
    assert planted.said(release="v1.0") == ""


def test_a_released_statement_is_prepared_with_each_choice_of_its_lines(planted: Planted) -> None:
    either = """\
WHERE
    author_id = :author_id -- if: not word
    author_id = :author_id AND title <> :word -- if: word
"""
    text = LIST.replace("WHERE author_id = :author_id\n", either).replace("max_rows)", "max_rows, word)")
    text = text.replace("-- Index", "--   word  text  not with this title\n-- Index")
    planted.statements(text)
    commit(planted, "v1.0")
    planted.statements(LIST)
    assert planted.said(release="v1.0") == ""
    planted.put(MORE, "-- depends: 0001.notes\nALTER TABLE notes RENAME COLUMN title TO heading;\n")
    planted.put(UNDO, "ALTER TABLE notes RENAME COLUMN heading TO title;\n")
    planted.statements(LIST.replace("    title\n", "    heading\n"))
    assert "no such column: title" in planted.said(release="v1.0")


def test_releases_that_are_not_there(planted: Planted) -> None:
    commit(planted, "v1.0")
    report = planted.check(release="release-*")
    assert report.notes[0] == "no tag matches release-*, so there is no last release to compare with"
    assert planted.check(release="x?").notes[0].startswith("no tag matches x?")
    with pytest.raises(ProjectError, match='the release "v9" cannot be read: git rev-parse in'):
        planted.check(release="v9")


def test_without_git_there_is_no_last_release(planted: Planted) -> None:
    """As in an unpacked source archive."""
    assert planted.check(release="v*").notes[0] == "no tag matches v*, so there is no last release to compare with"
    with pytest.raises(ProjectError, match='the release "v1.0" cannot be read'):
        planted.check(release="v1.0")


def test_a_statement_that_nothing_calls(planted: Planted) -> None:
    planted.put("notebook/repository.py", "# list_titles is a comment here\n")
    planted.put("notebook/typed.py", 'class Notes:\n    def list_titles(self):\n        """Calls list_titles."""\n')
    assert planted.said() == golden("no-caller")


def test_a_plan_that_has_changed_prints_both(planted: Planted) -> None:
    planted.check(update=True)
    (kept,) = planted.root.glob("plans/*.txt")
    planted.statements(
        LIST.replace("created_at, id", "title, id").replace("(range scan, no sort)", "(range scan); sorts")
    )
    assert planted.said() == golden("plan")
    planted.check(update=True)
    assert planted.said() == ""
    # Another version of the engine has plans of its own: none are kept of it, none are wrong.
    kept.rename(kept.with_name("sqlite-3.1.txt"))
    report = planted.check()
    assert report.problems == []
    assert report.notes == [
        f"no plans of SQLite {kept.stem.removeprefix('sqlite-')} are kept; `datastore check --update` writes plans/{kept.name}"
    ]


RECORDS = """\
import attrs


@attrs.frozen
class Title:
    id: int
    {field}
"""


def test_a_record_that_is_not_the_select_list(records: Planted) -> None:
    records.statements(LIST.replace("max_rows\nS", "max_rows\n-- Record: Title\nS"))
    records.put("notebook/records.py", RECORDS.format(field="titel: str"))
    assert records.said() == golden("record")


@pytest.mark.parametrize(
    ("column", "field", "differs", "reason"),
    [
        ("title", "title: str", "", ""),
        ("title", "title: str | None", "", ""),
        ("body", "body: str | None", "", ""),
        ("body", "body: str", "is str, and the column can be NULL", "notes.body may be NULL"),
        ("title", "title: int", "is int, and the column is text", "notes.title is NOT NULL"),
        ("author_id", "author_id: bool", "", ""),
        (
            "author_id",
            "author_id: str",
            "is str, and the column is integer",
            "a filter keeps only rows where notes.author_id is not NULL",
        ),
    ],
)
def test_a_record_whose_types_are_not_the_columns(
    column: str, field: str, differs: str, reason: str, records: Planted
) -> None:
    text = LIST.replace("max_rows\nS", "max_rows\n-- Record: Title\nS").replace("    title\n", f"    {column}\n")
    records.statements(text)
    records.put("notebook/records.py", RECORDS.format(field=field))
    expected = f"""\
queries/notes.sql:7:12: record: Title.{column} {differs}
   |
 7 | -- Record: Title
   |            ^^^^^
   = {reason}"""
    assert records.said() == (expected if differs else "")


def test_a_record_that_is_not_there(records: Planted) -> None:
    records.statements(LIST.replace("max_rows\nS", "max_rows\n-- Record: Titel\nS"))
    records.put("notebook/records.py", RECORDS.format(field="title: str"))
    assert (
        records.said()
        == """\
queries/notes.sql:7:12: record: notebook.records has no record "Titel"
   |
 7 | -- Record: Titel
   |            ^^^^^
   = hint: did you mean "Title"?"""
    )
    records.change("pyproject.toml", "notebook.records", "notebook.recrods")
    said = "pyproject.toml: file: notebook.recrods cannot be imported: ModuleNotFoundError"
    assert said in records.said()


def test_waivers_of_the_project(planted: Planted) -> None:
    planted.allow("unused-index notes_x_idx", "a report uses it")
    planted.allow("unused-indx notes_y_idx", "a report uses it")
    planted.allow("sort", "it is small")
    planted.allow("full-scan notes", " ")
    assert (
        planted.said()
        == """\
pyproject.toml:11:2: waiver: nothing needs the waiver of "unused-index notes_x_idx"
    |
 11 | "unused-index notes_x_idx" = "a report uses it"
    |  ^^^^^^^^^^^^^^^^^^^^^^^^
    = hint: take it out

pyproject.toml:12:2: waiver: there is no rule "unused-indx"
    |
 12 | "unused-indx notes_y_idx" = "a report uses it"
    |  ^^^^^^^^^^^^^^^^^^^^^^^
    = hint: did you mean "unused-index"?

pyproject.toml:13:2: waiver: the waiver of "sort" names nothing
    |
 13 | "sort" = "it is small"
    |  ^^^^
    = hint: write: "sort NAME" = "why"

pyproject.toml:14:2: waiver: the waiver of "full-scan" gives no reason
    |
 14 | "full-scan notes" = " "
    |  ^^^^^^^^^^^^^^^
    = hint: write: Allow: full-scan, why it may be broken here"""
    )


def test_a_table_that_is_marked_small_may_be_read_as_a_whole(planted: Planted) -> None:
    planted.statements(LIST + (Path(__file__).parent / "planted/full-scan.bad.sql").read_text())
    assert "full-scan: the plan reads the whole of notes" in planted.said()
    planted.allow("full-scan notes", "a person writes few")
    assert planted.said() == ""


def test_a_project_without_statements(planted: Planted) -> None:
    planted.statements("-- Nothing yet.\n")
    assert planted.said() == "queries/notes.sql: file: there is no statement in this file"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("plans =", "plan =", r'unknown setting "plan"; did you mean "plans"\?'),
        ('"schema"', '"schemas"', "migrations: there is no folder"),
        ('"queries"', '"query"', "statements: there is no folder"),
        ('"queries"', "3", "statements is a text"),
        ('"schema"', "[3]", "migrations is a text, or a list of them"),
        ('"schema"', "[]", "migrations names no folder"),
        ("plans =", 'engine = "oracle"\nplans =', 'engine "oracle" is not known; known are sqlite'),
        ("plans =", 'allow = ["all"]\nplans =', "allow is a table"),
        ("[tool.datastore]", "[tool.datastor]", r"no pyproject.toml with a table \[tool.datastore\]"),
        ("[tool.datastore]", "[tool.datastore", "pyproject.toml: Expected"),
    ],
)
def test_a_table_that_is_wrong(old: str, new: str, message: str, planted: Planted) -> None:
    planted.change("pyproject.toml", old, new)
    with pytest.raises(ProjectError, match=message):
        find_project(planted.root)


def test_a_project_is_found_from_below(planted: Planted) -> None:
    assert find_project(planted.root / "queries").root == planted.root.resolve()
