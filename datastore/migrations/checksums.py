"""The lock file of a folder of migrations: SHA256SUMS lists the checksum of each file.

A released migration never changes. ``sha256sum -c SHA256SUMS`` verifies the file too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from datastore.errors import SchemaOutOfDateError

LOCK_NAME = "SHA256SUMS"

_PREFIX = "sha256:"


def checksum(path: Path) -> str:
    """The SHA-256 of a migration's text, independent of git's line endings."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def record(value: str) -> str:
    """A checksum in the form in which yoyo's log records it for a step."""
    return _PREFIX + value


def recorded(comment: str | None) -> str | None:
    """The checksum in a comment of yoyo's log; None if stock yoyo applied the step."""
    return comment.removeprefix(_PREFIX) if comment and comment.startswith(_PREFIX) else None


def read_lock(folder: Path) -> dict[str, str]:
    """File name to checksum, from SHA256SUMS in *folder*; empty if there is no such file."""
    lock = folder / LOCK_NAME
    if not lock.is_file():
        return {}
    sums = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            value, _, name = line.partition(" ")
            sums[name.lstrip(" *")] = value.lower()
    return sums


def check_files(folder: Path) -> None:
    """Refuse a folder in which a file listed in SHA256SUMS was changed or is missing, or a step is not listed.

    A folder without SHA256SUMS is not checked.

    Raises:
        SchemaOutOfDateError: Names the first such file.
    """
    sums = read_lock(folder)
    for name, expected in sorted(sums.items()):
        path = folder / name
        if not path.is_file() or checksum(path) != expected:
            raise changed(path)
    unlisted = sorted(path.name for path in folder.glob("*.sql") if path.name not in sums) if sums else []
    if unlisted:
        raise SchemaOutOfDateError(
            f"migration {unlisted[0]} is not listed in {folder / LOCK_NAME}; if it is new, run: datastore check --update (for"
            " the library's own: python -m datastore.migrations lock). Otherwise remove the file"
        )


def changed(path: Path) -> SchemaOutOfDateError:
    """The error for a migration that was changed."""
    return SchemaOutOfDateError(
        f"migration {path.name} was changed after its release; restore it and write a new migration"
    )


def other_history(name: str, steps: Iterable[str]) -> SchemaOutOfDateError:
    """The error for a database whose steps belong neither to this version nor to a newer one that extends it."""
    return SchemaOutOfDateError(
        f"{name} was made by a version with other migrations ({', '.join(steps)}), which this one cannot continue. With that"
        " version run: datastore export --include-deleted --output all.jsonl (older versions: --deleted); with this one, for a"
        " new database: datastore import --sanitization-version V all.jsonl. Conversations, messages and learnings are kept,"
        " nothing else is"
    )


def check_lock(folder: Path) -> list[str]:
    """The differences between the files of *folder* and its SHA256SUMS; empty if there are none."""
    sums = read_lock(folder)
    problems = []
    for path in sorted(folder.glob("*.sql")):
        if path.name not in sums:
            problems.append(f"{path.name} is not listed in {LOCK_NAME}")
        elif checksum(path) != sums[path.name]:
            problems.append(f"{path.name} was changed")
    problems += [f"{name} is missing" for name in sorted(sums) if not (folder / name).is_file()]
    return problems


def write_lock(folder: Path) -> None:
    """Write SHA256SUMS from the present files."""
    lines = [f"{checksum(path)}  {path.name}\n" for path in sorted(folder.glob("*.sql"))]
    (folder / LOCK_NAME).write_text("".join(lines), encoding="utf-8", newline="\n")
