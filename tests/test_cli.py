"""The command line: every command on the sample, exit codes, JSON, and no database made by accident."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datastore import Datastore
from datastore.cli.admin import has_wal_reset_bug
from datastore.cli.commands import cli
from datastore.resources import migrations_folder, sample_folder
from tests.conftest import until

Run = Callable[..., Result]

#: What reads; none of these may make a database.
READERS = (
    ["search", "index"],
    ["show", "sample-001"],
    ["stats"],
    ["jobs"],
    ["status"],
    ["verify"],
    ["export"],
    ["vacuum"],
    ["purge", "--deleted-before", "2026-01-01T00:00:00Z"],
)


def run(*arguments: str, database: Path | None = None) -> Result:
    environment = {"DATASTORE_DATABASE": None if database is None else str(database)}
    return CliRunner().invoke(cli, list(arguments), env=environment, prog_name="datastore")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the sample, made by the command itself."""
    path = tmp_path_factory.mktemp("cli") / "app.db"
    files = [str(sample_folder() / name) for name in ("conversations.jsonl", "learnings.jsonl")]
    result = run("import", *files, "--sanitization-version", "1", database=path)
    assert result.exit_code == 0, result.output
    assert "64 conversations" in result.stdout or "conversations" in result.stdout
    return path


def test_import_again_stores_nothing(sample: Path) -> None:
    file = str(sample_folder() / "conversations.jsonl")
    result = run("import", file, "--sanitization-version", "1", "--database", str(sample))
    assert result.exit_code == 0
    assert "0 conversations, 0 messages, 0 learnings stored" in result.stdout


def test_import_names_bad_lines_and_exits_3(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text('{"id": "a", "messages": [{"role": "user", "content": "x"}]}\nnonsense\n')
    database = tmp_path / "app.db"
    result = run("import", str(file), "--sanitization-version", "1", database=database)
    assert result.exit_code == 3
    assert f"{file}:2: " in result.stderr
    assert "1 bad lines" in result.stdout
    with Datastore.open(database) as store:
        assert store.messages.count("a") == 1


def test_import_maps_fields(tmp_path: Path) -> None:
    file = tmp_path / "til.jsonl"
    file.write_text('{"title": "A", "content": "B", "topic": "git"}\n')
    database = tmp_path / "app.db"
    result = run(
        "import",
        str(file),
        "--sanitization-version",
        "1",
        "--fields",
        "category=topic",
        "--database",
        f"sqlite:///{database}",
    )
    assert result.exit_code == 0, result.output
    found = json.loads(run("search", "--category", "git", "--json", database=database).stdout)["hits"]
    assert [hit["learning"]["title"] for hit in found] == ["A"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "FILE"],
        ["import", "FILE", "--sanitization-version", ""],
        ["import", "FILE", "--sanitization-version", "1", "--fields", "nonsense"],
        ["import", "FILE", "--sanitization-version", "1", "--fields", "colour=x"],
        ["import", "missing.jsonl", "--sanitization-version", "1"],
        ["search", "--min-confidence", "2"],
        ["search", "--max-rows", "0"],
        ["purge"],
        ["purge", "--deleted-before", "yesterday"],
        ["purge", "--deleted-before", "2026-01-01T00:00:00"],
        ["show"],
        ["nonsense"],
    ],
)
def test_wrong_use_exits_2(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text("")
    result = run(*(str(file) if word == "FILE" else word for word in arguments), database=tmp_path / "app.db")
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "app.db").exists()


def test_a_database_is_required() -> None:
    result = run("stats")
    assert result.exit_code == 2
    assert "--database" in result.stderr


def test_an_unknown_format_makes_no_database(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("hello\n")
    result = run("import", str(file), "--sanitization-version", "1", database=tmp_path / "app.db")
    assert result.exit_code == 1
    assert not (tmp_path / "app.db").exists()


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_a_missing_database_is_an_error_and_not_made(arguments: list[str], tmp_path: Path) -> None:
    result = run(*arguments, database=tmp_path / "app.db")
    assert result.exit_code == 1
    assert result.stderr.startswith("datastore: there is no database at")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_every_command_runs_on_the_sample(arguments: list[str], sample: Path) -> None:
    result = run(*arguments, database=sample)
    assert result.exit_code == 0, result.output
    assert "\t" not in result.stdout.replace("\\t", "") or arguments[0] == "show"


@pytest.mark.parametrize("arguments", READERS[:6], ids=lambda arguments: arguments[0])
def test_json_parses(arguments: list[str], sample: Path) -> None:
    result = run(*arguments, "--json", database=sample)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) is not None


