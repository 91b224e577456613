"""Thread pools that grow and shrink: each round's threads end, and the next round's are new."""

from __future__ import annotations

import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.programs.apps.work import Ledger, add_together, open_store


def main(rounds: int) -> None:
    ledger, store = Ledger(), open_store()
    chance = random.Random(5)
    steady = ThreadPoolExecutor(2)  # threads that stay, while those of the other pool come and go
    for number in range(rounds):
        with ThreadPoolExecutor(chance.choice([1, 2, 4, 8, 16])) as pool:
            for i in range(24):
                key, fail = f"{number}-{i}", chance.random() < 0.2
                chosen = steady if chance.random() < 0.3 else pool
                chosen.submit(ledger.attempt, key, lambda key=key, fail=fail: add_together(store, key, fail=fail))
    steady.shutdown()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    store.conversations.count()
    ledger.facts["files"] = len(os.listdir("/proc/self/fd"))
    store.close()
    ledger.report()


main(int(sys.argv[1]))
