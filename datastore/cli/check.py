"""check: the statements of a project against the schema that its migrations make."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datastore.cli.output import clean, json_option, print_json

if TYPE_CHECKING:
    from datastore.contract.check import Report


project_option = click.option(
    "--project",
    default=".",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where pyproject.toml with [tool.datastore] is, or a folder below it.",
)


@click.command("check", short_help="Check the .sql files against the schema.")
@project_option
@click.option("--release", metavar="REF", help="The last release, as git names it, or a pattern of tags; '' for none.")
@click.option(
    "--server",
    metavar="URL",
    help="Check what runs on PostgreSQL too, in a database that is made on this server and dropped again.",
)
@click.option("--update", is_flag=True, help="Write the plan snapshots and the checksums of new steps.")
@json_option
@click.pass_context
def check_command(
    ctx: click.Context, project: Path, release: str | None, server: str | None, update: bool, as_json: bool
) -> None:
    """Check every statement of a project against the schema that its migrations make; exits with 5 if one is wrong.

    A temporary database is migrated step by step, each statement is prepared on it and never run. What is checked,
    and how a rule is waived, is in docs/contract-checks.md.
    """
    require_sqlglot()
    from datastore.contract.check import check
    from datastore.contract.project import find_project

    with uncollected():
        report = check(find_project(project), release=release, update=update)
    if server is not None:
        report.on_server(server)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.problems:
        ctx.exit(5)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the cyclic collector: a short-lived process of many small trees, which it costs a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def require_sqlglot() -> None:
    """Refuse where the SQL parser of the checks is not installed.

    Raises:
        ProjectError: It is not; the message says how to install it.
    """
    if find_spec("sqlglot") is None:
        from datastore.errors import ProjectError

        raise ProjectError("reading SQL needs sqlglot, which is not installed: pip install 'datastore[check]'")


def _print(report: Report) -> None:
    for problem in report.problems:
        click.echo(clean(problem.render()) + "\n")
    for note in report.notes:
        click.echo(f"note: {clean(note)}")
    for path in report.written:
        click.echo(f"wrote {clean(report.project.show(path))}")
    click.echo(report.summary())
