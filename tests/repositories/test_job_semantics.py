"""The job queue's promises one by one: pauses, snoozes, batches, waiting, quarantine, history, fences, migration."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore, NewJob, migrations
from datastore.errors import CheckError, InvalidValueError, LeaseLostError, TransactionError
from datastore.resources import migrations_folder
from tests.conftest import Clock, until
from tests.databases import everything, rows

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


def history(store: Datastore, id: int) -> list[tuple[Any, ...]]:
    return [(a.lease_token, a.attempt, a.worker, a.outcome, a.error) for a in store.jobs.attempts(id)]


def counted(store: Datastore) -> dict[tuple[str, str], int]:
    return {(count.type, count.status): count.count for count in store.jobs.counts()}


def recounted(store: Datastore) -> dict[tuple[str, str], int]:
    """The same, from the rows themselves."""
    found = rows(store, "SELECT type, status, count(*) FROM job_queue GROUP BY type, status")
    return {(type, status): count for type, status, count in found}


# Pauses.


def test_a_pause_survives_a_reopen(path: Path, clock: Clock) -> None:
    with Datastore.open(path, clock=clock) as store:
        store.jobs.enqueue("a")
        store.jobs.enqueue("b")
        running = store.jobs.claim(["a"], worker="w")
        store.jobs.enqueue("a")
        assert store.jobs.pause("a", reason="the mail server is down")
        assert not store.jobs.pause("a", reason="another")
    with Datastore.open(path, clock=clock) as store:
        (pause,) = store.jobs.pauses()
        assert (pause.type, pause.reason, pause.created_at) == ("a", "the mail server is down", clock.now)
        assert store.jobs.claim(["a"], worker="w") is None
        assert [job.type for job in store.jobs.claim_many(worker="w", max_rows=9)] == ["b"]
        assert store.jobs.heartbeat(running)
        store.jobs.succeed(running)  # what runs goes on
        assert store.jobs.resume("a")
        assert not store.jobs.resume("a")
        job = store.jobs.claim(["a"], worker="w")
        assert job is not None
        assert job.type == "a"


def test_a_pause_is_rolled_back_with_the_caller(store: Datastore) -> None:
    store.jobs.enqueue("a")
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.jobs.pause("a")
        assert store.jobs.claim(worker="w") is None
        raise ZeroDivisionError
    assert store.jobs.claim(worker="w") is not None


@pytest.mark.parametrize(("type", "reason"), [("", None), ("t" * 201, None), ("t", "r" * 1001)])
def test_a_pause_out_of_range_is_refused(store: Datastore, type: str, reason: str | None) -> None:
    with pytest.raises(CheckError):
        store.jobs.pause(type, reason=reason)
    assert store.jobs.pauses() == []


# Snooze, batches, the next one.


@pytest.mark.parametrize("delay", [30, timedelta(seconds=30)])
def test_a_snooze_spends_no_attempt(store: Datastore, clock: Clock, delay: Any) -> None:
    id = store.jobs.enqueue("t", max_attempts=1).id
    for _ in range(3):
        job = store.jobs.claim(worker="w")
        assert job is not None
        snoozed = store.jobs.snooze(job, delay)
        assert (snoozed.status, snoozed.attempts, snoozed.run_at) == ("queued", 0, clock.now + timedelta(seconds=30))
        clock.advance(29)
        assert store.jobs.claim(worker="w") is None
        clock.advance(1)
    job = store.jobs.claim(worker="v")
    assert job is not None
    store.jobs.succeed(job)
    assert [row[:4] for row in history(store, id)] == [
        (1, 1, "w", "snoozed"), (2, 1, "w", "snoozed"), (3, 1, "w", "snoozed"), (4, 1, "v", "succeeded"),
    ]  # fmt: skip


def test_a_batch_is_acknowledged_but_for_what_was_lost(store: Datastore, clock: Clock) -> None:
    store.jobs.enqueue_many(NewJob(type="t", payload=n, backoff_seconds=0.0) for n in range(5))
    jobs = store.jobs.claim_many(worker="w", max_rows=5, lease_seconds=10)
    held = store.jobs.heartbeat(jobs[3], lease_seconds=60)
    store.jobs.succeed(jobs[0], "early")
    clock.advance(10)
    again = store.jobs.claim_many(worker="v", max_rows=1)
    assert [job.id for job in again] == [jobs[1].id]
    before = [store.jobs.get(jobs[n].id) for n in (0, 1, 2, 4)]
    lost = store.jobs.succeed_many([*jobs[:3], held, jobs[4]], [0, 1, 2, {"a": [None, "é"]}, 4])
    assert lost == [*jobs[:3], jobs[4]]
    assert [store.jobs.get(jobs[n].id) for n in (0, 1, 2, 4)] == before
    assert store.jobs.get(held.id).result == {"a": [None, "é"]}
    assert store.jobs.succeed_many([]) == []
    with pytest.raises(InvalidValueError):
        store.jobs.succeed_many(again, [1, 2])
    assert store.jobs.succeed_many(again) == []
    assert store.jobs.get(again[0].id).result is None
    assert counted(store) == recounted(store)


def test_complete_and_claim_next_are_one_transaction(store: Datastore, clock: Clock, path: Path) -> None:
    first, second = store.jobs.enqueue("t"), store.jobs.enqueue("t")
    job = store.jobs.claim(worker="w", lease_seconds=10)
    assert job is not None
    with Datastore.open(path, clock=clock) as other:
        version = other.engine.data_version()
        next_job = store.jobs.succeed_and_claim(job, 7, worker="w", lease_seconds=10)
        assert other.engine.data_version() == version + 1  # one commit
        assert next_job is not None
        assert (next_job.id, other.jobs.get(first.id).result) == (second.id, 7)
    clock.advance(10)
    third = store.jobs.enqueue("t")
    with pytest.raises(LeaseLostError):
        store.jobs.succeed_and_claim(next_job, worker="w")
    assert store.jobs.get(third.id).status == "queued"
    assert store.jobs.get(second.id) == next_job
    held = store.jobs.claim(worker="w")
    assert held is not None
    with pytest.raises(InvalidValueError):  # the claim is refused: the job has not succeeded either
        store.jobs.succeed_and_claim(held, worker="w", lease_seconds=-1)
    assert store.jobs.get(third.id) == held
    assert store.jobs.succeed_and_claim(held, worker="w") is None
    assert counted(store) == recounted(store)


# Waiting.

ENQUEUE = """
import sys, time
from datastore import Datastore
with Datastore.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    store.jobs.enqueue(sys.argv[2])
"""


def test_another_process_wakes_who_waits(path: Path) -> None:
    with Datastore.open(path) as store:
        arguments = [sys.executable, "-c", ENQUEUE, str(path), "t"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            timer = threading.Timer(0.2, lambda: process.communicate("\n"))
            timer.start()
            assert store.jobs.wait(["t"], timeout=30)
            timer.join()
        assert store.jobs.claim(["t"], worker="w") is not None


def test_another_thread_wakes_who_waits_and_other_types_do_not(path: Path) -> None:
    with Datastore.open(path) as store:
        timers = [threading.Timer(0.1, store.jobs.enqueue, ["other"])]
        timers.append(threading.Timer(0.3, store.jobs.enqueue, ["t"]))
        for timer in timers:
            timer.start()
        assert store.jobs.wait(["t"], timeout=30)
        assert store.jobs.find(2) is not None  # not woken for good by the first
        for timer in timers:
            timer.join()
        assert not store.jobs.wait(["third"], timeout=0.05)


def test_the_time_of_a_job_and_the_end_of_a_lease_wake(path: Path) -> None:
    with Datastore.open(path) as store:
        store.jobs.enqueue("t", delay=0.2, backoff_seconds=0.0)
        assert not store.jobs.wait(["t"], timeout=0.01)
        assert store.jobs.wait(["t"], timeout=30)
        assert store.jobs.claim(["t"], worker="w", lease_seconds=0.3) is not None
        assert not store.jobs.wait(timeout=0.01)
        assert store.jobs.wait(timeout=30)
        assert store.jobs.claim(["t"], worker="v") is not None
        store.jobs.enqueue("p")
        store.jobs.pause("p")
        assert not store.jobs.wait(["p"], timeout=0.01)


def test_waiting_writes_nothing_and_keeps_nobody_out(path: Path) -> None:
    def written() -> tuple[object, ...]:
        # Never by reading the files: closing them in this process would drop SQLite's locks on them.
        found = [os.stat(f"{path}{suffix}") for suffix in ("", "-wal")]
        return other.engine.data_version(), [(file.st_size, file.st_mtime_ns) for file in found]

    with Datastore.open(path) as store, Datastore.open(path, gate=False) as other:
        store.jobs.enqueue("t", delay=60)
        before = written()
        assert not store.jobs.wait(timeout=0.2)
        assert written() == before
        waiting = threading.Thread(target=store.jobs.wait, kwargs={"timeout": 30})
        waiting.start()
        with other.transaction():
            other.jobs.enqueue("t")
        until(other.engine.checkpoint)  # a look at data_version reads for a moment; it must not read on
        waiting.join(20)
        assert not waiting.is_alive()
        with store.transaction(), pytest.raises(TransactionError):
            store.jobs.wait(timeout=1)


# Recovery and quarantine.


def test_a_job_that_keeps_killing_its_worker_is_quarantined_with_the_reason(store: Datastore, clock: Clock) -> None:
    killer = store.jobs.enqueue("t", max_attempts=3, priority=9, backoff_seconds=1.0).id
    good = store.jobs.enqueue("t").id
    for attempt in (1, 2, 3):
        job = store.jobs.claim(worker=f"w{attempt}", lease_seconds=10)
        assert job is not None
        assert (job.id, job.attempts) == (killer, attempt)
        clock.advance(10)  # never heard of again
        store.jobs.recover_expired()
        clock.advance(10)
    stored = store.jobs.get(killer)
    assert (stored.status, stored.last_outcome, stored.last_error) == ("quarantined", "expired", "lease expired")
    assert history(store, killer) == [(n, n, f"w{n}", "expired", "lease expired") for n in (1, 2, 3)]
    job = store.jobs.claim(worker="w")
    assert job is not None
    assert job.id == good
    requeued = store.jobs.requeue(killer)
    assert (requeued.attempts, requeued.max_attempts) == (0, 3)
    again = store.jobs.claim(worker="w4")
    assert again is not None
    store.jobs.fail(again, "a bad payload", permanent=True)
    assert history(store, killer)[2:] == [
        (3, 3, "w3", "expired", "lease expired"), (4, 1, "w4", "failed", "a bad payload"),
    ]  # fmt: skip
    assert counted(store) == recounted(store)


def test_a_claim_recovers_at_most_a_hundred(store: Datastore, clock: Clock) -> None:
    store.jobs.enqueue_many(NewJob(type="t", backoff_seconds=0.0) for _ in range(120))
    store.jobs.claim_many(worker="w", max_rows=120)
    clock.advance(60)
    assert store.jobs.claim(worker="v") is not None
    assert counted(store) == {("t", "running"): 21, ("t", "queued"): 99}


def test_prune_is_bounded_and_leaves_the_live(store: Datastore, clock: Clock) -> None:
    store.jobs.enqueue_many(NewJob(type="t") for _ in range(30))
    store.jobs.succeed_many(store.jobs.claim_many(worker="w", max_rows=25))
    clock.advance(1)
    running = store.jobs.claim(worker="w")
    for wanted in (10, 10, 5, 0):
        assert store.jobs.prune(finished_before=clock.now, max_rows=10) == wanted
    assert counted(store) == {("t", "queued"): 4, ("t", "running"): 1} == recounted(store)
    assert running is not None
    assert rows(store, "SELECT count(*) FROM job_attempts") == [(0,)]
    with pytest.raises(InvalidValueError):
        store.jobs.prune(finished_before=clock.now, max_rows=1001)


# Fences.

CALLS: dict[str, Callable[[Datastore, Any], Any]] = {
    "heartbeat": lambda s, job: s.jobs.heartbeat(job, progress=1),
    "succeed": lambda s, job: s.jobs.succeed(job, 1),
    "succeed_and_claim": lambda s, job: s.jobs.succeed_and_claim(job, worker="late"),
    "fail": lambda s, job: s.jobs.fail(job, "late"),
    "fail for good": lambda s, job: s.jobs.fail(job, "late", permanent=True),
    "snooze": lambda s, job: s.jobs.snooze(job, 5),
    "release": lambda s, job: s.jobs.release(job),
}


@pytest.mark.parametrize(
    "happened", ["expired", "claimed again", "succeeded", "released", "requeued", "deleted", "erased"]
)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_late_changes_anything(store: Datastore, clock: Clock, call: str, happened: str) -> None:
    store.jobs.enqueue("t", backoff_seconds=0.0)
    old = store.jobs.claim(worker="old", lease_seconds=10)
    assert old is not None
    if happened in ("expired", "claimed again"):
        clock.advance(10)
    if happened == "claimed again":
        new = store.jobs.claim(worker="new")
        assert new is not None
        assert store.jobs.cancel(old.id).cancel_requested  # a late release or snooze may not take it for its own
    if happened in ("succeeded", "deleted"):
        store.jobs.succeed(old)
    if happened == "deleted":
        store.jobs.delete(old.id)
    if happened == "released":
        store.jobs.release(old)
    if happened == "requeued":
        store.jobs.fail(old, "no", permanent=True)
        store.jobs.requeue(old.id)
    if happened == "erased":
        store._parts.erasures.erase_job(store.jobs.get(old.id))
    before = everything(store)
    with pytest.raises(LeaseLostError):
        CALLS[call](store, old)
    assert everything(store) == before


@pytest.mark.parametrize("rounds", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_of_expiry_and_acknowledgement_exactly_one_wins(path: Path, rounds: int) -> None:
    """Two connections at the instant when the lease ends: one sees it alive and acks, the other sees it over."""
    clock, late = Clock(), Clock()
    late.advance(10)
    acked = expired = 0
    with Datastore.open(path, clock=clock, durability="relaxed") as holder:
        with Datastore.open(path, clock=late, durability="relaxed") as reaper:
            for round in range(rounds):
                holder.jobs.enqueue("t", max_attempts=1)
                job = holder.jobs.claim(worker="w", lease_seconds=10)
                assert job is not None
                start, recovered = threading.Barrier(2), []

                def reap(start: threading.Barrier = start, recovered: list[int] = recovered) -> None:
                    start.wait()
                    recovered.append(reaper.jobs.recover_expired())

                thread = threading.Thread(target=reap)
                thread.start()
                start.wait()
                if round % 2:
                    thread.join(0.0005)
                try:
                    holder.jobs.succeed(job, round)
                    won = True
                except LeaseLostError:
                    won = False
                thread.join()
                stored = holder.jobs.get(job.id)
                assert recovered == [0 if won else 1]
                assert (stored.status, stored.result) == (("succeeded", round) if won else ("quarantined", None))
                outcome = "succeeded" if won else "expired"
                assert [a.outcome for a in holder.jobs.attempts(job.id)] == [outcome]
                acked, expired = acked + won, expired + (not won)
        assert acked + expired == rounds
        assert counted(holder) == recounted(holder)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_an_hour_off_loses_no_job(path: Path, hours: int) -> None:
    """Leases end by the clocks of the processes. One that is wrong may run a job twice, never lose or end it twice."""
    right, wrong = Clock(), Clock()
    wrong.advance(hours * 3600)
    with Datastore.open(path, clock=right) as mine, Datastore.open(path, clock=wrong) as other:
        id = mine.jobs.enqueue("t", max_attempts=2, backoff_seconds=0.0).id
        if hours < 0:
            assert other.jobs.claim(worker="other") is None  # to it, the job is of the future
            held = mine.jobs.claim(worker="mine", lease_seconds=60)
            assert held is not None
            right.advance(60)
            assert other.jobs.recover_expired() == 0  # it comes late, ...
            assert mine.jobs.recover_expired() == 1  # ... whoever is right does it
        else:
            held = mine.jobs.claim(worker="mine", lease_seconds=60)
            assert held is not None
            taken = other.jobs.claim(worker="other", lease_seconds=60)  # too early: two work on it now
            assert taken is not None
            with pytest.raises(LeaseLostError):
                mine.jobs.succeed(held)
            other.jobs.succeed(taken)
        with pytest.raises(LeaseLostError):
            mine.jobs.succeed(held)
        last = mine.jobs.claim(worker="mine") if hours < 0 else None
        if last is not None:
            mine.jobs.succeed(last)
        assert mine.jobs.get(id).status == "succeeded"
        assert [a.outcome for a in mine.jobs.attempts(id)] == ["expired", "succeeded"]


# Beside the caller's rows, and in a race.


def test_a_job_stands_or_falls_with_the_rows_beside_it(store: Datastore) -> None:
    def add(session: str) -> None:
        conversation = store.conversations.add(sanitization_version="1", session_id=session, source="test")
        store.jobs.enqueue("index", {"conversation": conversation.id}, dedupe_key=f"index:{session}")

    with pytest.raises(ZeroDivisionError), store.transaction():
        add("s1")
        raise ZeroDivisionError
    assert store.jobs.find(dedupe_key="index:s1") is None
    assert counted(store) == {}
    with store.transaction():
        add("s2")
    job = store.jobs.claim(worker="w")
    assert job is not None
    assert store.conversations.get(job.payload["conversation"]).session_id == "s2"


# The migration.


def in_every_status(store: Datastore, clock: Clock) -> None:
    """Jobs of two types in every status that the queue gives, most with a history."""

    def claimed(type: str, **arguments: Any) -> Any:
        id = store.jobs.enqueue(type, backoff_seconds=0.0, **arguments).id
        clock.advance(1)
        jobs = store.jobs.claim_many([type], worker="w", lease_seconds=3600, max_rows=100)
        return next(job for job in jobs if job.id == id)

    for type in ("a", "b"):
        store.jobs.succeed(claimed(type), {"done": 1})
        store.jobs.fail(claimed(type), "bad", permanent=True)
        store.jobs.requeue(store.jobs.fail(claimed(type), "bad", permanent=True).id)
        store.jobs.succeed(store.jobs.claim_many([type], worker="v", max_rows=1)[0])
        store.jobs.release(claimed(type))
        store.jobs.snooze(store.jobs.claim_many([type], worker="v", max_rows=1)[0], 7200)
        asked = claimed(type, dedupe_key=f"asked:{type}")
        store.jobs.cancel(asked.id)
        store.jobs.fail(asked, "stopped")
        store.jobs.cancel(store.jobs.enqueue(type, delay=60).id)
        again = claimed(type)
        store.jobs.fail(again, "try again")
        store.jobs.heartbeat(store.jobs.claim_many([type], worker="v", max_rows=1)[0], lease_seconds=99, progress=[1])
        store.jobs.enqueue(type, delay=600, dedupe_key=f"later:{type}")
    rows(
        store,
        "UPDATE job_queue SET status = 'failed' WHERE id IN (SELECT max(id) FROM job_queue"
        " WHERE status = 'quarantined' GROUP BY type) AND type = 'a'",
    )


def test_jobs_in_every_status_survive_the_rollback_of_all_other_steps(path: Path, clock: Clock) -> None:
    def look() -> tuple[Any, ...]:
        with Datastore.open(path, clock=clock) as store:
            jobs = store.jobs.list(max_rows=1000).items
            return jobs, [store.jobs.attempts(job.id) for job in jobs], store.jobs.counts(), store.jobs.pauses()

    with Datastore.open(path, clock=clock) as store:
        in_every_status(store, clock)
        store.jobs.pause("b")
    before = look()
    statuses = {job.status for job in before[0]}
    assert statuses == {"queued", "running", "succeeded", "failed", "quarantined", "cancelled"}
    assert sum(map(len, before[1])) >= 16
    steps = migrations.migration_ids(migrations_folder())
    undone = migrations.rollback(path, steps=len(steps) - 1)
    assert undone[-1] == "0002.indexes"
    assert migrations.apply(path) == undone[::-1]
    assert look() == before
    with Datastore.open(path, clock=clock) as store:
        assert counted(store) == recounted(store)
        store.jobs.resume("b")
        clock.advance(100_000)  # and the jobs go on: what ran is recovered, all end
        store.jobs.recover_expired()
        clock.advance(100_000)
        while job := store.jobs.claim(worker="w"):
            store.jobs.succeed(job)
        assert {status for _, status in counted(store)} == {"succeeded", "failed", "quarantined", "cancelled"}
        assert counted(store) == recounted(store)


def test_the_counts_are_right_whoever_writes(store: Datastore, raw: sqlite3.Connection, clock: Clock) -> None:
    in_every_status(store, clock)
    assert counted(store) == recounted(store)
    changes = [
        "UPDATE job_queue SET type = 'c' WHERE id % 2 = 0",
        "UPDATE job_queue SET status = 'cancelled' WHERE status = 'succeeded'",
        "UPDATE job_queue SET status = 'queued', finished_at = NULL WHERE status = 'cancelled' AND dedupe_key IS NULL",
        "INSERT INTO job_queue (type, status, priority, run_at, max_attempts, backoff_seconds, backoff_cap_seconds,"
        " created_at, updated_at, finished_at) SELECT type, 'succeeded', 0, run_at, 5, 1.0, 1.0, created_at,"
        " created_at, created_at FROM job_queue",
        "UPDATE job_queue SET payload = '[]', result = '1' WHERE status = 'succeeded'",
        "DELETE FROM job_queue WHERE id % 3 = 0 AND finished_at IS NOT NULL",
        "DELETE FROM job_queue WHERE finished_at IS NOT NULL AND type = 'c'",
    ]
    for change in changes:
        assert raw.execute(change).rowcount > 0, change
        assert counted(store) == recounted(store), change
    raw.execute("BEGIN")
    raw.execute("DELETE FROM job_queue WHERE finished_at IS NOT NULL")
    raw.execute("ROLLBACK")
    assert counted(store) == recounted(store)
