"""The adapter of the conformance suite: an asynchronous store that synchronous tests call like a synchronous one.

An event loop runs on a thread. Each thread of a test has a task there, which makes the thread's calls one after the other:
so a thread's transaction is a task's transaction.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from datastore import AsyncDatastore, Datastore
from datastore.aio.statements import AsyncStatements
from datastore.aio.threads import Threads
from datastore.engines.postgresql.session import PostgreSQLSession
from datastore.engines.sqlite.session import SQLiteSession

#: The parts that are awaited; what else a test asks of a store, its engine say, is the synchronous store's.
PARTS = {
    "conversations",
    "branches",
    "vectors",
    "messages",
    "learnings",
    "jobs",
    "schedules",
    "uploads",
    "redactions",
    "audit",
    "holds",
    "retention",
    "policies",
    "receipts",
    "backups",
    "maintenance",
}

#: A call, and where its result goes.
Request = tuple[Callable[[], Any], Future[Any]]


class Loop:
    """An event loop on a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop")
        self._thread.start()

    def close(self) -> None:
        """Cancel every task, and end the thread."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Actor:
    """The task of one thread of a test."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: asyncio.Queue[Request] = asyncio.Queue()
        asyncio.run_coroutine_threadsafe(_serve(self._asked), loop)

    def ask(self, call: Callable[[], Any]) -> Any:
        """Make a call in the task, await what it returns, and give that."""
        answer: Future[Any] = Future()
        self._loop.call_soon_threadsafe(self._asked.put_nowait, (call, answer))
        return answer.result(120)


async def _serve(asked: asyncio.Queue[Request]) -> None:
    while True:
        call, answer = await asked.get()
        try:
            result = call()
            answer.set_result(await result if inspect.isawaitable(result) else result)
        except BaseException as error:
            answer.set_exception(error)
        del call, answer


class Driven:
    """A part of a store: its coroutines are awaited, and its asynchronous iterators are walked through."""

    def __init__(self, ask: Callable[[Callable[[], Any]], Any], part: Any) -> None:
        self._ask = ask
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return Driven(self._ask, found) if name in PARTS else found

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = self._ask(lambda: found(*arguments, **keywords))
            if isinstance(result, AsyncStatements):
                return Driven(self._ask, result)
            if hasattr(result, "__anext__"):
                return self._walk(result)
            if hasattr(result, "__aenter__"):
                return self._inside(result.__aenter__, result.__aexit__)
            if name == "acting_as":  # entered by the task, although it is not awaited
                return self._inside(result.__enter__, result.__exit__)
            return result

        return call

    def _walk(self, records: Any) -> Iterator[Any]:
        while (record := self._ask(lambda: anext(records, None))) is not None:
            yield record

    @contextmanager
    def _inside(self, enter: Callable[[], Any], leave: Callable[..., Any]) -> Iterator[Any]:
        entered = self._ask(enter)
        try:
            yield entered
        except BaseException as error:
            failed = error
            if not self._ask(lambda: leave(type(failed), failed, failed.__traceback__)):
                raise
        else:
            self._ask(lambda: leave(None, None, None))


#: Whether the calling context is inside a call of `Threads.read`.
_reading: ContextVar[bool] = ContextVar("reading", default=False)


def watch_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a write inside a call that the generated code takes for one that only reads."""
    read: Any = Threads.read

    async def watched(self: Threads, function: Any, /, *arguments: Any, **keywords: Any) -> Any:
        token = _reading.set(True)
        try:
            return await read(self, function, *arguments, **keywords)
        finally:
            _reading.reset(token)

    def refusing(write: Any) -> Any:
        def refuse(self: Any, sql: str, parameters: Any, /) -> Any:
            assert not _reading.get(), f"a call that only reads writes: {sql}"
            return write(self, sql, parameters)

        return refuse

    monkeypatch.setattr(Threads, "read", watched)
    for session in (SQLiteSession, PostgreSQLSession):
        for name in ("write", "change"):
            monkeypatch.setattr(session, name, refusing(getattr(session, name)))


class DrivenStore(Driven):
    """An asynchronous store on a synchronous one, in the form of a synchronous one."""

    def __init__(self, store: Datastore) -> None:
        self._loop = Loop()
        self._actors = threading.local()
        self._sync = store
        super().__init__(self._on_actor, self._on_actor(lambda: _open(store)))

    def _on_actor(self, call: Callable[[], Any]) -> Any:
        if not hasattr(self._actors, "actor"):
            self._actors.actor = Actor(self._loop.loop)
        return self._actors.actor.ask(call)

    def __getattr__(self, name: str) -> Any:
        if name in ("engine", "_parts", "_upkeep", "_eraser"):
            return getattr(self._sync, name)
        return super().__getattr__(name)

    def run(self, work: Callable[[], Any], **options: Any) -> Any:
        """The function of a test calls this store, so the asynchronous one's `run` cannot be used."""
        return self._sync.run(work, **options)

    def shut_down(self) -> None:
        """Close the asynchronous store, and end the loop; the synchronous store stays open."""
        self._on_actor(self._part.close)
        self._loop.close()


async def _open(store: Datastore) -> AsyncDatastore:
    return AsyncDatastore(store)
