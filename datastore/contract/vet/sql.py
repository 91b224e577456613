"""Vet rules that the text alone decides: what prepares, runs, and is wrong or dear all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from datastore.contract.clauses import arguments, around, at, verb
from datastore.contract.problems import Problem
from datastore.contract.schema import Schema
from datastore.contract.sources import Source
from datastore.contract.text import KEYWORDS, Token, did_you_mean, tokens

_CLOCK_WORDS = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"})
_CLOCK_FUNCTIONS = frozenset({"DATE", "TIME", "DATETIME", "JULIANDAY", "STRFTIME", "UNIXEPOCH", "TIMEDIFF"})
_COMPARE = frozenset({"=", "==", "<>", "!="})

#: A finding: the first and the last token of what the caret underlines, a message, a hint.
Finding = tuple[str, Token, Token, str, str | None]


def check_sql(source: Source, schema: Schema) -> list[Problem]:
    """The problems of one statement's text."""
    every = tokens(source.body)
    out = []
    for rule in _RULES:
        for name, first, last, message, hint in rule(every, schema):
            place = source.at(first.start, last.end - first.start)
            out.append(Problem(name, place, message, hint, statement=source.name))
    return out


def _star(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    for index, token in enumerate(every):
        before = at(every, index - 1)
        if token.text != "*" or not (
            before.text in (",", ".") or before.upper in ("SELECT", "DISTINCT", "ALL", "RETURNING")
        ):
            continue
        first = at(every, index - 2) if before.text == "." else token
        hint = "name the columns: a migration that adds one must not change what is returned"
        yield "star", first, token, "columns are spelled out, never *", hint


def _no_where(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    does = verb(every)
    if does is None or does.upper not in ("UPDATE", "DELETE"):
        return
    if not any(one.depth == 0 and one.token.upper == "WHERE" for one in around(every)):
        hint = "say which rows, in batches: WHERE id IN (SELECT ... LIMIT :max_rows)"
        yield "no-where", does, does, f"{does.upper} without WHERE touches every row", hint


def _insert_columns(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    for index, token in enumerate(every):
        if token.upper != "INTO":
            continue
        name, behind = at(every, index + 1), at(every, index + 2)
        if behind.upper == "AS":
            behind = at(every, index + 4)
        if behind.text == "(" or behind.upper == "DEFAULT":
            continue
        columns = ", ".join(schema.columns.get(name.name, []))
        hint = f"write: INSERT INTO {name.text} ({columns}) ..." if columns else "list them in parentheses"
        yield "insert-columns", name, name, "INSERT without its columns depends on their order in the table", hint


def _replace(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    hint = "INSERT ... ON CONFLICT (...) DO UPDATE SET ... changes the row that is there"
    for one in around(every):
        before = at(every, one.index - 1)
        is_or = one.token.upper == "REPLACE" and before.upper == "OR"
        if is_or or (one.token.upper == "REPLACE" and one.token is verb(every)):
            first = before if is_or else one.token
            message = "REPLACE deletes the row that is in the way, with its children, and fires no trigger for it"
            yield "replace", first, one.token, message, hint


def _or_ignore(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    for index, token in enumerate(every):
        if token.upper == "IGNORE" and at(every, index - 1).upper == "OR":
            message = "OR IGNORE passes over NOT NULL and CHECK too, silently"
            yield (
                "or-ignore",
                at(every, index - 1),
                token,
                message,
                "ON CONFLICT (...) DO NOTHING names the one that is meant",
            )


def _clock(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    hint = "take the instant as a parameter: :now  timestamp  the instant of the transaction"
    for index, token in enumerate(every):
        if token.upper in _CLOCK_WORDS:
            yield "clock", token, token, f"{token.upper} reads the clock", hint
        elif token.upper in _CLOCK_FUNCTIONS and at(every, index + 1).text == "(":
            inside, last = arguments(every, index + 1)
            now = any(one.kind == "string" and one.text.lower() == "'now'" for one in inside)
            silent = not inside or (token.upper == "STRFTIME" and all(one.text != "," for one in inside))
            if now or silent:
                yield "clock", token, last, f"{token.text}() reads the clock", hint


def _optional_filter(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    hint = "write an optional line: AND x = :x -- if: x   (or one statement per access path)"
    for one in around(every):
        index, token = one.index, one.token
        if token.kind == "parameter" and [at(every, index + on).upper for on in (1, 2)] == ["IS", "NULL"]:
            before, after = index - 1, index + 3
            while at(every, before).text == "(" and at(every, after).text == ")":
                before, after = before - 1, after + 1
            if at(every, after).upper == "OR":
                last = at(every, after)
            elif at(every, before).upper == "OR":
                last = at(every, index + 2)
            else:
                continue
            message = f'"{token.text} IS NULL OR" reads every row: no index can serve both'
            yield "optional-filter", token, last, message, hint
        elif (
            token.upper in ("COALESCE", "IFNULL") and one.clause in ("WHERE", "ON") and at(every, index + 1).text == "("
        ):
            inside, last = arguments(every, index + 1)
            column = at(every, index - 2).name
            compared = at(every, index - 1).text in _COMPARE
            if compared and [one.kind for one in inside[:1]] == ["parameter"] and column == inside[-1].name:
                message = f'comparing "{column}" with itself where {inside[0].text} is NULL reads every row'
                yield "optional-filter", token, last, message, hint


def _null_comparison(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    for one in around(every):
        before = at(every, one.index - 1)
        if one.token.upper == "NULL" and before.text in _COMPARE and one.clause != "SET":
            word = "IS NULL" if before.text in ("=", "==") else "IS NOT NULL"
            yield (
                "null-comparison",
                before,
                one.token,
                "a comparison with NULL is never true",
                f'did you mean "{word}"?',
            )


#: Columns that no schema lists: of json_each and json_tree, of full-text tables, of every table.
_OWN_COLUMNS = frozenset(
    ("key", "value", "type", "atom", "id", "parent", "fullkey", "path", "rank", "rowid", "oid", "_rowid_")
)


def _quoted_string(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    known = {name.lower() for names in schema.columns.values() for name in names}
    known |= {name.lower() for name in (*schema.kinds, *schema.columns)} | _OWN_COLUMNS
    known |= {token.name for index, token in enumerate(every) if _gives_name(every, index)}
    for index, token in enumerate(every):
        if token.kind != "quoted" or not token.text.startswith('"') or token.name in known:
            continue
        if at(every, index - 1).text == ".":
            continue  # of a table: never a text
        message = f"{token.text} names no column, so SQLite takes it for a text"
        near = did_you_mean(token.name, known)
        hint = f"{near[:-1]}, or the text '{token.text[1:-1]}'?" if near else f"did you mean '{token.text[1:-1]}'?"
        yield "quoted-string", token, token, message, hint


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


def _offset(every: tuple[Token, ...], schema: Schema) -> Iterator[Finding]:
    for index, token in enumerate(every):
        is_comma = token.text == "," and at(every, index - 2).upper == "LIMIT"
        if token.upper == "OFFSET" or is_comma:
            message = "OFFSET reads and drops the rows before the page, and skips or repeats rows between two pages"
            yield (
                "offset",
                token,
                token,
                message,
                "continue after the last key returned: WHERE (created_at, id) > (:after_created_at, :after_id)",
            )


_RULES: tuple[Callable[[tuple[Token, ...], Schema], Iterator[Finding]], ...] = (
    _star,
    _no_where,
    _insert_columns,
    _replace,
    _or_ignore,
    _clock,
    _optional_filter,
    _null_comparison,
    _quoted_string,
    _offset,
)
