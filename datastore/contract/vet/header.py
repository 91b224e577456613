"""What a statement's header promises, against its operator and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from datastore.contract.clauses import Around, around, verb
from datastore.contract.problems import Problem
from datastore.contract.sources import Source
from datastore.contract.text import did_you_mean, tokens

_at_most_one = re.compile(r"(?:0 or 1|1|0)(?![\w ]*\bto\b)\b")


def check_header(source: Source) -> Iterator[Problem]:
    """The problems of one statement that the loader accepts."""
    yield from _rows(source)
    yield from _always_one(source)


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
        message = "the header promises one row at most, and no operator says so to the caller"
        hint = f"write: -- name: {source.name}({', '.join(names)})^   (or $ for its one value)"
        yield Problem("rows", source.name_place, message, hint, statement=source.name)
    bound = re.match(r"\d+ to ([a-z][a-z0-9]*_[a-z0-9_]*)\b(?! -)", text)
    if bound and bound[1] not in names:
        message = f'"Rows:" counts up to "{bound[1]}", which is no parameter'
        near = did_you_mean(bound[1], names)
        yield Problem("rows", source.label_place("Rows", bound[1]), message, near, statement=source.name)


_AGGREGATES = frozenset(
    {"COUNT", "SUM", "TOTAL", "AVG", "MIN", "MAX", "GROUP_CONCAT", "JSON_GROUP_ARRAY", "JSON_GROUP_OBJECT"}
)


def _always_one(source: Source) -> Iterator[Problem]:
    """``Rows: 1`` is an error at run time where there is none: it must be sure that there is one."""
    assert source.statement
    statement = source.statement
    if statement.result not in ("row", "value") or not statement.always_one or _gives_one(source):
        return
    message = '"Rows: 1" promises a row always, and this statement may give none'
    yield Problem("rows", source.label_place("Rows"), message, "write: Rows: 0 or 1", statement=source.name)


def _gives_one(source: Source) -> bool:
    """An INSERT of one row that nothing passes over, an aggregate of everything, a SELECT from nothing."""
    every = around(tokens(source.body))
    outer = {one.token.upper for one in every if one.depth == 0}
    if "INSERT" in outer:
        passes = any(
            one.token.upper in ("NOTHING", "IGNORE") and before.token.upper in ("DO", "OR")
            for before, one in pairwise(every)
        )
        return "SELECT" not in outer and not passes
    if outer & {"UPDATE", "DELETE", "GROUP", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT"}:
        return False
    return "FROM" not in outer or any(
        one.token.upper in _AGGREGATES and _is_aggregate(every[one.index + 1 :]) for one in _select_list(every)
    )


def _select_list(every: tuple[Around, ...]) -> Iterator[Around]:
    """What is between SELECT and FROM, without the subqueries in it."""
    inside = 0
    for before, one in pairwise(every):
        if inside and one.depth < inside:
            inside = 0
        elif not inside and before.token.text == "(" and one.token.upper in ("SELECT", "WITH", "VALUES"):
            inside = one.depth
        elif not inside and (one.depth or one.clause == "SELECT") and "FROM" not in one.parents:
            yield one
        if one.depth == 0 and one.token.upper == "FROM":
            return


def _is_aggregate(behind: tuple[Around, ...]) -> bool:
    """Whether what follows a function's name are the arguments of an aggregate, not of min(a, b) or of a window."""
    if not behind or behind[0].token.text != "(":
        return False
    depth = behind[0].depth
    for number, one in enumerate(behind[1:], 1):
        if one.depth == depth and one.token.text == ")":
            return behind[number + 1 : number + 2] == () or behind[number + 1].token.upper not in ("OVER", "FILTER")
        if one.depth == depth + 1 and one.token.text == ",":
            return False
    return False


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
    for one in around(every):
        if one.token.upper == "LIMIT" and all(outer in (None, parent) for parent in one.parents):
            return
    message = "a list without LIMIT returns as many rows as there are"
    place = source.at(does.start, does.end - does.start)
    yield Problem("max-rows", place, message, "add max_rows: ... LIMIT :max_rows", statement=source.name)
