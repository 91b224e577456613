"""The import command: several files, archives, pipes, dry runs; what is not stored is named, and the exit code says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from datastore import Datastore
from tests.formats.samples import SAMPLES, gpt, gpt_node

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "datastore.cli", "import", "--sanitization-version", "1"]

CHAT = '{"id": "c", "messages": [{"role": "user", "content": "hi"}]}\n'


def run(
    *arguments: str, folder: Path, database: str = "a.db", data: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATASTORE_DATABASE": database},
        input=data,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_file_that_cannot_be_imported_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(CHAT)
    (tmp_path / "b.txt").write_text("hello\n")
    (tmp_path / "c.json").write_text(SAMPLES["chatgpt"])
    done = run("b.txt", "a.jsonl", "c.json", folder=tmp_path)
    assert done.returncode == 3
    assert "b.txt: unknown format" in done.stderr
    with Datastore.open(tmp_path / "a.db") as store:
        assert store.conversations.count() == 2


def test_one_file_of_no_known_format_makes_no_database(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("hello\n")
    assert run("b.txt", folder=tmp_path).returncode == 1
    assert not (tmp_path / "a.db").exists()


def test_an_archive_a_directory_and_standard_input(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.md").write_text("x")
    (folder / "a.jsonl").write_text(CHAT)
    with zipfile.ZipFile(folder / "export.zip", "w") as made:
        made.writestr("conversations.json", SAMPLES["claude-ai"])
        made.writestr("users.json", "[]")
    done = run("folder", "-", folder=tmp_path, data=SAMPLES["sharegpt"].encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert "folder/notes.md: not read (file that ends in .md)" in done.stdout
    assert "folder/export.zip/users.json: not read (users.json)" in done.stdout
    for data in ((folder / "export.zip").read_bytes(), SAMPLES["sharegpt"].encode()):
        again = run("-", folder=tmp_path, data=data)
        assert again.returncode == 0
        assert "0 conversations, 0 messages" in again.stdout
    with Datastore.open(tmp_path / "a.db") as store:
        assert store.conversations.count() == 3


@pytest.mark.parametrize("exists", [False, True])
def test_a_dry_run_says_what_would_be_stored_and_stores_nothing(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "a.json").write_text(json.dumps(gpt(gpt_node("r", None), gpt_node("u", "r", text="hi"))))
    edited = gpt(
        gpt_node("r", None),
        gpt_node("u", "r", text="hi"),
        gpt_node("v", "r", text="edited"),
        gpt_node("x", "v", "robot", "?"),
    )
    (tmp_path / "b.json").write_text(json.dumps(edited))
    if exists:
        assert run("a.json", folder=tmp_path).returncode == 0
    before = sorted(os.listdir(tmp_path))
    done = run("--dry-run", "a.json", "b.json", folder=tmp_path)
    assert done.returncode == 3
    stored = 0 if exists else 1
    assert f"a.json: {stored} conversations, {stored} messages, 0 learnings would be stored" in done.stdout
    assert (
        "b.json: 0 conversations, 1 messages, 0 learnings would be stored; 1 branches would begin; 2 unchanged"
        in done.stdout
    )
    assert "format chatgpt: the record on line 1: it has a mapping of messages" in done.stdout
    assert "b.json:1: message 3: the author's role" in done.stderr
    assert sorted(os.listdir(tmp_path)) == before
    if exists:
        with Datastore.open(tmp_path / "a.db") as store:
            assert [store.messages.count(), len(store.branches.list("g").items)] == [1, 1]


def test_invalid_bytes_are_refused_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(CHAT.encode().replace(b"hi", b"h\xff") + b"\0" * 9)
    done = run("a.jsonl", folder=tmp_path)
    assert done.returncode == 1
    assert "no record can be read: line 1: bytes that are not text" in done.stderr
    done = run("--format", "chat", "a.jsonl", folder=tmp_path)
    assert done.returncode == 3
    assert "a.jsonl:1: bytes that are not text" in done.stderr
    assert "9 NUL characters" in done.stderr
    done = run("--replace-invalid", "a.jsonl", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10 invalid characters replaced" in done.stdout


def test_an_unknown_format_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(CHAT)
    done = run("--format", "csv", "a.jsonl", folder=tmp_path)
    assert done.returncode == 2
    assert "claude-code" in done.stderr
