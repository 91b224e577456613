"""The threads of a worker that run handlers that are plain functions."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

from datastore.worker.endings import Ended
from datastore.worker.stopping import end_frames
from datastore.worker.tasks import Stopped, Task

if TYPE_CHECKING:
    from datastore.records import Job
    from datastore.store import Datastore
    from datastore.worker.tasks import BaseTask, Handler


class HandlerThreads:
    """Threads that are started when they are needed, and wait for the next job afterwards.

    Args:
        store: The worker's store.
        handlers: Handlers by job type.
        lease_seconds: The length of a lease.
        put: Called on a thread when its handler has ended.
    """

    def __init__(
        self, store: Datastore, handlers: Mapping[str, Handler], lease_seconds: float, put: Callable[[Ended], None]
    ) -> None:
        self._store = store
        self._handlers = cast("Mapping[str, Callable[[Task], Any]]", handlers)
        self._lease_seconds = lease_seconds
        self._put = put
        self._tasks: SimpleQueue[BaseTask | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        #: Tasks that were started and have not ended.
        self._open = 0
        self._interrupted = False
        #: The threads that are inside a handler.
        self._busy: set[int] = set()

    def make_task(self, job: Job) -> Task:
        """The argument of a handler."""
        return Task(job, self._store, self._lease_seconds)

    def start(self, task: BaseTask) -> None:
        """Run a task's handler on a free thread, or on a new one."""
        with self._lock:
            self._open += 1
            more = self._open > self._count
            self._count += more
        self._tasks.put(task)
        if more:
            threading.Thread(target=self._run, name="datastore-handler", daemon=True).start()

    def interrupt(self) -> None:
        """Raise `Stopped` in every handler, as soon as it runs Python code; one that waits in C code goes on."""
        with self._lock:
            self._interrupted = True
            for thread in self._busy:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Stopped))

    def close(self) -> None:
        """Let the free threads end."""
        for _ in range(self._count):
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            ended = self._call(cast("Task", task))
            with self._lock:
                self._open -= 1
            self._put(ended)

    def _call(self, task: Task) -> Ended:
        me = threading.get_ident()
        try:
            try:
                with self._lock:
                    self._busy.add(me)
                return Ended(task, self._handlers[task.job.type](task))
            finally:
                with self._lock:
                    self._busy.discard(me)
        except BaseException as error:  # a handler cannot end the worker
            if self._interrupted:
                end_frames(error)  # the release must not wait for a transaction of the handler
            return Ended(task, error=error)
