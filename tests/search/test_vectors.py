"""Search by vectors: each mode against a plain scan, filters, cursors, bad input, erasure, dividing, interrupted work."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datastore import Datastore, Embed, NewLearning, NewMessage, Worker
from datastore.errors import (
    CursorError,
    EmbeddingError,
    InvalidValueError,
    TransactionError,
    UnsupportedError,
)
from datastore.repositories import searching, vector_search
from datastore.search import embedding, vectors
from tests.conftest import Clock
from tests.databases import rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True

SIZE = 24
WORDS = [f"w{number}x" for number in range(30)]


def direction(text: str) -> list[float]:
    """A toy model: each word has a direction, a text the sum of them."""
    found = np.zeros(SIZE)
    for word in text.lower().split():
        found += np.random.default_rng(zlib.crc32(word.encode())).normal(size=SIZE)
    return (found + 0.01).tolist()


def embed(texts: list[str]) -> list[list[float]]:
    return [direction(text) for text in texts]


def use(store: Datastore, function: Embed | None = embed, timeout: float | None = 60.0) -> Datastore:
    """The store with another function of the same model."""
    store.vectors.change_model(function, "toy", embed_timeout=timeout)
    return store


@pytest.fixture
def toy(store: Datastore) -> Datastore:
    return use(store)


@pytest.fixture
def notes(toy: Datastore, clock: Clock) -> Datastore:
    """120 learnings and messages of two sessions; every fifth has no vector, and a conversation is hidden."""
    pick = random.Random(7)
    ids = [
        toy.conversations.add(sanitization_version="1", source=source, session_id=source).id
        for source in ("web", "ide", "cli")
    ]
    for number in range(120):
        clock.advance(86_400)
        talk, text = ids[number % 3], " ".join(pick.choices(WORDS, k=pick.randint(3, 12)))
        vector = None if number % 5 == 0 else direction(f"{text}\n{text}")
        toy.learnings.add(
            conversation_id=talk, id=f"n{number}", category=("a", "b")[number % 2], title=text, content=text,
            confidence=(number % 11) / 10, tags=["even"] if number % 2 == 0 else [], vector=vector,
        )  # fmt: skip
        toy.messages.append(
            talk, id=f"m{number}", role=("user", "assistant")[number % 2], content=text,
            vector=None if number % 5 == 0 else direction(text),
        )  # fmt: skip
    toy.conversations.soft_delete(ids[2])
    return toy


FILTERS: list[dict[str, Any]] = [
    {},
    {"category": "a"},
    {"tags_any": ["even"]},
    {"min_confidence": 0.55},
    {"source": "ide"},
    {"session_id": "web", "category": "b"},
]


def ids_of(page: Any) -> list[str]:
    return [(getattr(hit, "learning", None) and hit.learning.id) or hit.message.id for hit in page]


def cosine(one: list[float], other: list[float]) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def scan(store: Datastore, text: str, passing: list[Any]) -> list[tuple[float, str]]:
    """Each embedded learning of a list by its cosine, best first: what a search by vectors has to find."""
    found = []
    for learning in passing:
        if int(learning.id[1:]) % 5:
            said = f"{learning.title}\n{learning.content}"
            found.append((cosine(direction(text), direction(said)), learning.id))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("few", [4000, 5], ids=["compared", "by cells"])
@pytest.mark.parametrize("filters", FILTERS, ids=repr)
def test_each_mode_against_a_plain_scan(
    notes: Datastore, filters: dict[str, Any], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_search, "FEW", few)
    passing = [hit.learning for hit in notes.learnings.search(max_rows=1000, **filters)]
    assert 0 < len(passing) <= 80, "those of the hidden conversation pass no filter"
    for text in ("w1x w2x", "w7x", "w3x w4x w5x w28x", "nothing of these"):
        by_scan = scan(notes, text, passing)
        page = notes.learnings.search(text, mode="vectors", max_rows=1000, **filters)
        assert (page.mode, page.exact, page.next) == ("vectors", True, None)
        assert set(ids_of(page)) == {id for _, id in by_scan}
        right = {id: score for score, id in by_scan}
        assert all(abs(hit.score - right[hit.learning.id]) < 0.02 for hit in page)
        assert [hit.score for hit in page] == sorted((hit.score for hit in page), reverse=True)
        words = ids_of(notes.learnings.search(text, mode="words", max_rows=1000, **filters))
        scores: dict[str, float] = {}
        for ranking in (words, ids_of(page)):
            for place, id in enumerate(ranking, 1):
                scores[id] = scores.get(id, 0.0) + 1 / (10 + place)
        both = notes.learnings.search(text, max_rows=1000, **filters)
        assert both.mode == "hybrid"
        assert {hit.learning.id: round(hit.score, 5) for hit in both} == {
            id: round(score, 5) for id, score in scores.items()
        }
        assert set(words) <= set(ids_of(both)), "what has no vector is found by words"


@pytest.mark.parametrize("mode", ["vectors", "hybrid"])
@pytest.mark.parametrize("table", ["learnings", "messages"])
def test_pages_are_the_whole_cut_up(notes: Datastore, mode: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "KEPT", 20)
    search: Any = getattr(notes, table).search
    whole = ids_of(search("w1x w5x w9x", mode=mode, max_rows=1000))
    pieces: list[str] = []
    after, number = None, 0
    while True:
        page = search("w1x w5x w9x", mode=mode, max_rows=7, after=after)
        pieces += ids_of(page)
        if (after := page.next) is None:
            break
        # What is stored meanwhile is on no page.
        talk, number = notes.conversations.list(source="web").items[0].id, number + 1
        notes.learnings.add(
            conversation_id=talk, category="a", title=f"w1x {number}", content="w5x w9x", embed_now=True
        )
        notes.messages.append(talk, role="user", content=f"w1x w5x w9x {number}", embed_now=True)
    assert len(pieces) == len(set(pieces))
    # Vectors: as many as a cursor keeps. Hybrid: the ranking, then what is left by words, newest first.
    assert pieces[:20] == whole[:20]
    assert pieces == whole[:20] if mode == "vectors" else set(whole[:20]) <= set(pieces) <= set(whole)
    cursor = search("w1x w5x w9x", mode=mode, max_rows=7).next
    for wrong in ({"mode": "words"}, {"mode": mode, "vector": direction("w2x")}):
        with pytest.raises(CursorError):
            search("w1x w5x w9x", after=cursor, **wrong)


def test_messages_and_their_filters(notes: Datastore) -> None:
    everything = notes.messages.search("w1x w2x", mode="vectors", max_rows=1000)
    assert len(everything) == 64  # 80 are shown, a fifth of them has no vector
    for filters, test in (
        ({"role": "user"}, lambda message: message.role == "user"),
        ({"session_id": "web"}, lambda message: int(message.id[1:]) % 3 == 0),
        ({"created_from": everything[0].message.created_at}, None),
    ):
        found = notes.messages.search("w1x w2x", mode="vectors", max_rows=1000, **filters)
        if test is None:
            start = everything[0].message.created_at
            wanted = [hit.message.id for hit in everything if hit.message.created_at >= start]
        else:
            wanted = [hit.message.id for hit in everything if test(hit.message)]
        assert ids_of(found) == wanted
    hidden = notes.conversations.list(deleted=True).items[0].id
    notes.conversations.restore(hidden)
    assert len(notes.messages.search("w1x w2x", mode="vectors", max_rows=1000)) == 96


def test_words_decide_what_must_and_must_not_be_there(notes: Datastore) -> None:
    page = notes.learnings.search("w1x w2x", mode="hybrid", match="all", max_rows=1000)
    assert ids_of(page)
    assert all({"w1x", "w2x"} <= set(hit.learning.content.split()) for hit in page)
    page = notes.learnings.search("w1x -w2x", mode="vectors", max_rows=1000)
    assert page.excluded == ("w2x",)
    assert ids_of(page)
    assert not any("w2x" in hit.learning.content.split() for hit in page)


def test_a_vector_of_the_caller(store: Datastore, conversation: Any) -> None:
    with pytest.raises(InvalidValueError, match="embed_model="):
        store.learnings.search("", vector=[1.0])
    with pytest.raises(InvalidValueError, match="embed_model="):
        store.messages.append(conversation.id, role="user", content="x", vector=[1.0])
    assert store.messages.count(conversation.id) == 0
    use(store, None)
    stored = store.learnings.add_many(
        [
            NewLearning(conversation_id=conversation.id, category="c", title="t", content=f"number {n}", vector=vector)
            for n, vector in enumerate([[1, 0], np.array([0.9, 0.1]), (0.0, 1.0), None])
        ]
    )
    order = [one.id for one in stored]
    assert ids_of(store.learnings.search(vector=[2, 0.0])) == order[:3]
    assert ids_of(store.learnings.search(vector=np.array([0.0, 0.5], dtype=np.float16))) == [
        order[2],
        order[1],
        order[0],
    ]
    assert ids_of(store.learnings.search("number 3", vector=[0.0, 5])) != order[:3]
    assert store.learnings.search("number 3", vector=[0.0, 5]).mode == "hybrid"
    assert store.learnings.search("number").mode == "words", "there is no function"
    for wrong in ({"mode": "words"}, {"sort": "recent"}):
        with pytest.raises(InvalidValueError):
            store.learnings.search("number", vector=[1.0, 0.0], **wrong)
    for mode in ("vectors", "hybrid", "magic"):
        with pytest.raises(InvalidValueError):
            store.learnings.search("", mode=mode)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        [1.0, 2.0, 3.0],
        [math.nan, 1.0],
        [math.inf, 1.0],
        [0.0, 0.0],
        [],
        "ab",
        b"ab",
        [None, 1.0],
        ["a", "b"],
        [[1.0, 2.0]],
        7,
        [1j, 1.0],
        [10**400, 1],
    ],
    ids=repr,
)
def test_a_wrong_vector_is_refused_and_nothing_is_stored(store: Datastore, conversation: Any, wrong: Any) -> None:
    use(store, None)
    store.messages.append(conversation.id, role="user", content="right", vector=[1.0, 2.0])
    before = rows(store, "SELECT count(*) FROM messages"), store.vectors.status()
    with pytest.raises(InvalidValueError, match="vector"):
        store.messages.append(conversation.id, role="user", content="wrong", vector=wrong)
    with pytest.raises(InvalidValueError, match="vector"):
        store.messages.append_many(
            conversation.id,
            [NewMessage(role="user", content="one"), NewMessage(role="user", content="two", vector=wrong)],
        )
    with pytest.raises(InvalidValueError, match="vector"):
        store.messages.search(" ", vector=wrong)
    assert (rows(store, "SELECT count(*) FROM messages"), store.vectors.status()) == before
    assert ids_of(store.messages.search("right"))


def raising(texts: list[str]) -> Any:
    raise OSError("no network")


async def asynchronous(texts: list[str]) -> Any:
    return embed(texts)


BROKEN: dict[str, Any] = {
    "raises": raising,
    "too few": lambda texts: embed(texts)[:-1],
    "too many": lambda texts: [*embed(texts), [1.0] * SIZE],
    "nothing": lambda texts: None,
    "one vector, not a list": lambda texts: embed(texts)[0],
    "NaN": lambda texts: [[math.nan] * SIZE for _ in texts],
    "zeros": lambda texts: [[0.0] * SIZE for _ in texts],
    "another dimension": lambda texts: [[1.0] * (SIZE + 1) for _ in texts],
    "blocks": lambda texts: time.sleep(3),
    "async": asynchronous,
    "exits": lambda texts: sys.exit(3),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_function(toy: Datastore, conversation: Any, name: str) -> None:
    toy.messages.append(conversation.id, role="user", content="embedded fox", embed_now=True)
    toy.messages.append(conversation.id, role="user", content="lacking fox")
    use(toy, BROKEN[name], 0.2)
    before = [one.embedded for one in toy.vectors.status()]
    with pytest.raises(EmbeddingError):
        toy.vectors.embed()
    with pytest.raises(EmbeddingError):
        toy.messages.append(conversation.id, role="user", content="never stored", embed_now=True)
    with pytest.raises(EmbeddingError):
        toy.learnings.add_many(
            [NewLearning(conversation_id=conversation.id, category="c", title="t", content="never", embed_now=True)]
        )
    with pytest.raises(EmbeddingError):
        toy.messages.search("fox")
    assert [one.embedded for one in toy.vectors.status()] == before
    assert (toy.messages.count(conversation.id), toy.learnings.count()) == (2, 0)
    assert len(toy.messages.search("fox", mode="words")) == 2
    assert toy.vectors.change_model(embed, "toy") is False
    assert toy.vectors.embed().made == {"learnings": 0, "messages": 1}


def test_a_function_without_a_limit_is_called_in_the_callers_thread(toy: Datastore, conversation: Any) -> None:
    threads: set[int] = set()

    def noting(texts: list[str]) -> Any:
        threads.add(threading.get_ident())
        return embed(texts)

    toy.messages.append(conversation.id, role="user", content="fox")
    toy.vectors.change_model(noting, "toy", embed_timeout=None)
    toy.vectors.embed()
    assert threads == {threading.get_ident()}


def test_a_text_that_the_function_refuses(toy: Datastore, conversation: Any) -> None:
    """The others are embedded, the error says how many are not, and each is tried again by the next call."""

    def picky(texts: list[str]) -> Any:
        if any("poison" in text for text in texts):
            raise ValueError("too long")
        return embed(texts)

    for number in range(12):
        toy.messages.append(conversation.id, role="user", content="poison" if number in (3, 7) else f"fox {number}")
    use(toy, picky)
    with pytest.raises(EmbeddingError, match="2 of 12 texts"):
        toy.vectors.embed(batch=5)
    assert [one.missing for one in toy.vectors.status()] == [0, 2]
    assert len(toy.messages.search("poison", mode="words")) == 2
    use(toy, raising)
    calls: list[int] = []
    use(toy, lambda texts: calls.append(len(texts)) or raising(texts))  # type: ignore[func-returns-value]
    for number in range(100):
        toy.messages.append(conversation.id, role="user", content=f"dog {number}")
    with pytest.raises(EmbeddingError):
        toy.vectors.embed()
    assert len(calls) <= 4, "a function that refuses everything is not asked for each text"


def test_never_inside_a_transaction(toy: Datastore, conversation: Any) -> None:
    with pytest.raises(TransactionError, match="embedding"), toy.transaction():
        toy.messages.append(conversation.id, role="user", content="x", embed_now=True)
    with pytest.raises(TransactionError), toy.transaction():
        toy.vectors.embed()
    with toy.transaction():
        toy.messages.append(conversation.id, role="user", content="x", vector=direction("x"))
    assert ids_of(toy.messages.search("x", mode="vectors"))


def test_a_changed_text_loses_its_vector(toy: Datastore, conversation: Any) -> None:
    message = toy.messages.append(conversation.id, role="user", content="fox", embed_now=True)
    learning = toy.learnings.add(
        conversation_id=conversation.id, category="c", title="fox", content="fox", embed_now=True
    )
    toy.learnings.update(learning.id, category="d", confidence=0.5)
    assert [one.embedded for one in toy.vectors.status()] == [1, 1]
    toy.messages.redact(message.id, content="dog")
    toy.learnings.update(learning.id, title="dog")
    assert [one.embedded for one in toy.vectors.status()] == [0, 0]
    assert ids_of(toy.messages.search("dog")) == [message.id]
    # A text that changes while its vector is made gets none.
    once: list[int] = []

    def meanwhile(texts: list[str]) -> Any:
        if not once:
            once.append(1)
            toy.messages.redact(message.id, content="cat")
        return embed(texts)

    toy.vectors.change_model(meanwhile, "toy", embed_timeout=None)
    assert toy.vectors.embed().made == {"learnings": 1, "messages": 1}
    assert toy.vectors.embed().made == {"learnings": 0, "messages": 0}
    (found,) = toy.messages.search("cat", mode="vectors")
    assert found.score > 0.99, "the vector is of the present text"
    toy.messages.delete(message.id)
    toy.learnings.delete(learning.id)
    assert [one.embedded for one in toy.vectors.status()] == [0, 0]


def test_two_models_never_mix(notes: Datastore, datastore_database: Any) -> None:
    target = datastore_database
    with pytest.raises(InvalidValueError, match="'toy'"):
        Datastore.open(target, embed=embed, embed_model="other")
    with Datastore.open(target, embed_model="toy") as other_process, Datastore.open(target) as changing:
        talk = notes.conversations.list().items[0].id
        assert changing.vectors.change_model(lambda texts: [[1.0, float(len(text))] for text in texts], "other")
        assert changing.vectors.change_model(embed, "other") is False
        changing.vectors.change_model(lambda texts: [[1.0, float(len(text))] for text in texts], "other")
        for attempt in (
            lambda: other_process.messages.append(talk, role="user", content="x", vector=direction("x")),
            lambda: other_process.learnings.search("w1x", vector=direction("x")),
            lambda: notes.vectors.embed(),
        ):
            with pytest.raises(InvalidValueError, match="'other'"):
                attempt()
        assert [one.embedded for one in changing.vectors.status()] == [0, 0]
        assert ids_of(other_process.learnings.search("w1x", mode="words")), "words are found meanwhile"
        assert not changing.vectors.embed(max_rows=30).complete
        assert sum(one.embedded for one in changing.vectors.status()) == 30
        assert changing.vectors.embed().complete
        assert {(one.model, one.dimensions, one.missing) for one in changing.vectors.status()} == {("other", 2, 0)}
        assert changing.verify(deep=True)["vectors"] == []


def test_the_job(toy: Datastore, conversation: Any) -> None:
    for number in range(150):
        toy.messages.append(conversation.id, role="user", content=f"fox {number}")
    first = toy.vectors.enqueue()
    assert toy.vectors.enqueue().id == first.id
    assert Worker(toy, {"embed": toy.vectors.work}).run(until_idle=True) == 1
    assert toy.jobs.get(first.id).result == {"learnings": 0, "messages": 150}
    assert toy.vectors.status()[1].missing == 0
    use(toy, raising)
    toy.messages.append(conversation.id, role="user", content="another fox")
    again = toy.vectors.enqueue()
    Worker(toy, {"embed": toy.vectors.work}).run(until_idle=True)
    job = toy.jobs.get(again.id)
    assert (job.status, job.attempts) == ("queued", 1)
    assert "EmbeddingError" in (job.last_error or "")


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SMALL", 200)
    monkeypatch.setattr(vectors, "_SAMPLE", 20)
    monkeypatch.setattr(vectors, "PROBES", 8)
    monkeypatch.setattr(vector_search, "FEW", 10)


def mixed(count: int, seed: int) -> Iterator[list[float]]:
    pick = np.random.default_rng(seed)
    centers = pick.normal(size=(40, SIZE))
    for number in range(count):
        yield (centers[number % 40] + pick.normal(size=SIZE) * 0.4).tolist()


def fill(store: Datastore, talk: str, count: int, seed: int) -> list[tuple[str, list[float]]]:
    given = list(mixed(count, seed))
    stored = store.learnings.add_many(
        NewLearning(
            conversation_id=talk, category=f"c{number % 3}", title="t", content=f"{seed} {number}", vector=vector
        )
        for number, vector in enumerate(given)
    )
    return [(one.id, vector) for one, vector in zip(stored, given, strict=True)]


def overlap(store: Datastore, known: list[tuple[str, list[float]]], **filters: Any) -> float:
    shares = []
    for query in mixed(30, 99):
        best = [id for _, id in sorted(((cosine(query, vector), id) for id, vector in known), reverse=True)[:10]]
        found = ids_of(store.learnings.search(vector=query, max_rows=10, **filters))
        shares.append(len(set(best) & set(found)) / 10)
    return sum(shares) / len(shares)


def test_many_vectors_are_divided(toy: Datastore, conversation: Any, divided: None) -> None:
    known = fill(toy, conversation.id, 600, 1)
    assert toy.vectors.status()[0].cells == 1
    assert overlap(toy, known) == pytest.approx(1.0, abs=0.02)
    toy.vectors.embed()
    cells = toy.vectors.status()[0].cells
    assert 20 < cells <= 48
    assert toy.learnings.search(vector=next(mixed(1, 5)), max_rows=10).exact is False
    assert overlap(toy, known) >= 0.95
    assert overlap(toy, known[0::3], category="c0") >= 0.95
    toy.vectors.embed()
    assert toy.vectors.status()[0].cells == cells, "they are divided again when they are four times as many"
    known += fill(toy, conversation.id, 1900, 2)
    toy.vectors.embed()
    assert toy.vectors.status()[0].cells > cells
    assert overlap(toy, known) >= 0.95
    assert rows(toy, "SELECT count(*) FROM learning_vectors WHERE place < 1099511627776") == [(0,)]
    every = toy.learnings.search(vector=next(mixed(1, 5)), max_rows=1000, category="c1")
    assert len(every) == len(known) // 3 or len(every) == 1000 or len(every) >= 500
    toy.reindex()
    assert toy.verify(deep=True)["vectors"] == []
    assert overlap(toy, known) >= 0.95


def test_an_interrupted_division_goes_on(
    toy: Datastore, conversation: Any, divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datastore.repositories import vector_index

    known = fill(toy, conversation.id, 600, 1)
    monkeypatch.setattr(vector_index, "_MOVED", 50)
    table, calls = toy._parts.vectors.tables["learnings"], []

    class Killed(BaseException):
        pass

    import attrs

    def move(**arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 5:
            raise Killed
        return table.move(**arguments)

    toy._parts.vectors.tables["learnings"] = attrs.evolve(table, move=move)
    with pytest.raises(Killed):
        toy.vectors.embed()
    assert overlap(toy, known) >= 0.9, "vectors of both generations are found"
    new = toy.learnings.add(conversation_id=conversation.id, category="n", title="new", content="x", vector=known[0][1])
    assert rows(toy, "SELECT count(*) FROM learning_vectors WHERE place < 1099511627776") == [(400,)]
    assert new.id in ids_of(toy.learnings.search(vector=known[0][1]))
    toy.vectors.embed()
    assert rows(toy, "SELECT count(*) FROM learning_vectors WHERE place < 1099511627776") == [(0,)]
    assert overlap(toy, known) >= 0.95
    assert toy.verify(deep=True)["vectors"] == []


def test_verify_and_reindex(toy: Datastore, conversation: Any) -> None:
    for number in range(4):
        toy.messages.append(conversation.id, role="user", content=f"fox {number}", embed_now=True)
    assert toy.verify(deep=True)["vectors"] == []
    store: Any = toy._parts.vectors._statements
    seqs = [row[0] for row in rows(toy, "SELECT seq FROM message_vectors ORDER BY seq")]
    store.move_message_vectors(rows=[[seqs[0], 77]])
    ids = [row[0] for row in rows(toy, "SELECT id FROM messages ORDER BY seq")]
    store.add_message_vector(id=ids[1], cell=0, text_hash="0" * 32, vector=b"\x01" * SIZE)
    store.add_message_vector(id=ids[2], cell=0, text_hash="0" * 32, vector=b"\x01" * 3)
    found = toy.verify(deep=True)["vectors"]
    assert [line.split()[0] for line in found] == ["2", "2"]
    assert len(toy.verify()["vectors"]) == 1
    toy.messages.search("fox", mode="vectors")  # a vector of another length is compared as nothing
    toy.reindex()
    assert toy.verify(deep=True)["vectors"] == []
    assert toy.vectors.embed().made == {"learnings": 0, "messages": 3}


def test_erased_vectors_leave_no_byte(path: Path) -> None:
    pick = np.random.default_rng(3)
    with Datastore.open(path, embed_model="toy") as store:
        texts = {}
        for name in ("mine", "theirs"):
            store.conversations.add(id=name, sanitization_version="1")
            for number in range(30):
                vector = pick.normal(size=400)
                texts[name, number] = vectors.packed([vector.tolist()]).tobytes()
                store.messages.append(name, role="user", content=f"said {number}", vector=vector)
                store.learnings.add(
                    conversation_id=name, category="c", title="t", content=f"{name} {number}", vector=vector
                )
        held = store.disclose(conversation_id="mine")
        assert {bytes(n % 256 for n in one.vector) for one in held.vectors} == {
            texts["mine", number] for number in range(30)
        }
        receipt = store.erase(conversation_id="mine")
        assert (receipt.status, receipt.receipt["deleted"]["vectors"]) == ("verified", 60)
    left = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    for (name, _), packed in texts.items():
        pieces = [packed[at : at + 24] in left for at in range(0, 376, 8)]
        assert any(pieces) == (name == "theirs")


def test_the_scan_sees_a_vector_that_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector in free space is residue: here in the WAL, which a reader keeps."""
    vector = np.random.default_rng(3).normal(size=400)
    with Datastore.open(path, embed_model="toy") as store:
        store.conversations.add(id="mine", sanitization_version="1")
        store.messages.append("mine", role="user", content="hm", vector=vector)
        store.engine.timeout = 0.5  # type: ignore[misc]
        stop, begun = threading.Event(), threading.Event()

        def read() -> None:
            with store.snapshot():
                store.conversations.count()
                begun.set()
                stop.wait(30)

        reader = threading.Thread(target=read)
        reader.start()
        begun.wait(30)
        try:
            receipt = store.erase(conversation_id="mine", vacuum=False)
        finally:
            stop.set()
            reader.join()
        assert receipt.status == "deleted"
        with_vectors = receipt.receipt["scans"][0]["hits"]
    assert with_vectors > 0


