import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from datastore import AsyncDatastore


class State(TypedDict):
    store: AsyncDatastore


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    async with await AsyncDatastore.open(os.environ["DATASTORE_DATABASE"]) as store:
        yield {"store": store}


async def start(request: Request) -> JSONResponse:
    store: AsyncDatastore = request.state.store
    async with store.transaction():
        conversation = await store.conversations.add(
            sanitization_version="1", session_id=request.query_params["session"]
        )
        await store.messages.append(conversation.id, role="user", content="Hello")
    return JSONResponse(conversation.id)


async def messages(request: Request) -> JSONResponse:
    store: AsyncDatastore = request.state.store
    found = store.messages.iterate(request.path_params["id"])
    return JSONResponse([message.content async for message in found])


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/conversations", start, methods=["POST"]),
        Route("/conversations/{id}/messages", messages),
    ],
)
