"""The store is closed while other threads work on it."""

from __future__ import annotations

import _thread
import random
import sys
import threading
import time

from datastore.errors import ClosedError
from tests.programs.apps.work import Ledger, add, add_together, open_store

THREADS = 8


def main(rounds: int) -> None:
    ledger, chance = Ledger(), random.Random(7)
    for number in range(rounds):
        store = open_store()
        ends, working = threading.Semaphore(0), threading.Semaphore(0)

        def work(name: str, store=store, ends=ends, working=working) -> None:  # type: ignore[no-untyped-def]
            i = 0
            try:
                while True:
                    key = f"{name}-{i}"
                    calls = [
                        lambda key=key: add_together(store, key),
                        lambda: store.conversations.list(),
                        lambda key=key: slowly(store, key),
                        lambda: read(store),
                    ]
                    if not ledger.attempt(key if i % 2 == 0 else f"read-{key}", calls[i % 4]):
                        return  # the first error has to be ClosedError, and ends it
                    i += 1
                    if i == 2:
                        working.release()
            finally:
                ends.release()

        for i in range(THREADS):
            if i % 2:
                _thread.start_new_thread(work, (f"{number}-{i}",))
            else:
                threading.Thread(target=work, args=(f"{number}-{i}",)).start()
        for _ in range(THREADS):
            working.acquire()
        time.sleep(chance.random() * 0.01)
        store.close()
        for _ in range(THREADS):
            assert ends.acquire(timeout=30), "a thread hangs"
        ledger.attempt(f"closed-{number}", store.conversations.count)
        store.close()  # once more does nothing
    ledger.acknowledged = [key for key in ledger.acknowledged if not key.startswith("read-")]
    ledger.report()


def slowly(store, key: str) -> None:  # type: ignore[no-untyped-def]
    with store.transaction():
        add(store, key)
        time.sleep(0.001)
        store.conversations.count()


def read(store) -> None:  # type: ignore[no-untyped-def]
    with store.snapshot():
        store.conversations.count()
        time.sleep(0.001)
        store.conversations.list()


assert ClosedError
main(int(sys.argv[1]))
