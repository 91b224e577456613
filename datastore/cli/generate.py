"""generate and diff: the code that type checkers read, the lock file, and what a change of it breaks."""

from __future__ import annotations

from pathlib import Path

import click

from datastore.cli.check import project_option, require_sqlglot
from datastore.cli.output import clean, json_option, print_json


@click.command("generate", short_help="Write the Protocols and row classes of the statements.")
@project_option
@click.option("--check", is_flag=True, help="Write nothing; say what is not as it would be written, and exit with 5.")
@click.pass_context
def generate_command(ctx: click.Context, project: Path, check: bool) -> None:
    """Write, for each .sql file of a project, the Protocol of its statements and the classes of their rows.

    Also the lock file: a line for each parameter, result column and plan, so that a change of one is a diff of a line.
    """
    require_sqlglot()
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
        click.echo(f"{len(facts.statements)} statements: everything is as generated")
    elif check:
        ctx.exit(5)


@click.command("diff", short_help="Say what changed for callers since a git ref.")
@click.argument("ref")
@project_option
@json_option
@click.pass_context
def diff_command(ctx: click.Context, ref: str, project: Path, as_json: bool) -> None:
    """Compare what the statements take and give with what they did at REF; exits with 5 if something breaks callers."""
    require_sqlglot()
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
        ctx.exit(5)
