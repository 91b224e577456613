"""SQL as tokens with their places and clauses: enough to point at a word, whatever dialect's parser would refuse."""

from __future__ import annotations

import difflib
import re
from collections import UserDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import attrs

from datastore.statements.optional import QUOTED

_token = re.compile(
    rf"""
    (?P<space>\s+) | (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<quoted>"(?:""|[^"])*"|`[^`]*`|\[[^\]]*\]) | (?P<string>[xX]'[^']*'|{QUOTED})
    | (?P<parameter>(?<![:\w\])]):[^\W\d]\w*) | (?P<other>[@$:]\w+|\?\d*) | (?P<number>\d[\w.]*) | (?P<word>[^\W\d]\w*)
    | (?P<mark><>|!=|<=|>=|\|\||->>|->|<<|>>|==|.)
    """,
    re.VERBOSE | re.DOTALL,
)

_keywords = """
ALL AND AS ASC BETWEEN BY CASE CAST COLLATE CONFLICT CROSS DEFAULT DELETE DESC DISTINCT DO ELSE END ESCAPE EXCEPT EXISTS
FROM FULL GLOB GROUP HAVING IN INDEXED INNER INSERT INTERSECT INTO IS ISNULL JOIN LEFT LIKE LIMIT MATCH MATERIALIZED
NATURAL NOT NOTHING NOTNULL NULL OFFSET ON OR ORDER OUTER OVER PARTITION RECURSIVE REPLACE RETURNING RIGHT SELECT SET
THEN UNION UPDATE USING VALUES WHEN WHERE WINDOW WITH WITHOUT
"""
_schema_keywords = """
ABORT ADD AFTER ALTER AUTOINCREMENT BEFORE BEGIN CASCADE CHECK COLUMN CONSTRAINT CREATE FOREIGN GENERATED IF IMMEDIATE
INDEX INSTEAD KEY OF PRIMARY RAISE REFERENCES RESTRICT STORED STRICT TABLE TRIGGER UNIQUE VIEW VIRTUAL ROWID
"""
#: SQLite's words that a person could have meant to write and that an alias is never called.
KEYWORDS = frozenset(_keywords.split())
#: Those of a schema; not the ones that are likelier names (first, row, ...).
SCHEMA_KEYWORDS = frozenset(_schema_keywords.split())


_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES"})
_CLAUSES = frozenset({"SELECT", "SET", "WHERE", "ON", "HAVING", "WHEN", "FROM", "VALUES", "RETURNING", "LIMIT"})


@attrs.frozen(eq=False)
class Token:
    """One word, string, parameter or mark of a text; blanks and comments are none. Two are equal if they are one."""

    #: "string", "quoted", "parameter", "other" (a parameter of another kind than ``:name``), "number", "word" or "mark".
    kind: str
    text: str
    #: Offsets in the text, in characters, from 0; *end* is the one after it.
    start: int
    end: int
    #: The word as a keyword is spelled; "" for what is no word.
    upper: str = ""
    #: The identifier, without its quotes, in lower case; "" for what is no identifier.
    name: str = ""
    #: The last clause keyword before it, in its own parentheses and its own CASE.
    clause: str = ""
    #: The clauses around the open parentheses (and CASEs), outermost first.
    parents: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """How many parentheses (and CASEs) are open."""
        return len(self.parents)


@lru_cache(maxsize=4096)
def tokens(sql: str) -> tuple[Token, ...]:
    tokens, parents, clause = [], tuple[str, ...](), ""
    for found in _token.finditer(sql):
        kind, text = found.lastgroup or "", found[0]
        if kind in ("space", "comment"):
            continue
        upper = text.upper() if kind == "word" else ""
        quoted = text[1:-1].replace('""', '"') if kind == "quoted" else ""
        if (text == ")" or upper == "END") and parents:
            clause, parents = parents[-1], parents[:-1]
        tokens.append(Token(kind, text, found.start(), found.end(), upper, (upper or quoted).lower(), clause, parents))
        if text == "(" or upper == "CASE":
            parents += (clause,)
        elif upper in _CLAUSES:
            clause = upper
    return tuple(tokens)


def pieces(sql: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of everything in *sql*, blanks ("space") and comments too: joined, they are *sql* again."""
    return ((found.lastgroup or "", found[0]) for found in _token.finditer(sql))


def normal(sql: str) -> str:
    """*sql* without comments, with one blank between tokens: two texts that differ in layout are equal."""
    return " ".join(token.text for token in tokens(sql))


def parameters(sql: str) -> dict[str, Token]:
    """The ``:name`` parameters of *sql*, each with its first place."""
    found: dict[str, Token] = {}
    for token in tokens(sql):
        if token.kind == "parameter":
            found.setdefault(token.text[1:], token)
    return found


def find_name(sql: str, name: str) -> Token | None:
    """The first place of an identifier; ``a.b`` is the ``b`` of the first ``a.b``."""
    parts = name.lower().split(".")
    every = tokens(sql)
    for index, token in enumerate(every):
        if token.name != parts[-1]:
            continue
        if len(parts) == 1 or (index >= 2 and every[index - 1].text == "." and every[index - 2].name == parts[-2]):
            return token
    return None


def find_phrase(sql: str, *words: str) -> Token | None:
    """The first place of some keywords in a row, as one token; ``None`` where there is none."""
    every = tokens(sql)
    for index in range(len(every) - len(words) + 1):
        run = every[index : index + len(words)]
        if all(token.upper == word or token.text == word for token, word in zip(run, words, strict=True)):
            return Token("word", sql[run[0].start : run[-1].end], run[0].start, run[-1].end)
    return None


def listed(every: Sequence[Token], start: int) -> list[str]:
    """The names from a token on, up to the closing parenthesis."""
    names = []
    for token in every[start:]:
        if token.text == ")":
            break
        if token.name:
            names.append(token.name)
    return names


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """``did you mean "x"?`` for the known word that is nearest to *word*; ``None`` where none is near."""
    names = {name.lower(): name for name in sorted(set(known))}
    near = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return f'did you mean "{names[near[0]]}"?' if near else None


_NOTHING = Token("", "", 0, 0)


def verb(every: tuple[Token, ...]) -> Token | None:
    """What the statement does: the first of SELECT, INSERT, ... that is in no parentheses."""
    return next((token for token in every if token.depth == 0 and token.upper in _VERBS), None)


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


Value = TypeVar("Value")


class Caseless(UserDict[str, Value]):
    """Values by SQL name. Looking up ignores case; going through gives the names as they were first set."""

    def __init__(self) -> None:
        super().__init__()
        self._spelled: dict[str, str] = {}

    def __getitem__(self, name: str) -> Value:
        return self.data[self.spelled(name)]

    def __setitem__(self, name: str, value: Value) -> None:
        self.data[self._spelled.setdefault(name.lower(), name)] = value

    def __contains__(self, name: object) -> bool:
        return self.spelled(str(name)) in self.data

    def spelled(self, name: str) -> str:
        """The name as it was first set, or as it is given here if it never was."""
        return self._spelled.get(name.lower(), name)


def leading(text: str, names: Iterable[str]) -> str:
    """The name that *text* begins with: the longest of *names*, which may have blanks in them, or its first word."""
    lower = text.lower()
    fitting = [name for name in names if lower == name.lower() or lower.startswith(f"{name.lower()} ")]
    return max(fitting, key=len) if fitting else text.partition(" ")[0]


def identifier(name: str) -> str:
    """A name as SQL takes it: in double quotes unless it is a plain word."""
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
