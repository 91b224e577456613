"""A worker: claims jobs, runs the handler for each job's type, extends the leases, and stores the outcomes.

Each job runs at least once: if this process dies, or sends no heartbeat within a lease, another worker runs the job again.
docs/job-queue.md explains more.

`tasks` has what a handler gets, `handlers` checks handlers and what they return, `claims` and `endings` are the worker's side of
the queue, `heartbeat` extends the leases, `stopping` has the signals, `inline` runs one plain function at a time on the calling
thread, and `concurrent` runs several handlers at once: plain functions on threads, ``async def`` functions on one event loop.
"""

from __future__ import annotations

from datastore.worker.tasks import AsyncTask, Handler, PermanentError, Snooze, Stopped, Task
from datastore.worker.worker import Worker

__all__ = ["AsyncTask", "Handler", "PermanentError", "Snooze", "Stopped", "Task", "Worker"]
