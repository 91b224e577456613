"""The analyzer: it turns a text into the tokens that it is found by. Both engines' indexes, queries, marks and scores use it.

The tokens of a text, in their order:

- A word is letters, digits and the marks that belong to them. Its token is its stem, in lower case, without diacritics.
- A word of a script without blanks (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) becomes its overlapping pairs of
  characters and its last character.
- The parts of camelCase words come after the tokens of the text.

In addition a text has *forms*: whole words that differ from their tokens ("=organization"), because the beginning of a word is
compared with words, not with stems; and words with the signs that belong to them ("=c++", "=.net", "=-m").
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import attrs

from datastore.errors import InvalidValueError

#: The language of a new database where none is given.
DEFAULT_LANGUAGE = "english"

#: The first character of every form, and of no token.
FORM = "="

#: The shortest word that has a form.
SHORTEST_FORM = 3

#: A longer token is cut, and a hash of the whole token is appended: PostgreSQL does not index lexemes over 2 KB.
_LONGEST = 60

#: A longer word is data (for example base64), not a camelCase name.
_LONGEST_NAME = 256

#: Number of words that an analyzer remembers.
_REMEMBERED = 100_000

_english = """
    a about an and are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its me my no not of on or our she should so some such than that the their them then there these
    they this to was we were what when where which who why will with would you your
"""

#: English words that say nothing about the topic of a search. A query of such words alone still searches for them
#: ("to be or not to be").
STOP_WORDS = frozenset(_english.split())

_run = re.compile("[^ ]+")

# Scripts without blanks between words, and Korean, which joins particles to words.
_WIDE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdf\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_piece = re.compile(f"[{_WIDE}]+|[^{_WIDE}]+")
_wide = re.compile(f"[{_WIDE}]")

# The places before the parts of a camelCase word.
_camel = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z0-9])(?=[A-Z][a-z])")

# A sign that belongs to the word after it (.NET, -m, --force, @app, #tag, $HOME) or before it (C++, C#). The pattern begins
# with the sign, because few characters are signs, so that searching is fast.
_sign = re.compile(r"""[-.@#$+](?:(?<![^\s(\[{<"'`,;:=/|].)(?<!\+)-?(?P<after>[^\W_]+)|(?<=[^\W_][+#])\+?(?![\w+#]))""")
_last_word = re.compile(r"[^\W_]+\Z")

# Letters that Unicode does not decompose, and how they are written without their mark.
_plain = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}
)


