"""migrations, rollback."""

from __future__ import annotations

from pathlib import Path

import click

from datastore.cli.output import database_option


@click.command("migrations", short_help="Print the folder of the migrations.")
def migrations_command() -> None:
    """Print the folder of the migrations, in the form that yoyo accepts."""
    from datastore.resources import migrations_folder

    click.echo(str(migrations_folder()))


@click.command("rollback", short_help="Roll back the newest migrations.")
@click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="How many.")
@click.option("--all", "every", is_flag=True, help="Roll back every migration.")
@click.option(
    "--allow-loss",
    is_flag=True,
    help="Also destroy legal holds, receipts of erasures, tombstones and entries of the audit log.",
)
@click.option(
    "--migrations",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The application's own migrations; repeatable.",
)
@database_option
def rollback_command(steps: int, every: bool, allow_loss: bool, migrations: tuple[Path, ...], database: str) -> None:
    """Roll back the newest migrations. This may lose data: the first line of each rollback file is printed before it runs."""
    from datastore.address import is_server
    from datastore.migrations import rollback
    from datastore.resources import migrations_folder

    folders = (migrations_folder("postgresql" if is_server(database) else "sqlite"), *migrations)
    done = rollback(database, *folders, all=every, steps=steps, allow_loss=allow_loss)
    for name in done:
        click.echo(f"rolled back {name}")
    if not done:
        click.echo("nothing to roll back", err=True)
