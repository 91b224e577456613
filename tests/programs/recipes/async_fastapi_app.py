import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from datastore import AsyncDatastore, BusyError, NotFoundError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global store
    async with await AsyncDatastore.open(os.environ["DATASTORE_DATABASE"]) as store:
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(NotFoundError)
async def not_found(request: Request, error: NotFoundError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=404)


@app.exception_handler(BusyError)
async def busy(request: Request, error: BusyError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=503, headers={"Retry-After": "1"})


@app.post("/conversations")
async def start(session: str) -> str:
    """One unit of work: all of it is stored, or nothing."""
    async with store.transaction():
        conversation = await store.conversations.add(sanitization_version="1", session_id=session)
        await store.messages.append(conversation.id, role="user", content="Hello")
    return conversation.id


@app.get("/conversations/{id}/messages")
async def messages(id: str) -> list[str]:
    return [message.content async for message in store.messages.iterate(id)]


async def transaction() -> AsyncIterator[AsyncDatastore]:
    """A transaction for a whole request: COMMIT before the answer is sent, ROLLBACK if the endpoint raises."""
    async with store.transaction():
        yield store


Transaction = Annotated[AsyncDatastore, Depends(transaction, scope="function")]


@app.post("/dependency")
async def with_dependency(session: str, store: Transaction) -> str:
    conversation = await store.conversations.add(sanitization_version="1", session_id=session)
    await store.messages.append(conversation.id, role="user", content="Hello")
    return conversation.id


@app.post("/sync")
def sync_endpoint(session: str) -> str:
    """FastAPI runs a plain function on a thread, which uses the synchronous store."""
    sync = store.sync
    with sync.transaction():
        conversation = sync.conversations.add(sanitization_version="1", session_id=session)
        sync.messages.append(conversation.id, role="user", content="Hello")
    return conversation.id
