"""The commands about backups and upkeep."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datastore import Conversation, Datastore
from datastore.cli.commands import cli


def run(*arguments: str, database: Path) -> Result:
    return CliRunner().invoke(cli, list(arguments), env={"DATASTORE_DATABASE": str(database)}, prog_name="datastore")


def test_backup_list_verify_restore(store: Datastore, conversation: Conversation, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    made = [json.loads(run("backup", str(folder), "--json", database=path).stdout)["backup"] for _ in range(2)]
    last = run("backup", str(folder), "--keep", "2", database=path)
    assert last.exit_code == 0
    assert f"removed {made[0]['path']}" in last.stdout
    listed = json.loads(run("backups", "--json", database=path).stdout)
    assert len(listed) == 2
    assert listed[1] == made[1]
    assert run("verify", "--backup", made[1]["path"], database=path).exit_code == 0
    assert run("verify", "--backup", made[0]["path"], database=path).exit_code == 1
    store.conversations.delete(conversation.id)
    refused = run("restore", made[1]["path"], database=path)
    assert refused.exit_code == 1
    assert "in use" in refused.stderr
    store.close()
    assert run("restore", made[1]["path"], database=path).stdout.startswith("restored, verified")
    with Datastore.open(path) as again:
        assert again.conversations.get(conversation.id) == conversation


def test_verify_of_a_changed_backup_exits_4(store: Datastore, path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert run("backup", str(copy), database=path).exit_code == 0
    copy.write_bytes(copy.read_bytes()[:-1])
    assert run("verify", "--backup", str(copy), database=path).exit_code == 4


def test_the_mark_is_written_and_held_against_the_log(
    store: Datastore, conversation: Conversation, path: Path, raw: sqlite3.Connection, tmp_path: Path
) -> None:
    mark = tmp_path / "mark.json"
    store.conversations.soft_delete(conversation.id)
    assert run("verify", "--mark", str(mark), database=path).exit_code == 0
    assert json.loads(mark.read_text())["audit_id"] == 1
    store.conversations.restore(conversation.id)
    assert run("verify", "--mark", str(mark), database=path).exit_code == 0
    assert json.loads(mark.read_text())["audit_id"] == 2
    raw.execute("DROP TRIGGER audit_log_append_only_delete")
    raw.execute("DELETE FROM audit_log WHERE id = 2")
    raw.execute("DROP TRIGGER audit_log_counter_forward")
    raw.execute("UPDATE audit_log_counter SET last_id = 1")
    assert run("verify", database=path).exit_code == 0
    result = run("verify", "--mark", str(mark), database=path)
    assert result.exit_code == 4
    assert "audit entry 2 is missing" in result.stdout
    assert json.loads(mark.read_text())["audit_id"] == 2


@pytest.mark.parametrize("content", ["", "[]", '{"audit_id": "1", "audit_hash": ""}'])
def test_a_file_that_is_no_mark(content: str, store: Datastore, path: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark.json"
    mark.write_text(content)
    assert run("verify", "--mark", str(mark), database=path).exit_code == 2
