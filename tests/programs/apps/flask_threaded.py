"""Flask's own server: a thread for each connection."""

from __future__ import annotations

import signal
import sys

from werkzeug.serving import make_server

from tests.programs.apps.flask_app import app, store

server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)


def stop(number: int, frame: object) -> None:
    raise SystemExit


signal.signal(signal.SIGTERM, stop)
try:
    server.serve_forever()
finally:
    server.server_close()
    store.close()
