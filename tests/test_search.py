"""Search as a user sees it: learnings and messages, filters, pages, marks, exactness, what is meant, raw queries."""

from __future__ import annotations

import hashlib
import pickle
import random
import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from datastore import Datastore, by_conversation
from datastore.errors import CheckError, CursorError, InvalidValueError
from datastore.migrations import apply
from datastore.repositories import searching
from datastore.search import ranking
from tests.databases import rows
from tests.indexes import wrong_rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

WORDS = [f"w{number}x" for number in range(40)]


@pytest.fixture
def notes(store, clock):
    """200 learnings of two sources over 200 days, of words that are the rarer the higher their number."""
    pick = random.Random(4)
    weights = [1 / (number + 1) for number in range(len(WORDS))]
    ids = [store.conversations.add(sanitization_version="1", source=source).id for source in ("web", "ide")]
    for number in range(200):
        clock.advance(86_400)
        store.learnings.add(
            conversation_id=ids[number % 2],
            id=f"n{number}",
            category=("sql", "python", 'o"dd ,",')[number % 3],
            title=" ".join(pick.choices(WORDS, weights, k=4)),
            content=" ".join(pick.choices(WORDS, weights, k=pick.randint(5, 60))),
            confidence=(number % 21) / 20,
            tags=[tag for tag, each in (("two", 2), ('q"u,",o', 5), ("é x", 7)) if number % each == 0],
        )
    return store


def ids(page):
    return [hit.learning.id for hit in page]


FILTERS = [
    {},
    {"category": "sql"},
    {"category": 'o"dd ,",'},
    {"tags_any": ['q"u,",o', "é x"]},
    {"tags_all": ['q"u,",o', "two"]},
    {"min_confidence": 0.55},
    {"min_confidence": 1.0},
    {"source": "ide"},
    {"category": "python", "tags_any": ["two"], "min_confidence": 0.3, "source": "web"},
]


def passes(learning, store, filters):
    return (
        filters.get("category") in (None, learning.category)
        and (not filters.get("tags_any") or set(filters["tags_any"]) & set(learning.tags))
        and set(filters.get("tags_all", ())) <= set(learning.tags)
        and learning.confidence >= filters.get("min_confidence", 0)
        and filters.get("source") in (None, store.conversations.get(learning.conversation_id).source)
        and ("created_from" not in filters or filters["created_from"] <= learning.created_at)
        and ("created_before" not in filters or learning.created_at < filters["created_before"])
    )


@pytest.mark.parametrize("few", [4000, 20], ids=["exact", "by candidates"])
@pytest.mark.parametrize("filters", FILTERS, ids=repr)
def test_every_filter_with_every_way_to_search(notes, filters, few, monkeypatch):
    monkeypatch.setattr(ranking, "RANKED", few)
    monkeypatch.setattr(ranking, "SMALL", few)
    everything = [hit.learning for hit in notes.learnings.search(max_rows=1000)]
    for times in ({}, {"created_from": everything[150].created_at, "created_before": everything[20].created_at}):
        wanted = filters | times
        right = {learning.id for learning in everything if passes(learning, notes, wanted)}
        assert set(ids(notes.learnings.search(max_rows=1000, **wanted))) == right
        for text in ("w0x", "w1x w3x", "w39x w0x w2x"):
            terms = text.split()
            matching = {
                learning.id
                for learning in everything
                if learning.id in right and set(terms) & set(f"{learning.title} {learning.content}".split())
            }
            page = notes.learnings.search(text, max_rows=1000, **wanted)
            assert set(ids(page)) <= matching
            recent = notes.learnings.search(text, max_rows=1000, sort="recent", **wanted)
            assert set(ids(recent)) == matching
            assert ids(recent) == sorted(ids(recent), key=lambda id: -int(id[1:]))
            if page.exact:
                assert set(ids(page)) == matching
            else:
                assert few == 20
                # So few rows are all candidates, but for those that no leading term leads to.
                assert len(page) >= min(len(matching), 10)


