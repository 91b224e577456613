"""The ``datastore`` command."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and exit; the entry point of the console script."""
    from datastore.cli.commands import cli

    try:
        cli(prog_name="datastore")
    finally:
        # Python would collect cycles once more at exit, but the process's memory is freed anyway. (After a check,
        # collecting its trees would take 0.4 s.)
        gc.freeze()
