"""An import that is killed, and then repeated: nothing is lost, and nothing is stored twice."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, export, import_file
from tests.formats.samples import code, gpt, gpt_node, lines

ROOT = Path(__file__).resolve().parents[1]

IMPORT = """
import sys
from datastore import Datastore, import_file
with Datastore.open(sys.argv[1]) as store:
    print("begun", flush=True)
    for file in sys.argv[2:]:
        import_file(store, file, sanitization_version="1")
print("done", flush=True)
"""


def files(folder: Path) -> list[Path]:
    """A transcript of several pieces with a rewind, and trees with regenerated answers."""
    records: list[dict[str, Any]] = [code("user", "0", "begin")]
    for number in range(1, 1_600):
        parent = str(number - 3) if number % 50 == 0 else str(number - 1)
        records.append(
            code(
                *(
                    ("user", str(number), f"q{number}")
                    if number % 2
                    else ("assistant", str(number), [{"type": "text", "text": f"a{number}"}])
                ),
                parent,
            )
        )
    (folder / "a.jsonl").write_text(lines(*records))
    trees = []
    for number in range(100):
        nodes = [gpt_node("r", None), gpt_node("u", "r", text=f"hi {number}")]
        nodes += [gpt_node(f"a{turn}", "u", "assistant", f"yes {turn}") for turn in range(5)]
        trees.append(gpt(*nodes, id=f"t{number}"))
    (folder / "b.json").write_text(json.dumps(trees))
    return [folder / "a.jsonl", folder / "b.json"]


def what(store: Datastore) -> list[Any]:
    """All that is stored, without generated ids and the times of forks."""
    stream = io.StringIO()
    export(store, stream)
    found = []
    for line in stream.getvalue().splitlines():
        data = json.loads(line)
        branches = [
            {key: branch[key] for key in ("branch", "parent_branch", "fork_position", "last_position")}
            for branch in data.get("branches", ())
        ]
        said = [(m.get("branch"), m["position"], m["content"], m.get("source_id")) for m in data["messages"]]
        found.append((data["id"], data.get("active_branch"), branches, said))
    return sorted(found, key=repr)


def killed(tmp_path: Path, points: int) -> None:
    sources = files(tmp_path)
    with Datastore.open(tmp_path / "whole.db", migrate=True) as store:
        begin = time.monotonic()
        for file in sources:
            import_file(store, file, sanitization_version="1")
        length = time.monotonic() - begin
        expected = what(store)
    interrupted = 0
    for point in range(points):
        database = tmp_path / f"{point}.db"
        Datastore.open(database, migrate=True).close()
        program = subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(database), *map(str, sources)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        time.sleep(length * (point + random.Random(point).random()) / points)
        program.send_signal(signal.SIGKILL)
        interrupted += "done" not in program.stdout.read()
        program.wait(timeout=60)
        with Datastore.open(database) as store:
            for file in sources:
                assert import_file(store, file, sanitization_version="1").bad == []
            assert what(store) == expected
            assert not any(store.verify().values())
            assert import_file(store, sources[0], sanitization_version="1").messages == 0
        database.unlink()
    assert interrupted > points // 3


def test_an_import_that_was_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    killed(tmp_path, 2)


@pytest.mark.long
def test_an_import_that_was_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    killed(tmp_path, 60)
