"""The words of a text as the full-text index sees them: folded, without diacritics, stemmed.

As FTS5's tokenizer ``porter unicode61 remove_diacritics 2`` on what the views of migrations/sqlite/0005.search.sql
make of a text (tests/engines/test_words.py compares the two: equal for English, Latin-1, Chinese, Japanese and Korean;
FTS5 keeps a few rarer diacritics, an ezh's caron say): what ranks, marks and excerpts a handful of texts need not ask
the index again.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable

#: One word and where it stands: its first character, the one behind its last, its stem.
Word = tuple[int, int, str]

_ascii_word = re.compile("[a-z0-9]+")
# Chinese, Japanese, Korean and beyond: no blanks between words, so that each character is one.
_wide = r"\u3000-\ud7ff\U00010000-\U0003ffff"
_alone = re.compile(f"[{_wide}]")
# Letters and numbers, with the marks that combine with them.
_word = re.compile(rf"(?=[^\W_])[{_wide}]|[^\W_{_wide}][^\W_\u0300-\u036f{_wide}]*(?:[\u0300-\u036f]+[^\W_{_wide}]*)*")

# A capital that begins a part of a camelCase word (a set of letters first: the search for it is fast), and the places
# in front of such.
_camel = re.compile(r"[A-Z](?:(?<=[a-z0-9][A-Z])|(?<=[A-Z][A-Z])(?=[a-z]))")
_part = re.compile(r"(?<=[a-z])(?=[A-Z])|(?=[A-Z][a-z])")
_PAGE = 2000
#: A longer word is data (base64, say), no name.
_LONGEST_NAME = 256

#: What no text holds.
BETWEEN = "\x00"
_plain = str.maketrans({chr(code): " " for code in range(1, 128) if not chr(code).isalnum()})

# FTS5 leaves shorter and longer words as they are (bytes of UTF-8).
_SHORTEST, _LONGEST = 3, 64


def words(text: str, starts: tuple[str, ...] = ("",)) -> list[Word]:
    """Every word of *text*, in its order; only those that begin with one of *starts* are stemmed."""
    if text.isascii():
        return [
            (*found.span(), stem(found[0]) if found[0].startswith(starts) else found[0])
            for found in _ascii_word.finditer(text.lower())
        ]
    folded = [(*found.span(), fold(found[0])) for found in _word.finditer(text)]
    return [(start, end, stem(word) if word.startswith(starts) else word) for start, end, word in folded]


def parts(text: str) -> str:
    """The camelCase words of *text*, taken apart: "get Element By Id" for "getElementById"; "" where there are none.

    Words are what stands between blanks; those of more than 256 characters are left alone.
    """
    if not has_parts(text):
        return ""
    pages = [text[first : first + _PAGE] for first in range(0, len(text), _PAGE)]
    found = [word for page in pages for word in page.replace("\n", " ").replace("\t", " ").split(" ")]
    return " ".join(_part.sub(" ", word) for word in found if len(word) <= _LONGEST_NAME and has_parts(word))


def has_parts(text: str) -> bool:
    """Whether a camelCase word stands in *text*."""
    return _camel.search(text) is not None


def plain(texts: list[str]) -> list[str]:
    """Each of *texts* as its folded words, not stemmed, with one blank or more between them."""
    together = BETWEEN.join(texts)
    if together.isascii():
        return together.lower().translate(_plain).split(BETWEEN)
    return [" ".join(fold(word) for word in _word.findall(text)) for text in texts]


def starts_of(stems: Iterable[str]) -> tuple[str, ...]:
    """How every word begins that may have one of *stems*."""
    return tuple({_start_of(stem) for stem in stems})


def _start_of(stem: str) -> str:
    # What Porter's algorithm puts in a word's place: an e at the end, i for y, and ble for bility.
    start = stem[:-1] if stem.endswith(("e", "i")) else stem
    return (start[:-1] if start.endswith("bl") else start) or stem[:1]


def apart(text: str) -> str:
    """*text* with a blank before every character that is a word of its own."""
    return text if text.isascii() else _alone.sub(r" \g<0>", text)


def is_wide(word: str) -> bool:
    """Whether this word is one Chinese, Japanese or Korean character, or another from beyond U+FFFF."""
    return _alone.match(word) is not None


@functools.lru_cache(maxsize=10_000)
def fold(word: str) -> str:
    """A word in lower case without diacritics."""
    if word.isascii():
        return word.lower()
    if is_wide(word):
        return word
    apart = unicodedata.normalize("NFD", word.replace("\u00b5", "\u03bc"))
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c))).lower()


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of a folded word: Porter's algorithm, as FTS5 has it."""
    data = word.encode("utf-8", "surrogatepass")
    if not _SHORTEST <= len(data) <= _LONGEST:
        return word
    if not word.isascii():
        # FTS5 counts bytes: a letter of two is two consonants.
        return _stemmed(data.decode("latin-1")).encode("latin-1").decode("utf-8", "replace")
    return _stemmed(word)


