"""The last release: its statements must prepare on the new schema, its migrations must not have changed.

While a new version rolls out, or when it is taken back, the old one runs on the new schema.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from datastore import migrations
from datastore.contract import git
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, read_alone, split, variants
from datastore.contract.text import normal
from datastore.engines import sqlite_explain


def check_released(project: Project, ref: str, schema: Schema, now: list[Source]) -> Iterator[Problem]:
    """The statements at *ref* that no longer prepare."""
    same = {normal(source.body) for source in now}
    current = {source.name: source for source in now}
    for name, text in sorted(git.files_at(project.root, ref, project.statements).items()):
        if not name.endswith(".sql") or ("/" in name and not name.startswith(f"{project.engine}/")):
            continue
        for source in split(text, f"{project.statements}/{name}"):
            if normal(source.body) in same:
                continue  # checked as a statement of today
            yield from _prepares(source, ref, schema, current.get(source.name))


def _prepares(source: Source, ref: str, schema: Schema, today: Source | None) -> Iterator[Problem]:
    # With its optional lines, if today's loader still reads it; what it has against the header is no news here.
    read_alone(source, source.file, [])
    try:
        for variant in variants(source):
            sqlite_explain.prepare(schema.connection, variant.sql)
    except sqlite3.Error as error:
        place = today.name_place if today else Place(file=source.file, statement=source.name)
        message = f'"{source.name}" as it was in {ref} does not prepare on the new schema: {error}'
        hint = "keep what the last release reads for one release more, then take it away"
        notes = tuple(f"{ref}:{source.file}:{number}: {line}" for number, line in _sql_lines(source, str(error)))
        yield Problem("released", place, message, hint, notes, subject=source.name)


def _sql_lines(source: Source, message: str) -> list[tuple[int, str]]:
    """The lines of the old text that the message may be about."""
    word = message.split()[-1].strip('":').rpartition(".")[2]
    first = len(source.header)
    lines = [(source.line + first + number, line) for number, line in enumerate(source.lines[first:]) if line.strip()]
    return [(number, line) for number, line in lines if word and word in line][:1] or lines[:1]


def check_migrations_released(project: Project, ref: str) -> Iterator[Problem]:
    """The steps at *ref* whose text is another now, or that are gone."""
    for folder in project.own_migrations:
        for name, text in sorted(git.files_at(project.root, ref, project.show(folder)).items()):
            path = folder / name
            shown = project.show(path)
            hint = f"git checkout {ref} -- {shown}   and write a new step"
            if path.suffix == ".sql" and not path.is_file():
                message = f"this step was released in {ref} and is gone"
                yield Problem("migration-changed", Place(file=shown), message, hint)
            elif path.suffix == ".sql" and path.read_text(encoding="utf-8", errors="replace") != text:
                message = f"this step was released in {ref} and has changed"
                yield Problem("migration-changed", _first_difference(shown, path, text), message, hint)


def _first_difference(shown: str, path: Path, text: str) -> Place:
    lines, before = path.read_text(encoding="utf-8", errors="replace").splitlines(), text.splitlines()
    for number, line in enumerate(lines):
        if before[number : number + 1] != [line]:
            column = len(line) - len(line.lstrip()) + 1 if line.strip() else 1
            return Place(shown, number + 1, column, max(1, len(line.strip())), line)
    return Place(file=shown)


def check_lock(project: Project) -> Iterator[Problem]:
    """The steps that are not what their folder's SHA256SUMS says; a folder without one is not checked."""
    for folder in project.own_migrations:
        lock, sums = project.show(folder / migrations.LOCK_NAME), migrations.read_lock(folder)
        steps = {path.name: path for path in folder.glob("*.sql")} if sums else {}
        for name in sorted({*steps, *sums}):
            if name not in sums:
                message, hint = f"this step is not in {lock}", "`datastore check --update` adds it"
            elif name not in steps:
                message, hint = f"this step is in {lock}, and its file is gone", "restore it"
            elif migrations.checksum(steps[name]) != sums[name]:
                message = f"this step has changed since its checksum was written to {lock}"
                hint = "restore it and write a new step; if it was never released, take its line out of the lock file"
            else:
                continue
            yield Problem("migration-changed", Place(file=project.show(folder / name)), message, hint)


def update_locks(project: Project) -> list[Path]:
    """Write the checksums of new steps; those that are in a lock file already are left as they are."""
    written = []
    for folder in project.own_migrations:
        sums = migrations.read_lock(folder)
        new = {path.name: migrations.checksum(path) for path in folder.glob("*.sql") if path.name not in sums}
        if new:
            lines = [f"{value}  {name}\n" for name, value in sorted({**sums, **new}.items())]
            lock = folder / migrations.LOCK_NAME
            lock.write_text("".join(lines), encoding="utf-8", newline="\n")
            written.append(lock)
    return written
