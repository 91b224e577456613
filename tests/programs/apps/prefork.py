"""A task server like Celery: the parent opens the store and uses it, forks its workers, and goes on; they use it too."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from typing import Any

from tests.programs.apps.work import Ledger, add_together, open_store


def child(store: Any, name: str, tasks: int, reopen: bool) -> Ledger:
    ledger = Ledger()
    for i in range(tasks):
        key = f"{name}-{i}"
        ledger.attempt(key, partial(add_together, store, key, fail=i % 5 == 4))
        if reopen and ledger.refused.get(key) == "ForkedError":
            store = open_store(pool_size=2)  # what the error says
            ledger.attempt(key, partial(add_together, store, key))
            ledger.refused.pop(key, None)
    return ledger


def main(children: int, tasks: int, reopen: bool, replaced: bool) -> None:
    ledger, store = Ledger(), open_store()
    ledger.attempt("parent", lambda: add_together(store, "parent"))
    pipes: dict[int, int] = {}

    def fork(name: str) -> None:
        reads, writes = os.pipe()
        if pid := os.fork():
            os.close(writes)
            pipes[pid] = reads
            return
        # The child: as Celery's, it leaves without the parent's cleaning up.
        code = 1
        try:
            signal.alarm(50)
            done = child(store, name, tasks, reopen)
            with os.fdopen(writes, "w") as pipe:
                json.dump([done.acknowledged, done.refused, done.untyped], pipe)
            code = 0
        finally:
            os._exit(code)

    for i in range(children):
        fork(f"worker{i}")
    for i in range(tasks):
        ledger.attempt(f"parent-{i}", lambda i=i: add_together(store, f"parent-{i}"))
    if replaced:  # as when a worker has done its share: a new one is forked from the parent that has gone on
        for i in range(children):
            fork(f"successor{i}")
    for pid, reads in pipes.items():
        with os.fdopen(reads) as pipe:
            acknowledged, refused, untyped = json.load(pipe)
        assert os.waitpid(pid, 0)[1] == 0
        ledger.acknowledged += acknowledged
        ledger.refused |= refused
        ledger.untyped += untyped
    ledger.attempt("parent-last", lambda: add_together(store, "parent-last"))
    store.close()
    ledger.report()


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "reopen", "replaced" in sys.argv[4:])
