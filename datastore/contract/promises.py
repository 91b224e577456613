"""What tables and results promise on both engines: NOT NULL, unique keys, and results that are never NULL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from datastore.contract.facts import OWN_PREFIXES, Migrated, Step
from datastore.contract.inference.parse import Node, bare, part, parts
from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.schema import ROWID, Table
from datastore.contract.schema_checks import find_created
from datastore.contract.sources import Source

#: The columns of a table by name, and whether they are NOT NULL.
Columns: TypeAlias = Mapping[str, bool]
#: Each unique key of a table as a set of columns; with a predicate or not.
Keys: TypeAlias = Collection[tuple[frozenset[str], bool]]

_HINT = "make both steps alike, or say in pyproject.toml why not: "


def check_tables(
    project: Project, ours: Mapping[str, Table], columns: Mapping[str, Columns], keys: Mapping[str, Keys]
) -> Iterator[Problem]:
    """Where PostgreSQL's tables promise something else than SQLite's (*ours*) of the same name."""
    steps = [path for folder in project.server_migration_folders for path in sorted(folder.glob("*.sql"))]
    created = Migrated(steps=[Step(path.stem, path, own=True) for path in steps if ".rollback" not in path.name])
    for name in sorted({*ours} & {*columns}):
        if name.startswith(OWN_PREFIXES):
            continue
        for message, subject in (*_nulls(ours[name], columns[name]), *_keys(ours[name], keys.get(name, ()))):
            place = find_created(project, created, name, [(subject,)])
            yield Problem(
                "engines", place, message, f'{_HINT}"engines {name}.{subject}" = "..."', (), f"{name}.{subject}"
            )


def _nulls(table: Table, theirs: Columns) -> Iterator[tuple[str, str]]:
    for name, column in table.columns.items():
        if name in theirs and theirs[name] != column.not_null:
            engines = ("PostgreSQL", "SQLite") if column.not_null else ("SQLite", "PostgreSQL")
            yield f"{table.name}.{column.name} takes NULL on {engines[0]}, and is NOT NULL on {engines[1]}", name


def _keys(table: Table, theirs: Keys) -> Iterator[tuple[str, str]]:
    named = ({table.rowid_alias if name == ROWID else name for name in key.columns} for key in table.keys)
    own = {
        (frozenset(names), key.where is not None) for names, key in zip(named, table.keys, strict=True) if names != {""}
    }
    for engine, missing in (("PostgreSQL", own - {*theirs}), ("SQLite", {*theirs} - own)):
        for columns, is_partial in sorted(missing, key=lambda one: sorted(one[0])):
            names = ",".join(sorted(columns))
            where = " of some rows" * is_partial
            yield (
                f"{table.name} ({names.replace(',', ', ')}){where} is not unique on {engine}, and is on the other engine",
                names,
            )


def check_nulls(source: Source, sql: str, never_null: Collection[str]) -> Iterator[Problem]:
    """Columns that PostgreSQL's text may give as NULL, of those that are never NULL on SQLite."""
    try:
        tree = sqlglot.parse_one(sql, read="postgres")
    except (SqlglotError, RecursionError):
        return
    select = tree if isinstance(tree, exp.Select) else tree.args.get("returning")
    for node in select.expressions if select is not None else ():
        name = node.alias_or_name
        if name in never_null and (why := _why_null(bare(node.unalias()), tree)):
            message = f'PostgreSQL may give NULL for "{name}" ({why}), and SQLite never does'
            yield Problem("engines", source.name_place, message, "write what keeps NULL out: coalesce(...)")


def _why_null(node: Node, tree: Node) -> str:
    """Why an expression of a statement's list may be NULL, where that is certain; else ""."""
    node = bare(node)
    if isinstance(node, exp.Cast):
        return _why_null(node.this, tree)
    if isinstance(node, exp.Coalesce):
        reasons = [_why_null(value, tree) for value in (node.this, *node.expressions)]
        return reasons[-1] if all(reasons) else ""
    if isinstance(node, exp.Case):
        values = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default") or exp.Null()]
        return next(filter(None, (_why_null(value, tree) for value in values)), "")
    if isinstance(node, exp.Null):
        return "a value is NULL"
    if isinstance(node, exp.Nullif):
        return "nullif() is NULL where both are equal"
    if isinstance(node, (exp.Sum, exp.Avg, exp.Min, exp.Max)) and not part(tree, "group"):
        return "an aggregate of no rows is NULL"
    return _outer_joined(node, tree) if isinstance(node, exp.Column) else ""


def _outer_joined(column: Node, tree: Node) -> str:
    table, where = column.text("table"), part(tree, "where")
    if where is not None and any(one.text("table") == table for one in where.find_all(exp.Column)):
        return ""  # a filter may keep the missing rows out
    joined = [join for join in parts(tree, "joins") if join.text("side").upper() in ("LEFT", "FULL")]
    return f"{table} is outer-joined" if any(join.this.alias_or_name == table for join in joined) and table else ""
