"""Vet rules that the text alone decides: what prepares, runs, and is wrong or dear all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from datastore.contract.database import Catalogue
from datastore.contract.problems import Problem
from datastore.contract.sources import Source
from datastore.contract.text import Token, did_you_mean, tokens

_CLOCK_WORDS = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"})
_CLOCK_FUNCTIONS = frozenset({"DATE", "TIME", "DATETIME", "JULIANDAY", "STRFTIME", "UNIXEPOCH", "TIMEDIFF"})
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES"})
_COMPARE = frozenset({"=", "==", "<>", "!="})

#: A finding: the first and the last token of what the caret underlines, a message, a hint.
Finding = tuple[str, Token, Token, str, str | None]


def check_sql(source: Source, catalogue: Catalogue) -> list[Problem]:
    """The problems of one statement's text."""
    every = tokens(source.body)
    out = []
    for rule in _RULES:
        for name, first, last, message, hint in rule(every, catalogue):
            place = source.at(first.start, last.end - first.start)
            out.append(Problem(name, place, message, hint, statement=source.name))
    return out


@attrs.frozen
class Around:
    """What stands around one token."""

    index: int
    token: Token
    #: The last clause keyword before it, in its own parentheses and its own CASE.
    clause: str
    #: The clauses that the open parentheses (and CASEs) stand in, outermost first.
    parents: tuple[str, ...]

    @property
    def depth(self) -> int:
        """How many parentheses (and CASEs) are open."""
        return len(self.parents)


_CLAUSES = frozenset({"SELECT", "SET", "WHERE", "ON", "HAVING", "WHEN", "FROM", "VALUES", "RETURNING", "LIMIT"})


def around(every: Sequence[Token]) -> Iterator[Around]:
    """Each token with its clause and what it stands in."""
    parents: tuple[str, ...] = ()
    clause = ""
    for index, token in enumerate(every):
        if (token.text == ")" or token.upper == "END") and parents:
            clause, parents = parents[-1], parents[:-1]
        yield Around(index, token, clause, parents)
        if token.text == "(" or token.upper == "CASE":
            parents += (clause,)
        elif token.upper in _CLAUSES:
            clause = token.upper


def verb(every: Sequence[Token]) -> Token | None:
    """What the statement does: the first of SELECT, INSERT, ... that stands in no parentheses."""
    return next((one.token for one in around(every) if one.depth == 0 and one.token.upper in _VERBS), None)


def _before(every: Sequence[Token], index: int, back: int = 1) -> Token:
    return every[index - back] if index >= back else Token("", "", 0, 0)


def _after(every: Sequence[Token], index: int, on: int = 1) -> Token:
    return every[index + on] if index + on < len(every) else Token("", "", 0, 0)