class _Characters(dict[int, str]):
    """Maps a character of a word to itself, and any other character to a blank; filled on first use."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = kept = chr(code) if category[0] in "LNM" or category == "Cf" else " "
        return kept


_characters = _Characters()


@functools.cache
def _is_diacritic(character: str) -> bool:
    """Whether a word stays the same without this mark: Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowels.

    Vowel signs of Indic scripts, tones of Thai and similar marks have other combining classes and are kept.
    """
    kind = unicodedata.combining(character)
    return kind >= 200 or 10 <= kind <= 36 or kind == 1 or unicodedata.category(character) == "Cf"


def fold(word: str) -> str:
    """A word in lower case (by Unicode's case folding), in one normal form, with its diacritics."""
    if word.isascii():
        return word.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    return unicodedata.normalize("NFC", apart.casefold())


def composed(text: str) -> str:
    """A text with composed letters, so that a Korean syllable is one character; all offsets refer to this text."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def strip(word: str) -> str:
    """A folded word without diacritics."""
    if word.isascii():
        return word
    bare = "".join(one for one in unicodedata.normalize("NFD", word) if not _is_diacritic(one))
    return unicodedata.normalize("NFC", bare).translate(_plain)


def _cut(token: str) -> str:
    if len(token) <= _LONGEST:
        return token
    return token[: _LONGEST // 2] + hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).hexdigest()


@attrs.frozen(eq=False)
class Entry:
    """The tokens and forms of one run of letters."""

    #: Its tokens, in text order.
    tokens: tuple[str, ...]
    #: The start and end of each token in the run.
    spans: tuple[tuple[int, int], ...]
    #: The tokens of the parts of a camelCase word.
    parts: tuple[str, ...]
    #: Its forms, and those of its parts.
    forms: tuple[str, ...]
    #: Whether its script has no blanks between words.
    wide: bool


class Document(NamedTuple):
    """The tokens and the distinct forms that a text is found by, separated by blanks."""

    content: str
    title: str
    forms: str


class Analyzer:
    """Analyzes texts of one language."""

    def __init__(self, language: str) -> None:
        import snowballstemmer  # imported on first use: `import datastore` stays fast

        if language not in snowballstemmer.algorithms():
            raise InvalidValueError(
                f"language: Snowball has no {language!r}; it has {', '.join(sorted(snowballstemmer.algorithms()))}"
            )
        self.language = language
        self._stem: Callable[[str], str] = snowballstemmer.stemmer(language).stemWord
        self._stop_words = STOP_WORDS if language == DEFAULT_LANGUAGE else frozenset[str]()
        self._words = _Words(self._brief)
        self._remembered = functools.lru_cache(maxsize=10_000)(self._entry)

    def __reduce__(self) -> tuple[object, ...]:
        return analyzer, (self.language,)

    def runs(self, text: str) -> list[tuple[int, Entry]]:
        """Every run of letters of *text*: its start and its entry."""
        kept = composed(text).translate(_characters)
        found_runs = [(found.start(), self._remembered(found[0])) for found in _run.finditer(kept)]
        return [(start, entry) for start, entry in found_runs if entry.tokens]

    def entries(self, text: str) -> list[Entry]:
        """The entry of every run of letters of *text*."""
        return list(map(self._remembered, _runs(text)))

    def document(self, content: str, title: str = "") -> Document:
        """What a text is found by. Every append waits for this, so loops in C look up the words that are known."""
        words = self._words
        if len(words) >= _REMEMBERED:
            words.forget()
        said = every = _runs(content)
        tokens, named_tokens = " ".join(map(words.__getitem__, said)), ""
        if title:
            named = _runs(title)
            named_tokens = " ".join(map(words.__getitem__, named))
            every = said + named
        if not words.parts.keys().isdisjoint(every):
            inner = dict.fromkeys(run for run in every if run in words.parts)
            tokens = " ".join([tokens, *map(words.parts.__getitem__, inner)])
        forms = dict.fromkeys(filter(None, map(words.forms.get, every)))
        for text in (content, title):
            for _, _, name in signed(text):
                forms[name] = None
        return Document(tokens, named_tokens, " ".join(forms))

    def is_stop_word(self, word: str) -> bool:
        """Whether a word says nothing about the topic of a search."""
        return fold(word) in self._stop_words

    def _brief(self, run: str) -> tuple[str, str, str]:
        """The tokens of a run of letters, those of its parts, and its forms, each separated by blanks."""
        low = run.lower()
        if run.isascii() and low[1:] == run[1:] and len(run) <= _LONGEST and run.isalpha():  # nearly every new word
            token = _marked(self._stem(low)) if self.language == DEFAULT_LANGUAGE else self._stem(low)
            own = token == low or len(low) < SHORTEST_FORM or low in self._stop_words
            return token, "", "" if own else FORM + low
        entry = self._entry(run)
        return " ".join(entry.tokens), " ".join(entry.parts), " ".join(entry.forms)

    def _entry(self, run: str) -> Entry:
        tokens: list[str] = []
        spans: list[tuple[int, int]] = []
        forms: list[str] = []
        wide = False
        for found in _piece.finditer(run):
            if _wide.match(found[0]):
                wide = True
                for start, end, token in filter(lambda pair: pair[2], _pairs(found[0])):
                    tokens.append(_cut(token))
                    spans.append((found.start() + start, found.start() + end))
            else:
                # A sign that is invisible inside a word (a soft hyphen) may be alone here.
                for word in filter(strip, fold(found[0]).translate(_characters).split()):
                    tokens.append(self._token(word))
                    spans.append(found.span())
                    forms += self._forms(word, tokens[-1])
        parts = []
        if run.isascii() and len(run) <= _LONGEST_NAME and len(inner := _camel.split(run)) > 1:
            for word in map(str.lower, inner):
                parts.append(self._token(word))
                forms += self._forms(word, parts[-1])
        return Entry(tuple(tokens), tuple(spans), tuple(parts), tuple(forms), wide)

    def _token(self, word: str) -> str:
        """The stem of a folded word."""
        if not word.isalpha() or len(word) > _LONGEST:
            return _cut(strip(word))
        if self.language == DEFAULT_LANGUAGE:
            return _marked(_cut(self._stem(strip(word))))
        return _cut(strip(self._stem(word)))  # the stemmer expects letters with their diacritics

    def _forms(self, word: str, token: str) -> list[str]:
        """The form of a folded word, unless the word is its own token."""
        bare = strip(word)
        own = len(bare) < SHORTEST_FORM or bare in self._stop_words or form(bare) == FORM + token
        return [] if own else [form(bare)]


def _marked(stem: str) -> str:
    """An English stem as a token. A stem that need not be a prefix of its word (happi, of happy) gets a mark, so that no prefix finds it."""
    return f"~{stem}" if stem[-1] == "i" else stem


def form(word: str) -> str:
    """A folded word, or the beginning of one, as a form."""
    return FORM + _cut(strip(fold(word)))


def signed(text: str) -> list[tuple[int, int, str]]:
    """The words of *text* that have a sign: start, end and form of each."""
    found = []
    for match in _sign.finditer(text):
        if match["after"]:
            sign = "--" if match[0].startswith("--") else match[0][0]
            found.append((*match.span(), f"{FORM}{sign}{form(match['after'])[1:]}"))
        elif word := _last_word.search(text, max(0, match.start() - _LONGEST), match.start()):
            found.append((word.start(), match.end(), form(word[0]) + match[0]))
    return found


def _runs(text: str) -> list[str]:
    """Every run of letters of *text*."""
    return composed(text).translate(_characters).split()


def is_wide(text: str) -> bool:
    """Whether *text* begins with a character of a script without blanks."""
    return _wide.match(text) is not None


def _pairs(run: str) -> list[tuple[int, int, str]]:
    """The overlapping pairs of characters, each character with its marks, and the last character alone."""
    starts = [place for place, one in enumerate(run) if place == 0 or not unicodedata.category(one).startswith("M")]
    ends = [*starts[1:], len(run)]
    units = [strip(fold(run[start:end])) for start, end in zip(starts, ends, strict=True)]
    found = [(starts[place], ends[place + 1], units[place] + units[place + 1]) for place in range(len(units) - 1)]
    return [*found, (starts[-1], ends[-1], units[-1])]


class _Words(dict[str, str]):
    """The tokens of runs of letters, separated by blanks."""

    def __init__(self, make: Callable[[str], tuple[str, str, str]]) -> None:
        super().__init__()
        self._make = make
        #: The tokens of the parts, and the forms, of the runs that have any.
        self.parts: dict[str, str] = {}
        self.forms: dict[str, str] = {}

    def forget(self) -> None:
        """Forget all words. Not while a text is analyzed: its words are looked up more than once."""
        for known in (self, self.parts, self.forms):
            known.clear()

    def __missing__(self, run: str) -> str:
        tokens, parts, forms = self._make(run)
        if parts:
            self.parts[run] = parts
        if forms:
            self.forms[run] = forms
        self[run] = tokens
        return tokens


@functools.cache
def analyzer(language: str) -> Analyzer:
    """The analyzer of a language; one per process."""
    return Analyzer(language)
