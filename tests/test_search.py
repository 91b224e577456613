"""Search as a user sees it: learnings and messages, filters, pages, marks, exactness, what is meant, raw queries."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from datastore import Datastore, by_conversation
from datastore.errors import CheckError, CursorError, InvalidValueError, QuerySyntaxError
from datastore.migrations import apply
from datastore.records import NewLearning
from datastore.repositories import ranking

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
    monkeypatch.setattr(ranking, "EXACT", few)
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


def test_candidates_are_scored_as_fts5_scores_them(notes, monkeypatch):
    for text in ("w0x", "w3x w9x", "w0x w1x w30x", '"w0x w1x" w2x', "w1* w0x"):
        exact = notes.learnings.search(text, max_rows=200)
        assert exact.exact
        with monkeypatch.context() as patch:
            patch.setattr(ranking, "EXACT", 1)
            likely = notes.learnings.search(text, max_rows=200)
        assert not likely.exact
        scores = {hit.learning.id: hit.score for hit in exact}
        assert likely.items
        for hit in likely:
            # The number of rows with a common word is estimated, from a sample that is all of so few rows.
            assert hit.score == pytest.approx(scores[hit.learning.id], rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("limit", [3, 15, 60])
@pytest.mark.parametrize("filters", FILTERS, ids=repr)
def test_a_way_that_is_left_out_leads_to_no_other_hits(notes, filters, limit, monkeypatch):
    for name, value in (("EXACT", 20), ("_FEW", limit), ("_SOME", 2 * limit)):
        monkeypatch.setattr(ranking, name, value)
    candidates, inexact = ranking._Candidates, 0
    for text in ("w0x w1x", "w3x w9x w0x", "w0x w1x w30x", "w39x w38x w2x w3x", '"w0x w1x" w2x', "w1* w0x -w3x", "w2x"):
        for match in ("any", "all"):
            page = notes.learnings.search(text, match=match, max_rows=1000, **filters)
            with monkeypatch.context() as every_way:
                for name in ("_of_rows", "_of_titles"):
                    way = getattr(candidates, name)
                    every_way.setattr(candidates, name, lambda self, *a, way=way, **k: way(self, *a, **k) and False)
                assert ids(notes.learnings.search(text, match=match, max_rows=1000, **filters)) == ids(page)
            inexact += not page.exact
    assert inexact or filters


@pytest.mark.parametrize("few", [4000, 20])
@pytest.mark.parametrize("sort", ["relevance", "recent"])
def test_pages_are_the_whole_cut_up(notes, few, sort, monkeypatch):
    monkeypatch.setattr(ranking, "EXACT", few)
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
        ("-fox", "any", []),
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


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", 0), ("foo AND", 7), ("(foo OR", 7), ('foo" bar', 3), ("a:b", 0), ("x AND AND y", 6), ("NEAR(a b", 8),
        ("a b ) c", 4), ("fox \x00", 4), ("fox ^ ^", 6), ('"ok" AND nothing : x', 9),
        ("(" * 200 + "fox" + ")" * 200, 50), ("fox OR " * 2000 + "fox", 10_000),
    ],
)  # fmt: skip
def test_a_raw_query_that_is_wrong_says_where(few, query, position):
    with pytest.raises(QuerySyntaxError) as raised:
        few.learnings.search_raw(query)
    assert raised.value.position == position
    with pytest.raises(QuerySyntaxError):
        few.messages.search_raw(query)


def test_raw_queries(few, monkeypatch):
    assert ids(few.learnings.search_raw("title : fox*")) == ["b"]
    assert sorted(ids(few.learnings.search_raw("NEAR(brown fox, 2) OR parser"))) == ["a", "b", "c"]
    monkeypatch.setattr("datastore.repositories.learning_search.EXACT", 1)
    page = few.learnings.search_raw("fox")
    assert (sorted(ids(page)), page.exact) == (["b", "c", "d"], False)


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
    monkeypatch.setattr(ranking, "EXACT", 5)
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
        for name in ("rank_learnings", "list_learning_matches", "list_learning_matches_before"):
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
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Not "": no text at all asks for the newest ones.
@given(text=_hostile.filter(bool), match=st.sampled_from(["any", "all"]), sort=st.sampled_from(["relevance", "recent"]))
@example(text="ÀAaA", match="any", sort="relevance")
def test_ten_thousand_hostile_texts(few, text, match, sort):
    page = few.learnings.search(text, match=match, sort=sort)
    # Never all rows: each hit says what of the text it has.
    assert all(hit.terms for hit in page)
    few.messages.search(text, match=match, sort=sort)
    with suppress(QuerySyntaxError):
        few.learnings.search_raw(text)


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, '"' * 1_000_000, "- " * 500_000, "(" * 1_000_000, "\x00" * 1_000_000]
)
def test_a_megabyte(few, text):
    assert few.learnings.search(text).items == ()
    assert few.messages.search(text).items == ()


class Writes(RuleBasedStateMachine):
    """Every write path, in any order; FTS5 compares its indexes with the tables after each."""

    @initialize(folder=st.just(None))
    def open(self, folder):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "app.db"
        apply(path)
        self.store = Datastore.open(path, durability="relaxed")
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
        )  # fmt: skip
        self.store.messages.append(self.talks[talk], role="user", content=content)

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

    @invariant()
    def indexes_are_right(self):
        if not hasattr(self, "store"):
            return
        self.store._parts.derived.check_full_text()
        shown = self._rows("SELECT id FROM learnings WHERE deleted_at IS NULL AND title LIKE '%fox%'")
        assert {row[0] for row in shown} == set(ids(self.store.learnings.search_raw("title : fox", max_rows=1000)))

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestWrites = Writes.TestCase
TestWrites.settings = settings(max_examples=8, stateful_step_count=15, suppress_health_check=list(HealthCheck))


@pytest.mark.long
class TestWritesLong(Writes.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, suppress_health_check=list(HealthCheck))


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
def test_what_is_scored_here_is_what_fts5_scores(names, monkeypatch):
    """Identifiers and wide characters as well: the two ways to rank give the same numbers."""
    for text in ("getElementById json", "全文検索 sqlite", "parse server decode", '"parse_json" element', "검색 data"):
        exact = names.learnings.search(text)
        monkeypatch.setattr(ranking, "EXACT", 0)
        monkeypatch.setattr(ranking, "_estimate", lambda index, term, _: index.count(query=term.fts(), max_rows=1000))
        scored = names.learnings.search(text)
        monkeypatch.undo()
        assert exact.exact
        assert not scored.exact
        assert [(hit.learning.id, round(hit.score, 6)) for hit in scored] == [
            (hit.learning.id, round(hit.score, 6)) for hit in exact
        ]


def test_a_phrase_that_was_found_is_counted_once(names, monkeypatch):
    counted = []
    repository = type(names.learnings)
    made = repository._index

    def noting(self):
        index = made(self)
        return attrs.evolve(index, count=lambda **given: counted.append(given["query"]) or index.count(**given))

    monkeypatch.setattr(repository, "_index", noting)
    for _ in range(2):
        assert ids(names.learnings.search('"src app"')) == ["snake"]
        assert ids(names.learnings.search('"app src"')) == []
    assert counted == ['"src app"', '"app src"', '"app src"']
    names.learnings.update("camel", content="another src app")
    assert sorted(ids(names.learnings.search('"src app"'))) == ["camel", "snake"]


def test_a_rare_source_gives_full_pages_of_common_words(store, monkeypatch):
    monkeypatch.setattr(ranking, "EXACT", 20)
    monkeypatch.setattr(ranking, "_FEW", 5)
    monkeypatch.setattr(ranking, "_SOME", 10)
    web, rare = (store.conversations.add(sanitization_version="1", source=source).id for source in ("web", "rare"))
    store.learnings.add_many(
        NewLearning(
            conversation_id=rare if number % 20 == 19 else web,
            category="x",
            title=f"title {number}",
            content="common words " * (number % 7 + 1),
        )
        for number in range(200)
    )
    page = store.learnings.search("common words", source="rare", max_rows=8)
    assert len(page.items) == 8
    assert page.next is not None
    rest = store.learnings.search("common words", source="rare", max_rows=8, after=page.next)
    assert len({*ids(page), *ids(rest)}) == 10
    for number in range(200):
        store.messages.append(rare if number % 20 == 19 else web, role="user", content=f"common words {number}")
    assert len(store.messages.search("common words", source="rare", max_rows=10).items) == 10
