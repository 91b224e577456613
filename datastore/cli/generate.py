"""generate and diff: code for type checkers, the lock file, and the changes that break callers."""

from __future__ import annotations

from pathlib import Path

import click

from datastore.cli.check import project_option, require_extra
from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean, json_option, print_json


@click.command("generate", short_help="Write the Protocols and row classes of the statements.")
@project_option
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; list the files that are out of date, and exit with 5 if there are any.",
)
@click.pass_context
def generate_command(ctx: click.Context, project: Path, check: bool) -> None:
    """Write the Protocol of the statements and their row classes for each .sql file of a project.

    Also write the lock file: one line per parameter, result column and plan, so that a change shows up as a one-line diff.
    """
    require_extra()
    from datastore.contract.facts import read_facts
    from datastore.contract.generate import drift, write
    from datastore.contract.project import find_project

    with read_facts(find_project(project)) as facts:
        changes = drift(facts)
    if not check:
        write(changes)
    for path, text in changes.items():
        done = "would be " * check + ("removed" if text is None else "written")
        click.echo(f"{clean(facts.project.show(path))}: {done}")
    if not changes:
        click.echo(f"{len(facts.statements)} statements: everything is up to date")
    elif check:
        ctx.exit(Exit.CHECK_FAILED)


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
