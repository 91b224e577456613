"""maintain, vacuum."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from datastore.cli.backups import Elapsed
from datastore.cli.exit_codes import Exit
from datastore.cli.options import age
from datastore.cli.output import database_option, json_option, open_store, print_json, size

if TYPE_CHECKING:
    from datastore.upkeep.maintenance import Upkeep


@click.command("maintain", short_help="Run maintenance in small steps.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0.01),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop after about this long; the next run continues.",
)
@click.option("--everything", is_flag=True, help="Run every task, even below its threshold.")
@click.option(
    "--watch", is_flag=True, help="Keep running, and do the work whenever it is due, until stopped (Ctrl-C, SIGTERM)."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: how often to check whether it is due.",
)
@click.option(
    "--interval",
    type=age,
    default="1h",
    show_default=True,
    metavar="AGE",
    help="With --watch: maximum time between two runs.",
)
@json_option
@database_option
@click.pass_context
def maintain_command(
    ctx: click.Context,
    budget: float,
    everything: bool,
    watch: bool,
    every: float,
    interval: timedelta,
    as_json: bool,
    database: str,
) -> None:
    """Release free pages, merge the full-text indexes, truncate the WAL and refresh statistics, in steps of a few
    milliseconds; other writers can work in between. Exits with 7 if something that is due was not done."""
    with open_store(database) as store:
        if not watch:
            done = store.maintenance.run(budget=budget, everything=everything)
            _tell(done, as_json)
            if not done.finished:
                ctx.exit(Exit.NOT_FINISHED)
            return
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
        while not stop.is_set():
            if store.maintenance.due(interval=interval):
                _tell(store.maintenance.run(budget=budget), as_json)
            stop.wait(every)


@click.command("vacuum", short_help="Release free pages to the file system.")
@click.option(
    "--full", is_flag=True, help="Rewrite the whole file: it becomes as small as possible, but writers must wait."
)
@database_option
def vacuum_command(full: bool, database: str) -> None:
    """Release every free page to the file system, in small steps; other writers can work in between."""
    with open_store(database) as store:
        if full:
            elapsed = Elapsed("vacuum")
            saved = store.maintenance.vacuum(elapsed)
            elapsed.done()
            click.echo(f"rewritten; the file is {size(abs(saved))} {'smaller' if saved >= 0 else 'larger'}")
            return
        done = store.maintenance.run(budget=float("inf"), everything=True)
    whole = done.checkpointed is not False
    click.echo(f"{done.pages_freed} pages released" + ("" if whole else "; a reader still uses a part of the WAL"))


def _tell(done: Upkeep, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    parts = [f"{done.pages_freed} pages released", f"{done.merges} merges"]
    if done.checkpointed is not None:
        parts.append("WAL truncated" if done.checkpointed else f"WAL kept by {_blockers(done)}")
    if done.removed:
        parts.append(f"removed {done.removed} unfinished files of killed commands")
    if done.optimized:
        parts.append("statistics refreshed")
    parts.append(f"{done.slices} steps, the longest {done.longest * 1000:.0f} ms")
    click.echo("; ".join(parts) + ("" if done.finished else "; not finished"))


def _blockers(done: Upkeep) -> str:
    if not done.blocked_by:
        return "a reader"
    return "process " + ", ".join(map(str, done.blocked_by))
