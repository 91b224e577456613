"""Search by vectors: relevance with real embeddings, overlap with an exact scan, latency, and the cost of storing one.

    python perf/vectors.py relevance              nDCG@10 and MAP@100 of words, vectors and hybrid on Cranfield
    python perf/vectors.py scale --rows 100000    overlap@10, latency, insertion, memory

Vectors at scale are mixed from the real ones. Both run on SQLite, and on the server whose URL --server gives. Each writes
perf/results/vectors-WHAT.json and exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from measuring import MISSED, SHARED, bar, finish, folder, origin
from search import judge, lines

from datastore import Datastore, NewLearning
from datastore.repositories.vector_search import FEW

MODEL = "all-MiniLM-L6-v2"

#: What was measured, by what it is of.
LINES: dict[str, dict[str, Any]] = {}


def embeddings() -> dict[str, Any]:
    with np.load(SHARED / "cranfield.embeddings.npz", allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


# Relevance


def relevance(place: Path | str, engine: str) -> None:
    docs, queries = lines("cranfield.docs.jsonl.gz"), lines("cranfield.queries.jsonl.gz")
    known = embeddings()
    of_docs = dict(zip(map(str, known["doc_ids"]), known["docs"], strict=True))
    of_queries = dict(zip(map(str, known["query_ids"]), known["queries"], strict=True))
    grades: dict[str, dict[str, int]] = {}
    for row in lines("cranfield.qrels.jsonl.gz"):
        grades.setdefault(str(row["query"]), {})[str(row["doc"])] = row["relevance"]
    judged = [grades.get(str(query["id"]), {}) for query in queries]
    with Datastore.open(place, migrate=True, durability="relaxed", embed_model=MODEL) as store:
        talk = store.conversations.add(sanitization_version="1").id
        store.learnings.add_many(
            NewLearning(
                conversation_id=talk, id=str(doc["id"]), category="paper", title=(doc["title"] or "-")[:1000],
                content=doc["text"] or "-", dedupe_key=str(doc["id"]), vector=of_docs.get(str(doc["id"])),
            )
            for doc in docs
        )  # fmt: skip
        print(f"\n{engine}: {len(docs):,} texts, {len(queries):,} queries\n")
        print("| | nDCG@10 | MAP@100 | ms a query |\n|---|---:|---:|---:|")
        for mode in ("words", "vectors", "hybrid"):
            start = time.perf_counter()
            ranked = []
            for query in queries:
                given = None if mode == "words" else of_queries[str(query["id"])]
                page = store.learnings.search(query["text"], mode=mode, vector=given, max_rows=100)
                ranked.append([hit.learning.id for hit in page])
            each = (time.perf_counter() - start) * 1000 / len(queries)
            gain, precision = judge(ranked, judged)
            print(f"| {mode} | {gain:.4f} | {precision:.4f} | {each:.2f} |")
            figures = {"ndcg_at_10": round(gain, 4), "map_at_100": round(precision, 4), "ms_a_query": round(each, 2)}
            LINES[f"Cranfield, {engine}: {mode}"] = figures
            if mode == "hybrid":
                bar(f"nDCG@10, hybrid, {engine}", gain, at_least=0.440)
                bar(f"MAP@100, hybrid, {engine}", precision, at_least=0.348)


# Scale


def mixed(count: int, sources: Any, seed: int) -> Iterator[Any]:
    """Vectors of length 1 between two or three real ones, with a little noise, in parts."""
    pick = np.random.default_rng(seed)
    while count > 0:
        size = min(count, 5000)
        shares = pick.dirichlet((1.0, 1.0, 1.0), size).astype(np.float32)
        found = sum(shares[:, [part]] * sources[pick.integers(len(sources), size=size)] for part in range(3))
        found = found + pick.normal(0.0, 0.01, found.shape).astype(np.float32)
        yield found / np.linalg.norm(found, axis=1, keepdims=True)
        count -= size


def load(store: Datastore, count: int, sources: Any) -> None:
    talk = store.conversations.add(id="c", sanitization_version="1").id
    number = 0
    for part in mixed(count, sources, 1):
        batch = []
        for vector in part:
            batch.append(
                NewLearning(
                    conversation_id=talk, id=f"n{number}", category=f"c{number % 10}", title=f"t{number}",
                    content=f"note {number} of {number % 97}", dedupe_key=str(number), vector=vector,
                )
            )  # fmt: skip
            number += 1
        store.learnings.add_many(batch)


def scale(place: Path | str, engine: str, count: int) -> None:
    known = embeddings()
    sources, asked = known["docs"].astype(np.float32), known["queries"].astype(np.float32)
    queries = [query for part in mixed(200, np.concatenate([asked, asked, sources]), 2) for query in part]
    every = np.concatenate(list(mixed(count, sources, 1))).astype(np.float16)
    with Datastore.open(place, migrate=True, durability="relaxed", embed_model=MODEL) as store:
        if not store.learnings.find("n0"):
            start = time.perf_counter()
            load(store, count, sources)
            LINES[f"{count:,}, {engine}: stored"] = {"seconds": round(time.perf_counter() - start, 1)}
            start = time.perf_counter()
            store._parts.vectors.divide("learnings")
            LINES[f"{count:,}, {engine}: divided"] = {"seconds": round(time.perf_counter() - start, 1)}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, filters, passing in (
            ("no filter", {}, np.arange(count)),
            ("category, 10 %", {"category": "c3"}, np.arange(3, count, 10)),
        ):
            overlaps, times = [], []
            for query in queries[:20]:
                store.learnings.search(vector=query, max_rows=10, **filters)
            for query in queries:
                start = time.perf_counter()
                page = store.learnings.search(vector=query, max_rows=10, **filters)
                times.append((time.perf_counter() - start) * 1000)
                scores = every[passing].astype(np.float32) @ query if count <= 200_000 else exact(every, passing, query)
                best = {f"n{number}" for number in passing[np.argsort(-scores)[:10]]}
                overlaps.append(len(best & {hit.learning.id for hit in page}) / 10)
            p50, p95 = statistics.median(times), sorted(times)[int(len(times) * 0.95)]
            overlap = statistics.mean(overlaps)
            print(f"{count:,} {engine}, {name}: overlap@10 {overlap:.3f}, p50 {p50:.1f} ms, p95 {p95:.1f} ms")
            LINES[f"{count:,}, {engine}: {name}"] = {
                "overlap_at_10": round(overlap, 3), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1),
            }  # fmt: skip
            bar(f"overlap@10, {count:,}, {name}, {engine}", overlap, at_least=0.95)
            if not filters:
                bar(f"p95, {count:,}, {engine}, ms", p95, at_most=40 if count <= 100_000 else 80)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        LINES[f"{count:,}, {engine}: memory that the searches added"] = {"mebibytes": round(grown, 1)}
        insertion(store, count, engine, queries)


def exact(every: Any, passing: Any, query: Any) -> Any:
    return np.concatenate(
        [every[passing[at : at + 100_000]].astype(np.float32) @ query for at in range(0, len(passing), 100_000)]
    )


class RolledBack(Exception):
    """Ends a transaction, so that the next run measures the same database."""


def insertion(store: Datastore, count: int, engine: str, vectors: list[Any]) -> None:
    """One learning with and without a vector, in turns, in transactions of a hundred: the difference is the vector's."""
    times: dict[bool, list[float]] = {True: [], False: []}
    pick = random.Random(3)
    number = 0
    for turn in range(20):
        for with_vector in (True, False) if turn % 2 else (False, True):
            with suppress(RolledBack), store.transaction():
                for _ in range(100):
                    number += 1
                    text = f"insertion {count} {number} {pick.random()}"
                    start = time.perf_counter()
                    store.learnings.add(
                        conversation_id="c", category="x", title="t", content=text,
                        vector=vectors[number % len(vectors)] if with_vector else None,
                    )  # fmt: skip
                    times[with_vector].append((time.perf_counter() - start) * 1e6)
                raise RolledBack
    more = statistics.median(times[True]) - statistics.median(times[False])
    print(f"{count:,} {engine}: a vector adds {more:.0f} µs to {statistics.median(times[False]):.0f} µs")
    LINES[f"{count:,}, {engine}: insertion"] = {
        "without_us": round(statistics.median(times[False])), "vector_adds_us": round(more),
    }  # fmt: skip
    bar(f"a vector adds, {count:,}, {engine}, µs", more, at_most=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["relevance", "scale"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", type=Path, help="a file to keep and use again, for scale")
    parser.add_argument("--server", help="the URL of an empty PostgreSQL database to measure too")
    arguments = parser.parse_args()
    with folder() as place:
        for engine, target in (
            ("sqlite", arguments.database or place / "vectors.db"),
            ("postgresql", arguments.server),
        ):
            if target is None:
                continue
            if arguments.what == "relevance":
                relevance(target, engine)
            else:
                assert arguments.rows > FEW
                scale(target, engine, arguments.rows)
    command = f"python perf/vectors.py {arguments.what}"
    return finish(f"vectors-{arguments.what}", {**origin(command), "missed": MISSED, "lines": LINES}, "lines")


if __name__ == "__main__":
    raise SystemExit(main())