def test_search_filters(sample: Path) -> None:
    def found(*arguments: str) -> list[dict[str, Any]]:
        page = json.loads(run("search", "--json", "--max-rows", "1000", *arguments, database=sample).stdout)
        assert page["exact"]
        return [hit["learning"] for hit in page["hits"]]

    everything = found()
    assert len(everything) > 20
    tags = everything[0]["tags"][:2]
    options = [word for tag in tags for word in ("--tags-any", tag)]
    assert all(set(tags) & set(hit["tags"]) for hit in found(*options))
    both = found(*(word for tag in tags for word in ("--tags-all", tag)))
    assert both
    assert all(set(tags) <= set(hit["tags"]) for hit in both)
    assert all(hit["confidence"] >= 0.9 for hit in found("--min-confidence", "0.9"))
    assert run("search", 'AND ( " * NEAR', database=sample).exit_code == 0
    assert run("search", "zzzzqqqq", database=sample).stdout == ""


def test_search_shows_marks_facets_and_pages(sample: Path) -> None:
    page = json.loads(run("search", "index", "--json", "--facets", "--max-rows", "1", database=sample).stdout)
    (hit,) = page["hits"]
    assert "**" in hit["title"] + hit["snippet"]
    assert hit["terms"] == ["index"]
    assert sum(count for _, count in page["facets"]["categories"]) == page["facets"]["counted"] > 1
    after = json.loads(
        run("search", "index", "--json", "--max-rows", "1", "--after", page["next"], database=sample).stdout
    )
    assert after["hits"][0]["learning"]["id"] != hit["learning"]["id"]
    text = run("search", "index", "--facets", database=sample).stdout
    assert "category  " in text
    assert not {"\x0e", "\x0f"} & set(text)


def test_search_in_messages(sample: Path) -> None:
    page = json.loads(run("search", "--messages", "--role", "user", "index", "--json", database=sample).stdout)
    assert page["hits"]
    assert {hit["message"]["role"] for hit in page["hits"]} == {"user"}
    assert run("search", "--messages", "--category", "x", "index", database=sample).exit_code == 2
    assert run("search", "--role", "user", "index", database=sample).exit_code == 2
    misspelt = run("search", "indxe", database=sample)
    assert "did you mean: index" in misspelt.stderr


def test_reindex_says_how_far_it_is(sample: Path) -> None:
    before = run("search", "index", database=sample).stdout
    done = run("reindex", database=sample)
    assert (done.exit_code, done.stdout) == (0, "reindexed\n")
    assert run("search", "index", database=sample).stdout == before
    assert run("verify", database=sample).exit_code == 0


def test_show_names_the_branches(sample: Path) -> None:
    with Datastore.open(sample) as store:
        first, second, *_ = store.messages.list("sample-001")
        store.branches.fork("sample-001", position=1, label="an\x1bother")
        store.messages.begin("sample-001", content="said instead")
    shown = run("show", "sample-001", database=sample).stdout
    assert "branch 0\nbranch 1 (active), after 1 of branch 0: an" in shown
    assert "2 assistant (partial)\nsaid instead" in shown
    assert "\x1b" not in shown
    assert second.content not in shown
    document = json.loads(run("show", "sample-001", "--branch", "0", "--json", database=sample).stdout)
    assert [one["label"] for one in document["branches"]] == [None, "an\x1bother"]
    assert [one["id"] for one in document["messages"]][:2] == [first.id, second.id]
    assert run("show", "sample-001", "--branch", "2", database=sample).exit_code == 1


def test_show(sample: Path) -> None:
    shown = run("show", "sample-001", database=sample).stdout
    assert "sample-001" in shown
    learning = json.loads(run("search", "index", "--json", database=sample).stdout)["hits"][0]["learning"]
    assert learning["title"] in run("show", learning["id"], database=sample).stdout
    missing = run("show", "nonsense", database=sample)
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)


def test_stored_control_characters_do_not_reach_the_terminal(store: Datastore, path: Path) -> None:
    conversation = store.conversations.add(sanitization_version="1", title="a\x1b[31mb")
    store.messages.append(conversation.id, role="user", content="c\x1b]0;title\x07d")
    assert not {"\x1b", "\x07"} & set(run("show", conversation.id, database=path).stdout)


def test_jobs_and_stats(store: Datastore, path: Path) -> None:
    store.jobs.enqueue("index")
    store.jobs.enqueue("index")
    (count,) = json.loads(run("jobs", "--json", database=path).stdout)["counts"]
    assert (count["type"], count["status"], count["count"]) == ("index", "queued", 2)
    assert run("jobs", database=path).stdout.splitlines()[1].split()[:3] == ["index", "queued", "2"]
    assert json.loads(run("stats", "--json", database=path).stdout)["jobs"] == 2


def test_export_and_import_are_lossless(sample: Path, tmp_path: Path) -> None:
    first = tmp_path / "one.jsonl.gz"
    assert run("export", "--output", str(first), database=sample).exit_code == 0
    assert list(tmp_path.iterdir()) == [first]
    other = tmp_path / "other.db"
    assert run("import", str(first), "--sanitization-version", "9", database=other).exit_code == 0
    with gzip.open(first, "rt", encoding="utf-8") as stream:
        assert stream.read() == run("export", database=other).stdout


def test_export_into_a_missing_folder(sample: Path, tmp_path: Path) -> None:
    result = run("export", "--output", str(tmp_path / "no" / "x.jsonl"), database=sample)
    assert result.exit_code == 1
    assert result.stderr.startswith("datastore: ")


