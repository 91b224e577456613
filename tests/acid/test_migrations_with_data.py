"""Migrations on tables that hold something: each step goes down and up again, and what should survive does.

hypothesis fills the tables through the library. A step whose rollback says "LOSES DATA" in its first line may lose the
tables that it made, and no other row; the others lose nothing. A table that is rebuilt keeps the rows that refer to it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st

from datastore import Datastore, NewMessage, migrations
from datastore.resources import migrations_folder
from tests.acid.invariants import violations
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

BODY = "tests.acid.test_migrations_with_data:explore"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)
conversations = st.lists(
    st.tuples(texts, st.lists(texts, max_size=4), st.lists(st.tuples(texts, st.booleans()), max_size=3), st.booleans()),
    min_size=1,
    max_size=4,
)

#: Rebuilds a table the way that SQLite's documentation tells: the rows that refer to it must not go with it.
REBUILD = """-- depends: {last}
CREATE TABLE rebuilt AS SELECT * FROM conversations;
DELETE FROM conversations;
INSERT INTO conversations SELECT * FROM rebuilt;
DROP TABLE rebuilt;
"""


def fill(path: Path, what: list[Any]) -> None:
    """Rows in every table."""
    with Datastore.open(path, durability="relaxed") as store:
        for number, (title, messages, learnings, hidden) in enumerate(what):
            id = store.conversations.add(title=title, sanitization_version="1", metadata={"t": title}).id
            store.messages.append_many(id, [NewMessage(role="user", content=text) for text in messages])
            store.redactions.add(
                id, category="c", rule="r", detector="d", original_hash="0" * 16, replacement="x", confidence=0.5
            )
            for text, uploaded in learnings:
                sources = [message.id for message in store.messages.list(id)]
                learning = store.learnings.add(
                    conversation_id=id, category="c", title=text, content=text, tags=["a"], message_ids=sources
                )
                if uploaded:
                    store.uploads.add(learning.id, "there")
            store.jobs.enqueue("work", {"n": number})
            store.jobs.claim(["work"], worker="w")
            if hidden:
                store.conversations.soft_delete(id)


def tables(path: Path) -> dict[str, dict[str, list[Any]]]:
    """Table to column to values, without what SQLite and yoyo keep for themselves and the full-text indexes, which
    are made from the rows."""
    query = """
        SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name NOT LIKE '%yoyo%' AND name NOT LIKE 'sqlite_%' ORDER BY name
    """
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute(query).fetchall()]
        found = {}
        for table in names:
            cursor = connection.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            rows = sorted(cursor.fetchall(), key=repr)
            found[table] = {name: [row[n] for row in rows] for n, name in enumerate(columns)}
        return found


def check(path: Path, report: Report) -> None:
    """Every step of a filled database down and up again, the newest first; what the audit step destroys is given up."""
    os.environ["DATASTORE_ROLLBACK"] = "destroy"  # of this suite's own process
    ids = migrations.migration_ids(migrations_folder())
    for id in reversed(ids[1:]):  # the first step's rollback leaves no table
        before = tables(path)
        migrations.rollback(path)
        after = tables(path)
        loses = "LOSES DATA" in (migrations_folder() / f"{id}.rollback.sql").read_text(encoding="utf-8").split("\n")[0]
        if not loses and set(before) != set(after):
            report.found("lost rows", f"rollback of {id} takes tables away and does not say so")
        _same(before, after, f"rollback of {id}", report)
        _indexes(path, f"rollback of {id}", report)
    for id in ids[1:]:
        before = tables(path)
        if migrations.apply(path, _only_up_to(path, id)) != [id]:
            report.found("inapplicable schema", f"{id} does not apply again")
        _same(before, tables(path), f"{id} applied again", report)
        _indexes(path, f"{id} applied again", report)
        report.counts["steps"] += 2
    with Datastore.open(path) as store:  # the rows are indexed by the application, not by the step
        store.reindex()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        report.extend(violations(connection), "after all steps: ")


def _indexes(path: Path, what: str, report: Report) -> None:
    # Whatever full-text indexes there are at this step say what the tables say.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5 (%'")
        for (name,) in found.fetchall():
            try:
                connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
            except sqlite3.DatabaseError as error:
                report.found("full-text drift", f"{what}: {name}: {error}")


def _same(before: dict[str, Any], after: dict[str, Any], what: str, report: Report) -> None:
    for table in before.keys() & after.keys():
        for column in before[table].keys() & after[table].keys():
            if before[table][column] != after[table][column]:
                report.found("lost rows", f"{what}: {table}.{column} differs")


def _only_up_to(path: Path, id: str) -> Path:
    """A folder of the migrations up to *id*."""
    folder = path.parent / f"to-{id}"
    if not folder.exists():
        folder.mkdir()
        for name in migrations.migration_ids(migrations_folder()):
            if name <= id:
                shutil.copy(migrations_folder() / f"{name}.sql", folder)
                shutil.copy(migrations_folder() / f"{name}.rollback.sql", folder)
    return folder


def rebuild(path: Path, report: Report) -> None:
    """A migration that rebuilds *conversations*."""
    ids = migrations.migration_ids(migrations_folder())
    folder = _only_up_to(path, ids[-1])
    (folder / "9000.rebuild.sql").write_text(REBUILD.format(last=ids[-1]), encoding="utf-8")
    before = tables(path)
    migrations.apply(path, folder)
    _same(before, tables(path), "a rebuilt table", report)


def explore(*, seed: int, folder: Path, examples: int) -> Report:
    """So many fillings."""
    report = Report()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(what=conversations)
    def run(what: list[Any]) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = new_database(Path(place))
            fill(path, what)
            check(path, report)
            rebuild(path, report)
            report.counts["fillings"] += 1

    run()
    return report


def test_filled_tables_go_down_and_up() -> None:
    report = assert_healthy("migrations with data", BODY, examples=2)
    assert report.counts["steps"] > 5


@reds(
    Red("full-text index not filled again", "full-text drift"),
    Red("migrations with foreign keys on", "lost rows"),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("migrations with data", BODY, red, examples=4)
