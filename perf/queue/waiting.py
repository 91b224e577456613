"""What `store.jobs.wait` costs while nothing happens, and how soon another process's job wakes it.

The processor's time is that of this process alone, over the seconds that it waited; the bar is 1 %. The wake is from
before the other process's enqueue until `wait` is back; exit 1 where the bar is missed. On a queue with 10,000 jobs
that are not due yet. A constant look every 5 ms, which was rejected, takes turns with it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from datastore import Datastore, NewJob
from datastore.repositories import job_waiting

BAR = 0.01


def enqueue(path: str, count: int, pipe: Any) -> None:
    with Datastore.open(path) as store:
        store.jobs.counts()
        for _ in range(count):
            pipe.recv()
            time.sleep(0.05)
            # One clock for all processes of a machine.
            before = time.monotonic()
            store.jobs.enqueue("t")
            pipe.send((before, time.monotonic()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wakes", type=int, default=100)
    arguments = parser.parse_args()
    longest = job_waiting._POLL_LONGEST
    shares: dict[float, list[float]] = {longest: [], job_waiting._POLL: []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("DATASTORE_PERF_FOLDER")) as folder:
        path = str(Path(folder) / "jobs.db")
        with Datastore.open(path, migrate=True) as store:
            store.jobs.enqueue_many([NewJob(type="t", delay=86400, priority=n % 10) for n in range(10_000)])
            store.jobs.wait(["t"], timeout=2)
            for _ in range(arguments.rounds):
                for poll, some in shares.items():
                    job_waiting._POLL_LONGEST = poll
                    begun, used = time.monotonic(), time.process_time()
                    assert not store.jobs.wait(["t"], timeout=arguments.seconds)
                    some.append((time.process_time() - used) / (time.monotonic() - begun))
            job_waiting._POLL_LONGEST = longest
            ours, theirs = multiprocessing.Pipe()
            other = multiprocessing.get_context("spawn").Process(target=enqueue, args=(path, arguments.wakes, theirs))
            other.start()
            begins, commits = [], []
            for _ in range(arguments.wakes):
                ours.send(None)
                assert store.jobs.wait(["t"], timeout=30)
                woken = time.monotonic()
                before, committed = ours.recv()
                begins.append((woken - before) * 1e3)
                commits.append((woken - committed) * 1e3)
                job = store.jobs.claim(["t"], worker="w")
                assert job is not None
                store.jobs.succeed(job)
            other.join()
    share = statistics.median(shares[longest])
    for poll, some in shares.items():
        print(f"idle, a look every {poll * 1e3:.0f} ms: {statistics.median(some):.2%} of a processor"
              f" ({min(some):.2%} to {max(some):.2%}, {len(some)} x {arguments.seconds:g} s)")  # fmt: skip
    print(f"bar {BAR:.0%}: {'met' if share < BAR else 'MISSED'}")
    for name, times in (("enqueue begins", begins), ("enqueue is back", commits)):
        times.sort()
        print(f"woken after {name}: p50 {statistics.median(times):.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms")
    return int(share >= BAR)


if __name__ == "__main__":
    raise SystemExit(main())
