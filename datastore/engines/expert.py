"""Finds the place in a raw full-text query that the engine does not understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from datastore.errors import DatabaseError, InvalidValueError, QuerySyntaxError

Result = TypeVar("Result")

#: Characters of a raw query: FTS5's time grows with the square of a long one.
MAX_LENGTH = 10_000

#: Parentheses that may be open at once: parsers call themselves for each.
MAX_DEPTH = 50

_unstorable = re.compile("[\x00\ud800-\udfff]")
_near = re.compile(r'^fts5: syntax error near "(?P<token>.*)"$', re.DOTALL)
_column = re.compile(r"^no such column: (?P<name>.*)$", re.DOTALL)
_token = re.compile(r'"(?:[^"]|"")*"|[^\s"(){}:+,*^-]+|\S')

#: What FTS5's own parser says begins so; everything else is another error.
_parser = ("fts5:", "no such column", "unterminated string", "unknown special query")


def checked(query: str, run: Callable[[str], Result]) -> Result:
    """What *run* gives for a raw query.

    Raises:
        QuerySyntaxError: The engine does not understand it; *position* says where.
        InvalidValueError: It is no text.
    """
    if not isinstance(query, str):
        raise InvalidValueError(f"query: text is needed, not {type(query).__name__}")
    if found := _unstorable.search(query):
        raise QuerySyntaxError("the query holds a character that no text keeps", found.start())
    if not query.strip():
        raise QuerySyntaxError("the query is empty", 0)
    if len(query) > MAX_LENGTH:
        raise QuerySyntaxError(f"the query is longer than {MAX_LENGTH:,} characters", MAX_LENGTH)
    if (place := _too_deep(query)) is not None:
        raise QuerySyntaxError(f"more than {MAX_DEPTH} parentheses are open", place)
    said = _said(query, run)
    if not isinstance(said, str):
        return said[0]
    raise QuerySyntaxError(_meaning(said), _position(query, said, run))


def _too_deep(query: str) -> int | None:
    depth = 0
    for place, sign in enumerate(query):
        depth += (sign == "(") - (sign == ")")
        if depth > MAX_DEPTH:
            return place
    return None


def _said(query: str, run: Callable[[str], Result]) -> tuple[Result] | str:
    """What *run* gave, or what the engine's parser said."""
    try:
        return (run(query),)
    except DatabaseError as error:
        said = str(error.__cause__)
        if not said.startswith(_parser):
            raise
        return said


def _meaning(said: str) -> str:
    if said.startswith("no such column"):
        return "there is no such column"
    if said.startswith("unterminated"):
        return "a quote is never closed"
    return "the query is not understood here"


def _position(query: str, said: str, run: Callable[[str], Result]) -> int:
    """The first character that cannot stand where it does; the query's length where something is missing."""
    if found := _column.match(said):
        return max(0, query.find(found["name"]))
    if said.startswith("unterminated"):
        return query.rfind('"')
    if not (found := _near.match(said)) or not found["token"]:
        return len(query) if found else 0
    # The parser stops at the first wrong word: the shortest beginning of the query that it stops in ends there.
    for token in _token.finditer(query):
        part = _said(query[: token.end()], run)
        if isinstance(part, str) and (near := _near.match(part)) and near["token"]:
            return token.start()
    return 0
