"""The ``datastore`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit; what the console script calls."""
    from datastore.cli.commands import cli

    cli(prog_name="datastore")
