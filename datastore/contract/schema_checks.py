"""What the migrations make: each step and its rollback, tables without a key, foreign keys without an index, unused ones."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from datastore.contract.facts import Migrated, Snapshot, Step
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import of_file
from datastore.contract.text import Token, did_you_mean, find_name, identifier, tokens
from datastore.statements.loader import read_sql


def check_indexes(project: Project, schema: Schema, migrated: Migrated, used: set[str] | None) -> Iterator[Problem]:
    """The problems of the tables and indexes that the project's own steps made.

    Args:
        used: The indexes that some statement's plan or program (its triggers and cascades included) reads; None where
            that is not known.
    """
    own: set[str] = set()
    for step, (before, after) in zip(migrated.steps, pairwise(migrated.up), strict=False):
        own |= {name for _, name in {*after.objects} - {*before.objects}} if step.own else set()
    yield from _primary_keys(project, schema, migrated, own)
    yield from _not_strict(project, schema, migrated, own)
    yield from _foreign_keys(project, schema, migrated, own)
    if used is not None:
        yield from _unused(project, schema, migrated, own - used)


def _primary_keys(project: Project, schema: Schema, migrated: Migrated, own: set[str]) -> Iterator[Problem]:
    stored = {*schema.roots.values()}  # a virtual table's rows are in others
    for table in sorted(name for name in own & stored if schema.is_table(name) and name not in schema.primary_keys):
        message = f'the table "{table}" has no primary key'
        constraint = f"CONSTRAINT {identifier(table + '_pkey')} PRIMARY KEY (...)"
        hint = f"{constraint}: without one, nothing tells two equal rows apart"
        yield Problem("primary-key", find_created(project, migrated, table), message, hint, subject=table)


def _not_strict(project: Project, schema: Schema, migrated: Migrated, own: set[str]) -> Iterator[Problem]:
    """Tables of which nothing can be promised, each with the same message: it is shown once, with every place."""
    for table in filter(None, map(schema.table, sorted(own))):
        if table.kind != "table" or table.strict:
            continue
        message = (
            "the table is not STRICT: its columns take values of any type, and a primary key but INTEGER's takes NULL"
        )
        hint = "write STRICT after its last parenthesis (types are then INTEGER, REAL, TEXT, BLOB and ANY), or say in"
        hint += ' pyproject.toml why not: "not-strict TABLE" = "..."'
        yield Problem("not-strict", find_created(project, migrated, table.name), message, hint, subject=table.name)


def _foreign_keys(project: Project, schema: Schema, migrated: Migrated, own: set[str]) -> Iterator[Problem]:
    """Foreign keys whose columns lead no index: a delete of the parent would read the whole child table."""
    for key in schema.foreign_keys:
        table, parent, columns = key.table, key.parent, key.columns
        is_rowid = {*columns} == {*schema.primary_keys.get(table, ())[: len(columns)]}
        if table not in own or is_rowid or any(index.serves(key) for index in schema.indexes.values()):
            continue
        names = ", ".join(map(identifier, columns))
        message = f"no index leads with {table} ({names}), which refers to {parent}"
        index = identifier("_".join((table, *columns, "idx")))
        create = f"CREATE INDEX {index} ON {identifier(table)} ({names})"
        hint = f"{create}; without it, deleting a row of {parent} reads all of {table}"
        place = find_created(project, migrated, table, [("FOREIGN", "KEY", "(", columns[0]), (columns[0],)])
        yield Problem("foreign-key-index", place, message, hint, subject=f"{table}.{','.join(columns)}")


def _unused(project: Project, schema: Schema, migrated: Migrated, unused: set[str]) -> Iterator[Problem]:
    """Indexes that cost each write and serve nothing.

    A unique index is a rule, used or not; one that a foreign key is looked up by serves it.
    """
    for name, index in schema.indexes.items():
        serves = index.origin != "c" or index.unique or any(index.serves(key) for key in schema.foreign_keys)
        if name in unused and not serves:
            message = f'no statement\'s plan uses the index "{name}"'
            hint = f'drop it in a new step, or say in pyproject.toml why it stays: "unused-index {name}" = "..."'
            yield Problem("unused-index", find_created(project, migrated, name), message, hint, subject=name)


def find_created(project: Project, migrated: Migrated, name: str, after: Sequence[tuple[str, ...]] = ()) -> Place:
    """Where the last step that creates *name* does so; *after*: words after it to point at, the first that are found."""
    for step in reversed(migrated.steps):
        text = read_sql(step.path, step.path.name)
        every = tokens(text)
        for number, token in enumerate(every):
            before = every[max(0, number - 6) : number]
            if token.name == name.lower() and any(one.upper == "CREATE" for one in before):
                places = (_after(every[number + 1 :], words) for words in after)
                return place_in(project, step, text, next(filter(None, places), token))
    return Place(file=project.show(migrated.steps[-1].path) if migrated.steps else "")


def _after(every: tuple[Token, ...], words: tuple[str, ...]) -> Token | None:
    for number, token in enumerate(every):
        run = every[number : number + len(words)]
        if token.text == ";" or not words:
            break
        if [one.name.upper() or one.text for one in run] == [word.upper() for word in words]:
            return run[-1]
    return None


def place_in(project: Project, step: Step, text: str, token: Token) -> Place:
    line = text.count("\n", 0, token.start)
    column = token.start - text.rfind("\n", 0, token.start)
    shown = text.split("\n")[line].removesuffix("\r")
    return Place(project.show(step.path), line + 1, column, token.end - token.start, shown)


def check_steps(project: Project, migrated: Migrated) -> Iterator[Problem]:
    if migrated.refused:
        yield _refused(project, *migrated.refused)
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
    for kind, name in sorted({*before.objects, *after.objects}):
        old, new = before.objects.get((kind, name)), after.objects.get((kind, name))
        if old != new:
            for sign, one, other in (("-", old, new), ("+", new, old)):
                if one is not None:
                    yield f"{sign} {kind} {name}{'' if other is None else f': {_around(one, other)}'}"
    for what, old_mark, new_mark in zip(("application_id", "user_version"), before.marks, after.marks, strict=True):
        if old_mark != new_mark:
            yield f"- {what} {old_mark}"
            yield f"+ {what} {new_mark}"


def _around(text: str, other: str) -> str:
    """Where two texts differ, with a few words around."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = text.rfind(" ", 0, max(0, same - 30)) + 1
    return f"{'... ' if start else ''}{text[start : same + 40]}{' ...' if same + 40 < len(text) else ''}"


