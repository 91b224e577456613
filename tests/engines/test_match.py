"""Free text as a full-text query: what is kept, what is dropped, and that nothing breaks it."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.engines.match import MAX_LENGTH, MAX_TERMS, match_query


@pytest.fixture(scope="module")
def index():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter unicode61 remove_diacritics 2')")
    connection.execute("INSERT INTO t VALUES ('the quick brown fox, to be or not to be: AND OR NOT NEAR')")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("quick fox", '"quick" OR "fox"'),
        ("how does the fox jump?", '"fox" OR "jump?"'),
        ("to be or not to be", '"to" OR "be" OR "or" OR "not" OR "to" OR "be"'),
        ('"to be" fox', '"to be" OR "fox"'),
        ('say "brown  fox', '"say" OR "brown" OR "fox"'),
        ("fox fox", '"fox" OR "fox"'),
        ("x* ^y -z col:v NEAR(a1)", '"x*" OR "^y" OR "-z" OR "col:v" OR "NEAR(a1)"'),
        ("a\x00b1\ud800c1", '"b1" OR "c1"'),
    ],
)
def test_terms(text, query):
    assert match_query(text) == query


@pytest.mark.parametrize("text", ["", "   ", '""', '"', "* - ( ) : ^", "\x00", "\ud800", "\u0301", "🦊"])
def test_nothing_to_search_for(text):
    assert match_query(text) is None


def test_long_text_is_cut():
    assert match_query(" ".join(f"w{n}" for n in range(1000))).count(" OR ") == MAX_TERMS - 1
    assert len(match_query("x" * (MAX_LENGTH * 10))) == MAX_LENGTH + 2


_hostile = st.lists(
    st.one_of(
        st.text(),
        st.text(st.characters(categories=None)),
        st.sampled_from(
            [
                '"',
                "'",
                "*",
                "^",
                "(",
                ")",
                ":",
                "-",
                "+",
                "{",
                "}",
                " AND ",
                " OR ",
                " NOT ",
                "NEAR(",
                "\x00",
                "\ud800",
                "fox",
            ]
        ),
    )
).map("".join)


@given(text=_hostile)
def test_no_text_breaks_the_query(index, text):
    query = match_query(text)
    if query is not None:
        index.execute("SELECT count(*) FROM t WHERE t MATCH ?", (query,)).fetchall()
