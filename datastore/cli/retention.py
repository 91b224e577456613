"""retention: list, set, delete, preview, apply."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from datastore.cli.output import database_option, json_option, one_line, open_store, print_json, print_table

if TYPE_CHECKING:
    from datastore.records import RetentionPolicy

_targets = ["conversations", "learnings", "jobs", "attempts", "uploads", "redactions"]


@click.group("retention", short_help="Manage retention policies.")
def retention_command() -> None:
    """Manage policies that state how long data is kept. `preview` shows what `apply` would do."""


@retention_command.command("list", short_help="List the policies.")
@json_option
@database_option
def list_command(as_json: bool, database: str) -> None:
    """List the policies by name."""
    with open_store(database, reading=True) as store:
        policies = list(store.retention.policies.iterate())
    if as_json:
        print_json(policies)
    elif policies:
        rows = [(one.name, one.target, _scope(one), one.since, one.age_days, one.grace_days) for one in policies]
        print_table(["policy", "target", "scope", "since", "age days", "grace days"], rows)
    else:
        click.echo("no policies", err=True)


def _scope(policy: RetentionPolicy) -> str:
    return policy.scope if policy.scope_value is None else f"{policy.scope} {policy.scope_value}"


@retention_command.command("set", short_help="Add or change a policy.")
@click.argument("name")
@click.option("--target", type=click.Choice(_targets), required=True, help="What the policy applies to.")
@click.option(
    "--age-days", type=click.FloatRange(0, 36500), required=True, metavar="DAYS", help="The age at which rows expire."
)
@click.option(
    "--since",
    type=click.Choice(["activity", "completion"]),
    help="The start of the age: the last change (conversations, learnings, redactions; their default), or the end.",
)
@click.option(
    "--scope",
    type=click.Choice(["all", "source", "session_prefix", "category"]),
    default="all",
    show_default=True,
    help="Only conversations from a source or with a session id prefix, or only learnings in a category.",
)
@click.option("--scope-value", metavar="TEXT", help="The source, the session id prefix, or the category.")
@click.option(
    "--grace-days",
    type=click.FloatRange(0, 36500),
    default=0.0,
    metavar="DAYS",
    help="For conversations: how long they stay soft-deleted before they are purged.",
)
@database_option
def set_command(
    name: str,
    target: Any,
    age_days: float,
    since: Any,
    scope: Any,
    scope_value: str | None,
    grace_days: float,
    database: str,
) -> None:
    """Add or change the policy NAME. Nothing is deleted until `apply`."""
    if (scope == "all") != (scope_value is None):
        raise click.UsageError("give --scope and --scope-value together, or neither")
    with open_store(database) as store:
        policy = store.retention.policies.set(
            name,
            target,
            age_days=age_days,
            since=since,
            scope=scope,
            scope_value=scope_value,
            grace_days=grace_days,
        )
    click.echo(
        f"{one_line(policy.name)}: {policy.target}, {_scope(policy)}, {policy.age_days:g} days after {policy.since}"
    )


@retention_command.command("delete", short_help="Delete a policy.")
@click.argument("name")
@database_option
def delete_command(name: str, database: str) -> None:
    """Delete the policy NAME; conversations that it soft-deleted stay soft-deleted."""
    with open_store(database) as store:
        store.retention.policies.delete(name)
    click.echo(f"{one_line(name)}: deleted")


@retention_command.command("preview", short_help="Show what apply would do.")
@click.argument("name", required=False)
@json_option
@database_option
def preview_command(name: str | None, as_json: bool, database: str) -> None:
    """Show what applying every policy (or NAME) would do now: counts and the oldest row. Nothing is changed."""
    with open_store(database) as store:
        due = store.retention.preview(name)
    if as_json:
        print_json(
            [{"policy": one.policy.name, "action": one.action, "count": one.count, "oldest": one.oldest} for one in due]
        )
        return
    rows = [
        (
            one.policy.name,
            one.action,
            one.policy.target,
            one.count,
            f"{one.oldest:%Y-%m-%d %H:%M}" if one.oldest else "",
        )
        for one in due
    ]
    print_table(["policy", "action", "target", "count", "oldest"], rows)


@retention_command.command("apply", short_help="Soft-delete, purge and prune expired data.")
@click.argument("name", required=False)
@json_option
@database_option
def apply_command(name: str | None, as_json: bool, database: str) -> None:
    """Apply every policy (or NAME) in small steps; if stopped, the next call continues."""
    with open_store(database) as store:
        done = store.retention.apply(name, on_progress=_show if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        click.echo("", err=True)
    if as_json:
        print_json(done)
        return
    for policy, counts in done.items():
        click.echo(f"{one_line(policy)}: {_counted(counts)}")


def _show(counts: Mapping[str, int]) -> None:
    click.echo(f"\r{_counted(counts)} ", err=True, nl=False)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what.replace('_', '-')}" for what, count in counts.items() if count) or "nothing"
