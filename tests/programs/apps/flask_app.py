"""Flask: the transaction in a view, and one for each request that ends when the request does."""

from __future__ import annotations

import os
from contextlib import ExitStack

from flask import Flask, Response, g, jsonify, request, stream_with_context

from datastore import Datastore
from datastore.errors import DatastoreError
from tests.programs.apps.work import Refused, add, add_together, open_store

app = Flask(__name__)
#: Opened here, in whatever process loads this module; under gunicorn's preload that is the parent.
store: Datastore = open_store()
if "USED_BEFORE_FORK" in os.environ:
    add_together(store, "before-the-fork")


@app.errorhandler(DatastoreError)
@app.errorhandler(Refused)
def answer(error: Exception) -> tuple[Response, int]:
    return jsonify(error=type(error).__name__, message=str(error)), 503


@app.errorhandler(Exception)
def answer_untyped(error: Exception) -> tuple[Response, int]:
    return jsonify(error=type(error).__name__), 500


@app.get("/health")
def health() -> str:
    return "ok"


def asked() -> tuple[str, bool]:
    return request.args["key"], "fail" in request.args


@app.post("/inside")
def inside() -> str:
    key, fail = asked()
    add_together(store, key, fail=fail)
    return key


@app.before_request
def begin() -> None:
    if request.path.startswith("/request"):
        stack = ExitStack()
        stack.enter_context(store.transaction())
        g.transaction = stack


@app.teardown_request
def end(error: BaseException | None) -> None:
    """Flask gives the error that no handler answered; what a handler answered is noted by the view itself."""
    if "transaction" in g:
        g.pop("transaction").__exit__(type(error) if error else None, error, None)


@app.post("/request")
def in_request() -> str:
    key, fail = asked()
    add(store, key)
    if fail:
        g.pop("transaction").__exit__(Refused, Refused(), None)
        raise Refused
    return key


@app.post("/stream")
def stream() -> Response:
    """A generator that the server goes through in the request's thread, after the view."""
    key, _ = asked()

    def parts():  # type: ignore[no-untyped-def]
        with store.transaction():
            add(store, key)
            yield "1"

    return Response(stream_with_context(parts()))
