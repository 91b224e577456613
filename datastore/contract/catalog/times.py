"""The file of measured times: read where a project has one, never written here."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from datastore.contract.project import Project
from datastore.errors import ProjectError

#: (p50, p95, p99) in microseconds, by rows.
Times = Mapping[str, tuple[float, float, float]]


@attrs.frozen
class Measured:
    """What the file says."""

    file: str
    command: str
    commit: str
    machine: str
    versions: str
    rows: tuple[str, ...]
    #: Statement to choice of optional lines ("always" for none) to times.
    times: Mapping[str, Mapping[str, Times]]
    #: Statement to why it has none.
    not_timed: Mapping[str, str]
    #: The statements that were timed with arguments for which there is no row.
    found_nothing: frozenset[str]


def read_times(project: Project) -> Measured | None:
    """The measured times of a project's statements; None where it has no such file.

    Raises:
        ProjectError: The file is none of its kind.
    """
    path = project.root / project.times
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Measured(
            file=project.times,
            **{name: said[name] for name in ("command", "commit", "machine")},
            versions=", ".join(f"{name} {version}" for name, version in said["versions"].items()),
            rows=tuple(map(str, said["rows"])),
            times={
                name: {
                    which: {rows: (float(p50), float(p95), float(p99)) for rows, (p50, p95, p99) in sizes.items()}
                    for which, sizes in choices.items()
                }
                for name, choices in said["statements"].items()
            },
            not_timed=dict(said["not_timed"]),
            found_nothing=frozenset(said["found_nothing"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"{project.times} is no file of measured times ({type(error).__name__}: {error})") from error
