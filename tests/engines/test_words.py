"""The tokenizer in Python against FTS5's own: the same words, folded and stemmed alike."""

from __future__ import annotations

import re
import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datastore.engines.words import parts, plain, starts_of, stem, words
from datastore.resources import migrations_folder


@pytest.fixture(scope="module")
def index():
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE t USING fts5 (x, content = '', tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab (t, instance)")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def view(index):
    """What the schema makes of a message before FTS5 sees it."""
    step = (migrations_folder() / "0005.search.sql").read_text("utf-8")
    (sql,) = re.findall(r"CREATE VIEW messages_indexed AS.*?;\n", step, re.DOTALL)
    index.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, conversation_id, role, created_at, content TEXT)")
    index.execute(sql)
    return index


def by_view(view, text):
    view.execute("DELETE FROM messages")
    view.execute("INSERT INTO messages VALUES (1, 'c', 'user', '2026', ?)", (text,))
    ((indexed,),) = view.execute("SELECT content FROM messages_indexed")
    return by_fts5(view, indexed)


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


@pytest.mark.parametrize("text", ["Привет Мир", "ΑΒΓ αβγ", "foo_bar/baz.py:12", "x" * 70, "ab a"])
def test_some_scripts_and_names(index, text):
    assert stems(text) == by_fts5(index, text)


_pieces = st.sampled_from(
    [
        *"aZ9_ .\n\t",
        "日本語",
        "の",
        "한국",
        "가",
        "が",
        "゛",
        "ダ",
        "ﾀ",
        "𠀀",
        "é",
        "get",
        "Element",
        "HTTP",
        "x" * 700,
        "ｆ",
    ]
)


@settings(max_examples=400)
@given(text=st.lists(_pieces, max_size=25).map("".join))
@example(text="document.getElementById('x')\nparseJSON\tHTTPServer APIs utf8Decode ABC iPhone x")
@example(text="日本語の全文検索 SQLiteの한국어 텍스트 カﾀｶﾅ getElementの")
@example(text="Zaｆé")
@example(text="x" * 1990 + " camelCaseWord " + "日" * 3000 + "fooBar")
@example(text="aB" * 128 + "\n" + "aB" * 128 + "C " + "aB" * 1100)
@example(text="日" + "x" * 15 + "本" + "y" * 16 + "語" + " fooBar" * 40)
def test_the_schema_takes_texts_apart_as_python_does(view, text):
    assert by_view(view, text) == [*stems(text), *stems(parts(text))]
    (again,) = plain([f"{text} {parts(text)}"])
    assert [stem(word) for word in again.split()] == by_view(view, text)


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
