"""Each migration step: it applies, and its rollback restores the schema that was there before it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from datastore.contract.database import Migrated, Snapshot, Step
from datastore.contract.indexes import place_in
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.text import did_you_mean, find_name


def check_steps(project: Project, migrated: Migrated) -> Iterator[Problem]:
    # That a step cannot be applied again is no news where some rollback left the schema another one.
    leaves = any(migrated.up[n] != migrated.down.get(step.id) for n, step in enumerate(migrated.steps))
    if migrated.failed and (migrated.failed[1] != "apply again" or not leaves):
        yield _failed(project, migrated, *migrated.failed)
    left_by_later: set[str] = set()
    for number, step in reversed(list(enumerate(migrated.steps))):
        undone = migrated.down.get(step.id)
        if not step.own or undone is None:
            continue
        undo = step.path.with_name(f"{step.id}.rollback.sql")
        differences = tuple(line for line in compare(migrated.up[number], undone) if line not in left_by_later)
        left_by_later |= {*differences}
        file, message = undo, f"this rollback does not restore the schema that was there before {step.id}"
        hint = "- is missing after the rollback, + is left over"
        if not undo.is_file():
            file, message = step.path, "this step has no rollback"
            hint = f"write {project.show(undo)}: + is what it would take away, - what it would bring back"
        if differences:
            yield Problem("rollback", Place(file=project.show(file)), message, hint, differences, subject=step.id)
    if migrated.again is not None and not leaves and (left := tuple(compare(migrated.up[-1], migrated.again))):
        message = "applying the steps again after rolling all back gives another schema"
        yield Problem("rollback", Place(file=project.show(migrated.steps[-1].path)), message, None, left)


def compare(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """The differences of two catalogues, a line each."""
    for kind, name in sorted({*before.objects, *after.objects}):
        old, new = before.objects.get((kind, name)), after.objects.get((kind, name))
        if old != new:
            if old is not None:
                yield f"- {kind} {name}{'' if new is None else f': {_around(old, new)}'}"
            if new is not None:
                yield f"+ {kind} {name}{'' if old is None else f': {_around(new, old)}'}"
    for what, old_mark, new_mark in zip(("application_id", "user_version"), before.marks, after.marks, strict=True):
        if old_mark != new_mark:
            yield f"- {what} {old_mark}"
            yield f"+ {what} {new_mark}"


def _around(text: str, other: str) -> str:
    """Where two texts differ, with a few words around."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = text.rfind(" ", 0, max(0, same - 30)) + 1
    return f"{'... ' if start else ''}{text[start : same + 40]}{' ...' if same + 40 < len(text) else ''}"


def _failed(project: Project, migrated: Migrated, step: Step, action: str, error: Exception) -> Problem:
    path = step.path.with_name(f"{step.id}.rollback.sql") if action == "roll back" else step.path
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    word = re.search(
        r'near "(\w+)"|(?:no such \w+|already exists|column name|column): (\S+)|^(?:table|index) (\w+)', str(cause)
    )
    token = hint = None
    if word:
        name = next(part for part in word.groups() if part).rpartition(".")[2]
        token = find_name(text, name)
        known = {known for _, known in migrated.up[-1].objects} if migrated.up else set()
        hint = did_you_mean(name, known) if "no such" in str(cause) else None
    place = place_in(project, Step(step.id, path, step.own), text, token) if token else Place(file=project.show(path))
    verb = {"apply": "does not apply", "roll back": "does not roll back"}.get(action, "does not apply a second time")
    return Problem("migration", place, f"this step {verb}: {cause}", hint, subject=step.id)
