"""catalog: pages about a project's tables and statements, for DBAs."""

from __future__ import annotations

from pathlib import Path

import click

from datastore.cli.check import project_option, require_extra
from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean


@click.command("catalog", short_help="Write the catalogue of tables and statements for DBAs.")
@project_option
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The output folder; default: the project's own (catalog in [tool.datastore], else docs).",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; list the files that are out of date, and exit with 5 if there are any.",
)
@click.pass_context
def catalog_command(ctx: click.Context, project: Path, output: Path | None, check: bool) -> None:
    """Write catalog/index.html (one file, opens in a browser from disk), schema.md and a page for each .sql file.

    For each statement: its parameters, result, plan, times and everything that it touches, including through triggers and
    foreign keys. For each table: its columns, each with every statement and trigger that reads or writes it.
    """
    require_extra()
    from datastore.contract.catalog.writing import drift
    from datastore.contract.facts import read_facts
    from datastore.contract.generate import write
    from datastore.contract.project import find_project

    with read_facts(find_project(project)) as facts:
        changes = drift(facts, output.resolve() if output else None)
    if not check:
        write(changes)
    for path, text in changes.items():
        click.echo(
            f"{clean(facts.project.show(path))}: {'would be ' * check}{'removed' if text is None else 'written'}"
        )
    if not changes:
        click.echo(f"{len(facts.statements)} statements: the catalogue is up to date")
    elif check:
        ctx.exit(Exit.CHECK_FAILED)
