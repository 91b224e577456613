"""The plans that were last accepted, one file per engine and version: a change is a diff in review."""

from __future__ import annotations

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


def write_snapshot(project: Project, plans: Mapping[str, Plan]) -> Path | None:
    """Write the plans; the path if that changed anything."""
    path, text = snapshot_file(project), render(plans)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def render(plans: Mapping[str, Plan]) -> str:
    """The plans as the file has them."""
    blocks = (
        "\n".join([name, *(f"    {line}" for line in plans[name].lines or ("(none)",))]) for name in sorted(plans)
    )
    return _NOTE + "".join(f"\n{block}\n" for block in blocks)


def read_snapshot(path: Path) -> dict[str, tuple[str, ...]]:
    """Statement to the lines of its plan."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[name] += [] if line.strip() == "(none)" else [line.strip()]
        elif line and not line.startswith("#"):
            name = line
            found[name] = []
    return {key: tuple(lines) for key, lines in found.items()}


def check_snapshot(project: Project, plans: Mapping[str, Plan], sources: Mapping[str, Source]) -> Iterator[Problem]:
    """The plans that are not those of the file; a version without a file is not checked.

    Args:
        plans: Of each statement (and each variant of one, ``name [if: x]``).
        sources: The statement that each of them is of.
    """
    path = snapshot_file(project)
    if not path.is_file():
        return
    before = read_snapshot(path)
    hint = f"if the new one is meant: datastore check --update   (it writes {project.show(path)})"
    for name, plan in plans.items():
        if name not in before:
            message = f"{project.show(path)} has no plan of this statement yet"
        elif before[name] != plan.lines:
            message = f"the plan is not the one in {project.show(path)}"
        else:
            continue
        was = (f"was: {line}" for line in before.get(name, ()))
        now = (f"now: {line}" for line in plan.lines)
        source = sources[name]
        yield Problem("plan", source.name_place, message, hint, (*was, *now), statement=source.name, subject=name)
