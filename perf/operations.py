"""Every repository operation on stores of a thousand to a million messages; writes perf/results/operations.json.

    python perf/operations.py [--rows 1000 10000 100000 1000000]

The stores are perf/sample_database.py's. All are open at once and take turns, call by call: the figure that counts is how an
operation grows with the rows. Exits 1 where the 95th percentile is above its bar.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from measuring import finish, folder, origin, percentiles
from sample_database import CATEGORIES, TEXTS, Life, seeded
from sample_jobs import DELIVERY, JOB_TYPES
from sample_values import uid

from datastore import Datastore, NewConversation, NewJob, NewUpload
from datastore.records import Learning, NewLearning, NewMessage
from datastore.search.analysis import STOP_WORDS

#: Calls of what reads, and of what writes; fewer where they take longer than SECONDS together.
READS, WRITES, LEAST, SECONDS = 100, 40, 10, 1.0
SIZES = (1_000, 10_000, 100_000, 1_000_000)
BAR_MS, QUEUE_BAR_MS = 100.0, 50.0
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
LATER = datetime.now(timezone.utc) + timedelta(days=1)

#: An operation's name, and how to make its n-th call; the making is not timed.
Operation = tuple[str, Callable[[int], Callable[[], object]]]

_reads = re.compile(r"^search|\.(get|find|list|latest|count|categories|tags|attempts|pauses)")


def deep(read: Callable[..., Any], pages: int, **arguments: Any) -> str | None:
    """The cursor behind *pages* pages of 100."""
    after = None
    for _ in range(pages):
        page = read(after=after, max_rows=100, **arguments)
        if page.next is None:
            break
        after = page.next
    return after


class Rows:
    """The ids of a store that perf/sample_database.py filled, and what is needed to add more."""

    def __init__(self, life: Life) -> None:
        self.life = life
        free = range(1, life.conversations - life.held)  # behind them, some are held
        shown = [number for number in free if life.deleted(number) is None]
        self.long = uid(1, 0)
        self.conversations = [uid(1, number) for number in shown]
        of_free = {*shown}
        visible = [number for number in range(life.learnings) if number * 7 % life.conversations in of_free]
        self.learnings = [uid(3, number) for number in visible]
        self.uploads = [uid(4, number // 2) for number in visible[:400] if number % 2 == 0]

    def message(self, number: int) -> str:
        """A message of the long conversation, counted from its end."""
        return uid(2, self.life.sizes[0] - 1 - number % self.life.sizes[0])

    def text(self, number: int) -> str:
        return self.life.texts[number % 50]

    def learning(self, number: int) -> NewLearning:
        """A new one, in the long conversation."""
        return NewLearning(
            conversation_id=self.long, category=CATEGORIES[number % 8], title=self.life.titles[number % TEXTS],
            content=f"{number} {self.text(number)}", confidence=0.5, tags=self.life.tags_of(number), created_at=START,
        )  # fmt: skip


def operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    yield from conversation_operations(store, rows)
    yield from message_operations(store, rows)
    yield from learning_operations(store, rows)
    yield from search_operations(store, rows)
    yield from job_operations(store, rows)
    yield from upload_operations(store, rows)
    yield from audit_operations(store, rows)


def conversation_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    c, small = store.conversations, rows.conversations
    size = len(small)
    middle = deep(c.list, size // 200)
    yield "conversations.add", lambda n: partial(c.add, sanitization_version="1", title="New")
    yield (
        "conversations.add_many (100)",
        lambda n: partial(c.add_many, [NewConversation(sanitization_version="1")] * 100),
    )
    yield "conversations.get", lambda n: partial(c.get, small[n * 7 % size])
    yield "conversations.find (correlation_id)", lambda n: partial(c.find, correlation_id=f"chat-{n * 3 % size + 1}")
    yield "conversations.list, first page (50)", lambda n: partial(c.list)
    yield "conversations.list, page in the middle (50)", lambda n: partial(c.list, after=middle)
    yield "conversations.list, one session", lambda n: partial(c.list, session_id="session-1")
    yield "conversations.list, one source", lambda n: partial(c.list, source="web")
    yield "conversations.list, time range", lambda n: partial(c.list, created_from=START + timedelta(minutes=size // 2))
    yield "conversations.count", lambda n: partial(c.count)
    yield "conversations.count, one source", lambda n: partial(c.count, source="web")
    yield "conversations.update", lambda n: partial(c.update, small[n % size], title=f"Title {n}")
    yield "conversations.merge_metadata", lambda n: partial(c.merge_metadata, small[n % size], {"n": n})
    yield "conversations.complete", lambda n: partial(c.complete, small[n % size])
    some = [new_conversation(store, rows, number) for number in range(WRITES)]
    more = [new_conversation(store, rows, number + WRITES) for number in range(WRITES)]
    yield "conversations.soft_delete", lambda n: partial(c.soft_delete, some[n])
    yield "conversations.list, deleted", lambda n: partial(c.list, deleted=True)
    yield "conversations.restore", lambda n: partial(c.restore, some[n])
    yield "conversations.delete (8 messages, 10 learnings)", lambda n: partial(c.delete, some[n])

    def purge(n: int) -> Callable[[], object]:
        c.soft_delete(more[n])
        return partial(c.purge, deleted_before=LATER, max_rows=1)

    c.purge(deleted_before=LATER, max_rows=1000)
    yield "conversations.purge (1: 8 messages, 10 learnings)", purge


def new_conversation(store: Datastore, rows: Rows, number: int) -> str:
    """The id of a conversation with 8 messages and 10 learnings."""
    with store.transaction():
        id = store.conversations.add(sanitization_version="1").id
        messages = [NewMessage(role="user", content=rows.text(number + n)) for n in range(8)]
        store.messages.append_many(id, messages)
        learnings = [attrs.evolve(rows.learning(number * 10 + n), conversation_id=id) for n in range(10)]
        store.learnings.add_many(learnings)
    return id


def message_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    m, long, small = store.messages, rows.long, rows.conversations[3]
    size = m.count(long)
    middle = deep(partial(m.list, long), size // 200)
    hundred = [NewMessage(role="user", content=rows.text(n)) for n in range(100)]
    yield "messages.append", lambda n: partial(m.append, small, role="user", content=rows.text(n))
    yield "messages.append_many (100)", lambda n: partial(m.append_many, small, hundred)
    yield "messages.get", lambda n: partial(m.get, rows.message(n * 97))
    yield "messages.find", lambda n: partial(m.find, rows.message(n * 89))
    yield "messages.list, first page (50)", lambda n: partial(m.list, long)
    yield "messages.list, first page (100)", lambda n: partial(m.list, long, max_rows=100)
    yield "messages.list, page in the middle (50)", lambda n: partial(m.list, long, after=middle)
    yield "messages.list, last page (50)", lambda n: partial(m.list, long, last=True)
    yield "messages.list, backwards (50)", lambda n: partial(m.list, long, before=middle)
    yield (
        "messages.list_by_time, middle (50)",
        lambda n: partial(m.list_by_time, long, created_from=START + timedelta(seconds=size // 20)),
    )
    yield "messages.latest (4,000 tokens)", lambda n: partial(m.latest, long, max_tokens=4000)
    yield "messages.latest (400 rows)", lambda n: partial(m.latest, long, max_tokens=10**6, max_rows=400)
    yield "messages.count, one conversation", lambda n: partial(m.count, long)
    yield "messages.count, all", lambda n: partial(m.count)
    yield "messages.update", lambda n: partial(m.update, rows.message(n), metadata={"n": n})
    yield "messages.redact", lambda n: partial(m.redact, rows.message(n), content="[REDACTED]")
    yield "messages.delete", lambda n: partial(m.delete, rows.message(100 + n))


def learning_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    r, conversation, known = store.learnings, rows.long, rows.learnings
    tag, tags = rows.life.tags[3], rows.life.tags
    middle = deep(r.list, len(known) // 200)

    def add(n: int) -> Callable[[], object]:
        new = rows.learning(n + 10_000)
        return partial(
            r.add, conversation_id=conversation, category=new.category, title=new.title, content=new.content,
            tags=new.tags, message_ids=[rows.message(200 + n), rows.message(201 + n)],
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
        lambda n: partial(r.add_many, [rows.learning(n * 100 + i) for i in range(100)]),
    )
    yield "learnings.get", lambda n: partial(r.get, known[n * 7 % len(known)])
    yield (
        "learnings.find (dedupe_key)",
        lambda n: partial(r.find, conversation_id=first.conversation_id, dedupe_key="no such key"),
    )
    yield "messages.list_by_learning", lambda n: partial(store.messages.list_by_learning, known[n % len(known)])
    yield "learnings.list, first page (50)", lambda n: partial(r.list)
    yield "learnings.list, page in the middle (50)", lambda n: partial(r.list, after=middle)
    yield "learnings.list, one category", lambda n: partial(r.list, category="sql")
    yield "learnings.list, one tag", lambda n: partial(r.list, tag=tag)
    yield "learnings.list, one conversation", lambda n: partial(r.list, conversation_id=conversation)
    yield "learnings.count", lambda n: partial(r.count)
    yield "learnings.count, one category", lambda n: partial(r.count, category="sql")
    yield "learnings.count, one tag", lambda n: partial(r.count, tag=tag)
    yield "learnings.categories", lambda n: partial(r.categories)
    yield "learnings.tags", lambda n: partial(r.tags)
    yield (
        "learnings.update (content, tags)",
        lambda n: partial(r.update, known[n], content=f"{n} {rows.text(n)}", tags=tags[1:3]),
    )
    yield "learnings.delete", lambda n: partial(r.delete, known[500 + n])


def search_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    s = store.learnings.search
    tags = rows.life.tags
    counts = Counter(word for text in rows.life.texts for word in set(text.split()))
    ranked = [word for word, _ in counts.most_common() if len(word) > 2 and word not in STOP_WORDS]
    common, second, usual, rare = ranked[0], ranked[1], ranked[len(ranked) // 50], ranked[len(ranked) // 2]
    yield "search, the most frequent word", lambda n: partial(s, common)
    yield "search, the two most frequent words", lambda n: partial(s, f"{common} {second}")
    yield "search, a usual word", lambda n: partial(s, usual)
    yield "search, a rare word", lambda n: partial(s, rare)
    yield "search, a phrase", lambda n: partial(s, f'"{common} {second}"')
    yield "search, a word that is nowhere", lambda n: partial(s, "zzzzqqq")
    yield "search, text typed by accident", lambda n: partial(s, '"AND ( NOT * : ^ -')
    yield "search, most frequent word + category", lambda n: partial(s, common, category="sql")
    yield "search, most frequent word + any of 2 tags", lambda n: partial(s, common, tags_any=tags[4:6])
    yield "search, most frequent word + all of 2 tags", lambda n: partial(s, common, tags_all=tags[:2])
    yield (
        "search, usual word + category, tags, confidence",
        lambda n: partial(s, usual, category="sql", tags_any=tags[1:4], min_confidence=0.5),
    )
    yield "search, category only", lambda n: partial(s, category="sql")
    yield "search, any of 2 tags only", lambda n: partial(s, tags_any=tags[4:6])
    yield "search, all of 2 tags only", lambda n: partial(s, tags_all=tags[:2])
    yield "search, confidence at least 0.999 only", lambda n: partial(s, min_confidence=0.999)


def job_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
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

    middle = deep(q.list, min(rows.life.jobs // 200, 500))
    # Of the store as it is: the jobs that are added below stand in front of the list.
    yield "jobs.list, first page (50)", lambda n: partial(q.list)
    yield "jobs.list, page in the middle (50)", lambda n: partial(q.list, after=middle)
    yield "jobs.list, one type", lambda n: partial(q.list, type=JOB_TYPES[1])
    yield "jobs.list, status and type", lambda n: partial(q.list, status="succeeded", type=JOB_TYPES[1])
    q.unlimit(DELIVERY)  # a claim of every type would ask for its places too
    tomorrow = LATER
    for first in range(0, 10_000, 1000):  # enough for every claim below
        q.enqueue_many([NewJob(type=JOB_TYPES[n % 5], payload={"n": first + n}) for n in range(1000)])
    while q.recover_expired(max_rows=1000):
        pass  # the leases of the past, which every claim below would take along
    keyed = q.enqueue("keyed", dedupe_key="the-key", run_at=tomorrow)
    yield "jobs.enqueue", lambda n: partial(q.enqueue, JOB_TYPES[1], {"n": n})
    yield "jobs.enqueue, dedupe_key taken", lambda n: partial(q.enqueue, "keyed", dedupe_key="the-key")
    yield "jobs.enqueue_many (100)", lambda n: partial(q.enqueue_many, [NewJob(type=JOB_TYPES[1])] * 100)
    yield "jobs.claim", lambda n: partial(q.claim, worker="perf")
    yield "jobs.claim, one type", lambda n: partial(q.claim, [JOB_TYPES[1]], worker="perf")
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
    yield "jobs.retry", lambda n: partial(q.retry, q.enqueue(JOB_TYPES[1], delay=3600).id)
    yield "jobs.cancel", lambda n: partial(q.cancel, q.enqueue(JOB_TYPES[1]).id)
    yield "jobs.cancel, running", claimed(lambda job: q.cancel(job.id))
    yield "jobs.pause", lambda n: partial(q.pause, f"paused-{n}")
    yield "jobs.pauses", lambda n: q.pauses
    yield "jobs.resume", lambda n: partial(q.resume, f"paused-{n}")
    yield "jobs.get", lambda n: partial(q.get, n * 7 % 1000 + 1)
    yield "jobs.find (dedupe_key)", lambda n: partial(q.find, dedupe_key=keyed.dedupe_key)
    yield "jobs.attempts", lambda n: partial(q.attempts, 9)
    yield "jobs.counts", lambda n: partial(q.counts)
    yield "jobs.list, one status", lambda n: partial(q.list, status="quarantined")
    yield "jobs.list, running", lambda n: partial(q.list, status="running")
    yield "jobs.list, a status and type that no job has", lambda n: partial(q.list, status="queued", type="none")
    yield "jobs.delete", lambda n: partial(q.delete, ended(n))

    def purge(n: int) -> Callable[[], object]:
        return partial(q.prune, finished_before=tomorrow, max_rows=10)

    yield "jobs.prune (10)", purge


def upload_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    u, known = store.uploads, rows.uploads
    learnings = rows.learnings[50:450]
    some = [
        one.id for one in u.add_many([NewUpload(learning_id=id, destination="perf") for id in learnings[: WRITES * 7]])
    ]

    def free(n: int, part: int) -> Any:
        return some[part * WRITES + n]

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

    middle = deep(u.list, min(rows.life.uploads // 200, 500))
    yield "uploads.add", lambda n: partial(u.add, learnings[300 + n], "perf")
    yield "uploads.get", lambda n: partial(u.get, known[n * 3 % len(known)])
    yield "uploads.find", lambda n: partial(u.find, learning_id=learnings[n], destination="perf")
    yield "uploads.list, first page (50)", lambda n: partial(u.list)
    yield "uploads.list, page in the middle (50)", lambda n: partial(u.list, after=middle)
    yield "uploads.list, one status", lambda n: partial(u.list, status="pending")
    yield "uploads.list_by_learning", lambda n: partial(u.list_by_learning, learnings[n])
    yield "uploads.counts", lambda n: partial(u.counts)
    yield "uploads.start", lambda n: partial(u.start, free(n, 0))
    yield "uploads.finish", started(1, lambda id: u.finish(id, remote_id="r", receipt={"ok": True}))
    yield "uploads.fail", started(2, lambda id: u.fail(id, "no"))
    yield "uploads.confirm", finished
    yield "uploads.retry", failed
    yield "uploads.release", started(5, u.release)
    yield "uploads.delete", lambda n: partial(u.delete, free(n, 6))


def audit_operations(store: Datastore, rows: Rows) -> Iterator[Operation]:
    a, d, conversation, message = store.audit, store.redactions, rows.long, rows.message(300)
    middle = deep(a.list, min(rows.life.audits // 200, 500))
    mark = {"category": "email", "rule": "r", "detector": "d", "original_hash": "0" * 16, "replacement": "[EMAIL]",
            "confidence": 1.0}  # fmt: skip
    yield "audit.record", lambda n: partial(a.record, "redact", subject_type="message", subject_id=message)
    yield "audit.list, first page (50)", lambda n: partial(a.list)
    yield "audit.list, page in the middle (50)", lambda n: partial(a.list, after=middle)
    yield "audit.list, one subject", lambda n: partial(a.list, subject_type="message", subject_id=message)
    yield "audit.count", lambda n: partial(a.count)
    yield "redactions.add", lambda n: partial(d.add, conversation, message_id=message, **mark)
    yield "redactions.list_by_conversation", lambda n: partial(d.list_by_conversation, conversation)
    yield "redactions.list_by_message", lambda n: partial(d.list_by_message, message)
    yield "redactions.count", lambda n: partial(d.count, conversation)


def measure(name: str, makes: Mapping[int, Callable[[int], Callable[[], object]]]) -> dict[int, list[float]]:
    """p50, p95 and p99 of an operation's calls on each store, in milliseconds; the stores take turns, call by call."""
    times: dict[int, list[float]] = {rows: [] for rows in makes}
    end = time.perf_counter() + SECONDS * len(makes)
    for n in range(READS if _reads.search(name) else WRITES):
        for rows, make in makes.items():
            call = make(n)
            start = time.perf_counter()
            call()
            times[rows].append((time.perf_counter() - start) * 1000)
        if n + 1 >= LEAST and time.perf_counter() > end:
            break
    return {rows: percentiles(some) for rows, some in times.items()}


