"""Starlette: endpoints, and a transaction in middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.programs.apps.work import Refused, add, add_together, open_store

store: Datastore


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    global store
    with open_store() as store:
        yield


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def asked(request: Request) -> tuple[str, bool]:
    return request.query_params["key"], "fail" in request.query_params


def inside_sync(request: Request) -> Response:
    key, fail = asked(request)
    add_together(store, key, fail=fail)
    return PlainTextResponse(key)


async def inside_async(request: Request) -> Response:
    return inside_sync(request)


def write(request: Request) -> Response:
    """The transaction is the middleware's."""
    key, fail = asked(request)
    add(store, key)
    if fail:
        raise Refused
    return PlainTextResponse(key)


async def write_async(request: Request) -> Response:
    return write(request)


class InTransaction:
    """A transaction around the application: in the same task, which waits meanwhile."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/pure"):
            await self._app(scope, receive, send)
            return
        with store.transaction():
            await self._app(scope, receive, send)


class InTransactionOfAnotherTask(BaseHTTPMiddleware):
    """The same with Starlette's class, which runs the endpoint in a task of its own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if not request.url.path.startswith("/class"):
            return await call_next(request)
        with store.transaction():
            return await call_next(request)


async def answer(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status_code=503)


async def answer_untyped(request: Request, error: Exception) -> Response:
    """What middleware raises comes here, because it is outside of the handlers above; Starlette raises it again for the log."""
    return JSONResponse({"error": type(error).__name__}, status_code=500)


routes = [
    Route("/health", health),
    Route("/inside/sync", inside_sync, methods=["POST"]),
    Route("/inside/async", inside_async, methods=["POST"]),
    Route("/class/sync", write, methods=["POST"]),
    Route("/class/async", write_async, methods=["POST"]),
    Route("/pure/sync", write, methods=["POST"]),
    Route("/pure/async", write_async, methods=["POST"]),
]
app = Starlette(
    routes=routes,
    lifespan=lifespan,
    middleware=[Middleware(InTransactionOfAnotherTask), Middleware(InTransaction)],
    exception_handlers={DatastoreError: answer, Refused: answer, Exception: answer_untyped},
)
