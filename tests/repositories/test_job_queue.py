"""The job queue: order, fences, recovery, history, and what a claim costs."""

from __future__ import annotations

import random
import sqlite3
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from datastore import Datastore, NewJob
from datastore.errors import (
    CheckError,
    CursorError,
    DatastoreError,
    InvalidValueError,
    LeaseLostError,
    NotFoundError,
    TransitionError,
    UniqueError,
)
from datastore.repositories.backoff import MAX_ERROR_LENGTH, error_text, retry_delay
from datastore.values import encode_timestamp

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


def _drain(store: Any, types: Any = None) -> list[int]:
    ids = []
    while job := store.jobs.claim(types, worker="w"):
        ids.append(job.id)
        store.jobs.succeed(job)
    return ids


# Enqueue.


def test_enqueue_gives_the_stored_job(store: Any, clock: Any) -> None:
    job = store.jobs.enqueue("mail", {"to": ["a", None]}, priority=3, max_attempts=2, dedupe_key="k")
    assert job == store.jobs.get(job.id) == store.jobs.find(job.id) == store.jobs.find(dedupe_key="k")
    assert (job.type, job.status, job.payload, job.priority, job.attempts) == (
        "mail",
        "queued",
        {"to": ["a", None]},
        3,
        0,
    )
    assert job.run_at == job.created_at == clock.now
    assert store.jobs.enqueue("mail").payload == {}


@pytest.mark.parametrize("delay", [90, 90.0, timedelta(seconds=90)])
def test_delay_counts_from_now(store: Any, clock: Any, delay: Any) -> None:
    assert store.jobs.enqueue("t", delay=delay).run_at == clock.now + timedelta(seconds=90)


def test_a_live_job_with_the_key_comes_back(store: Any) -> None:
    first = store.jobs.enqueue("t", 1, dedupe_key="k")
    assert store.jobs.enqueue("t", 2, dedupe_key="k") == first
    running = store.jobs.claim(worker="w")
    assert store.jobs.enqueue("t", 2, dedupe_key="k") == running
    store.jobs.succeed(running)
    assert store.jobs.enqueue("t", 2, dedupe_key="k").id > first.id


@pytest.mark.parametrize(
    "bad", [{"priority": 10}, {"priority": -1}, {"max_attempts": 0}, {"backoff_seconds": -1.0}, {"dedupe_key": ""}]
)
def test_a_value_out_of_range_is_refused(store: Any, bad: Any) -> None:
    with pytest.raises(CheckError):
        store.jobs.enqueue("t", **bad)
    assert store.jobs.counts() == []


@pytest.mark.parametrize(
    "bad",
    [
        {"payload": float("nan")},
        {"payload": {1: 2}},
        {"payload": "\ud800"},
        {"dedupe_key": "a\x00"},
        {"delay": float("inf")},
        {"delay": 1e300},
        {"delay": timedelta.max},
        {"backoff_seconds": float("nan")},
    ],
)
def test_a_value_that_cannot_be_kept_is_refused(store: Any, bad: Any) -> None:
    with pytest.raises(InvalidValueError):
        store.jobs.enqueue("t", **bad)
    with pytest.raises(InvalidValueError):
        store.jobs.enqueue("t", run_at=store.engine.now(), delay=1)


@pytest.mark.parametrize(
    "bad",
    [
        {"priority": 10},
        {"priority": 1.5},
        {"priority": "high"},
        {"priority": 2**70},
        {"max_attempts": 0},
        {"max_attempts": None},
        {"backoff_seconds": -1.0},
        {"backoff_cap_seconds": 1e12},
        {"type": ""},
        {"type": "a" * 201},
        {"type": "a\x00"},
        {"type": 7},
        {"payload": float("nan")},
        {"payload": "\ud800"},
        {"run_at": datetime(2026, 1, 1)},
        {"delay": 1e300},
    ],
)
def test_a_batch_refuses_what_a_single_one_does_and_stores_none(store: Any, bad: Any) -> None:
    with pytest.raises(DatastoreError) as single:
        store.jobs.enqueue(**{"type": "t", **bad})
    with pytest.raises(type(single.value)):
        store.jobs.enqueue_many([NewJob(type="t"), NewJob(**{"type": "t", **bad})])
    assert store.jobs.counts() == []


