"""import."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datastore.cli.exit_codes import Exit
from datastore.cli.output import clean, console, database_option, is_missing, one_line, open_store

if TYPE_CHECKING:
    from datastore.formats import BadLine
    from datastore.importing import ImportReport
    from datastore.store import Datastore

    Reporter = Callable[[int, int, ImportReport], None]
    BadReporter = Callable[[BadLine], None]


class _FormatName(click.ParamType[str]):
    """auto, or the name of a format, of this or of another package."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from datastore.formats import format_names

        names = ("auto", *format_names())
        if value not in names:
            self.fail(f"expected one of {', '.join(names)}", param, ctx)
        return str(value)


@click.command("import", short_help="Store conversations and learnings from files.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, allow_dash=True))
@click.option(
    "--sanitization-version",
    required=True,
    metavar="V",
    help="The version of the sanitization that the texts went through.",
)
@click.option(
    "--format", type=_FormatName(), default="auto", show_default=True, metavar="NAME", help="The format of the files."
)
@click.option("--dry-run", is_flag=True, help="Only report what would be stored. No one else can write meanwhile.")
@click.option(
    "--replace-invalid",
    is_flag=True,
    help="Replace bytes that are not text, NUL characters and lone surrogates, instead of refusing what has them.",
)
@click.option(
    "--fields",
    multiple=True,
    metavar="NAME=KEY",
    help="For learnings: the file's key for a field, e.g. category=topic; repeatable.",
)
@click.option("--conversation-id", metavar="ID", help="For learnings: the conversation of learnings that name none.")
@click.option(
    "--include-erased",
    is_flag=True,
    help="Also import subjects that were erased on request, and lift their tombstones.",
)
@database_option
@click.pass_context
def import_command(
    ctx: click.Context,
    files: tuple[str, ...],
    sanitization_version: str,
    format: str,
    dry_run: bool,
    replace_invalid: bool,
    fields: tuple[str, ...],
    conversation_id: str | None,
    include_erased: bool,
    database: str,
) -> None:
    """Store conversations and learnings from files; creates a missing database.

    A FILE is a file, a pipe, - (standard input), a ZIP archive or a directory; files may be gzip'd. Formats: chat JSON lines and
    requests of OpenAI's and Anthropic's interfaces, exports of ChatGPT and Claude.ai, sessions of Claude Code, Codex CLI and Gemini
    CLI, ShareGPT, WildChat, Open Assistant, LangChain, logs.db of llm, and learnings (docs/import.md).

    Importing the same file twice is a no-op. A longer file appends; a file with another history adds a branch. What is not stored
    is listed with its file and line, and the exit code is 3.
    """
    from datastore.importing import import_file

    mapping = _mapping(fields)
    if not 1 <= len(sanitization_version) <= 100:
        raise click.BadParameter("must be 1 to 100 characters", param_hint="--sanitization-version")
    _check_first(files, format, mapping, replace_invalid=replace_invalid)
    lost = False
    with ExitStack() as opened:
        store = opened.enter_context(_store(database, dry_run=dry_run))
        opened.enter_context(_rehearsal(store) if dry_run else nullcontext())
        for file in files:
            lost |= _one(
                file,
                lambda on_progress, on_bad, on_file, file=file: import_file(
                    store,
                    file,
                    sanitization_version=sanitization_version,
                    format=format,
                    fields=mapping,
                    conversation_id=conversation_id,
                    include_erased=include_erased and not dry_run,
                    replace_invalid=replace_invalid,
                    on_progress=on_progress,
                    on_bad=on_bad,
                    on_file=on_file,
                ),
                dry_run=dry_run,
            )
    if lost:
        ctx.exit(Exit.BAD_LINES)


def _one(file: str, run: Callable[..., ImportReport], *, dry_run: bool) -> bool:
    """Import one file; whether something of it could not be stored."""
    from datastore.errors import ImportFileError

    with _progress(file) as (on_progress, on_bad):
        try:
            report = run(on_progress, on_bad, lambda name, done: _print_report(name, done, dry_run=dry_run))
        except ImportFileError as error:
            click.echo(f"datastore: {one_line(str(error))}", err=True)
            return True
    return report.bad_lines > 0


def _check_first(files: tuple[str, ...], format: str, mapping: dict[str, str], *, replace_invalid: bool) -> None:
    """Fail before a database is created, if there is one file and its format is unknown."""
    from datastore.errors import ImportFileError
    from datastore.formats import detect

    regular = [file for file in files if file != "-" and Path(file).is_file()]
    if format != "auto" or len(regular) < len(files):
        return
    errors = []
    for file in regular:
        try:
            detect(file, mapping, replace_invalid=replace_invalid)
        except ImportFileError as error:
            errors.append(error)
        else:
            return
    if len(errors) == 1:
        raise errors[0]
    raise ImportFileError("none of these files can be imported: " + "; ".join(map(str, errors)))


@contextmanager
def _store(database: str, *, dry_run: bool) -> Iterator[Datastore]:
    """The store; for a dry run, an empty one takes the place of a missing database."""
    missing = is_missing(database)
    if not (missing and dry_run):
        with open_store(database, migrate=missing) as store:
            yield store
        return
    with (
        tempfile.TemporaryDirectory(prefix="datastore-") as folder,
        open_store(f"{folder}/dry-run.db", migrate=True) as store,
    ):
        yield store


def _rehearsal(store: Datastore) -> Any:
    from datastore.importing.batches import rehearsal

    return rehearsal(store)


def _mapping(fields: tuple[str, ...]) -> dict[str, str]:
    from datastore.formats.learnings import LEARNING_KEYS

    mapping = {}
    for field in fields:
        name, separator, key = field.partition("=")
        if not separator or not key or name not in LEARNING_KEYS:
            known = ", ".join(sorted(LEARNING_KEYS))
            raise click.BadParameter(f"expected NAME=KEY with NAME one of {known}", param_hint="--fields")
        mapping[name] = key
    return mapping


def _print_report(file: str, report: ImportReport, *, dry_run: bool) -> None:
    if report.format == "none" and not report.bad_lines:
        kinds = ", ".join(one_line(kind) for kind in report.ignored)
        click.echo(f"{clean(file)}: not read ({kinds})")
        return
    stored = "would be stored" if dry_run else "stored"
    counts = f"{report.conversations} conversations, {report.messages} messages, {report.learnings} learnings {stored}"
    parts = [counts, f"{report.unchanged} unchanged"]
    if report.branches:
        parts.insert(1, f"{report.branches} {'branches would begin' if dry_run else 'new branches'}")
    if report.differing:
        parts.append(f"{report.differing} differing")
    parts += [f"{count} skipped ({reason})" for reason, count in sorted(report.skipped.items())]
    if report.replaced:
        parts.append(f"{report.replaced} invalid characters replaced")
    if report.bad_lines:
        parts.append(f"{report.bad_lines} bad lines")
    click.echo(f"{clean(file)}: {'; '.join(parts)}")
    if dry_run and report.reason:
        click.echo(f"  format {one_line(report.format)}: {one_line(report.reason)}")
    for kind, count in sorted(report.ignored.items()):
        click.echo(f"  {count} left out: {one_line(kind)}, first at {one_line(report.first.get(kind, ''))}")
    for reason in sorted(report.skipped):
        click.echo(f"  skipped first at {one_line(report.first.get(reason, ''))}: {one_line(reason)}")
    for difference in report.differences:
        click.echo(one_line(difference), err=True)
    if (more := report.differing - len(report.differences)) > 0:
        click.echo(f"{clean(file)}: {more} more differences", err=True)
    if (more := report.bad_lines - len(report.bad)) > 0:
        click.echo(f"{clean(file)}: {more} more bad lines", err=True)


@contextmanager
def _progress(file: str) -> Iterator[tuple[Reporter | None, BadReporter]]:
    def text_of(bad: BadLine) -> str:
        return one_line(f"{bad.file}:{bad.line}: {bad.reason}")

    if not sys.stderr.isatty():
        yield None, lambda bad: click.echo(text_of(bad), err=True)
        return
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[stored]} stored, {task.fields[rate]}/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        name = os.fsdecode(Path(file).name) or file
        task = progress.add_task(escape(one_line(name)), total=None, stored=0, rate=0)

        def show(position: int, total: int, report: ImportReport) -> None:
            stored = report.messages + report.learnings
            elapsed = progress.tasks[0].elapsed or 0.001
            progress.update(task, completed=position, total=total, stored=stored, rate=round(stored / elapsed))

        yield show, lambda bad: progress.console.print(text_of(bad), markup=False, highlight=False, soft_wrap=True)