@pytest.mark.parametrize("few", [4000, 20])
@pytest.mark.parametrize("sort", ["relevance", "recent"])
def test_pages_are_the_whole_cut_up(notes, few, sort, monkeypatch):
    monkeypatch.setattr(ranking, "RANKED", few)
    monkeypatch.setattr(ranking, "SMALL", few)
    whole = notes.learnings.search("w1x w5x", sort=sort, max_rows=1000, category="sql")
    assert len(whole) > 20
    pieces, after = [], None
    while True:
        page = notes.learnings.search("w1x w5x", sort=sort, max_rows=7, after=after, category="sql")
        pieces += ids(page)
        after = page.next
        if after is None:
            break
    assert pieces == ids(whole)
    first = notes.learnings.search("w1x w5x", sort=sort, max_rows=7, category="sql").next
    with pytest.raises(CursorError):
        notes.learnings.search("w1x", sort=sort, after=first, category="sql")
    with pytest.raises(CursorError):
        notes.learnings.search("w1x w5x", sort=sort, after="nonsense")


def test_pages_without_text(notes):
    first = notes.learnings.search(max_rows=50, tags_any=["two"])
    second = notes.learnings.search(max_rows=1000, tags_any=["two"], after=first.next)
    assert len(ids(first)) == len(ids(second)) == 50
    assert not set(ids(first)) & set(ids(second))


@pytest.fixture
def few(store, conversation):
    for id, title, content in (
        ("a", "Upgrade the parser", "parse_json in src/app/main.py raised ERR_CONNECTION_RESET"),
        ("b", "Foxes", "the quick brown fox jumps over a lazy dog"),
        ("c", "Brown things", "a fox that is brown; migrations and migrating"),
        ("d", "<b>Markup</b>", "fox & <i>dog</i>"),
    ):
        store.learnings.add(conversation_id=conversation.id, id=id, category="x", title=title, content=content)
    return store


@pytest.mark.parametrize(
    ("text", "match", "found"),
    [
        ('"brown fox"', "any", ["b"]),
        ("fox dog", "all", ["d", "b"]),
        ("fox -dog", "any", ["c"]),
        ('fox -"lazy dog"', "any", ["d", "c"]),
        ("migr*", "any", ["c"]),
        ("mi*", "any", []),
        ("json", "any", ["a"]),
        ("parse_json", "any", ["a"]),
        ('"src/app/main.py"', "any", ["a"]),
        ("main.py", "all", ["a"]),
        ("err_connection_reset", "any", ["a"]),
        ("fox zebra", "all", []),
        ("-fox", "any", ["b", "c", "d"]),
        ("zebra -fox", "any", []),
    ],
)
def test_what_can_be_asked(few, text, match, found):
    page = few.learnings.search(text, match=match)
    assert sorted(ids(page)) == sorted(found)
    assert page.exact


def test_hits_say_what_matched(few):
    page = few.learnings.search("fox lazy zebra", marks=("<mark>", "</mark>"), html=True)
    assert page[0].terms == ("fox", "lazy")
    (last,) = [hit for hit in page if hit.learning.id == "d"]
    assert last.title == "&lt;b&gt;Markup&lt;/b&gt;"
    assert last.snippet == "<mark>fox</mark> &amp; &lt;i&gt;dog&lt;/i&gt;"


@pytest.mark.parametrize(("text", "meant"), [("migratoins", "migrations"), ("fxo lazzy", "fox lazy"), ("qqqq", None)])
def test_did_you_mean(few, text, meant):
    page = few.learnings.search(text)
    assert (page.items, page.did_you_mean) == ((), meant)


def test_facets(notes):
    found = notes.learnings.search("w1x", max_rows=1000, min_confidence=0.5)
    facets = notes.learnings.facets("w1x", min_confidence=0.5)
    for name, count in facets.categories:
        assert count == sum(hit.learning.category == name for hit in found)
    for name, count in facets.tags:
        assert count == sum(name in hit.learning.tags for hit in found)
    assert {name for name, _ in facets.tags} == {tag for hit in found for tag in hit.learning.tags}
    assert facets.exact
    assert notes.learnings.facets("?!").counted == 0