def test_a_batch_is_what_single_ones_are(store: Any) -> None:
    at = store.engine.now() + timedelta(hours=1)
    many: list[dict[str, Any]] = [
        {"type": "a", "payload": {"b": [1, None, "ä", 1.0]}, "priority": 9, "run_at": at},
        {"type": "a", "payload": None, "dedupe_key": "k"},
        {"type": "b", "payload": "text", "max_attempts": 1, "backoff_seconds": 0.25, "backoff_cap_seconds": 7},
        {"type": "a", "dedupe_key": "k"},
        {"type": "c", "priority": True, "delay": timedelta(seconds=5)},
        {"type": "c", "payload": []},
    ]
    batch = store.jobs.enqueue_many(NewJob(**one) for one in many)
    assert batch[1] == batch[3]
    assert [job.id for job in batch[:3]] == sorted(job.id for job in batch[:3])
    assert batch[2].id < batch[4].id < batch[5].id
    for job in batch:
        assert store.jobs.get(job.id) == job
    store.jobs.cancel(batch[1].id)
    times = ("created_at", "updated_at", "run_at")
    for one, job in zip(many, batch, strict=True):
        if one.get("dedupe_key"):
            continue
        single = store.jobs.enqueue(**one)
        assert attrs.evolve(single, id=job.id, **{name: getattr(job, name) for name in times}) == job
        assert single.run_at - single.created_at == job.run_at - job.created_at or one.get("run_at") == job.run_at


def test_a_long_batch_keeps_its_order(store: Any) -> None:
    jobs = store.jobs.enqueue_many(NewJob(type="t", payload=n) for n in range(1203))
    assert [job.payload for job in jobs] == [*range(1203)]
    assert [job.id for job in jobs] == sorted({job.id for job in jobs})
    assert store.jobs.enqueue_many([]) == []


def test_enqueue_is_rolled_back_with_the_caller(store: Any) -> None:
    with pytest.raises(KeyboardInterrupt), store.transaction():
        store.jobs.enqueue("t")
        raise KeyboardInterrupt
    assert store.jobs.claim(worker="w") is None
    with pytest.raises(CheckError):
        store.jobs.enqueue_many([NewJob(type="t"), NewJob(type="t", priority=99)])
    assert store.jobs.counts() == []


# Order.


def test_order_is_priority_then_run_at_then_id(store: Any, clock: Any) -> None:
    chance = random.Random(1)
    jobs = [
        store.jobs.enqueue(
            chance.choice("abc"),
            priority=chance.randrange(10),
            run_at=clock.now - timedelta(seconds=chance.randrange(3)),
        )
        for _ in range(100)
    ]
    wanted = [job.id for job in sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))]
    batch = store.jobs.claim_many(worker="w", max_rows=40)
    assert [job.id for job in batch] == wanted[:40]
    assert _drain(store) == wanted[40:]


def test_only_the_types_asked_for(store: Any) -> None:
    a, b, c = (store.jobs.enqueue(type).id for type in "abc")
    assert store.jobs.claim([], worker="w") is None
    assert store.jobs.claim(["z"], worker="w") is None
    assert _drain(store, ["c", "b", "c"]) == [b, c]
    assert _drain(store) == [a]
    with pytest.raises(InvalidValueError):
        store.jobs.claim("abc", worker="w")


def test_a_future_job_is_not_claimed_before_its_time(store: Any, clock: Any) -> None:
    late = store.jobs.enqueue("t", delay=10, priority=9)
    soon = store.jobs.enqueue("t")
    assert _drain(store) == [soon.id]
    clock.advance(9)
    assert store.jobs.claim(worker="w") is None
    clock.advance(1)
    assert _drain(store) == [late.id]


# Leases.


def test_a_claim_is_a_lease(store: Any, clock: Any) -> None:
    store.jobs.enqueue("t")
    job = store.jobs.claim(worker="w", lease_seconds=30)
    assert (job.status, job.worker, job.attempts, job.lease_token) == ("running", "w", 1, 1)
    assert job.lease_expires_at == clock.now + timedelta(seconds=30)
    assert store.jobs.claim(worker="v") is None
    clock.advance(29)
    job = store.jobs.heartbeat(job, lease_seconds=30, progress={"done": 1})
    clock.advance(29)
    assert store.jobs.claim(worker="v") is None
    assert store.jobs.heartbeat(job, lease_seconds=30).progress == {"done": 1}
    store.jobs.succeed(job, [1])
    done = store.jobs.get(job.id)
    assert (done.status, done.result, done.lease_expires_at, done.finished_at) == ("succeeded", [1], None, clock.now)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("call", ["heartbeat", "succeed", "fail", "release"])
