"""export, show."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from datastore.cli.options import subject_options
from datastore.cli.output import (
    clean,
    database_option,
    json_option,
    one_line,
    open_store,
    plain,
    print_json,
)
from datastore.files import Draft, is_stream, rights_of_new

if TYPE_CHECKING:
    from datastore.store import Datastore


@click.command("export", short_help="Write conversations as chat JSON lines, or all data of one subject.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write to this file instead of stdout; compressed if it ends in .gz.",
)
@click.option("--source", metavar="NAME", help="Only conversations from this source.")
@click.option("--include-deleted", is_flag=True, help="Include soft-deleted conversations.")
@click.option(
    "--everything",
    is_flag=True,
    help="All data of one subject that `datastore erase` would delete, including jobs and uploads, as one JSON document.",
)
@subject_options
@database_option
def export_command(
    output: str | None,
    session_id: str | None,
    source: str | None,
    include_deleted: bool,
    everything: bool,
    database: str,
    **subject: str | None,
) -> None:
    """Write conversations with their messages and learnings as chat JSON lines, which import without loss.

    With --everything and one of --conversation-id, --session-id, --correlation-id and --learning-id: write the data to
    hand over on an access request, which is what `datastore erase` deletes. Otherwise, only --session-id is a filter.
    """
    from datastore.exporting import export

    if everything and sum(map(bool, (session_id, *subject.values()))) != 1:
        raise click.UsageError(
            "--everything needs one of --conversation-id, --session-id, --correlation-id and --learning-id"
        )
    if everything and (source or include_deleted):
        raise click.UsageError(
            "--everything cannot be combined with --source or --include-deleted; it always includes soft-deleted data"
        )
    if not everything and any(subject.values()):
        raise click.UsageError("--conversation-id, --correlation-id and --learning-id need --everything")
    with open_store(database, reading=True) as store:
        if everything:
            held = store.disclose(session_id=session_id, **subject)
            counts = f"{len(held.messages)} messages, {len(held.learnings)} learnings, {len(held.jobs)} jobs"
            counts += "".join(f", {len(own.rows)} rows of {own.table} ({own.fate})" for own in held.own_tables)
            with _output(output, store) as file:
                file.write(json.dumps(plain(held), indent=2, ensure_ascii=False) + "\n")
        else:
            with _output(output, store) as file:
                count = export(store, file, session_id=session_id, source=source, include_deleted=include_deleted)
                counts = f"{count} conversations"
    if output not in (None, "-"):
        click.echo(f"{clean(str(output))}: {counts}", err=True)


@contextmanager
def _output(output: str | None, store: Datastore) -> Iterator[TextIO]:
    """A file that appears only when it is complete, or stdout, a pipe or a device; UTF-8 regardless of the locale.

    A symbolic link is followed, as in a shell. A new file is readable only by users who may read the database.
    """
    if output is None or output == "-":
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
        try:
            yield stream
            stream.flush()
        finally:
            _detach(stream)
        return
    if is_stream(Path(output)):
        with Path(output).open("wb") as target, _encoded(target, output) as file:
            yield file
        return
    real = Path(os.path.realpath(output))
    with Draft(real) as draft:
        with os.fdopen(os.dup(draft.file), "wb") as target, _encoded(target, output) as file:
            yield file
        rights = rights_of_new(real)
        if isinstance(rights, int) and store.engine.path is not None:
            rights &= store.engine.path.stat().st_mode
        draft.put_in_place(rights)


def _detach(stream: io.TextIOWrapper) -> None:
    # Collecting the wrapper would close stdout for all other code.
    with suppress(BrokenPipeError):
        stream.detach()


@contextmanager
def _encoded(target: BinaryIO, name: str) -> Iterator[TextIO]:
    if not name.endswith(".gz"):
        with io.TextIOWrapper(target, encoding="utf-8", newline="\n") as file:
            yield file
        return
    with (
        gzip.GzipFile(Path(name).stem, "wb", 6, target) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        yield file


@click.command("show", short_help="Print a conversation or a learning.")
@click.argument("id")
@click.option("--branch", type=int, help="The branch of the conversation; without it, the active one.")
@json_option
@database_option
def show_command(id: str, branch: int | None, as_json: bool, database: str) -> None:
    """Print a conversation with its messages, or a learning, by its id."""
    from datastore.errors import NotFoundError

    with open_store(database, reading=True) as store, store.snapshot():
        conversation = store.conversations.find(id)
        learning = None if conversation else store.learnings.find(id)
        if conversation is None and learning is None:
            raise NotFoundError("conversation or learning")
        branches = list(store.branches.iterate(id)) if conversation and conversation.last_branch else []
        messages = list(
            store.messages.iterate(id, branch=branch) if conversation else store.messages.iterate_by_learning(id)
        )
    if as_json:
        if conversation is not None:
            print_json({**plain(conversation), "branches": branches, "messages": messages})
        else:
            print_json({**plain(learning), "messages": [message.id for message in messages]})
        return
    if conversation is not None:
        click.secho(one_line(conversation.title or conversation.id), bold=True)
        click.echo(
            f"id {one_line(conversation.id)}, from {one_line(conversation.source)}, {conversation.created_at:%Y-%m-%d %H:%M} UTC"
        )
        if conversation.deleted_at is not None:
            click.echo(f"deleted {conversation.deleted_at:%Y-%m-%d %H:%M} UTC")
        for one in branches:
            active = " (active)" if one.branch == conversation.active_branch else ""
            fork = "" if one.parent_branch is None else f", after {one.fork_position} of branch {one.parent_branch}"
            click.echo(f"branch {one.branch}{active}{fork}{f': {one_line(one.label)}' if one.label else ''}")
        for message in messages:
            click.echo()
            click.secho(f"{message.position} {message.role}{' (partial)' if message.partial else ''}", bold=True)
            click.echo(clean(message.content))
    elif learning is not None:
        click.secho(one_line(learning.title), bold=True)
        click.echo(f"id {one_line(learning.id)}, {one_line(learning.category)}, confidence {learning.confidence:.2f}")
        if learning.tags:
            click.echo(f"tags {', '.join(map(one_line, learning.tags))}")
        sources = "".join(f", message {message.position}" for message in messages)
        click.echo(f"from conversation {one_line(learning.conversation_id)}{sources}")
        click.echo()
        click.echo(clean(learning.content))
