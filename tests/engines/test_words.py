"""The tokenizer in Python against FTS5's own: the same words, folded and stemmed alike."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datastore.engines.words import starts_of, stem, words


@pytest.fixture(scope="module")
def index():
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE t USING fts5 (x, content = '', tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab (t, instance)")
    yield connection
    connection.close()


def by_fts5(index, text):
    index.execute("INSERT INTO t (t) VALUES ('delete-all')")
    index.execute("INSERT INTO t (rowid, x) VALUES (1, ?)", (text,))
    return [row[0] for row in index.execute('SELECT term FROM v ORDER BY "offset"')]


def stems(text, starts=("",)):
    return [found for _, _, found in words(text, starts)]


_ends = [
    "al",
    "ance",
    "ence",
    "er",
    "ic",
    "able",
    "ible",
    "ant",
    "ement",
    "ment",
    "ent",
    "ion",
    "ou",
    "ism",
    "ate",
    "iti",
    "ous",
    "ive",
    "ize",
    "ational",
    "tional",
    "izer",
    "bli",
    "alli",
]
_ends += [
    "entli",
    "eli",
    "ousli",
    "ization",
    "ation",
    "ator",
    "alism",
    "iveness",
    "fulness",
    "ousness",
    "aliti",
    "iviti",
    "biliti",
    "logi",
    "icate",
    "ative",
]
_ends += [
    "alize",
    "iciti",
    "ical",
    "ful",
    "ness",
    "s",
    "es",
    "ies",
    "sses",
    "ss",
    "ed",
    "eed",
    "ing",
    "y",
    "e",
    "ll",
    "bb",
    "tt",
]
_stems = st.text("abcdefghilmnoprstuvwyz", min_size=1, max_size=7)
_english = st.lists(st.tuples(_stems, st.sampled_from(_ends)).map("".join), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=300)
@given(text=_english)
@example(text="relational conditional rational valency hesitancy digitizer conformably radically differently")
@example(text="hopping tanned falling hissing fizzed failing filing sky happy agreed feed plastered bled motoring sing")
def test_english_is_stemmed_as_fts5_does(index, text):
    assert stems(text) == by_fts5(index, text)


@given(text=st.text(st.characters(max_codepoint=0xFF, exclude_characters="\x00"), max_size=60))
@example(text="Ünïcode STRASSE naïve café Ærø señor_x İ")
@example(text="cafe\u0301s e\u0301te\u0301")
def test_latin_text_is_folded_as_fts5_does(index, text):
    assert stems(text) == by_fts5(index, text)


@pytest.mark.parametrize("text", ["日本語の全文検索", "Привет Мир", "ΑΒΓ αβγ", "foo_bar/baz.py:12", "x" * 70, "ab a"])
def test_some_scripts_and_names(index, text):
    assert stems(text) == by_fts5(index, text)


def test_places_are_those_of_the_text():
    text = "The quick, Foxes' dén"
    assert [text[start:end] for start, end, _ in words(text)] == ["The", "quick", "Foxes", "dén"]
    assert [found for _, _, found in words(text)] == ["the", "quick", "fox", "den"]


def test_a_known_stem():
    assert stem("generalizations") == "gener"


@settings(max_examples=300)
@given(text=_english)
@example(text="possibilities possible hoping hope flies ties tying ability relational")
def test_only_words_that_begin_so_can_have_a_stem(text):
    found = stems(text)
    for wanted in found:
        some = stems(text, starts_of([wanted]))
        assert [stem == wanted for stem in some] == [stem == wanted for stem in found]
