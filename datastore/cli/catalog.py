"""catalog: the pages in which a DBA reads a project's tables and statements."""

from __future__ import annotations

from pathlib import Path

import click

from datastore.cli.check import project_option, require_sqlglot
from datastore.cli.output import clean


@click.command("catalog", short_help="Write the catalogue of tables and statements for DBAs.")
@project_option
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to; without it the project's own folder (catalog in [tool.datastore], else docs).",
)
@click.option("--check", is_flag=True, help="Write nothing; say what is not as it would be written, and exit with 5.")
@click.pass_context
def catalog_command(ctx: click.Context, project: Path, output: Path | None, check: bool) -> None:
    """Write catalog/index.html (one file, opens in a browser from disk), schema.md and statements.md.

    Per statement its parameters, result, plan, times and all that it touches, through triggers and foreign keys too;
    per table its columns, each with every statement and trigger that reads or writes it.
    """
    require_sqlglot()
    from datastore.contract.catalog.writing import drift, write
    from datastore.contract.facts import read_facts
    from datastore.contract.project import find_project

    with read_facts(find_project(project)) as facts:
        changes = drift(facts, output.resolve() if output else None)
    if not check:
        write(changes)
    for path in changes:
        click.echo(f"{clean(facts.project.show(path))}: {'would be ' * check}written")
    if not changes:
        click.echo(f"{len(facts.statements)} statements: the catalogue is as generated")
    elif check:
        ctx.exit(5)
