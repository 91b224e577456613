"""How long `datastore check` takes on this project, imports included: the command as CI runs it.

Bar: 3 s. Exits with 1 above it (the median of the runs).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BAR = 3.0
COMMAND = [sys.executable, "-m", "datastore.cli", "check"]


def seconds() -> float:
    """One run."""
    start = time.perf_counter()
    subprocess.run(COMMAND, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds()  # compiles the modules, fills the file cache
    runs = [seconds() for _ in range(rounds)]
    middle = statistics.median(runs)
    print(
        f"datastore check: median {middle:.2f} s of {rounds} runs ({min(runs):.2f} to {max(runs):.2f}), bar {BAR:.0f} s"
    )
    return int(middle > BAR)


if __name__ == "__main__":
    sys.exit(main())
