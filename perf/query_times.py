"""Times every repository operation on 10,000 and 100,000 rows a table and writes docs/query-times.md."""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from datastore import Datastore
from datastore.records import Learning, NewLearning, NewMessage

ROOT = Path(__file__).resolve().parent.parent
CALLS = 30
BAR_MS, QUEUE_BAR_MS = 100.0, 50.0
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
CATEGORIES = ["debugging", "testing", "deployment", "writing", "planning", "sql", "python", "security"]
TAGS = [f"tag-{number}" for number in range(50)]

#: An operation's name, and how to make its n-th call; the making is not timed.
Operation = tuple[str, Callable[[int], Callable[[], object]]]


def sample_words() -> list[str]:
    """The words of the conversations that the package ships, repeated ones included: as frequent as there."""
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "datastore/sample").glob("*.jsonl"))]
    return re.findall(r"[^\W\d_]{2,}", re.sub(r"\\[nt\"]", " ", " ".join(texts))) or ["word"]


class Text:
    """Text from the sample's words, the same in every run."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.random = random.Random(7)

    def __call__(self, low: int, high: int) -> str:
        start = self.random.randrange(len(self.words))
        count = self.random.randint(low, high)
        run = self.words[start : start + count // 2]
        return " ".join([*run, *self.random.choices(self.words, k=count - len(run))])


def fill(store: Datastore, rows: int, text: Text) -> dict[str, list[Any]]:
    """*rows* messages, learnings and jobs; a tenth as many conversations and uploads. One conversation is long."""
    ids: dict[str, list[Any]] = {"conversation": [], "message": [], "learning": [], "upload": [], "job": []}
    conversations = rows // 10
    long = rows // 5
    for first in range(0, conversations, 500):
        with store.transaction():
            for number in range(first, min(first + 500, conversations)):
                size = long if number == 0 else 8
                add_conversation(store, number, size, text, ids)
    jobs = [{"type": f"type-{n % 5}", "payload": {"n": n}, "priority": n % 10} for n in range(rows)]
    for first in range(0, rows, 5000):
        ids["job"] += [job.id for job in store.jobs.enqueue_many(jobs[first : first + 5000])]
    with store.transaction():
        for job in store.jobs.claim_many(worker="fill", max_rows=min(1000, rows // 10)):
            store.jobs.succeed(job)
    for first in range(0, rows // 10, 1000):
        uploads = [{"learning_id": id, "destination": "wiki"} for id in ids["learning"][first : first + 1000]]
        ids["upload"] += [upload.id for upload in store.uploads.add_many(uploads)]
    return ids


def add_conversation(store: Datastore, number: int, size: int, text: Text, ids: dict[str, list[Any]]) -> None:
    at = START + timedelta(minutes=number)
    id = store.conversations.add(
        sanitization_version="1", session_id=f"session-{number % 100}", title=text(3, 8), created_at=at,
        source=("web", "ide")[number % 2], correlation_id=f"c-{number}",
    ).id  # fmt: skip
    ids["conversation"].append(id)
    for first in range(0, size, 1000):
        batch = [
            NewMessage(
                role=("user", "assistant")[n % 2], content=text(10, 80), created_at=at + timedelta(seconds=first + n)
            )
            for n in range(min(1000, size - first))
        ]
        ids["message"] += [message.id for message in store.messages.append_many(id, batch)]
    ids["learning"] += [row.id for row in store.learnings.add_many([learning(id, n, text, at) for n in range(10)])]


def learning(conversation_id: str, number: int, text: Text, at: datetime) -> NewLearning:
    pick = text.random
    return NewLearning(
        conversation_id=conversation_id, category=pick.choice(CATEGORIES), title=text(3, 9), content=text(20, 90),
        confidence=pick.random(), tags=pick.sample(TAGS, 3), created_at=at + timedelta(seconds=number),
    )  # fmt: skip


def deep(read: Callable[..., Any], pages: int, **arguments: Any) -> str | None:
    """The cursor behind *pages* pages of 100."""
    after = None
    for _ in range(pages):
        page = read(after=after, max_rows=100, **arguments)
        if page.next is None:
            break
        after = page.next
    return after


def operations(store: Datastore, ids: dict[str, list[Any]], text: Text) -> Iterator[Operation]:
    yield from conversation_operations(store, ids)
    yield from message_operations(store, ids, text)
    yield from learning_operations(store, ids, text)
    yield from search_operations(store, text)
    yield from job_operations(store, ids)
    yield from upload_operations(store, ids)
    yield from audit_operations(store, ids)


def conversation_operations(store: Datastore, ids: dict[str, list[Any]]) -> Iterator[Operation]:
    c, small = store.conversations, ids["conversation"][1:]
    size = len(small)
    middle = deep(c.list, size // 200)
    yield "conversations.add", lambda n: partial(c.add, sanitization_version="1", title="New")
    yield "conversations.add_many (100)", lambda n: partial(c.add_many, [{"sanitization_version": "1"}] * 100)
    yield "conversations.get", lambda n: partial(c.get, small[n * 7])
    yield "conversations.find (correlation_id)", lambda n: partial(c.find, correlation_id=f"c-{n}")
    yield "conversations.list, first page (50)", lambda n: partial(c.list)
    yield "conversations.list, page in the middle (50)", lambda n: partial(c.list, after=middle)
    yield "conversations.list, one session", lambda n: partial(c.list, session_id="session-3")
    yield "conversations.list, one source", lambda n: partial(c.list, source="web")
    yield "conversations.list, time range", lambda n: partial(c.list, created_from=START + timedelta(minutes=size // 2))
    yield "conversations.count", lambda n: partial(c.count)
    yield "conversations.count, one source", lambda n: partial(c.count, source="web")
    yield "conversations.update", lambda n: partial(c.update, small[n], title=f"Title {n}")
    yield "conversations.merge_metadata", lambda n: partial(c.merge_metadata, small[n], {"n": n})
    yield "conversations.complete", lambda n: partial(c.complete, small[n])
    yield "conversations.soft_delete", lambda n: partial(c.soft_delete, small[n])
    yield "conversations.list, deleted", lambda n: partial(c.list, deleted=True)
    yield "conversations.restore", lambda n: partial(c.restore, small[n])
    yield "conversations.delete (8 messages, 10 learnings)", lambda n: partial(c.delete, small[-1 - n])

    def purge(n: int) -> Callable[[], object]:
        c.soft_delete(small[-100 - n])
        return partial(c.purge, deleted_before=datetime.now(timezone.utc) + timedelta(days=1))

    yield "conversations.purge (1 of them)", purge


def message_operations(store: Datastore, ids: dict[str, list[Any]], text: Text) -> Iterator[Operation]:
    m, long, small = store.messages, ids["conversation"][0], ids["conversation"][1]
    size = m.count(long)
    middle = deep(partial(m.list, long), size // 200)
    hundred = [NewMessage(role="user", content=text(10, 80)) for _ in range(100)]
    yield "messages.append", lambda n: partial(m.append, small, role="user", content=text(10, 80))
    yield "messages.append_many (100)", lambda n: partial(m.append_many, small, hundred)
    yield "messages.get", lambda n: partial(m.get, ids["message"][n * 97])
    yield "messages.find", lambda n: partial(m.find, ids["message"][n * 89])
    yield "messages.list, first page (50)", lambda n: partial(m.list, long)
    yield "messages.list, first page (100)", lambda n: partial(m.list, long, max_rows=100)
    yield "messages.list, page in the middle (50)", lambda n: partial(m.list, long, after=middle)
    yield "messages.list, last page (50)", lambda n: partial(m.list, long, last=True)
    yield "messages.list, backwards (50)", lambda n: partial(m.list, long, before=middle)
    yield (
        "messages.list_by_time, middle (50)",
        lambda n: partial(m.list_by_time, long, created_from=START + timedelta(seconds=size // 2)),
    )
    yield "messages.latest (4,000 tokens)", lambda n: partial(m.latest, long, max_tokens=4000)
    yield "messages.latest (1,000 rows)", lambda n: partial(m.latest, long, max_tokens=10**6, max_rows=1000)
    yield "messages.count, one conversation", lambda n: partial(m.count, long)
    yield "messages.count, all", lambda n: partial(m.count)
    yield "messages.update", lambda n: partial(m.update, ids["message"][n], metadata={"n": n})
    yield "messages.redact", lambda n: partial(m.redact, ids["message"][n], content="[REDACTED]")
    yield "messages.delete", lambda n: partial(m.delete, ids["message"][100 + n])


def learning_operations(store: Datastore, ids: dict[str, list[Any]], text: Text) -> Iterator[Operation]:
    r, conversation, at = store.learnings, ids["conversation"][0], START
    known = ids["learning"]
    middle = deep(r.list, len(known) // 200)

    def add(n: int) -> Callable[[], object]:
        new = learning(conversation, n, text, at)
        return partial(
            r.add, conversation_id=conversation, category=new.category, title=new.title, content=new.content,
            tags=new.tags, message_ids=ids["message"][200 + n : 202 + n],
        )  # fmt: skip

    first: Learning = r.get(known[0])
    yield "learnings.add", add
    yield (
        "learnings.add, the same again",
        lambda n: partial(
            r.add,
            conversation_id=first.conversation_id,
            category=first.category,
            title=first.title,
            content=first.content,
        ),
    )
    yield (
        "learnings.add_many (100)",
        lambda n: partial(r.add_many, [learning(conversation, i, text, at) for i in range(100)]),
    )
    yield "learnings.get", lambda n: partial(r.get, known[n * 7])
    yield (
        "learnings.find (dedupe_key)",
        lambda n: partial(r.find, conversation_id=first.conversation_id, dedupe_key="no such key"),
    )
    yield "learnings.messages", lambda n: partial(r.messages, known[n])
    yield "learnings.list, first page (50)", lambda n: partial(r.list)
    yield "learnings.list, page in the middle (50)", lambda n: partial(r.list, after=middle)
    yield "learnings.list, one category", lambda n: partial(r.list, category="sql")
    yield "learnings.list, one tag", lambda n: partial(r.list, tag="tag-7")
    yield "learnings.list, one conversation", lambda n: partial(r.list, conversation_id=conversation)
    yield "learnings.count", lambda n: partial(r.count)
    yield "learnings.count, one category", lambda n: partial(r.count, category="sql")
    yield "learnings.count, one tag", lambda n: partial(r.count, tag="tag-7")
    yield "learnings.categories", lambda n: partial(r.categories)
    yield "learnings.tags", lambda n: partial(r.tags)
    yield (
        "learnings.update (content, tags)",
        lambda n: partial(r.update, known[n], content=text(20, 90), tags=["tag-1", "tag-2"]),
    )
    yield "learnings.delete", lambda n: partial(r.delete, known[1000 // 2 + n])


def search_operations(store: Datastore, text: Text) -> Iterator[Operation]:
    s = store.learnings.search
    counts: dict[str, int] = {}
    for word in text.words:
        counts[word.lower()] = counts.get(word.lower(), 0) + 1
    ranked = sorted((word for word in counts if len(word) > 2), key=lambda word: -counts[word])
    common, second, usual, rare = ranked[0], ranked[1], ranked[len(ranked) // 20], ranked[-1]
    yield "search, the most frequent word", lambda n: partial(s, common)
    yield "search, the two most frequent words", lambda n: partial(s, f"{common} {second}")
    yield "search, a usual word", lambda n: partial(s, usual)
    yield "search, a rare word", lambda n: partial(s, rare)
    yield "search, a phrase", lambda n: partial(s, f'"{common} {second}"')
    yield "search, a word that is nowhere", lambda n: partial(s, "zzzzqqq")
    yield "search, text typed by accident", lambda n: partial(s, '"AND ( NOT * : ^ -')
    yield "search, most frequent word + category", lambda n: partial(s, common, category="sql")
    yield "search, most frequent word + any of 2 tags", lambda n: partial(s, common, tags_any=["tag-1", "tag-2"])
    yield "search, most frequent word + all of 2 tags", lambda n: partial(s, common, tags_all=["tag-1", "tag-2"])
    yield (
        "search, usual word + category, tags, confidence",
        lambda n: partial(s, usual, category="sql", tags_any=["tag-1", "tag-2", "tag-3"], min_confidence=0.5),
    )
    yield "search, category only", lambda n: partial(s, category="sql")
    yield "search, any of 2 tags only", lambda n: partial(s, tags_any=["tag-1", "tag-2"])
    yield "search, all of 2 tags only", lambda n: partial(s, tags_all=["tag-1", "tag-2"])
    yield "search, confidence at least 0.999 only", lambda n: partial(s, min_confidence=0.999)


def job_operations(store: Datastore, ids: dict[str, list[Any]]) -> Iterator[Operation]:
    q = store.jobs

    def claimed(then: Callable[[Any], object]) -> Callable[[int], Callable[[], object]]:
        def make(n: int) -> Callable[[], object]:
            job = q.claim(worker="perf")
            return lambda: then(job)

        return make

    def ended(n: int) -> int:
        job = q.claim(worker="perf")
        assert job is not None
        return q.fail(job, "no", permanent=True).id

    def succeed_many(n: int) -> Callable[[], object]:
        return partial(q.succeed_many, q.claim_many(worker="perf", max_rows=50))

    def expire(n: int) -> Callable[[], object]:
        q.claim_many(worker="perf", lease_seconds=0.001, max_rows=100)
        time.sleep(0.005)
        return partial(q.recover_expired, max_rows=100)

    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    middle = deep(q.list, len(ids["job"]) // 200)
    keyed = q.enqueue("keyed", dedupe_key="the-key", run_at=tomorrow)
    yield "jobs.enqueue", lambda n: partial(q.enqueue, "type-1", {"n": n})
    yield "jobs.enqueue, dedupe_key taken", lambda n: partial(q.enqueue, "keyed", dedupe_key="the-key")
    yield "jobs.enqueue_many (100)", lambda n: partial(q.enqueue_many, [{"type": "type-1"}] * 100)
    yield "jobs.claim", lambda n: partial(q.claim, worker="perf")
    yield "jobs.claim, one type", lambda n: partial(q.claim, ["type-1"], worker="perf")
    yield "jobs.claim, nothing there", lambda n: partial(q.claim, ["no-such-type"], worker="perf")
    yield "jobs.claim_many (10)", lambda n: partial(q.claim_many, worker="perf", max_rows=10)
    yield "jobs.claim_many (50)", lambda n: partial(q.claim_many, worker="perf", max_rows=50)
    yield "jobs.wait, something is due", lambda n: partial(q.wait, timeout=0)
    yield "jobs.heartbeat", claimed(lambda job: q.heartbeat(job, progress={"done": 1}))
    yield "jobs.succeed", claimed(lambda job: q.succeed(job, {"ok": True}))
    yield "jobs.succeed_many (50)", succeed_many
    yield "jobs.succeed_and_claim", claimed(lambda job: q.succeed_and_claim(job, worker="perf"))
    yield "jobs.fail (backoff)", claimed(lambda job: q.fail(job, "no"))
    yield "jobs.fail (permanent)", claimed(lambda job: q.fail(job, "no", permanent=True))
    yield "jobs.release", claimed(q.release)
    yield "jobs.snooze", claimed(lambda job: q.snooze(job, 3600))
    yield "jobs.recover_expired (100)", expire
    yield "jobs.recover_expired, none", lambda n: partial(q.recover_expired)
    yield "jobs.requeue", lambda n: partial(q.requeue, ended(n))
    yield "jobs.retry", lambda n: partial(q.retry, q.enqueue("type-1", delay=3600).id)
    yield "jobs.cancel", lambda n: partial(q.cancel, q.enqueue("type-1").id)
    yield "jobs.cancel, running", claimed(lambda job: q.cancel(job.id))
    yield "jobs.pause", lambda n: partial(q.pause, f"paused-{n}")
    yield "jobs.pauses", lambda n: q.pauses
    yield "jobs.resume", lambda n: partial(q.resume, f"paused-{n}")
    yield "jobs.get", lambda n: partial(q.get, ids["job"][n * 7])
    yield "jobs.find (dedupe_key)", lambda n: partial(q.find, dedupe_key=keyed.dedupe_key)
    yield "jobs.attempts", lambda n: partial(q.attempts, ids["job"][9])
    yield "jobs.counts", lambda n: partial(q.counts)
    yield "jobs.list, first page (50)", lambda n: partial(q.list)
    yield "jobs.list, page in the middle (50)", lambda n: partial(q.list, after=middle)
    yield "jobs.list, one status", lambda n: partial(q.list, status="quarantined")
    yield "jobs.list, running", lambda n: partial(q.list, status="running")
    yield "jobs.list, one type", lambda n: partial(q.list, type="type-1")
    yield "jobs.list, status and type", lambda n: partial(q.list, status="succeeded", type="type-1")
    yield "jobs.list, a status and type that no job has", lambda n: partial(q.list, status="queued", type="none")
    yield "jobs.delete", lambda n: partial(q.delete, ended(n))

    def purge(n: int) -> Callable[[], object]:
        return partial(q.purge, finished_before=tomorrow, max_rows=10)

    yield "jobs.purge (10)", purge


def upload_operations(store: Datastore, ids: dict[str, list[Any]]) -> Iterator[Operation]:
    u, known = store.uploads, ids["upload"]
    some = known[100 : 100 + CALLS * 8]

    def free(n: int, part: int) -> Any:
        return some[part * CALLS + n]

    def started(part: int, then: Callable[[Any], object]) -> Callable[[int], Callable[[], object]]:
        def make(n: int) -> Callable[[], object]:
            u.start(free(n, part))
            return partial(then, free(n, part))

        return make

    def finished(n: int) -> Callable[[], object]:
        u.start(free(n, 3))
        u.finish(free(n, 3), remote_id=f"r-{n}")
        return partial(u.confirm, free(n, 3))

    def failed(n: int) -> Callable[[], object]:
        u.start(free(n, 4))
        u.fail(free(n, 4), "no")
        return partial(u.retry, free(n, 4))

    middle = deep(u.list, len(known) // 200)
    learnings = ids["learning"][1000:]
    yield "uploads.add", lambda n: partial(u.add, ids["learning"][100 + n], "perf")
    yield "uploads.get", lambda n: partial(u.get, known[n])
    yield "uploads.find", lambda n: partial(u.find, learning_id=learnings[n], destination="wiki")
    yield "uploads.list, first page (50)", lambda n: partial(u.list)
    yield "uploads.list, page in the middle (50)", lambda n: partial(u.list, after=middle)
    yield "uploads.list, one status", lambda n: partial(u.list, status="pending")
    yield "uploads.by_learning", lambda n: partial(u.by_learning, learnings[n])
    yield "uploads.counts", lambda n: partial(u.counts)
    yield "uploads.start", lambda n: partial(u.start, free(n, 0))
    yield "uploads.finish", started(1, lambda id: u.finish(id, remote_id="r", receipt={"ok": True}))
    yield "uploads.fail", started(2, lambda id: u.fail(id, "no"))
    yield "uploads.confirm", finished
    yield "uploads.retry", failed
    yield "uploads.release", started(5, u.release)
    yield "uploads.delete", lambda n: partial(u.delete, free(n, 6))


def audit_operations(store: Datastore, ids: dict[str, list[Any]]) -> Iterator[Operation]:
    a, conversation, message = store.audit, ids["conversation"][0], ids["message"][300]
    with store.transaction():
        for n in range(len(ids["message"]) - a.count()):
            a.record("redact", subject_type="message", subject_id=ids["message"][n])
    middle = deep(a.list, len(ids["message"]) // 200)
    mark = {"category": "email", "rule": "r", "detector": "d", "original_hash": "0" * 16, "replacement": "[EMAIL]",
            "confidence": 1.0}  # fmt: skip
    yield "audit.record", lambda n: partial(a.record, "redact", subject_type="message", subject_id=message)
    yield "audit.list, first page (50)", lambda n: partial(a.list)
    yield "audit.list, page in the middle (50)", lambda n: partial(a.list, after=middle)
    yield "audit.list, one subject", lambda n: partial(a.list, subject_type="message", subject_id=message)
    yield "audit.count", lambda n: partial(a.count)
    yield "audit.add_redaction", lambda n: partial(a.add_redaction, conversation, message_id=message, **mark)
    yield "audit.redactions", lambda n: partial(a.redactions, conversation)
    yield "audit.redactions_of_message", lambda n: partial(a.redactions_of_message, message)
    yield "audit.count_redactions", lambda n: partial(a.count_redactions, conversation)


def measure(make: Callable[[int], Callable[[], object]]) -> tuple[float, float]:
    """The median and the 95th percentile of CALLS calls, in milliseconds."""
    times = []
    for n in range(CALLS):
        call = make(n)
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return statistics.median(times), times[int(0.95 * (len(times) - 1) + 0.5)]


def run(rows: int, folder: Path) -> dict[str, tuple[float, float]]:
    text = Text(sample_words())
    path = folder / f"{rows}.db"
    with Datastore.open(path, migrate=True, durability="relaxed") as store:
        start = time.perf_counter()
        ids = fill(store, rows, text)
        print(f"{rows:,} rows filled in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    results = {}
    with Datastore.open(path) as store:
        for name, make in operations(store, ids, text):
            try:
                results[name] = measure(make)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                raise
            p50, p95 = results[name]
            if p95 > bar(name):
                print(f"ABOVE ITS BAR: {rows:,} rows, {name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms", file=sys.stderr)
    return results


def bar(name: str) -> float:
    return QUEUE_BAR_MS if name.startswith("jobs.") else BAR_MS


def commit() -> str:
    """The commit that is measured, and whether the code differs from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "datastore", "sql", "migrations"], capture_output=True)
    return (head.stdout.strip() or "unknown") + (" with uncommitted changes" if changed.stdout else "")


