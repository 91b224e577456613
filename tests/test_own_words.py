"""Whoever searches for a word of a text finds the text: messages and learnings, on both engines."""

from __future__ import annotations

import pytest

from datastore import Datastore
from tests.databases import rows

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


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_a_text_finds_it(store: Datastore, word: str) -> None:
    text = f"we said {word} here"
    one = store.conversations.add(sanitization_version="1")
    message = store.messages.append(one.id, role="user", content=text)
    learning = store.learnings.add(conversation_id=one.id, category="c", title="of words", content=text)
    titled = store.learnings.add(conversation_id=one.id, category="c", title=text, content="of words")
    for searched in (word, text):
        assert [hit.message.id for hit in store.messages.search(searched)] == [message.id]
        assert {hit.learning.id for hit in store.learnings.search(searched)} == {learning.id, titled.id}


def test_verify_tells_of_a_word_that_does_not_find_its_text(store: Datastore) -> None:
    one = store.conversations.add(sanitization_version="1")
    message = store.messages.append(one.id, role="user", content="how technology is used")
    learning = store.learnings.add(conversation_id=one.id, category="c", title="t", content="a useful eye")
    assert store.verify(deep=True)["own words"] == []
    for noun in ("learning", "message"):
        rows(store, f"DELETE FROM {noun}{'s_fts' if store.engine.name == 'sqlite' else '_words'}")
    told = " ".join(store.verify(deep=True)["own words"])  # who is told of, without content
    assert message.id in told
    assert learning.id in told
