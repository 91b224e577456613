"""Free text as a full-text query: what is kept, what is dropped, and that nothing breaks it."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.engines.match import MAX_LENGTH, MAX_TERMS, parse


@pytest.fixture(scope="module")
def index():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter unicode61 remove_diacritics 2')")
    connection.execute("CREATE VIRTUAL TABLE n USING fts5 (x, detail = none, columnsize = 0, content = '')")
    connection.execute("INSERT INTO t VALUES ('the quick brown fox, to be or not to be: AND OR NOT NEAR')")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("quick fox", '("quick" OR "fox")'),
        ("how does the fox jump?", '("fox" OR "jump?")'),
        ("to be or not to be", '("to" OR "be" OR "or" OR "not" OR "to" OR "be")'),
        ('"to be" fox', '("to be" OR "fox")'),
        ('say "brown  fox', '("say" OR "brown" OR "fox")'),
        ("fox fox", '("fox" OR "fox")'),
        ("ab* ^y col:v NEAR(a1)", '("ab*" OR "^y" OR "col" OR "v" OR "near" OR "a1")'),
        ("fox* jum*", '("fox"* OR "jum"*)'),
        ("a-b* --verbose", '("b" OR "--verbose")'),
        ("fox -dog", '(("fox")) NOT ("dog")'),
        ('fox -"lazy dog" -cat', '(("fox")) NOT ("lazy dog" OR "cat")'),
        ("well-known snake_case", '("well" OR "known" OR "snake" OR "case")'),
        ("src/app/main.py", '("src" OR "app" OR "main" OR "py")'),
        ("a\x00b1\ud800c1", '("b1" OR "c1")'),
        ("fox \ue000c61x", '("fox" OR "c61x")'),
    ],
)
def test_terms(text, query):
    assert parse(text).expression() == query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("quick fox", '("quick" AND "fox")'),
        ("snake_case -dog", '(("snake_case")) NOT ("dog")'),
    ],
)
def test_every_term(text, query):
    assert parse(text, every=True).expression() == query


def test_facets_are_needed_too():
    assert parse("fox -dog").expression('"f"') == '(("fox") AND ("f")) NOT ("dog")'


@pytest.mark.parametrize(
    "text", ["", "   ", '""', '"', "* - ( ) : ^", "\x00", "\ud800", "\u0301", "🦊", "-fox", '-"a b"', "\ue000"]
)
def test_nothing_to_search_for(text):
    assert parse(text) is None


def test_long_text_is_cut():
    assert len(parse(" ".join(f"w{n}" for n in range(1000))).terms) == MAX_TERMS
    assert len(parse("x" * (MAX_LENGTH * 10)).terms[0].text) == MAX_LENGTH


_hostile = st.lists(
    st.one_of(
        st.text(),
        st.text(st.characters(categories=None)),
        st.sampled_from(
            ['"', "'", "*", "^", "(", ")", ":", "-", "+", "{", "}", " AND ", " OR ", " NOT ", "NEAR(", "\x00", "\ud800",
             "fox", " -", '-"', "fox*", "\ue000", "ß", "İ", "ﬁ", "日本語", "e\u0301"]
        ),
    )
).map("".join)  # fmt: skip


@given(text=_hostile, every=st.booleans())
def test_no_text_breaks_the_query(index, text, every):
    query = parse(text, every=every)
    if query is not None:
        index.execute("SELECT count(*) FROM t WHERE t MATCH ?", (query.expression(),)).fetchall()
        for term in query.terms:
            # The index without positions has no phrases.
            index.execute("SELECT count(*) FROM n WHERE n MATCH ?", (term.in_title(),)).fetchall()


def test_the_parts_of_a_camelcase_word_are_folded_too() -> None:
    search = parse("élanParis")
    assert search is not None
    assert [term.tokens for term in search.terms] == [("elanparis",), ("elan",), ("paris",)]
