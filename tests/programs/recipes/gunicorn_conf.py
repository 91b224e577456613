from typing import Any

import flask_app

preload_app = True


def post_fork(server: Any, worker: Any) -> None:
    flask_app.open_store()


def worker_exit(server: Any, worker: Any) -> None:
    flask_app.store.close()
