"""The plans that were last accepted, one file per engine and version: a change is a diff in review."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from datastore.contract.plans import Plan
from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source

_NOTE = "# The plan of each statement, reduced. Written by `datastore check --update`; a change belongs into review.\n"


def snapshot_file(project: Project) -> Path:
    """The file for this version of the engine."""
    return project.root / project.plans / f"{project.engine}-{sqlite3.sqlite_version}.txt"


def write_snapshot(project: Project, plans: Mapping[str, Plan]) -> list[Path]:
    """Write the plans; the path if that changed anything."""
    path = snapshot_file(project)
    blocks = ("".join([f"\n{name}\n", *(f"    {line}\n" for line in _lines(plans[name]))]) for name in sorted(plans))
    text = _NOTE + "".join(blocks)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return [path]


def _lines(plan: Plan) -> tuple[str, ...]:
    return plan.lines or ("(none)",)


def check_snapshot(project: Project, plans: Mapping[str, Plan], sources: Mapping[str, Source]) -> Iterator[Problem]:
    """The plans that are not those of the file.

    Args:
        project: Whose file.
        plans: Of each statement (and each variant of one, ``name [if: x]``).
        sources: The statement that each of them is of.
    """
    path = snapshot_file(project)
    shown = project.show(path)
    blocks = re.findall(r"^([^\s#].*)\n((?:    .*\n)*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    before = {name: tuple(map(str.strip, lines.splitlines())) for name, lines in blocks}
    hint = f"if the new one is meant: datastore check --update   (it writes {shown})"
    for name, plan in plans.items():
        if before.get(name) != _lines(plan):
            message = (
                f"the plan is not the one in {shown}"
                if name in before
                else f"{shown} has no plan of this statement yet"
            )
            notes = (
                (f"was: {line}" for line in before.get(name, ()) if line != "(none)"),
                (f"now: {line}" for line in plan.lines),
            )
            lines = tuple(itertools.chain(*notes))
            yield Problem("plan", sources[name].name_place, message, hint, lines, sources[name].name, name)
