"""Search: relevance on Cranfield, and time, overlap with exact BM25, size and write cost on synthetic learnings.

    python perf/search.py relevance            nDCG@10 and MAP@100 beside the peers of the `bench` extra
    python perf/search.py scale --rows 1000000 latency, overlap, index size, bulk load, one insertion
    python perf/search.py share                what the indexes cost an append and an added learning
    python perf/search.py alone                20 hits beside FTS5 by itself, on 1,400 and 14,000 real documents

The exact ranking is FTS5's own BM25 over every match, computed for each query of the set. Queries are drawn before
anything is measured, from a fixed seed; none was left out. Each writes perf/results/search-WHAT.json and exits 1 where a
bar is missed.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import random
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from measuring import MISSED, SHARED, bar, finish, folder, origin

from datastore import Datastore
from datastore.records import NewLearning
from datastore.search.analysis import STOP_WORDS, analyzer
from datastore.search.query import parse

VOCABULARY = 200_000
SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
START = datetime(2025, 1, 1, tzinfo=timezone.utc)

#: What was measured, by what it is of.
LINES: dict[str, dict[str, Any]] = {}


# Relevance


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def judge(ranked: list[list[str]], judged: list[dict[str, int]]) -> tuple[float, float]:
    """nDCG@10 (any relevance above 0 counts as 1) and MAP@100."""
    gains, precisions = [], []
    for found, relevant in zip(ranked, judged, strict=True):
        good = {id for id, grade in relevant.items() if grade > 0}
        best = sum(1 / math.log2(place + 2) for place in range(min(10, len(good))))
        gains.append(sum(1 / math.log2(n + 2) for n, id in enumerate(found[:10]) if id in good) / best if best else 0)
        hits, total = 0, 0.0
        for place, id in enumerate(found[:100], 1):
            if id in good:
                hits += 1
                total += hits / place
        precisions.append(total / len(good) if good else 0)
    return statistics.mean(gains), statistics.mean(precisions)


def relevance() -> None:
    docs = lines("cranfield.docs.jsonl.gz")
    queries = lines("cranfield.queries.jsonl.gz")
    grades: dict[str, dict[str, int]] = {}
    for row in lines("cranfield.qrels.jsonl.gz"):
        grades.setdefault(str(row["query"]), {})[str(row["doc"])] = row["relevance"]
    texts = [query["text"] for query in queries]
    compare("Cranfield", docs, texts, [grades.get(str(query["id"]), {}) for query in queries])
    if (SHARED / "til.jsonl.gz").exists():
        compare("notes by their titles, held out", *known_items())


def known_items() -> tuple[list[dict[str, Any]], list[str], list[dict[str, int]]]:
    """Technical notes without their titles, which are the queries: each is to find its own note.

    Nothing was chosen by this collection.
    """
    notes = lines("til.jsonl.gz")
    docs = []
    for number, note in enumerate(notes):
        text = note["content"].replace(note["title"], "")
        docs.append({"id": str(number), "title": note["topic"], "text": text})
    queries = [note["title"] for note in notes]
    return docs, queries, [{str(number): 1} for number in range(len(notes))]


def compare(name: str, docs: list[dict[str, Any]], texts: list[str], judged: list[dict[str, int]]) -> None:
    print(f"\n{name}: {len(docs):,} texts, {len(texts):,} queries\n")
    print("| | nDCG@10 | MAP@100 | ms a query |\n|---|---:|---:|---:|")
    for engine, make in {"datastore": ours, **peers()}.items():
        with folder() as place:
            try:
                search = make(docs, place)
            except ImportError as error:
                print(f"| {engine} | not installed ({error.name}) | | |")
                continue
            start = time.perf_counter()
            ranked = [search(text) for text in texts]
            each = (time.perf_counter() - start) * 1000 / len(texts)
            gain, precision = judge(ranked, judged)
            print(f"| {engine} | {gain:.4f} | {precision:.4f} | {each:.2f} |")
            figures = {"ndcg_at_10": round(gain, 4), "map_at_100": round(precision, 4), "ms_a_query": round(each, 2)}
            LINES[f"{name}: {engine}"] = figures
            if engine == "datastore" and name == "Cranfield":
                bar("nDCG@10", gain, at_least=0.394)
                bar("MAP@100", precision, at_least=0.31)


def ours(docs: list[dict[str, Any]], place: Path | str) -> Callable[[str], list[str]]:
    """This library, in a new file of a folder, or in a database by its path or URL."""
    store = Datastore.open(place / "ours.db" if isinstance(place, Path) else place, migrate=True)
    conversation = store.conversations.add(sanitization_version="1").id
    store.learnings.add_many(
        NewLearning(
            conversation_id=conversation, id=str(doc["id"]), category="paper",
            title=(doc["title"] or "-")[:1000], content=doc["text"] or "-", dedupe_key=str(doc["id"]),
        )
        for doc in docs
    )  # fmt: skip
    return lambda text: [hit.learning.id for hit in store.learnings.search(text, max_rows=100)]


def peers() -> dict[str, Callable[[list[dict[str, Any]], Path], Callable[[str], list[str]]]]:
    return {
        "bm25s, stop words, no stemmer": bm25s_search,
        "tantivy, en_stem, title x 5": tantivy_search,
        "sqlite-utils search (porter)": sqlite_utils_search,
        "llm logs search": llm_search,
    }


def bm25s_search(docs: list[dict[str, Any]], folder: Path) -> Callable[[str], list[str]]:
    import bm25s

    corpus = bm25s.tokenize([f"{doc['title']} {doc['text']}" for doc in docs], stopwords="en", show_progress=False)
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)

    def search(text: str) -> list[str]:
        tokens = bm25s.tokenize(text, stopwords="en", show_progress=False)
        found, _ = index.retrieve(tokens, k=100, show_progress=False)
        return [str(docs[number]["id"]) for number in found[0]]

    return search


def tantivy_search(docs: list[dict[str, Any]], folder: Path) -> Callable[[str], list[str]]:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    builder.add_text_field("title", tokenizer_name="en_stem")
    builder.add_text_field("content", tokenizer_name="en_stem")
    index = tantivy.Index(builder.build())
    writer = index.writer()
    for doc in docs:
        writer.add_document(tantivy.Document(id=[str(doc["id"])], title=[doc["title"]], content=[doc["text"]]))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def search(text: str) -> list[str]:
        words = " ".join(word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS)
        query = index.parse_query(words, ["title", "content"], field_boosts={"title": 5.0})
        return [searcher.doc(place)["id"][0] for _, place in searcher.search(query, 100).hits]

    return search


def sqlite_utils_search(docs: list[dict[str, Any]], folder: Path) -> Callable[[str], list[str]]:
    import sqlite_utils

    database = sqlite_utils.Database(folder / "utils.db")
    table = database["notes"]
    table.insert_all([{"id": str(d["id"]), "title": d["title"], "content": d["text"]} for d in docs], pk="id")
    table.enable_fts(["title", "content"], tokenize="porter")
    return lambda text: [row["id"] for row in table.search(text, limit=100, quote=True)]


def llm_search(docs: list[dict[str, Any]], folder: Path) -> Callable[[str], list[str]]:
    import llm.cli  # noqa: F401 (its schema and its query are copied: a log row is prompt and response)
    import sqlite_utils
    from llm.migrations import migrate

    database = sqlite_utils.Database(folder / "llm.db")
    migrate(database)
    columns = {column.name for column in database["responses"].columns}
    rows = [{"id": str(d["id"]), "prompt": d["title"], "response": d["text"], "model": "m"} for d in docs]
    assert columns >= rows[0].keys()
    database["responses"].insert_all(rows)
    query = (
        "SELECT responses.id FROM responses JOIN responses_fts ON responses_fts.rowid = responses.rowid"
        " WHERE responses_fts MATCH ? ORDER BY responses_fts.rank LIMIT 100"
    )
    # llm logs list -q hands the text to sqlite-utils' quoting.
    return lambda text: [row[0] for row in database.execute(query, [database.quote_fts(text)]).fetchall()]


# Scale


def word(number: int) -> str:
    """A word that no stemmer changes; the frequent ones are short."""
    number += len(SYLLABLES)
    parts = []
    while number:
        number, part = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[part])
    return "".join(reversed(parts)) + "k"


def zipf(size: int) -> list[float]:
    return list(itertools.accumulate(1 / (number + 1) for number in range(size)))


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """Synthetic learnings: Zipf words, titles of 3 to 9, contents of 8 to 300 (median 49) that repeat title words."""
    pick = random.Random(5)
    words, weights = [word(number) for number in range(VOCABULARY)], zipf(VOCABULARY)
    categories, tags = zipf(40), zipf(200)
    for number in range(1, count + 1):
        title = list(dict.fromkeys(pick.choices(words, cum_weights=weights, k=pick.randint(3, 9))))
        size = int(min(300, max(8, pick.lognormvariate(3.9, 0.6))))
        content = pick.choices(words, cum_weights=weights, k=size)
        for _ in range(pick.randint(0, 3)):
            content[pick.randrange(size)] = pick.choice(title)
        some = sorted({f"tag-{n}" for n in pick.choices(range(200), cum_weights=tags, k=pick.randint(0, 4))})
        at = START + timedelta(seconds=number * 60_000_000 // count)
        yield (
            f"id{number:08}", "c", f"category-{pick.choices(range(40), cum_weights=categories)[0]}", " ".join(title),
            " ".join(content), round(pick.random(), 2), json.dumps(some, separators=(",", ":")), f"k{number}",
            f"{at:%Y-%m-%dT%H:%M:%S}.{number % 1_000_000:06}Z", f"{at:%Y-%m-%dT%H:%M:%S}.{number % 1_000_000:06}Z",
        )  # fmt: skip


def load(path: Path, count: int) -> float:
    """Seconds to store and index *count* learnings through the store, with every trigger, in transactions of 20,000."""
    seconds = 0.0
    source = (
        NewLearning(
            id=row[0], conversation_id=row[1], category=row[2], title=row[3], content=row[4], confidence=row[5],
            tags=json.loads(row[6]), dedupe_key=row[7],
            created_at=datetime.strptime(row[8], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc),
        )
        for row in rows(count)
    )  # fmt: skip
    with Datastore.open(path, migrate=True, durability="relaxed") as store:
        store.conversations.add(id="c", sanitization_version="1", source="web")
        while batch := list(itertools.islice(source, 20_000)):
            start = time.perf_counter()
            store.learnings.add_many(batch)
            seconds += time.perf_counter() - start
    return seconds


def query_set(count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, text, filters: one to six words, each from rare to 90 %, log-uniform by rank; half with a filter."""
    pick = random.Random(11)
    filters: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("no filter", dict),
        ("category, 23 %", lambda: {"category": "category-0"}),
        ("category, 0.6 %", lambda: {"category": "category-39"}),
        ("tags_any", lambda: {"tags_any": ["tag-3", "tag-90"]}),
        ("tags_all", lambda: {"tags_all": ["tag-0", "tag-2"]}),
        ("min_confidence", lambda: {"min_confidence": 0.75}),
        ("a month", lambda: {"created_from": START, "created_before": START + timedelta(days=31)}),
        ("source", lambda: {"source": "web"}),
    ]
    found = []
    for number in range(count):
        ranks = [int(math.exp(pick.uniform(0, math.log(VOCABULARY)))) - 1 for _ in range(number % 6 + 1)]
        kind, make = filters[0] if number % 2 == 0 else filters[1 + number // 2 % 7]
        found.append((kind, " ".join(word(rank) for rank in ranks), make()))
    return found


def exact(connection: sqlite3.Connection, text: str, filters: dict[str, Any]) -> list[str]:
    """The ten best by FTS5's own BM25 over every match that passes the filters."""
    tests, values = [], []
    for name, value in filters.items():
        if name in ("category", "source"):
            column = "l.category" if name == "category" else "c.source"
            tests.append(f"{column} = ?")
            values.append(value)
        elif name == "min_confidence":
            tests.append("l.confidence >= ?")
            values.append(value)
        elif name == "tags_any":
            tests.append(f"EXISTS (SELECT 1 FROM json_each(l.tags) WHERE value IN ({', '.join('?' * len(value))}))")
            values += value
        elif name == "tags_all":
            for tag in value:
                tests.append("EXISTS (SELECT 1 FROM json_each(l.tags) WHERE value = ?)")
                values.append(tag)
        else:
            tests.append("l.created_at >= ?" if name == "created_from" else "l.created_at < ?")
            values.append(f"{value:%Y-%m-%dT%H:%M:%S}.000000Z")
    join = (
        " CROSS JOIN learnings l ON l.seq = learnings_fts.rowid JOIN conversations c ON c.id = l.conversation_id"
        if tests
        else ""
    )
    query = parse(analyzer("english"), text)
    assert query is not None
    sql = (
        f"SELECT learnings_fts.rowid FROM learnings_fts{join} WHERE learnings_fts MATCH ?"
        f"{''.join(f' AND {test}' for test in tests)} ORDER BY bm25(learnings_fts, 1.0, 5.0, 10.0, 0.0), 1 DESC LIMIT 10"
    )
    return [f"id{row[0]:08}" for row in connection.execute(sql, [str(query.match()), *values])]


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def scale(count: int, queries: int, path: Path) -> None:
    if path.exists():
        seconds = None
    else:
        seconds = load(path, count)
        print(f"{count:,} learnings stored and indexed in {seconds:.0f} s")
        LINES[f"{count:,} learnings: stored and indexed"] = {"seconds": round(seconds, 1)}
        bar(f"{count:,} learnings stored and indexed, s", seconds, at_most=240)
    if "--measure-only-load" in sys.argv:
        return
    connection = sqlite3.connect(path)
    sizes = dict(
        connection.execute(
            "SELECT substr(name, 1, instr(name, '_') + instr(substr(name, instr(name, '_') + 1), '_') - 1) AS part,"
            " sum(pgsize) FROM dbstat WHERE name GLOB 'learnings_fts_*' OR name GLOB 'learnings_titles_*' GROUP BY 1"
        ).fetchall()
    )
    (text_bytes,) = connection.execute(
        "SELECT sum(length(CAST(title AS BLOB)) + length(CAST(content AS BLOB))) FROM learnings"
    ).fetchone()
    LINES[f"{count:,} learnings: index"] = {
        "bytes": sum(sizes.values()),
        "of_the_text": round(sum(sizes.values()) / text_bytes, 3),
    }
    bar(f"{count:,} learnings: index, x the text", sum(sizes.values()) / text_bytes, at_most=0.8)
    print(f"index {sum(sizes.values()):,} bytes ({sizes}), {sum(sizes.values()) / text_bytes:.3f} of the text")
    with Datastore.open(path, durability="relaxed") as store:
        measured: dict[str, list[tuple[float, float, bool, float]]] = {}
        deadline = time.monotonic() + 220
        for kind, text, filters in query_set(queries):
            times = []
            for _ in range(3):
                start = time.perf_counter()
                page = store.learnings.search(text, **filters, max_rows=10)
                times.append((time.perf_counter() - start) * 1000)
            start = time.perf_counter()
            best = exact(connection, text, filters)
            floor = (time.perf_counter() - start) * 1000
            found = {hit.learning.id for hit in page}
            overlap = len(found & set(best)) / len(best) if best else 1.0
            measured.setdefault(kind, []).append((statistics.median(times), overlap, page.exact, floor))
            if time.monotonic() > deadline:
                break
        report(count, measured)
        insertion(store)
    connection.close()


def report(count: int, measured: dict[str, list[tuple[float, float, bool, float]]]) -> None:
    print("| queries | n | p50 ms | p95 ms | overlap | of exact ones | exact | FTS5 over all: p50 | p95 |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    everything = [row for rows in measured.values() for row in rows]
    for kind, rows in [*measured.items(), ("**all**", everything)]:
        times, floors = [row[0] for row in rows], [row[3] for row in rows]
        sure = [row[1] for row in rows if row[2]]
        LINES[f"{count:,} learnings: {kind.strip('*')}"] = {
            "queries": len(rows),
            "p50_ms": round(statistics.median(times), 2),
            "p95_ms": round(quantile(times, 0.95), 2),
            "overlap": round(statistics.mean(row[1] for row in rows), 3),
            "overlap_of_exact": round(statistics.mean(sure), 3) if sure else None,
            "exact": round(len(sure) / len(rows), 3),
            "fts5_p50_ms": round(statistics.median(floors), 1),
            "fts5_p95_ms": round(quantile(floors, 0.95), 1),
        }
        print(
            f"| {kind} | {len(rows)} | {statistics.median(times):.1f} | {quantile(times, 0.95):.1f} |"
            f" {statistics.mean(row[1] for row in rows):.3f} | {statistics.mean(sure) if sure else 1:.3f} |"
            f" {len(sure) / len(rows):.0%} | {statistics.median(floors):.0f} | {quantile(floors, 0.95):.0f} |"
        )
    whole = LINES[f"{count:,} learnings: all"]
    bar(f"{count:,} learnings: p95, ms", whole["p95_ms"], at_most=60 if count > 100_000 else 20)
    bar(f"{count:,} learnings: overlap", whole["overlap"], at_least=0.9)
    if count > 100_000:
        bar(f"{count:,} learnings: p50, ms", whole["p50_ms"], at_most=12)


def insertion(store: Datastore) -> None:
    """One learning at a time, through the store, each in a transaction of its own."""
    times = []
    for number, row in enumerate(itertools.islice(rows(1000), 500)):
        start = time.perf_counter()
        store.learnings.add(
            conversation_id="c", category=row[2], title=row[3], content=row[4], confidence=row[5],
            tags=json.loads(row[6]), dedupe_key=f"new{number}{time.time_ns()}",
        )  # fmt: skip
        times.append((time.perf_counter() - start) * 1000)
    LINES["one insertion, relaxed"] = {
        "p50_ms": round(statistics.median(times), 3),
        "p95_ms": round(quantile(times, 0.95), 3),
    }
    bar("one insertion, relaxed: p50, ms", statistics.median(times), at_most=0.2)
    print(f"one insertion, relaxed: p50 {statistics.median(times):.3f} ms, p95 {quantile(times, 0.95):.3f} ms")


# Beside FTS5 by itself


def alone() -> None:
    """20 hits, and their records read, beside the same query and rows by hand; one after the other in one process."""
    docs = lines("cranfield.docs.jsonl.gz")
    texts = [query["text"] for query in lines("cranfield.queries.jsonl.gz")]
    for times in (1, 10):
        with folder() as place:
            many = [{**doc, "id": f"{doc['id']}-{time}"} for time in range(times) for doc in docs]
            ours(many, place)
            connection = sqlite3.connect(place / "ours.db")
            made = analyzer("english")
            ratios, by_hand = [], []
            with Datastore.open(place / "ours.db") as store:
                for text in texts * 2:
                    query = parse(made, text)
                    assert query is not None
                    floor = timed(_by_hand, connection, str(query.match()))
                    by_hand.append(floor)
                    ratios.append(
                        timed(lambda text=text: [hit.learning for hit in store.learnings.search(text)]) / floor
                    )
            connection.close()
        ratio = statistics.median(ratios[len(texts) :])
        LINES[f"{len(many):,} documents: 20 hits, x FTS5"] = {
            "ratio": round(ratio, 2),
            "fts5_ms": round(statistics.median(by_hand) / 1000, 2),
        }
        print(f"{len(many):,} documents: {ratio:.2f} x FTS5 by itself ({statistics.median(by_hand) / 1000:.2f} ms)")
        bar(f"{len(many):,} documents: 20 hits, x FTS5", ratio, at_most=1.5)


def _by_hand(connection: sqlite3.Connection, query: str) -> list[Any]:
    found = connection.execute(
        "SELECT rowid FROM learnings_fts WHERE learnings_fts MATCH ?"
        " ORDER BY bm25(learnings_fts, 1.0, 5.0, 10.0, 0.0) LIMIT 20",
        (query,),
    ).fetchall()
    return [connection.execute("SELECT * FROM learnings WHERE seq = ?", row).fetchone() for row in found]


# What a write pays


def share() -> None:
    """Adding a message and a learning with the full-text index and without, interleaved, at both durabilities.

    Beside them what the engine alone takes: the same texts into an FTS5 table of the same kind, by hand, a row a commit.
    """
    with folder() as place:
        for durability in ("full", "relaxed"):
            stores = {}
            for name in ("with", "without"):
                path = place / f"{durability}-{name}.db"
                with Datastore.open(path, migrate=True):
                    pass
                stores[name] = Datastore.open(path, durability=durability)
                if name == "without":
                    index = stores[name].messages._index
                    index._write = lambda *_: None
                stores[name].conversations.add(id="c", sanitization_version="1")
            bare = bare_index(place / f"{durability}-bare.db", durability)
            for what, add in (("append", append_one), ("learnings.add", add_one)):
                times: dict[str, list[float]] = {"with": [], "without": []}
                for row in rows(1500):
                    for name, store in stores.items():
                        times[name].append(timed(add, store, row))
                with_, without = statistics.median(times["with"]), statistics.median(times["without"])
                LINES[f"{what}, {durability}"] = {"with_index_us": round(with_, 1), "without_us": round(without, 1)}
                print(
                    f"{what}, {durability}: {with_:.0f} µs with the index, {without:.0f} without:"
                    f" {with_ - without:.0f} µs, {with_ / without:.2f} x"
                )
            floor = statistics.median(
                timed(bare.execute, "INSERT INTO texts VALUES (?, ?, ?)", (row[4], row[3], row[2]))
                for row in rows(1500)
            )
            LINES[f"FTS5 by itself, {durability}"] = {"us": round(floor, 1)}
            print(f"FTS5 by itself, {durability}: {floor:.0f} µs")
            bare.close()
            for store in stores.values():
                store.close()


def bare_index(path: Path, durability: str) -> sqlite3.Connection:
    """A new file with nothing but an index of words, whose texts it does not keep; each statement is a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    connection.execute(
        "CREATE VIRTUAL TABLE texts USING fts5 (content, title, facets, tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    return connection


def timed(work: Callable[..., object], *arguments: object) -> float:
    """How long a call takes, in microseconds."""
    start = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - start) * 1e6


def append_one(store: Datastore, row: tuple[Any, ...]) -> None:
    store.messages.append("c", role="user", content=row[4])


def add_one(store: Datastore, row: tuple[Any, ...]) -> None:
    store.learnings.add(
        conversation_id="c", category=row[2], title=row[3], content=row[4], confidence=row[5], tags=json.loads(row[6]),
        dedupe_key=row[7],
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["relevance", "scale", "share", "alone"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=140)
    parser.add_argument("--database", type=Path, help="keep it here, and use it where it is there already")
    arguments, _ = parser.parse_known_args()
    if arguments.what == "relevance":
        if not (SHARED / "cranfield.docs.jsonl.gz").exists():
            print(f"skipped, not measured: no Cranfield collection in {SHARED}; set DATASTORE_SHARED_DATA")
            return 0
        relevance()
    elif arguments.what == "share":
        share()
    elif arguments.what == "alone":
        alone()
    else:
        with folder() as place:
            scale(arguments.rows, arguments.queries, arguments.database or place / "scale.db")
    command = f"python perf/search.py {' '.join(sys.argv[1:])}"
    return finish(f"search-{arguments.what}", {**origin(command), "missed": MISSED, "lines": LINES}, "lines")


if __name__ == "__main__":
    raise SystemExit(main())
