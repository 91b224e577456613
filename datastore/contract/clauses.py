"""The tokens of a statement with their context: clause, parentheses, neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import attrs

from datastore.contract.text import Token

_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES"})
_NOTHING = Token("", "", 0, 0)


@attrs.frozen
class Around:
    """The context of one token."""

    index: int
    token: Token
    #: The last clause keyword before it, in its own parentheses and its own CASE.
    clause: str
    #: The clauses around the open parentheses (and CASEs), outermost first.
    parents: tuple[str, ...]

    #: How many parentheses (and CASEs) are open.
    depth: int


_CLAUSES = frozenset({"SELECT", "SET", "WHERE", "ON", "HAVING", "WHEN", "FROM", "VALUES", "RETURNING", "LIMIT"})


@lru_cache(maxsize=1024)
def around(every: tuple[Token, ...]) -> tuple[Around, ...]:
    """Each token of a statement (`datastore.contract.text.tokens`) with its clause and the clauses around it."""
    return tuple(_around(every))


def _around(every: tuple[Token, ...]) -> Iterator[Around]:
    parents: tuple[str, ...] = ()
    clause = ""
    for index, token in enumerate(every):
        if (token.text == ")" or token.upper == "END") and parents:
            clause, parents = parents[-1], parents[:-1]
        yield Around(index, token, clause, parents, len(parents))
        if token.text == "(" or token.upper == "CASE":
            parents += (clause,)
        elif token.upper in _CLAUSES:
            clause = token.upper


def verb(every: tuple[Token, ...]) -> Token | None:
    """What the statement does: the first of SELECT, INSERT, ... that is in no parentheses."""
    return next((one.token for one in around(every) if one.depth == 0 and one.token.upper in _VERBS), None)


def at(every: Sequence[Token], index: int) -> Token:
    """The token of a number; an empty one where there is none."""
    return every[index] if 0 <= index < len(every) else _NOTHING


def arguments(every: Sequence[Token], opening: int) -> tuple[list[Token], Token]:
    """The tokens between a parenthesis and its twin, and the twin."""
    depth = 0
    for index in range(opening, len(every)):
        depth += (every[index].text == "(") - (every[index].text == ")")
        if not depth:
            return list(every[opening + 1 : index]), every[index]
    return list(every[opening + 1 :]), every[-1]
