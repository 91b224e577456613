"""A small project of somebody else's, with mistakes planted in it."""

from __future__ import annotations

import re
from pathlib import Path

from datastore.contract.check import Report, check
from datastore.contract.project import find_project

PYPROJECT = """\
[project]
name = "notebook"

[tool.datastore]
statements = "queries"
migrations = "schema"
repositories = "notebook"
records = "notebook.records"
plans = "plans"
"""

STEP = """\
CREATE TABLE authors (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    author_id INTEGER NOT NULL,
    title TEXT NOT NULL,
    body TEXT,
    created_at TEXT NOT NULL,
    CONSTRAINT notes_author_id_fkey FOREIGN KEY (author_id) REFERENCES authors (id)
) STRICT;

CREATE INDEX notes_author_id_idx ON notes (author_id, created_at, id);
"""

UNDO = """\
DROP TABLE notes;

DROP TABLE authors;
"""


class Planted:
    """The project: `put` a file, `check` it all, see what is said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put("pyproject.toml", PYPROJECT)
        self.put("schema/0001.notes.sql", STEP)
        self.put("schema/0001.notes.rollback.sql", UNDO)

    def put(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a part of a file, which must be there."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.put(name, text.replace(old, new))

    def allow(self, what: str, reason: str) -> None:
        """Waive a rule in the project's table."""
        text = (self.root / "pyproject.toml").read_text(encoding="utf-8")
        header = "" if "[tool.datastore.allow]" in text else "[tool.datastore.allow]\n"
        self.put("pyproject.toml", f'{text}{header}"{what}" = "{reason}"\n')

    def statements(self, text: str) -> None:
        """The project's statements, all of which its repository calls."""
        self.put("queries/notes.sql", text)
        calls = "".join(f"    statements.{name}()\n" for name in re.findall(r"(?m)^-- name: (\w+)", text))
        self.put("notebook/repository.py", f"def use(statements):\n{calls}")

    def check(self, **options: object) -> Report:
        """What the check finds."""
        return check(find_project(self.root), **options)  # type: ignore[arg-type]

    def said(self, **options: object) -> str:
        """What the check says of the problems, as the command prints it."""
        return "\n\n".join(problem.render() for problem in self.check(**options).problems)
