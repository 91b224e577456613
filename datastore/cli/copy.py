"""`datastore copy`: copies everything from one database to another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from datastore.cli.output import console, json_option, print_json

if TYPE_CHECKING:
    from datastore.copy import Progress


@click.command("copy", short_help="Copy everything to another database, SQLite or PostgreSQL.")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option(
    "--migrations",
    multiple=True,
    metavar="FOLDER",
    help="The application's own migrations for the target's engine, applied there first; repeatable.",
)
@click.option(
    "--skip", multiple=True, metavar="TABLE", help="A table of the application that is not copied; repeatable."
)
@json_option
def copy_command(source: str, target: str, migrations: tuple[str, ...], skip: tuple[str, ...], as_json: bool) -> None:
    """Copy every table from SOURCE to TARGET (paths or URLs), and compare the two at the end.

    This includes the audit chain, the history of jobs and the application's own tables. If a table cannot be copied, the
    command names it and writes nothing. An interrupted copy continues where it stopped. Nothing else may use the target
    during the copy. A missing target file is created; a database on a server must exist.
    """
    from datastore.copy import copy

    with _progress() as on_progress:
        copied = copy(source, target, migrations=migrations, skip=skip, on_progress=on_progress)
    if as_json:
        print_json(copied)
        return
    for table, written in copied.written.items():
        if written or copied.found[table]:
            there = f", {copied.found[table]:,} were already there" if copied.found[table] else ""
            click.echo(f"{table}: {written:,} rows{there}")
    if copied.skipped:
        click.echo(f"not copied and not compared: {', '.join(copied.skipped)}")
    compared = f"counts and SHA-256 of {'every other table' if copied.skipped else 'every table'}"
    click.echo(f"the two databases contain the same data: {compared} ({len(copied.digests)})")


@contextmanager
def _progress() -> Iterator[Progress | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress as Bars

    with Bars(console=console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(table, total=total)
            bars.update(tasks[table], completed=done)

        yield show
