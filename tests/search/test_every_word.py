"""Every word of a text finds that text, on both engines, in any case and normal form; nothing without it is found by it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import Datastore, NewLearning
from datastore.search.analysis import analyzer, fold, strip
from datastore.search.matching import Leaf, Match, Matches, facet
from datastore.search.query import parse
from tests.databases import rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

#: A line each: script or language, and text in it.
LINES = {
    "Amharic": "የመረጃ ቋት ፍለጋ", "Arabic, vocalised": "قاعِدَةُ البيانات مُحَمَّد", "Armenian": "Տվյալների բազա որոնում և",
    "Assamese": "তথ্যভঁৰাল সন্ধান", "Bengali": "বাংলা তথ্যভাণ্ডার অনুসন্ধান", "Bulgarian": "търсене в база данни ѝ", "Burmese": "မြန်မာ ဒေတာဘေ့စ်",
    "Catalan": "col·legi l'exemple", "Cherokee": "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "Chinese": "全文检索 数据库", "Croatian": "đak čovjek žena", "Czech": "příliš žluťoučký kůň",
    "Danish": "Øre søgning blåbærgrød æble", "Devanagari": "हिन्दी डेटाबेस क़लम संस्कृत", "Dhivehi": "ދިވެހި ބަސް", "Dutch": "coördinatie één ijs ĳs", "Esperanto": "ŝafo ĵurnalo ĉiuĵaŭde",
    "Estonian": "õun žürii täht", "Farsi": "می‌خواهم پایگاه داده", "Finnish": "yö äiti hyvää", "French": "l'été où cœur Noël garçon", "Fullwidth": "ｆｕｌｌ ｗｉｄｔｈ １２３",
    "Georgian": "მონაცემთა ბაზა", "German": "Straße Füße Größe Maß", "Greek": "λόγος Οδυσσεύς ᾄδω ΐ", "Gujarati": "ગુજરાતી માહિતી", "Gurmukhi": "ਪੰਜਾਬੀ ਖੋਜ",
    "Hebrew, pointed": "שָׁלוֹם עִבְרִית", "Hungarian": "árvíztűrő tükörfúrógép", "Icelandic": "Þór æði ðeigi", "Inuktitut": "ᐃᓄᒃᑎᑐᑦ ᖃᕆᓴᐅᔭᖅ", "Irish": "leabharlann é fáilte",
    "Japanese": "データベース 全文検索 がぎぐ ﾃﾞｰﾀ", "Kannada": "ಕನ್ನಡ ಮಾಹಿತಿ", "Khmer": "ភាសា ខ្មែរ", "Korean": "데이터베이스 검색 엔진", "Lao": "ພາສາ ລາວ", "Latvian": "meklēšana šķēršļi ģimene",
    "Ligatures": "ﬁle ﬂow oﬃce", "Lithuanian": "įėjimas ąžuolas", "Malayalam": "മലയാളം വിവരം", "Maltese": "ħobża għażż", "Mongolian": "ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ", "Numbers": "x² ½ Ⅳ ① 0x80070005 ١٢٣",
    "Odia": "ଓଡ଼ିଆ ତଥ୍ୟ", "Polish": "Łódź zażółć gęślą jaźń", "Portuguese": "coração não já", "Romanian": "căutare și ţară", "Russian": "Ёлка ёж поиск бой",
    "Sami": "čáhci ŧ đ ŋ", "Serbian": "Љубав њен џеп", "Sinhala": "සිංහල දත්ත", "Slovak": "ľudia ôsmy", "Spanish": "niño corazón pingüino", "Swedish": "Ångström återställa", "Syriac": "ܣܘܪܝܝܐ ܡܠܬܐ",
    "Tamil": "தமிழ் தரவு", "Telugu": "తెలుగు సమాచారం", "Thai": "ข้อมูล ภาษาไทย", "Tibetan": "བོད་ཡིག གཞི་གྲངས", "Turkish": "İstanbul ışık ığdır Şişli", "Ukrainian": "їжак ґанок є", "Urdu": "اُردُو تلاش",
    "Vietnamese": "tiếng Việt cơ sở dữ liệu", "Yiddish": "ייִדיש זוכן", "Yoruba": "ọ̀rọ̀ ẹ̀kọ́",
}  # fmt: skip

#: Words that one of the three stemmers of the first search lost.
LOST = "use used useful uses technology technologies methodology psychology eye eyes ion lying dying news"


def forms(word: str) -> set[str]:
    """A word in upper and lower case, composed and decomposed."""
    cases = {word, word.upper(), word.lower()}
    return {unicodedata.normalize(form, one) for one in cases for form in ("NFC", "NFD")}


def words_of(line: str) -> list[str]:
    return line.split()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_every_word_of_a_line_finds_it(store, conversation, line):
    store.messages.append(conversation.id, role="user", content=line)
    store.messages.append(conversation.id, role="user", content="nothing of it qqq")
    for word in words_of(line):
        for form in forms(word):
            found = [hit.message.position for hit in store.messages.search(form)]
            assert found == [1], (word, form)
            assert [hit.message.position for hit in store.messages.search(f'"{form}"')] == [1], (word, form)


@pytest.mark.parametrize(
    ("typed", "written"),
    [("strasse", "Straße"), ("STRASSE", "straße"), ("lodz", "Łódź"), ("ΛΟΓΟΣ", "λόγος"), ("logos", None), ("full", "ｆｕｌｌ"),
     ("istanbul", "İSTANBUL"), ("isik", "ışık"), ("angstrom", "Ångström"), ("елка", "Ёлка"), ("שלום", "שָׁלוֹם"), ("البيانات", "البَيَانَاتُ"),
     ("file", "ﬁle"), ("cafe", "café"), ("検", "全文検索"), ("索", "全文検索"), ("文検", "全文検索"), ("索検", None), ("ข้อ", "ข้อมูล")],
)  # fmt: skip
def test_what_is_the_same_word(store, conversation, typed, written):
    store.messages.append(conversation.id, role="user", content=written or "λόγος 全文検索")
    assert len(store.messages.search(typed)) == (written is not None)


def test_words_that_were_lost(store, conversation):
    for word in LOST.split():
        store.learnings.add(conversation_id=conversation.id, id=word, category="x", title="one", content=word)
    for word in LOST.split():
        assert word in {hit.learning.id for hit in store.learnings.search(word, max_rows=100)}


@given(st.text(max_size=200))
def test_every_run_of_letters_of_any_text_is_among_its_tokens(text):
    made = analyzer("english")
    text = text.replace("\x00", " ").encode("utf-8", "replace").decode()
    document = made.document(text)
    tokens = document.content.split()
    for start, entry in made.runs(text):
        assert start >= 0
        place = 0
        for token in entry.tokens:
            place = tokens.index(token)  # raises where it is missing
        assert place >= 0
    for run in text.split():
        if (query := parse(made, run)) is not None:
            for term in query.terms:
                if len(term.leaf.tokens) == 1 and not term.leaf.prefix:
                    assert term.leaf.tokens[0] in tokens or term.leaf.tokens[0] in document.forms.split()


def batches(words: list[str], size: int) -> Iterator[list[str]]:
    return (words[first : first + size] for first in range(0, len(words), size))


@pytest.mark.long
def test_two_hundred_thousand_words(store: Datastore) -> None:
    """Each of a dictionary's words finds the text that has it, and no text that has neither it nor its stem."""
    from english_words import get_english_words_set

    words = sorted({strip(fold(word)) for word in get_english_words_set(["web2", "gcide"], alpha=True)} - {""})
    assert len(words) >= 200_000
    made = analyzer("english")
    texts = list(batches(words, 1000))
    with store.transaction():
        for number in range(len(texts)):
            store.conversations.add(sanitization_version="1", id=f"c{number}")
        store.learnings.add_many(
            NewLearning(conversation_id=f"c{number}", category="x", title="-", content=" ".join(text))
            for number, text in enumerate(texts)
        )
    stems = [{token for entry in made.entries(" ".join(text)) for token in entry.tokens} for text in texts]
    if store.engine.name == "postgresql":
        # A count takes 1.5 ms there: every word is looked for among the stored ones of all texts at once, and every
        # fiftieth is searched for, which is what finds it in the index.
        stored = dict(
            rows(
                store, "SELECT l.content, tsvector_to_array(w.words) FROM learnings l JOIN learning_words w USING (seq)"
            )
        )
        for text, expected in zip(texts, stems, strict=True):
            assert expected <= set(stored[" ".join(text)])
    step = 1 if store.engine.name == "sqlite" else 50
    for number, text in enumerate(texts):
        other = (number * 37 + 11) % len(texts)
        asked = text[::step]
        there = list(_counts(store, asked, number))
        assert not [word for word, count in zip(asked, there, strict=True) if count != 1]
        elsewhere = list(_counts(store, asked, other))
        wrong = [
            word
            for word, count in zip(asked, elsewhere, strict=True)
            if count != any(token in stems[other] for entry in made.entries(word) for token in entry.tokens)
        ]
        assert not wrong


def _counts(store: Datastore, words: Iterable[str], number: int) -> Iterator[int]:
    """In how many of the texts with this number each word is, as it is searched for."""
    made = analyzer("english")
    of = (Leaf((facet("v", f"c{number}"),)),)
    queries = []
    for place, word in enumerate(words):
        query = parse(made, word.upper() if place % 2 else word)
        assert query is not None
        queries.append(Match((tuple(term.leaf for term in query.terms), of)))
    rows = store.learnings._statements.count_learning_matches(queries=Matches(queries), to_seq=2**62, max_rows=2)
    return (row.match_count for row in rows)
