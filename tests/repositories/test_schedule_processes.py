"""Schedules between processes: each slot is enqueued exactly once, although every claim enqueues what is due."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from datastore import Datastore
from datastore.values import utc_now

BOTH_ENGINES = True

PROCESSES, SCHEDULES, SLOTS = 4, 2, 600

#: Ends each job at once: its key is then free, and a second job for its slot would be stored.
DRAIN = """
import sys
from datastore import Datastore
from datastore.values import utc_now
with Datastore.open(sys.argv[1], durability="relaxed") as store:
    print("ready", flush=True)
    sys.stdin.readline()
    while min(schedule.next_at for schedule in store.schedules.list(max_rows=100).items) <= utc_now():
        assert store.jobs.succeed_many(store.jobs.claim_many(worker="w", max_rows=1000)) == []
"""


def test_each_slot_is_enqueued_once(datastore_database: Path | str) -> None:
    then = utc_now() - timedelta(minutes=SLOTS)
    with Datastore.open(datastore_database, clock=lambda: then) as store:
        first = {f"s{n}": store.schedules.set(f"s{n}", "* * * * *", f"s{n}").next_at for n in range(SCHEDULES)}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", DRAIN, str(datastore_database)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        assert [process.stdout and process.stdout.readline() for process in processes] == ["ready\n"] * PROCESSES
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(120) for process in processes] == [0] * PROCESSES
    with Datastore.open(datastore_database) as store:
        upto = {name: store.schedules.get(name).next_at for name in first}
        slots = Counter((job.type, job.payload["slot"]) for job in store.jobs.iterate())
    minutes = {name: int((upto[name] - start) / timedelta(minutes=1)) for name, start in first.items()}
    assert min(minutes.values()) >= SLOTS - 1
    assert slots == Counter(
        (name, (start + timedelta(minutes=n)).isoformat())
        for name, start in first.items()
        for n in range(minutes[name])
    )
