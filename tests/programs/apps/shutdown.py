"""Interpreter shutdown with a store that is open, in every state in which a program may leave it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.programs.apps.work import add, add_together, open_store

#: A global, as in most programs; nothing closes it.
store = open_store(timeout=10.0)


def acknowledge(key: str) -> None:
    """Tell the test at once, by a system call: what comes after this may be cut off."""
    os.write(1, f"{key}\n".encode())


def simple() -> None:
    add_together(store, "main")
    acknowledge("main")


def unfinished_transaction() -> None:
    simple()
    global kept
    kept = store.transaction()
    kept.__enter__()
    add(store, "unfinished")


def unfinished_snapshot() -> None:
    simple()
    global kept
    kept = store.snapshot()
    kept.__enter__()
    store.conversations.count()


def unfinished_generator() -> None:
    simple()

    def inside() -> Iterator[None]:
        with store.transaction():
            add(store, "unfinished")
            yield

    global kept
    kept = inside()
    next(kept)


def exit_inside() -> None:
    simple()
    with store.transaction():
        add(store, "unfinished")
        sys.exit(0)


def os_exit_inside() -> None:
    simple()
    with store.transaction():
        add(store, "unfinished")
        os._exit(0)


def daemons(number: int = 6) -> None:
    """Daemon threads are at work, also inside transactions, when the interpreter goes."""
    begun = threading.Semaphore(0)

    def work(name: int) -> None:
        i = 0
        while True:
            key = f"daemon{name}-{i}"
            add_together(store, key)
            acknowledge(key)
            if i % 3 == 0:
                with store.snapshot():
                    store.conversations.list()
            i += 1
            begun.release()

    for name in range(number):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    for _ in range(2 * number):
        begun.acquire()


def daemon_inside() -> None:
    """One daemon thread is inside a transaction for ever."""
    simple()
    inside = threading.Event()

    def work() -> None:
        with store.transaction():
            add(store, "unfinished")
            inside.set()
            time.sleep(3600)

    threading.Thread(target=work, daemon=True).start()
    inside.wait()


def atexit_uses() -> None:
    def last() -> None:
        add_together(store, "atexit")
        acknowledge("atexit")

    atexit.register(last)
    simple()


def atexit_closes() -> None:
    """The program closes its store at exit, while daemon threads work: ClosedError in them."""
    atexit.register(store.close)
    from datastore.errors import ClosedError

    begun = threading.Semaphore(0)

    def work(name: int) -> None:
        i = 0
        try:
            while True:
                key = f"daemon{name}-{i}"
                add_together(store, key)
                acknowledge(key)
                i += 1
                begun.release()
        except ClosedError:
            pass

    for name in range(4):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    for _ in range(8):
        begun.acquire()


def atexit_closes_inside() -> None:
    """The program leaves a transaction open, and its store is closed at exit."""
    from datastore.errors import TransactionError

    def close() -> None:
        try:
            store.close()
        except TransactionError:
            acknowledge("refused-TransactionError")

    atexit.register(close)
    unfinished_transaction()


def pool_at_exit() -> None:
    """A pool that is not shut down: Python waits for what was submitted."""
    pool = ThreadPoolExecutor(4)
    for i in range(40):
        pool.submit(lambda i=i: (add_together(store, f"pool-{i}"), acknowledge(f"pool-{i}")))


def threads_outlive_main() -> None:
    """Threads that are no daemons go on after the last line of the program."""

    def work(name: int) -> None:
        for i in range(20):
            add_together(store, f"thread{name}-{i}")
            acknowledge(f"thread{name}-{i}")

    for name in range(3):
        threading.Thread(target=work, args=(name,)).start()


class Last:
    """An object whose finalizer uses the store while the interpreter goes."""

    def __init__(self, used: Any) -> None:
        self.used = used

    def __del__(self) -> None:
        try:
            add_together(self.used, "finalizer")
        except Exception as error:
            acknowledge(f"refused-{type(error).__name__}")
        else:
            acknowledge("finalizer")


def finalizer() -> None:
    simple()
    global kept
    kept = Last(store)


def unhandled() -> None:
    """An error that nobody handles, out of a transaction."""
    simple()
    with store.transaction():
        add(store, "unfinished")
        raise SystemExit(3)


kept: Any = None
scenario: Callable[[], None] = globals()[sys.argv[1]]
scenario()
