"""What an import of the package takes: fresh processes in turn, medians, less what the interpreter alone takes.

    python perf/start.py [--rounds 15]

Writes perf/results/start.json; exits 1 where `import datastore` takes more than 80 ms.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from measuring import finish, origin

GOAL_MS = 80.0
CODES = {
    "the interpreter": "pass",
    "import datastore": "import datastore",
    "from datastore import Datastore": "from datastore import Datastore",
    "import sqlite3, attrs": "import sqlite3, attrs",
    "import sqlalchemy": "import sqlalchemy",
    "import peewee": "import peewee",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in CODES}
    for number in range(rounds + 1):
        for name in sorted(CODES, reverse=bool(number % 2)):
            begun = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", CODES[name]], stderr=subprocess.DEVNULL)
            if number and done.returncode == 0:  # the first round reads the files from the disk
                times[name].append((time.perf_counter() - begun) * 1e3)
    alone = statistics.median(times["the interpreter"])
    lines: dict[str, Any] = {name: round(statistics.median(some) - alone, 1) for name, some in times.items() if some}
    lines["the interpreter"] = round(alone, 1)
    for name, took in lines.items():
        print(f"{name}: {took:.1f} ms")
    took = lines["import datastore"]
    missed = [f"import datastore: {took} ms, at most {GOAL_MS:g} is asked"] if took > GOAL_MS else []
    result = {**origin("python perf/start.py"), "goal_ms": GOAL_MS, "missed": missed, "milliseconds": lines}
    return finish("start", result, "milliseconds")


if __name__ == "__main__":
    raise SystemExit(main())