def _refused(project: Project, files: list[Path], message: str) -> Problem:
    """What is wrong with the steps before any is run, at the file and the line that the message names."""
    named = [file for file in files if re.search(rf"(?<![\w.-]){re.escape(file.stem)}(?![\w-])", message)]
    path = max(named or files, key=lambda file: (len(file.name), file.name))
    text = path.read_bytes().decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    shown = project.show(path)
    if message.startswith(f"{path.name}:"):
        return attrs.evolve(of_file(path, shown, message), rule="migration")
    message = re.sub(r"\('[^']*', (.*)\)$", r"\1", message)  # without the path of the copy
    message, _, hint = message.partition("; ")
    word = re.search(r" has (\w+) in it", message)
    found = re.search(rf"(?im)^\s*{word[1]}\b.*$" if word else r"(?m)^--\s*depends:.*$", text)
    place = Place(file=shown)
    if found and (word or "depend" in message):
        shown_line = found[0].strip()
        line = text.count("\n", 0, found.start() + len(found[0]) - len(found[0].lstrip()))
        place = Place(shown, line + 1, 1, len(shown_line), shown_line)
    return Problem("migration", place, message, hint or None, subject=path.stem)


def _failed(project: Project, migrated: Migrated, step: Step, action: str, error: Exception) -> Problem:
    path = step.path.with_name(f"{step.id}.rollback.sql") if action == "roll back" else step.path
    text = read_sql(path, path.name) if path.is_file() else ""
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    pattern = r'near "([^"]+)"|(?:no such \w+|already exists|column name|column): (\S+)|^(?:table|index) (\w+)'
    word = re.search(pattern, str(cause))
    token = hint = None
    if word:
        name = next(part for part in word.groups() if part).rpartition(".")[2]
        begun = migrated.failed_at or 0
        every = [one for one in tokens(text) if one.start >= begun]
        token = next((one for one in every if name.lower() in (one.name, one.text)), None) or find_name(text, name)
        known = {known for _, known in migrated.up[-1].objects} if migrated.up else set()
        hint = did_you_mean(name, known) if "no such" in str(cause) else None
    if token is None and migrated.failed_at is not None:
        token = next((one for one in tokens(text) if one.start >= (migrated.failed_at or 0)), None)
    place = place_in(project, Step(step.id, path, step.own), text, token) if token else Place(file=project.show(path))
    verb = {"apply": "does not apply", "roll back": "does not roll back"}.get(action, "does not apply a second time")
    return Problem("migration", place, f"this step {verb}: {cause}", hint, subject=step.id)