CHILD = """
import sys, time, numpy
from datastore import Datastore
def embed(texts):
    time.sleep(0.002)
    return [[float(len(text)), 1.0, 2.0] for text in texts]
with Datastore.open(sys.argv[1], embed=embed, embed_model="toy", durability="relaxed") as store:
    store.vectors.embed(batch=7, on_progress=lambda table, made: print(made, flush=True))
"""


def test_kill_during_embedding(store: Datastore, datastore_database: Any) -> None:
    """Every vector that is there is whole and of its text; the next run makes only what is missing."""
    target = str(datastore_database)
    talk = store.conversations.add(sanitization_version="1").id
    for number in range(400):
        store.messages.append(talk, role="user", content="x" * (number + 1))
    store.vectors.change_model(None, "toy")
    before, kills = 0, random.Random(5)
    for _ in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, target], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(kills.randint(1, 8)):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        done = store.vectors.status()[1]
        assert before < done.embedded <= 400
        assert done.embedded + done.missing == 400
        assert store.verify(deep=True)["vectors"] == []
        before = done.embedded
    ran = subprocess.run([sys.executable, "-c", CHILD, target], capture_output=True, text=True, timeout=60, check=True)
    assert int(ran.stdout.split()[-1]) == 400 - before
    assert store.vectors.status()[1].missing == 0


