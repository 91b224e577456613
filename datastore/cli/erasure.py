"""erase, erasures, hold, release, holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from datastore.cli.exit_codes import Exit
from datastore.cli.options import subject_options
from datastore.cli.output import (
    database_option,
    json_option,
    one_line,
    open_store,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from datastore.records import Erasure


@click.command("erase", short_help="Delete a subject and prove it.")
@subject_options
@click.option(
    "--resume", metavar="ERASURE_ID", help="Continue an erasure that was interrupted or could not be completed."
)
@click.option("--reason", metavar="TEXT", help="The reason, without content; kept in the receipt.")
@click.option(
    "--vacuum/--no-vacuum", default=True, help="Whether the whole file may be rewritten if residue is found in it."
)
@json_option
@database_option
@click.pass_context
def erase_command(
    ctx: click.Context,
    /,
    resume: str | None,
    reason: str | None,
    vacuum: bool,
    as_json: bool,
    database: str,
    **subject: str | None,
) -> None:
    """Delete a subject and everything derived from it, then scan the bytes of the database's files for it.

    Give one of --conversation-id, --session-id, --correlation-id, --learning-id and --resume. Prints the receipt, which
    is also stored. Exits with 6 if a legal hold blocked the erasure or it is incomplete; the receipt says why.
    """
    if sum(value is not None for value in (*subject.values(), resume)) != 1:
        raise click.UsageError(
            "give one of --conversation-id, --session-id, --correlation-id, --learning-id and --resume"
        )
    with open_store(database) as store:
        if resume is not None:
            receipt = store.retention.resume(resume, on_progress=_tell)
        else:
            receipt = store.erase(**subject, reason=reason, vacuum=vacuum, on_progress=_tell)
    _print(receipt, as_json)
    if not receipt.is_complete:
        ctx.exit(Exit.ERASURE_INCOMPLETE)


def _tell(action: str) -> None:
    import sys

    if sys.stderr.isatty():
        click.echo(f"{action} ...", err=True)


@click.command("erasures", short_help="List the receipts of erasures.")
@click.argument("erasure_id", required=False)
@json_option
@database_option
def erasures_command(erasure_id: str | None, as_json: bool, database: str) -> None:
    """List the receipts of erasures, newest first, or show the receipt of ERASURE_ID."""
    with open_store(database, reading=True) as store:
        if erasure_id is not None:
            _print(store.retention.receipts.get(erasure_id), as_json)
            return
        receipts = list(store.retention.receipts.iterate())
    if as_json:
        print_json(receipts)
    elif receipts:
        rows = [
            (f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.status, one.subject_kind, one.actor, one.id) for one in receipts
        ]
        print_table(["asked", "status", "subject", "by", "receipt"], rows)
    else:
        click.echo("no erasures", err=True)


def _print(receipt: Erasure, as_json: bool) -> None:
    if as_json:
        print_json(receipt)
        return
    print_pairs([("receipt", receipt.id), ("status", receipt.status), *_facts(receipt.receipt)])


def _facts(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    if deleted := facts.get("deleted"):
        pairs.append(("deleted", ", ".join(f"{count} {name}" for name, count in deleted.items() if count)))
    for table, fates in facts.get("own_tables", {}).items():
        pairs.append((f"own table {table}", ", ".join(f"{count} {fate}" for fate, count in fates.items())))
    for scan in facts.get("scans", []):
        read = sum(scan["files"].values())
        looked = f"searched {read} bytes for {scan['text_bytes']} bytes of text and {scan['terms']} words"
        pairs.append(("scanned", f"{looked}: {scan['hits']} left"))
    if "vacuumed" in facts:
        pairs.append(("vacuumed", "yes" if facts["vacuumed"] else "no"))
    if facts.get("rebuilt"):
        pairs.append(("full-text indexes", "rebuilt"))
    pairs += [("blocked by", one) for one in facts.get("blocked_by", [])]
    if unscanned := facts.get("not_scanned"):
        pairs.append(("not scanned", ", ".join(unscanned)))
    pairs += [("may name it", f"job {id}: check it") for id in facts.get("jobs", {}).get("may_name_it", [])]
    beyond = facts.get("out_of_reach", {})
    pairs += [
        ("out of reach", f"upload {one['remote_id']} at {one['destination']}") for one in beyond.get("uploads", [])
    ]
    pairs += [("may contain it", f"backup {one['path']} of {one['created_at']}") for one in beyond.get("backups", [])]
    return pairs


@click.command("hold", short_help="Put a conversation under legal hold.")
@click.argument("conversation_id")
@click.option("--reason", required=True, metavar="TEXT", help="The reason; 1 to 1000 characters, without content.")
@database_option
def hold_command(conversation_id: str, reason: str, database: str) -> None:
    """Put CONVERSATION_ID under legal hold: nothing can delete or change it until the hold is released."""
    with open_store(database) as store:
        held = store.holds.place(conversation_id, reason=reason)
    click.echo(f"held since {held.placed_at:%Y-%m-%d %H:%M:%S} by {one_line(held.placed_by)}, hold {held.id}")


@click.command("release", short_help="End a legal hold.")
@click.argument("conversation_id")
@database_option
def release_command(conversation_id: str, database: str) -> None:
    """End the legal hold on CONVERSATION_ID."""
    with open_store(database) as store:
        held = store.holds.release(conversation_id)
    click.echo(f"released, hold {held.id}")


@click.command("holds", short_help="List the legal holds.")
@json_option
@database_option
def holds_command(as_json: bool, database: str) -> None:
    """List the legal holds in force, oldest first."""
    with open_store(database, reading=True) as store:
        holds = list(store.holds.iterate())
    if as_json:
        print_json(holds)
    elif holds:
        rows = [(f"{one.placed_at:%Y-%m-%d %H:%M:%S}", one.conversation_id, one.placed_by, one.reason) for one in holds]
        print_table(["since", "conversation", "by", "reason"], rows)
    else:
        click.echo("no holds", err=True)
