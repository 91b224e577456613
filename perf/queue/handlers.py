"""50 asynchronous handlers of 200 ms each finish 250 jobs: python perf/queue/handlers.py [--server URL]."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from datastore import AsyncTask, Datastore, NewJob, Worker

#: Handlers at once, jobs, seconds of a handler; and the longest time for all, of which five rounds of handlers take 1.0 s.
HANDLERS, JOBS, SECONDS, BAR = 50, 250, 0.2, 1.3


async def wait(task: AsyncTask) -> int:
    """A call of a model that takes 200 ms."""
    await asyncio.sleep(SECONDS)
    return task.payload


def measure(database: str, durability: str) -> float:
    """Seconds until all jobs have succeeded."""
    with Datastore.open(database, migrate=True, durability=durability) as store:  # type: ignore[arg-type]
        store.jobs.enqueue_many(NewJob(type="model", payload=n) for n in range(JOBS))
        began = time.perf_counter()
        ran = Worker(store, {"model": wait}, concurrency=HANDLERS).run(until_idle=True)
        took = time.perf_counter() - began
        assert ran == JOBS, ran
        store.jobs.prune(finished_before=store.engine.now(), max_rows=JOBS)
    return took


def main() -> None:
    """Print the median of five runs for each durability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", help="the URL of an empty PostgreSQL database; without it, a SQLite file")
    server = parser.parse_args().server
    with tempfile.TemporaryDirectory() as folder:
        for durability in ("full", "relaxed"):
            database = server or str(Path(folder) / f"{durability}.db")
            times = sorted(measure(database, durability) for _ in range(5))
            print(f"{durability}: {JOBS} jobs in {statistics.median(times):.2f} s ({times[0]:.2f} to {times[-1]:.2f})")


if __name__ == "__main__":
    main()
