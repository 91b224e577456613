"""The queues on PostgreSQL that are measured side by side: this library's, procrastinate's and pgqueuer's own calls.

The peers are asynchronous: each has an event loop here, and a call is one turn of it (some 30 µs, in every figure of
theirs). Each is used as its own worker uses it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any, Protocol

from queues import PAYLOAD

#: Ended jobs, jobs of the future at the highest priority, jobs that are due: shares of a hundred.
DONE, FUTURE = 90, 5
TYPES = 5


class ServerQueue(Protocol):
    """What a process does with a queue on a server."""

    def __init__(self, url: str) -> None: ...
    def put(self) -> None: ...
    def put_many(self, count: int) -> None: ...
    def take(self) -> Any:
        """A job, or None."""

    def take_many(self, count: int) -> list[Any]: ...
    def done(self, job: Any) -> None: ...
    def done_many(self, jobs: list[Any]) -> None: ...
    def fill(self, connection: Any, rows: int) -> None:
        """Insert jobs by SQL: DONE, FUTURE and due ones, scattered."""

    def identity(self, job: Any) -> Any: ...
    def close(self) -> None: ...


class Ours:
    """This library: history, leases, fences, dedupe and all indexes on."""

    def __init__(self, url: str) -> None:
        from datastore import Datastore

        self.store = Datastore.open(url, migrate=True)
        self.jobs = self.store.jobs

    def put(self) -> None:
        self.jobs.enqueue("type1", PAYLOAD)

    def put_many(self, count: int) -> None:
        from datastore import NewJob

        self.jobs.enqueue_many([NewJob(type="type1", payload=PAYLOAD)] * count)

    def take(self) -> Any:
        return self.jobs.claim(["type1"], worker="w")

    def take_many(self, count: int) -> list[Any]:
        return list(self.jobs.claim_many(["type1"], worker="w", max_rows=count))

    def done(self, job: Any) -> None:
        self.jobs.succeed(job)

    def done_many(self, jobs: list[Any]) -> None:
        self.jobs.succeed_many(jobs)

    def fill(self, connection: Any, rows: int) -> None:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"""
            INSERT INTO job_queue (type, status, priority, run_at, max_attempts, backoff_seconds, backoff_cap_seconds,
                created_at, updated_at, finished_at)
            SELECT 'type' || n / 100 % {TYPES}, CASE WHEN n % 100 < {DONE} THEN 'succeeded' ELSE 'queued' END,
                CASE WHEN n % 100 < {DONE} THEN 0 WHEN n % 100 < {DONE + FUTURE} THEN 9 ELSE n / 500 % 10 END,
                now() + CASE WHEN n % 100 BETWEEN {DONE} AND {DONE + FUTURE - 1} THEN interval '1 day'
                    ELSE - interval '1 day' END + n * interval '1 ms',
                5, 1, 10, now(), now(), CASE WHEN n % 100 < {DONE} THEN now() END
            FROM generate_series(1, {rows}) AS n
        """)

    def identity(self, job: Any) -> Any:
        return job.id

    def close(self) -> None:
        self.store.close()


class Procrastinate:
    """procrastinate 3: no lease and no fence; a job of a worker that died waits for a task of the user's."""

    def __init__(self, url: str) -> None:
        from procrastinate import App, PsycopgConnector

        self.loop = asyncio.new_event_loop()
        self.app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=2))

        @self.app.task(name="type1", queue="type1")
        async def work(**payload: Any) -> None: ...

        self.task = work
        self.run(self.app.open_async())
        if not self.run(self.app.check_connection_async()):
            self.run(self.app.schema_manager.apply_schema_async())
        self.worker = self.run(self.app.job_manager.register_worker())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def put(self) -> None:
        self.run(self.task.defer_async(**PAYLOAD))

    def put_many(self, count: int) -> None:
        self.run(self.task.batch_defer_async(*[dict(PAYLOAD)] * count))

    def take(self) -> Any:
        return self.run(self.app.job_manager.fetch_job(["type1"], self.worker))

    def take_many(self, count: int) -> list[Any]:
        """One after the other: it has no call for several."""
        taken = (self.take() for _ in range(count))
        return [job for job in taken if job is not None]

    def done(self, job: Any) -> None:
        from procrastinate.jobs import Status

        self.run(self.app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False))

    def done_many(self, jobs: list[Any]) -> None:
        for job in jobs:
            self.done(job)

    def fill(self, connection: Any, rows: int) -> None:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"""
            INSERT INTO procrastinate_jobs (queue_name, task_name, priority, status, scheduled_at, attempts)
            SELECT 'type' || n / 100 % {TYPES}, 'type1',
                CASE WHEN n % 100 < {DONE} THEN 0 WHEN n % 100 < {DONE + FUTURE} THEN 9 ELSE n / 500 % 10 END,
                CAST(CASE WHEN n % 100 < {DONE} THEN 'succeeded' ELSE 'todo' END AS procrastinate_job_status),
                now() + CASE WHEN n % 100 BETWEEN {DONE} AND {DONE + FUTURE - 1} THEN interval '1 day'
                    ELSE - interval '1 day' END + n * interval '1 ms',
                CASE WHEN n % 100 < {DONE} THEN 1 ELSE 0 END
            FROM generate_series(1, {rows}) AS n
        """)

    def identity(self, job: Any) -> Any:
        return job.id

    def close(self) -> None:
        self.run(self.app.close_async())
        self.loop.close()


