"""Writes what a type checker sees of the statements, and the lock file.

The functions themselves are made when a store is opened; the generated Protocols say, in code that mypy and pyright
read, which there are, what each takes and what it gives. They are code, not stub files, so that a test can compare them
with the loaded functions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from datastore.contract import lock
from datastore.contract.facts import ProjectFacts
from datastore.contract.problems import Place, Problem
from datastore.contract.typed_modules import MARK, modules


def generated_files(facts: ProjectFacts) -> dict[Path, str]:
    """The text of everything that is generated for a project, the lock file too, by its path."""
    project = facts.project
    files = {project.root / project.output / name: text for name, text in modules(facts).items()}
    committed, now = lock.read(project.root / project.lock), lock.lock_of(facts)
    # Another version of the engine makes other plans: those in the file stay until something else changes.
    return files | {project.root / project.lock: lock.write(now if lock.drifted(committed, now) else committed)}


def drift(facts: ProjectFacts) -> dict[Path, str | None]:
    """What has to be written, by its path; None for a module whose .sql file is gone."""
    folder = facts.project.root / facts.project.output
    return changed_files(generated_files(facts), folder.glob("*.py"), MARK)


def changed_files(files: Mapping[Path, str], others: Iterable[Path], mark: str) -> dict[Path, str | None]:
    """The *files* that are not as they should be; None for each of the *others* that is generated (has the *mark*)."""
    changed = {path: text for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text}
    gone = [path for path in sorted(others) if path not in files and mark in path.read_text("utf-8")]
    return {**changed, **dict.fromkeys(gone)}


def check_generated(facts: ProjectFacts) -> Iterator[Problem]:
    """What of the generated files is not as it would be written; nothing where a project has none."""
    project = facts.project
    if not (project.root / project.output).is_dir() and not (project.root / project.lock).is_file():
        return
    for path, text in drift(facts).items():
        place = Place(file=project.show(path))
        if text is None:
            yield Problem("generated", place, "the .sql file of this module is gone", "datastore generate")
            continue
        before = path.read_text("utf-8") if path.is_file() else ""
        lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "as it is", "as generated", "", "", 1, "")
        message = "this file is not what the statements make it"
        yield Problem("generated", place, message, "datastore generate", tuple(lines)[2:22])


def write(changes: Mapping[Path, str | None]) -> None:
    """Write what `drift` found."""
    for path, text in changes.items():
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
