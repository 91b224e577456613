"""What a person types, as a query that no text can break."""

from __future__ import annotations

import re

import attrs

from datastore.search.analysis import SHORTEST_FORM, Analyzer, composed, fold, form, is_wide, signed
from datastore.search.matching import Leaf, Match

#: Longer text is cut before anything else; nobody types so much.
MAX_LENGTH = 10_000

#: A query has at most this many terms; the first ones count.
MAX_TERMS = 32

#: A hyphen in front of a shorter word is an option of a command (rm -rf), and excludes nothing.
_SHORTEST_EXCLUDED = 3

# A NUL ends FTS5's text, a lone surrogate is no UTF-8.
_unstorable = re.compile("[\x00\ud800-\udfff]")
_chunk = re.compile(r'(?P<minus>(?<!\S)-(?=["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
# What joins the words of an identifier, a path or a version; a hyphen between words is as good as a blank.
_joined = re.compile(r"[^\W_][_./\\:@]+[^\W_]|\d")
_star = re.compile(r"(?P<word>[^\W_]+)\*\Z")


@attrs.frozen
class Term:
    """One word, beginning of a word, quoted phrase or word with its sign of a query."""

    #: As it was typed, without its quotes and its star.
    text: str
    #: What a row has that has it.
    leaf: Leaf
    #: The word itself, folded, where it is one that may be misspelt.
    word: str | None = None


@attrs.frozen
class SearchText:
    """A person's query: what a row has one of (or all of), and what it must not have."""

    #: Repeated ones count twice, as they do in BM25.
    terms: tuple[Term, ...]
    excluded: tuple[Term, ...] = ()
    #: Whether a row has to have every term.
    every: bool = False

    def match(self, filters: tuple[tuple[Leaf, ...], ...] = (), terms: tuple[Term, ...] = ()) -> Match:
        """The whole query, and what else a row must have.

        Args:
            filters: Groups of facets.
            terms: Only these of its terms.
        """
        leaves = tuple(term.leaf for term in terms or self.terms)
        asked = tuple((leaf,) for leaf in dict.fromkeys(leaves)) if self.every else (leaves,)
        return Match((*asked, *filters), tuple(dict.fromkeys(term.leaf for term in self.excluded)))

    def together(self, filters: tuple[tuple[Leaf, ...], ...], terms: tuple[Term, ...]) -> Match:
        """Every one of some terms, and what else a row must have."""
        return Match((*((term.leaf,) for term in terms), *filters), tuple(term.leaf for term in self.excluded))


@attrs.define
class _Chunk:
    """What stands between two blanks, or between quotes."""

    terms: list[Term]
    #: Those that say something about what is looked for.
    telling: list[Term]


def parse(analyzer: Analyzer, text: str, *, every: bool = False) -> SearchText | None:
    """The query in *text*: words, "quoted phrases", -excluded ones, and beginnings of words with a star.

    Terms without a letter or digit are dropped, and so are stop words outside phrases, if anything else is
    left. A double quote that is never closed is a blank. A hyphen excludes only where a quote or a word of three
    letters or more follows it, and another term is left.

    Args:
        analyzer: The index's own.
        text: Anything at all; what is behind its first 10,000 characters or 32 terms is ignored.
        every: A row has to have every term, not one of them.

    Returns:
        The query, or None if nothing in *text* can be searched for.
    """
    kept: list[tuple[_Chunk, _Chunk | None]] = []
    for found in _chunk.finditer(composed(_unstorable.sub(" ", text[:MAX_LENGTH]))):
        phrase, word = found["phrase"], found["word"]
        chunk = _phrase(analyzer, phrase) if phrase is not None else _bare(analyzer, word, every)
        # What a hyphen stands in front of, as it is where the hyphen excludes nothing.
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
    """What a row must not have: the phrase of all the words, the beginning, the word."""
    return max(chunk.terms, key=lambda term: (term.leaf.prefix, len(term.leaf.tokens)))


def _phrase(analyzer: Analyzer, text: str) -> _Chunk:
    text = " ".join(text.split())
    tokens = tuple(token for entry in analyzer.entries(text) for token in entry.tokens)
    if not tokens:
        return _Chunk([], [])
    terms = [_term(analyzer, text, tokens), *_signs(text)]
    return _Chunk(terms, terms)


def _term(analyzer: Analyzer, text: str, tokens: tuple[str, ...]) -> Term:
    """A phrase of tokens; of a script without blanks, one character is the beginning of a pair."""
    return Term(text, Leaf(tokens if len(tokens) == 1 or not is_wide(tokens[-1]) else tokens[:-1], _is_half(tokens)))


def _is_half(tokens: tuple[str, ...]) -> bool:
    return len(tokens) == 1 and is_wide(tokens[0])


def _signs(text: str) -> list[Term]:
    """The words of *text* with the signs that belong to them: what has them as they were typed ranks first."""
    return [Term(text[start:end], Leaf((name,))) for start, end, name in signed(text)]


def _bare(analyzer: Analyzer, text: str, every: bool) -> _Chunk:
    """What was typed without quotes: its words, and their sequence; what has it whole has them all, and ranks first."""
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
    """One run of letters: its words; every two characters of a script without blanks; the parts of a camelCase word."""
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
