"""Threads that append to one store at full durability: each with its own commit, and through a group commit.

    python perf/threads.py [--threads 8] [--seconds 2] [--rounds 5]

The library has no group commit. This is the design that was tried: callers hand their work to one thread, which takes what
has gathered, runs each piece behind a savepoint of its own, commits once, and then answers them all. The kinds take turns;
rates are medians of the rounds. Writes perf/results/threads.json. What was decided by it:
docs/decisions/0013-no-group-commit.md.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from measuring import finish, folder, origin
from peers import CONTENT

from datastore import Datastore

GOAL = 3.0
#: Pieces of work that one commit takes at most.
GROUP = 64


class GroupCommit:
    """One thread that commits for all."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._waiting: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __call__(self, work: Callable[[], Any]) -> Any:
        """Run *work* in a transaction that others share, and give back what it gave; after the commit."""
        future: Future[Any] = Future()
        self._waiting.put((work, future))
        return future.result()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            while len(group) < GROUP and not self._waiting.empty():
                if (more := self._waiting.get()) is None:
                    self._waiting.put(None)
                    break
                group.append(more)
            answers: list[Callable[[], None]] = []
            with self._store.transaction():
                for work, future in group:
                    try:
                        with self._store.transaction():
                            found = work()
                        answers.append(lambda future=future, found=found: future.set_result(found))
                    except Exception as error:
                        answers.append(lambda future=future, error=error: future.set_exception(error))
            for answer in answers:
                answer()

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()


def appends(path: Path, durability: Any, count: int, seconds: float, *, grouped: bool) -> float:
    """Messages that *count* threads append in a second, each to a conversation of its own."""
    done = [0] * count
    with Datastore.open(path, migrate=True, durability=durability) as store:
        ids = [store.conversations.add(sanitization_version="1").id for _ in range(count)]
        group = GroupCommit(store) if grouped else None
        start = threading.Barrier(count + 1)

        def one(number: int) -> None:
            def work() -> Any:
                return store.messages.append(ids[number], role="user", content=CONTENT)

            start.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                group(work) if group is not None else work()
                done[number] += 1

        team = [threading.Thread(target=one, args=(number,)) for number in range(count)]
        for thread in team:
            thread.start()
        start.wait()
        begun = time.perf_counter()
        for thread in team:
            thread.join()
        took = time.perf_counter() - begun
        if group is not None:
            group.close()
        assert store.messages.count() == sum(done)
    return sum(done) / took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count = arguments.threads
    kinds = {
        "1 thread": (1, False),
        f"{count} threads": (count, False),
        "1 thread, group commit": (1, True),
        f"{count} threads, group commit": (count, True),
    }
    lines: dict[str, Any] = {}
    for durability in ("full", "relaxed"):
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(arguments.rounds):
            for kind in sorted(kinds, reverse=bool(number % 2)):
                with folder() as place:
                    threads, grouped = kinds[kind]
                    rates[kind].append(appends(place / "t.db", durability, threads, arguments.seconds, grouped=grouped))
        base = statistics.median(rates["1 thread"])
        for kind, some in rates.items():
            rate = statistics.median(some)
            lines[f"{kind}, {durability}"] = {"appends_per_second": round(rate), "ratio": round(rate / base, 3)}
            print(f"{kind}, {durability}: {rate:,.0f} appends/s, {rate / base:.2f} x", flush=True)
    ratio = lines[f"{count} threads, full"]["ratio"]
    missed = [] if ratio >= GOAL else [f"{count} threads at FULL: {ratio:.2f} x one thread, {GOAL:g} is asked"]
    result = {**origin("python perf/threads.py"), "goal": GOAL, "missed": missed, "lines": lines}
    return finish("threads", result, "lines")


if __name__ == "__main__":
    raise SystemExit(main())