def _star(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    for index, token in enumerate(every):
        before = _before(every, index)
        if token.text != "*" or not (
            before.text in (",", ".") or before.upper in ("SELECT", "DISTINCT", "ALL", "RETURNING")
        ):
            continue
        first = _before(every, index, 2) if before.text == "." else token
        hint = "name the columns: a migration that adds one must not change what is returned"
        yield "star", first, token, "columns are spelled out, never *", hint


def _no_where(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    does = verb(every)
    if does is None or does.upper not in ("UPDATE", "DELETE"):
        return
    if not any(one.depth == 0 and one.token.upper == "WHERE" for one in around(every)):
        hint = "say which rows, in batches: WHERE id IN (SELECT ... LIMIT :max_rows)"
        yield "no-where", does, does, f"{does.upper} without WHERE touches every row", hint


def _insert_columns(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    for index, token in enumerate(every):
        if token.upper != "INTO":
            continue
        name, behind = _after(every, index), _after(every, index, 2)
        if behind.upper == "AS":
            behind = _after(every, index, 4)
        if behind.text == "(" or behind.upper == "DEFAULT":
            continue
        columns = ", ".join(catalogue.columns.get(name.name, []))
        hint = f"write: INSERT INTO {name.text} ({columns}) ..." if columns else "list them in parentheses"
        yield "insert-columns", name, name, "INSERT without its columns depends on their order in the table", hint


def _replace(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    hint = "INSERT ... ON CONFLICT (...) DO UPDATE SET ... changes the row that is there"
    for one in around(every):
        before = _before(every, one.index)
        is_or = one.token.upper == "REPLACE" and before.upper == "OR"
        if is_or or (one.token.upper == "REPLACE" and one.token is verb(every)):
            first = before if is_or else one.token
            message = "REPLACE deletes the row that is in the way, with its children, and fires no trigger for it"
            yield "replace", first, one.token, message, hint


def _or_ignore(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    for index, token in enumerate(every):
        if token.upper == "IGNORE" and _before(every, index).upper == "OR":
            message = "OR IGNORE passes over NOT NULL and CHECK too, silently"
            yield (
                "or-ignore",
                _before(every, index),
                token,
                message,
                "ON CONFLICT (...) DO NOTHING names the one that is meant",
            )


def _clock(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    hint = "take the instant as a parameter: :now  timestamp  the instant of the transaction"
    for index, token in enumerate(every):
        if token.upper in _CLOCK_WORDS:
            yield "clock", token, token, f"{token.upper} reads the clock", hint
        elif token.upper in _CLOCK_FUNCTIONS and _after(every, index).text == "(":
            arguments, last = _arguments(every, index + 1)
            now = any(one.kind == "string" and one.text.lower() == "'now'" for one in arguments)
            silent = not arguments or (token.upper == "STRFTIME" and all(one.text != "," for one in arguments))
            if now or silent:
                yield "clock", token, last, f"{token.text}() reads the clock", hint


def _arguments(every: Sequence[Token], opening: int) -> tuple[list[Token], Token]:
    """The tokens between a parenthesis and its twin, and the twin."""
    depth = 0
    for index in range(opening, len(every)):
        depth += (every[index].text == "(") - (every[index].text == ")")
        if not depth:
            return list(every[opening + 1 : index]), every[index]
    return list(every[opening + 1 :]), every[-1]


def _optional_filter(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    hint = "write an optional line: AND x = :x -- if: x   (or one statement per access path)"
    for one in around(every):
        index, token = one.index, one.token
        words = [_after(every, index, on).upper for on in (1, 2, 3)]
        if token.kind == "parameter" and words[:2] == ["IS", "NULL"]:
            if words[2] == "OR":
                last = _after(every, index, 3)
            elif _before(every, index).upper == "OR":
                last = _after(every, index, 2)
            else:
                continue
            message = f'"{token.text} IS NULL OR" reads every row: no index can serve both'
            yield "optional-filter", token, last, message, hint
        elif (
            token.upper in ("COALESCE", "IFNULL") and one.clause in ("WHERE", "ON") and _after(every, index).text == "("
        ):
            arguments, last = _arguments(every, index + 1)
            column = _before(every, index, 2).name
            compared = _before(every, index).text in _COMPARE
            if compared and [one.kind for one in arguments[:1]] == ["parameter"] and column == arguments[-1].name:
                message = f'comparing "{column}" with itself where {arguments[0].text} is NULL reads every row'
                yield "optional-filter", token, last, message, hint


def _null_comparison(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    for one in around(every):
        before = _before(every, one.index)
        if one.token.upper == "NULL" and before.text in _COMPARE and one.clause != "SET":
            word = "IS NULL" if before.text in ("=", "==") else "IS NOT NULL"
            yield (
                "null-comparison",
                before,
                one.token,
                "a comparison with NULL is never true",
                f'did you mean "{word}"?',
            )


def _quoted_string(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    known = {name.lower() for names in catalogue.columns.values() for name in names}
    known |= {name.lower() for name in (*catalogue.kinds, *catalogue.columns)}
    given = {_after(every, index).name for index, token in enumerate(every) if token.upper == "AS"}
    for token in every:
        if token.kind == "quoted" and token.text.startswith('"') and token.name not in known | given:
            message = f"{token.text} names no column, so SQLite takes it for a text"
            near = did_you_mean(token.name, known)
            hint = f"{near[:-1]}, or the text '{token.text[1:-1]}'?" if near else f"did you mean '{token.text[1:-1]}'?"
            yield "quoted-string", token, token, message, hint


def _offset(every: Sequence[Token], catalogue: Catalogue) -> Iterator[Finding]:
    for index, token in enumerate(every):
        is_comma = token.text == "," and _before(every, index, 2).upper == "LIMIT"
        if token.upper == "OFFSET" or is_comma:
            message = "OFFSET reads and drops the rows before the page, and skips or repeats rows between two pages"
            yield (
                "offset",
                token,
                token,
                message,
                "go on behind the last key returned: WHERE (created_at, id) > (:after_created_at, :after_id)",
            )


_RULES: tuple[Callable[[Sequence[Token], Catalogue], Iterator[Finding]], ...] = (
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
