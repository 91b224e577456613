"""The state machine's steps on the job queue: each does one thing to the store and the same to the model.

They take what those of operations.py take; *m.leases* is what workers hold, or believe to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from datastore.errors import LeaseLostError, NotFoundError, TransitionError, UniqueError
from tests.acid.model import ModelJob
from tests.acid.steps import expect, pick, refused

TYPES = ("work", "play")

LEASE = 60.0


def enqueue(m: Any, data: Any) -> None:
    priority, delay, most = pick(data, (0, 5)), pick(data, (0, 0, 100)), pick(data, (1, 3))
    type, key = pick(data, TYPES), pick(data, (None, None, "a", "b"))
    job = m.store.jobs.enqueue(type, priority=priority, delay=delay, max_attempts=most, dedupe_key=key)
    known = m.model.live_job(key)
    if known is not None:
        expect(job.id == known, f"enqueue gave {job.id}, not the live {known}", "duplicate")
        return
    expect(job.id not in m.model.jobs, f"enqueue gave {job.id}, which is another's")
    m.model.jobs[job.id] = ModelJob(type, priority, m.now() + timedelta(seconds=delay), most, key=key)


def claim(m: Any, data: Any) -> None:
    types, most = pick(data, (TYPES, TYPES[:1], None)), pick(data, (1, 1, 3))
    jobs = m.store.jobs.claim_many(types, worker="w", lease_seconds=LEASE, max_rows=most)
    _claimed(m, jobs, types or TYPES, most)


def _claimed(m: Any, jobs: Sequence[Any], types: Sequence[str], most: int) -> None:
    _recovered(m)
    wanted = m.model.next_jobs(m.now(), types)[:most]
    expect([job.id for job in jobs] == wanted, f"claimed {[job.id for job in jobs]}, not {wanted}", "lost job")
    for job in jobs:
        m.model.claim(job.id, m.now(), LEASE)
        m.leases.append(job)


def _recovered(m: Any) -> None:
    for id in m.model.expired(m.now()):
        m.model.end_attempt(id, m.store.jobs.get(id).run_at, m.now())


def recover(m: Any, data: Any) -> None:
    count = len(m.model.expired(m.now()))
    expect(m.store.jobs.recover_expired() == count, f"recovered other than {count}", "lost job")
    _recovered(m)


def end_job(m: Any, data: Any) -> None:
    if (job := pick(data, m.leases)) is None:
        return
    name = pick(data, tuple(ENDINGS))
    call, follow = ENDINGS[name]
    if not m.model.holds(job.id, job.lease_token, m.now()):
        refused(LeaseLostError, lambda: call(m, job))
        return
    follow(m, job, call(m, job))


def end_job_late(m: Any, data: Any) -> None:
    """With a lease that has just ended, while nobody else has the job yet."""
    m.pass_time(LEASE + 1)
    still = [job for job in m.leases if m.model.jobs.get(job.id) and m.model.jobs[job.id].token == job.lease_token]
    ended = [job for job in still if job.id in m.model.expired(m.now())]
    if (job := pick(data, ended)) is not None:
        call, _ = ENDINGS[pick(data, tuple(ENDINGS))]
        refused(LeaseLostError, lambda: call(m, job))


def end_many(m: Any, data: Any) -> None:
    jobs = list({job.id: job for job in m.leases}.values())[-3:]
    lost = m.store.jobs.succeed_many(jobs)
    held = [job for job in jobs if m.model.holds(job.id, job.lease_token, m.now())]
    expect([job for job in jobs if job not in lost] == held, "succeed_many: other leases were lost", "lost job")
    for job in held:
        m.model.finish(job.id, "succeeded", m.now())


def _succeeded(m: Any, job: Any, after: Any) -> None:
    m.model.finish(job.id, "succeeded", m.now())


def _succeeded_and_claimed(m: Any, job: Any, after: Any) -> None:
    _succeeded(m, job, after)
    _claimed(m, [after] if after else [], TYPES, 1)


def _failed(m: Any, job: Any, after: Any) -> None:
    m.model.end_attempt(job.id, after.run_at, m.now())


def _failed_for_good(m: Any, job: Any, after: Any) -> None:
    m.model.end_attempt(job.id, after.run_at, m.now(), permanent=True)


def _released(m: Any, job: Any, after: Any) -> None:
    m.model.release(job.id, m.now(), None)


def _snoozed(m: Any, job: Any, after: Any) -> None:
    m.model.release(job.id, m.now(), m.now() + timedelta(seconds=50))


def _alive(m: Any, job: Any, after: Any) -> None:
    row = m.model.jobs[job.id]
    expect(after.cancel_requested == row.cancel, f"a heartbeat of {job.id} says another thing of its cancellation")
    row.lease_until = m.now() + timedelta(seconds=LEASE)


#: What a worker can do with its lease, and what the model makes of it.
ENDINGS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], None]]] = {
    "succeed": (lambda m, job: m.store.jobs.succeed(job), _succeeded),
    "succeed and claim": (
        lambda m, job: m.store.jobs.succeed_and_claim(job, types=TYPES, worker="w", lease_seconds=LEASE),
        _succeeded_and_claimed,
    ),
    "fail": (lambda m, job: m.store.jobs.fail(job, "no"), _failed),
    "fail for good": (lambda m, job: m.store.jobs.fail(job, "never", permanent=True), _failed_for_good),
    "release": (lambda m, job: m.store.jobs.release(job), _released),
    "snooze": (lambda m, job: m.store.jobs.snooze(job, 50), _snoozed),
    "heartbeat": (lambda m, job: m.store.jobs.heartbeat(job, lease_seconds=LEASE), _alive),
}


def cancel(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.jobs))) is None:
        return
    row = m.model.jobs[id]
    if row.status == "queued":
        m.store.jobs.cancel(id)
        m.model.finish(id, "cancelled", m.now())
    elif row.status == "running":
        m.store.jobs.cancel(id)
        row.cancel = True
    else:
        refused(TransitionError, lambda: m.store.jobs.cancel(id))


def requeue(m: Any, data: Any) -> None:
    if (id := pick(data, sorted(m.model.jobs))) is None:
        return
    row, jobs = m.model.jobs[id], m.store.jobs
    call = jobs.requeue if (again := pick(data, (True, False))) else jobs.retry
    if row.status == "queued" and not again:
        call(id)
        row.run_at = m.now()
    elif row.status not in ("quarantined", "cancelled"):
        refused(TransitionError, lambda: call(id))
    elif m.model.live_job(row.key) is not None:
        refused(UniqueError, lambda: call(id))
    else:
        call(id)
        m.model.requeue(id, m.now())


def delete_job(m: Any, data: Any) -> None:
    id = pick(data, [*sorted(m.model.jobs), 999_999])
    if id not in m.model.jobs:
        refused(NotFoundError, lambda: m.store.jobs.delete(id))
    elif m.model.jobs[id].status == "running":
        refused(TransitionError, lambda: m.store.jobs.delete(id))
    else:
        m.store.jobs.delete(id)
        del m.model.jobs[id]
        m.model.audit.append(("delete", "job", str(id)))


def purge_jobs(m: Any, data: Any) -> None:
    before = m.now() - timedelta(seconds=pick(data, (0, 50)))
    wanted = m.model.purge_jobs(before)
    expect(m.store.jobs.prune(finished_before=before) == wanted, f"purged other than {wanted} jobs")


def pause(m: Any, data: Any) -> None:
    type, jobs = pick(data, TYPES), m.store.jobs
    if type in m.model.paused:
        expect(not jobs.pause(type), "paused twice")
        expect(jobs.resume(type), "not resumed")
        m.model.paused.discard(type)
    else:
        expect(not jobs.resume(type), "resumed twice")
        expect(jobs.pause(type), "not paused")
        m.model.paused.add(type)


JOB_OPERATIONS = (
    enqueue, enqueue, enqueue, claim, claim, claim, end_job, end_job, end_job, end_job_late, end_many, recover, cancel,
    requeue, delete_job, purge_jobs, pause,
)  # fmt: skip

JOB_BEGINNING = (enqueue, enqueue, enqueue, claim, end_job_late)
