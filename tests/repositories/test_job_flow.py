"""The flow of jobs: limits, sequences, batches, schedules; both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from datastore import Datastore, Job, NewJob
from datastore.errors import CheckError, InvalidValueError, NotFoundError
from datastore.records import BatchCounts
from datastore.testing import SettableClock

BOTH_ENGINES = True

UTC = timezone.utc


def claim(store: Datastore, max_rows: int = 100, types: Any = None) -> list[Job]:
    return list(store.jobs.claim_many(types, worker="w", max_rows=max_rows))


def claimed(store: Datastore, max_rows: int = 100, types: Any = None) -> list[Any]:
    return [job.payload for job in claim(store, max_rows, types)]


def due(store: Datastore, *types: str) -> bool:
    return store.jobs.wait(types or None, timeout=0)


# Limits.


def test_no_more_jobs_of_a_type_run_than_its_limit(store: Datastore) -> None:
    store.jobs.limit("t", running=2)
    store.jobs.enqueue_many(NewJob(type="t", payload=n) for n in range(5))
    store.jobs.enqueue("free", "free")
    first = claim(store)
    assert [job.payload for job in first] == [0, 1, "free"]
    assert claim(store) == []
    assert not due(store, "t")
    store.jobs.succeed(first[0])
    assert due(store, "t")
    assert claimed(store) == [2]
    store.jobs.fail(first[1], "no")
    assert claimed(store, types=["t"]) == [3]
    assert store.jobs.unlimit("t")
    assert not store.jobs.unlimit("t")
    assert claimed(store) == [4]


def test_a_limit_counts_jobs_of_all_workers_and_survives_a_lost_lease(store: Datastore, clock: SettableClock) -> None:
    store.jobs.limit("t", running=1)
    store.jobs.enqueue_many(NewJob(type="t", payload=n, backoff_seconds=1000.0) for n in range(2))
    assert store.jobs.claim(["t"], worker="dead", lease_seconds=10) is not None
    assert claim(store) == []
    clock.advance(11)
    assert claimed(store) == [1]


def test_the_order_is_that_of_a_claim_without_limits(store: Datastore) -> None:
    store.jobs.limit("a", running=2, running_per_key=1)
    for n, (type_, priority, key) in enumerate(
        [("b", 0, None), ("a", 3, "x"), ("b", 5, None), ("a", 9, "x"), ("a", 9, "x"), ("a", 2, "y"), ("a", 8, None)]
    ):
        store.jobs.enqueue(type_, n, priority=priority, limit_key=key)
    assert claimed(store, 3) == [3, 6, 2]
    assert claimed(store) == [0]


def test_no_more_jobs_of_a_key_run_than_its_limit_and_others_pass_them(store: Datastore) -> None:
    store.jobs.limit("t", running_per_key=2)
    store.jobs.enqueue_many(NewJob(type="t", payload=f"x{n}", limit_key="x") for n in range(300))
    store.jobs.enqueue_many(NewJob(type="t", payload=f"y{n}", limit_key="y") for n in range(3))
    store.jobs.enqueue("t", "free")
    first = claim(store, 4)
    assert [job.payload for job in first] == ["x0", "x1", "y0", "y1"]
    assert claimed(store) == ["free"]
    assert not due(store, "t")
    store.jobs.succeed(first[0])
    assert due(store, "t")
    assert claimed(store) == ["x2"]
    store.jobs.succeed(first[2])
    assert claimed(store) == ["y2"]
    assert store.jobs.get(first[-1].id + 1).waits_for is None
    waiting = [job for job in store.jobs.iterate(status="queued") if job.waits_for == "limit"]
    assert {job.limit_key for job in waiting} == {"x"}
    assert {count.count for count in store.jobs.counts() if count.status == "queued"} == {297}
    store.jobs.unlimit("t")
    assert len(claim(store, 1000)) == 297


def test_a_job_that_passes_a_full_key_does_not_lose_its_place(store: Datastore) -> None:
    store.jobs.limit("t", running_per_key=1)
    first, *_ = store.jobs.enqueue_many(
        NewJob(type="t", payload=n, limit_key="x", priority=p) for n, p in enumerate([0, 0, 5, 0])
    )
    assert claimed(store, 1) == [2]
    assert claim(store) == []
    store.jobs.enqueue("t", "late", limit_key="x", priority=9)
    running = store.jobs.list(status="running").items[0]
    store.jobs.succeed(running)
    assert claimed(store) == ["late"]
    (running,) = store.jobs.list(status="running")
    store.jobs.succeed(running)
    assert claimed(store) == [0]
    assert first.payload == 0


@pytest.mark.parametrize("end", ["succeed", "snooze", "release", "cancel", "expire"])
def test_however_a_job_ends_its_place_is_free(store: Datastore, clock: SettableClock, end: str) -> None:
    store.jobs.limit("t", running=1, running_per_key=1)
    store.jobs.enqueue("t", 1, limit_key="k", backoff_seconds=1000.0)
    store.jobs.enqueue("t", 2, limit_key="k", priority=0)
    (job,) = claim(store)
    assert claim(store) == []
    if end == "succeed":
        store.jobs.succeed(job)
    elif end == "snooze":
        store.jobs.snooze(job, 100)
    elif end == "release":
        store.jobs.release(job)
    elif end == "cancel":
        store.jobs.cancel(job.id)
        store.jobs.fail(job, "stopped")
    else:
        clock.advance(61)
    assert claimed(store) == [1 if end == "release" else 2]


def test_starts_are_limited_in_any_interval(store: Datastore, clock: SettableClock) -> None:
    limit = store.jobs.limit("t", starts=20, seconds=10, burst=5)
    assert (limit.max_starts, limit.burst) == (20, 5)
    store.jobs.enqueue_many(NewJob(type="t") for _ in range(200))
    starts: list[float] = []
    for tick in range(400):
        starts += [tick * 0.1] * len(claim(store, 10))
        clock.advance(0.1)
    assert starts[:5] == [0.0] * 5
    for first in starts:
        assert len([start for start in starts if first <= start < first + 10]) <= 20
    assert 66 <= len(starts) <= 80  # the bucket gets 16 tokens per interval


def test_a_worker_sleeps_until_the_bucket_has_a_token(store: Datastore, clock: SettableClock) -> None:
    store.jobs.limit("t", starts=1, seconds=30)
    store.jobs.enqueue_many(NewJob(type="t") for _ in range(2))
    assert len(claim(store)) == 1
    clock.advance(29.9)
    assert not due(store, "t")
    assert claim(store) == []
    clock.advance(0.2)
    assert due(store, "t")
    assert len(claim(store)) == 1


def test_a_limit_can_be_replaced(store: Datastore) -> None:
    store.jobs.limit("t", running_per_key=1)
    store.jobs.enqueue_many(NewJob(type="t", limit_key="k") for _ in range(4))
    assert len(claim(store)) == 1
    store.jobs.limit("t", running=3)
    assert [(limit.max_running, limit.max_running_per_key) for limit in store.jobs.limits()] == [(3, None)]
    assert len(claim(store)) == 2


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, InvalidValueError),
        ({"running": 0}, CheckError),
        ({"running_per_key": -1}, CheckError),
        ({"starts": 0}, CheckError),
        ({"starts": 5, "seconds": 0}, CheckError),
        ({"starts": 5, "burst": 6}, CheckError),
        ({"starts": 5, "seconds": float("nan")}, InvalidValueError),
    ],
)
def test_what_cannot_be_a_limit_is_refused(store: Datastore, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        store.jobs.limit("t", **given)
    assert store.jobs.limits() == []


# Sequences.


def test_a_sequence_runs_one_at_a_time_in_order(store: Datastore) -> None:
    jobs = store.jobs.enqueue_many(
        NewJob(type="t", payload=n, sequence_key="s", priority=p) for n, p in enumerate([0, 9, 5])
    )
    assert [job.waits_for for job in jobs] == [None, "sequence", "sequence"]
    store.jobs.enqueue("t", "other", sequence_key="o")
    first = claim(store)
    assert [job.payload for job in first] == [0, "other"]
    store.jobs.snooze(first[0], 1000)  # it keeps its place
    assert claim(store) == []
    store.jobs.retry(first[0].id)
    (again,) = claim(store)
    store.jobs.fail(again, "for good", permanent=True)
    (second,) = claim(store)
    assert second.payload == 1
    store.jobs.succeed(second)
    assert claimed(store) == [2]


@pytest.mark.parametrize("which", [0, 1], ids=["the head", "one that waits"])
@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_sequence_goes_on_without_a_job(store: Datastore, how: str, which: int) -> None:
    jobs = store.jobs.enqueue_many(NewJob(type="t", payload=n, sequence_key="s") for n in range(3))
    act: Callable[[int], object] = store.jobs.cancel if how == "cancel" else store.jobs.delete
    act(jobs[which].id)
    left = [n for n in range(3) if n != which]
    for n in left:
        (job,) = claim(store)
        assert job.payload == n
        store.jobs.succeed(job)
    assert store.jobs.enqueue("t", "next", sequence_key="s").waits_for is None


def test_a_requeued_job_of_a_sequence_waits_for_its_turn(store: Datastore) -> None:
    first = store.jobs.enqueue("t", 1, sequence_key="s")
    second = store.jobs.enqueue("t", 2, sequence_key="s")
    store.jobs.cancel(first.id)
    (running,) = claim(store)
    assert running.id == second.id
    store.jobs.requeue(first.id)
    assert store.jobs.get(first.id).waits_for == "sequence"
    assert claim(store) == []
    store.jobs.succeed(running)
    assert claimed(store) == [1]


# Batches.


def test_a_job_starts_when_its_batch_has_ended(store: Datastore) -> None:
    with store.transaction():
        store.jobs.enqueue_many(NewJob(type="part", payload=n, batch_id="b", max_attempts=1) for n in range(3))
        after = store.jobs.enqueue("report", "after", after_batch="b")
    assert after.waits_for == "batch"
    parts = claim(store)
    assert [job.payload for job in parts] == [0, 1, 2]
    assert store.jobs.batch("b") == BatchCounts(running=3)
    store.jobs.succeed(parts[0])
    store.jobs.enqueue("part", 3, batch_id="b")  # a part may add another one
    store.jobs.fail(parts[1], "no")
    store.jobs.succeed(parts[2])
    assert not store.jobs.batch("b").ended
    assert claimed(store) == [3]
    store.jobs.cancel((last := store.jobs.list(status="running").items[0]).id)
    store.jobs.fail(last, "stopped")
    assert store.jobs.batch("b") == BatchCounts(succeeded=2, quarantined=1, cancelled=1)
    assert store.jobs.batch("b").ended
    assert claimed(store) == ["after"]
    assert [job.payload for job in store.jobs.iterate_by_batch("b")] == [3, 2, 1, 0]
    page = store.jobs.list_by_batch("b", max_rows=3)
    assert [job.payload for job in store.jobs.list_by_batch("b", after=page.next)] == [0]


def test_a_batch_without_live_jobs_has_ended(store: Datastore) -> None:
    assert store.jobs.batch("none") == BatchCounts()
    assert store.jobs.enqueue("t", 1, after_batch="none").waits_for is None
    assert claimed(store) == [1]


def test_a_batch_may_follow_a_batch(store: Datastore) -> None:
    store.jobs.enqueue("t", 1, batch_id="a")
    store.jobs.enqueue_many(NewJob(type="t", payload=n, batch_id="b", after_batch="a") for n in (2, 3))
    store.jobs.enqueue("t", 4, after_batch="b")
    for wanted in ([1], [2, 3], [4]):
        jobs = claim(store)
        assert [job.payload for job in jobs] == wanted
        assert store.jobs.succeed_many(jobs) == []


@pytest.mark.parametrize(
    "given",
    [
        {"after_batch": "b", "batch_id": "b"},
        {"after_batch": "b", "sequence_key": "s"},
        {"limit_key": 5},
        {"batch_id": "\x00"},
    ],
)
def test_what_cannot_wait_is_refused(store: Datastore, given: Any) -> None:
    with pytest.raises(InvalidValueError):
        store.jobs.enqueue("t", **given)


def test_long_keys_are_refused(store: Datastore) -> None:
    for name in ("limit_key", "sequence_key", "batch_id", "after_batch"):
        keys: Any = {name: "x" * 201}
        with pytest.raises(CheckError):
            store.jobs.enqueue("t", **keys)


def test_what_waits_is_seen_by_verify_and_rebuilt(store: Datastore) -> None:
    store.jobs.enqueue_many(NewJob(type="t", sequence_key="s", batch_id="b") for _ in range(3))
    assert not any(store.verify().values())
    store.reindex()
    assert not any(store.verify().values())
    for _ in range(3):
        (job,) = claim(store)
        store.jobs.succeed(job)
    assert not any(store.verify().values())


# Schedules.


def test_each_slot_is_enqueued_once(store: Datastore, clock: SettableClock) -> None:
    began = store.engine.now()
    schedule = store.schedules.set("every minute", "* * * * *", "t", {"a": 1})
    assert timedelta() < schedule.next_at - began <= timedelta(minutes=1)
    assert claim(store, types=["t"]) == []
    assert not due(store, "t")
    clock.advance(60)
    assert due(store, "t")
    (job,) = claim(store)
    assert job.payload == {"a": 1, "slot": schedule.next_at.isoformat()}
    assert job.run_at == schedule.next_at
    assert claim(store) == []
    clock.advance(3 * 60)  # nobody looked meanwhile
    slots = [datetime.fromisoformat(job.payload["slot"]) for job in claim(store)]
    assert slots == [schedule.next_at + timedelta(minutes=n) for n in (1, 2, 3)]


def test_missed_slots_may_be_left_out(store: Datastore, clock: SettableClock) -> None:
    schedule = store.schedules.set("s", "* * * * *", "t", catch_up=False)
    clock.advance(10 * 60)
    (job,) = claim(store)
    assert datetime.fromisoformat(job.payload["slot"]) == schedule.next_at + timedelta(minutes=9)
    assert claim(store) == []


def test_many_missed_slots_come_in_parts(store: Datastore, clock: SettableClock) -> None:
    store.schedules.set("s", "* * * * *", "t")
    clock.advance(250 * 60)
    for wanted in (100, 100, 50, 0):
        assert len(claim(store, 1000)) == wanted


def test_a_schedule_is_in_a_time_zone(store: Datastore, clock: SettableClock) -> None:
    """The night in which Berlin's clocks are put back: 2:30 comes twice, the slot once."""
    clock.now = datetime(2026, 10, 24, 12, tzinfo=UTC)
    store.schedules.set("night", "30 2 * * *", "t", timezone="Europe/Berlin")
    assert [slot.isoformat() for slot in store.schedules.upcoming("night", 3)] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
        "2026-10-27T01:30:00+00:00",
    ]
    clock.now = datetime(2027, 3, 27, 12, tzinfo=UTC)
    store.schedules.set("spring", "30 2 * * *", "t", timezone="Europe/Berlin")
    assert store.schedules.upcoming("spring", 2)[0].isoformat() == "2027-03-28T01:00:00+00:00"


