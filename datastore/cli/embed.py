"""embed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datastore.cli.output import database_option, one_line
from datastore.values import EMBED_TIMEOUT

if TYPE_CHECKING:
    from datastore.records import Embed


@click.command("embed", short_help="Make the vectors that search by meaning needs.")
@click.argument("function", metavar="MODULE:FUNCTION")
@click.option("--embed-model", required=True, metavar="NAME", help="The name of the function's model.")
@click.option(
    "--change-model", is_flag=True, help="Delete the vectors of another model first; search finds by words meanwhile."
)
@click.option("--batch", type=click.IntRange(1, 1000), default=64, show_default=True, help="Texts per call.")
@click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Stop after this many texts. Default: all.")
@click.option(
    "--embed-timeout",
    type=click.FloatRange(0.1),
    default=EMBED_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="Longest time that a call may take.",
)
@database_option
def embed_command(
    function: str,
    embed_model: str,
    change_model: bool,
    batch: int,
    max_rows: int | None,
    embed_timeout: float,
    database: str,
) -> None:
    """Make the vectors of learnings and messages that have none, in batches; an interrupted run continues where it ended.

    FUNCTION takes a list of texts and returns a vector for each of them. docs/search.md explains more.
    """
    from datastore.store import Datastore

    embed = _function(function)
    if change_model:
        with Datastore.open(database, actor="datastore command") as store:
            if store.vectors.change_model(embed, embed_model, embed_timeout=embed_timeout):
                click.echo("the vectors of the other model are deleted", err=True)
    with Datastore.open(
        database, embed=embed, embed_model=embed_model, embed_timeout=embed_timeout, actor="datastore command"
    ) as store:
        done = store.vectors.embed(batch=batch, max_rows=max_rows, on_progress=_say)
    click.echo(", ".join(f"{count} {table} embedded" for table, count in done.made.items()))
    if not done.complete:
        click.echo("rows without a vector are left: run it again", err=True)


def _say(table: str, made: int) -> None:
    click.echo(f"{table}: {made}", err=True)


def _function(text: str) -> Embed:
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise click.BadParameter("expected MODULE:FUNCTION, e.g. app.search:embed", param_hint="FUNCTION")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Embed = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise click.BadParameter(f"{error}", param_hint="FUNCTION") from error
    if not callable(found):
        raise click.BadParameter(f"{one_line(text)} is not a function", param_hint="FUNCTION")
    return found