@pytest.mark.parametrize("arguments", [{"match": "some"}, {"sort": "oldest"}, {"source": "\ud800"}, {"max_rows": 0}])
def test_wrong_arguments(store, arguments):
    for search in (store.learnings.search, store.messages.search):
        with pytest.raises(InvalidValueError):
            search("fox", **arguments)
        with pytest.raises(InvalidValueError):
            search(7)


def test_messages(store, clock, monkeypatch):
    talks = [store.conversations.add(sanitization_version="1", source=source).id for source in ("web", "ide")]
    for number in range(60):
        clock.advance(86_400)
        store.messages.append(
            talks[number % 2],
            role=("user", "assistant")[number % 3 == 0],
            content=f"fox number n{number}x " + "y " * number,
        )
    everything = store.messages.search("fox", max_rows=1000)
    assert len(everything) == 60
    assert {hit.message.conversation_id for hit in store.messages.search("fox", conversation_id=talks[0])} == {talks[0]}
    assert len(store.messages.search("fox", role="assistant", max_rows=1000)) == 20
    assert len(store.messages.search("fox", source="ide", max_rows=1000)) == 30
    middle = sorted(hit.message.created_at for hit in everything)[30]
    assert len(store.messages.search("fox", created_from=middle, max_rows=1000)) == 30
    assert len(store.messages.search("fox", created_before=middle, max_rows=1000)) == 30
    groups = by_conversation(everything)
    assert [len(group.hits) for group in groups] == [30, 30]
    assert groups[0].score == everything[0].score
    assert store.messages.search("").items == ()
    assert store.messages.search("nubmer").did_you_mean == "number"
    monkeypatch.setattr(ranking, "RANKED", 5)
    monkeypatch.setattr(ranking, "SMALL", 5)
    likely = store.messages.search("fox number", conversation_id=talks[1], max_rows=1000)
    assert (len(likely), likely.exact) == (30, False)
    store.conversations.soft_delete(talks[0])
    assert len(store.messages.search("fox", max_rows=1000)) == 30
    store.conversations.restore(talks[0])
    assert len(store.messages.search("fox", max_rows=1000)) == 60
    assert store.messages.search("n7x")[0].message.position == 4


def test_a_plan_that_a_planted_index_would_mislead(notes, raw):
    """The full-text index drives, with and without statistics, and with an index that looks better planted."""
    before = ids(notes.learnings.search("w0x w3x", category="sql", min_confidence=0.5))
    raw.execute("CREATE INDEX misleading_idx ON learnings (category, confidence, created_at, seq)")
    for _ in range(2):
        for name in ("rank_learnings", "list_learning_matches_before"):
            plan = [row[3] for row in raw.execute(*_explained(name))]
            assert "VIRTUAL TABLE INDEX" in plan[0]
            assert not any("misleading" in line for line in plan)
        plan = [row[3] for row in raw.execute(*_explained("list_found_learnings"))]
        assert "SEARCH learnings USING INTEGER PRIMARY KEY (rowid=?)" in plan
        raw.execute("ANALYZE")
    assert ids(notes.learnings.search("w0x w3x", category="sql", min_confidence=0.5)) == before


def _explained(name):
    from datastore.resources import sql_folder
    from datastore.statements.loader import read_statements

    statement = read_statements(sql_folder(), "sqlite")[name]
    values = {parameter.name: "[]" if parameter.type == "json" else "1" for parameter in statement.header.parameters}
    return f"EXPLAIN QUERY PLAN {statement.sql}", values


_hostile = st.lists(
    st.one_of(
        st.text(),
        st.text(st.characters(categories=None)),
        st.sampled_from(['"', "*", "^", "(", ")", ":", "-", "+", "{", " AND ", " NOT ", "NEAR(", "\x00", "\ud800", "fox", " -", "fox*", "\ue000c78x", "日本"]),
    ),
    max_size=12,
).map("".join)  # fmt: skip


