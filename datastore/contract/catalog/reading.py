"""Reads the model of the pages from a project's facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datastore.contract import lock
from datastore.contract.callers import find_callers
from datastore.contract.catalog.model import Catalog, Choice, OnServer, StatementPage
from datastore.contract.catalog.server_schema import read_server_tables
from datastore.contract.catalog.tables import read_tables
from datastore.contract.catalog.times import Recorded, read_times
from datastore.contract.facts import ProjectFacts, StatementFacts
from datastore.contract.project import Project
from datastore.contract.touches import Touches, read_touches
from datastore.statements.loader import Statement, read_statements


def read_catalog(facts: ProjectFacts) -> Catalog:
    """Everything that the pages of a project show.

    Raises:
        ProjectError: The lock file or the file of times is not one.
    """
    project = facts.project
    touches = read_touches(facts)
    recorded = read_times(project)
    locked = lock.read(project.root / project.lock)
    package = project.root / project.repositories
    callers = find_callers({*facts.statements}, package, project.root / project.output) if package.is_dir() else {}
    server = _server(project)
    statements = tuple(
        _statement(one, touches, callers.get(name, []), locked, recorded, _on_server(server, name, one))
        for name, one in facts.statements.items()
    )
    return Catalog(
        project=project,
        title=_title(project),
        engine=str(locked.get("engine") or lock.engine_name(project)),
        statements=statements,
        tables=read_tables(facts, touches, statements),
        steps={step.id: project.show(step.path) for step in facts.migrated.steps},
        measured=recorded.measured,
        server=read_server_tables(_server_steps(project)),
    )


def _server(project: Project) -> Mapping[str, Statement] | None:
    """The statements as they run on PostgreSQL; None for a project without a folder of them."""
    folder = project.statements_folder
    return read_statements(folder, "postgresql") if (folder / "postgresql").is_dir() else None


def _server_steps(project: Project) -> list[Path]:
    folders = [folder for folder in project.server_migration_folders if folder.is_dir()]
    every = [path for folder in folders for path in sorted(folder.glob("*.sql"))]
    return [path for path in every if not path.name.endswith(".rollback.sql")]


def _on_server(server: Mapping[str, Statement] | None, name: str, one: StatementFacts) -> OnServer:
    if server is None:
        return None
    if name not in server:
        return "none"
    return "shared" if server[name].file == one.statement.file else server[name]


def _title(project: Project) -> str:
    """The project's name, as pyproject.toml has it; else its folder's."""
    text = (project.root / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^\[project\]\s*$.*?^name\s*=\s*[\"']([^\"'\n]+)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else project.root.name


def _statement(
    one: StatementFacts,
    touches: Touches,
    callers: Sequence[str],
    locked: Mapping[str, Any],
    recorded: Recorded,
    server: OnServer,
) -> StatementPage:
    header, name = one.statement.header, one.source.name
    plans = locked["statements"].get(name, {}).get("plan", {})
    choices = []
    for variant, plan in zip(one.variants, one.plans, strict=True):
        # Of the version that the lock file was written with: the pages do not change with the machine.
        lines = plans.get(variant.which or "always")
        choices.append(
            Choice(
                which=variant.which,
                index=header.index_for(variant.given),
                plan=plan.lines if lines is None else tuple(lines),
                times=recorded.times.get(name, {}).get(variant.which or "always", {}),
            )
        )
    return StatementPage(
        facts=one,
        choices=tuple(choices),
        touches=touches.statements[name],
        fires=touches.fires[name],
        callers=tuple(callers),
        server=server,
        not_timed=recorded.refused.get(name, ""),
        found_nothing=name in recorded.found_nothing,
    )
