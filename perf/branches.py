"""What branches cost: a fork, a page of a branch five forks deep, and a linear conversation next to another commit.

    python perf/branches.py                      writes perf/results/branches.json
    python perf/branches.py --against FOLDER     also compares with the checkout of another commit in FOLDER

The conversations have 3,000 messages. "deep" has five forks, 500 messages apart, so that a page seldom crosses one;
"crossed" has its five forks among the last 40 messages, so that its last page crosses them all. Both are read on the
engine's own terms: the same call, the same number of messages, in turn with a linear conversation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import MISSED, Spread, bar, finish, folder, interleaved, origin

from datastore import Datastore, NewMessage

MESSAGES = 3000
FORKS = 5
PAGE = 100
COPIES = 20

#: Runs in a process of its own per commit: fills a store, then takes the processor time of what each line of its input names.
WORKER = """
import json, sys, time
from datastore import Datastore, NewMessage
store = Datastore.open(sys.argv[1], migrate=True, durability="relaxed")
text = "The quick brown fox jumps over the lazy dog while seven wizards mix the potions. " * 4
ids = [store.conversations.add(sanitization_version="1").id for _ in range(20)]
for id in ids:
    store.messages.append_many(id, [NewMessage(role="user", content=text) for _ in range(1000)])
calls = {
    "append": lambda n: store.messages.append(ids[n % 20], role="user", content=text),
    "page": lambda n: store.messages.list(ids[n % 20], max_rows=100),
    "last page": lambda n: store.messages.list(ids[n % 20], last=True, max_rows=50),
    "latest": lambda n: store.messages.latest(ids[n % 20], max_tokens=4000),
    "by time": lambda n: store.messages.list_by_time(ids[n % 20], max_rows=50),
}
print("ready", flush=True)
for line in sys.stdin:
    name, count = json.loads(line)
    begun = time.process_time()
    for n in range(count):
        calls[name](n)
    print((time.process_time() - begun) / count * 1e6, flush=True)
"""
LINEAR = {
    "append": (60, 1.03),
    "page": (40, 1.05),
    "last page": (60, 1.05),
    "latest": (60, 1.05),
    "by time": (60, 1.05),
}


def fill(store: Datastore, forks: list[int]) -> list[str]:
    """Conversations of so many messages on their active branch, forked at these positions."""
    ids = []
    for _ in range(COPIES):
        id = store.conversations.add(sanitization_version="1").id
        store.messages.append_many(id, messages(MESSAGES))
        for position in forks:
            store.branches.fork(id, position=position)
            store.messages.append_many(id, messages(MESSAGES - position))
        ids.append(id)
    return ids


def messages(count: int) -> list[NewMessage]:
    return [
        NewMessage(role="user", content=f"message {number} " + "and some words more " * 12) for number in range(count)
    ]


def pages(place: Path, rounds: int) -> dict[str, dict[str, Spread]]:
    """A first, a middle and a last page of a linear conversation and of one that is five forks deep."""
    with Datastore.open(place / "pages.db", migrate=True) as store:
        sides = {
            "linear": fill(store, []),
            "deep": fill(store, [MESSAGES * number // (FORKS + 1) for number in range(1, FORKS + 1)]),
            "crossed": fill(store, [MESSAGES - 40 + 8 * number for number in range(FORKS)]),
        }
        middle = {name: [store.messages.list(id, max_rows=1000).next for id in ids] for name, ids in sides.items()}

        def read(ids: list[str], **given: Any) -> Callable[[int], object]:
            return lambda n: store.messages.list(ids[n % COPIES], max_rows=PAGE, **given)

        def after(name: str) -> Callable[[int], object]:
            ids, cursors = sides[name], middle[name]
            return lambda n: store.messages.list(ids[n % COPIES], after=cursors[n % COPIES], max_rows=PAGE)

        return {
            "first page": interleaved({name: read(ids) for name, ids in sides.items()}, rounds=rounds, calls=10),
            "page in the middle": interleaved({name: after(name) for name in sides}, rounds=rounds, calls=10),
            "last page": interleaved(
                {name: read(ids, last=True) for name, ids in sides.items()}, rounds=rounds, calls=10
            ),
        }


def forks(place: Path, rounds: int) -> dict[str, float]:
    """Milliseconds and bytes of a fork of a long conversation, each a transaction of its own."""
    with Datastore.open(place / "forks.db", migrate=True) as store:
        (id, *_) = fill(store, [])
        store.engine.checkpoint()
        size = (place / "forks.db").stat().st_size
        count = rounds * 10
        spread = interleaved(
            {"fork": lambda n: store.branches.fork(id, position=1 + n % MESSAGES, branch=0)}, rounds=rounds, calls=10
        )["fork"]
        store.engine.checkpoint()
        grown = (place / "forks.db").stat().st_size - size
    return {"milliseconds": round(spread.median / 1e3, 3), "bytes": round(grown / (count + 10))}


def linear(place: Path, base: Path, rounds: int) -> dict[str, float]:
    """The median ratio of this commit to the other, operation by operation, in turn."""
    here = Path(__file__).resolve().parents[1]
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WORKER, str(place / f"{name}.db")],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, root in (("here", here), ("base", base))
    }

    def timed(name: str, call: str, count: int) -> float:
        worker = workers[name]
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps([call, count]) + "\n")
        worker.stdin.flush()
        return float(worker.stdout.readline())

    for worker in workers.values():
        assert worker.stdout is not None
        worker.stdout.readline()
    ratios = {}
    for call, (count, _) in LINEAR.items():
        times: dict[str, list[float]] = {"here": [], "base": []}
        for number in range(-1, rounds):
            for name in sorted(times, reverse=bool(number % 2)):
                took = timed(name, call, count)
                if number >= 0:
                    times[name].append(took)
        here_time, base_time = (Spread.of(times[name]) for name in ("here", "base"))
        ratios[call] = round(here_time.median / base_time.median, 3)
        # The lower quartile is what a noisy machine disturbs least.
        print(f"{call}: {ratios[call]:.3f} (lower quartile {here_time.low / base_time.low:.3f})")
    for worker in workers.values():
        worker.communicate()
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a checkout of another commit")
    arguments = parser.parse_args()
    with folder() as place:
        fork = forks(place, arguments.rounds)
        print(f"fork: {fork['milliseconds']} ms, {fork['bytes']} bytes")
        bar("a fork, ms", fork["milliseconds"], at_most=1)
        bar("a fork, bytes", fork["bytes"], at_most=1024)
        ratios: dict[str, float] = {}
        for name, sides in pages(place, arguments.rounds).items():
            for side in ("deep", "crossed"):
                ratio = sides[side].median / sides["linear"].median
                ratios[f"{name}, {side}"] = round(ratio, 3)
                print(f"{name}, {side}: {ratio:.3f} x linear ({sides[side].median} us)")
                bar(f"{name}, {side}", ratio, at_most=1.2)
        result = {**origin("python perf/branches.py"), "missed": MISSED, "fork": fork, "times a linear page": ratios}
        if arguments.against is not None:
            result["times the other commit"] = linear(place, arguments.against.resolve(), arguments.rounds)
            for call, (_, most) in LINEAR.items():
                bar(f"linear, {call}", result["times the other commit"][call], at_most=most)
    return finish("branches", result, "times a linear page", "times the other commit")


if __name__ == "__main__":
    raise SystemExit(main())
