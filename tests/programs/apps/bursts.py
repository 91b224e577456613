"""Bursts of fresh threads, half of them unknown to `threading`: each adds a conversation and ends."""

from __future__ import annotations

import _thread
import os
import sys
import threading

from tests.programs.apps.work import Ledger, add_together, open_store

THREADS = 40


def main(bursts: int) -> None:
    ledger, store = Ledger(), open_store()
    store.conversations.count()
    for burst in range(bursts):
        done = threading.Semaphore(0)
        begin = threading.Event()

        def work(key: str, done: threading.Semaphore = done, begin: threading.Event = begin) -> None:
            try:
                begin.wait()
                ledger.attempt(key, lambda: add_together(store, key))
            finally:
                done.release()

        for i in range(THREADS):
            key = f"{burst}-{i}"
            if i % 2:
                _thread.start_new_thread(work, (key,))
            else:
                threading.Thread(target=work, args=(key,)).start()
        begin.set()
        for _ in range(THREADS):
            done.acquire()
        if burst == 1:
            ledger.facts["files_early"] = len(os.listdir("/proc/self/fd"))
    ledger.attempt("last", lambda: add_together(store, "last"))
    ledger.facts["files_late"] = len(os.listdir("/proc/self/fd"))
    store.close()
    ledger.facts["files_closed"] = len(os.listdir("/proc/self/fd"))
    ledger.report()


main(int(sys.argv[1]))