def test_status_of_an_old_schema(path: Path, raw: sqlite3.Connection) -> None:
    raw.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0003.audit'")
    status = json.loads(run("status", "--json", database=path).stdout)
    assert status["pending"] == ["0003.audit"]
    assert "yoyo apply" in run("status", database=path).stdout
    refused = run("stats", database=path)
    assert refused.exit_code == 1
    assert "yoyo apply" in refused.stderr


def test_status_of_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
    connection.close()
    assert run("status", database=path).exit_code == 1


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
    ],
)
def test_which_sqlite_has_the_bug(version: tuple[int, ...], affected: bool) -> None:
    assert has_wal_reset_bug(version) is affected


@pytest.mark.parametrize(
    ("check", "damage"),
    [
        ("foreign keys", ["PRAGMA foreign_keys = OFF", "DELETE FROM conversations"]),
        (
            "full-text index",
            ["UPDATE learnings_fts_content SET c1 = 'other'"],
        ),
        ("searchable rows", ["UPDATE learnings SET title = 'other'"]),
        ("message counts", ["UPDATE conversations SET message_count = 7"]),
        ("job counts", ["INSERT INTO job_counts (type, status, job_count) VALUES ('t', 'stored', 1)"]),
        (
            "tags",
            ["INSERT INTO learning_tags (tag, created_at, learning_id) SELECT 'x', created_at, id FROM learnings"],
        ),
        ("content hashes", ["UPDATE messages SET content = 'another'"]),
        ("audit chain", ["DROP TRIGGER audit_log_append_only_update", "UPDATE audit_log SET actor = 'nobody'"]),
    ],
)
def test_verify_finds(
    check: str, damage: list[str], store: Datastore, learning: object, path: Path, raw: sqlite3.Connection
) -> None:
    spare = store.conversations.add(sanitization_version="1")
    store.conversations.delete(spare.id)
    said = store.conversations.add(sanitization_version="1")
    store.messages.append(said.id, role="user", content="said")
    assert run("verify", database=path).exit_code == 0
    for statement in damage:
        raw.execute(statement)
    result = run("verify", "--json", database=path)
    assert result.exit_code == 4
    report = json.loads(result.stdout)
    assert not report["ok"]
    assert report["checks"][check]
    assert run("verify", database=path).exit_code == 4


def test_verify_finds_a_damaged_page(sample: Path, tmp_path: Path) -> None:
    data = bytearray(sample.read_bytes())
    for start in range(20 * 4096, len(data), 4096):
        data[start : start + 200] = b"\xff" * 200
    path = tmp_path / "damaged.db"
    path.write_bytes(data)
    assert run("verify", database=path).exit_code == 4


def test_purge_and_vacuum(store: Datastore, path: Path) -> None:
    conversation = store.conversations.add(sanitization_version="1")
    for _ in range(50):
        store.messages.append(conversation.id, role="user", content="x" * 20_000)
    store.conversations.soft_delete(conversation.id)
    assert run("purge", "--deleted-before", "2020-01-01T00:00:00Z", database=path).stdout.startswith("0 ")
    assert run("purge", "--deleted-before", "2030-01-01T00:00:00Z", database=path).stdout.startswith("1 ")
    before = json.loads(run("status", "--json", database=path).stdout)["free_pages"]
    assert before > 100
    assert run("vacuum", database=path).exit_code == 0
    assert json.loads(run("status", "--json", database=path).stdout)["free_pages"] == 0


def test_migrations_prints_the_folder() -> None:
    assert run("migrations").stdout == f"{migrations_folder()}\n"


def test_help_documents_the_exit_codes() -> None:
    shown = run("--help").stdout
    assert all(f"\n    {code} " in shown for code in (0, 1, 2, 3, 4, 130))


COMMAND = [sys.executable, "-m", "datastore.cli"]
ROOT = Path(__file__).resolve().parents[1]


def test_a_reader_that_has_enough_is_no_error(sample: Path) -> None:
    program = subprocess.Popen(
        [*COMMAND, "export", "--database", str(sample)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.read(10)
    program.stdout.close()
    errors = program.stderr.read()
    assert (program.wait(timeout=30), errors) == (0, b"")
    program.stderr.close()


def test_ctrl_c_exits_130_without_a_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "slow.jsonl"
    os.mkfifo(fifo)
    command = [*COMMAND, "import", str(fifo), "--format", "chat", "--sanitization-version", "1"]
    program = subprocess.Popen(
        [*command, "--database", str(tmp_path / "app.db")], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    writers: list[int] = []

    def is_reading() -> bool:
        with suppress(OSError):  # ENXIO: nobody reads yet
            writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    until(is_reading)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    os.close(writers[0])
    assert program.returncode == 130
    assert b"Traceback" not in errors


def test_help_loads_neither_rich_nor_sqlite() -> None:
    program = (
        "import sys\nfrom datastore.cli import main\nsys.argv = ['datastore', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'rich', 'aiosql', 'yoyo'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stderr.strip() == "[]"
