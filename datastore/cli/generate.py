"""generate and diff: code for type checkers, the lock file, and the changes that break callers."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from datastore.cli.check import project_option, require_extra
from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean, json_option, print_json
from datastore.errors import DatastoreError

if TYPE_CHECKING:
    from datastore.contract.project import Project

#: Between two looks at the files' times.
WATCH_SECONDS = 0.3


@click.command("init", short_help="Write a small project with a table of its own, to begin from.")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--package", default="app", show_default=True, help="The name of the Python package.")
@click.option("--postgresql", is_flag=True, help="Write the steps for PostgreSQL too.")
def init_command(folder: Path, package: str, postgresql: bool) -> None:
    """Write a working project into FOLDER: a table, its .sql file, a repository, and a program that uses them.

    An existing pyproject.toml gets the settings; no other file is changed. docs/own-tables.md explains each file.
    """
    require_extra()
    from datastore.contract.skeleton import write_skeleton

    for path in write_skeleton(folder, package, postgresql=postgresql):
        click.echo(f"{clean(path.relative_to(folder).as_posix())}: written")
    click.echo("next: datastore generate; datastore check --update; python main.py")


@click.command("generate", short_help="Write the Protocols and row classes of the statements.")
@project_option
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; list the files that are out of date, and exit with 5 if there are any.",
)
@click.option("--watch", is_flag=True, help="Do it again whenever a .sql file changes, until Ctrl-C.")
@click.pass_context
def generate_command(ctx: click.Context, project: Path, check: bool, watch: bool) -> None:
    """Write the Protocol of the statements and their row classes for each .sql file of a project.

    Also write the lock file: one line per parameter, result column and plan, so that a change shows up as a one-line diff.
    """
    require_extra()
    from datastore.contract.project import find_project

    if watch:
        if check:
            raise click.UsageError("--watch writes, and --check does not: give one of them")
        _watch(find_project(project))
    if _generate(find_project(project), check) and check:
        ctx.exit(Exit.CHECK_FAILED)


def _generate(project: Project, check: bool = False) -> bool:
    """Write what is out of date, or only list it; whether there was anything."""
    from datastore.contract.facts import read_facts
    from datastore.contract.generate import drift, write

    with read_facts(project) as facts:
        changes = drift(facts)
    if not check:
        write(changes)
    for path, text in changes.items():
        done = "would be " * check + ("removed" if text is None else "written")
        click.echo(f"{clean(facts.project.show(path))}: {done}")
    if not changes:
        click.echo(f"{len(facts.statements)} statements: everything is up to date")
    return bool(changes)


def _watch(project: Project) -> NoReturn:
    """Generate after each change, for ever; a mistake in a file is shown, and the next change awaited."""
    seen = None
    while True:
        folders = [project.statements_folder, *project.own_migrations]
        files = [path for folder in folders for path in sorted(folder.rglob("*.sql"))]
        with suppress(FileNotFoundError):  # removed since it was listed: looked for again
            now = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
            if now != seen:
                seen = now
                try:
                    _generate(project)
                except DatastoreError as error:
                    click.echo(clean(str(error)))
        time.sleep(WATCH_SECONDS)


@click.command("diff", short_help="Show what changed for callers since a git ref.")
@click.argument("ref")
@project_option
@json_option
@click.pass_context
def diff_command(ctx: click.Context, ref: str, project: Path, as_json: bool) -> None:
    """Compare the statements' parameters and results with those at REF; exits with 5 if a change breaks callers."""
    require_extra()
    from datastore.contract import lock
    from datastore.contract.facts import read_facts
    from datastore.contract.project import find_project

    found = find_project(project)
    before = lock.read_at(found, ref)
    with read_facts(found) as facts:
        now = lock.lock_of(facts)
    breaking, others = list(lock.breaking(before, now)), list(lock.other_changes(before, now))
    if as_json:
        print_json({"breaking": breaking, "others": others})
    else:
        for title, changes in (("breaks callers", breaking), ("other changes", others)):
            if changes:
                click.echo(f"{title} ({len(changes)}):")
            for change in changes:
                click.echo(clean(f"  {change}"))
        if not breaking and not others:
            click.echo(f"nothing changed since {clean(ref)}")
    if breaking:
        ctx.exit(Exit.CHECK_FAILED)