def run(paths: Mapping[int, Path]) -> dict[str, dict[int, list[float]]]:
    """Every operation's percentiles by the store's size: a machine that gets slower meanwhile does so for all of them."""
    results: dict[str, dict[int, list[float]]] = {}
    with ExitStack() as stack:
        stores = {rows: stack.enter_context(Datastore.open(path)) for rows, path in paths.items()}
        everything = [operations(store, Rows(Life(rows))) for rows, store in stores.items()]
        for same in zip(*everything, strict=True):
            (name,) = {name for name, _ in same}
            results[name] = measure(name, {rows: make for rows, (_, make) in zip(stores, same, strict=True)})
            for rows, figures in results[name].items():
                if figures[1] > bar(name):
                    print(f"ABOVE ITS BAR: {rows:,} rows, {name}: {figures} ms", file=sys.stderr)
    return results


def bar(name: str) -> float:
    """Milliseconds that the 95th percentile may take."""
    return QUEUE_BAR_MS if name.startswith("jobs.") else BAR_MS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument(
        "--stores", type=Path, help="a folder with ROWS.db files that were filled before; they are changed"
    )
    arguments = parser.parse_args()
    with folder() as place:
        paths = {rows: (arguments.stores or place) / f"{rows}.db" for rows in arguments.rows}
        seeding = {}
        for rows, path in paths.items():
            seeding[str(rows)] = seeded(path, rows)._asdict()
            print(f"{rows:,} messages: {seeding[str(rows)]}", file=sys.stderr)
        results = run(paths)
        for path in paths.values():
            path.unlink()
    missed = [
        f"{name} on {rows:,} messages: p95 {figures[1]:.1f} ms, at most {bar(name):g} is asked"
        for name, sizes in results.items()
        for rows, figures in sizes.items()
        if figures[1] > bar(name)
    ]
    result = {
        **origin("python perf/operations.py"), "calls": {"reads": READS, "writes": WRITES}, "seeding": seeding,
        "rows": arguments.rows, "missed": missed,
        "milliseconds": {name: {str(rows): one for rows, one in sizes.items()} for name, sizes in results.items()},
    }  # fmt: skip
    return finish("operations", result, "milliseconds")


if __name__ == "__main__":
    raise SystemExit(main())
