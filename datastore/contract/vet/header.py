"""What a statement's header promises, against its operator and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from datastore.contract.clauses import around, verb
from datastore.contract.inference.parse import Unsure, parse
from datastore.contract.inference.queries import Queries
from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source
from datastore.contract.text import did_you_mean, tokens

_at_most_one = re.compile(r"(?:0 or 1|1|0)(?![\w ]*\bto\b)\b")


def check_header(source: Source, schema: Schema) -> Iterator[Problem]:
    """The problems of one statement that the loader accepts."""
    assert source.statement
    statement, text = source.statement, source.statement.header.rows
    names = [parameter.name for parameter in statement.header.parameters]
    is_one, place = _at_most_one.match(text), source.label_place("Rows")
    if statement.result in ("row", "value") and not is_one:
        sign = "^" if statement.result == "row" else "$"
        message = f'the operator {sign} gives one row at most, "Rows: {text}" says otherwise'
        hint = "take the operator off, or write: Rows: 0 or 1"
        yield Problem("rows", place, message, hint, statement=source.name)
    elif statement.result == "rows" and is_one:
        message = "the header promises one row at most, and no operator says so to the caller"
        hint = f"write: -- name: {source.name}({', '.join(names)})^   (or $ for its one value)"
        yield Problem("rows", source.name_place, message, hint, statement=source.name)
    bound = re.match(r"\d+ to ([a-z][a-z0-9]*_[a-z0-9_]*)\b(?! -)", text)
    if bound and bound[1] not in names:
        message = f'"Rows:" counts up to "{bound[1]}", which is no parameter'
        near = did_you_mean(bound[1], names)
        yield Problem("rows", source.label_place("Rows", bound[1]), message, near, statement=source.name)
    # "Rows: 1" is an error at run time where there is none: it must be sure that there is one.
    if statement.result in ("row", "value") and statement.always_one and not _gives_one(statement.sql, schema):
        message = '"Rows: 1" promises a row always, and this statement may give none'
        yield Problem("rows", place, message, "write: Rows: 0 or 1", statement=source.name)


def _gives_one(sql: str, schema: Schema) -> bool:
    """An INSERT of one row that nothing passes over, an aggregate of everything, a SELECT from nothing."""
    try:
        tree = parse(sql)
    except Unsure:
        return False
    if not isinstance(tree, exp.Insert):
        return Queries(schema).has_one_row(tree)
    rows, conflict = tree.args.get("expression"), tree.args.get("conflict")
    ignores = tree.args.get("alternative") == "IGNORE" or (conflict is not None and not conflict.expressions)
    return not ignores and (rows is None or (isinstance(rows, exp.Values) and len(rows.expressions) == 1))


def check_max_rows(source: Source) -> Iterator[Problem]:
    """A list that nothing bounds."""
    assert source.statement
    if source.statement.result != "rows" or _at_most_one.match(source.statement.header.rows):
        return
    every = tokens(source.body)
    does = verb(every)
    if does is None or does.upper == "INSERT":
        return  # as many rows as were handed in
    # A SELECT is bounded by its own LIMIT or by that of what it reads FROM, an UPDATE or DELETE by that of the
    # subquery that chooses its rows.
    outer = "FROM" if does.upper in ("SELECT", "VALUES") else None
    limits = (one.parents for one in around(every) if one.token.upper == "LIMIT")
    if not any(all(outer in (None, parent) for parent in parents) for parents in limits):
        message = "a list without LIMIT returns as many rows as there are"
        hint = "add max_rows: ... LIMIT :max_rows"
        yield Problem("max-rows", source.at_token(does), message, hint, statement=source.name)
