"""Reads the model of the pages from a project's facts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from datastore.contract import lock
from datastore.contract.callers import find_callers
from datastore.contract.catalog.model import Catalog, Choice, OnServer, StatementPage
from datastore.contract.catalog.server_schema import read_server_tables
from datastore.contract.catalog.tables import read_tables
from datastore.contract.catalog.times import Measured, read_times
from datastore.contract.facts import ProjectFacts, StatementFacts
from datastore.contract.project import FILE, Project
from datastore.contract.touches import read_touches
from datastore.statements.loader import Statement, read_statements


def read_catalog(facts: ProjectFacts) -> Catalog:
    """Everything that the pages of a project show.

    Raises:
        ProjectError: The lock file or the file of times is not one.
    """
    project = facts.project
    touches, measured = read_touches(facts), read_times(project)
    locked = lock.read(project.root / project.lock)
    callers = find_callers({*facts.statements}, project)
    server = _server_statements(project)
    statements = tuple(
        StatementPage(
            facts=one,
            # Of the version that the lock file was written with: the pages do not change with the machine.
            choices=tuple(_choices(one, locked["statements"].get(name, {}).get("plan", {}), measured)),
            touches=touches.statements[name],
            fires=touches.fires[name],
            callers=tuple(callers[name]),
            server=_on_server(server, name, one),
        )
        for name, one in facts.statements.items()
    )
    folders = [folder for folder in project.server_migration_folders if folder.is_dir()]
    server_steps = [path for folder in folders for path in sorted(folder.glob("*.sql"))]
    return Catalog(
        project=project,
        title=_title(project),
        engine=str(locked.get("engine") or lock.engine_name(project)),
        statements=statements,
        tables=read_tables(facts, touches, statements),
        steps={step.id: project.show(step.path) for step in facts.migrated.steps},
        measured=measured,
        server=read_server_tables(path for path in server_steps if not path.name.endswith(".rollback.sql")),
    )


def _server_statements(project: Project) -> Mapping[str, Statement] | None:
    folder = project.statements_folder
    return read_statements(folder, "postgresql") if (folder / "postgresql").is_dir() else None


def _on_server(server: Mapping[str, Statement] | None, name: str, one: StatementFacts) -> OnServer:
    if server is None:
        return None
    if name not in server:
        return "none"
    return "shared" if server[name].file == one.statement.file else server[name]


def _title(project: Project) -> str:
    """The project's name, as pyproject.toml has it; else its folder's."""
    text = (project.root / FILE).read_text(encoding="utf-8")
    found = re.search(r"^\[project\]\s*$.*?^name\s*=\s*[\"']([^\"'\n]+)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else project.root.name


def _choices(one: StatementFacts, locked: Mapping[str, list[str]], measured: Measured | None) -> list[Choice]:
    times = measured.times.get(one.source.name, {}) if measured else {}
    return [
        Choice(
            which=variant.which,
            index=one.statement.header.index_for(variant.given),
            plan=tuple(locked.get(variant.which or "always", plan.lines)),
            times=times.get(variant.which or "always", {}),
        )
        for variant, plan in zip(one.variants, one.plans, strict=True)
    ]
