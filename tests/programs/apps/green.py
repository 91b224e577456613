"""gevent: a program whose threads are greenlets; with its threads left alone; and gevent that is imported only."""

from __future__ import annotations

import sys

from gevent import monkey

kind = sys.argv[1]
if kind == "patched":
    monkey.patch_all()
elif kind == "without-threads":
    monkey.patch_all(thread=False)

import threading  # noqa: E402

from tests.programs.apps.work import Ledger, add_together, open_store  # noqa: E402


def main() -> None:
    ledger = Ledger()
    opened: list = []  # type: ignore[type-arg]
    if ledger.attempt("open", lambda: opened.append(open_store())):
        ledger.acknowledged.remove("open")
        (store,) = opened
        threads = [
            threading.Thread(
                target=ledger.attempt, args=(f"{i}", lambda i=i: add_together(store, f"{i}", fail=i % 5 == 4))
            )
            for i in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
    ledger.report()


main()
