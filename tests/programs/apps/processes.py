"""Child processes by fork, forkserver and spawn: of a program that has the store open, and that hands over its path."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from functools import partial
from typing import Any

from tests.programs.apps.work import Ledger, add, add_together, open_store

store: Any = None


def child_with_its_own(name: str, times: int) -> dict[str, Any]:
    """What every child may do: open the database by itself."""
    ledger = Ledger()

    def work() -> None:
        with open_store(pool_size=2) as own:
            for i in range(times):
                ledger.attempt(f"{name}-{i}", lambda i=i: add_together(own, f"{name}-{i}"))

    if not ledger.attempt(f"{name}-opens", work):
        return vars_of(ledger)
    ledger.acknowledged.remove(f"{name}-opens")
    return vars_of(ledger)


def child_with_the_parents(name: str, times: int) -> dict[str, Any]:
    """The store of the parent, as a fork hands it over."""
    ledger = Ledger()
    for i in range(times):
        ledger.attempt(f"{name}-{i}", lambda i=i: add_together(store, f"{name}-{i}"))
    ledger.attempt(f"{name}-reads", lambda: store.conversations.count())
    if f"{name}-reads" in ledger.acknowledged:
        ledger.acknowledged.remove(f"{name}-reads")
    return vars_of(ledger)


def vars_of(ledger: Ledger) -> dict[str, Any]:
    return {
        "acknowledged": ledger.acknowledged,
        "refused": ledger.refused,
        "untyped": ledger.untyped,
        "facts": ledger.facts,
    }


def take(ledger: Ledger, report: dict[str, Any]) -> None:
    ledger.acknowledged += report["acknowledged"]
    ledger.refused |= report["refused"]
    ledger.untyped += report["untyped"]
    ledger.facts |= report["facts"]


def children(method: str, work: Any, ledger: Ledger, number: int, times: int) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(number) as pool:
        waiting = [pool.apply_async(work, (f"child{i}", times)) for i in range(number)]
        for report in waiting:
            take(ledger, report.get(timeout=50))


def main(method: str, situation: str, number: int, times: int) -> None:
    global store
    ledger = Ledger()
    if situation == "closed":  # the parent closed its store before
        with open_store() as first:
            ledger.attempt("parent", lambda: add_together(first, "parent"))
        children(method, child_with_its_own, ledger, number, times)
        ledger.report()
        return
    store = open_store()
    ledger.attempt("parent", lambda: add_together(store, "parent"))
    work = child_with_its_own if method != "fork" or situation == "opens" else child_with_the_parents
    if situation == "inside":
        with store.transaction():
            add(store, "inside")
            children(method, work, ledger, number, times)
        ledger.acknowledged.append("inside")
    elif situation == "snapshot":
        with store.snapshot():
            before = store.conversations.count()
            children(method, work, ledger, number, times)
            assert store.conversations.count() == before
    elif situation == "thread":
        # Another thread has the store open, and goes on to use it.
        stop, ready = threading.Event(), threading.Event()

        def go_on() -> None:
            i = 0
            while not stop.is_set():
                ledger.attempt(f"thread-{i}", partial(add_together, store, f"thread-{i}"))
                i += 1
                ready.set()
                stop.wait(0.002)

        thread = threading.Thread(target=go_on)
        thread.start()
        ready.wait()
        children(method, work, ledger, number, times)
        stop.set()
        thread.join()
    else:
        children(method, work, ledger, number, times)
    # The parent goes on unharmed.
    for i in range(5):
        ledger.attempt(f"parent-{i}", lambda i=i: add_together(store, f"parent-{i}"))
    store.close()
    ledger.report()


if __name__ == "__main__":
    assert os.environ["DATASTORE_DATABASE"]
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
