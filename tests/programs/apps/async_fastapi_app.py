"""FastAPI with an asynchronous store, with every way to have a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

from datastore import AsyncDatastore
from datastore.errors import DatastoreError
from tests.programs.apps.work import Refused, add_together, database

store: AsyncDatastore


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global store
    async with await AsyncDatastore.open(database(), durability="relaxed", timeout=20.0, pool_size=8) as store:
        yield


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


async def add(used: AsyncDatastore, key: str) -> None:
    conversation = await used.conversations.add(sanitization_version="1", session_id=key)
    await used.messages.append(conversation.id, role="user", content=key)


async def write(used: AsyncDatastore, key: str, fail: bool) -> str:
    await add(used, key)
    if fail:
        raise Refused
    return key


# --- the transaction is in the endpoint ---


@app.post("/inside/async")
async def inside_async(key: str, fail: bool = False) -> str:
    async with store.transaction():
        return await write(store, key, fail)


@app.post("/inside/sync")
def inside_sync(key: str, fail: bool = False) -> str:
    add_together(store.sync, key, fail=fail)
    return key


@app.post("/inside/run")
async def inside_run(key: str, fail: bool = False) -> str:
    await store.run(lambda sync: add_together(sync, key, fail=fail))
    return key


@app.post("/awaits")
async def awaits(key: str, fail: bool = False) -> str:
    """The task waits inside its transaction, and others go on meanwhile."""
    async with store.transaction():
        await asyncio.sleep(0.002)
        return await write(store, key, fail)


@app.post("/background")
async def background(key: str, tasks: BackgroundTasks, fail: bool = False) -> str:
    async with store.transaction():
        await write(store, key, fail)
    tasks.add_task(store.conversations.count)
    return key


@app.post("/reads")
async def reads(key: str, fail: bool = False) -> str:
    async with store.transaction():
        await write(store, key, fail)
    async with store.snapshot():
        assert await store.conversations.count(session_id=key) == 1
    return key


# --- the transaction is in a dependency ---


async def transaction() -> AsyncIterator[AsyncDatastore]:
    async with store.transaction():
        yield store


Inside = Annotated[AsyncDatastore, Depends(transaction, scope="function")]


@app.post("/dependency/async")
async def dependency_async(used: Inside, key: str, fail: bool = False) -> str:
    return await write(used, key, fail)


@app.post("/dependency/late")
async def dependency_late(used: Annotated[AsyncDatastore, Depends(transaction)], key: str, fail: bool = False) -> str:
    return await write(used, key, fail)


# --- what cannot be right: the transaction is used by another task or thread ---


@app.post("/dependency/sync")
def dependency_sync(used: Inside, key: str, fail: bool = False) -> str:
    """The endpoint's thread is not the dependency's task."""
    add_together(used.sync, key, fail=fail)
    return key


@app.post("/gather")
async def gather(key: str, fail: bool = False) -> str:
    async with store.transaction():
        await asyncio.gather(write(store, key, fail), write(store, f"{key}-2", fail))
    return key


class Around(BaseHTTPMiddleware):
    """A transaction around the endpoint, which Starlette runs in another task."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if not request.url.path.startswith("/middleware"):
            return await call_next(request)
        async with store.transaction():
            return await call_next(request)


app.add_middleware(Around)


@app.post("/middleware")
async def in_middleware(key: str, fail: bool = False) -> str:
    return await write(store, key, fail)


# --- a transaction in a generator that the server goes through ---


@app.post("/stream")
async def stream(key: str) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        async with store.transaction():
            await add(store, key)
            yield "1"

    return StreamingResponse(parts())
