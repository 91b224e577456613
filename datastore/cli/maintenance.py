"""maintain, vacuum."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from datastore.cli.backups import Elapsed
from datastore.cli.options import age
from datastore.cli.output import database_option, json_option, open_store, print_json, size

if TYPE_CHECKING:
    from datastore.upkeep.maintenance import Upkeep


@click.command("maintain", short_help="Upkeep in small steps.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0.01),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop after about so long; the next run goes on.",
)
@click.option("--everything", is_flag=True, help="Below the thresholds too.")
@click.option("--watch", is_flag=True, help="Stay, and run whenever it is due, until stopped (Ctrl-C, SIGTERM).")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: how often to look whether it is due.",
)
@click.option(
    "--interval",
    type=age,
    default="1h",
    show_default=True,
    metavar="AGE",
    help="With --watch: due at the latest so long after the last run.",
)
@json_option
@database_option
def maintain_command(
    budget: float, everything: bool, watch: bool, every: float, interval: timedelta, as_json: bool, database: str
) -> None:
    """Give free pages back, merge the full-text indexes, cut the WAL, refresh statistics: in steps of some
    milliseconds, between which others write."""
    with open_store(database) as store:
        if not watch:
            _tell(store.maintenance.run(budget=budget, everything=everything), as_json)
            return
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
        while not stop.is_set():
            if store.maintenance.due(interval=interval):
                _tell(store.maintenance.run(budget=budget), as_json)
            stop.wait(every)


@click.command("vacuum", short_help="Give free pages back.")
@click.option("--full", is_flag=True, help="Write the whole file anew: smallest, but writers wait meanwhile.")
@database_option
def vacuum_command(full: bool, database: str) -> None:
    """Give every free page back to the file system, in steps that let other writers in."""
    with open_store(database) as store:
        if full:
            elapsed = Elapsed("vacuum")
            saved = store.maintenance.vacuum(elapsed)
            elapsed.done()
            click.echo(f"written anew; the file is {size(abs(saved))} {'smaller' if saved >= 0 else 'larger'}")
            return
        done = store.maintenance.run(budget=float("inf"), everything=True)
    whole = done.checkpointed is not False
    click.echo(f"{done.pages_freed} pages given back" + ("" if whole else "; a reader still keeps a part of the WAL"))


def _tell(done: Upkeep, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    parts = [f"{done.pages_freed} pages given back", f"{done.merges} merges"]
    if done.checkpointed is not None:
        parts.append("WAL cut" if done.checkpointed else f"WAL kept by {_blockers(done)}")
    if done.removed:
        parts.append(f"{done.removed} unfinished files of killed commands removed")
    if done.optimized:
        parts.append("statistics refreshed")
    parts.append(f"{done.slices} steps, the longest {done.longest * 1000:.0f} ms")
    click.echo("; ".join(parts) + ("" if done.finished else "; not finished"))


def _blockers(done: Upkeep) -> str:
    if not done.blocked_by:
        return "a reader"
    return "process " + ", ".join(map(str, done.blocked_by))
