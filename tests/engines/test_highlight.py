"""Marks and snippets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.engines.highlight import SNIPPET_WORDS, Marker, highlight, snippet
from datastore.engines.match import parse

MARKER = Marker("<b>", "</b>", escape=True)


def terms(text):
    return parse(text).terms


@pytest.mark.parametrize(
    ("query", "text", "marked", "matched"),
    [
        ("fox", "Two foxes", "Two <b>foxes</b>", {0}),
        ("fox cat", "a <i>fox</i> & co", "a &lt;i&gt;<b>fox</b>&lt;/i&gt; &amp; co", {0}),
        ('"brown fox"', "fox, brown fox", "fox, <b>brown fox</b>", {0}),
        ("migr*", "the migrations", "the <b>migrations</b>", {0}),
        ("café", "CAFE x", "<b>CAFE</b> x", {0}),
        ('"a b" b', "a b c", "<b>a b</b> c", {0, 1}),
        ("zebra", "none here", "none here", set()),
    ],
)
def test_marks(query, text, marked, matched):
    assert highlight(text, terms(query), MARKER) == (marked, matched)


def test_a_snippet_is_where_the_most_terms_are():
    text = " ".join(["fox", *["x"] * 200, "fox", "cat", *["y"] * 200])
    part, matched = snippet(text, terms("fox cat"), Marker("[", "]"))
    assert "[fox] [cat]" in part
    assert part.startswith("...")
    assert part.endswith("...")
    assert len(part.split()) == SNIPPET_WORDS
    assert matched == {0, 1}


def test_a_short_text_is_whole():
    assert snippet("a fox, here!", terms("fox"), Marker("[", "]")) == ("a [fox], here!", {0})
    assert snippet("?!", terms("fox"), Marker("[", "]")) == ("?!", set())


@given(text=st.text(max_size=300), query=st.text(max_size=30))
def test_without_its_marks_it_is_the_text(text, query):
    found = parse(query)
    if found is not None:
        assert highlight(text, found.terms, Marker("", ""))[0] == text
        part, _ = snippet(text, found.terms, Marker("", ""))
        assert part.removeprefix("...").removesuffix("...") in text