def test_a_schedule_is_replaced_and_deleted(store: Datastore, clock: SettableClock) -> None:
    first = store.schedules.set("s", "0 3 * * *", "t")
    clock.advance(2 * 24 * 3600)
    same = store.schedules.set("s", "0 3 * * *", "u", {"b": 2}, priority=3, max_attempts=1)
    assert (same.next_at, same.type, same.payload) == (first.next_at, "u", {"b": 2})
    other = store.schedules.set("s", "0 4 * * *", "u")
    assert other.next_at > store.engine.now()
    assert [schedule.name for schedule in store.schedules.iterate()] == ["s"]
    assert store.schedules.delete("s")
    assert not store.schedules.delete("s")
    with pytest.raises(NotFoundError):
        store.schedules.get("s")


@pytest.mark.parametrize(
    "given",
    [
        {"cron": "often"},
        {"cron": "* * * *"},
        {"cron": "61 * * * *"},
        {"cron": "0 0 31 2 *"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../etc/passwd"},
        {"payload": [1]},
        {"name": "x" * 101},
        {"priority": 10},
    ],
)
def test_what_cannot_be_a_schedule_is_refused(store: Datastore, given: Any) -> None:
    arguments: Any = {"name": "s", "cron": "0 3 * * *", "type": "t", **given}
    with pytest.raises((InvalidValueError, CheckError)):
        store.schedules.set(**arguments)
    assert not list(store.schedules.iterate())


# Snoozes.


@pytest.mark.parametrize("delay", [0, -1, timedelta(), timedelta(seconds=-5)])
def test_a_snooze_of_nothing_is_refused(store: Datastore, delay: Any) -> None:
    store.jobs.enqueue("t")
    (job,) = claim(store)
    with pytest.raises(InvalidValueError, match="longer than 0"):
        store.jobs.snooze(job, delay)
    assert store.jobs.get(job.id).status == "running"


def test_a_short_snooze_takes_a_second(store: Datastore) -> None:
    store.jobs.enqueue("t")
    (job,) = claim(store)
    snoozed = store.jobs.snooze(job, 0.005)
    assert snoozed.run_at - snoozed.updated_at == timedelta(seconds=1)


def test_heartbeats_of_many_jobs_say_which_are_lost(store: Datastore, clock: SettableClock) -> None:
    store.jobs.enqueue_many(NewJob(type="t") for _ in range(3))
    jobs = claim(store)
    store.jobs.cancel(jobs[1].id)
    store.jobs.succeed(jobs[2])
    clock.advance(40)
    assert store.jobs.heartbeat_many(jobs) == {jobs[0].id: False, jobs[1].id: True}
    clock.advance(40)
    assert store.jobs.get(jobs[0].id).status == "running"
    assert claim(store) == []
