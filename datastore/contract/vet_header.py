"""What a statement's header promises, against its operator and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from datastore.contract.problems import Problem
from datastore.contract.sources import Source
from datastore.contract.text import did_you_mean, tokens
from datastore.contract.vet_sql import around, verb

_at_most_one = re.compile(r"(?:0 or 1|1|0)(?![\w ]*\bto\b)\b")


def check_header(source: Source) -> Iterator[Problem]:
    """The problems of one statement that the loader accepts."""
    yield from _rows(source)
    yield from _max_rows(source)


def _rows(source: Source) -> Iterator[Problem]:
    assert source.statement
    statement, text = source.statement, source.statement.header.rows
    names = [parameter.name for parameter in statement.header.parameters]
    one = _at_most_one.match(text)
    place = source.label_place("Rows")
    if statement.result in ("row", "value") and not one:
        sign = "^" if statement.result == "row" else "$"
        message = f'the operator {sign} gives one row at most, "Rows: {text}" says otherwise'
        hint = "take the operator off, or write: Rows: 0 or 1"
        yield Problem("rows", place, message, hint, statement=source.name)
    elif statement.result == "rows" and one:
        rule = "returning-operator" if statement.writes else "rows"
        message = "the header promises one row at most, and no operator says so to the caller"
        hint = f"write: -- name: {source.name}({', '.join(names)})^   (or $ for its one value)"
        yield Problem(rule, source.name_place, message, hint, statement=source.name)
    bound = re.match(r"\d+ to ([a-z][a-z0-9]*_[a-z0-9_]*)\b(?! -)", text)
    if bound and bound[1] not in names:
        message = f'"Rows:" counts up to "{bound[1]}", which is no parameter'
        hint = did_you_mean(bound[1], names)
        yield Problem("rows", source.label_place("Rows", bound[1]), message, hint, statement=source.name)


def _max_rows(source: Source) -> Iterator[Problem]:
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
    for one in around(every):
        if one.token.upper == "LIMIT" and all(outer in (None, parent) for parent in one.parents):
            return
    message = "a list without LIMIT returns as many rows as there are"
    place = source.at(does.start, does.end - does.start)
    yield Problem("max-rows", place, message, "add max_rows: ... LIMIT :max_rows", statement=source.name)
