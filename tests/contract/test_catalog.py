"""The catalogue: whole, linked, escaped, the same wherever it is made; and for somebody else's project."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from datastore.cli.commands import cli
from datastore.contract.catalog.comments import object_comments, table_items
from datastore.contract.catalog.links import Links
from datastore.contract.catalog.model import Catalog
from datastore.contract.catalog.reading import read_catalog
from datastore.contract.facts import ProjectFacts, read_facts
from datastore.contract.project import find_project
from datastore.errors import ProjectError
from tests.contract.planted import Planted

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/catalog/index.html"
VOID = {"meta", "input", "br", "link"}

#: As hostile as a statement's text, a comment and a name can be.
HOSTILE = """\
-- name: list_notes(author_id, title, max_rows)
-- An author's notes </script><script>alert(1)</script> & "more".
--   author_id  integer  which author <img src=x onerror=alert(2)>
--   title  text  only with this title
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Allow: uncast, because <b>&amp;
SELECT
    id,
    body,
    '</code></pre></script><script>alert("3")</script>' AS note
FROM notes
WHERE
    author_id = :author_id
    AND title = :title -- if: title
ORDER BY created_at, id
LIMIT :max_rows;

-- name: authors(id)^
-- A statement that is called like a table.
--   id  integer  which author
-- Index: authors primary key
-- Rows: 0 or 1
SELECT
    id,
    name
FROM authors
WHERE id = :id;

-- name: delete_author(id)!
-- Deletes an author.
--   id  integer  which author
-- Index: authors primary key
-- Rows: 0 or 1
DELETE FROM authors
WHERE id = :id;
"""


class Page(HTMLParser):
    """Elements, ids and links of a page; an element that is not closed where it should be is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags[tag] += 1
        self.attributes += attrs
        if given.get("id"):
            self.ids[given["id"] or ""] += 1
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closed at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def catalog(facts: ProjectFacts) -> Catalog:
    return read_catalog(facts)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    project = Planted(tmp_path / "notebook")
    project.statements(HOSTILE)
    return project


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["catalog", *map(str, arguments)])


# --- this project's own page -----------------------------------------------------------------------------------------


def test_the_committed_catalogue_is_fresh() -> None:
    result = run("--project", ROOT, "--check")
    assert result.exit_code == 0, f"run `make generate`:\n{result.output}"


def test_every_table_column_and_statement_has_its_place_once(catalog: Catalog, page: Page) -> None:
    names = [one.name for one in (*catalog.statements, *catalog.tables)]
    names += [column.id for table in catalog.tables for column in table.columns]
    names += [one.name for table in catalog.tables for one in (*table.indexes, *table.triggers, *table.refers)]
    assert {name: page.ids[name] for name in names} == dict.fromkeys(names, 1)
    assert max(page.ids.values()) == 1


def test_every_link_leads_somewhere(page: Page) -> None:
    for link in {*page.links}:
        if link.startswith("#"):
            assert unquote(link[1:]) in page.ids, link
        else:
            assert "://" not in link, link
            assert (PAGE.parent / unquote(link.partition("#")[0])).is_file(), link


def test_the_page_asks_for_nothing_and_is_small(catalog: Catalog, page: Page) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.encode()) < 10_000 * len(catalog.statements)
    assert not [name for name, _ in page.attributes if name in ("src", "srcset") or name.startswith("on")]
    assert not re.search(r"https?://|@import|url\(", text)
    assert page.tags["script"] == 2


def test_what_touches_the_content_of_a_message(catalog: Catalog) -> None:
    messages = next(table for table in catalog.tables if table.name == "messages")
    content = next(column for column in messages.columns if column.name == "content")
    by_action = {action: {user.name for user in content.used(action)} for action in ("insert", "update", "delete")}
    assert by_action["insert"] >= {"append_message", "append_messages"}
    assert by_action["update"] == {"extend_message", "finish_message", "update_message_content"}
    assert by_action["delete"] >= {"delete_message", "delete_conversation"}
    through = next(user.by for user in content.used("delete") if user.name == "delete_conversation")
    assert "messages_conversation_id_fkey" in through
    reads = {user.name for user in content.used("read")}
    assert {"get_message", "list_messages_after"} <= reads
    assert "count_messages" not in reads


def test_a_column_of_the_full_text_index_is_written_by_its_statement(catalog: Catalog) -> None:
    table = next(table for table in catalog.tables if table.name == "learnings_fts")
    title = next(column for column in table.columns if column.name == "title")
    writers = {(user.kind, user.name) for user in title.used("insert")}
    assert ("statement", "index_learnings") in writers
    assert ("statement", "add_learning") not in writers