@pytest.mark.long
@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Not "": no text at all asks for the newest ones.
@given(text=_hostile.filter(bool), match=st.sampled_from(["any", "all"]), sort=st.sampled_from(["relevance", "recent"]))
@example(text="ÀAaA", match="any", sort="relevance")
def test_thousands_of_hostile_texts(few, text, match, sort):
    page = few.learnings.search(text, match=match, sort=sort)
    # Never all rows: each hit says what of the text it has.
    assert all(hit.terms for hit in page)
    few.messages.search(text, match=match, sort=sort)


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, '"' * 1_000_000, "- " * 500_000, "(" * 1_000_000, "\x00" * 1_000_000]
)
def test_a_megabyte(few, text):
    assert few.learnings.search(text).items == ()
    assert few.messages.search(text).items == ()


def made(texts):
    """The vectors of texts: any, but each text has its own."""
    return [[byte + 1 for byte in hashlib.sha256(text.encode()).digest()] for text in texts]


class Writes(RuleBasedStateMachine):
    """Every write path, in any order; the indexes are compared with the tables after each."""

    @initialize(folder=st.just(None))
    def open(self, folder):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "app.db"
        apply(path)
        self.store = Datastore.open(path, durability="relaxed", embed=made, embed_model="toy", embed_timeout=None)
        self.talks = [self.store.conversations.add(sanitization_version="1").id for _ in range(2)]
        self.hidden: set[str] = set()
        self.number = 0

    def _ids(self, table):
        return [row[0] for row in self._rows(f"SELECT id FROM {table} ORDER BY seq")]

    def _rows(self, sql):
        connection = sqlite3.connect(self.store.engine.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    texts = st.sampled_from(["fox", "a dog's été", "日本語 text", "fox fox cat", "x" * 300])
    tags = st.lists(st.sampled_from(["a", 'b"c', "d,e"]), unique=True)

    @rule(talk=st.integers(0, 1), title=texts, content=texts, tags=tags, confidence=st.floats(0, 1))
    def add(self, talk, title, content, tags, confidence):
        if self.talks[talk] in self.hidden:
            return
        self.number += 1
        self.store.learnings.add(
            conversation_id=self.talks[talk], category="c", title=title, content=content, tags=tags,
            confidence=confidence, dedupe_key=str(self.number),
            vector=made([f"{title}\n{content}"])[0] if self.number % 2 else None,
        )  # fmt: skip
        self.store.messages.append(
            self.talks[talk], role="user", content=content, vector=made([content])[0] if self.number % 3 else None
        )

    @rule(data=st.data(), title=texts, tags=tags)
    def update(self, data, title, tags):
        if known := self._ids("learnings"):
            self.store.learnings.update(data.draw(st.sampled_from(known)), title=title, tags=tags)

    @rule(data=st.data())
    def update_refused(self, data):
        if known := self._ids("learnings"):
            with pytest.raises(CheckError):
                self.store.learnings.update(data.draw(st.sampled_from(known)), confidence=2.0, title="never")

    @rule(data=st.data(), content=texts)
    def redact(self, data, content):
        if known := self._ids("messages"):
            self.store.messages.redact(data.draw(st.sampled_from(known)), content=content)

    @rule(data=st.data(), table=st.sampled_from(["learnings", "messages"]))
    def delete(self, data, table):
        if known := self._ids(table):
            getattr(self.store, table).delete(data.draw(st.sampled_from(known)))

    @rule(talk=st.integers(0, 1))
    def hide_or_show(self, talk):
        id = self.talks[talk]
        if id in self.hidden:
            self.store.conversations.restore(id)
        else:
            self.store.conversations.soft_delete(id)
        self.hidden ^= {id}

    @rule(talk=st.integers(0, 1))
    def delete_conversation(self, talk):
        self.store.conversations.delete(self.talks[talk])
        self.hidden.discard(self.talks[talk])
        self.talks[talk] = self.store.conversations.add(sanitization_version="1").id

    @rule()
    @precondition(lambda self: self.hidden)
    def purge(self):
        self.store.conversations.purge(deleted_before=self.store.engine.now() + timedelta(seconds=1))
        gone = self.hidden
        self.hidden = set()
        self.talks = [
            self.store.conversations.add(sanitization_version="1").id if id in gone else id for id in self.talks
        ]

    @rule(title=texts)
    def rolled_back(self, title):
        learnings = self._ids("learnings")
        with self.store.transaction():
            with pytest.raises(RuntimeError), self.store.transaction():
                if learnings:
                    self.store.learnings.update(learnings[0], title=title)
                    self.store.learnings.delete(learnings[-1])
                raise RuntimeError
            if learnings:
                self.store.learnings.update(learnings[0], title=title)

    @rule()
    def reindex(self):
        self.store.reindex()

    @rule()
    def embed(self):
        self.store.vectors.embed()
        assert [one.missing for one in self.store.vectors.status()] == [0, 0]

    @invariant()
    def indexes_are_right(self):
        if not hasattr(self, "store"):
            return
        self.store._parts.derived.check_full_text()
        assert wrong_rows(self.store) == {"learnings": [], "messages": []}
        shown = self._rows("SELECT id FROM learnings WHERE deleted_at IS NULL AND title || content LIKE '%fox%'")
        assert {row[0] for row in shown} == set(ids(self.store.learnings.search("fox", mode="words", max_rows=1000)))
        # Each vector is of its text, and finds what is shown and nothing else.
        assert self.store.verify(deep=True)["vectors"] == []
        embedded = self._rows("SELECT id FROM learnings JOIN learning_vectors USING (seq) WHERE deleted_at IS NULL")
        assert {row[0] for row in embedded} == set(
            ids(self.store.learnings.search("fox", mode="vectors", max_rows=1000))
        )

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestWrites = Writes.TestCase
TestWrites.settings = settings(max_examples=8, stateful_step_count=15, suppress_health_check=list(HealthCheck))


@pytest.mark.long
class TestWritesLong(Writes.TestCase):
    settings = settings(max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck))


