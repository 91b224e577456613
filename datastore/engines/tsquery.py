"""A full-text query in FTS5's syntax, for PostgreSQL: ``"a b" OR c*`` becomes ``('a' <-> 'b') | 'c':*``.

This library writes its queries so (`datastore.engines.match`), and so may whoever calls ``search_raw``: one syntax for both
engines. What PostgreSQL cannot ask for is told with its position; only ``^`` (a column's first word) is such.
"""

from __future__ import annotations

import functools
import itertools
import re

from datastore.engines.match import FACET
from datastore.engines.words import fold, stem, words
from datastore.errors import QuerySyntaxError

_token = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[\w\u0080-\U0010ffff]+)|(?P<sign>\S)')

#: Words of two letters that PostgreSQL's stemmer, unlike FTS5's, makes one letter of.
_shortened = re.compile("[a-z]s|[aeiou]y")

#: The weights that the words of a column have (migrations/postgresql/0005.search.sql).
_WEIGHTS = {"title": "A", "content": "D"}

#: What no row has.
_NOTHING = "'\ue000'"

#: Words between two that are NEAR each other; more are not asked for: each distance is a term of its own.
_NEAR, _NEAREST = 10, 30

#: PostgreSQL indexes no longer words (bytes of UTF-8).
_LONGEST = 2000


@functools.lru_cache(maxsize=1000)
def tsquery(query: str) -> str:
    """*query* in PostgreSQL's syntax, its words stemmed as those of the index are.

    Raises:
        QuerySyntaxError: It is not understood; *position* says where.
    """
    return _Parser(query).whole()


class _Parser:
    """By recursive descent; OR binds loosest, then AND, then NOT, then words side by side, which all have to be there."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = [*_token.finditer(query)]
        self._place = 0
        self._unsupported: int | None = None

    def whole(self) -> str:
        found = self._or()
        if self._place < len(self._tokens):
            raise self._wrong()
        if self._unsupported is not None:
            raise QuerySyntaxError("PostgreSQL cannot ask for a column's first word", self._unsupported)
        return found

    def _or(self) -> str:
        parts = [self._and()]
        while self._word("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"

    def _and(self) -> str:
        parts = [self._not()]
        while self._word("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else f"({' & '.join(parts)})"

    def _not(self) -> str:
        found = self._beside()
        while self._word("NOT"):
            found = f"({found} & !{self._beside()})"
        return found

    def _beside(self) -> str:
        parts = [self._primary("")]
        while self._at_primary():
            parts.append(self._primary(""))
        return parts[0] if len(parts) == 1 else f"({' & '.join(parts)})"

    def _at_primary(self) -> bool:
        token = self._peek()
        if token is None:
            return False
        return token["sign"] in ("(", "^", "{", "-") if token["sign"] else token["bare"] not in ("AND", "OR", "NOT")

    def _primary(self, weights: str) -> str:
        if self._sign("("):
            found = self._or()
            if not self._sign(")"):
                raise self._wrong()
            return found
        if (columns := self._columns()) is not None:
            return self._primary(columns)
        if self._is_near():
            return self._near(weights)
        return self._phrase(weights)

    def _columns(self) -> str | None:
        """The weights of a column filter: ``title :``, ``{title content} :``, with a minus before it all the others."""
        start = self._place
        without = self._sign("-")
        names: list[str] = []
        if self._sign("{"):
            while (token := self._peek()) is not None and token["bare"]:
                names.append(self._column(token))
            if not self._sign("}"):
                raise self._wrong()
        elif (token := self._peek()) is not None and token["bare"] and self._follows(":"):
            names.append(self._column(token))
        if names and self._sign(":"):
            weights = {_WEIGHTS[name] for name in names}
            return "".join(sorted(set(_WEIGHTS.values()) - weights if without else weights)) or "B"
        if names or without:
            raise self._wrong()
        self._place = start
        return None

    def _column(self, token: re.Match[str]) -> str:
        name = token["bare"].lower()
        if name not in _WEIGHTS:
            raise QuerySyntaxError("there is no such column", token.start())
        self._place += 1
        return name

    def _is_near(self) -> bool:
        token = self._peek()
        return token is not None and token["bare"] == "NEAR" and self._follows("(")

    def _near(self, weights: str) -> str:
        self._place += 2
        phrases = [self._phrase(weights)]
        while self._at_primary():
            phrases.append(self._phrase(weights))
        between = _NEAR
        if self._sign(","):
            token = self._peek()
            if token is None or not (token["bare"] or "").isdigit():
                raise self._wrong()
            self._place += 1
            between = min(int(token["bare"]), _NEAREST)
        if not self._sign(")"):
            raise self._wrong()
        pairs = [
            " | ".join(f"{one} <{distance}> {other} | {other} <{distance}> {one}" for distance in range(1, between + 2))
            for one, other in itertools.pairwise(phrases)
        ]
        return "(" + " & ".join(f"({pair})" for pair in pairs or phrases) + ")"

    def _phrase(self, weights: str) -> str:
        caret = self._peek()
        if self._sign("^") and caret is not None:
            self._unsupported = caret.start()
        lexemes = self._string()
        while self._sign("+"):
            lexemes += self._string()
        star = self._sign("*")
        if not lexemes:
            return _NOTHING
        quoted = [f"'{_escaped(lexeme)}'" for lexeme in lexemes]
        marks = [weights] * len(quoted)
        marks[-1] += "*" if star else ""
        parts = [f"{word}:{mark}" if mark else word for word, mark in zip(quoted, marks, strict=True)]
        return parts[0] if len(parts) == 1 else f"({' <-> '.join(parts)})"

    def _string(self) -> list[str]:
        token = self._peek()
        if token is None or token["sign"] or token["bare"] in ("AND", "OR", "NOT"):
            raise self._wrong()
        self._place += 1
        return _lexemes(token["bare"] or token["quoted"].replace('""', '"'))

    def _peek(self) -> re.Match[str] | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _follows(self, sign: str) -> bool:
        behind = self._place + 1
        return behind < len(self._tokens) and self._tokens[behind]["sign"] == sign

    def _sign(self, sign: str) -> bool:
        return self._take("sign", sign)

    def _word(self, word: str) -> bool:
        return self._take("bare", word)

    def _take(self, kind: str, text: str) -> bool:
        """Whether the next token is this one; then it is passed."""
        token = self._peek()
        if token is None or token[kind] != text:
            return False
        self._place += 1
        return True

    def _wrong(self) -> QuerySyntaxError:
        token = self._peek()
        if token is not None and token["sign"] == '"':
            return QuerySyntaxError("a quote is never closed", token.start())
        position = len(self._query) if token is None else token.start()
        return QuerySyntaxError("the query is not understood here", position)


def _lexemes(text: str) -> list[str]:
    """The words of a phrase as the index has them."""
    if text.startswith(f"{FACET}w"):
        return [f"{FACET}w{_kept(stem(fold(text[2:])))}"]  # a title's word is a stem, every other facet stands as it is
    if text.startswith(FACET):
        return [text]
    found = [_kept(of or fold(text[start:end])) for start, end, of in words(text)]
    return [lexeme if len(lexeme.encode()) <= _LONGEST else FACET for lexeme in found]


def _kept(word: str) -> str:
    """A word as datastore_words() of the migrations leaves it for the stemmer."""
    return f"{word}0" if _shortened.fullmatch(word) else word


def _escaped(lexeme: str) -> str:
    return lexeme.replace("\\", "\\\\").replace("'", "''")