def test_an_index_names_what_it_serves(catalog: Catalog) -> None:
    indexes = {index.name: index for table in catalog.tables for index in table.indexes}
    index = indexes["messages_conversation_id_branch_position_key"]
    assert "list_messages_after" in index.statements
    assert "delete_conversation" in index.indirect
    assert index.foreign_keys == ("messages_conversation_id_fkey",)
    for one in indexes.values():
        assert one.statements or one.indirect or one.foreign_keys or one.unique, one.name


def test_columns_have_the_meaning_that_the_migrations_give(catalog: Catalog) -> None:
    tables = {table.name: table for table in catalog.tables}
    columns = {column.id: column for table in tables.values() for column in table.columns}
    assert columns["messages.content"].meaning.startswith("Sanitized text, 1 byte to 1 MiB of UTF-8, no NUL")
    assert columns["messages.metadata"].logical == "json"
    assert columns["conversations.deleted_at"].nullable
    assert not columns["messages.seq"].nullable
    assert tables["messages"].steps == ("0001.initial",)
    assert "entry_hash" in tables["audit_log"].note


def test_each_choice_of_optional_lines_has_its_plan(catalog: Catalog) -> None:
    page = next(one for one in catalog.statements if len(one.choices) == 4)
    assert page.choices[0].which == ""
    assert len({choice.plan for choice in page.choices}) > 1


# --- somebody else's -------------------------------------------------------------------------------------------------


def test_a_project_of_somebody_else(planted: Planted, tmp_path: Path) -> None:
    result = run("--project", planted.root)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "docs/schema.md: written",
        "docs/statements/README.md: written",
        "docs/statements/notes.md: written",
        "docs/catalog/index.html: written",
    ]
    assert run("--project", planted.root, "--check").exit_code == 0
    page = Page((planted.root / "docs/catalog/index.html").read_text(encoding="utf-8"))
    assert {"list_notes", "notes.title", "notes_author_id_fkey", "authors", "statement:authors"} <= {*page.ids}
    for link in page.links:
        target = unquote(link.partition("#")[0])
        assert (planted.root / "docs/catalog" / target).exists() if target else unquote(link[1:]) in page.ids, link
    assert "#statement:authors" in page.links


def test_drift_is_told_and_nothing_is_written(planted: Planted) -> None:
    run("--project", planted.root)
    before = (planted.root / "docs/statements/notes.md").read_bytes()
    planted.change("queries/notes.sql", "Deletes an author.", "Deletes an author for good.")
    result = run("--project", planted.root, "--check")
    assert result.exit_code == 5
    assert result.output.splitlines() == [
        "docs/statements/notes.md: would be written",
        "docs/catalog/index.html: would be written",
    ]
    assert (planted.root / "docs/statements/notes.md").read_bytes() == before


def test_it_is_the_same_wherever_it_is_made(planted: Planted, tmp_path: Path) -> None:
    other = Planted(tmp_path / "elsewhere/notebook")
    other.statements(HOSTILE)
    for project in (planted, other):
        run("--project", project.root)
    for name in ("schema.md", "statements/README.md", "statements/notes.md", "catalog/index.html"):
        one, two = ((project.root / "docs" / name).read_bytes() for project in (planted, other))
        assert one == two
        assert str(tmp_path).encode() not in one
        assert b"\r" not in one


def test_another_output_folder(planted: Planted, tmp_path: Path) -> None:
    result = run("--project", planted.root, "--output", tmp_path / "site")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "site/catalog/index.html").read_text(encoding="utf-8")
    assert 'href="../../notebook/queries/notes.sql#L1"' in text
    assert not (planted.root / "docs").exists()


