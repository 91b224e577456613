"""Threads that end inside a transaction or a snapshot, in every way in which a thread can."""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable, Iterator

from tests.programs.apps.work import Ledger, add, add_together, open_store

ledger, store = Ledger(), open_store(timeout=5.0, pool_size=4)


def enters(key: str) -> None:
    block = store.transaction()
    block.__enter__()
    add(store, key)


def enters_a_nested_one(key: str) -> None:
    with store.transaction():
        add(store, key)
        enters(f"{key}-nested")
        sys.exit()


def keeps_a_generator(key: str) -> None:
    def inside() -> Iterator[None]:
        with store.transaction():
            add(store, key)
            yield

    kept = inside()
    next(kept)
    threading.current_thread().kept = kept  # type: ignore[attr-defined]


def enters_a_snapshot(key: str) -> None:
    store.snapshot().__enter__()
    store.conversations.count()


kept_outside: list[object] = []


def leaves_it_to_others(key: str) -> None:
    """The block outlives its thread: another thread has the last reference."""
    block = store.transaction()
    block.__enter__()
    add(store, key)
    kept_outside.append(block)


WAYS: list[Callable[[str], None]] = [
    enters,
    enters_a_nested_one,
    keeps_a_generator,
    enters_a_snapshot,
    leaves_it_to_others,
]


def run(way: Callable[[str], None], key: str, raw: bool) -> None:
    done = threading.Event()

    def work() -> None:
        try:
            way(key)
        finally:
            done.set()

    if raw:
        _thread.start_new_thread(work, ())
        done.wait()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def main(rounds: int) -> None:
    for number in range(rounds):
        for way in WAYS:
            for raw in (False, True):
                key = f"{number}-{way.__name__}-{raw}"
                run(way, f"ended-{key}", raw)
                # Whoever comes next writes: the lock is free, and the ended thread's rows are not there.
                ledger.attempt(key, lambda key=key: add_together(store, key))
    while kept_outside:
        ledger.attempt(f"exit-{len(kept_outside)}", lambda: kept_outside.pop().__exit__(None, None, None))  # type: ignore[attr-defined]
    ledger.facts["files"] = len(os.listdir("/proc/self/fd"))
    store.close()
    ledger.report()


main(int(sys.argv[1]))