@pytest.fixture
def names(store, conversation):
    """Learnings of identifiers and of languages that write no blanks."""
    texts = {
        "camel": "call document.getElementById('x') or parseJSONBody",
        "acronym": "an HTTPServer with utf8Decode, kept in PostgreSQL",
        "snake": "see parse_json in src/app/main.py: error E_1042-b",
        "chinese": "全文检索引擎SQLite很快",
        "japanese": "日本語の全文検索エンジン",
        "korean": "데이터베이스를 검색한다",
        "other": "nothing of the kind, the element of surprise",
    }
    for id, content in texts.items():
        store.learnings.add(conversation_id=conversation.id, id=id, category="x", title="A note", content=content)
        store.messages.append(conversation.id, id=id, role="user", content=content)
    return store


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("getElementById", ["camel", "other"]),
        ('"getElementById"', ["camel"]),
        ("getelementbyid", ["camel"]),
        ("json", ["snake", "camel"]),
        ("parsejsonbody", ["camel"]),
        ("server", ["acronym"]),
        ("decode", ["acronym"]),
        ("postgresql", ["acronym"]),
        ("parse_json", ["snake", "camel"]),
        ('"parse_json"', ["snake", "camel"]),
        ('"src/app/main.py"', ["snake"]),
        ("main.py", ["snake"]),
        ("E_1042-b", ["snake"]),
        ("1042", ["snake"]),
        ("检索", ["chinese"]),
        ("引擎SQLite", ["chinese"]),
        ("sqlite", ["chinese"]),
        ("全文", ["chinese", "japanese"]),
        ('"全文検索"', ["japanese"]),
        ("検索エンジン", ["japanese"]),
        ("語", ["japanese"]),
        ("검색", ["korean"]),
        ('"데이터"', ["korean"]),
        ("索検", []),
    ],
)
def test_identifiers_and_wide_characters_are_found_by_their_parts_and_whole(names, text, found):
    assert sorted(ids(names.learnings.search(text))) == sorted(found)
    assert sorted(hit.message.id for hit in names.messages.search(text)) == sorted(found)
    if found[2:] or text in ("getElementById", "parse_json"):
        assert ids(names.learnings.search(text))[0] == found[0]