def machine() -> str:
    model = next(
        (
            line.partition(": ")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}"
    )


def markdown(results: dict[int, dict[str, tuple[float, float]]]) -> str:
    sizes = list(results)
    heads = "".join(f" {size:,}: p50 | p95 |" for size in sizes)
    above = 0
    lines = []
    for name in results[sizes[0]]:
        cells = ""
        for size in sizes:
            p50, p95 = results[size][name]
            mark = " **above**" if p95 > bar(name) else ""
            above += bool(mark)
            cells += f" {p50:.2f} | {p95:.2f}{mark} |"
        lines.append(f"| {name} | {bar(name):.0f} |{cells}")
    verdict = "Every operation keeps its bar." if not above else f"{above} figures are above their bar, marked so."
    return (
        f"""# Query times

Written by `python perf/query_times.py`; not edited by hand. Milliseconds, median and 95th percentile of {CALLS} calls
of each operation through the repositories, at `durability="full"`, alone on the database. The bars are
{BAR_MS:.0f} ms, and {QUEUE_BAR_MS:.0f} ms for queue operations; the 95th percentile has to keep them. **{verdict}**

Each size is the number of messages, of learnings, of jobs and of audit entries; there are a tenth as many
conversations and uploads. One conversation has a fifth of the messages; "in the middle" is half-way through it, or
through the table. Text is drawn from the words of the sample conversations; most operations on one row take the time
of a commit that reaches the disk.

Not in the table: `audit.verify`, which walks the whole log by design, and `uploads.add_many` and
`audit.add_redactions`, which repeat the single ones in one transaction. `find` by id is `get` without the error.

Machine: {machine()}; {datetime.now(timezone.utc):%Y-%m-%d}; commit {commit()}.

| Operation | Bar |{heads}
|---|---:|{"---:|---:|" * len(sizes)}
"""
        + "\n".join(lines)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--output", type=Path, default=ROOT / "docs/query-times.md")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as folder:
        for rows in arguments.rows:
            results[rows] = run(rows, Path(folder))
    arguments.output.write_text(markdown(results), encoding="utf-8")
    return int(any(p95 > bar(name) for table in results.values() for name, (_, p95) in table.items()))


if __name__ == "__main__":
    raise SystemExit(main())
