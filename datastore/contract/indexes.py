"""Tables without a key, indexes that nothing uses, foreign keys without one; where the migrations create what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datastore.contract.caseless import identifier
from datastore.contract.database import Migrated, Step
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Index, Schema
from datastore.contract.text import Token, tokens


def check_primary_keys(project: Project, schema: Schema, migrated: Migrated, own: set[str]) -> Iterator[Problem]:
    """Tables whose rows nothing tells apart."""
    stored = {*schema.roots.values()}  # a virtual table's rows are in others
    for table in sorted(name for name in own & stored if schema.is_table(name)):
        if table in schema.primary_keys:
            continue
        place = find_created(project, migrated, table)
        message = f'the table "{table}" has no primary key'
        constraint = f"CONSTRAINT {identifier(table + '_pkey')} PRIMARY KEY (...)"
        hint = f"{constraint}: without one, nothing tells two equal rows apart"
        yield Problem("primary-key", place, message, hint, subject=table)


def check_foreign_keys(project: Project, schema: Schema, migrated: Migrated, own: set[str]) -> Iterator[Problem]:
    """Foreign keys whose columns lead no index: a delete of the parent would read the whole child table."""
    for key in schema.foreign_keys:
        table, parent, columns = key.table, key.parent, key.columns
        if table not in own or _is_led(table, columns, schema):
            continue
        names = ", ".join(map(identifier, columns))
        message = f"no index leads with {table} ({names}), which refers to {parent}"
        index = "_".join((table, *columns, "idx"))
        create = f"CREATE INDEX {identifier(index)} ON {identifier(table)} ({names})"
        hint = f"{create}; without it, deleting a row of {parent} reads all of {table}"
        place = find_created(project, migrated, table, [("FOREIGN", "KEY", "(", columns[0]), (columns[0],)])
        subject = f"{table}.{','.join(columns)}"
        yield Problem("foreign-key-index", place, message, hint, subject=subject)


def _is_led(table: str, columns: tuple[str, ...], schema: Schema) -> bool:
    count = len(columns)
    keys = [index.columns for index in schema.indexes.values() if index.table == table and not index.partial]
    keys.append(schema.primary_keys.get(table, ()))
    return any({*columns} == {*key[:count]} for key in keys)


def check_unused(
    project: Project, schema: Schema, migrated: Migrated, own: set[str], used: set[str]
) -> Iterator[Problem]:
    """Indexes of the project that cost each write and serve nothing.

    A unique index is a rule, used or not; one that a foreign key is looked up by serves it.

    Args:
        used: The indexes that some statement's plan or program (its triggers and cascades included) reads.
    """
    for index in schema.indexes.values():
        if index.origin != "c" or index.unique or index.name not in own or index.name in used:
            continue
        if _serves_foreign_key(index, schema):
            continue
        place = find_created(project, migrated, index.name)
        message = f'no statement\'s plan uses the index "{index.name}"'
        hint = f'drop it in a new step, or say in pyproject.toml why it stays: "unused-index {index.name}" = "..."'
        yield Problem("unused-index", place, message, hint, subject=index.name)


def _serves_foreign_key(index: Index, schema: Schema) -> bool:
    return not index.partial and any(
        key.table == index.table and {*key.columns} == {*index.columns[: len(key.columns)]}
        for key in schema.foreign_keys
    )


def own_objects(migrated: Migrated) -> set[str]:
    """The tables and indexes that the project's own steps made (not this library's)."""
    own: set[str] = set()
    for number, step in enumerate(migrated.steps[: len(migrated.up) - 1]):
        before, after = migrated.up[number].objects, migrated.up[number + 1].objects
        if step.own:
            own |= {name for kind, name in set(after) - set(before)}
    return own


def find_created(project: Project, migrated: Migrated, name: str, behind: Sequence[tuple[str, ...]] = ()) -> Place:
    """Where the last step that creates *name* does so; *behind*: words after it to point at, the first that are found."""
    for step in reversed(migrated.steps):
        text = step.path.read_text(encoding="utf-8")
        every = tokens(text)
        for number, token in enumerate(every):
            if token.name != name.lower() or not any(
                one.upper == "CREATE" for one in every[max(0, number - 6) : number]
            ):
                continue
            places = (_behind(every[number + 1 :], words) for words in behind)
            return place_in(project, step, text, next(filter(None, places), token))
    return Place(file=project.show(migrated.steps[-1].path) if migrated.steps else "")


def _behind(every: tuple[Token, ...], words: tuple[str, ...]) -> Token | None:
    for number, token in enumerate(every):
        if token.text == ";" or not words:
            return None
        run = every[number : number + len(words)]
        if [one.name.upper() or one.text for one in run] == [word.upper() for word in words]:
            return run[-1]
    return None


def place_in(project: Project, step: Step, text: str, token: Token) -> Place:
    """The place of a token in a step's file."""
    line = text.count("\n", 0, token.start)
    start = text.rfind("\n", 0, token.start) + 1
    return Place(
        file=project.show(step.path),
        line=line + 1,
        column=token.start - start + 1,
        length=token.end - token.start,
        text=text.split("\n")[line].removesuffix("\r"),
    )
