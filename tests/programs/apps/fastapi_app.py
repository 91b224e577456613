"""FastAPI, with every way to have a transaction: in the endpoint, and in dependencies that yield."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.programs.apps.work import Refused, add, add_together, open_store

store: Datastore


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global store
    store = open_store()
    yield
    store.close()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(DatastoreError)
@app.exception_handler(Refused)
async def answer(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status_code=503)


@app.exception_handler(Exception)
async def answer_untyped(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": type(error).__name__}, status_code=500)


@app.get("/health")
async def health() -> str:
    return "ok"


# --- the transaction is in the endpoint ---


@app.post("/inside/sync")
def inside_sync(key: str, fail: bool = False) -> str:
    add_together(store, key, fail=fail)
    return key


@app.post("/inside/async")
async def inside_async(key: str, fail: bool = False) -> str:
    add_together(store, key, fail=fail)
    return key


@app.post("/inside/thread")
async def inside_thread(key: str, fail: bool = False) -> str:
    await run_in_threadpool(add_together, store, key, fail=fail)
    return key


@app.post("/inside/run")
def inside_run(key: str, fail: bool = False) -> str:
    store.run(lambda: add_together(store, key, fail=fail))
    return key


@app.post("/background")
def background(key: str, tasks: BackgroundTasks, fail: bool = False) -> str:
    add_together(store, key, fail=fail)
    tasks.add_task(store.conversations.count)
    return key


@app.post("/awaits")
async def awaits(key: str, fail: bool = False) -> str:
    """The task waits inside its transaction, and others of this thread go on meanwhile."""
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id=key)
        await asyncio.sleep(0.002)
        store.messages.append(conversation.id, role="user", content=key)
        if fail:
            raise Refused
    return key


@app.post("/awaits/thread")
async def awaits_thread(key: str, fail: bool = False) -> str:
    """A call on another thread, out of a transaction of this one."""
    with store.transaction():
        await run_in_threadpool(add, store, key)
        if fail:
            raise Refused
    return key


# --- the transaction is in a dependency ---


def sync_transaction() -> Iterator[Datastore]:
    with store.transaction():
        yield store


async def async_transaction() -> AsyncIterator[Datastore]:
    with store.transaction():
        yield store


def sync_snapshot() -> Iterator[Datastore]:
    with store.snapshot():
        yield store


Sync = Annotated[Datastore, Depends(sync_transaction, scope="function")]
Async = Annotated[Datastore, Depends(async_transaction, scope="function")]


def write(used: Datastore, key: str, fail: bool) -> str:
    add(used, key)
    if fail:
        raise Refused
    return key


@app.post("/dependency/sync-sync")
def sync_sync(used: Sync, key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/sync-async")
async def sync_async(used: Sync, key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/async-sync")
def async_sync(used: Async, key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/async-async")
async def async_async(used: Async, key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/late-sync-sync")
def late_sync_sync(used: Annotated[Datastore, Depends(sync_transaction)], key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/late-sync-async")
async def late_sync_async(used: Annotated[Datastore, Depends(sync_transaction)], key: str, fail: bool = False) -> str:
    return write(used, key, fail)


@app.post("/dependency/snapshot")
def in_snapshot(used: Annotated[Datastore, Depends(sync_snapshot, scope="function")], key: str) -> str:
    return str(used.conversations.count())


@app.post("/dependency/unused")
def unused(used: Sync, key: str) -> str:
    """The transaction is opened for an endpoint that does not use it."""
    return key


# --- when the dependency ends: before the answer is sent, or after it ---


async def refusing() -> AsyncIterator[Datastore]:
    with store.transaction():
        yield store
        raise Refused


@app.post("/ends/before")
async def ends_before(used: Annotated[Datastore, Depends(refusing, scope="function")], key: str) -> str:
    return write(used, key, False)


@app.post("/ends/after")
async def ends_after(used: Annotated[Datastore, Depends(refusing)], key: str) -> str:
    return write(used, key, False)


# --- a transaction in a generator that the server goes through, step by step, on its threads ---


@app.post("/stream/sync")
def stream_sync(key: str) -> StreamingResponse:
    def parts() -> Iterator[str]:
        with store.transaction():
            add(store, f"{key}-1")
            yield "1"
            add(store, f"{key}-2")
            yield "2"

    return StreamingResponse(parts())


@app.post("/stream/async")
async def stream_async(key: str) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        with store.transaction():
            add(store, key)
            yield "1"

    return StreamingResponse(parts())
