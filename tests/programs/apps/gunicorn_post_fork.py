"""gunicorn's settings: each worker opens a store of its own when it was forked, and closes it when it ends."""

from __future__ import annotations

from typing import Any

preload_app = True


def post_fork(server: Any, worker: Any) -> None:
    from tests.programs.apps import flask_app
    from tests.programs.apps.work import open_store

    flask_app.store = open_store(pool_size=4)


def worker_exit(server: Any, worker: Any) -> None:
    from tests.programs.apps import flask_app

    flask_app.store.close()