def test_hostile_text_stays_text(planted: Planted) -> None:
    run("--project", planted.root)
    text = (planted.root / "docs/catalog/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags["script"] == 2
    assert page.tags["img"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "alert(1)</script>" not in text
    shown = "".join(page.words)
    assert 'An author\'s notes </script><script>alert(1)</script> & "more".' in shown
    assert "'</code></pre></script><script>alert(\"3\")</script>'" in shown
    assert "because <b>&amp;" in shown
    markdown = (planted.root / "docs/statements/notes.md").read_text(encoding="utf-8")
    assert "&lt;/script>&lt;script>alert(1)" in markdown


def test_times_are_shown_where_they_were_measured(planted: Planted) -> None:
    document = {
        "command": "time-it <now>",
        "commit": "abc1234",
        "machine": "2 x CPU",
        "versions": {"SQLite": "3.40.1"},
        "rows": [10_000, 1_000_000],
        "statements": {
            "list_notes": {
                "always": {"10000": [12.3, 20.0, 31.0], "1000000": [1500.0, 2500.0, 9000.0]},
                "title": {"10000": [9.1, 9.9, 9.95]},
            },
            "authors": {"always": {"10000": [3.0, 4.0, 5.0]}},
        },
        "found_nothing": ["authors"],
        "not_timed": {"delete_author": "no rule makes a value for id"},
    }
    planted.put("perf/results/statement-times.json", json.dumps(document))
    assert run("--project", planted.root).exit_code == 0
    shown = "".join(Page((planted.root / "docs/catalog/index.html").read_text(encoding="utf-8")).words)
    assert "10,000 rows 12 µs p95 20 µs, p99 31 µs1,000,000 rows 1.5 ms p95 2.5 ms, p99 9.0 ms" in shown
    assert "10,000 rows 9.1 µs p95 9.9 µs" in shown
    assert "with arguments that find no row" in shown
    assert "Not timed: no rule makes a value for id" in shown
    assert "Not timeddelete_author" in shown  # the list at the end of the overview
    assert "time-it <now>" in shown
    markdown = (planted.root / "docs/statements/notes.md").read_text(encoding="utf-8")
    assert (
        "10,000 rows: p50 12 µs, p95 20 µs, p99 31 µs; 1,000,000 rows: p50 1.5 ms, p95 2.5 ms, p99 9.0 ms" in markdown
    )


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"statements": 1}'])
def test_a_file_that_holds_no_times_is_an_error(planted: Planted, text: str) -> None:
    planted.put("perf/results/statement-times.json", text)
    with (
        read_facts(find_project(planted.root)) as facts,
        pytest.raises(ProjectError, match="no file of measured times"),
    ):
        read_catalog(facts)


def test_plans_are_those_of_the_lock_file(planted: Planted) -> None:
    lock = {"engine": "sqlite 9.9.9", "statements": {"list_notes": {"plan": {"always": ["SEARCH notes BY MAGIC"]}}}}
    planted.put("sql/contract.lock.json", json.dumps(lock))
    with read_facts(find_project(planted.root)) as facts:
        catalog = read_catalog(facts)
    assert catalog.engine == "sqlite 9.9.9"
    page = next(one for one in catalog.statements if one.name == "list_notes")
    assert page.choices[0].plan == ("SEARCH notes BY MAGIC",)


def test_a_note_of_the_project_is_shown(planted: Planted) -> None:
    text = (planted.root / "pyproject.toml").read_text(encoding="utf-8")
    planted.put("pyproject.toml", text + '[tool.datastore.notes]\nnotes = "Kept for `ten` years & a day."\n')
    run("--project", planted.root)
    page = Page((planted.root / "docs/catalog/index.html").read_text(encoding="utf-8"))
    assert "Kept for ten years & a day." in "".join(page.words)
    planted.put("pyproject.toml", text + "[tool.datastore.notes]\nnotes = 1\n")
    result = run("--project", planted.root)
    assert result.exit_code == 1
    assert "notes is a table of" in result.output


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_comments_stand_above_or_behind() -> None:
    items = table_items(
        "CREATE TABLE notes (\n    -- the key,\n    -- of all\n    id INTEGER PRIMARY KEY,\n"
        "    title TEXT DEFAULT (lower('A,b')), -- shown, in lists\n    size INTEGER CHECK (size IN (1, 2)), /* bytes */\n"
        "    -- why\n    CONSTRAINT notes_title_check CHECK (length(title) < 9), -- and more\n    UNIQUE (title)\n) STRICT"
    )
    assert [(item.name, item.constraint, item.comment) for item in items] == [
        ("id", False, "the key, of all"),
        ("title", False, "shown, in lists"),
        ("size", False, "bytes"),
        ("notes_title_check", True, "why and more"),
        ("", True, ""),
    ]
    assert items[3].text == "CHECK (length(title) < 9)"
    assert items[1].text == "TEXT DEFAULT (lower('A,b'))"


def test_a_column_that_a_later_step_adds_has_its_comment(tmp_path: Path) -> None:
    step = tmp_path / "0002.sql"
    step.write_text(
        "-- How long it is, in bytes.\nALTER TABLE notes ADD COLUMN size INTEGER;\n\nCREATE INDEX i ON notes (id);\n"
    )
    assert object_comments([step]) == {"notes.size": "How long it is, in bytes.", "i": ""}


def links_of(names: dict[tuple[str, str], str]) -> Links:
    """Links to some things of a page, without the page."""
    links = Links.__new__(Links)
    links._ids, links.names = names, {name: id for (_, name), id in names.items()}
    return links


def test_sql_is_coloured_and_can_be_copied_whole() -> None:
    text = "SELECT a.id, '<&>' AS \"q\" -- why\nFROM notes AS a WHERE id = :id AND 1.5 > 1;"
    shown = links_of({("table", "notes"): "notes"}).sql(text)
    assert "".join(Page(shown).words) == text
    assert "<b>SELECT</b>" in shown
    assert '<a href="#notes">notes</a>' in shown
    assert '<i class="p">:id</i>' in shown


def test_only_what_is_plainly_a_name_is_linked_in_a_sentence() -> None:
    names = {("table", "messages"): "messages", ("statement", "get_message"): "get_message", ("column", "a.b"): "a.b"}
    assert links_of(names).prose("messages of get_message, a.b & `messages`") == (
        'messages of <a href="#get_message">get_message</a>, <a href="#a.b">a.b</a> &amp; '
        '<code><a href="#messages">messages</a></code>'
    )


def test_a_page_of_a_file_that_is_gone_is_removed(planted: Planted) -> None:
    planted.put("queries/people.sql", HOSTILE.replace("(id)", "_2(id)").replace("list_notes", "list_notes_2"))
    assert run("--project", planted.root).exit_code == 0
    (planted.root / "queries/people.sql").unlink()
    planted.put("docs/statements/mine.md", "somebody else's")
    result = run("--project", planted.root, "--check")
    assert "docs/statements/people.md: would be removed" in result.output.splitlines()
    run("--project", planted.root)
    assert sorted(path.name for path in (planted.root / "docs/statements").iterdir()) == [
        "README.md",
        "mine.md",
        "notes.md",
    ]


def test_the_schema_of_both_engines_is_shown(planted: Planted) -> None:
    step = """
-- Who writes.
CREATE TABLE authors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- As it is shown; "no" name is refused.
    name VARCHAR(200) COLLATE "C" NOT NULL DEFAULT 'n|o',
    CONSTRAINT authors_name_check CHECK (length(name) > 0)
);

CREATE TABLE gone (id BIGINT);

CREATE FUNCTION noise() RETURNS TRIGGER LANGUAGE plpgsql AS $body$
BEGIN
    CREATE TABLE not_a_table (id BIGINT);
END;
$body$;

-- Is noisy.
CREATE TRIGGER authors_noise
AFTER UPDATE OF name ON authors FOR EACH ROW EXECUTE FUNCTION noise();

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS authors_name_key ON authors (name) WHERE name <> '';
"""
    planted.put("migrations/postgresql/0001.notes.sql", step)
    planted.put(
        "migrations/postgresql/0002.more.sql", "ALTER TABLE authors ADD COLUMN age INTEGER;\nDROP TABLE gone;\n"
    )
    planted.put("migrations/postgresql/0002.more.rollback.sql", "DROP TABLE authors;\n")
    assert run("--project", planted.root).exit_code == 0
    text = (planted.root / "docs/schema.md").read_text(encoding="utf-8")
    assert "| `name` | TEXT | VARCHAR(200) | no |" in text
    assert "| `age` | none | INTEGER |" in text
    assert "On PostgreSQL instead:\n\n- `authors_name_check`: `CHECK (length(name) > 0)`\n" in text
    assert "- `authors_name_key`: `UNIQUE (name) WHERE name <> ''`" in text
    assert "Triggers on PostgreSQL:\n\n- `authors_noise`, AFTER UPDATE OF name: Is noisy.\n" in text
    assert "not_a_table" not in text
    assert "## gone" not in text
    notes = text.partition("## notes")[2]
    assert "On SQLite only." in notes


def test_what_postgresql_runs_is_shown_where_it_differs(planted: Planted) -> None:
    assert run("--project", planted.root).exit_code == 0
    assert "PostgreSQL" not in (planted.root / "docs/statements/notes.md").read_text(encoding="utf-8")
    other = """-- name: first_author()$
-- An author.
-- Index: authors primary key
-- Rows: 1
-- Differs: `<there>` it is otherwise
SELECT min(id) AS id FROM authors;
"""
    planted.put("queries/sqlite/library.sql", other)
    planted.put("queries/postgresql/library.sql", other.replace("min(id)", "max(author_of_another_kind)"))
    assert run("--project", planted.root).exit_code == 0
    markdown = (planted.root / "docs/statements/library.md").read_text(encoding="utf-8")
    assert "On PostgreSQL (`postgresql/library.sql`, line 1):" in markdown
    assert "SELECT max(author_of_another_kind) AS id FROM authors;" in markdown
    assert "- PostgreSQL: runs it as it is" in (planted.root / "docs/statements/notes.md").read_text(encoding="utf-8")
    shown = "".join(Page((planted.root / "docs/catalog/index.html").read_text(encoding="utf-8")).words)
    assert "author_of_another_kind" in shown
    assert "<there>" in shown
