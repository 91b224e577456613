"""The ``datastore`` command."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and exit; what the console script calls."""
    from datastore.cli.commands import cli

    try:
        cli(prog_name="datastore")
    finally:
        # Python looks for cycles once more as it ends; the process's memory is given back whole anyway. (A check's
        # trees cost it 0.4 s.)
        gc.freeze()
