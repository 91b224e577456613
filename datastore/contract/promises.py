"""What results promise on both engines: that they are never NULL."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from datastore.contract.inference.parse import Node, bare, part, parts
from datastore.contract.problems import Problem
from datastore.contract.sources import Source


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