class Pgqueuer:
    """pgqueuer 1: a job that ends leaves the queue's table for a log; a late acknowledgement is taken."""

    def __init__(self, url: str) -> None:
        import psycopg
        from pgqueuer.db import PsycopgDriver
        from pgqueuer.queries import EntrypointExecutionParameter, Queries

        self.loop = asyncio.new_event_loop()
        self.connection = self.run(psycopg.AsyncConnection.connect(url, autocommit=True))
        self.queries = Queries(PsycopgDriver(self.connection))
        if not self.run(self.queries.has_table("pgqueuer")):
            self.run(self.queries.install())
        self.manager = uuid.uuid4()
        self.entry = {"type1": EntrypointExecutionParameter(concurrency_limit=0)}
        self.payload = json.dumps(PAYLOAD).encode()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def put(self) -> None:
        self.run(self.queries.enqueue("type1", self.payload))

    def put_many(self, count: int) -> None:
        self.run(self.queries.enqueue(["type1"] * count, [self.payload] * count, [0] * count))

    def take(self) -> Any:
        return next(iter(self.take_many(1)), None)

    def take_many(self, count: int) -> list[Any]:
        timeout = timedelta(seconds=30)
        return list(self.run(self.queries.dequeue(count, self.entry, self.manager, None, timeout)))

    def done(self, job: Any) -> None:
        self.done_many([job])

    def done_many(self, jobs: list[Any]) -> None:
        self.run(self.queries.log_jobs([(job, "successful", None) for job in jobs]))

    def fill(self, connection: Any, rows: int) -> None:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"""
            INSERT INTO pgqueuer (priority, created, updated, heartbeat, execute_after, status, entrypoint)
            SELECT CASE WHEN n % 100 < {DONE + FUTURE} THEN 9 ELSE n / 500 % 10 END, now(), now(), now(),
                now() + CASE WHEN n % 100 < {DONE + FUTURE} THEN interval '1 day' ELSE - interval '1 day' END
                    + n * interval '1 ms',
                'queued', 'type' || n / 100 % {TYPES}
            FROM generate_series(1, {rows}) AS n WHERE n % 100 >= {DONE}
        """)
        connection.execute(f"""
            INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)
            SELECT now(), n, 'successful', 0, 'type' || n / 100 % {TYPES}
            FROM generate_series(1, {rows}) AS n WHERE n % 100 < {DONE}
        """)

    def identity(self, job: Any) -> Any:
        return job.id

    def close(self) -> None:
        self.run(self.connection.close())
        self.loop.close()


SERVERS: dict[str, type[Any]] = {"datastore": Ours, "procrastinate": Procrastinate, "pgqueuer": Pgqueuer}
