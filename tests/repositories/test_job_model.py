"""The job queue against a model of sixty lines: whatever the order of calls, both say the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from datastore import Datastore, Job
from datastore.errors import LeaseLostError, TransitionError, UniqueError
from tests.conftest import Clock

TYPES = ["a", "b"]
LEASE = 10.0
LIVE, UNSUCCESSFUL = ("queued", "running"), ("quarantined", "failed", "cancelled")


class Model:
    """What the queue promises. A job is a dictionary; a claim is the first by priority, run_at, id."""

    def __init__(self) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.paused: set[str] = set()

    def add(self, job: Job) -> None:
        self.jobs[job.id] = {"type": job.type, "priority": job.priority, "run_at": job.run_at, "status": "queued",
                             "attempts": 0, "max": job.max_attempts, "key": job.dedupe_key, "token": 0, "stop": False,
                             "expires": None, "history": []}  # fmt: skip

    def live(self, key: str | None) -> int | None:
        return next((i for i, job in self.jobs.items() if key and job["key"] == key and job["status"] in LIVE), None)

    def due(self, types: list[str] | None, now: datetime, count: int) -> list[int]:
        wanted = set(TYPES if types is None else types) - self.paused
        ready = [(-job["priority"], job["run_at"], i) for i, job in self.jobs.items()
                 if job["status"] == "queued" and job["type"] in wanted and job["run_at"] <= now]  # fmt: skip
        return [i for _, _, i in sorted(ready)[:count]]

    def claim(self, ids: list[int], now: datetime) -> None:
        for i in ids:
            job = self.jobs[i]
            job.update(status="running", attempts=job["attempts"] + 1, token=job["token"] + 1, stop=False,
                       expires=now + timedelta(seconds=LEASE))  # fmt: skip
            job["history"].append([job["attempts"], None])

    def holds(self, lease: Job, now: datetime) -> bool:
        job = self.jobs.get(lease.id)
        return bool(job and job["status"] == "running" and job["token"] == lease.lease_token and job["expires"] > now)

    def end(self, i: int, outcome: str, status: str, *, run_at: datetime | None = None, spent: bool = True) -> None:
        job = self.jobs[i]
        job["history"][-1][1] = outcome
        job.update(status=status, expires=None, attempts=job["attempts"] - (not spent), run_at=run_at or job["run_at"])

    def failed(self, i: int, outcome: str, permanent: bool, run_at: datetime) -> None:
        job = self.jobs[i]
        if job["stop"]:
            self.end(i, outcome, "cancelled")
        elif permanent or job["attempts"] >= job["max"]:
            self.end(i, outcome, "quarantined")
        else:
            self.end(i, outcome, "queued", run_at=run_at)

    def expired(self, now: datetime) -> list[int]:
        return [i for i, job in self.jobs.items() if job["status"] == "running" and job["expires"] <= now]

    def queue_again(self, i: int, now: datetime) -> None:
        self.jobs[i].update(status="queued", run_at=now, attempts=0, stop=False)


class Machine(RuleBasedStateMachine):
    """Every call of the repository, with leases that may be old, against the model."""

    leases: Bundle[Job] = Bundle("leases")
    ids: Bundle[int] = Bundle("ids")
    template: bytes = b""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "app.db"
        self.path.write_bytes(self.template)
        self.clock, self.model = Clock(), Model()
        self.open()

    def open(self) -> None:
        self.store = Datastore.open(self.path, clock=self.clock, rng=Random(1), durability="relaxed")

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(
        target=ids,
        type=st.sampled_from(TYPES),
        priority=st.sampled_from([0, 0, 5, 9]),
        delay=st.sampled_from([-5, 0, 0, 5, 50]),
        attempts=st.sampled_from([1, 3, 9]),
        key=st.sampled_from([None, None, "k", "l"]),
    )
    def enqueue(self, type: str, priority: int, delay: int, attempts: int, key: str | None) -> int:
        there = self.model.live(key)
        job = self.store.jobs.enqueue(
            type, priority=priority, delay=delay, max_attempts=attempts, dedupe_key=key, backoff_seconds=4.0
        )
        if there is None:
            assert (job.status, job.run_at) == ("queued", self.clock.now + timedelta(seconds=delay))
            self.model.add(job)
        else:
            assert job.id == there
        return job.id

    @rule(target=leases, types=st.none() | st.lists(st.sampled_from(TYPES)), count=st.integers(1, 4))
    def claim(self, types: list[str] | None, count: int) -> Any:
        self.recover()
        wanted = self.model.due(types, self.clock.now, count)
        jobs = self.store.jobs.claim_many(types, worker="w", lease_seconds=LEASE, max_rows=count)
        assert [job.id for job in jobs] == wanted
        self.model.claim(wanted, self.clock.now)
        return multiple(*jobs)

    @rule(target=leases)
    def claim_what_lapsed(self) -> Any:
        """Every lease expires and every wait ends; then somebody else takes what there is."""
        self.clock.advance(60)
        self.recover()
        self.clock.advance(60)
        return self.claim(None, 3)

    def recover(self) -> None:
        expired = self.model.expired(self.clock.now)
        assert self.store.jobs.recover_expired() == len(expired)
        for i in expired:
            self.model.failed(i, "expired", False, self.waited(i))

    def waited(self, i: int) -> datetime:
        """When the store will try a job again: with jitter, so only its bounds are known."""
        stored, job = self.store.jobs.get(i), self.model.jobs[i]
        if stored.status == "queued":
            wait = 4.0 * 2 ** (job["attempts"] - 1)
            assert 0.8 * wait <= (stored.run_at - self.clock.now).total_seconds() <= 1.2 * wait
        return stored.run_at

    @rule(lease=leases, call=st.sampled_from(["succeed", "many", "beat"]))
    def report(self, lease: Job, call: str) -> None:
        self.act(lease, call)

    @rule(lease=leases, call=st.sampled_from(["fail", "permanent"]))
    def fail(self, lease: Job, call: str) -> None:
        self.act(lease, call)

    @rule(lease=leases, call=st.sampled_from(["release", "snooze"]))
    def give_back(self, lease: Job, call: str) -> None:
        self.act(lease, call)

    @rule(
        target=leases,
        old=st.lists(leases, min_size=1, max_size=8),
        call=st.sampled_from(["succeed", "many", "beat", "fail"]),
    )
    def come_late(self, old: list[Job], call: str) -> Any:
        """Old leases, when others hold the jobs."""
        taken = self.claim_what_lapsed()
        for lease in old:
            self.act(lease, call)
        return taken

    def act(self, lease: Job, call: str) -> None:
        jobs, now, held = self.store.jobs, self.clock.now, self.model.holds(lease, self.clock.now)
        calls: dict[str, Any] = {
            "succeed": lambda: jobs.succeed(lease, call),
            "many": lambda: self.lost(jobs.succeed_many([lease])),
            "fail": lambda: jobs.fail(lease, "no"),
            "permanent": lambda: jobs.fail(lease, "no", permanent=True),
            "release": lambda: jobs.release(lease),
            "snooze": lambda: jobs.snooze(lease, 7),
            "beat": lambda: jobs.heartbeat(lease, lease_seconds=LEASE),
        }
        if not held:
            with pytest.raises(LeaseLostError):
                calls[call]()
            return
        stop = self.model.jobs[lease.id]["stop"]
        answer = calls[call]()
        if call in ("succeed", "many"):
            self.model.end(lease.id, "succeeded", "succeeded")
        elif call in ("fail", "permanent"):
            self.model.failed(lease.id, "failed", call == "permanent", self.waited(lease.id))
        elif call == "beat":
            assert answer.cancel_requested == stop
            self.model.jobs[lease.id]["expires"] = now + timedelta(seconds=LEASE)
        elif stop:
            self.model.end(lease.id, "cancelled", "cancelled")
        elif call == "release":
            self.model.end(lease.id, "released", "queued", spent=False)
        else:
            self.model.end(lease.id, "snoozed", "queued", run_at=now + timedelta(seconds=7), spent=False)

    @staticmethod
    def lost(jobs: list[Job]) -> None:
        if jobs:
            raise LeaseLostError("succeed_many")

    @rule(id=ids, call=st.sampled_from(["cancel", "requeue", "retry"]))
    def operate(self, id: int, call: str) -> None:
        job, now = self.model.jobs.get(id), self.clock.now
        if job is None:
            return
        status, run = job["status"], getattr(self.store.jobs, call)
        if call == "cancel" and status in LIVE:
            run(id)
            job.update(stop=True) if status == "running" else job.update(status="cancelled")
        elif call == "retry" and status == "queued":
            assert run(id).run_at == now
            job["run_at"] = now
        elif call != "cancel" and status in UNSUCCESSFUL:
            if self.model.live(job["key"]) is not None:
                with pytest.raises(UniqueError):
                    run(id)
            else:
                run(id)
                self.model.queue_again(id, now)
        else:
            with pytest.raises(TransitionError):
                run(id)

    @rule(type=st.sampled_from(TYPES), often=st.integers(0, 3))
    def pause_or_resume(self, type: str, often: int) -> None:
        paused = type in self.model.paused
        if often and not paused:
            return
        assert self.store.jobs.resume(type) == paused
        if not paused:
            assert self.store.jobs.pause(type)
        self.model.paused ^= {type}

    @rule(seconds=st.sampled_from([3, 9, 10, 60]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @invariant()
    def the_same(self) -> None:
        stored = {job.id: job for job in self.store.jobs.list(max_rows=1000)}
        assert stored.keys() == self.model.jobs.keys()
        counts: dict[tuple[str, str], int] = {}
        for id, job in self.model.jobs.items():
            row = stored[id]
            assert (row.status, row.attempts, row.lease_token, row.lease_expires_at, row.run_at) == (
                job["status"], job["attempts"], job["token"], job["expires"], job["run_at"],
            )  # fmt: skip
            assert [[a.attempt, a.outcome] for a in self.store.jobs.attempts(id)] == job["history"]
            counts[job["type"], job["status"]] = counts.get((job["type"], job["status"]), 0) + 1
        assert {(count.type, count.status): count.count for count in self.store.jobs.counts()} == counts
        for status in ("running", "quarantined", "cancelled"):
            listed = [job.id for job in self.store.jobs.list(status=status, max_rows=1000)]
            assert listed == sorted((i for i, job in self.model.jobs.items() if job["status"] == status), reverse=True)
        assert {pause.type for pause in self.store.jobs.pauses()} == self.model.paused


@pytest.mark.parametrize(
    ("examples", "steps"), [(12, 40), pytest.param(100, 50, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_the_queue_is_its_model(empty_database: bytes, examples: int, steps: int) -> None:
    machine = type("TheMachine", (Machine,), {"template": empty_database})
    chosen = settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=chosen)
