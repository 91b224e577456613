"""Whoever searches for a word of a text finds the text: messages and learnings, on both engines."""

from __future__ import annotations

import pytest

from datastore import Datastore

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

#: Common words, and words of other writing.
WORDS = [
    "use",
    "used",
    "useful",
    "using",
    "user",
    "technology",
    "eye",
    "database",
    "organization",
    "optimization",
    "authentication",
    "university",
    "migration",
    "response",
    "release",
    "license",
    "Größe",
    "Straße",
    "Füße",
    "Łódź",
    "Øre",
    "Ångström",
    "İstanbul",
    "ışık",
    "λόγος",
    "Οδυσσεύς",
    "Ёлка",
    "ёж",
    "数据库",
    "データベース",
    "데이터베이스",
    "हिन्दी",
    "বাংলা",
    "தமிழ்",
    "שלום",
    "don't",
    "l'été",
    "e-mail",
    "UTF-8",
    "getElementById",
    "0x80070005",
    "C++",
    "C#",
    "x²",
    "Ⅳ",
    "ﬁle",
    "ｆｕｌｌ",
]


#: On PostgreSQL these find nothing: the analysis of texts and that of searches differ. The second design of search makes them
#: one, and this set empty: the test is strict, so that a word that is found has to be taken out.
NOT_FOUND = {
    "use",
    "used",
    "useful",
    "using",
    "technology",
    "eye",
    "Größe",
    "Straße",
    "Füße",
    "हिन्दी",
    "বাংলা",
    "தமிழ்",
    "x²",
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_a_text_finds_it(store: Datastore, word: str, request: pytest.FixtureRequest) -> None:
    if store.engine.name == "postgresql" and word in NOT_FOUND:
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason="the search issue mends it"))
    text = f"we said {word} here"
    one = store.conversations.add(sanitization_version="1")
    message = store.messages.append(one.id, role="user", content=text)
    learning = store.learnings.add(conversation_id=one.id, category="c", title="of words", content=text)
    titled = store.learnings.add(conversation_id=one.id, category="c", title=text, content="of words")
    for searched in (word, text):
        assert [hit.message.id for hit in store.messages.search(searched)] == [message.id]
        assert {hit.learning.id for hit in store.learnings.search(searched)} == {learning.id, titled.id}


def test_verify_tells_of_a_word_that_does_not_find_its_text(store: Datastore, request: pytest.FixtureRequest) -> None:
    one = store.conversations.add(sanitization_version="1")
    store.messages.append(one.id, role="user", content="plain words")
    store.learnings.add(conversation_id=one.id, category="c", title="t", content="plain words")
    assert store.verify(deep=True)["own words"] == []
    if store.engine.name == "postgresql":
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason="the search issue mends it"))
    message = store.messages.append(one.id, role="user", content="how technology is used")
    learning = store.learnings.add(conversation_id=one.id, category="c", title="t", content="a useful eye")
    found = store.verify(deep=True)["own words"]
    assert all(id in " ".join(found) for id in (message.id, learning.id)) == bool(
        found
    )  # who is told of, without content
    assert found == []
