"""Parses what a person types. No text is a syntax error."""

from __future__ import annotations

import re

import attrs

from datastore.search.analysis import SHORTEST_FORM, Analyzer, composed, fold, form, is_wide, signed
from datastore.search.matching import Leaf, Match

#: Longer text is cut first; nobody types that much.
MAX_LENGTH = 10_000

#: Terms per query; further ones are ignored.
MAX_TERMS = 32

#: A hyphen before a shorter word is an option of a command (rm -rf) and excludes nothing.
_SHORTEST_EXCLUDED = 3

# A NUL ends FTS5's text; a lone surrogate is not UTF-8.
_unstorable = re.compile("[\x00\ud800-\udfff]")
_chunk = re.compile(r'(?P<minus>(?<!\S)-(?=["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
# What joins the words of an identifier, a path or a version. A hyphen between words counts as a blank.
_joined = re.compile(r"[^\W_][_./\\:@]+[^\W_]|\d")
_star = re.compile(r"(?P<word>[^\W_]+)\*\Z")


@attrs.frozen
class Term:
    """One term of a query: a word, the beginning of a word, a quoted phrase, or a word with its sign."""

    #: As it was typed, without quotes and star.
    text: str
    #: What a matching row has.
    leaf: Leaf
    #: The folded word, if it may be misspelt.
    word: str | None = None


@attrs.frozen
class SearchText:
    """A parsed query: the terms of which a row must have one (or all), and the excluded terms."""

    #: Repeated terms count twice, as in BM25.
    terms: tuple[Term, ...]
    excluded: tuple[Term, ...] = ()
    #: Whether a row must have every term.
    every: bool = False

    def match(self, filters: tuple[tuple[Leaf, ...], ...] = (), terms: tuple[Term, ...] = ()) -> Match:
        """The whole query with filters.

        Args:
            filters: Groups of facets.
            terms: Only these of its terms.
        """
        leaves = tuple(term.leaf for term in terms or self.terms)
        asked = tuple((leaf,) for leaf in dict.fromkeys(leaves)) if self.every else (leaves,)
        return Match((*asked, *filters), tuple(dict.fromkeys(term.leaf for term in self.excluded)))

    def together(self, filters: tuple[tuple[Leaf, ...], ...], terms: tuple[Term, ...]) -> Match:
        """All of some terms, with filters."""
        return Match((*((term.leaf,) for term in terms), *filters), tuple(term.leaf for term in self.excluded))


@attrs.define
class _Chunk:
    """The text between two blanks, or between quotes."""

    terms: list[Term]
    #: The terms that are not stop words.
    telling: list[Term]


def parse(analyzer: Analyzer, text: str, *, every: bool = False) -> SearchText | None:
    """The query in *text*: words, "quoted phrases", -excluded ones, and beginnings of words with a star.

    Terms without a letter or digit are dropped, and so are stop words outside phrases if other terms are
    left. An unclosed double quote counts as a blank. A hyphen excludes only where a quote or a word of three
    letters or more follows it, and another term is left.

    Args:
        analyzer: The analyzer of the index.
        text: Any text. Everything after its first 10,000 characters or 32 terms is ignored.
        every: A row must have every term, instead of one of them.

    Returns:
        The query, or None if *text* has nothing to search for.
    """
    kept: list[tuple[_Chunk, _Chunk | None]] = []
    for found in _chunk.finditer(composed(_unstorable.sub(" ", text[:MAX_LENGTH]))):
        phrase, word = found["phrase"], found["word"]
        chunk = _phrase(analyzer, phrase) if phrase is not None else _bare(analyzer, word, every)
        # The chunk as it is if its hyphen excludes nothing.
        plain = None
        if found["minus"]:
            whole = found[0] if phrase is None else phrase
            plain = _phrase(analyzer, whole) if phrase is not None else _bare(analyzer, whole, every)
            if phrase is None and len(fold(word)) < _SHORTEST_EXCLUDED:
                chunk, plain = plain, None
        if chunk.terms:
            kept.append((chunk, plain))
    if all(plain is not None for _, plain in kept):
        kept = [(plain, None) for _, plain in kept if plain is not None]
    terms = [term for chunk, plain in kept if plain is None for term in chunk.terms]
    telling = [term for chunk, plain in kept if plain is None for term in chunk.telling]
    if not terms:
        return None
    excluded = [_whole(analyzer, chunk) for chunk, plain in kept if plain is not None]
    return SearchText(tuple((telling or terms)[:MAX_TERMS]), tuple(excluded[:MAX_TERMS]), every)


def _whole(analyzer: Analyzer, chunk: _Chunk) -> Term:
    """The term that a row must not have: the phrase of all words, the beginning, or the word."""
    return max(chunk.terms, key=lambda term: (term.leaf.prefix, len(term.leaf.tokens)))


def _phrase(analyzer: Analyzer, text: str) -> _Chunk:
    text = " ".join(text.split())
    tokens = tuple(token for entry in analyzer.entries(text) for token in entry.tokens)
    if not tokens:
        return _Chunk([], [])
    terms = [_term(analyzer, text, tokens), *_signs(text)]
    return _Chunk(terms, terms)


def _term(analyzer: Analyzer, text: str, tokens: tuple[str, ...]) -> Term:
    """A phrase of tokens. In a script without blanks, one character is the prefix of a pair."""
    return Term(text, Leaf(tokens if len(tokens) == 1 or not is_wide(tokens[-1]) else tokens[:-1], _is_half(tokens)))


def _is_half(tokens: tuple[str, ...]) -> bool:
    return len(tokens) == 1 and is_wide(tokens[0])


def _signs(text: str) -> list[Term]:
    """The words of *text* with their signs: a row that has them as they were typed ranks first."""
    return [Term(text[start:end], Leaf((name,))) for start, end, name in signed(text)]


def _bare(analyzer: Analyzer, text: str, every: bool) -> _Chunk:
    """Text without quotes: its words and their sequence. A row that has the whole sequence ranks first."""
    star = _star.search(text)
    terms: list[Term] = []
    telling: list[Term] = []
    sequence: list[str] = []
    for start, entry in analyzer.runs(text):
        last = star is not None and start == star.start()
        run = text[start : start + entry.spans[-1][1]]
        if last and star is not None and len(form(star["word"])) > SHORTEST_FORM and not entry.wide:
            terms.append(Term(star["word"], Leaf((form(star["word"]),), prefix=True)))
            telling.append(terms[-1])
            continue
        sequence += entry.tokens
        words = _words(analyzer, run, entry.wide, every)
        terms += words
        telling += [term for term in words if entry.wide or not analyzer.is_stop_word(term.text)]
    signs = _signs(text)
    more = signs
    if len(sequence) > 1 and not (terms and terms[-1].leaf.prefix) and (every or _joined.search(text) or is_wide(text)):
        whole = _term(analyzer, text, tuple(sequence))
        more = signs if whole.leaf in [term.leaf for term in terms] and not every else [whole, *signs]
        if every:
            return _Chunk(more, more)
    return _Chunk([*terms, *more], [*telling, *more])


def _words(analyzer: Analyzer, run: str, wide: bool, every: bool) -> list[Term]:
    """The terms of one run of letters: words, pairs of characters of a script without blanks, parts of a camelCase word."""
    (entry,) = analyzer.entries(run)
    if not wide:
        word = fold(run) if len(entry.tokens) == 1 else None
        found = [Term(run, Leaf((token,)), word) for token in entry.tokens]
        return found if every else found + [Term(run, Leaf((part,))) for part in entry.parts]
    if every or len(entry.tokens) == 1:
        return [_term(analyzer, run, entry.tokens)]
    last = len(entry.tokens) - 1
    return [
        Term(run[start:end], Leaf((token,)))
        for place, (token, (start, end)) in enumerate(zip(entry.tokens, entry.spans, strict=True))
        if not (place == last and is_wide(token))
    ]