def test_two_at_once(store: Datastore, datastore_database: Any) -> None:
    target = str(datastore_database)
    talk = store.conversations.add(sanitization_version="1").id
    for number in range(150):
        store.messages.append(talk, role="user", content="x" * (number + 1))
    children = [subprocess.Popen([sys.executable, "-c", CHILD, target], stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    store.vectors.change_model(None, "toy")
    assert (store.vectors.status()[1].embedded, store.verify(deep=True)["vectors"]) == (150, [])


def test_without_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"datastore\[vectors\]"):
        Datastore.open(path, embed=embed, embed_model="toy")
    with Datastore.open(path) as store, pytest.raises(UnsupportedError, match=r"datastore\[vectors\]"):
        store.vectors.change_model(embed, "toy")


def test_numpy_is_imported_only_for_vectors(path: Path) -> None:
    program = (
        "import sys; from datastore import Datastore, NewLearning, NewMessage\n"
        f"with Datastore.open({str(path)!r}) as store:\n"
        "    talk = store.conversations.add(sanitization_version='1').id\n"
        "    store.messages.append(talk, role='user', content='fox'); store.messages.search('fox')\n"
        "    store.messages.append_many(talk, [NewMessage(role='user', content='dog')])\n"
        "    new = NewLearning(conversation_id=talk, category='c', title='t', content='x')\n"
        "    store.learnings.add_many([new]); store.learnings.add(conversation_id=talk, category='c', title='t', content='y')\n"
        "    store.vectors.status(); store.reindex(); store.verify(deep=True); store.erase(conversation_id=talk)\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [
        {"embed": embed},
        {"embed": 7, "embed_model": "m"},
        {"embed_model": ""},
        {"embed_model": "x" * 201},
        {"embed_model": "\0"},
        {"embed_model": 7},
        {"embed": embed, "embed_model": "m", "embed_timeout": 0},
        {"embed": embed, "embed_model": "m", "embed_timeout": math.nan},
    ],
)
def test_wrong_arguments(path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        Datastore.open(path, **arguments)


def test_the_command(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.retention.test_commands import run

    (tmp_path / "toy_model.py").write_text(
        "def embed(texts):\n    return [[float(len(text)), 1.0] for text in texts]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with Datastore.open(path) as store:
        talk = store.conversations.add(sanitization_version="1").id
        store.messages.append_many(talk, [NewMessage(role="user", content=f"fox {number}") for number in range(10)])
    asked = ["embed", "toy_model:embed", "--embed-model"]
    assert "0 learnings embedded, 6 messages embedded" in run(*asked, "toy", "--max-rows", "6", database=path).output
    status = run("status", database=path)
    assert "4 messages have no vector" in status.output
    assert "4 messages embedded" in run(*asked, "toy", database=path).output
    assert run(*asked, "other", database=path).exit_code != 0
    assert "10 messages embedded" in run(*asked, "other", "--change-model", database=path).output
    for wrong in ("toy_model", "toy_model:nothing", "nowhere:embed"):
        assert run("embed", wrong, "--embed-model", "toy", database=path).exit_code == 2


def test_searches_while_others_embed(toy: Datastore, conversation: Any, divided: None) -> None:
    """A search by vectors or both never fails and finds each row once, while rows are embedded and divided."""
    fill(toy, conversation.id, 300, 4)
    problems: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            with suppress(IndexError):
                try:
                    found = ids_of(toy.learnings.search("t", vector=next(mixed(1, 3)), max_rows=50))
                    assert len(found) == len(set(found)) == 50
                except BaseException as error:
                    problems.append(error)
                    return

    reader = threading.Thread(target=search)
    reader.start()
    for seed in range(5, 8):
        toy.vectors.embed()
        fill(toy, conversation.id, 400, seed)
        toy._parts.vectors.divide("learnings", again=True)
    done.set()
    reader.join()
    assert problems == []
