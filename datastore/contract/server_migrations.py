"""The steps for PostgreSQL, applied, rolled back and applied again on a scratch database, and what is wrong with them."""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import psycopg

from datastore.contract.facts import OWN_PREFIXES, Migrated, Snapshot, Step
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema_checks import check_steps, find_created, place_in
from datastore.contract.text import find_name, normal
from datastore.errors import DatastoreError
from datastore.migrations.postgresql import open_backend
from datastore.migrations.steps import ROLLBACK

#: Changes of a column's type that keep every value as it is.
_WIDER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
    ("json", "text"),
    ("uuid", "text"),
    ("character varying", "text"),
}


def migrate_server(project: Project, url: str, statements: Mapping[str, str]) -> Migrated:
    """Apply every step to the empty database of *url*, roll each back, and apply all again."""
    from yoyo import read_migrations

    with tempfile.TemporaryDirectory(prefix="datastore-steps-") as scratch, open_backend(url) as backend:
        copies = {}
        for number, folder in enumerate(project.server_migration_folders):
            copy = Path(scratch) / f"steps{number}"  # without the lock file, which `check_lock` compares
            copy.mkdir()
            copies[copy] = folder
            for file in (*folder.glob("*.sql"), *folder.glob("*.py")):
                shutil.copy(file, copy)
        result = Migrated()
        steps = list(backend.to_apply(read_migrations(*(glob.escape(str(copy)) for copy in copies))))
        for step in steps:
            folder = copies[Path(step.path).parent]
            own = folder in project.own_server_migrations
            result.steps.append(Step(step.id, folder / Path(step.path).name, own))
        backend.known = {step.id for step in steps}
        backend.allow_loss = True
        _up_down_up(backend, steps, result, lambda: _snapshot(backend.connection, statements))
    return result


def _up_down_up(backend: Any, steps: list[Any], result: Migrated, snapshot: Any) -> None:
    result.up.append(snapshot())
    numbers = range(len(steps))
    action, number = "apply", 0
    try:
        for number in numbers:
            backend.apply_one(steps[number])
            result.up.append(snapshot())
        action = "roll back"
        for number in reversed(numbers):
            backend.rollback_one(steps[number])
            result.down[steps[number].id] = snapshot()
        action = "apply again"
        for number in numbers:
            backend.apply_one(steps[number])
        result.again = snapshot()
    except (DatastoreError, psycopg.Error) as error:
        result.failed = (result.steps[number], action, error)


def _snapshot(connection: psycopg.Connection[Any], statements: Mapping[str, str]) -> Snapshot:
    found = connection.execute(statements["list_objects"].encode()).fetchall()
    objects = {(kind, name): normal(text) for kind, name, text in found if not name.startswith(OWN_PREFIXES)}
    return Snapshot(objects, (0, 0))


def check_server_steps(project: Project, migrated: Migrated) -> Iterator[Problem]:
    """The problems of the steps for PostgreSQL: what fails, what a rollback leaves, a type that loses values."""
    leaves = any(migrated.up[n] != migrated.down.get(step.id) for n, step in enumerate(migrated.steps))
    if migrated.failed and (migrated.failed[1] != "apply again" or not leaves):
        yield _failed(project, *migrated.failed)
    yield from check_steps(project, attrs.evolve(migrated, failed=None))
    for step, (before, after) in zip(migrated.steps, pairwise(migrated.up), strict=False):
        if step.own:
            yield from _narrower(project, step, before, after)


def _failed(project: Project, step: Step, action: str, error: Exception) -> Problem:
    """A step that PostgreSQL refuses, at the name that its message is about."""
    path = step.path.with_name(f"{step.id}{ROLLBACK}") if action == "roll back" else step.path
    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    verb = {"apply": "does not apply", "roll back": "does not roll back"}.get(action, "does not apply a second time")
    message = f"this step {verb} on PostgreSQL: {said or error}"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for name in re.findall(r'"([^"]+)"|function (\w+)', said or ""):
        if token := find_name(text, name[0] or name[1]):
            return Problem(
                "migration", place_in(project, Step(step.id, path, step.own), text, token), message, subject=step.id
            )
    return Problem("migration", Place(project.show(path)), message, subject=step.id)


def _narrower(project: Project, step: Step, before: Snapshot, after: Snapshot) -> Iterator[Problem]:
    """Columns whose new type does not keep every value."""
    for (kind, name), text in after.objects.items():
        was = before.objects.get((kind, name))
        if kind != "column" or was is None:
            continue
        old, new = _type(was), _type(text)
        if old != new and (old, new) not in _WIDER:
            path = step.path
            source = path.read_text(encoding="utf-8")
            token = find_name(source, name.partition(".")[2])
            place = place_in(project, step, source, token) if token else Place(project.show(path))
            message = f"this step changes {name} from {old} to {new}, which does not keep every value"
            hint = f'add a column and keep the old one, or say why nothing is lost: "narrower {name}" = "..."'
            yield Problem("narrower", place, message, hint, subject=name)


def _type(definition: str) -> str:
    """The type in the definition of a column, as `list_objects` writes it: before the collation, NULL and default."""
    words = re.match(r"(?:character varying|double precision|timestamp with(?:out)? time zone|\S+)", definition)
    return words[0] if words else definition


def library_tables(migrated: Migrated) -> set[str]:
    """The tables that the steps of this library made, where a project builds on it."""
    return _made(migrated, own=False)


def _made(migrated: Migrated, *, own: bool) -> set[str]:
    found: set[str] = set()
    for step, (before, after) in zip(migrated.steps, pairwise(migrated.up), strict=False):
        new = {*after.objects} - {*before.objects} if step.own is own else ()
        found |= {name for kind, name in new if kind == "table"}
    return found


def check_server_keys(project: Project, migrated: Migrated, tables: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """Tables that the project's own steps made without a primary key; *tables*: each with the columns of its key."""
    for name in sorted(_made(migrated, own=True) & {*tables}):
        if not tables[name]:
            message = f'the table "{name}" has no primary key on PostgreSQL'
            hint = f"CONSTRAINT {name}_pkey PRIMARY KEY (...): without one, logical replication cannot update or delete its rows"
            yield Problem("primary-key", find_created(project, migrated, name), message, hint, subject=name)
