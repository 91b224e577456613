"""Vet rules that the text alone decides: what prepares, runs, and is wrong or dear all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source
from datastore.contract.text import KEYWORDS, Token, arguments, at, did_you_mean, tokens, verb

_CLOCK_WORDS = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"})
_CLOCK_FUNCTIONS = frozenset({"DATE", "TIME", "DATETIME", "JULIANDAY", "STRFTIME", "UNIXEPOCH", "TIMEDIFF"})
_COMPARE = frozenset({"=", "==", "<>", "!="})

#: The first and the last token of what the caret underlines, a message, a hint.
_Findings: TypeAlias = Iterator[tuple[Token, Token, str, str]]


def check_sql(source: Source, schema: Schema) -> list[Problem]:
    every = tokens(source.body)
    return [
        Problem(name, source.at(first.start, last.end - first.start), message, hint)
        for name, rule in _RULES.items()
        for first, last, message, hint in rule(every, schema)
    ]


def _star(every: tuple[Token, ...], schema: Schema) -> _Findings:
    hint = "name the columns: a migration that adds one must not change what is returned"
    for index, token in enumerate(every):
        before = at(every, index - 1)
        begins = before.text in (",", ".") or before.upper in ("SELECT", "DISTINCT", "ALL", "RETURNING")
        if token.text == "*" and begins:
            first = at(every, index - 2) if before.text == "." else token
            yield first, token, "columns are spelled out, never *", hint


def _no_where(every: tuple[Token, ...], schema: Schema) -> _Findings:
    does = verb(every)
    filtered = any(token.depth == 0 and token.upper == "WHERE" for token in every)
    if does is not None and does.upper in ("UPDATE", "DELETE") and not filtered:
        hint = "say which rows, in batches: WHERE id IN (SELECT ... LIMIT :max_rows)"
        yield does, does, f"{does.upper} without WHERE touches every row", hint


def _insert_columns(every: tuple[Token, ...], schema: Schema) -> _Findings:
    for index, token in enumerate(every):
        name, after = at(every, index + 1), at(every, index + 2)
        if after.upper == "AS":
            after = at(every, index + 4)
        if token.upper == "INTO" and after.text != "(" and after.upper != "DEFAULT":
            columns = ", ".join(schema.columns.get(name.name, []))
            hint = f"write: INSERT INTO {name.text} ({columns}) ..." if columns else "list them in parentheses"
            yield name, name, "INSERT without its columns depends on their order in the table", hint


def _replace(every: tuple[Token, ...], schema: Schema) -> _Findings:
    message = "REPLACE deletes the row that is in the way, with its children, and fires no trigger for it"
    for index, token in enumerate(every):
        is_or = at(every, index - 1).upper == "OR"
        if token.upper == "REPLACE" and (is_or or token is verb(every)):
            first = every[index - 1] if is_or else token
            yield first, token, message, "INSERT ... ON CONFLICT (...) DO UPDATE SET ... changes the row that is there"


def _or_ignore(every: tuple[Token, ...], schema: Schema) -> _Findings:
    for before, token in pairwise(every):
        if token.upper == "IGNORE" and before.upper == "OR":
            hint = "ON CONFLICT (...) DO NOTHING names the one that is meant"
            yield before, token, "OR IGNORE passes over NOT NULL and CHECK too, silently", hint


def _clock(every: tuple[Token, ...], schema: Schema) -> _Findings:
    hint = "take the instant as a parameter: :now  timestamp  the instant of the transaction"
    for index, token in enumerate(every):
        if token.upper in _CLOCK_WORDS:
            yield token, token, f"{token.upper} reads the clock", hint
        elif token.upper in _CLOCK_FUNCTIONS and at(every, index + 1).text == "(":
            inside, last = arguments(every, index + 1)
            now = any(one.kind == "string" and one.text.lower() == "'now'" for one in inside)
            silent = not inside or (token.upper == "STRFTIME" and all(one.text != "," for one in inside))
            if now or silent:
                yield token, last, f"{token.text}() reads the clock", hint


def _optional_filter(every: tuple[Token, ...], schema: Schema) -> _Findings:
    hint = "write an optional line: AND x = :x -- if: x   (or one statement per access path)"
    for index, token in enumerate(every):
        if token.kind == "parameter" and [at(every, index + on).upper for on in (1, 2)] == ["IS", "NULL"]:
            before, after = index - 1, index + 3
            while at(every, before).text == "(" and at(every, after).text == ")":
                before, after = before - 1, after + 1
            if "OR" in (at(every, after).upper, at(every, before).upper):
                last = at(every, after if at(every, after).upper == "OR" else index + 2)
                yield token, last, f'"{token.text} IS NULL OR" reads every row: no index can serve both', hint
        elif token.upper in ("COALESCE", "IFNULL") and token.clause in ("WHERE", "ON"):
            inside, last = arguments(every, index + 1)
            column, compared = at(every, index - 2).name, at(every, index - 1).text in _COMPARE
            if compared and inside and inside[0].kind == "parameter" and column == inside[-1].name:
                message = f'comparing "{column}" with itself where {inside[0].text} is NULL reads every row'
                yield token, last, message, hint


def _null_comparison(every: tuple[Token, ...], schema: Schema) -> _Findings:
    for before, token in pairwise(every):
        if token.upper == "NULL" and before.text in _COMPARE and token.clause != "SET":
            hint = f'did you mean "{"IS NULL" if before.text in ("=", "==") else "IS NOT NULL"}"?'
            yield before, token, "a comparison with NULL is never true", hint


#: Columns that no schema lists: of json_each and json_tree, of full-text tables, of every table.
_OWN_COLUMNS = "key value type atom id parent fullkey path rank rowid oid _rowid_"


def _quoted_string(every: tuple[Token, ...], schema: Schema) -> _Findings:
    known = {name.lower() for names in schema.columns.values() for name in names} | {*_OWN_COLUMNS.split()}
    known |= {name.lower() for name in (*schema.kinds, *schema.columns)}
    known |= {token.name for index, token in enumerate(every) if _gives_name(every, index)}
    for index, token in enumerate(every):
        of_table = at(every, index - 1).text == "."  # never a text
        if token.kind == "quoted" and token.text.startswith('"') and token.name not in known and not of_table:
            near, text = did_you_mean(token.name, known), f"'{token.text[1:-1]}'"
            hint = f"{near[:-1]}, or the text {text}?" if near else f"did you mean {text}?"
            yield token, token, f"{token.text} names no column, so SQLite takes it for a text", hint


def _gives_name(every: Sequence[Token], index: int) -> bool:
    """Whether a token is an alias, the name of a common table expression or window, or a column of one."""
    if not every[index].name or every[index].upper in KEYWORDS:
        return False
    before, after = at(every, index - 1), at(every, index + 1)
    if before.upper in ("AS", "WITH", "RECURSIVE") or after.upper == "AS" or before.text == ")":
        return True
    if before.text == "," and after.text == "(":
        return True
    if before.kind in ("number", "string", "parameter") or (before.name and before.upper not in KEYWORDS):
        return True
    # WITH name ("a", "b") AS (
    first = last = index
    while at(every, first).name or at(every, first).text == ",":
        first -= 1
    while at(every, last).name or at(every, last).text == ",":
        last += 1
    is_list = at(every, first).text == "(" and at(every, last).text == ")" and at(every, last + 1).upper == "AS"
    return is_list and (at(every, last + 2).text == "(" or at(every, last + 2).upper in ("NOT", "MATERIALIZED"))


def _offset(every: tuple[Token, ...], schema: Schema) -> _Findings:
    message = "OFFSET reads and drops the rows before the page, and skips or repeats rows between two pages"
    hint = "continue after the last key returned: WHERE (created_at, id) > (:after_created_at, :after_id)"
    for index, token in enumerate(every):
        if token.upper == "OFFSET" or (token.text == "," and at(every, index - 2).upper == "LIMIT"):
            yield token, token, message, hint


_rules = (_star, _no_where, _insert_columns, _replace, _or_ignore, _clock)
_more_rules = (_optional_filter, _null_comparison, _quoted_string, _offset)
_RULES: dict[str, Callable[[tuple[Token, ...], Schema], _Findings]] = {
    rule.__name__[1:].replace("_", "-"): rule for rule in (*_rules, *_more_rules)
}