def test_the_whole_of_an_identifier_ranks_above_its_parts_and_is_marked(names):
    first, second = names.learnings.search("getElementById").items
    assert (first.learning.id, second.learning.id) == ("camel", "other")
    assert "document.**getElementById**" in first.snippet
    assert "the **element** of" in second.snippet
    (hit,) = names.learnings.search("server")
    assert "an **HTTPServer** with" in hit.snippet
    (hit,) = names.learnings.search("検索")
    assert "日本語の全文**検索**エンジン" in hit.snippet


@pytest.mark.sqlite
def test_what_is_scored_here_is_what_fts5_scores(notes, monkeypatch):
    """The likeliest are scored by the formula of all: in the same order, where all rows are of about the same length."""
    for text in ("w3x w9x w0x", "w9x w12x"):
        exact = notes.learnings.search(text, max_rows=10)
        with monkeypatch.context() as patch:
            patch.setattr(ranking, "RANKED", 20)
            patch.setattr(ranking, "SMALL", 20)
            likely = notes.learnings.search(text, max_rows=10)
        assert exact.exact
        assert not likely.exact
        assert len(set(ids(exact)) & set(ids(likely))) >= 8


def test_full_pages_of_common_words_whatever_the_filter(store, clock, monkeypatch):
    monkeypatch.setattr(ranking, "RANKED", 20)
    monkeypatch.setattr(ranking, "SMALL", 20)
    monkeypatch.setattr(ranking, "SCORED", 10)
    web, rare = (store.conversations.add(sanitization_version="1", source=source).id for source in ("web", "rare"))
    since = None
    for number in range(200):
        clock.advance(3600)
        since = clock.now if number == 100 else since
        store.learnings.add(
            conversation_id=rare if number % 20 == 19 else web,
            category="x",
            title=f"title {number}",
            content="common words " * (number % 7 + 1),
            confidence=(number * 7 % 100) / 100,
        )
    page = store.learnings.search("common words", source="rare", max_rows=8)
    assert len(page.items) == 8
    rest = store.learnings.search("common words", source="rare", max_rows=8, after=page.next)
    assert len({*ids(page), *ids(rest)}) == 10
    for filters, count in (
        ({"created_from": since}, 100),
        ({"created_before": since}, 100),
        ({"min_confidence": 0.955}, 8),
        ({"created_before": since, "min_confidence": 0.955}, 4),
    ):
        for sort in ("relevance", "recent"):
            found = store.learnings.search("common words", sort=sort, max_rows=1000, **filters)
            assert len(found) == count, (filters, sort)
            assert len(store.learnings.search("common words", sort=sort, max_rows=4, **filters)) == 4


def test_hidden_rows_never_take_the_place_of_shown_ones(store, monkeypatch):
    monkeypatch.setattr(ranking, "RANKED", 20)
    monkeypatch.setattr(ranking, "SMALL", 20)
    hidden, shown, later = (store.conversations.add(sanitization_version="1").id for _ in range(3))
    for id, count in ((hidden, 100), (shown, 30), (later, 100)):
        for number in range(count):
            store.messages.append(id, role="user", content=f"common words {number}")
    for id in (hidden, later):
        store.conversations.soft_delete(id)
    for arguments in ({}, {"conversation_id": shown}, {"role": "user"}, {"sort": "recent"}):
        found = store.messages.search("common", max_rows=1000, **arguments)
        assert {hit.message.conversation_id for hit in found} == {shown}
        assert len(found) == 30
    assert store.messages.search("common", conversation_id=hidden).items == ()


