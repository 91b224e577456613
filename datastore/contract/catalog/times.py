"""The file of measured times: read where it is there, never made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from datastore.contract.catalog.model import Measured, Times
from datastore.contract.project import Project
from datastore.errors import ProjectError


@attrs.frozen
class Recorded:
    """What the file says."""

    measured: Measured | None = None
    #: Statement to choice of optional lines ("always" for none) to times.
    times: Mapping[str, Mapping[str, Times]] = attrs.field(factory=dict)
    #: Statement to why it has none.
    refused: Mapping[str, str] = attrs.field(factory=dict)
    #: The statements for whose samples there was no row.
    found_nothing: frozenset[str] = frozenset()


def read_times(project: Project) -> Recorded:
    """The measured times of a project's statements; nothing where it has no such file.

    Raises:
        ProjectError: The file is none of its kind.
    """
    path = project.root / project.times
    if not path.is_file():
        return Recorded()
    try:
        return _recorded(json.loads(path.read_text(encoding="utf-8")), project.times)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"{project.times} is no file of measured times ({type(error).__name__}: {error})") from error


def _recorded(document: Mapping[str, Any], file: str) -> Recorded:
    times = {
        name: {
            which: {rows: (float(p50), float(p95), float(p99)) for rows, (p50, p95, p99) in sizes.items()}
            for which, sizes in choices.items()
        }
        for name, choices in document["statements"].items()
    }
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    rows = tuple(str(number) for number in document["rows"])
    measured = Measured(document["command"], document["commit"], document["machine"], versions, rows, file)
    return Recorded(measured, times, dict(document["not_timed"]), frozenset(document["found_nothing"]))
