"""A signal handler that uses the store, at whatever instant of the main thread's calls the signal comes."""

from __future__ import annotations

import random
import signal
import sys
from typing import Any

from datastore.errors import DatastoreError
from tests.programs.apps.work import Ledger, Refused, add, add_together, open_store

ledger, store = Ledger(), open_store(timeout=5.0)
#: The block that the main thread is in: its key, or "".
block = ""
#: The handler's rows that were acknowledged inside a block.
inside: dict[str, list[str]] = {}
count = 0
busy = False


def handler(number: int, frame: Any) -> None:
    global count, busy
    if busy:
        return
    busy = True
    try:
        key = f"signal-{count}"
        count += 1
        before = block
        try:
            add_together(store, key)
        except DatastoreError as error:
            ledger.refused[key] = type(error).__name__
        except Exception as error:
            ledger.untyped.append(f"in the handler: {type(error).__name__}: {error}")
        else:
            if before:
                inside.setdefault(before, []).append(key)
            else:
                ledger.acknowledged.append(key)
    finally:
        busy = False


def main(calls: int) -> None:
    global block
    chance = random.Random(3)
    signal.signal(signal.SIGALRM, handler)
    for i in range(calls):
        key = f"main-{i}"
        fail = i % 7 == 6
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00005, 0.002))
        if i % 3 == 0:
            # A single call, which is a transaction of its own.
            try:
                conversation = store.conversations.add(sanitization_version="1", session_id=key)
                store.messages.append(conversation.id, role="user", content=key)
                ledger.acknowledged.append(key)
            except Exception as error:
                ledger.untyped.append(f"main: {type(error).__name__}: {error}")
            continue
        block = key
        done = False
        try:
            with store.transaction():
                add(store, key)
                if fail:
                    raise Refused
            done = True
        except Refused:
            pass
        except Exception as error:
            ledger.untyped.append(f"main: {type(error).__name__}: {error}")
        block = ""
        if done:
            ledger.acknowledged.append(key)
            ledger.acknowledged += inside.pop(key, [])
        else:
            ledger.refused[key] = "Refused"
    signal.setitimer(signal.ITIMER_REAL, 0)
    # What the handler was told inside a block that was rolled back: the test lets it be stored or not.
    ledger.facts["open"] = [key for keys in inside.values() for key in keys]
    ledger.facts["signals"] = count
    store.close()
    ledger.report()


main(int(sys.argv[1]))