def _stemmed(word: str) -> str:
    word = _step_1(word)
    word = _replace(word, _step_2, 0)
    word = _replace(word, _step_3, 0)
    word = _step_4(word)
    return _step_5(word)


def _is_vowel(word: str, place: int) -> bool:
    letter = word[place]
    if letter == "y":
        return place > 0 and not _is_vowel(word, place - 1)
    return letter in "aeiou"


def _has_vowel(word: str) -> bool:
    return any(_is_vowel(word, place) for place in range(len(word)))


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    kinds = [_is_vowel(word, place) for place in range(len(word))]
    return sum(before and not after for before, after in itertools.pairwise(kinds))


def _ends_short(word: str) -> bool:
    """Consonant, vowel, consonant, the last one not w, x or y."""
    return (
        len(word) >= 3
        and not _is_vowel(word, len(word) - 3)
        and _is_vowel(word, len(word) - 2)
        and not _is_vowel(word, len(word) - 1)
        and word[-1] not in "wxy"
    )


def _step_1(word: str) -> str:
    if word.endswith("es"):
        word = (
            word[:-2] if (word[-4:-2] == "ss" and len(word) > 4) or (word[-3] == "i" and len(word) > 3) else word[:-1]
        )
    elif word.endswith("s") and word[-2] != "s":
        word = word[:-1]
    if word.endswith("eed"):
        if _measure(word[:-3]) > 0:
            word = word[:-1]
    else:
        for end in ("ed", "ing"):
            if word.endswith(end) and _has_vowel(word[: -len(end)]):
                word = _mend(word[: -len(end)])
                break
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    return word


def _mend(word: str) -> str:
    """A word that has lost -ed or -ing, as it would end without."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and not _is_vowel(word, len(word) - 1) and word[-1] not in "lsz":
        return word[:-1]
    if _measure(word) == 1 and _ends_short(word):
        return word + "e"
    return word


_step_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("logi", "log"),
    ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"),
    ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"),
    ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
)  # fmt: skip
_step_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_step_4_ends = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate",
    "iti", "ous", "ive", "ize",
)  # fmt: skip


def _replace(word: str, ends: tuple[tuple[str, str], ...], least: int) -> str:
    for end, by in ends:
        if word.endswith(end):
            rest = word[: -len(end)]
            return rest + by if _measure(rest) > least else word
    return word


def _step_4(word: str) -> str:
    for end in _step_4_ends:
        if word.endswith(end):
            rest = word[: -len(end)]
            if end == "ion" and rest[-1:] not in ("s", "t"):
                return word
            return rest if _measure(rest) > 1 else word
    return word


def _step_5(word: str) -> str:
    if word.endswith("e"):
        rest = word[:-1]
        if _measure(rest) > 1 or (_measure(rest) == 1 and not _ends_short(rest)):
            word = rest
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word