@pytest.mark.parametrize(("few", "kept"), [(20_000, 500), (20_000, 30), (20, 500), (20, 30)])
def test_a_cursor_goes_on_with_the_ranking_that_it_began(notes, few, kept, monkeypatch):
    """However many rows match and are written meanwhile: every hit is on one page, once."""
    monkeypatch.setattr(ranking, "RANKED", few)
    monkeypatch.setattr(ranking, "SMALL", few)
    monkeypatch.setattr(searching, "KEPT", kept)
    whole = ids(notes.learnings.search("w0x w7x", max_rows=1000))
    assert len(whole) > 60
    page = notes.learnings.search("w0x w7x", max_rows=20)
    pieces = ids(page)
    conversation = notes.learnings.get("n0").conversation_id
    while page.next is not None:
        for _ in range(7):
            notes.learnings.add(
                conversation_id=conversation, category="sql", title="w7x w7x", content=f"w7x {len(pieces)} {_}"
            )
        page = notes.learnings.search("w0x w7x", max_rows=20, after=page.next)
        pieces += ids(page)
    if few == 20_000:
        ranked = whole if kept == 500 else whole[:kept]
        assert pieces[: len(ranked)] == ranked
        others = sorted(set(whole) - set(ranked), key=lambda id: -int(id[1:]))
        assert pieces[len(ranked) :] == others
    assert sorted(pieces) == sorted(whole)


def test_session_and_conversation(store):
    talks = [
        store.conversations.add(sanitization_version="1", session_id=session).id for session in ("s1", "s1", "s2", None)
    ]
    for id in talks:
        store.messages.append(id, role="user", content="a word")
        store.learnings.add(conversation_id=id, category="x", title="word", content=f"of {id}")
    for search in (store.messages.search, store.learnings.search):
        assert [len(search("word", session_id=session)) for session in ("s1", "s2", "s3")] == [2, 1, 0]
        assert len(search("word", conversation_id=talks[1])) == 1
        assert len(search("word", conversation_id=talks[2], session_id="s1")) == 0
    assert len(store.learnings.search(session_id="s1")) == 2
    store.conversations.update(talks[3], session_id="s1")
    store.conversations.update(talks[0], session_id=None)
    for search in (store.messages.search, store.learnings.search):
        found = search("word", session_id="s1")
        assert len(found) == 2
        assert len(search("word", conversation_id=talks[0])) == 1


def test_rows_of_other_programs_are_found_after_reindex(store, conversation):
    store.learnings.add(conversation_id=conversation.id, id="l", category="x", title="old", content="one")
    message = store.messages.append(conversation.id, role="user", content="old")
    rows(store, "UPDATE learnings SET title = 'changed' WHERE id = 'l'")
    changed = hashlib.sha256(b"changed").hexdigest()
    rows(store, "UPDATE messages SET content = 'changed', content_hash = ? WHERE id = ?", (changed, message.id))
    for search in (store.learnings.search, store.messages.search):
        assert search("old").items == search("changed").items == ()
    assert store._parts.index.unindexed() == {"learnings": 1, "messages": 1}
    assert len(store.verify()["searchable rows"]) == 2
    store.reindex()
    assert not any(store.verify().values())
    for search in (store.learnings.search, store.messages.search):
        assert len(search("changed")) == 1


def test_the_language_is_the_databases(store, conversation):
    store.learnings.add(
        conversation_id=conversation.id, category="x", title="Häuser", content="Die Verfassungen der Städte"
    )
    assert not store.learnings.search("Verfassung")
    store.reindex(language="german")
    assert len(store.learnings.search("Verfassung")) == len(store.learnings.search("stadte")) == 1
    store.messages.append(conversation.id, role="user", content="Verfassungen")
    assert len(store.messages.search("verfassung")) == 1
    with pytest.raises(InvalidValueError, match="dutch_porter"):
        store.reindex(language="klingon")
    where = store.engine.path or store.engine._conninfo
    with pytest.raises(InvalidValueError, match="is in german, not in english"):
        Datastore.open(where, language="english")
    with Datastore.open(where, language="german") as other:
        assert len(other.learnings.search("Verfassung")) == 1
        other.reindex(language="english")
    # The first store notices at its next write.
    store.messages.append(conversation.id, role="user", content="walking dogs")
    assert len(store.messages.search("walked dog")) == 1


