"""A store that is handed to another process as an argument."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.programs.apps.work import Ledger, open_store


def count(store: Any) -> int:
    return int(store.conversations.count())


def main() -> None:
    ledger, store = Ledger(), open_store()

    def by_pool() -> None:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(count, store).result(timeout=50)

    def by_process() -> None:
        multiprocessing.get_context("spawn").Process(target=count, args=(store,)).start()

    def by_pickle() -> None:
        pickle.dumps(store)

    def by_copy() -> None:
        copy.deepcopy(store)

    for way in (by_pool, by_process, by_pickle, by_copy):
        ledger.attempt(way.__name__, way)
    store.close()
    ledger.report()


if __name__ == "__main__":
    main()
