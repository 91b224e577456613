"""The event loop of a worker, on a thread of its own, which runs handlers that are ``async def`` functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from datastore.worker.endings import Ended
from datastore.worker.tasks import AsyncTask

if TYPE_CHECKING:
    from datastore.aio.store import AsyncDatastore
    from datastore.records import Job
    from datastore.store import Datastore
    from datastore.worker.tasks import BaseTask, Handler

#: Seconds that the loop has to end.
_CLOSE = 2.0


class EventLoop:
    """An event loop with an `AsyncDatastore` on the worker's store.

    Args:
        store: The worker's store.
        handlers: Handlers by job type.
        lease_seconds: The length of a lease.
        put: Called in the loop when a handler has ended.
    """

    def __init__(
        self, store: Datastore, handlers: Mapping[str, Handler], lease_seconds: float, put: Callable[[Ended], None]
    ) -> None:
        self._store = store
        self._handlers = cast("Mapping[str, Callable[[AsyncTask], Awaitable[Any]]]", handlers)
        self._lease_seconds = lease_seconds
        self._put = put
        self._asynchronous: AsyncDatastore | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="datastore-loop", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed

    def make_task(self, job: Job) -> AsyncTask:
        """The argument of a handler."""
        assert self._asynchronous is not None
        return AsyncTask(job, self._store, self._lease_seconds, self._asynchronous)

    def start(self, task: BaseTask) -> None:
        """Run a task's handler in the loop."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._start, cast("AsyncTask", task))

    def interrupt(self) -> None:
        """Cancel every handler."""
        self._call(self._cancel)

    def close(self) -> None:
        """End the loop; a handler that goes on in spite of its cancellation is left behind."""
        assert self._end is not None
        self._call(self._end.set)
        self._thread.join(_CLOSE)

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)

    # In the loop's thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from datastore.aio.store import AsyncDatastore  # only asynchronous handlers need it

        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with AsyncDatastore(self._store) as self._asynchronous:
            self._ready.set()
            await self._end.wait()

    def _start(self, task: AsyncTask) -> None:
        running = asyncio.get_running_loop().create_task(self._handle(task), name=f"datastore-job-{task.job.id}")
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    async def _handle(self, task: AsyncTask) -> None:
        try:
            result = await self._handlers[task.job.type](task)
        except BaseException as error:  # a handler cannot end the loop, not even with SystemExit
            self._put(Ended(task, error=error))
        else:
            self._put(Ended(task, result))

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
