import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool

from datastore import Datastore


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global store
    with Datastore.open(os.environ["DATASTORE_DATABASE"]) as store:
        yield


app = FastAPI(lifespan=lifespan)


def start(session: str) -> str:
    """One unit of work: a function that enters and leaves its transaction."""
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id=session)
        store.messages.append(conversation.id, role="user", content="Hello")
    return conversation.id


@app.post("/sync")
def sync_endpoint(session: str) -> str:
    return start(session)


@app.post("/async")
async def async_endpoint(session: str) -> str:
    return await run_in_threadpool(start, session)


async def transaction() -> AsyncIterator[Datastore]:
    with store.transaction():
        yield store


@app.post("/dependency")
async def with_dependency(session: str, store: Annotated[Datastore, Depends(transaction, scope="function")]) -> str:
    conversation = store.conversations.add(sanitization_version="1", session_id=session)
    store.messages.append(conversation.id, role="user", content="Hello")  # no await: the transaction is open
    return conversation.id
