"""Runs one handler at a time, a plain function, on the calling thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datastore.worker.endings import Ended, Endings
from datastore.worker.stopping import end_frames
from datastore.worker.tasks import BaseTask, Stopped, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from datastore.records import Job
    from datastore.worker.claims import Claims
    from datastore.worker.stopping import Stop


class InlineRunner:
    """Claims jobs, up to *batch* at once, and runs them one after the other.

    Args:
        handlers: Handlers by job type.
        make_task: Makes a handler's argument.
        held: The claimed jobs; those that are left at the end are released.
        batch: Number of jobs claimed at once.
    """

    def __init__(
        self,
        handlers: Mapping[str, Callable[[Task], Any]],
        make_task: Callable[[Job], Task],
        held: dict[int, BaseTask],
        *,
        claims: Claims,
        endings: Endings,
        stop: Stop,
        batch: int,
    ) -> None:
        self._handlers = handlers
        self._make_task = make_task
        self._held = held
        self._claims = claims
        self._endings = endings
        self._stop = stop
        self._batch = batch
        self.ran = 0

    def run(self, until_idle: bool) -> None:
        """Run jobs until the worker is asked to end; or, with *until_idle*, until no job is due."""
        try:
            while not self._stop.asked:
                claimed = self._claims.claim(self._batch)
                if isinstance(claimed, float):
                    self._stop.pause(claimed)
                elif claimed:
                    self._work([self._make_task(job) for job in claimed])
                elif until_idle:
                    return
                else:
                    self._wait()
        except Stopped:
            pass
        finally:
            self._endings.release(list(self._held.values()))
            self._held.clear()

    def _wait(self) -> None:
        for pause in self._claims.pauses():
            self._stop.pause(pause)
            if self._stop.asked:
                return

    def _work(self, tasks: Sequence[Task]) -> None:
        self._held.update({task.job.id: task for task in tasks})
        for task in tasks:
            if self._stop.asked:
                break
            if not task.lost:
                self._endings.store(self._call(task))
                self.ran += 1
            del self._held[task.job.id]

    def _call(self, task: Task) -> Ended:
        try:
            with self._stop.interrupts():
                return Ended(task, self._handlers[task.job.type](task))
        except BaseException as error:
            if (interrupt := self._stop.interrupt) is not None:  # even if the handler replaced the exception
                end_frames(error)  # the release must not join a transaction of the handler
                raise error if isinstance(error, interrupt) else interrupt() from error
            return Ended(task, error=error)
