"""metrics."""

from __future__ import annotations

import click

from datastore.cli.output import database_option, open_store


@click.command("metrics", short_help="Print metrics for Prometheus.")
@database_option
def metrics_command(database: str) -> None:
    """Print the state of the database in Prometheus' text format: rows, jobs by type and status, sizes of the files."""
    from datastore.observing.prometheus import metrics

    with open_store(database, reading=True) as store:
        click.echo(metrics(store), nl=False)
