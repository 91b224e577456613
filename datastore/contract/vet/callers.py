"""Statements that no code of the project calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datastore.contract.callers import find_callers
from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source


def check_callers(project: Project, sources: Sequence[Source]) -> Iterator[Problem]:
    """A statement that nothing calls is not tested, and is there for somebody to change by mistake."""
    package = project.root / project.repositories
    if not package.is_dir():
        return
    callers = find_callers({source.name for source in sources}, package, project.root / project.output)
    for source in sources:
        if not callers[source.name]:
            message = f"nothing in {project.repositories} calls this statement"
            yield Problem("no-caller", source.name_place, message, "delete it, or call it", statement=source.name)
