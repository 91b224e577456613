"""The words of a text as the full-text index sees them: folded, without diacritics, stemmed.

As FTS5's tokenizer ``porter unicode61 remove_diacritics 2`` (tests/engines/test_words.py compares the
two: equal for English and Latin-1; FTS5 keeps a few rarer diacritics, an ezh's caron say): what ranks, marks and excerpts a handful of texts need not ask the index again.
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
# Letters and numbers, with the marks that combine with them.
_word = re.compile(r"[^\W_][^\W_\u0300-\u036f]*(?:[\u0300-\u036f]+[^\W_]*)*")

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


def stems(text: str, starts: tuple[str, ...] = ("",)) -> list[str]:
    """The stems of *text*'s words, in its order; `words` without the places."""
    if text.isascii():
        return [stem(word) if word.startswith(starts) else word for word in _ascii_word.findall(text.lower())]
    folded = [fold(word) for word in _word.findall(text)]
    return [stem(word) if word.startswith(starts) else word for word in folded]


def starts_of(stems: Iterable[str]) -> tuple[str, ...]:
    """How every word begins that may have one of *stems*: of a stem, the last two letters may be of its making."""
    return tuple({stem[: max(1, len(stem) - 2)] for stem in stems})


@functools.lru_cache(maxsize=10_000)
def fold(word: str) -> str:
    """A word in lower case without diacritics."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFD", word.replace("\u00b5", "\u03bc"))
    return unicodedata.normalize("NFC", "".join(c for c in plain if not unicodedata.combining(c))).lower()


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of a folded word: Porter's algorithm, as FTS5 has it."""
    if not _SHORTEST <= len(word.encode("utf-8", "surrogatepass")) <= _LONGEST:
        return word
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
