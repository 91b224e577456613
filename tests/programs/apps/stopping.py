"""A worker that stops at SIGTERM in the way that is recommended: the handler sets a flag."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from tests.programs.apps.work import Ledger, add_together, open_store

stopping = False


def stop(number: int, frame: Any) -> None:
    global stopping
    stopping = True


signal.signal(signal.SIGTERM, stop)
ledger = Ledger()
with open_store() as store:
    print("ready", flush=True)
    i = 0
    while not stopping:
        ledger.attempt(f"{i}", partial(add_together, store, f"{i}"))
        i += 1
ledger.report()