def test_a_new_database_keeps_its_language(tmp_path):
    with Datastore.open(tmp_path / "new.db", migrate=True, language="french") as store:
        assert store._parts.index.analyzer.language == "french"
    with Datastore.open(tmp_path / "new.db") as store:
        assert store._parts.index.analyzer.language == "french"
    with pytest.raises(InvalidValueError, match="Snowball has no"):
        Datastore.open(tmp_path / "newer.db", migrate=True, language="elvish")


AS_TYPED = [
    "C++", "C#", ".NET", "0x80070005", "ORA-12514", "-m", "rm -rf", "git commit -m", "--force", "@app", "organization",
    "src/app/main.py", "parse_json", "getElementById", "$HOME",
]  # fmt: skip


def test_what_is_typed_is_found_and_ranks_first(store, conversation):
    others = "c net m rm rf git commit force app main json py parse element organ home ora 80070005 12514 " * 3
    for number in range(5):
        store.learnings.add(conversation_id=conversation.id, category="x", title="parts", content=f"{others} {number}")
    for typed in AS_TYPED:
        store.learnings.add(
            conversation_id=conversation.id, id=typed, category="x", title="whole",
            content=f"some longer text that has {typed} in it, and a good many other things which nobody looks for",
        )  # fmt: skip
    for typed in AS_TYPED:
        page = store.learnings.search(typed)
        assert page.excluded == ()
        first = {hit.learning.id for hit in page if hit.score == page[0].score}
        assert typed in first or (typed in ids(page)[:2]), (typed, ids(page)[:4])


@pytest.mark.parametrize("begun", ["org", "orga", "organi", "organiza", "organizatio", "organization", "ORGANI"])
def test_beginnings_of_words(store, conversation, begun):
    store.messages.append(conversation.id, role="user", content="The Organization of an organism")
    store.messages.append(conversation.id, role="user", content="authentication, optimization, happy universities")
    assert [hit.message.position for hit in store.messages.search(f"{begun}*")] == [1]
    for other in ("authenti*", "optimi*", "universi*", "universiti*"):
        assert [hit.message.position for hit in store.messages.search(other)] == [2]
    assert not store.messages.search("organizing*")
    assert not store.messages.search("happi*")


def test_what_a_hyphen_excludes(few):
    for text, found, excluded in (
        ("fox -lazy", {"c", "d"}, ("lazy",)),
        ("fox -quick -brown", {"d"}, ("quick", "brown")),
        ("-fox", {"b", "c", "d"}, ()),
        ("-fox -dog", {"b", "c", "d"}, ()),
        ("fox -la", {"b", "c", "d"}, ()),
        ("fox - lazy", {"b", "c", "d"}, ()),
        ('fox -"brown fox"', {"c", "d"}, ("brown fox",)),
    ):
        page = few.learnings.search(text)
        assert (set(ids(page)), page.excluded) == (found, excluded), text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("databse", "database"), ("respnse", "response"), ("relase", "release"), ("licnse", "license"), ("univercity", "university")],
)  # fmt: skip
def test_suggestions_are_words(store, conversation, typed, meant):
    store.messages.append(conversation.id, role="user", content="database response release license university")
    assert store.messages.search(typed).did_you_mean == meant


def test_a_page_outlives_its_store(tmp_path):
    with Datastore.open(tmp_path / "a.db", migrate=True) as store:
        talk = store.conversations.add(sanitization_version="1").id
        for number in range(100):
            store.messages.append(talk, role="user", content=f"a word {number}")
        whole = store.messages.search("word", max_rows=100)
        page = store.messages.search("word", max_rows=10)
    assert page[0].snippet.startswith("a **word**")
    with Datastore.open(tmp_path / "a.db") as store:
        rest = store.messages.search("word", max_rows=100, after=page.next)
    assert (*page.items, *rest.items) == whole.items


def test_hits_can_be_sent_to_another_process(few):
    page = few.learnings.search("fox", max_rows=1)
    other = pickle.loads(pickle.dumps(page))
    assert (other.items, other.next, other[0].snippet) == (page.items, page.next, page[0].snippet)
