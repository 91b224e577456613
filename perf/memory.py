"""Peak memory of an import and of an export, in processes of their own, for a file and for one ten times as long.

    python perf/memory.py [--messages 100000]       make bench-full: 1000000

Messages are 300 characters, twenty a conversation. The peak is the process's resident set (ru_maxrss), its modules
included; memory is flat if ten times the messages take at most 1.25 times the peak. Writes perf/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import finish, folder, origin
from peers import CONTENT

from datastore.values import encode_timestamp, utc_now

GOAL = 1.25
SIZE = 20

WORK = """
import resource, sys, time
from datastore import Datastore
from datastore.exporting import export
from datastore.importing import import_file
what, database, file = sys.argv[1:]
with Datastore.open(database, migrate=True) as store:
    begun = time.perf_counter()
    if what == "import":
        import_file(store, file, sanitization_version="1")
    else:
        with open(file, "w", encoding="utf-8") as stream:
            export(store, stream)
    seconds = time.perf_counter() - begun
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, seconds)
"""


def write_file(path: Path, messages: int) -> None:
    """Chat JSON lines of so many messages."""
    at = encode_timestamp(utc_now())
    with path.open("w", encoding="utf-8") as stream:
        for number in range(messages // SIZE):
            chat = [{"role": "user", "content": f"{number}.{n} {CONTENT}", "created_at": at} for n in range(SIZE)]
            stream.write(json.dumps({"id": f"c{number}", "source": "perf", "created_at": at, "messages": chat}) + "\n")


def peak(what: str, database: Path, file: Path) -> tuple[int, float]:
    """Bytes, and seconds."""
    done = subprocess.run(
        [sys.executable, "-c", WORK, what, str(database), str(file)], capture_output=True, text=True, check=True
    )
    size, seconds = done.stdout.split()
    return int(size), float(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    most = parser.parse_args().messages
    lines: dict[str, Any] = {}
    missed = []
    with folder() as place:
        for messages in (most // 10, most):
            source, database, target = (place / f"{messages}.{end}" for end in ("jsonl", "db", "out"))
            write_file(source, messages)
            for what, file in (("import", source), ("export", target)):
                size, seconds = peak(what, database, file)
                lines.setdefault(what, {})[str(messages)] = {"peak_bytes": size, "seconds": round(seconds, 2)}
                print(
                    f"{what} of {messages:,} messages: peak {size / 1e6:,.0f} MB, {messages / seconds:,.0f} messages/s"
                )
            source.unlink()
    for what, sizes in lines.items():
        small, large = (one["peak_bytes"] for one in sizes.values())
        if large / small > GOAL:
            missed.append(
                f"{what}: ten times the messages take {large / small:.2f} x the memory, at most {GOAL} is asked"
            )
    result = {**origin(f"python perf/memory.py --messages {most}"), "goal": GOAL, "missed": missed, "lines": lines}
    return finish("memory", result, "lines")


if __name__ == "__main__":
    raise SystemExit(main())