def test_a_lost_lease_changes_nothing(store: Any, clock: Any, call: str, taken: bool) -> None:
    store.jobs.enqueue("t", backoff_seconds=0.0)
    old = store.jobs.claim(worker="old", lease_seconds=10)
    clock.advance(10)
    if taken:
        assert store.jobs.claim(worker="new").lease_token == 2
    before = store.jobs.get(old.id), store.jobs.attempts(old.id)
    with pytest.raises(LeaseLostError):
        getattr(store.jobs, call)(old, *(["x"] if call == "fail" else []))
    assert (store.jobs.get(old.id), store.jobs.attempts(old.id)) == before


@pytest.mark.parametrize("call", ["heartbeat", "succeed", "fail", "release"])
def test_an_ended_job_is_lost(store: Any, call: str) -> None:
    store.jobs.enqueue("t")
    job = store.jobs.claim(worker="w")
    store.jobs.succeed(job)
    with pytest.raises(LeaseLostError):
        getattr(store.jobs, call)(job, *(["x"] if call == "fail" else []))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_lease_has_a_length(store: Any, seconds: float) -> None:
    with pytest.raises(InvalidValueError):
        store.jobs.claim(worker="w", lease_seconds=seconds)


def test_an_expired_lease_goes_back_and_then_to_quarantine(store: Any, clock: Any) -> None:
    id = store.jobs.enqueue("t", max_attempts=2, backoff_seconds=100.0).id
    store.jobs.claim(worker="w", lease_seconds=10)
    clock.advance(10)
    assert store.jobs.claim(worker="v") is None  # recovers it, with a wait
    job = store.jobs.get(id)
    assert (job.status, job.last_outcome, job.last_error, job.attempts) == ("queued", "expired", "lease expired", 1)
    assert timedelta(seconds=80) <= job.run_at - clock.now <= timedelta(seconds=120)
    clock.advance(120)
    assert store.jobs.claim(worker="v", lease_seconds=10).attempts == 2
    clock.advance(10)
    assert store.jobs.recover_expired() == 1
    assert store.jobs.recover_expired() == 0
    assert store.jobs.get(id).status == "quarantined"
    assert [(a.attempt, a.worker, a.outcome, a.error) for a in store.jobs.attempts(id)] == [
        (1, "w", "expired", "lease expired"),
        (2, "v", "expired", "lease expired"),
    ]


def test_recovery_is_bounded(store: Any, clock: Any) -> None:
    store.jobs.enqueue_many(NewJob(type="t") for _ in range(150))
    assert len(store.jobs.claim_many(worker="w", max_rows=150)) == 150
    clock.advance(60)
    assert store.jobs.claim(worker="v") is None
    assert store.jobs.recover_expired(max_rows=30) == 30
    assert store.jobs.recover_expired() == 20


# Failure.


def test_backoff_doubles_until_quarantine(store: Any, clock: Any) -> None:
    id = store.jobs.enqueue("t", max_attempts=4, backoff_seconds=10.0, backoff_cap_seconds=25.0).id
    for wait in (10, 20, 25):
        job = store.jobs.fail(store.jobs.claim(worker="w"), "no")
        assert job.status == "queued"
        assert 0.8 * wait <= (job.run_at - clock.now).total_seconds() <= 1.2 * wait
        assert store.jobs.claim(worker="w") is None
        clock.advance(1.2 * wait)
    job = store.jobs.fail(store.jobs.claim(worker="w"), "no")
    assert (job.id, job.status, job.last_error, job.finished_at) == (id, "quarantined", "no", clock.now)
    assert store.jobs.claim(worker="w") is None


def test_the_wait_is_reproducible_and_never_overflows() -> None:
    assert retry_delay(3, 1.0, 60.0, random.Random(7)) == retry_delay(3, 1.0, 60.0, random.Random(7))
    assert retry_delay(1000, 1e6, 60.0, random.Random(7)) <= timedelta(seconds=72)


def test_a_seeded_store_tries_again_at_the_same_instants(path: Path, clock: Any) -> None:
    again = []
    for seed in (7, 7, 8):
        with Datastore.open(path, clock=clock, rng=random.Random(seed)) as store:
            store.jobs.enqueue("t", priority=9)
            job = store.jobs.claim(worker="w")
            assert job is not None
            again.append(store.jobs.fail(job, "no").run_at)
    assert again[0] == again[1] != again[2]


