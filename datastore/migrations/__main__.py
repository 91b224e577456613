"""``python -m datastore.migrations lock`` writes SHA256SUMS in each engine's folder; ``check`` verifies it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from datastore.migrations.checksums import LOCK_NAME, check_lock, write_lock
from datastore.resources import migrations_folder


def main(arguments: Sequence[str]) -> int:
    """Run ``lock`` or ``check`` for every engine's folder."""
    if list(arguments) not in (["lock"], ["check"]):
        print("usage: python -m datastore.migrations lock|check", file=sys.stderr)
        return 2
    problems = []
    for folder in sorted(path for path in migrations_folder().parent.iterdir() if path.is_dir()):
        if arguments[0] == "lock":
            write_lock(folder)
            print(folder / LOCK_NAME)
        problems += [f"{folder.name}: {problem}" for problem in check_lock(folder)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
