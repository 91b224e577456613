"""Queries and documents as each engine takes them: FTS5's syntax, or PostgreSQL's tsquery and tsvector.

They are parameters of the types ``match`` and ``words``: ``str()`` writes them for SQLite, `for_postgresql` for
PostgreSQL. Tokens consist of letters, digits, marks and the signs ``= : + # . @ $ ~ -``, which need no escape in either syntax.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import attrs

from datastore.search.analysis import FORM, Document

#: How much a token in a title counts, and a form.
TITLE_WEIGHT, FORM_WEIGHT = 5.0, 10.0

#: PostgreSQL's limits on the position of a lexeme and the size of a tsvector: the rest of a longer text is not indexed there.
_LAST_PLACE, _LARGEST = 16_383, 1_000_000

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

#: A token in the facets of every row.
EVERY = "in:index"


@attrs.frozen
class Leaf:
    """Consecutive tokens."""

    tokens: tuple[str, ...]
    #: Whether the last one is only a prefix. The prefix of a form also matches tokens: a word may be its own token.
    prefix: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it is a single token of a text, which may occur more than once."""
        return len(self.tokens) == 1 and not self.prefix and not self.tokens[0].startswith(FORM)

    @property
    def beginnings(self) -> tuple[str, ...]:
        """The prefixes that a token may have, if this is a prefix."""
        first = self.tokens[0]
        return (first, first.removeprefix(FORM)) if first.startswith(FORM) else (first,)

    def fts5(self) -> str:
        """In FTS5's syntax."""
        if not self.prefix:
            return f'"{" ".join(self.tokens)}"'
        beginnings = [f'"{token}" *' for token in self.beginnings]
        return beginnings[0] if len(beginnings) == 1 else f"({' OR '.join(beginnings)})"

    def tsquery(self) -> str:
        """In PostgreSQL's syntax."""
        found = [f"'{token}'" for token in self.tokens]
        joined = " <-> "
        if self.prefix:
            found, joined = [f"'{token}':*" for token in self.beginnings], " | "
        return found[0] if len(found) == 1 else f"({joined.join(found)})"


@attrs.frozen
class Match:
    """What a row must have: at least one leaf of each group, and no excluded leaf."""

    groups: tuple[tuple[Leaf, ...], ...]
    excluded: tuple[Leaf, ...] = ()
    #: For PostgreSQL, which has no BM25: the weight of each leaf.
    weights: tuple[tuple[Leaf, float], ...] = ()

    def __str__(self) -> str:
        query = " AND ".join(f"({' OR '.join(leaf.fts5() for leaf in group)})" for group in self.groups)
        return f"({query}) NOT ({' OR '.join(leaf.fts5() for leaf in self.excluded)})" if self.excluded else query

    def tsquery(self) -> str:
        """In PostgreSQL's syntax."""
        query = " & ".join(f"({' | '.join(leaf.tsquery() for leaf in group)})" for group in self.groups)
        return query + "".join(f" & !{leaf.tsquery()}" for leaf in self.excluded)

    def for_postgresql(self) -> str:
        """The query and the weights for ranking, as JSON."""
        words = [[leaf.tokens[0], weight] for leaf, weight in self.weights if leaf.is_word]
        phrases = [
            [leaf.tsquery(), weight, FORM_WEIGHT if leaf.tokens[0].startswith(FORM) else 1.0]
            for leaf, weight in self.weights
            if not leaf.is_word
        ]
        return json.dumps({"query": self.tsquery(), "words": words, "phrases": phrases})


@attrs.frozen
class Matches:
    """Several queries, for one statement."""

    queries: Sequence[Match]

    def __str__(self) -> str:
        return json.dumps([str(query) for query in self.queries])

    def for_postgresql(self) -> str:
        """As a JSON list."""
        return json.dumps([query.tsquery() for query in self.queries])


@attrs.frozen
class Words:
    """The words of a message, as a parameter of the statement that stores it."""

    document: Document

    def __str__(self) -> str:
        return f"{self.document.content}\t{self.document.forms}"

    def for_postgresql(self) -> str:
        """As a JSON list of a tsvector and the number of tokens."""
        return _dumps(tsvector(self.document))


@attrs.frozen
class Indexed:
    """A row's entry in the index."""

    document: Document
    #: Separated by blanks.
    facets: str

    def of(self, source: str, session_id: str | None) -> Indexed:
        """With the facets of its conversation. The statement append_message adds the same."""
        session = "" if session_id is None else f" {plain_facet('s', session_id)}"
        return Indexed(self.document, f"{self.facets} {plain_facet('o', source)}{session}")

    def columns(self) -> tuple[str, str, str, str]:
        """As FTS5 takes them: content, title, forms, facets."""
        return self.document.content, self.document.title, self.document.forms, self.facets


@attrs.frozen
class Rows:
    """The entries of several rows by their ids, for one statement."""

    rows: Mapping[str, Indexed]

    def __str__(self) -> str:
        return _dumps([[id, *row.columns()] for id, row in self.rows.items()])

    def for_postgresql(self) -> str:
        """As a JSON list of ids, tsvectors and numbers of tokens."""
        return _dumps([[id, *tsvector(row.document, row.facets)] for id, row in self.rows.items()])


def tsvector(document: Document, facets: str = "") -> tuple[str, int]:
    """A row's tsvector, and its number of tokens."""
    places: dict[str, list[str]] = {}
    # A gap in the positions, so that no phrase spans title and content.
    title, content = document.title.split(), document.content.split()
    others = f"{facets} {document.forms}".split()
    size = 0
    for start, tokens, weight in ((1, title, "A"), (len(title) + 2, content, "")):
        for place, token in enumerate(tokens, start):
            if (found := places.get(token)) is None:
                size += 4 * len(token) + 4
                if size > _LARGEST:
                    break
                found = places[token] = []
            if len(found) < 255:
                size += 2
                found.append(f"{min(place, _LAST_PLACE)}{weight}")
    words = [f"'{token}':{','.join(at)}" for token, at in places.items()]
    for token in others:
        size += 4 * len(token) + 4
        if size <= _LARGEST:
            words.append(f"'{token}'")
    return " ".join(words), len(title) + len(content) + len(others)


@functools.lru_cache(maxsize=10_000)
def facet(kind: str, value: str) -> str:
    """A category, tag, conversation, ... as a token: a hash, because it may contain any character."""
    return f"{kind}:{hashlib.blake2b(value.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


@functools.lru_cache(maxsize=10_000)
def plain_facet(kind: str, value: str) -> str:
    """A session or source as a token that SQL can compute too: its bytes in hexadecimal digits."""
    return f"{kind}:{value.encode('utf-8', 'replace').hex()}"


def all_of(tokens: Iterable[str]) -> list[tuple[Leaf, ...]]:
    """Groups that require every one of *tokens*."""
    return [(Leaf((token,)),) for token in tokens]


def any_of(tokens: Iterable[str]) -> list[tuple[Leaf, ...]]:
    """A group that requires one of *tokens*; no group if there are none."""
    leaves = tuple(Leaf((token,)) for token in tokens)
    return [leaves] if leaves else []


def for_postgresql(value: Match | Matches | Words | Rows) -> str:
    """A parameter of type match or words as PostgreSQL's statements take it."""
    return value.for_postgresql()