def test_a_permanent_error_quarantines_and_requeue_keeps_the_history(store: Any, clock: Any) -> None:
    store.jobs.enqueue("t", dedupe_key="k")
    job = store.jobs.fail(store.jobs.claim(worker="w"), ValueError("bad"), permanent=True)
    assert (job.status, job.attempts, job.last_error) == ("quarantined", 1, "ValueError: bad")
    clock.advance(1)
    again = store.jobs.requeue(job.id)
    assert (again.status, again.attempts, again.finished_at, again.run_at) == ("queued", 0, None, clock.now)
    store.jobs.succeed(store.jobs.claim(worker="v"))
    attempts = store.jobs.attempts(job.id)
    assert [(a.lease_token, a.attempt, a.worker, a.outcome) for a in attempts] == [
        (1, 1, "w", "failed"),
        (2, 1, "v", "succeeded"),
    ]
    assert attempts[1].started_at == attempts[1].finished_at == clock.now
    with pytest.raises(TransitionError):
        store.jobs.requeue(job.id)


def test_requeue_meets_a_live_job_with_its_key(store: Any) -> None:
    store.jobs.enqueue("t", dedupe_key="k")
    old = store.jobs.fail(store.jobs.claim(worker="w"), "x", permanent=True)
    store.jobs.enqueue("t", dedupe_key="k")
    with pytest.raises(UniqueError):
        store.jobs.requeue(old.id)


def test_release_gives_the_attempt_and_the_place_back(store: Any, clock: Any) -> None:
    first = store.jobs.enqueue("t", max_attempts=1)
    store.jobs.enqueue("t")
    clock.advance(5)
    released = store.jobs.release(store.jobs.claim(worker="w"))
    assert (released.status, released.attempts, released.run_at) == ("queued", 0, first.run_at)
    assert store.jobs.claim(worker="v").id == first.id
    assert [a.outcome for a in store.jobs.attempts(first.id)] == ["released", None]


def test_error_text_is_made_storable(store: Any) -> None:
    assert error_text("a\x00b\udc80") == "a\ufffdb\ufffd"
    store.jobs.enqueue("t")
    job = store.jobs.fail(store.jobs.claim(worker="w"), "\ud800" * 20_000)
    assert job.last_error == "\ufffd" * MAX_ERROR_LENGTH


# Cancel, delete, purge, list.


def test_cancel(store: Any, clock: Any) -> None:
    waiting = store.jobs.enqueue("t", delay=10)
    assert store.jobs.cancel(waiting.id).status == "cancelled"
    with pytest.raises(TransitionError):
        store.jobs.cancel(waiting.id)
    for end in ("fail", "release", "expire", "succeed"):
        job = store.jobs.enqueue("t")
        held = store.jobs.claim(worker="w")
        assert store.jobs.cancel(job.id).cancel_requested
        assert store.jobs.heartbeat(held).cancel_requested
        if end == "expire":
            clock.advance(60)
            store.jobs.recover_expired()
        else:
            getattr(store.jobs, end)(held, *(["stopped"] if end == "fail" else []))
        assert store.jobs.get(job.id).status == ("succeeded" if end == "succeed" else "cancelled")
        if end != "succeed":
            assert not store.jobs.requeue(job.id).cancel_requested
            store.jobs.cancel(job.id)


def test_a_running_job_is_not_deleted(store: Any) -> None:
    id = store.jobs.enqueue("t").id
    job = store.jobs.claim(worker="w")
    with pytest.raises(TransitionError):
        store.jobs.delete(id)
    store.jobs.succeed(job)
    store.jobs.delete(id, reason="done")
    for call in (store.jobs.get, store.jobs.delete, store.jobs.cancel, store.jobs.requeue, store.jobs.attempts):
        with pytest.raises(NotFoundError):
            call(id)


def test_purge_takes_the_longest_ended_first(store: Any, clock: Any) -> None:
    ids = [store.jobs.enqueue("t").id for _ in range(5)]
    live = store.jobs.enqueue("u").id
    for _ in ids[1:]:
        store.jobs.succeed(store.jobs.claim(["t"], worker="w"))
        clock.advance(1)
    assert store.jobs.prune(finished_before=clock.now, max_rows=3) == 3
    assert [job.id for job in store.jobs.list()] == [live, ids[4], ids[3]]
    assert store.jobs.prune(finished_before=clock.now) == 1
    assert store.jobs.prune(finished_before=clock.now) == 0


