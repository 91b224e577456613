"""migrations, migrate, rollback."""

from __future__ import annotations

import re
from pathlib import Path

import click

from datastore.cli.output import database_option

own_migrations = click.option(
    "--migrations",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The application's own migrations; repeatable.",
)

#: What a step locks, in the comment at its beginning.
_locks = re.compile(r"(?m)^-- Locks: (.+(?:\n--(?! ?[A-Za-z]+:).+)*)")


@click.command("migrations", short_help="Print the folder of the migrations.")
def migrations_command() -> None:
    """Print the folder of the migrations, in the form that yoyo accepts."""
    from datastore.resources import migrations_folder

    click.echo(str(migrations_folder()))


@click.command("migrate", short_help="Create the database, or apply pending migrations.")
@click.option(
    "--dry-run", is_flag=True, help="Print the pending migrations and what each of them locks; change nothing."
)
@own_migrations
@database_option
def migrate_command(dry_run: bool, migrations: tuple[Path, ...], database: str) -> None:
    """Create a missing database, or apply the migrations that it lacks. Applying them twice is harmless."""
    from datastore.migrations import apply, pending

    folders = _folders(database, migrations)
    if not dry_run:
        done = apply(database, *folders)
        for name in done:
            click.echo(f"applied {name}")
        if not done:
            click.echo("nothing to apply", err=True)
        return
    names = pending(_applied(database), *folders)
    for name in names:
        (path,) = (folder / f"{name}.sql" for folder in folders if (folder / f"{name}.sql").exists())
        found = _locks.search(path.read_text(encoding="utf-8"))
        locks = "not stated" if found is None else " ".join(found[1].replace("\n--", " ").split())
        click.echo(f"{name}\n  locks: {locks}")
    if not names:
        click.echo("nothing to apply", err=True)


def _folders(database: str, own: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folder of the library's migrations for the engine of *database*, then the application's."""
    from datastore.address import is_server
    from datastore.resources import migrations_folder

    return migrations_folder("postgresql" if is_server(database) else "sqlite"), *own


def _applied(database: str) -> list[str]:
    """The applied migrations; none if there is no database yet."""
    from datastore.address import database_path, is_server
    from datastore.engines.sqlite.engine import SQLiteEngine
    from datastore.errors import NotADatastoreError
    from datastore.opening import applied_in_file, applied_on_server, bind_statements, find_file, server_engine

    if is_server(database):
        server = server_engine(database)
        try:
            return list(applied_on_server(server, bind_statements(server)))
        except NotADatastoreError:
            return []
        finally:
            server.close()
    path = database_path(database)
    found = find_file(path)
    if found is None or not found.st_size:
        return []
    engine = SQLiteEngine(path, read_only=True)
    try:
        return list(applied_in_file(engine, bind_statements(engine)))
    finally:
        engine.close()


@click.command("rollback", short_help="Roll back the newest migrations.")
@click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="How many.")
@click.option("--all", "every", is_flag=True, help="Roll back every migration.")
@click.option(
    "--allow-loss",
    is_flag=True,
    help="Also destroy legal holds, receipts of erasures, tombstones and entries of the audit log.",
)
@own_migrations
@database_option
def rollback_command(steps: int, every: bool, allow_loss: bool, migrations: tuple[Path, ...], database: str) -> None:
    """Roll back the newest migrations. This may lose data: the first line of each rollback file is printed before it runs."""
    from datastore.migrations import rollback

    folders = _folders(database, migrations)
    done = rollback(database, *folders, all=every, steps=steps, allow_loss=allow_loss)
    for name in done:
        click.echo(f"rolled back {name}")
    if not done:
        click.echo("nothing to roll back", err=True)