def test_list_pages_by_status_and_type(store: Any) -> None:
    ids = [store.jobs.enqueue(type).id for type in "ab" * 5]
    store.jobs.claim(worker="w")
    page = store.jobs.list(status="queued", type="a", max_rows=2)
    seen = [job.id for job in page]
    with pytest.raises(CursorError):
        store.jobs.list(after=page.next)
    while page.next:
        page = store.jobs.list(status="queued", type="a", max_rows=2, after=page.next)
        seen += [job.id for job in page]
    assert seen == ids[8:0:-2]
    counts = {(c.type, c.status): c.count for c in store.jobs.counts()}
    assert counts == {("a", "queued"): 4, ("a", "running"): 1, ("b", "queued"): 5}


# What it costs.


def _pile(path: Any, rows: int, now: str, later: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE INDEX IF NOT EXISTS rogue_status ON job_queue (status)")
        connection.execute("CREATE INDEX IF NOT EXISTS rogue_type ON job_queue (type)")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)"
            " INSERT INTO job_queue (type, status, priority, run_at, max_attempts, backoff_seconds,"
            " backoff_cap_seconds, created_at, updated_at, finished_at)"
            " SELECT 'type' || (i % 5), CASE i % 4 WHEN 0 THEN 'succeeded' WHEN 1 THEN 'quarantined' ELSE 'queued' END,"
            " CASE i % 4 WHEN 3 THEN 9 ELSE i % 10 END, CASE i % 4 WHEN 3 THEN :later ELSE :now END, 5, 1.0, 1.0,"
            " :now, :now, CASE WHEN i % 4 < 2 THEN :now END FROM n",
            {"rows": rows, "now": now, "later": later},
        )
    connection.close()


def _steps(store: Any, types: Any) -> int:
    connection = store.engine._thread.connected().connection
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    connection.set_progress_handler(tick, 1)
    try:
        assert store.jobs.claim(types, worker="w") is not None
    finally:
        connection.set_progress_handler(None, 0)
    return count


@pytest.mark.sqlite
@pytest.mark.parametrize("types", [["type1"], ["type0", "type2", "type4"], None])
def test_a_claim_costs_the_same_however_many_jobs_there_are(store: Any, clock: Any, types: Any) -> None:
    now, later = encode_timestamp(clock.now), encode_timestamp(clock.now + timedelta(days=1))
    _pile(store.engine.path, 1000, now, later)
    few = _steps(store, types)
    _pile(store.engine.path, 19_000, now, later)
    many = _steps(store, types)
    assert many <= few * 1.1
    assert many < 2500


@pytest.mark.sqlite
def test_the_plans_keep_to_their_indexes(store: Any, clock: Any) -> None:
    now = encode_timestamp(clock.now)
    _pile(store.engine.path, 100, now, now)
    connection = store.engine._thread.connected().connection
    plans = {
        "claim_jobs": "job_queue_claim_idx",
        "list_queued_job_types": "job_queue_claim_idx",
        "list_expired_jobs": "job_queue_lease_expires_at_idx",
        "prune_jobs": "job_queue_finished_at_idx",
        "find_live_job": "job_queue_dedupe_key_key",
    }
    for name, index in plans.items():
        parameters = dict.fromkeys(("now", "lease_expires_at", "finished_before", "worker", "dedupe_key"), now)
        sql = _sql(name)
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", {**parameters, "types": "[]", "max_rows": 1}).fetchall()
        plan = "\n".join(row[3] for row in rows)
        assert index in plan, plan
        assert "rogue" not in plan, plan
        assert "SCAN job_queue" not in plan, plan


def _sql(name: str) -> str:
    from datastore.resources import sql_folder
    from datastore.statements.loader import read_statements

    return read_statements(sql_folder(), "sqlite")[name].sql


# Many workers.


def test_every_job_is_claimed_exactly_once(store: Any) -> None:
    workers, jobs = 6, 120
    ids = {job.id for job in store.jobs.enqueue_many(NewJob(type=f"t{n % 3}", priority=n % 10) for n in range(jobs))}
    done: list[int] = []
    start = threading.Barrier(workers)

    def work(name: str) -> None:
        start.wait()
        while batch := store.jobs.claim_many(worker=name, max_rows=2):
            for job in batch:
                store.jobs.succeed(job)
                done.append(job.id)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == jobs
    assert set(done) == ids
    assert all(len(store.jobs.attempts(id)) == 1 for id in ids)


def test_a_record_has_the_same_types_from_returning_and_from_select(store: Any) -> None:
    job = store.jobs.enqueue("x", backoff_seconds=10.0, backoff_cap_seconds=60.0)
    again = store.jobs.get(job.id)
    assert [type(value) for value in attrs.astuple(job)] == [type(value) for value in attrs.astuple(again)]
    assert type(job.backoff_seconds) is float
